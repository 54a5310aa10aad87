//! `portctl request create`

use std::time::Duration;

use clap::Args;

use crate::{
    base::{Problem, ProblemKind, Result, time::parse_duration},
    cli::{
        Context, DONE, EnvironmentArgs,
        output::{note, progress},
        printable,
    },
    client::{Asked, Client, NewRequest, Request},
    policy::Action,
};

/// Shortest time between two streams: a server that ends them at once must not be flooded.
const BREATH: Duration = Duration::from_secs(1);

/// Ask for access, and wait for the answer.
#[derive(Debug, Args)]
pub struct Command {
    #[command(flatten)]
    at: EnvironmentArgs,
    /// What you want to do: reveal, set, run, …
    #[arg(long, value_parser = |text: &str| text.parse::<Action>())]
    action: Action,
    /// For how long, such as 1h.
    #[arg(long = "for", value_name = "SPAN")]
    length: String,
    /// Why; approvers and auditors read it.
    #[arg(long)]
    reason: String,
    /// The trust scope, where more than one would do.
    #[arg(long, value_name = "NAME")]
    scope: Option<String>,
    /// Do not wait for the answer.
    #[arg(long)]
    no_wait: bool,
}

impl Command {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<u8> {
        parse_duration(&self.length).map_err(Problem::invalid)?;
        let at = self.at.resolve(context).await?.to_string();
        let client = context.client()?;
        let mut asked = client
            .ask(&NewRequest {
                action: self.action.as_str(),
                at: &at,
                scope: self.scope.as_deref(),
                length: &self.length,
                reason: &self.reason,
            })
            .await?;
        if !asked.created {
            note(&printable(&there_already(&asked)));
        }
        if asked.grant.is_none() && asked.request.is_pending() {
            tell_approvers(&asked);
            if !self.no_wait {
                asked.request = wait(&client, &asked.request.id).await?;
                asked.grant = asked.request.grant.clone();
            }
        }
        context.output.tell(&asked, text)?;
        outcome(&asked.request, asked.grant.is_some())
    }
}

/// What was asked for before is the answer, and keeps the reason that it was asked for with.
fn there_already(asked: &Asked) -> String {
    let request = &asked.request;
    let before = format!("{} of {}, for the reason \"{}\"", request.id, request.created_at, request.reason);
    match &asked.grant {
        Some(grant) => format!(
            "You have it already, until {}, by {before}. Nothing new was asked for, and your reason is not recorded.",
            grant.ends_at
        ),
        None => format!(
            "You have asked for it already: {before}. That one waits; your reason is not recorded. To ask anew, take it \
             back: portctl request cancel {}",
            request.id
        ),
    }
}

fn tell_approvers(asked: &Asked) {
    let names: Vec<String> = asked.approvers.iter().map(|it| printable(&it.display_name)).collect();
    let names = if names.is_empty() { "nobody at the moment".to_owned() } else { names.join(", ") };
    note(&format!("asked for {} at {}", printable(&asked.request.scope), printable(&asked.request.at)));
    note(&format!("who can approve: {names}"));
    note(&format!("where: {}", printable(&asked.link)));
}

/// Waits until the request is decided or has expired; the server sees to that it does.
async fn wait(client: &Client, id: &str) -> Result<Request> {
    let waiting = progress(format!("waiting for a decision on {}", printable(id)));
    let decided = follow(client, id).await;
    waiting.finish_and_clear();
    decided
}

async fn follow(client: &Client, id: &str) -> Result<Request> {
    loop {
        let mut events = client.request_events(id).await?;
        while let Some(request) = events.next().await {
            if !request.is_pending() {
                return Ok(request);
            }
        }
        // The stream ended: perhaps the server was restarted.
        tokio::time::sleep(BREATH).await;
        let request = client.request_by_id(id).await?;
        if !request.is_pending() {
            return Ok(request);
        }
    }
}

fn text(asked: &Asked) -> String {
    let request = &asked.request;
    match &asked.grant {
        Some(grant) => {
            format!(
                "{}: {} at {} until {}\n",
                printable(&grant.id),
                printable(&grant.scope),
                printable(&grant.at),
                printable(&grant.ends_at)
            )
        }
        None => format!("{}: {}\n", printable(&request.id), printable(&request.state)),
    }
}

fn outcome(request: &Request, granted: bool) -> Result<u8> {
    if granted || request.is_pending() || request.state == "approved" {
        return Ok(DONE);
    }
    let why = request.decisions.last().map(|it| {
        let reason = it.reason.as_deref().filter(|it| !it.is_empty()).map(|it| format!(": {it}"));
        format!(" by {}{}", it.person.display_name, reason.unwrap_or_default())
    });
    Err(Problem::new(
        ProblemKind::Denied,
        format!("the request {} is {}{}", request.id, request.state, why.unwrap_or_default()),
    ))
}
