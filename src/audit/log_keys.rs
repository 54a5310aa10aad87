//! The keys of the log as its readers know them, and how one takes over from another: for a while both
//! sign, so whoever knows the old one sees the entry that announces the new one in a log that it believes.

use async_trait::async_trait;

use super::{Authority, Checkpoint, Draft, Log, Unit, VerifierKey, Work};
use crate::{
    base::{Problem, Result},
    keys::{Keys, LogKey, NewLogKey},
    policy::{Action, Permit},
    store::sql,
};

/// What announces a key.
pub(super) const ADDED: &str = "log.key-added";
/// What says that a key signs no more.
const RETIRED: &str = "log.key-retired";

/// What the checkpoints of the log `origin` are verified with: every key that it has had, the oldest first.
///
/// # Errors
/// A problem of the database; `internal` where the origin cannot be the name of a key.
pub async fn verifiers(keys: &Keys, origin: &str) -> Result<Vec<VerifierKey>> {
    let all = keys.log_keys().await?;
    all.iter().map(|key| verifier(origin, key.public)).collect()
}

/// The same of the keys that sign now.
///
/// # Errors
/// As [`verifiers`].
pub async fn signing_verifiers(keys: &Keys, origin: &str) -> Result<Vec<VerifierKey>> {
    let all = keys.log_keys().await?;
    all.iter().filter(|key| key.is_in_use()).map(|key| verifier(origin, key.public)).collect()
}

fn verifier(origin: &str, public: [u8; 32]) -> Result<VerifierKey> {
    VerifierKey::new(origin, public).map_err(Problem::internal)
}

/// Changes the keys that a log is signed with, on the server's own machine.
pub struct LogKeys {
    log: Log,
    keys: Keys,
    origin: String,
}

impl LogKeys {
    /// Those of the log `origin`.
    #[must_use]
    pub fn new(log: Log, keys: Keys, origin: String) -> Self {
        Self { log, keys, origin }
    }

    /// Makes a further key, which signs beside those in use from now on, at every replica; what it is
    /// verified with.
    ///
    /// # Errors
    /// What recording answers.
    pub async fn add(&self, permit: Permit) -> Result<VerifierKey> {
        let new = self.keys.new_log_key()?;
        let verifier = verifier(&self.origin, new.public)?;
        self.log.perform(Add { permit, new, verifier: verifier.clone() }).await?;
        Ok(verifier)
    }

    /// Has the key of this id (the eight digits in the middle of it) sign no more, and destroys its private
    /// part.
    ///
    /// # Errors
    /// `not-found`; `conflict` where it is retired already, is the only one, or where no checkpoint was
    /// signed yet by it and by its successor.
    pub async fn retire(&self, permit: Permit, id: &str) -> Result<VerifierKey> {
        let mut going = None;
        let mut staying = Vec::new();
        for key in self.keys.log_keys().await? {
            let verifier = verifier(&self.origin, key.public)?;
            if verifier.id_text() == id {
                going = Some((key, verifier));
            } else if key.is_in_use() {
                staying.push(verifier);
            }
        }
        let (key, verifier) = going.ok_or_else(|| no_key(id))?;
        if !key.is_in_use() {
            return Err(Problem::conflict(format!("the key {id} is retired already")));
        }
        self.log.perform(Retire { permit, key, verifier: verifier.clone(), staying }).await?;
        Ok(verifier)
    }
}

fn no_key(id: &str) -> Problem {
    Problem::not_found(format!("no key of the log has the id '{}'", id.escape_debug()))
        .remedy("`/audit/v1/vkeys` lists them: the id is the eight digits between the two '+'.")
}

struct Add {
    permit: Permit,
    new: NewLogKey,
    verifier: VerifierKey,
}

#[async_trait]
impl Unit for Add {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        self.permit.expect(Action::Operate)?;
        let now = work.now();
        work.execute(self.new.row(now)).await?;
        work.record(Draft::act(ADDED).resource("keys").with("vkey", self.verifier.to_string()));
        Ok(())
    }
}

struct Retire {
    permit: Permit,
    key: LogKey,
    verifier: VerifierKey,
    staying: Vec<VerifierKey>,
}

#[async_trait]
impl Unit for Retire {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        self.permit.expect(Action::Operate)?;
        self.refuse_without_overlap(work).await?;
        let now = work.now();
        if work.execute(self.key.retirement(now)).await? == 0 {
            return Err(Problem::conflict(format!("the key {} is retired already", self.verifier.id_text())));
        }
        work.record(Draft::act(RETIRED).resource("keys").with("vkey", self.verifier.to_string()));
        Ok(())
    }
}

impl Retire {
    /// Both keys have to stand below a checkpoint that holds the entry about the new one: it is what leads
    /// whoever knows the old key to the new one. That also keeps the last key from going.
    async fn refuse_without_overlap(&self, work: &mut Work<'_>) -> Result<()> {
        let announced: Option<(i64,)> = work
            .fetch_optional(
                sql("SELECT idx FROM entries WHERE action = $1 ORDER BY idx DESC LIMIT 1").bind(ADDED),
            )
            .await?;
        let note: Option<(String,)> =
            work.fetch_optional(sql("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1")).await?;
        let lead = |(announced,): (i64,), (note,): (String,)| {
            let by = |key| Checkpoint::open(&note, key).ok();
            let by_old = by(&self.verifier)?;
            self.staying
                .iter()
                .find_map(by)
                .filter(|_| i64::try_from(by_old.size).is_ok_and(|it| it > announced))
        };
        if announced.zip(note).and_then(|(announced, note)| lead(announced, note)).is_some() {
            return Ok(());
        }
        Err(Problem::conflict(format!(
            "no checkpoint was signed yet by {} and by a key that takes over from it",
            self.verifier.id_text()
        ))
        .remedy(
            "Make one first: `port-control key rotate-log`. A server that runs signs with both in a moment; let \
             whoever verifies the log take the new key in before the old one goes.",
        ))
    }
}
