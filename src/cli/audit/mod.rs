//! `portctl audit`

mod export;
mod forget;
mod hold;
mod log;
mod person;
mod pin;
mod report;
mod verify;
mod who_read;
mod witness;

use clap::{Args, Subcommand};

use super::{Context, output::note};
use crate::{
    audit::archive::ArchivedRange,
    base::{Problem, Result, Timestamp},
    client::UnknownName,
};

/// A day, in milliseconds.
const DAY: i64 = 86_400_000;

/// Ask the log who did what, and verify that nobody altered it.
#[derive(Debug, Subcommand)]
pub enum Command {
    Log(log::Command),
    Export(export::Command),
    Forget(forget::Command),
    Hold(hold::Command),
    Verify(verify::Command),
    Report(report::Command),
    WhoRead(who_read::Command),
    Person(person::Command),
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        match self {
            Self::Log(it) => it.run(context).await,
            Self::Export(it) => it.run(context).await,
            Self::Forget(it) => it.run(context).await,
            Self::Hold(it) => it.run(context).await,
            Self::Verify(it) => it.run(context).await,
            Self::Report(it) => it.run(context).await,
            Self::WhoRead(it) => it.run(context).await,
            Self::Person(it) => it.run(context).await,
        }
    }
}

/// Which entries.
#[derive(Clone, Debug, Default, Args)]
struct FilterArgs {
    /// Who acted: an id, an e-mail address, or service/NAME.
    #[arg(long, value_name = "WHO")]
    actor: Option<String>,
    /// Whom it is about: an id or an e-mail address.
    #[arg(long, value_name = "WHO")]
    subject: Option<String>,
    /// In which application.
    #[arg(short = 'a', long, visible_alias = "app", value_name = "NAME")]
    application: Option<String>,
    /// In which environment; NAME@TEAM is the copy of a team.
    #[arg(short = 'e', long, visible_alias = "env", value_name = "NAME")]
    environment: Option<String>,
    /// On which secret.
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,
    /// What was done, such as secret.revealed; `secret.` is all that begins so.
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// allow or deny.
    #[arg(long, value_name = "DECISION")]
    decision: Option<String>,
    /// By which trust scope.
    #[arg(long, value_name = "NAME")]
    scope: Option<String>,
    /// For which request.
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// Words that all stand in the reason.
    #[arg(long, value_name = "WORDS")]
    reason: Option<String>,
    /// From then on: 2026-01-31 or 2026-01-31T12:00:00Z.
    #[arg(long, visible_alias = "since", value_name = "TIME")]
    from: Option<String>,
    /// Until then; a day alone means its end.
    #[arg(long, visible_alias = "until", value_name = "TIME")]
    to: Option<String>,
}

impl FilterArgs {
    /// As the server takes it.
    fn query(&self) -> Result<Vec<(&'static str, String)>> {
        let texts = [
            ("actor", &self.actor),
            ("subject", &self.subject),
            ("application", &self.application),
            ("environment", &self.environment),
            ("secret", &self.secret),
            ("action", &self.action),
            ("decision", &self.decision),
            ("scope", &self.scope),
            ("request", &self.request),
            ("reason", &self.reason),
        ];
        let mut query: Vec<(&'static str, String)> =
            texts.into_iter().filter_map(|(name, it)| Some((name, it.clone()?))).collect();
        if let Some(from) = &self.from {
            query.push(("since", from.parse::<Timestamp>().map_err(Problem::invalid)?.to_string()));
        }
        if let Some(to) = &self.to {
            query.push(("until", end_of(to)?.to_string()));
        }
        Ok(query)
    }
}

/// A time; of a day alone its end.
pub(super) fn end_of(text: &str) -> Result<Timestamp> {
    let time: Timestamp = text.parse().map_err(Problem::invalid)?;
    let is_day = !text.contains(['T', 't', ' ']);
    Ok(if is_day { Timestamp::from_millis(time.as_millis() + DAY) } else { time })
}

/// Says which entries were not searched.
fn say_archived(archived: &[ArchivedRange]) {
    for ArchivedRange { from, to, archive, oldest, newest } in archived {
        note(&format!(
            "Not searched: entries {from} to {} of {oldest} to {newest}, which lie in the archive {archive}; \
             `portctl audit export` reads them, too.",
            to - 1
        ));
    }
}

/// Refuses what asks for a name that nothing in the log has: an empty answer would look like a clean one.
fn refuse_unknown(unknown: &[UnknownName]) -> Result<()> {
    let Some(first) = unknown.first() else { return Ok(()) };
    let told: Vec<String> = unknown.iter().map(|it| format!("{} '{}'", it.what, it.name)).collect();
    let problem = Problem::not_found(format!("nothing in the log has the {}", told.join(" or the ")));
    let nearest: Vec<&str> = unknown.iter().flat_map(|it| &it.nearest).map(String::as_str).collect();
    Err(if nearest.is_empty() {
        problem.remedy(format!("`portctl audit log` shows each {} that it has.", first.what))
    } else {
        problem.remedy(format!("What is most like it: {}.", nearest.join(", ")))
    })
}

/// Borrowed, as the client takes it.
fn borrowed<'q>(query: &'q [(&'static str, String)]) -> Vec<(&'q str, &'q str)> {
    query.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_alone_means_its_end() {
        assert_eq!(end_of("2026-01-31").unwrap().to_string(), "2026-02-01T00:00:00.000Z");
        assert_eq!(end_of("2026-01-31T12:00:00Z").unwrap().to_string(), "2026-01-31T12:00:00.000Z");
        assert!(end_of("yesterday").is_err());
    }
}
