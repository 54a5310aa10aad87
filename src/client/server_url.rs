//! Where the server is.

use std::{fmt, str::FromStr};

use url::{Host, Url};

/// The address of a server: https, or http on this machine alone, so that no token crosses a network
/// in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl(Url);

impl ServerUrl {
    /// The address of an endpoint below `/api/v1`; each segment is escaped.
    #[must_use]
    pub fn endpoint(&self, segments: &[&str], query: &[(&str, &str)]) -> Url {
        self.address(&["api", "v1"], segments, query)
    }

    /// An address of the log, below `/audit`; each segment is escaped.
    #[must_use]
    pub fn audit(&self, segments: &[&str], query: &[(&str, &str)]) -> Url {
        self.address(&["audit"], segments, query)
    }

    /// The same without this end of its path, where it has it.
    #[must_use]
    pub fn without(&self, end: &str) -> Self {
        let mut url = self.0.clone();
        if let Some(path) = self.0.path().trim_end_matches('/').strip_suffix(end) {
            url.set_path(path);
        }
        Self(url)
    }

    fn address(&self, below: &[&str], segments: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(below).extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Whether it is on this machine and without TLS.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// Without the slash at the end: how credentials are kept and messages name it.
    #[must_use]
    pub fn as_text(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_text())
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The text is not repeated: it may hold a password.
        let url = Url::parse(text).map_err(|_| {
            "this is no address of a server; write for example https://port-control.example.com".to_owned()
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("an address of a server holds no user and no password".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("an address of a server ends before '?' and '#'".to_owned());
        }
        match url.scheme() {
            "https" if url.has_host() => Ok(Self(url)),
            "http" if is_loopback(&url) => Ok(Self(url)),
            "http" => Err(format!(
                "'{}' is not encrypted, and a token would cross the network in the clear; use https",
                url.as_str().escape_debug()
            )),
            _ => Err("an address of a server begins with https://".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_reached_by_https_or_on_this_machine() {
        for good in [
            "https://pc.example.com",
            "https://pc.example.com/base/",
            "http://127.0.0.1:7000",
            "http://[::1]:1",
            "http://localhost:7000",
        ] {
            assert!(good.parse::<ServerUrl>().is_ok(), "{good}");
        }
        for bad in [
            "http://pc.example.com",
            "http://127.0.0.1.example.com",
            "ftp://a",
            "pc.example.com",
            "https://u:p@a",
            "https://a?b",
            "http://localhost.example.com",
            "",
        ] {
            assert!(bad.parse::<ServerUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_not_repeated() {
        assert!(!"https://u:hunter2@a".parse::<ServerUrl>().unwrap_err().contains("hunter2"));
        assert!(!"://hunter2".parse::<ServerUrl>().unwrap_err().contains("hunter2"));
    }

    #[test]
    fn segments_are_escaped() {
        let server: ServerUrl = "https://a/base/".parse().unwrap();
        let url = server.endpoint(&["people", "a/../b@example.com"], &[("q", "x&y")]);
        assert_eq!(url.as_str(), "https://a/base/api/v1/people/a%2F..%2Fb@example.com?q=x%26y");
    }
}
