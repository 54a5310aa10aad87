//! Signing: after each commit, the newest head, once it is shown to have grown out of the last one.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{
    Edge, Hash, Head, Log, Pin,
    checkpoint::{Checkpoint, keep, newest},
    leaf_hash,
    note::VerifierKey,
    pin::Behind,
    tile::{self, TreeReader, WIDTH, altered, as_i64, fold},
};
use crate::{
    base::{Ambient, Problem, ProblemKind, Result, hex},
    keys::{Keys, LogKeyState, LogSigner},
    store::{Database, sql},
};

/// Between two checkpoints: many commits share one, and signing does not get into the way of writing.
const BREATH: Duration = Duration::from_millis(250);
/// After the database did not answer.
const AGAIN: Duration = Duration::from_secs(1);
/// Entries that are read at once.
const AT_ONCE: u64 = 4096;

/// Signs checkpoints and writes tiles. One for each process; several of them agree.
pub struct Signer {
    database: Database,
    ambient: Ambient,
    origin: String,
    /// Where its keys are kept, if they may change.
    kept: Option<Keys>,
    signers: Vec<LogSigner>,
    /// Those of the signers first.
    verifiers: Vec<VerifierKey>,
    tree: Option<Growing>,
    pin: Option<Pin>,
    /// Whoever keeps the pin up, where its place takes its time.
    behind: Option<Behind>,
    /// Whether it was said that the pin stays behind.
    is_behind: bool,
}

/// The tree as far as it was signed: its edge, and of each level the hashes of the tile that is not
/// complete yet.
struct Growing {
    edge: Edge,
    open: Vec<Vec<Hash>>,
}

impl Signer {
    /// The signer of the log `origin`, with one key.
    ///
    /// # Errors
    /// `invalid-configuration` where the origin cannot be the name of a key.
    pub fn new(database: Database, ambient: Ambient, key: LogSigner, origin: &str) -> Result<Self> {
        let verifier = named(origin, key.public_key())?;
        let origin = origin.to_owned();
        Ok(Self {
            signers: vec![key],
            verifiers: vec![verifier],
            ..Self::without_keys(database, ambient, origin)
        })
    }

    /// The signer of the log `origin`, with the keys that are kept for it: it looks for them anew before
    /// each signature, so that every replica goes over to another key by itself.
    ///
    /// # Errors
    /// As [`Self::new`]; what reading the keys answers.
    pub async fn with_keys(database: Database, ambient: Ambient, keys: Keys, origin: &str) -> Result<Self> {
        let mut signer =
            Self { kept: Some(keys), ..Self::without_keys(database, ambient, origin.to_owned()) };
        signer.look_for_keys().await?;
        Ok(signer)
    }

    fn without_keys(database: Database, ambient: Ambient, origin: String) -> Self {
        Self {
            database,
            ambient,
            origin,
            kept: None,
            signers: Vec::new(),
            verifiers: Vec::new(),
            tree: None,
            pin: None,
            behind: None,
            is_behind: false,
        }
    }

    async fn look_for_keys(&mut self) -> Result<()> {
        let Some(kept) = &self.kept else { return Ok(()) };
        let (mut signers, mut verifiers, mut retired) = (Vec::new(), Vec::new(), Vec::new());
        for key in kept.log_keys().await? {
            let verifier = named(&self.origin, key.public)?;
            match key.state {
                LogKeyState::InUse(signer) => {
                    signers.push(signer);
                    verifiers.push(verifier);
                }
                LogKeyState::Retired => retired.push(verifier),
            }
        }
        verifiers.append(&mut retired);
        (self.signers, self.verifiers) = (signers, verifiers);
        Ok(())
    }

    /// Keeps what it signs in `pin`, too.
    #[must_use]
    pub fn pinned(mut self, pin: Option<Pin>) -> Self {
        self.pin = pin;
        self
    }

