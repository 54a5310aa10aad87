//! `portctl login`

use std::time::Duration;

use clap::Args;

use super::{Context, DONE, ask, browser::Handshake, output::note, printable};
use crate::{
    base::{Problem, ProblemKind, Result, SecretValue},
    client::{Client, NewLogin},
};

/// Sign in through the browser.
#[derive(Debug, Args)]
pub struct Command {
    /// Only print the address; open nothing.
    #[arg(long)]
    no_browser: bool,
    /// Show a code that is typed in a browser elsewhere, where the server allows that.
    #[arg(long, conflicts_with_all = ["no_browser", "recovery"])]
    device: bool,
    /// Sign in with the token that `port-control recover-access` printed, from standard input or asked
    /// for.
    #[arg(long, conflicts_with = "no_browser")]
    recovery: bool,
    /// Whom to recover, where the token is not for one person.
    #[arg(long, requires = "recovery", value_name = "PERSON")]
    person: Option<String>,
}

/// A token, and when its session ends at the latest.
type SignedIn = (SecretValue, Option<String>);

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let client = context.anonymous()?;
        let (token, expires_at) = if self.recovery {
            let it = client.recover(&ask::value("Recovery token: ")?, self.person.as_deref()).await?;
            (it.token, it.expires_at)
        } else if self.device {
            by_device(&client).await?
        } else {
            self.by_browser(&client).await?
        };
        context.credentials()?.keep(client.server(), &token)?;
        let server = client.server().as_text();
        let answer = serde_json::json!({ "server": server, "expires_at": expires_at });
        context.output.tell(&answer, |_| format!("signed in to {server}\n"))?;
        Ok(DONE)
    }

    async fn by_browser(&self, client: &Client) -> Result<SignedIn> {
        let handshake = Handshake::open(client).await?;
        let login = client
            .begin_login(&NewLogin {
                challenge: handshake.challenge(),
                port: handshake.port(),
                state: handshake.state(),
                machine: machine(),
            })
            .await?;
        let (code, verifier) = handshake.code(&login.url, "Sign in on this page", !self.no_browser).await?;
        let it = client.finish_login(&login.login, &code, &verifier).await?;
        Ok((it.token, it.expires_at))
    }
}

/// Shows a code and asks, as often as the server says, whether it was typed.
async fn by_device(client: &Client) -> Result<SignedIn> {
    let device = client.begin_device(&machine()).await?;
    note(&format!(
        "Open {} in a browser and type {}",
        printable(&device.verification_uri),
        printable(&device.user_code)
    ));
    let mut wait = Duration::from_secs(device.interval);
    loop {
        tokio::time::sleep(wait).await;
        match client.ask_device(&device).await {
            Ok(it) => return Ok((it.access_token, it.expires_at)),
            Err(problem) => wait = until_asked_again(problem, wait)?,
        }
    }
}

/// How long to wait where the answer is "not yet"; any other ends it.
fn until_asked_again(problem: Problem, wait: Duration) -> Result<Duration> {
    let said = problem.more.get("error").and_then(serde_json::Value::as_str);
    match said.filter(|_| problem.is(ProblemKind::DeviceGrant)) {
        Some("authorization_pending") => Ok(wait),
        // RFC 8628, section 3.5.
        Some("slow_down") => Ok(wait + Duration::from_secs(5)),
        _ => Err(problem),
    }
}

/// What the page shows of this machine.
fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    let name: String = name.trim().chars().filter(char::is_ascii_graphic).take(64).collect();
    if name.is_empty() { "a machine without a name".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_not_yet_is_asked_again() {
        let wait = Duration::from_secs(5);
        let said = |error: &str| Problem::new(ProblemKind::DeviceGrant, "x").with("error", error);
        assert_eq!(until_asked_again(said("authorization_pending"), wait).unwrap(), wait);
        assert_eq!(until_asked_again(said("slow_down"), wait).unwrap(), wait * 2);
        for end in ["access_denied", "expired_token", "invalid_grant"] {
            assert!(until_asked_again(said(end), wait).is_err(), "{end}");
        }
        let other = Problem::new(ProblemKind::ServerUnavailable, "x").with("error", "authorization_pending");
        assert!(until_asked_again(other, wait).is_err());
    }
}
