//! One address that messages go to, and the signature that it checks.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{digest, hmac};
use url::{Host, Url};

use crate::base::{Problem, ProblemKind, Result, SecretValue, Timestamp, hex};

/// Shortest and longest signing secret in bytes, as Standard Webhooks wants it.
const SECRET_LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// An address and its signing secret. Prints as its host alone: the rest may hold a token.
#[derive(Clone)]
pub struct Webhook {
    url: Url,
    key: hmac::Key,
    channel: String,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({})", self.host())
    }
}

impl Webhook {
    /// `secret` is `whsec_` and 24 to 64 bytes in base64.
    ///
    /// # Errors
    /// `invalid-configuration` for an address that is neither https nor loopback, or another secret.
    pub fn new(url: Url, secret: &SecretValue) -> Result<Self> {
        check_address(&url)?;
        let key = secret
            .expose_text()
            .and_then(|text| text.trim().strip_prefix("whsec_"))
            .and_then(|text| STANDARD.decode(text).ok())
            .filter(|bytes| SECRET_LENGTHS.contains(&bytes.len()))
            .map(|bytes| hmac::Key::new(hmac::HMAC_SHA256, &zeroize::Zeroizing::new(bytes)))
            .ok_or_else(|| refused(&url, "its secret is not 'whsec_' and 24 to 64 bytes in base64"))?;
        let digest = digest::digest(&digest::SHA256, url.as_str().as_bytes());
        Ok(Self { url, key, channel: hex::encode(&digest.as_ref()[..16]) })
    }

    /// What its rows in the outbox are found by.
    pub(super) fn channel(&self) -> &str {
        &self.channel
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Whom it is for, as logs and errors name it.
    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or("?")
    }

    /// The `webhook-signature` of a message that is sent at `at`.
    pub(super) fn signature(&self, id: &str, at: Timestamp, body: &str) -> String {
        let signed = format!("{id}.{}.{body}", at.as_seconds());
        format!("v1,{}", STANDARD.encode(hmac::sign(&self.key, signed.as_bytes())))
    }
}

fn check_address(url: &Url) -> Result<()> {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        _ => Err(refused(url, "it is neither https nor on this machine")),
    }
}

fn refused(url: &Url, why: &str) -> Problem {
    let host = url.host_str().unwrap_or("an address without a host").to_owned();
    Problem::new(ProblemKind::InvalidConfiguration, format!("the webhook to {host} cannot be used: {why}"))
        .remedy("Correct its [[webhooks]] table in the server's configuration.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> SecretValue {
        SecretValue::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned())
    }

    #[test]
    fn a_signature_is_the_one_of_the_standard_s_example() {
        let webhook = Webhook::new("https://example.com/hook".parse().unwrap(), &secret()).unwrap();
        let at = Timestamp::from_millis(1_614_265_330_000);
        let signature = webhook.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", at, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn addresses_and_secrets_that_would_tell_are_refused_without_being_told() {
        for url in
            ["http://example.com/token-abc", "ftp://127.0.0.1/token-abc", "http://127.0.0.1.example.com/"]
        {
            let problem = Webhook::new(url.parse().unwrap(), &secret()).unwrap_err();
            assert!(problem.is(ProblemKind::InvalidConfiguration));
            assert!(!problem.to_string().contains("token-abc"));
        }
        for bad in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            let problem =
                Webhook::new("https://example.com/".parse().unwrap(), &SecretValue::from(bad.to_owned()));
            assert!(problem.is_err(), "{bad}");
        }
        let webhook = Webhook::new("http://[::1]:1/token-abc".parse().unwrap(), &secret()).unwrap();
        assert_eq!(format!("{webhook:?}"), "Webhook([::1])");
    }
}
