//! `portctl apply`

use std::path::PathBuf;

use clap::Args;

use super::{
    Context, DONE, ask, files,
    output::note,
    plan::{self, KeptPlan},
};
use crate::{
    base::{Problem, Result},
    client::{Applied, Apply, Client},
};

/// Do what declaring files say.
#[derive(Debug, Args)]
pub struct Command {
    /// A plan that `portctl plan --out FILE` kept; refused where the world moved since.
    #[arg(value_name = "PLAN", required_unless_present = "files", conflicts_with = "files")]
    plan: Option<PathBuf>,
    /// The folder with the files, or one file.
    #[arg(short = 'f', long = "file", value_name = "DIR")]
    files: Option<PathBuf>,
    /// Remove what this source no longer declares.
    #[arg(long)]
    allow_delete: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client()?;
        let kept = self.planned(&client).await?;
        if kept.plan.changes.is_empty() {
            let nothing = Applied { version: kept.plan.base_version, changes: Vec::new() };
            context.output.tell(&nothing, |_| plan::text(&kept.plan))?;
            return Ok(DONE);
        }
        note(plan::text(&kept.plan).trim_end());
        if kept.plan.needs_allow_delete && !self.allow_delete {
            return Err(Problem::conflict("nothing was done: this would remove what is no longer declared")
                .remedy("Where that is meant, say --allow-delete."));
        }
        ask::confirm("Apply this?", self.yes)?;
        let applied = client
            .apply(&Apply {
                set: &kept.set,
                allow_delete: self.allow_delete,
                expect_version: Some(kept.plan.base_version),
                // What is done is what was shown.
                expect_digest: Some(&kept.plan.digest),
            })
            .await?;
        context.output.tell(&applied, |it| {
            format!("applied: {} changes, version {}\n", it.changes.len(), it.version)
        })?;
        Ok(DONE)
    }

    async fn planned(&self, client: &Client) -> Result<KeptPlan> {
        match (&self.plan, &self.files) {
            (Some(path), _) => plan::read(path),
            (None, Some(folder)) => {
                let set = files::read(folder)?;
                Ok(KeptPlan { plan: client.plan(&set).await?, set })
            }
            (None, None) => Err(Problem::invalid("neither a plan nor a folder is named")),
        }
    }
}
