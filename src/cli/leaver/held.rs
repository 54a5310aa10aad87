//! `portctl leaver held`, `release`, `reject`, `expect`

use clap::Args;

use crate::{
    base::{Problem, Result},
    cli::{Context, DONE, Table, audit::end_of, output::note, printable},
    client::{Announced, ExpectedRemovals, HeldAct, HeldRemoval},
};

/// Whom a decision is about, and why.
#[derive(Debug, Args)]
pub struct Decide {
    /// Her id or e-mail address.
    person: Option<String>,
    /// Everybody who is held.
    #[arg(long, conflicts_with = "person")]
    all: bool,
    /// Why; stands in the log.
    #[arg(long)]
    reason: String,
}

impl Decide {
    pub(super) async fn run(self, context: &Context, act: HeldAct) -> Result<u8> {
        if self.person.is_none() && !self.all {
            return Err(Problem::invalid("whom it is about is wanted").remedy("Name her, or say `--all`."));
        }
        let client = context.client()?;
        let decided = client.decide_removals(act, self.person.as_deref(), &self.reason).await?;
        let became = match act {
            HeldAct::Release => "deactivated",
            HeldAct::Reject => "as they were before",
        };
        context.output.tell(&decided, |it| format!("{} people are {became}\n", it.decided))?;
        if !decided.outside.is_empty() {
            note(&format!(
                "Their connection has deleted these, so they are in none of its groups until the identity provider \
                 assigns them again: {}",
                decided.outside.iter().map(|it| printable(it)).collect::<Vec<_>>().join(", ")
            ));
        }
        Ok(DONE)
    }
}

/// How many are announced, until when, and why.
#[derive(Debug, Args)]
pub struct Expect {
    /// How many people.
    number: u32,
    /// Until when it counts: 2026-01-31T12:00:00Z; a day alone means its end.
    #[arg(long, value_name = "TIME")]
    until: String,
    /// By which connection only.
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
    /// Why; stands in the log.
    #[arg(long)]
    reason: String,
}

impl Expect {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let until = end_of(&self.until)?;
        let client = context.client()?;
        let connection = self.connection.as_deref();
        let answer = client.expect_removals(self.number, until, connection, &self.reason).await?;
        let told =
            |it: &Announced| format!("{} removals pass until {until}: {}\n", self.number, printable(&it.id));
        context.output.tell(&answer, told)?;
        Ok(DONE)
    }
}

/// Lists who is held; what is announced goes to standard error.
pub(super) async fn list(context: &Context) -> Result<u8> {
    let client = context.client()?;
    let held = client.held_removals().await?;
    context.output.show(&held, |held| table(held))?;
    for it in client.expected_removals().await? {
        note(&announced(&it));
    }
    if !held.is_empty() {
        note("They are suspended. Who has left: portctl leaver release; who has not: portctl leaver reject.");
    }
    Ok(DONE)
}

fn announced(it: &ExpectedRemovals) -> String {
    let by = it.connection.as_deref().unwrap_or("any connection");
    format!(
        "Announced as {}: {} removals by {by} until {}, {} of them used. Take it back: portctl leaver unexpect.",
        printable(&it.id),
        it.number,
        it.until,
        it.used
    )
}

fn table(held: &[HeldRemoval]) -> Table {
    Table::new(&["PERSON", "NAME", "E-MAIL", "CONNECTION", "SINCE", "BATCH"]).with(held.iter().map(|it| {
        vec![it.person.as_str(), &it.display_name, &it.email, &it.connection, &it.held_at, &it.batch]
    }))
}