    /// Whether the log goes on from its pin: nothing that was signed is gone or changed.
    ///
    /// # Errors
    /// `log-incomplete` where entries are gone, `log-altered` where they are others;
    /// `invalid-configuration` where the pin cannot be read; else a problem of the database.
    pub async fn check_pin(&self) -> Result<()> {
        let Some(pin) = &self.pin else { return Ok(()) };
        let Some(pinned) = pin.read(&self.verifiers).await? else { return Ok(()) };
        let advice = |problem: Problem| {
            problem.remedy(format!(
                "Nothing is served from a log that lost what it had signed: people may have rights back that \
                 were taken from them. Put back a database that holds those entries; or go on without them, which \
                 ends what they could have ended: `port-control recover --config FILE --reason \"…\"`. The pin is {}.",
                pin.name()
            ))
        };
        // Asked for after the pin was read: another replica may have gone on.
        let there = self.size_now().await?;
        if pinned.size > there {
            return Err(advice(set_back(pinned.size, there)));
        }
        let mut tree = self
            .resume()
            .await
            .map_err(|problem| if is_final(&problem) { advice(problem) } else { problem })?;
        let root = if tree.edge.size() > pinned.size {
            TreeReader::new(&self.database, pinned.size).edge().await?.root()
        } else {
            tree.grow(&self.database, pinned.size).await?;
            tree.edge.root()
        };
        if root == pinned.root { Ok(()) } else { Err(advice(others(pinned.size, &root, &pinned.root))) }
    }

