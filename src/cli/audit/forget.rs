//! `portctl audit forget`

use clap::Args;

use crate::{
    base::Result,
    cli::{
        Context, DONE,
        ask::confirm,
        output::{note, progress},
        printable,
    },
};

/// Destroy what the log says of a person who left. Her entries stay, under one pseudonym, and the log
/// verifies as before; nobody can undo it.
#[derive(Debug, Args)]
pub struct Command {
    /// Her id or e-mail address.
    person: String,
    /// Why; stands in the log, so it had better not name her.
    #[arg(long)]
    reason: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client()?;
        let who = printable(&self.person);
        // By id: her address goes on the way.
        let id = client.person(&self.person).await?.id;
        confirm(&format!("Forget {who} ({id}) for good?"), self.yes)?;
        let bar = progress(format!("forgetting {who}"));
        let (mut from, mut entries, mut openings) = (0, 0, 0);
        let forgotten = loop {
            let mut walked = client.audit_forget(&id, &self.reason, from).await?;
            (entries, openings) = (entries + walked.entries, openings + walked.openings);
            let Some(next) = walked.next else {
                (walked.entries, walked.openings) = (entries, openings);
                break walked;
            };
            from = next;
        };
        bar.finish_and_clear();
        context.output.tell(&forgotten, |it| {
            format!("{openings} openings of {entries} entries are gone; they say {} now\n", it.pseudonym)
        })?;
        note("what is younger than the log's retention age, or was said without her id or address, is left");
        Ok(DONE)
    }
}
