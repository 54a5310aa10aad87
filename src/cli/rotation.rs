//! `portctl rotation`

use std::fmt::Write as _;

use clap::{Args, Subcommand, ValueEnum};

use super::{Context, DONE, Table, audit::end_of, output::note, printable};
use crate::{
    base::{Problem, ProblemKind, Result},
    client::{RotationPlace, RotationTask},
};

/// What is exited with where a task is not done: the current value is still one that should go.
const NOT_DONE: u8 = 1;

/// Values that should go: leavers know them, or they are too old.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List rotation tasks.
    List(List),
    /// Show one: its secrets, what stands in the way, how a new value is made.
    Show {
        /// The task.
        task: String,
    },
    /// Say that one is done; it is looked again at once, and said what still stands in the way.
    Done(Why),
    /// Ask that one may wait; somebody else has to confirm it.
    Waive(Waive),
    /// Agree that one may wait.
    Confirm {
        /// The task.
        task: String,
    },
    /// Take back that one may wait.
    Unwaive(Why),
}

/// Which tasks.
#[derive(Debug, Args)]
pub struct List {
    /// Of one state only.
    #[arg(long)]
    state: Option<State>,
    /// Those about secrets of your own teams.
    #[arg(long)]
    mine: bool,
}

/// How a task stands.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum State {
    /// To be done.
    Open,
    /// Done.
    Closed,
}

/// Which task, and why.
#[derive(Debug, Args)]
pub struct Why {
    /// The task.
    task: String,
    /// Why; stands in the log.
    #[arg(long)]
    reason: String,
}

/// Which task, why, and until when.
#[derive(Debug, Args)]
pub struct Waive {
    #[command(flatten)]
    why: Why,
    /// Until when; a day alone means its end.
    #[arg(long, value_name = "DATE")]
    until: String,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client()?;
        let task = match self {
            Self::List(it) => {
                let tasks = client.rotation(it.state.map(State::as_str), it.mine).await;
                let tasks = tasks.map_err(|problem| if it.mine { problem } else { or_mine(problem) })?;
                context.output.show(&tasks, |tasks| tasks_table(tasks))?;
                return Ok(DONE);
            }
            Self::Show { task } => client.rotation_task(&task).await?,
            Self::Done(it) => return it.done(context).await,
            Self::Waive(it) => {
                let until = end_of(&it.until)?.to_string();
                let task = client.waive_rotation(&it.why.task, &it.why.reason, &until).await?;
                note(&format!(
                    "somebody else has to agree: portctl rotation confirm {}",
                    printable(&task.id)
                ));
                task
            }
            Self::Confirm { task } => {
                let found = client.rotation_task(&task).await?;
                let waiver = found.waiver.ok_or_else(|| {
                    Problem::conflict(format!("nobody has asked that {task} may wait"))
                        .remedy("`portctl rotation waive` does.")
                })?;
                client.confirm_waiver(&task, &waiver.id).await?
            }
            Self::Unwaive(it) => client.unwaive_rotation(&it.task, &it.reason).await?,
        };
        context.output.tell(&task, text)?;
        Ok(DONE)
    }
}

/// Whoever may not see all tasks may see some.
fn or_mine(problem: Problem) -> Problem {
    if !problem.is(ProblemKind::Denied) {
        return problem;
    }
    let hers = "Those about secrets of your own teams: `portctl rotation list --mine`.";
    let remedy = problem.remedy.as_ref().map_or_else(|| hers.to_owned(), |it| format!("{hers}\n{it}"));
    problem.remedy(remedy)
}

impl Why {
    async fn done(self, context: &Context) -> Result<u8> {
        let task = context.client()?.rotation_done(&self.task, &self.reason).await?;
        context.output.tell(&task, text)?;
        let waits = |place: &RotationPlace| place.waits_for.iter().any(|it| it.contains("the current value"));
        Ok(if task.places.iter().any(waits) { NOT_DONE } else { DONE })
    }
}

/// Rotation tasks as a table.
pub(super) fn tasks_table(tasks: &[RotationTask]) -> Table {
    Table::new(&["TASK", "SECRET", "STATE", "STANDING", "DUE", "OPENED", "CLOSED"]).with(tasks.iter().map(
        |it| {
            let more = it.places.len().saturating_sub(1);
            let secret = if more == 0 { it.secret.clone() } else { format!("{} and {more} more", it.secret) };
            let closed = it.closed_at.clone().unwrap_or_else(|| "-".to_owned());
            vec![
                it.id.clone(),
                secret,
                it.state.clone(),
                it.standing.clone(),
                it.due_at.clone(),
                it.opened_at.clone(),
                closed,
            ]
        },
    ))
}

fn text(task: &RotationTask) -> String {
    let mut out = String::new();
    let [id, state, standing] = [&task.id, &task.state, &task.standing].map(|it| printable(it));
    let causes = task.causes.join(", ");
    let _ = writeln!(out, "{id}: {state}, {standing}, because of: {}", printable(&causes));
    let _ = writeln!(out, "opened {}, due {}", printable(&task.opened_at), printable(&task.due_at));
    for person in &task.people {
        let _ = writeln!(out, "known to {}", printable(person));
    }
    for place in &task.places {
        place_text(&mut out, place);
    }
    if let Some(waiver) = &task.waiver {
        let [until, by, reason] = [&waiver.until, &waiver.asked_by, &waiver.reason].map(|it| printable(it));
        let agreed = waiver.confirmed_by.as_ref().map_or_else(
            || "not confirmed yet".to_owned(),
            |person| format!("confirmed by {}", printable(person)),
        );
        let _ = writeln!(out, "may wait until {until}: asked by {by}, {agreed}\n  {reason}");
    }
    out
}

fn place_text(out: &mut String, place: &RotationPlace) {
    let team = place.team.as_ref().map_or_else(String::new, |team| format!(" (team {})", printable(team)));
    let _ = writeln!(out, "\n{}{team}", printable(&place.secret));
    for wait in &place.waits_for {
        let _ = writeln!(out, "  waits: {}", printable(wait));
    }
    if let Some(by) = &place.by {
        let _ = writeln!(out, "  new values: {}", printable(by));
    }
    for line in place.instructions.iter().flat_map(|it| it.lines()) {
        let _ = writeln!(out, "    {}", printable(line));
    }
    if let Some(failed) = &place.failed {
        let _ = writeln!(out, "  its rotator fails: {}", printable(failed));
    }
}
