//! Tells a service manager that the server is ready or stopping, as systemd wants to hear it (`sd_notify`): a datagram to the
//! socket that `NOTIFY_SOCKET` names. Without the variable nobody is told; that telling fails harms nothing.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The server takes requests.
pub(super) const READY: &str = "READY=1";
/// It has been asked to stop.
pub(super) const STOPPING: &str = "STOPPING=1";

/// Tells whoever started this process.
pub(super) fn tell(state: &str) {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(&socket, state)
    {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// A name that begins with `@` is one without a file.
fn send(socket: &OsStr, state: &str) -> std::io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(by: &UnixDatagram) -> String {
        let mut bytes = [0; 64];
        let length = by.recv(&mut bytes).expect("something is heard");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[test]
    fn a_manager_is_told_by_file_and_without() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("a socket");
        send(path.as_os_str(), READY).expect("sent");
        assert_eq!(heard(&manager), "READY=1");
        let name = format!("matrikel-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("an address");
        let manager = UnixDatagram::bind_addr(&address).expect("a socket");
        send(OsStr::new(&format!("@{name}")), STOPPING).expect("sent");
        assert_eq!(heard(&manager), "STOPPING=1");
        assert!(send(folder.path().join("nobody").as_os_str(), READY).is_err());
    }
}