    /// What its signatures are verified with: the oldest key that signs.
    #[must_use]
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifiers[0]
    }

    /// Signs the newest head of `log` after each commit, until `stop`. As long as nothing can be signed
    /// because it is not certain that the log goes on from what was signed before, nothing is done either.
    ///
    /// # Errors
    /// `log-altered` or `log-incomplete`: the log is not what was signed before. Nothing is signed or done
    /// any more.
    pub async fn run(mut self, log: &Log, stop: CancellationToken) -> Result<()> {
        let outcome = self.keep_signing(log, &stop).await;
        self.finish().await;
        outcome
    }

    /// Waits until what was signed last is pinned, too, if that can be done soon.
    pub async fn finish(&mut self) {
        if let Some(behind) = self.behind.take() {
            behind.finish().await;
        }
    }

    async fn keep_signing(&mut self, log: &Log, stop: &CancellationToken) -> Result<()> {
        let mut head = log.watch();
        loop {
            let newest = head.borrow_and_update().clone();
            let outcome = self.sign(&newest).await;
            log.doubt(outcome.as_ref().err().filter(|it| is_final(it) || is_the_pins(it)).cloned());
            let pause = match outcome {
                Ok(()) => BREATH,
                Err(problem) if is_final(&problem) => {
                    tracing::error!(%problem, "the log is not what was signed before: nothing is signed any more");
                    return Err(problem);
                }
                Err(problem) => {
                    tracing::warn!(%problem, "signing the log is tried again");
                    head.mark_changed();
                    AGAIN
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                grown = head.changed() => if grown.is_err() { return Ok(()) },
            }
        }
    }

    /// Signs `head`, which is committed, if it is news.
    ///
    /// # Errors
    /// `log-altered`, `log-incomplete`: see [`Self::run`]; else a problem of the database.
    pub async fn sign(&mut self, head: &Head) -> Result<()> {
        // Looked for first: what another replica has signed may be by a key that is new to this one.
        self.look_for_keys().await?;
        let mut tree = match self.tree.take() {
            Some(tree) => tree,
            None => self.resume().await?,
        };
        if head.size <= tree.edge.size() {
            self.refuse_set_back(&tree, head).await?;
            self.tree = Some(tree);
            return Ok(());
        }
        self.pass_what_was_signed(&mut tree, head).await?;
        tree.grow(&self.database, head.size).await?;
        if tree.edge.root() != head.root {
            return Err(altered(format!(
                "the log of {} entries has the root {}, and its head says {}",
                head.size,
                hex::encode(&tree.edge.root()),
                hex::encode(&head.root)
            )));
        }
        let checkpoint = Checkpoint { origin: self.origin.clone(), size: head.size, root: head.root };
        let note = checkpoint.sign_by(&self.signers);
        keep(&self.database, head.size, &note, self.ambient.now()).await?;
        self.keep_pin(checkpoint, note).await;
        self.tree = Some(tree);
        Ok(())
    }

    /// A head that is not beyond what was signed is what another replica has signed already, or a
    /// database that was set back under us.
    async fn refuse_set_back(&self, tree: &Growing, head: &Head) -> Result<()> {
        let signed = tree.edge.size();
        if head.size == signed {
            let root = tree.edge.root();
            return if root == head.root { Ok(()) } else { Err(others(signed, &head.root, &root)) };
        }
        let there = self.size_now().await?;
        if there < signed { Err(set_back(signed, there)) } else { Ok(()) }
    }

    /// What others have signed since, or pinned, has to lie on the way to `head`: the newest of this
    /// replica's own is the tree itself.
    async fn pass_what_was_signed(&self, tree: &mut Growing, head: &Head) -> Result<()> {
        for seen in self.seen().await? {
            if seen.size > head.size {
                let there = self.size_now().await?;
                if there < seen.size {
                    return Err(set_back(seen.size, there));
                }
            } else if seen.size > tree.edge.size() {
                tree.grow(&self.database, seen.size).await?;
                let root = tree.edge.root();
                if root != seen.root {
                    return Err(others(seen.size, &root, &seen.root));
                }
            }
        }
        Ok(())
    }

    /// The newest checkpoint of any replica and the pin, the smaller one first.
    async fn seen(&self) -> Result<Vec<Checkpoint>> {
        let newest = newest(&self.database).await?;
        let mut seen = Vec::new();
        if let Some(note) = newest {
            seen.push(Checkpoint::open_any(&note, &self.verifiers)?);
        }
        match (&self.pin, &self.behind) {
            (_, Some(behind)) => seen.extend(behind.found()),
            (Some(pin), None) => seen.extend(pin.read(&self.verifiers).await?),
            (None, None) => {}
        }
        seen.sort_by_key(|it| it.size);
        Ok(seen)
    }

    /// A pin that cannot be written holds nothing up: what it is for is asked at the next start.
    async fn keep_pin(&mut self, checkpoint: Checkpoint, note: String) {
        let Some(pin) = self.pin.clone() else { return };
        if !pin.is_near() {
            let behind = self.behind.get_or_insert_with(|| Behind::begin(pin, None));
            behind.tell(checkpoint, note, self.verifiers.clone());
            return;
        }
        let outcome = pin.write(&checkpoint, &note, &self.verifiers).await;
        let was_behind = std::mem::replace(&mut self.is_behind, outcome.is_err());
        if let Err(problem) = outcome
            && !was_behind
        {
            tracing::warn!(%problem, "the log's pin stays behind");
        }
    }

    /// The tree of the newest checkpoint, which a key of this log has signed.
    async fn resume(&self) -> Result<Growing> {
        let Some(note) = newest(&self.database).await? else { return Ok(Growing::empty()) };
        let last = Checkpoint::open_any(&note, &self.verifiers)?;
        // Asked for after what was signed: another replica may have signed more than we have heard of.
        let there = self.size_now().await?;
        if last.size > there {
            return Err(set_back(last.size, there));
        }
        let tree = Growing::read(&self.database, last.size).await?;
        if tree.edge.root() != last.root {
            return Err(others(last.size, &tree.edge.root(), &last.root));
        }
        Ok(tree)
    }

    async fn size_now(&self) -> Result<u64> {
        let found: Option<(i64,)> =
            self.database.fetch_optional(sql("SELECT size FROM log_head WHERE id = 1")).await?;
        let size = found.and_then(|(size,)| u64::try_from(size).ok());
        size.ok_or_else(|| altered("the log has lost its head row".to_owned()))
    }
}

