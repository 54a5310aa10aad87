//! Offering each new checkpoint to every witness, each at its own pace.

use std::{sync::Arc, time::Duration};

use futures::future::{join_all, try_join_all};
use reqwest::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    WitnessKey, WitnessPolicy,
    kept::{self, Stored},
    offer::{Answer, Failure, Witness, offer, request},
};
use crate::{
    audit::{
        Head,
        outward::{PATIENCE, Turn, client, pause},
        tile::TreeReader,
    },
    base::{Ambient, Problem, ProblemKind, Result, config::WitnessConfig},
    store::Database,
};

/// How long the start waits for those that pin the log.
const AT_START: Duration = Duration::from_secs(3);
/// Between two offers to one witness, at least: only the newest checkpoint is of interest.
const BREATH: Duration = Duration::from_secs(2);
/// How long nothing is looked at, at most.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// The pause after the first failure, and the longest one.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(5));
/// The pauses where the same would be refused again.
const PAUSES_REFUSED: (Duration, Duration) = (Duration::from_mins(10), Duration::from_hours(1));
/// How often a witness may say another size before it is left alone for a while.
const ATTEMPTS: usize = 3;

/// The witnesses of this log, and what offers them its checkpoints. A witness that is down, slow or
/// answers nonsense holds nothing up but its own cosignature.
pub struct Witnesses {
    database: Database,
    ambient: Ambient,
    policy: Arc<WitnessPolicy>,
    all: Vec<Witness>,
    client: Client,
    holder: String,
}

impl Witnesses {
    /// Those of the configuration, of which `quorum` are needed.
    ///
    /// # Errors
    /// `invalid-configuration` for a key that is none, and a quorum that cannot be met.
    pub fn new(
        database: Database,
        ambient: Ambient,
        config: &[WitnessConfig],
        quorum: Option<usize>,
    ) -> Result<Self> {
        let wrong = |why: String| {
            Problem::new(
                ProblemKind::InvalidConfiguration,
                format!("[[log.witnesses]] cannot be used: {why}"),
            )
            .remedy("Correct [[log.witnesses]] and [log.witness_policy] in the server's configuration.")
        };
        let read = |it: &WitnessConfig| -> Result<Witness> {
            let key = it.vkey.parse::<WitnessKey>();
            Ok(Witness {
                key: key.map_err(|why| wrong(format!("'{}': {why}", it.vkey.escape_debug())))?,
                url: it.url.clone(),
                pins: it.pins,
            })
        };
        let all = config.iter().map(read).collect::<Result<Vec<_>>>()?;
        let keys = all.iter().map(|it| it.key.clone()).collect();
        let policy = Arc::new(WitnessPolicy::new(keys, quorum).map_err(wrong)?);
        let holder = ambient.uuid().to_string();
        Ok(Self { database, ambient, policy, all, client: client()?, holder })
    }

    /// Whose cosignatures count, and how many are needed.
    #[must_use]
    pub fn policy(&self) -> Arc<WitnessPolicy> {
        Arc::clone(&self.policy)
    }

    /// Whether the witnesses that pin the log know no more of it than is here, and nothing else. One that does not answer
    /// soon is not waited for: it is asked again while the server runs.
    ///
    /// # Errors
    /// `log-incomplete` where one of them does.
    pub async fn check_pins(&self) -> Result<()> {
        let asked = self.all.iter().filter(|witness| witness.pins).map(async |witness| {
            match tokio::time::timeout(AT_START, self.try_out(witness)).await {
                Ok(Err(failure)) if failure.contradicts => Err(failure.into_problem()),
                Ok(_) => Ok(()),
                Err(_) => {
                    let witness = witness.key.name();
                    tracing::warn!(
                        witness,
                        "a witness that pins the log does not answer; the log is served meanwhile"
                    );
                    Ok(())
                }
            }
        });
        join_all(asked).await.into_iter().collect()
    }

    /// Offers each new checkpoint, until `stop`.
    ///
    /// # Errors
    /// `log-incomplete` before that, where a witness that pins the log knows more of it than is here, or another.
    pub async fn run(self, head: watch::Receiver<Head>, stop: CancellationToken) -> Result<()> {
        let attended = self.all.iter().map(|witness| self.attend(witness, head.clone(), &stop));
        let outcome = tokio::select! {
            () = stop.cancelled() => Ok(()),
            Err(problem) = try_join_all(attended) => Err(problem),
        };
        for witness in &self.all {
            self.turn(witness).give_back(&self.database).await;
        }
        outcome
    }

    /// Attends to a witness, until there is a reason to stop everything.
    async fn attend(
        &self,
        witness: &Witness,
        mut head: watch::Receiver<Head>,
        stop: &CancellationToken,
    ) -> Result<()> {
        let mut failures = 0;
        while !stop.is_cancelled() {
            head.borrow_and_update();
            match self.look(witness).await {
                Ok(()) => {
                    failures = 0;
                    // What is committed now is signed in a moment.
                    let _ = tokio::time::timeout(LONGEST_SLEEP, head.changed()).await;
                    tokio::time::sleep(BREATH).await;
                }
                Err(failure) if failure.contradicts && witness.pins => return Err(failure.into_problem()),
                Err(failure) => {
                    failures += 1;
                    note_failure(witness, &failure);
                    let (first, longest) = if failure.is_final { PAUSES_REFUSED } else { PAUSES };
                    tokio::time::sleep(pause(&self.ambient, failures, first, longest)).await;
                }
            }
        }
        Ok(())
    }

