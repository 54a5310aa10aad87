//! `portctl leaver`

mod held;
mod preview;

use std::fmt::Write as _;

use clap::Subcommand;

use super::{Context, DONE, Table, output::note, printable, rotation::tasks_table};
use crate::{
    base::Result,
    client::{HeldAct, Leaver, LeaverLine, Left},
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
    /// Close one by hand, of whom something is left that cannot go by itself.
    Close {
        /// Her id or e-mail address.
        person: String,
        /// Why; stands in the log.
        #[arg(long)]
        reason: String,
    },
    /// Say what would end if somebody left now, and end nothing.
    Preview {
        /// Her id or e-mail address.
        person: String,
    },
    /// List who is suspended because a connection removed too many at once.
    Held,
    /// Let held removals through: everything is taken from these people.
    Release(held::Decide),
    /// Undo held removals: these people have not left.
    Reject(held::Decide),
    /// Announce that people are going to be removed, so that so many are not held.
    Expect(held::Expect),
    /// Take such an announcement back; what has passed by then stays so.
    Unexpect {
        /// Its id, `xpt_…`: `portctl leaver held` shows it.
        announcement: String,
        /// Why; stands in the log.
        #[arg(long)]
        reason: String,
    },
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client()?;
        match self {
            Self::List => context.output.show(&client.leavers().await?, |leavers| table(leavers))?,
            Self::Show { person } => context.output.tell(&client.leaver(&person).await?, text)?,
            Self::Close { person, reason } => {
                let closed = client.close_leaver(&person, &reason).await?;
                context.output.tell(&closed, |_| format!("{} is closed\n", printable(&person)))?;
            }
            Self::Preview { person } => return preview::run(context, &person).await,
            Self::Held => return held::list(context).await,
            Self::Release(it) => return it.run(context, HeldAct::Release).await,
            Self::Reject(it) => return it.run(context, HeldAct::Reject).await,
            Self::Expect(it) => return it.run(context).await,
            Self::Unexpect { announcement, reason } => {
                client.withdraw_expected(&announcement, &reason).await?;
                note(&format!("{} lets nobody else through", printable(&announcement)));
            }
        }
        Ok(DONE)
    }
}

fn counts(left: &Left) -> [String; 6] {
    let all = [left.sessions, left.requests, left.grants, left.leases, left.rotation_tasks, left.waived];
    all.map(|n| n.to_string())
}

fn table(leavers: &[LeaverLine]) -> Table {
    let headings = [
        "PERSON",
        "NAME",
        "SINCE",
        "SESSIONS",
        "REQUESTS",
        "GRANTS",
        "LEASES",
        "TO ROTATE",
        "WAIVED",
        "CLOSED",
    ];
    Table::new(&headings).with(leavers.iter().map(|it| {
        let mut row = vec![it.person.id.clone(), it.person.display_name.clone(), it.since.clone()];
        row.extend(counts(&it.left));
        row.push(closed(it));
        row
    }))
}

/// When and how she was closed.
fn closed(line: &LeaverLine) -> String {
    match (&line.closed_at, line.outcome.as_deref()) {
        (Some(at), Some("came-back")) => format!("{at} came back"),
        (Some(at), _) if line.came_back => format!("{at}, then came back"),
        (None, _) if line.came_back => "came back".to_owned(),
        (None, _) => "-".to_owned(),
        (Some(at), Some("by-hand")) => format!("{at} by hand"),
        (Some(at), _) => at.clone(),
    }
}

fn text(leaver: &Leaver) -> String {
    let line = &leaver.line;
    let [sessions, requests, grants, leases, tasks, waived] = counts(&line.left);
    let mut out = String::new();
    let name = printable(&line.person.display_name);
    let _ = writeln!(out, "{name} ({}), deactivated {}", printable(&line.person.id), printable(&line.since));
    let _ = writeln!(
        out,
        "left: {sessions} sessions, {requests} requests, {grants} grants, {leases} leases, {tasks} to rotate; \
         {waived} may wait"
    );
    if let Some(by) = line.closed_by.as_deref() {
        let why = printable(line.closed_because.as_deref().unwrap_or_default());
        let _ = writeln!(out, "closed by hand by {}: {why}", printable(by));
    }
    write_tables(&mut out, leaver);
    out
}

fn write_tables(out: &mut String, leaver: &Leaver) {
    if !leaver.delays.is_empty() {
        let rows = leaver.delays.iter().map(|it| {
            vec![
                it.step.clone(),
                it.thing.clone(),
                it.since.clone(),
                it.attempts.to_string(),
                it.last_error.clone(),
            ]
        });
        let headings = ["WAITS", "WHAT", "SINCE", "TRIED", "BECAUSE"];
        let _ = write!(out, "\n{}", Table::new(&headings).with(rows));
    }
    if !leaver.held.is_empty() {
        let rows = leaver
            .held
            .iter()
            .map(|it| vec![it.kind.as_str(), &it.what, &it.began_at, it.ended_at.as_deref().unwrap_or("-")]);
        let _ = write!(out, "\n{}", Table::new(&["HELD", "WHAT", "SINCE", "ENDED"]).with(rows));
    }
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
}
