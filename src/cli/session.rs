//! `portctl session`

use clap::Subcommand;

use super::{Context, DONE, Table, printable};
use crate::{base::Result, client::Session};

/// Browsers and command lines that are signed in.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List your sessions, or those of a person.
    List {
        /// Her id.
        #[arg(long)]
        person: Option<String>,
    },
    /// End a session.
    Revoke {
        /// Its id, as `session list` shows it.
        id: String,
    },
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client()?;
        match self {
            Self::List { person } => {
                context
                    .output
                    .show(&client.sessions(person.as_deref()).await?, |sessions| table(sessions))?;
            }
            Self::Revoke { id } => {
                client.end_session(&id).await?;
                context.output.tell(&serde_json::json!({ "ended": id }), |_| {
                    format!("{} is ended\n", printable(&id))
                })?;
            }
        }
        Ok(DONE)
    }
}

fn table(sessions: &[Session]) -> Table {
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    Table::new(&["SESSION", "KIND", "WHERE", "SIGNED IN", "ENDS"]).with(sessions.iter().map(|it| {
        vec![it.id.clone(), it.kind.clone(), dash(&it.label), dash(&it.authenticated_at), dash(&it.ends_at)]
    }))
}
