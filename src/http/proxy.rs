//! How the client addressed us, told by a proxy: `Forwarded` (RFC 7239) or `X-Forwarded-Proto`, `-Host` and `-Port`.
//! Believed from trusted proxies alone; from anybody else these headers mean nothing, for whoever sends them would choose
//! where our locations lead. Of several entries the last is the one that our own proxy added; `Forwarded` entries before
//! it count as long as the one that follows came from a trusted proxy too.

use std::net::IpAddr;

use actix_web::HttpRequest;

use super::Network;

/// The scheme and the host with its port that the client used, as far as a proxy tells.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Addressed {
    pub(super) scheme: Option<String>,
    pub(super) host: Option<String>,
}

/// What the proxy in front of us tells; nothing when it is not a trusted one.
pub(super) fn addressed(request: &HttpRequest, trusted: &[Network]) -> Addressed {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    match request.peer_addr() {
        Some(peer) if is_trusted(peer.ip()) => {}
        _ => return Addressed::default(),
    }
    let header = |name: &str| {
        let values = request.headers().get_all(name).filter_map(|value| value.to_str().ok());
        Some(values.collect::<Vec<_>>().join(",")).filter(|text| !text.trim().is_empty())
    };
    match header("forwarded") {
        Some(forwarded) => read_forwarded(&forwarded, is_trusted),
        None => read_x_forwarded(
            header("x-forwarded-proto").as_deref(),
            header("x-forwarded-host").as_deref(),
            header("x-forwarded-port").as_deref(),
        ),
    }
}

/// The address of the client itself: the nearest one that is no trusted proxy's. What a proxy tells is believed from
/// trusted ones alone.
pub(super) fn client(request: &HttpRequest, trusted: &[Network]) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip().to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if trusted.is_empty() || !is_trusted(peer) {
        return Some(peer);
    }
    let header = |name: &str| {
        let values = request.headers().get_all(name).filter_map(|value| value.to_str().ok());
        Some(values.collect::<Vec<_>>().join(",")).filter(|text| !text.trim().is_empty())
    };
    match header("forwarded") {
        Some(text) => nearest(split(&text, ',').into_iter().rev().map(forwarded_for), peer, is_trusted),
        None => {
            let text = header("x-forwarded-for").unwrap_or_default();
            nearest(text.split(',').rev().map(|text| node(text.trim())), peer, is_trusted)
        }
    }
}

/// The first address that is not a trusted proxy's; of a chain that is trusted whole, or goes on with what is no address,
/// the last that is known.
fn nearest(
    chain: impl Iterator<Item = Option<IpAddr>>,
    peer: IpAddr,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let mut known = peer;
    for address in chain {
        let Some(address) = address else { break };
        known = address.to_canonical();
        if !is_trusted(known) {
            break;
        }
    }
    Some(known)
}

/// For whom an element of `Forwarded` was passed on.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let pairs = split(element, ';').into_iter().filter_map(|pair| pair.split_once('='));
    let mut named = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    named.next().and_then(|(_, value)| node(value.trim().trim_matches('"')))
}

fn read_forwarded(text: &str, is_trusted: impl Fn(IpAddr) -> bool) -> Addressed {
    let mut found = Addressed::default();
    for element in split(text, ',').into_iter().rev() {
        let mut from = None;
        for (name, value) in split(element, ';').into_iter().filter_map(|pair| pair.split_once('=')) {
            let value = value.trim().trim_matches('"').to_owned();
            match name.trim().to_ascii_lowercase().as_str() {
                "proto" => found.scheme = scheme(&value).or(found.scheme),
                "host" => found.host = Some(value),
                "for" => from = node(&value),
                _ => {}
            }
        }
        if !from.is_some_and(&is_trusted) {
            break;
        }
    }
    found
}

fn read_x_forwarded(proto: Option<&str>, host: Option<&str>, port: Option<&str>) -> Addressed {
    let last = |text: &str| text.rsplit(',').next().unwrap_or_default().trim().to_owned();
    let scheme = proto.map(last).and_then(|proto| scheme(&proto));
    let mut host = host.map(last);
    if let (Some(host), Some(port)) = (&mut host, port.map(last).filter(|port| port.parse::<u16>().is_ok())) {
        let has_port = host.rsplit_once(':').is_some_and(|(_, end)| !end.contains(']'));
        let is_usual = matches!((scheme.as_deref(), port.as_str()), (Some("https"), "443") | (Some("http"), "80"));
        if !has_port && !is_usual {
            host.push(':');
            host.push_str(&port);
        }
    }
    Addressed { scheme, host }
}

fn scheme(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    matches!(text.as_str(), "http" | "https").then_some(text)
}

