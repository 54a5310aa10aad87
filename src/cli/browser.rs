//! Something that is done in the browser and comes back to this machine: by a loopback port, a state and
//! PKCE (RFC 8252).

use std::{
    process::{Command as Process, Stdio},
    time::Duration,
};

use data_encoding::BASE64URL_NOPAD;
use ring::digest::{SHA256, digest};
use url::Url;

use super::{
    loopback::Loopback,
    output::{note, progress},
    printable,
};
use crate::{
    base::{Problem, Result, SecretValue},
    client::Client,
};

/// How long the browser may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// What waits for the browser.
pub(super) struct Handshake {
    loopback: Loopback,
    state: SecretValue,
    /// Shown with the code, to prove that it is the same program that began.
    pub(super) verifier: SecretValue,
}

impl Handshake {
    /// Opens a port, and draws state and verifier.
    ///
    /// # Errors
    /// `internal` where no port is free.
    pub(super) async fn open(client: &Client) -> Result<Self> {
        let loopback = Loopback::open().await?;
        Ok(Self { loopback, state: client.unguessable(), verifier: client.unguessable() })
    }

    /// The PKCE challenge of the verifier.
    pub(super) fn challenge(&self) -> String {
        BASE64URL_NOPAD.encode(digest(&SHA256, self.verifier.expose()).as_ref())
    }

    /// The port that listens.
    pub(super) fn port(&self) -> u16 {
        self.loopback.port()
    }

    /// What comes back with the answer.
    pub(super) fn state(&self) -> String {
        self.state.expose_text().unwrap_or_default().to_owned()
    }

    /// Shows the page, and opens it where that is wanted; waits for the code. With it comes the verifier.
    ///
    /// # Errors
    /// `sign-in-refused` where the answer was no, or none came in time.
    pub(super) async fn code(
        self,
        page: &str,
        words: &str,
        opens: bool,
    ) -> Result<(SecretValue, SecretValue)> {
        let page = web_page(page)?;
        note(&format!("{words}: {}", printable(page.as_str())));
        if opens {
            show(&page);
        }
        let waiting = progress("waiting for the browser".to_owned());
        let code = self.loopback.code(&self.state, PATIENCE).await;
        waiting.finish_and_clear();
        Ok((code?, self.verifier))
    }
}

/// The page, where it is one that a browser may be handed.
fn web_page(text: &str) -> Result<Url> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
    url.ok_or_else(|| Problem::internal("the server named a page that is no web address"))
}

/// Opens the page in a browser, where there is one; the address stands on the terminal anyway.
fn show(page: &Url) {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let _ = Process::new(opener)
        .arg(page.as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_handed_web_addresses_only() {
        assert!(web_page("https://pc.example.com/logins/log_1").is_ok());
        for bad in ["file:///etc/passwd", "javascript:alert(1)", "--help", ""] {
            assert!(web_page(bad).is_err(), "{bad}");
        }
    }
}