    fn turn(&self, witness: &Witness) -> Turn {
        Turn::new(format!("witness {}", witness.key), self.holder.clone(), PATIENCE * 6)
    }

    /// Offers the newest checkpoint, if that is news to the witness and it is this replica's turn.
    async fn look(&self, witness: &Witness) -> Result<(), Failure> {
        let Some(newest) = self.newest().await? else { return Ok(()) };
        let last = kept::last_of(&self.database, &witness.key).await.map_err(ours)?;
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!("port_control_witness_size", "witness" => witness.key.name().to_owned())
            .set(last.unwrap_or(0) as f64);
        let is_news = last.is_none_or(|last| last < newest.size);
        if !is_news || !self.turn(witness).take(&self.database, &self.ambient).await.map_err(ours)? {
            return Ok(());
        }
        self.bring(witness, last.unwrap_or(0)).await.map(drop)
    }

    async fn newest(&self) -> Result<Option<Stored>, Failure> {
        kept::newest(&self.database).await.map_err(ours)
    }

    /// Brings the witness from `known` to the newest checkpoint; how large that is.
    async fn bring(&self, witness: &Witness, known: u64) -> Result<u64, Failure> {
        let mut known = known;
        for _ in 0..ATTEMPTS {
            let Some(newest) = self.newest().await? else { return Ok(0) };
            if known > newest.size {
                return Err(set_back(witness, known, newest.size));
            }
            match self.offer(witness, known, &newest).await? {
                Answer::Has(size) if size == known => {
                    return Err(Failure::passing(format!(
                        "it wants a proof from {size} entries, and does not take one from there"
                    ))
                    .contradicting());
                }
                Answer::Has(size) => known = size,
                Answer::Cosigned(cosignature) => {
                    kept::keep(&self.database, &self.policy, &witness.key, newest.size, &cosignature)
                        .await
                        .map_err(ours)?;
                    return Ok(newest.size);
                }
            }
        }
        Err(Failure::passing("it says another size each time"))
    }

    async fn offer(&self, witness: &Witness, old: u64, newest: &Stored) -> Result<Answer, Failure> {
        let body = newest.checkpoint().map_err(ours)?.body();
        let mut tree = TreeReader::new(&self.database, newest.size);
        let proof = tree.consistency(old).await.map_err(ours)?;
        offer(&self.client, witness, request(old, &proof, &newest.note), &body, self.ambient.now()).await
    }

    /// Offers every witness the newest checkpoint now, and says of each what came of it.
    ///
    /// # Errors
    /// None of its own; of each witness a problem that says why it did not cosign.
    pub async fn check(&self) -> Vec<(String, Result<String>)> {
        join_all(self.all.iter().map(async |witness| {
            let name = witness.key.name().to_owned();
            (name, self.try_out(witness).await.map_err(Failure::into_problem))
        }))
        .await
    }

    async fn try_out(&self, witness: &Witness) -> Result<String, Failure> {
        let known = kept::last_of(&self.database, &witness.key).await.map_err(ours)?;
        match self.bring(witness, known.unwrap_or(0)).await? {
            0 => Ok("not tried: no checkpoint was signed yet".to_owned()),
            size => Ok(format!("it cosigned the newest checkpoint, of {size} entries")),
        }
    }
}

impl Failure {
    fn into_problem(self) -> Problem {
        let kind = match self {
            Self { contradicts: true, .. } => ProblemKind::LogIncomplete,
            Self { is_final: true, .. } => ProblemKind::Conflict,
            _ => ProblemKind::Internal,
        };
        let remedy = self.remedy.unwrap_or("It is tried again by itself; nothing waits for it.");
        Problem::new(kind, self.why).remedy(remedy)
    }
}

/// Something of our own was in the way.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn ours(problem: Problem) -> Failure {
    Failure::passing(problem.detail.clone())
}

/// The witness remembers more than there is.
fn set_back(witness: &Witness, known: u64, there: u64) -> Failure {
    Failure::lasting(
        format!(
            "the witness {} has cosigned {known} entries of this log, and {there} are signed here",
            witness.key.name()
        ),
        "The database was set back, or another log has this origin: find out which. Put back a database that \
         holds those entries; or go on without them by `port-control recover`, and have the witness's operator \
         begin the log anew.",
    )
    .contradicting()
}

fn note_failure(witness: &Witness, failure: &Failure) {
    let kind = if failure.is_final { "refused" } else { "failed" };
    let name = witness.key.name().to_owned();
    metrics::counter!("port_control_witness_failures_total", "witness" => name.clone(), "kind" => kind)
        .increment(1);
    let why = failure.why.as_str();
    if let Some(remedy) = failure.remedy {
        tracing::error!(witness = name, why, remedy, "a witness refuses to cosign the log");
    } else {
        tracing::warn!(witness = name, why, "a witness did not cosign the newest checkpoint");
    }
}
