//! What lies inside: addresses that a provider out on the Internet has no business to lead us to (abuse case
//! 20). A provider is where its operator says, inside or out; what its discovery document names may be where
//! the provider itself is, and never further inside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// How far inside an address lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    /// The Internet.
    Outside,
    /// A private network.
    Inside,
    /// This machine, its link, or nothing that could be called.
    Here,
}

/// How far inside an address lies.
pub(super) fn depth(address: IpAddr) -> Depth {
    match address.to_canonical() {
        IpAddr::V4(v4) => depth_v4(v4),
        IpAddr::V6(v6) => depth_v6(v6),
    }
}

fn depth_v4(v4: Ipv4Addr) -> Depth {
    let [a, b, ..] = v4.octets();
    // Shared address space (RFC 6598) and benchmarking networks (RFC 2544) lead to nobody else's machine.
    let is_shared = a == 100 && (64..128).contains(&b) || a == 198 && (b == 18 || b == 19);
    if v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || a == 0 || a >= 240 {
        Depth::Here
    } else if v4.is_private() || is_shared {
        Depth::Inside
    } else {
        Depth::Outside
    }
}

fn depth_v6(v6: Ipv6Addr) -> Depth {
    let parts = v6.segments();
    let v4 = |high: u16, low: u16| depth_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    // NAT64 (RFC 6052) and 6to4 (RFC 3056) hold an IPv4 address that is what is called in the end.
    if parts[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        v4(parts[6], parts[7])
    } else if parts[0] == 0x2002 {
        v4(parts[1], parts[2])
    } else if v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || parts[0] & 0xffc0 == 0xfe80 {
        Depth::Here
    } else if parts[0] & 0xfe00 == 0xfc00 {
        Depth::Inside
    } else {
        Depth::Outside
    }
}

/// The address that stands in a URL by itself, where it is no name.
pub(super) fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(v4) => Some(v4.into()),
        Host::Ipv6(v6) => Some(v6.into()),
        Host::Domain(_) => None,
    }
}

/// Resolves names as the machine does, but leaves out addresses that lie further inside than the provider.
pub(super) struct Guarded {
    /// The provider's own host, which may be anywhere.
    pub(super) own: String,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let own = self.own.clone();
        Box::pin(async move {
            let found = lookup(name.as_str()).await?;
            if name.as_str().eq_ignore_ascii_case(&own) {
                return Ok(Box::new(found.into_iter()) as Addrs);
            }
            let limit = match own.parse::<IpAddr>() {
                Ok(address) => depth(address),
                Err(_) => lookup(&own).await?.iter().map(|it| depth(it.ip())).max().unwrap_or(Depth::Outside),
            };
            let allowed: Vec<SocketAddr> =
                found.into_iter().filter(|it| depth(it.ip()) <= limit.min(Depth::Inside)).collect();
            if allowed.is_empty() {
                return Err("the name leads into a network that the provider has no business with".into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

async fn lookup(name: &str) -> std::io::Result<Vec<SocketAddr>> {
    // The port is the caller's to choose.
    Ok(tokio::net::lookup_host((name, 0)).await?.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_20_what_lies_inside_is_known() {
        for (address, expected) in [
            ("192.0.2.1", Depth::Outside),
            ("2606:4700::1111", Depth::Outside),
            ("10.1.2.3", Depth::Inside),
            ("172.16.0.1", Depth::Inside),
            ("192.168.1.1", Depth::Inside),
            ("100.64.0.1", Depth::Inside),
            ("fd00::1", Depth::Inside),
            ("127.0.0.1", Depth::Here),
            ("169.254.169.254", Depth::Here),
            ("0.0.0.0", Depth::Here),
            ("255.255.255.255", Depth::Here),
            ("::1", Depth::Here),
            ("fe80::1", Depth::Here),
            ("::ffff:169.254.169.254", Depth::Here),
            ("::ffff:10.0.0.1", Depth::Inside),
            ("64:ff9b::a00:1", Depth::Inside),
            ("2002:7f00:1::", Depth::Here),
        ] {
            assert_eq!(depth(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[tokio::test]
    async fn abuse_20_a_name_that_leads_inside_is_not_called() {
        let guarded = Guarded { own: "192.0.2.1".to_owned() };
        let inside = guarded.resolve("localhost".parse().unwrap()).await;
        assert!(inside.is_err(), "a provider outside leads to this machine");
        let guarded = Guarded { own: "localhost".to_owned() };
        let own = guarded.resolve("localhost".parse().unwrap()).await;
        assert!(own.is_ok_and(|mut it| it.next().is_some()), "its own host is where it is");
    }
}