fn named(origin: &str, public: [u8; 32]) -> Result<VerifierKey> {
    VerifierKey::new(origin, public)
        .map_err(|why| Problem::new(ProblemKind::InvalidConfiguration, why).remedy("Set [log] origin."))
}

fn set_back(signed: u64, there: u64) -> Problem {
    Problem::new(
        ProblemKind::LogIncomplete,
        format!("the database was set back: {signed} entries were signed, {there} are there"),
    )
}

fn others(size: u64, found: &Hash, signed: &Hash) -> Problem {
    altered(format!(
        "the first {size} entries have the root {}, and {} was signed",
        hex::encode(found),
        hex::encode(signed)
    ))
}

/// Whether what was signed last cannot be made out.
fn is_the_pins(problem: &Problem) -> bool {
    problem.is(ProblemKind::InvalidConfiguration)
}

fn is_final(problem: &Problem) -> bool {
    problem.is(ProblemKind::LogAltered) || problem.is(ProblemKind::LogIncomplete)
}

impl Growing {
    fn empty() -> Self {
        Self { edge: Edge::empty(), open: vec![Vec::new()] }
    }

    /// The tree of `size` leaves from its tiles.
    async fn read(database: &Database, size: u64) -> Result<Self> {
        let missing = |level: u8| {
            Problem::new(
                ProblemKind::LogIncomplete,
                format!("a tile of level {level} of the log is not there"),
            )
        };
        let mut open = Vec::new();
        for level in 0..=tile::HIGHEST_LEVEL {
            let there = size >> (8 * u32::from(level));
            let found = tile::hashes(database, level, there / WIDTH, there % WIDTH).await?;
            open.push(found.ok_or_else(|| missing(level))?);
        }
        let mut reader = TreeReader::new(database, size);
        let edge = if size == 0 { Edge::empty() } else { reader.edge().await? };
        Ok(Self { edge, open })
    }

    /// Takes in the entries up to `size`, and keeps each tile that they complete.
    async fn grow(&mut self, database: &Database, size: u64) -> Result<()> {
        while self.edge.size() < size {
            let first = self.edge.size();
            let end = size.min(first + AT_ONCE);
            let leaves = tile::leaves(database, first, end).await?;
            if leaves.len() as u64 != end - first {
                let hole = first + leaves.len() as u64;
                return Err(Problem::new(
                    ProblemKind::LogIncomplete,
                    format!("entry {hole} of the log is not there"),
                )
                .with("index", hole));
            }
            for leaf in &leaves {
                self.push(database, leaf_hash(leaf)).await?;
            }
        }
        Ok(())
    }

    async fn push(&mut self, database: &Database, leaf: Hash) -> Result<()> {
        self.edge.push(leaf);
        self.open[0].push(leaf);
        let mut level = 0;
        while self.open[level].len() as u64 == WIDTH {
            let complete = std::mem::take(&mut self.open[level]);
            let index = (self.edge.size() >> (8 * (level + 1))).saturating_sub(1);
            if level == 0 {
                keep_tile(database, level, index, &complete).await?;
            }
            level += 1;
            if self.open.len() == level {
                self.open.push(Vec::new());
            }
            self.open[level].push(fold(&complete));
            let at = (self.edge.size() >> (8 * level)).saturating_sub(1) / WIDTH;
            keep_tile(database, level, at, &self.open[level]).await?;
        }
        Ok(())
    }
}

/// Keeps a tile. One that grows replaces the shorter one, never the other way round.
async fn keep_tile(database: &Database, level: usize, index: u64, hashes: &[Hash]) -> Result<()> {
    let row = sql("INSERT INTO log_tiles (level, idx, hashes) VALUES ($1, $2, $3) \
                   ON CONFLICT (level, idx) DO UPDATE SET hashes = excluded.hashes \
                   WHERE length(log_tiles.hashes) < length(excluded.hashes)")
    .bind(i64::try_from(level).unwrap_or(i64::MAX))
    .bind(as_i64(index))
    .bind(hashes.concat());
    database.write_unrecorded("log_tiles", row).await?;
    Ok(())
}
