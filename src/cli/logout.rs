//! `portctl logout`

use clap::Args;

use super::{Context, DONE, output::note};
use crate::{
    base::{ProblemKind, Result},
    client::Client,
};

/// End the session of this command line and forget its token.
#[derive(Debug, Args)]
pub struct Command {}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let server = context.server()?;
        let Some(token) = context.token(&server)? else {
            note(&format!("nobody is signed in to {server}"));
            return Ok(DONE);
        };
        let client = Client::new(server.clone(), Some(token), context.ambient.clone())?;
        let ended = end(&client).await;
        // Forgotten even where the server could not be told: whoever says logout wants that most.
        context.credentials()?.forget(&server)?;
        match ended {
            Err(problem) if !problem.is(ProblemKind::Unauthenticated) => Err(problem.with("forgotten", true)),
            _ => {
                note(&format!("signed out of {server}"));
                Ok(DONE)
            }
        }
    }
}

async fn end(client: &Client) -> Result<()> {
    let session = client.who_am_i().await?.session.id;
    client.end_session(&session).await
}
