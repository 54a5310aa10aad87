//! Confirming who one is where a command takes a stronger or a newer sign-in (RFC 9470). The command goes on
//! by itself afterwards.

use async_trait::async_trait;

use super::browser::Handshake;
use crate::{
    base::{Problem, ProblemKind, Result},
    client::{Client, Confirming, NewStepUp},
};

/// Sends whoever sits here to her browser.
pub(super) struct InBrowser;

#[async_trait]
impl Confirming for InBrowser {
    async fn confirm(&self, client: &Client, problem: &Problem) -> Result<()> {
        let handshake = Handshake::open(client).await?;
        let classes = problem.more.get("acr_values").and_then(serde_json::Value::as_str);
        let wish = NewStepUp {
            challenge: handshake.challenge(),
            port: handshake.port(),
            state: handshake.state(),
            acr_values: classes.unwrap_or_default().to_owned(),
            max_age: problem.more.get("max_age").and_then(serde_json::Value::as_u64),
        };
        let login = match client.begin_step_up(&wish).await {
            // This session cannot be raised: what was said first is what there is to say.
            Err(why) if why.is(ProblemKind::NotFound) => return Err(problem.clone()),
            outcome => outcome?,
        };
        let (code, verifier) = handshake.code(&login.url, "Confirm in your browser", true).await?;
        client.finish_step_up(&login.login, &code, &verifier).await
    }
}
