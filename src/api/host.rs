//! Under which name the server is spoken to. A page of somebody else's can make its own name lead to this
//! machine (DNS rebinding); its browser would then send it our answers as if they were its own.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use url::{Host, Url};

use super::{App, health};
use crate::base::{Config, Problem, ProblemKind};

/// Answers what is sent to this server, by its public name or by the address that it listens on. A
/// trusted proxy has looked already, and probes say the address of their pod.
pub(super) async fn own(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if health::is_probe(request.uri().path()) || is_from_proxy(&app.config, &request) {
        return next.run(request).await;
    }
    if host(&request).is_some_and(|host| is_ours(&app.config, host)) {
        return next.run(request).await;
    }
    let remedy = format!("It is {}", app.config.public_url);
    Problem::new(ProblemKind::Misdirected, "this server does not answer to that name")
        .remedy(remedy)
        .into_response()
}

fn is_from_proxy(config: &Config, request: &Request) -> bool {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
    peer.is_some_and(|peer| config.trusted_proxies.iter().any(|network| network.contains(&peer)))
}

/// The authority of HTTP/2, or the one Host header of HTTP/1.
fn host(request: &Request) -> Option<&str> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.as_str());
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    hosts.next().is_none().then_some(host)
}

fn is_ours(config: &Config, host: &str) -> bool {
    let Ok(said) = format!("{}://{host}/", config.public_url.scheme()).parse::<Url>() else { return false };
    let plain = said.username().is_empty() && said.password().is_none() && said.path() == "/";
    let port = said.port_or_known_default();
    plain
        && (said.host() == config.public_url.host() && port == config.public_url.port_or_known_default()
            || port == Some(config.listen.port()) && is_own_address(config.listen.ip(), said.host().as_ref()))
}

/// Where the server listens on every address, any address will do: only names can be made to lead here.
fn is_own_address(listen: IpAddr, host: Option<&Host<&str>>) -> bool {
    let address: IpAddr = match host {
        Some(Host::Ipv4(address)) => (*address).into(),
        Some(Host::Ipv6(address)) => (*address).into(),
        Some(Host::Domain(name)) => return listen.is_loopback() && *name == "localhost",
        None => return false,
    };
    listen.is_unspecified() || address == listen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(listen: &str, public: &str) -> Config {
        let text = format!(
            "listen = \"{listen}\"\npublic_url = \"{public}\"\nadministrators = [\"dev/it\"]\n\
             contact = \"ada@example.com\"\ntrusted_proxies = [\"192.0.2.0/24\"]\n\
             [keys]\nmaster_key_file = \"key\"\n[database]\nurl = \"sqlite:x\"\n[log]\norigin = \"a.example/log\"\n[engine]\nkind = \"embedded\"\n\
             [[providers]]\nname = \"dev\"\nissuer = \"https://idp.example.com\"\nclient_id = \"x\"\n"
        );
        Config::parse("c.toml", &text, std::path::Path::new("/"), []).unwrap()
    }

    fn request(uri: &str, hosts: &[&str], peer: &str) -> Request {
        let mut request = Request::builder().uri(uri);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        let mut request = request.body(axum::body::Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer.parse().unwrap()));
        request
    }

    #[test]
    fn only_a_trusted_proxy_says_other_names() {
        let config = config("127.0.0.1:8080", "https://pc.example.com/");
        for (peer, trusted) in
            [("192.0.2.7:1", true), ("[::ffff:192.0.2.7]:1", true), ("198.51.100.7:1", false)]
        {
            assert_eq!(is_from_proxy(&config, &request("/", &["pc"], peer)), trusted, "{peer}");
        }
    }

    #[test]
    fn there_is_one_host_or_none() {
        let peer = "198.51.100.7:1";
        assert_eq!(host(&request("/", &["a"], peer)), Some("a"));
        assert_eq!(host(&request("/", &[], peer)), None);
        assert_eq!(host(&request("/", &["a", "b"], peer)), None);
        assert_eq!(host(&request("https://b.example/", &["a"], peer)), Some("b.example"));
    }

    #[test]
    fn abuse_39_only_our_own_names_are_answered() {
        let public = "https://pc.example.com/";
        for (listen, host, ours) in [
            ("127.0.0.1:8080", "pc.example.com", true),
            ("127.0.0.1:8080", "PC.example.com:443", true),
            ("127.0.0.1:8080", "pc.example.com:8443", false),
            ("127.0.0.1:8080", "127.0.0.1:8080", true),
            ("127.0.0.1:8080", "localhost:8080", true),
            ("127.0.0.1:8080", "127.0.0.1:9090", false),
            ("127.0.0.1:8080", "127.0.0.2:8080", false),
            ("127.0.0.1:8080", "evil.example:8080", false),
            ("127.0.0.1:8080", "pc.example.com.evil.example", false),
            ("127.0.0.1:8080", "pc.example.com@evil.example", false),
            ("127.0.0.1:8080", "evil.example/pc.example.com", false),
            ("127.0.0.1:8080", "", false),
            ("[::]:8443", "10.1.2.3:8443", true),
            ("[::]:8443", "[2001:db8::1]:8443", true),
            ("[::]:8443", "localhost:8443", false),
        ] {
            assert_eq!(is_ours(&config(listen, public), host), ours, "{listen} {host}");
        }
    }
}
