//! A pool of connections between a server and PostgreSQL: PgBouncer, as Debian has it.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::client::Client;
use crate::support::messages::user;
use crate::support::postgres::{Database, database};
use crate::support::server::{Server, attempt, command};

/// PgBouncer before one database, as long as this value.
struct Pooler {
    child: Child,
    url: String,
    _folder: TempDir,
}

impl Pooler {
    fn before(database: &Database, settings: &str) -> Self {
        let (server, name) = database.url().rsplit_once('/').expect("a database");
        let (_, server_port) = server.rsplit_once(':').expect("a port");
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let folder = tempfile::tempdir().expect("a folder");
        // It takes another identity than root's, which must find its file.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("a folder");
        let file = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n{name} = host=127.0.0.1 port={server_port} user=postgres\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n{settings}\n"
        );
        std::fs::write(&file, text).expect("a file");
        let mut program = Command::new("/usr/sbin/pgbouncer");
        program.arg("-q").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if file.metadata().is_ok_and(|file| std::os::unix::fs::MetadataExt::uid(&file) == 0) {
            program.args(["-u", "postgres"]);
        }
        let child = program.spawn().expect("PgBouncer runs. 'make setup' installs it");
        let url = format!("postgres://postgres@127.0.0.1:{port}/{name}");
        let pooler = Pooler { child, url, _folder: folder };
        for _ in 0..2_400 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return pooler;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("PgBouncer does not listen");
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_pool_that_gives_each_connection_a_session_serves() {
    let database = database();
    let pooler = Pooler::before(&database, "pool_mode = session\ndefault_pool_size = 40");
    command(&pooler.url, &["migrate"]);
    let server = Server::postgres().beside_at(pooler.url.clone());
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let anna = client.post("/Users", &user("anna")).await.expect(201).id();
    assert_eq!(client.get(&format!("/Users/{anna}")).await.expect(200).json()["userName"], "anna");
}

#[test]
fn a_pool_that_lends_sessions_by_the_transaction_is_refused_with_what_to_do() {
    let database = database();
    command(database.url(), &["migrate"]);
    for mode in ["transaction", "statement"] {
        for (round_robin, sessions) in [(0, 1), (0, 3), (1, 1), (1, 2), (1, 3)] {
            let settings = format!(
                "pool_mode = {mode}\nserver_round_robin = {round_robin}\n\
                 default_pool_size = {sessions}\nmin_pool_size = {sessions}"
            );
            let pooler = Pooler::before(&database, &settings);
            for arguments in [&["migrate"][..], &["migrate", "--check"], &["tenant", "list"], &["serve"]] {
                let said = attempt(&pooler.url, arguments).expect_err("it is refused");
                assert!(said.contains("Set pool_mode = session for this database"), "{settings} {arguments:?}: {said}");
            }
        }
    }
}
