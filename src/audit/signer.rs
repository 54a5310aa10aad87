//! Signing: after each commit, the newest head, once it is shown to have grown out of the last one.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Edge, Hash, Head, PinFile,
    checkpoint::{Checkpoint, keep, newest},
    leaf_hash,
    note::VerifierKey,
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
    pin: Option<PinFile>,
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
        let (signers, verifiers) = (vec![key], vec![verifier]);
        Ok(Self { database, ambient, origin, kept: None, signers, verifiers, tree: None, pin: None })
    }

    /// The signer of the log `origin`, with the keys that are kept for it: it looks for them anew before
    /// each signature, so that every replica goes over to another key by itself.
    ///
    /// # Errors
    /// As [`Self::new`]; what reading the keys answers.
    pub async fn with_keys(database: Database, ambient: Ambient, keys: Keys, origin: &str) -> Result<Self> {
        let (kept, origin) = (Some(keys), origin.to_owned());
        let (signers, verifiers) = (Vec::new(), Vec::new());
        let mut signer = Self { database, ambient, origin, kept, signers, verifiers, tree: None, pin: None };
        signer.look_for_keys().await?;
        Ok(signer)
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
    pub fn pinned(mut self, pin: Option<PinFile>) -> Self {
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
        let Some(pinned) = pin.read(&self.verifiers)? else { return Ok(()) };
        let advice = |problem: Problem| {
            problem.remedy(format!(
                "Nothing is served from a log that lost what it had signed: people may have rights back that \
                 were taken from them. Put back a database that holds those entries; or go on without them, which \
                 ends what they could have ended: `port-control recover --config FILE --reason \"…\"`. The pin is {}.",
                pin.path().display()
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

    /// Signs the newest head after each commit, until `stop`.
    ///
    /// # Errors
    /// `log-altered` or `log-incomplete`: the log is not what was signed before. Nothing is signed any
    /// more, and nothing should be done any more either.
    pub async fn run(mut self, mut head: watch::Receiver<Head>, stop: CancellationToken) -> Result<()> {
        loop {
            let newest = head.borrow_and_update().clone();
            let pause = match self.sign(&newest).await {
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
        self.keep_pin(&checkpoint, note).await;
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
        if let Some(pin) = &self.pin {
            seen.extend(pin.read(&self.verifiers)?);
        }
        seen.sort_by_key(|it| it.size);
        Ok(seen)
    }

    /// A pin that cannot be written holds nothing up: what it is for is asked at the next start.
    async fn keep_pin(&self, checkpoint: &Checkpoint, note: String) {
        let Some(pin) = self.pin.clone() else { return };
        let (checkpoint, keys) = (checkpoint.clone(), self.verifiers.clone());
        let written = tokio::task::spawn_blocking(move || pin.write(&checkpoint, &note, &keys)).await;
        if let Ok(Err(problem)) = written {
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
