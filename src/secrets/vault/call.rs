//! One request to Vault, as vaultrs spells it, and what came back.

use http::Method;
use rustify::Endpoint;
use serde::Deserialize;
use zeroize::Zeroizing;

/// A request below `/v1/`.
///
/// What to send is vaultrs's; how it is sent is ours ([`super::transport`]), because its client reads
/// answers of any length, follows redirects with the token, and repeats answers in its errors.
pub(super) struct Call {
    pub(super) method: Method,
    /// Without a slash at the front; not yet percent-encoded.
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) body: Option<Zeroizing<Vec<u8>>>,
    /// Whether it is sent to the namespace; Vault's health has none.
    pub(super) in_namespace: bool,
}

impl Call {
    /// A call with a JSON body of our own making.
    pub(super) fn new(method: Method, path: impl Into<String>, body: Zeroizing<Vec<u8>>) -> Self {
        Self { method, path: path.into(), query: None, body: Some(body), in_namespace: true }
    }

    /// The call of one of vaultrs's endpoints.
    pub(super) fn of<E: Endpoint>(endpoint: &E) -> Option<Self> {
        Some(Self {
            method: endpoint.method().into(),
            // Some of its paths begin with a tab or a slash.
            path: endpoint.path().trim().trim_start_matches('/').to_owned(),
            query: endpoint.query().ok()?,
            body: endpoint.body().ok()?.map(Zeroizing::new),
            in_namespace: true,
        })
    }
}

/// A whole answer, its body bounded. Wiped when dropped.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// What every answer of Vault with content is wrapped in.
#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<String>,
}

impl Answer {
    /// The whole body. Nothing where it is something else; why is not said, because a parser's words
    /// may repeat what it read.
    pub(super) fn json<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// What is under `data`.
    pub(super) fn data<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        self.json::<Envelope<T>>().map(|envelope| envelope.data)
    }

    /// Whether it did what was asked.
    pub(super) fn is_success(&self) -> bool {
        (200..=204).contains(&self.status)
    }

    /// Whether nothing is there, in Vault's own words: not a web server's page, not a missing mount.
    pub(super) fn is_absence(&self) -> bool {
        let silent = self.json::<Errors>().is_some_and(|it| it.errors.is_empty());
        self.status == 404 && (silent || self.data::<serde::de::IgnoredAny>().is_some())
    }

    /// Whether one of the errors in it has these words, whatever their case.
    pub(super) fn complains_of(&self, words: &str) -> bool {
        let errors = self.json::<Errors>().map(|it| it.errors).unwrap_or_default();
        errors.iter().any(|error| error.to_lowercase().contains(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: Zeroizing::new(body.as_bytes().to_vec()) }
    }

    #[test]
    fn nothing_there_is_told_from_a_missing_mount_and_from_another_server() {
        assert!(answer(404, r#"{"errors":[]}"#).is_absence());
        assert!(answer(404, r#"{"data":{"data":null,"metadata":{"version":2}}}"#).is_absence());
        assert!(!answer(404, r#"{"errors":["no handler for route \"kv/data/a\""]}"#).is_absence());
        assert!(!answer(404, "<html>Not found</html>").is_absence());
        assert!(!answer(200, r#"{"errors":[]}"#).is_absence());
    }

    #[test]
    fn a_path_of_vaultrs_is_cleaned() {
        let renew = vaultrs::api::token::requests::RenewTokenSelfRequest { increment: None };
        assert_eq!(Call::of(&renew).unwrap().path, "auth/token/renew-self");
    }
}
