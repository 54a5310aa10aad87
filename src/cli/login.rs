//! `portctl login`

use std::{
    process::{Command as Process, Stdio},
    time::Duration,
};

use clap::Args;
use data_encoding::BASE64URL_NOPAD;
use ring::digest::{SHA256, digest};
use url::Url;

use super::{
    Context, DONE, ask,
    loopback::Loopback,
    output::{note, progress},
    printable,
};
use crate::{
    base::{Problem, Result},
    client::{Client, NewLogin, SignedIn},
};

/// How long the browser may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// Sign in through the browser.
#[derive(Debug, Args)]
pub struct Command {
    /// Only print the address; open nothing.
    #[arg(long)]
    no_browser: bool,
    /// Sign in with the token that `port-control recover-access` printed, from standard input or asked
    /// for.
    #[arg(long, conflicts_with = "no_browser")]
    recovery: bool,
    /// Whom to recover, where the token is not for one person.
    #[arg(long, requires = "recovery", value_name = "PERSON")]
    person: Option<String>,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let client = context.anonymous()?;
        let signed_in = if self.recovery {
            client.recover(&ask::value("Recovery token: ")?, self.person.as_deref()).await?
        } else {
            self.by_browser(&client).await?
        };
        context.credentials()?.keep(client.server(), &signed_in.token)?;
        let server = client.server().as_text();
        let answer = serde_json::json!({ "server": server, "expires_at": signed_in.expires_at });
        context.output.tell(&answer, |_| format!("signed in to {server}\n"))?;
        Ok(DONE)
    }

    async fn by_browser(&self, client: &Client) -> Result<SignedIn> {
        let (state, verifier) = (client.unguessable(), client.unguessable());
        let loopback = Loopback::open().await?;
        let login = client
            .begin_login(&NewLogin {
                challenge: BASE64URL_NOPAD.encode(digest(&SHA256, verifier.expose()).as_ref()),
                port: loopback.port(),
                state: state.expose_text().unwrap_or_default().to_owned(),
                machine: machine(),
            })
            .await?;
        let page = page(&login.url)?;
        note(&format!("Sign in on this page: {}", printable(page.as_str())));
        if !self.no_browser {
            open(&page);
        }
        let waiting = progress("waiting for the browser".to_owned());
        let code = loopback.code(&state, PATIENCE).await;
        waiting.finish_and_clear();
        client.finish_login(&login.login, &code?, &verifier).await
    }
}

/// The page, where it is one that a browser may be handed.
fn page(text: &str) -> Result<Url> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
    url.ok_or_else(|| Problem::internal("the server named a page that is no web address"))
}

/// What the page shows of this machine.
fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    let name: String = name.trim().chars().filter(char::is_ascii_graphic).take(64).collect();
    if name.is_empty() { "a machine without a name".to_owned() } else { name }
}

/// Opens the page in a browser, where there is one; the address stands on the terminal anyway.
fn open(page: &Url) {
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
        assert!(page("https://pc.example.com/logins/log_1").is_ok());
        for bad in ["file:///etc/passwd", "javascript:alert(1)", "--help", ""] {
            assert!(page(bad).is_err(), "{bad}");
        }
    }
}
