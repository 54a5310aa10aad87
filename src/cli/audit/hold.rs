//! `portctl audit hold`

use clap::{Args, Subcommand};

use crate::{
    audit::retention::Hold,
    base::{Problem, Result},
    cli::{Context, DONE, Table},
};

/// Let nothing be forgotten, of one person or of all, until the hold is released.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Command {
    #[command(subcommand)]
    act: Option<Act>,
    /// Her id or e-mail address, or `all`.
    person: Option<String>,
    /// Why; stands in the log.
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// List holds that stand.
    List,
    /// End one.
    Release {
        /// Its id: `hld_…`.
        hold: String,
        /// Why; stands in the log.
        #[arg(long)]
        reason: String,
    },
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client()?;
        match self.act {
            Some(Act::List) => context.output.show(&client.audit_holds().await?, |holds| table(holds))?,
            Some(Act::Release { hold, reason }) => client.audit_release(&hold, &reason).await?,
            None => {
                let wanted = |what: Option<String>, remedy: &str| {
                    what.ok_or_else(|| {
                        Problem::invalid("whom it covers and why are wanted").remedy(remedy.to_owned())
                    })
                };
                let person = wanted(self.person, "Name a person, or `all`.")?;
                let reason = wanted(self.reason, "Add `--reason \"…\"`.")?;
                let held = client.audit_hold(&person, &reason).await?;
                context.output.tell(&held, |held| format!("{} stands\n", held.hold))?;
            }
        }
        Ok(DONE)
    }
}

fn table(holds: &[Hold]) -> Table {
    Table::new(&["HOLD", "COVERS", "SINCE", "BY"]).with(holds.iter().map(|it| {
        let covers = it.person.clone().unwrap_or_else(|| "all".to_owned());
        vec![it.id.clone(), covers, it.made_at.to_string(), it.made_by.clone()]
    }))
}
