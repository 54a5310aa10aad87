//! `port-control recover`

use std::{collections::BTreeMap, fmt, fs::File, io::BufReader, path::PathBuf};

use super::{Opening, Server};
use crate::{
    audit::{Checkpoint, Pin, Signer, verifiers, verify::check_database},
    base::{Config, Problem, ProblemKind, Result, ids::PersonId},
    policy::{Action, Resource, Service},
    recovery::{Discontinuity, Fate, Published, Recovered, Recovery, Standing},
};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Why; it stands in the log.
    pub reason: String,
    /// Files with entries that were published: exports, bundles, what was forwarded.
    pub published: Vec<PathBuf>,
    /// Whether to do it; else it is only said what would be done.
    pub really: bool,
}

/// What was found, and what was done.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Number of entries that are there.
    pub size: u64,
    /// How far the log had come, where a pin says so.
    pub pinned: Option<Checkpoint>,
    /// Number of published entries that were read.
    pub published: u64,
    /// What became of people by those of them that are lost.
    pub lost: BTreeMap<PersonId, Fate>,
    /// What there is to end.
    pub standing: Standing,
    /// What was ended, where it was done.
    pub recovered: Option<Recovered>,
    /// Where the pin of before is now.
    pub set_aside: Option<String>,
}

/// Goes on after a database was set back: everything that was granted ends, everybody is suspended until
/// her identity provider has spoken, published deactivations are done again, and the log says that it was
/// interrupted. No server may run meanwhile.
///
/// # Errors
/// `conflict` where the log goes on from its pin: then nothing was set back; `log-altered` where the log
/// that is there does not fit itself, or what was published was not signed; what recording answers.
pub async fn recover(config: Config, wish: &Wish) -> Result<Outcome> {
    let (pin, origin) = (super::pin::open(&config)?, config.log.origin.clone());
    let mut server = Server::open(config, Opening::Recover).await?;
    let outcome = go_on(&mut server, wish, pin.as_ref(), &origin).await;
    server.app.log.drain().await;
    server.app.database.close().await;
    outcome
}

async fn go_on(server: &mut Server, wish: &Wish, pin: Option<&Pin>, origin: &str) -> Result<Outcome> {
    let app = server.app.clone();
    let keys = verifiers(&app.keys, origin).await?;
    let report = check_database(&app.database, &keys).await?;
    let pinned = match pin {
        Some(pin) => pin.read(&keys).await?,
        None => None,
    };
    if pinned.is_some() {
        refuse_whole(&server.loops.signer).await?;
    }
    let mut published = Published::default();
    for path in &wish.published {
        let file = File::open(path)
            .map_err(|error| Problem::invalid(format!("{} cannot be read: {error}", path.display())))?;
        published.take(BufReader::new(file), &keys).map_err(|problem| named(problem, path))?;
    }
    let recovery = Recovery::new(app.database.clone(), app.log.clone());
    let mut outcome = Outcome {
        size: report.size,
        pinned: pinned.clone(),
        published: published.entries(),
        lost: recovery.lost(&published).await?,
        standing: recovery.standing().await?,
        recovered: None,
        set_aside: None,
    };
    if wish.really {
        let permit = server.permits.permit(Service::Operator, Action::Operate, Resource::People)?;
        let discontinuity = pinned.map(|pinned| Discontinuity { pinned });
        let lost = outcome.lost.clone();
        outcome.recovered = Some(recovery.recover(permit, &wish.reason, discontinuity, lost).await?);
        if let Some(pin) = pin {
            outcome.set_aside = pin.set_aside().await?;
        }
        // The new pin is of the log that says why it is not the old one.
        server.loops.signer.sign(&app.log.head()).await?;
        server.loops.signer.finish().await;
    }
    Ok(outcome)
}

/// A log that goes on from its pin has lost nothing, and nobody should lose anything for it.
async fn refuse_whole(signer: &Signer) -> Result<()> {
    match signer.check_pin().await {
        Ok(()) => Err(Problem::conflict("the log goes on from its pin: the database was not set back")
            .remedy("Nothing has to be recovered. Start the server: `port-control serve`.")),
        Err(problem)
            if [ProblemKind::LogIncomplete, ProblemKind::LogAltered].iter().any(|it| problem.is(*it)) =>
        {
            Ok(())
        }
        Err(problem) => Err(problem),
    }
}

fn named(mut problem: Problem, path: &std::path::Path) -> Problem {
    problem.detail = format!("{}: {}", path.display(), problem.detail);
    problem
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Standing { people, sessions, grants, requests } = &self.standing;
        let whole = match &self.pinned {
            Some(pinned) => format!("its pin is of {}", pinned.size),
            None => "nothing here says how many there were".to_owned(),
        };
        writeln!(f, "{} entries are there, whole; {whole}", self.size)?;
        writeln!(
            f,
            "{} published entries were read; {} people are affected",
            self.published,
            self.lost.len()
        )?;
        for (person, fate) in &self.lost {
            let (what, index) = match fate {
                Fate::Deactivated(index) => ("deactivated", index),
                Fate::Suspended(index) => ("suspended", index),
            };
            writeln!(f, "  {person} was {what} by entry {index}")?;
        }
        let Some(recovered) = &self.recovered else {
            writeln!(f, "would end: {sessions} sessions, {grants} grants, {requests} requests")?;
            writeln!(f, "would suspend until their identity provider has spoken: {people} people")?;
            return writeln!(f, "Nothing was done. Do it with --yes.");
        };
        recovered.fmt(f)?;
        if let Some(aside) = &self.set_aside {
            writeln!(f, "the pin of before is kept in {aside}")?;
        }
        writeln!(
            f,
            "Start the server. Everybody signs in again; `port-control recover-access` lets you in without."
        )
    }
}