/// The address of a node, which may have a port and, with IPv6, brackets (RFC 7239 section 6).
fn node(text: &str) -> Option<IpAddr> {
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        // An IPv6 address as X-Forwarded-For has it.
        None if text.matches(':').count() > 1 => text,
        None => text.split(':').next()?,
    };
    bare.parse().ok()
}

/// The parts between separators that do not stand in quotation marks.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut is_quoted = false;
    text.split(|c: char| {
        is_quoted ^= c == '"';
        c == separator && !is_quoted
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(scheme: Option<&str>, host: Option<&str>) -> Addressed {
        Addressed { scheme: scheme.map(str::to_owned), host: host.map(str::to_owned) }
    }

    #[test]
    fn forwarded_is_read_as_far_back_as_trust_goes() {
        let table = [
            ("proto=https;host=id.example.se", told(Some("https"), Some("id.example.se"))),
            ("for=192.0.2.1;Proto=HTTPS;Host=\"id.example.se:8443\"", told(Some("https"), Some("id.example.se:8443"))),
            // What came before the last entry was written by whoever asked.
            ("host=evil.example, for=192.0.2.1;host=id.example.se", told(None, Some("id.example.se"))),
            // Unless a trusted proxy wrote it.
            (
                "for=192.0.2.1;host=id.example.se;proto=https, for=10.0.0.7;proto=http",
                told(Some("https"), Some("id.example.se")),
            ),
            ("for=\"[fd00::1]:80\";proto=https", told(Some("https"), None)),
            ("proto=gopher", told(None, None)),
            ("for=\"a,b;host=evil\";host=id.example.se", told(None, Some("id.example.se"))),
            ("", told(None, None)),
        ];
        let network = Network::new("10.0.0.0".parse().expect("an address"), 8);
        for (text, expected) in table {
            assert_eq!(read_forwarded(text, |address| network.contains(address)), expected, "{text}");
        }
    }

    #[test]
    fn the_client_is_the_nearest_address_that_is_no_trusted_proxy() {
        let table = [
            ("198.51.100.9", "forwarded", "for=192.0.2.1", "198.51.100.9"),
            ("10.0.0.1", "forwarded", "for=192.0.2.1", "192.0.2.1"),
            ("10.0.0.1", "forwarded", "for=192.0.2.66, for=192.0.2.1;proto=https, for=10.0.0.7", "192.0.2.1"),
            ("10.0.0.1", "forwarded", "for=10.0.0.7", "10.0.0.7"),
            ("10.0.0.1", "forwarded", "for=192.0.2.1, for=unknown", "10.0.0.1"),
            ("10.0.0.1", "x-forwarded-for", "192.0.2.66, 192.0.2.1:4711, 10.0.0.7", "192.0.2.1"),
            ("10.0.0.1", "x-forwarded-for", "2001:db8::1", "2001:db8::1"),
            ("::ffff:10.0.0.1", "x-forwarded-for", "[2001:db8::1]:80", "2001:db8::1"),
            ("10.0.0.1", "x-other", "192.0.2.1", "10.0.0.1"),
        ];
        let trusted = [Network::new("10.0.0.0".parse().expect("an address"), 8)];
        for (peer, name, text, expected) in table {
            let peer = std::net::SocketAddr::new(peer.parse().expect(peer), 1);
            let request = actix_web::test::TestRequest::get().peer_addr(peer).insert_header((name, text));
            let found = client(&request.to_http_request(), &trusted);
            assert_eq!(found, Some(expected.parse().expect(expected)), "{peer} {text}");
        }
    }

    #[test]
    fn of_x_forwarded_headers_the_last_value_counts() {
        let table = [
            (Some("https"), Some("id.example.se"), None, told(Some("https"), Some("id.example.se"))),
            (Some("http, https"), Some("evil, id.example.se"), None, told(Some("https"), Some("id.example.se"))),
            (Some("https"), Some("id.example.se"), Some("443"), told(Some("https"), Some("id.example.se"))),
            (Some("https"), Some("id.example.se"), Some("8443"), told(Some("https"), Some("id.example.se:8443"))),
            (Some("https"), Some("id.example.se:9"), Some("8443"), told(Some("https"), Some("id.example.se:9"))),
            (Some("https"), Some("[::1]"), Some("8443"), told(Some("https"), Some("[::1]:8443"))),
            (Some("https"), None, Some("8443"), told(Some("https"), None)),
            (Some("ftp"), None, None, told(None, None)),
        ];
        for (proto, host, port, expected) in table {
            assert_eq!(read_x_forwarded(proto, host, port), expected, "{proto:?} {host:?} {port:?}");
        }
    }
}
