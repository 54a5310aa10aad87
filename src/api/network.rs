//! From where somebody calls.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, request::Parts},
};
use ipnet::IpNet;

use super::App;
use crate::base::{Problem, Result};

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The caller's address. Behind a proxy that the configuration trusts it is the last address in
/// `X-Forwarded-For` that no trusted proxy has; anybody else's header is passed over.
pub struct Network(pub Option<IpAddr>);

impl FromRequestParts<Arc<App>> for Network {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        Ok(Self(peer.and_then(|peer| caller(peer, &parts.headers, &app.config.trusted_proxies))))
    }
}

/// Nothing where a trusted proxy says something that cannot be read: then no network fits.
fn caller(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let peer = peer.to_canonical();
    if !is_trusted(&peer) {
        return Some(peer);
    }
    let said: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or("?").split(','))
        .map(str::trim)
        .collect();
    for text in said.iter().rev() {
        let address = text.parse::<IpAddr>().ok()?.to_canonical();
        if !is_trusted(&address) {
            return Some(address);
        }
    }
    Some(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, said: &[&str]) -> Option<String> {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for value in said {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        caller(peer.parse().unwrap(), &headers, &trusted).map(|address| address.to_string())
    }

    #[test]
    fn only_a_trusted_proxy_says_who_calls() {
        assert_eq!(from("192.0.2.1", &["198.51.100.9"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(from("10.0.0.1", &["198.51.100.9"]).as_deref(), Some("198.51.100.9"));
        assert_eq!(
            from("10.0.0.1", &["203.0.113.5, 198.51.100.9, 10.1.1.1"]).as_deref(),
            Some("198.51.100.9")
        );
        assert_eq!(from("10.0.0.1", &["203.0.113.5", "198.51.100.9"]).as_deref(), Some("198.51.100.9"));
        assert_eq!(from("::ffff:10.0.0.1", &["198.51.100.9"]).as_deref(), Some("198.51.100.9"));
        assert_eq!(from("10.0.0.1", &[]).as_deref(), Some("10.0.0.1"));
        assert_eq!(from("10.0.0.1", &["nonsense"]), None);
    }
}
