//! `portctl leaver`

use std::fmt::Write as _;

use clap::Subcommand;

use super::{Context, DONE, Table, printable, rotation::tasks_table};
use crate::{
    base::Result,
    client::{Leaver, LeaverLine, Left},
};

/// Who left, and what is still to be taken back.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List leavers.
    List,
    /// Show one, with every step and all that is left.
    Show {
        /// Her id or e-mail address.
        person: String,
    },
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client()?;
        match self {
            Self::List => context.output.show(&client.leavers().await?, |leavers| table(leavers))?,
            Self::Show { person } => context.output.tell(&client.leaver(&person).await?, text)?,
        }
        Ok(DONE)
    }
}

fn counts(left: &Left) -> [String; 5] {
    [left.sessions, left.requests, left.grants, left.leases, left.rotation_tasks].map(|n| n.to_string())
}

fn table(leavers: &[LeaverLine]) -> Table {
    let headings = ["PERSON", "NAME", "SINCE", "SESSIONS", "REQUESTS", "GRANTS", "LEASES", "TO ROTATE"];
    Table::new(&headings).with(leavers.iter().map(|it| {
        let mut row = vec![it.person.id.clone(), it.person.display_name.clone(), it.since.clone()];
        row.extend(counts(&it.left));
        row
    }))
}

fn text(leaver: &Leaver) -> String {
    let line = &leaver.line;
    let [sessions, requests, grants, leases, tasks] = counts(&line.left);
    let mut out = String::new();
    let name = printable(&line.person.display_name);
    let _ = writeln!(out, "{name} ({}), deactivated {}", printable(&line.person.id), printable(&line.since));
    let _ = writeln!(
        out,
        "left: {sessions} sessions, {requests} requests, {grants} grants, {leases} leases, {tasks} to rotate"
    );
    let steps = leaver.steps.iter().map(|it| {
        vec![
            it.at.as_str(),
            &it.action,
            it.actor.as_deref().unwrap_or("-"),
            it.resource.as_deref().unwrap_or("-"),
        ]
    });
    let _ = write!(out, "\n{}", Table::new(&["AT", "STEP", "BY", "WHAT"]).with(steps));
    if !leaver.tasks.is_empty() {
        let _ = write!(out, "\n{}", tasks_table(&leaver.tasks));
    }
    out
}
