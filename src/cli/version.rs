//! `portctl version`

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::{Context, DONE, output::note, printable};
use crate::base::Result;

/// The version of this program.
const CLIENT: &str = env!("CARGO_PKG_VERSION");
/// A server that is down must not keep anyone waiting.
const PATIENCE: Duration = Duration::from_secs(1);

/// Say the versions of portctl and of the server.
#[derive(Debug, Args)]
pub struct Command {
    /// That of portctl alone.
    #[arg(long)]
    client: bool,
}

#[derive(Serialize)]
struct Versions {
    client: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
}

fn show(context: &Context, server: Option<String>) -> Result<u8> {
    context.output.tell(&Versions { client: CLIENT, server }, |it| {
        let server = it.server.as_ref().map(|version| format!("server {}\n", printable(version)));
        format!("portctl {}\n{}", it.client, server.unwrap_or_default())
    })?;
    Ok(DONE)
}

impl Command {
    /// Whether no server is asked.
    pub(super) fn is_local(&self) -> bool {
        self.client
    }

    pub(super) fn run_locally(context: &Context) -> Result<u8> {
        show(context, None)
    }

    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let answer = match context.hasty(PATIENCE) {
            Ok(client) => client.version().await,
            Err(problem) => Err(problem),
        };
        match answer {
            Ok(server) => {
                if server.version != CLIENT {
                    note(&format!(
                        "warning: portctl is {CLIENT} and the server is {}; use the same version where something behaves oddly",
                        printable(&server.version)
                    ));
                }
                show(context, Some(server.version))
            }
            Err(problem) => {
                note(&format!("warning: {}", printable(&problem.detail)));
                show(context, None)
            }
        }
    }
}
