//! When to look: the log grew, a Secret changed, or it is time. What to do follows from looking alone.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Broker, Next, Spot, desired::Place, units::ROOM};
use crate::{
    base::{Name, Problem, Result},
    catalog::{Cluster, Snapshot},
    store::sql,
};

/// How many deliveries are worked on at a time.
const AT_ONCE: usize = 8;
/// How long nothing is looked at that nothing was heard of.
const INTERVAL: Duration = Duration::from_secs(30);
/// How soon, and how late at most, trouble is looked at again.
const SOON: Duration = Duration::from_millis(200);
const LATE: Duration = Duration::from_secs(5);

/// Something heard from outside.
type Heard = (Name, Spot);

/// What the loop has in mind; all of it can be lost.
#[derive(Default)]
struct Mind {
    /// To be looked at.
    due: BTreeSet<Name>,
    /// Being looked at.
    busy: BTreeSet<Name>,
    /// How often in a row it did not settle.
    tries: HashMap<Name, u32>,
    /// What will be looked at again by itself: one nap each, however often it was woken meanwhile.
    naps: HashMap<Name, tokio::task::AbortHandle>,
    /// How far the log was read.
    cursor: u64,
    /// One watch for each allowed namespace.
    watches: BTreeMap<(Name, Name), tokio::task::AbortHandle>,
}

#[derive(sqlx::FromRow)]
struct EntryRow {
    action: String,
    application: Option<String>,
    environment: Option<String>,
}

/// The namespaces that a cluster allows to anybody, each once.
pub(super) fn namespaces_of(cluster: &Cluster) -> Vec<Name> {
    let each: BTreeSet<&Name> = cluster.namespaces.iter().map(|it| &it.name).collect();
    each.into_iter().cloned().collect()
}

impl Broker {
    /// Keeps all deliveries as they should be, until it is told to stop; what it is at then, it ends.
    pub async fn run(self, stop: CancellationToken) {
        let (hear, mut heard) = mpsc::channel::<Heard>(256);
        let mut log = self.it.log.watch();
        let mut mind = Mind { cursor: log.borrow_and_update().size, ..Mind::default() };
        let (mut jobs, mut naps, mut watches) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
        let mut round = Box::pin(tokio::time::sleep(Duration::ZERO));
        loop {
            self.start(&mut mind, &mut jobs);
            tokio::select! {
                () = stop.cancelled() => break,
                () = &mut round => {
                    self.everything(&mut mind).await;
                    self.keep_watches(&mut mind, &mut watches, &hear).await;
                    round.set(tokio::time::sleep(self.jittered(INTERVAL)));
                }
                changed = log.changed() => {
                    if changed.is_err() { break }
                    let size = log.borrow_and_update().size;
                    if self.read_log(&mut mind, size).await {
                        self.keep_watches(&mut mind, &mut watches, &hear).await;
                    }
                }
                Some((cluster, spot)) = heard.recv() => self.hear(&mut mind, &cluster, &spot).await,
                Some(done) = jobs.join_next() => {
                    if let Ok((name, outcome)) = done { self.finish(&mut mind, &mut naps, name, outcome) }
                }
                Some(ended) = naps.join_next() => mind.due.extend(ended),
            }
        }
        // A write that has begun is brought to its outcome; what cannot be, the next start finds.
        let _ = tokio::time::timeout(LATE, async { while jobs.join_next().await.is_some() {} }).await;
    }

    fn start(&self, mind: &mut Mind, jobs: &mut JoinSet<(Name, Result<Next>)>) {
        let ready: Vec<Name> = mind.due.difference(&mind.busy).cloned().collect();
        for name in ready.into_iter().take(AT_ONCE.saturating_sub(mind.busy.len())) {
            mind.due.remove(&name);
            mind.busy.insert(name.clone());
            if let Some(nap) = mind.naps.remove(&name) {
                nap.abort();
            }
            let broker = self.clone();
            jobs.spawn(async move {
                // One that panics must not be taken for one that is still at it.
                let work = std::panic::AssertUnwindSafe(broker.reconcile(&name));
                let outcome = futures::FutureExt::catch_unwind(work).await;
                let outcome =
                    outcome.unwrap_or_else(|_| Err(Problem::internal("a delivery's turn panicked")));
                (name, outcome)
            });
        }
    }

    fn finish(&self, mind: &mut Mind, naps: &mut JoinSet<Name>, name: Name, outcome: Result<Next>) {
        mind.busy.remove(&name);
        let wait = match outcome {
            Ok(Next::Settled) => {
                mind.tries.remove(&name);
                return;
            }
            Ok(Next::At(time)) => time.since(self.it.ambient.now()).min(INTERVAL),
            Ok(Next::Again) => self.backoff(mind, &name),
            Err(problem) => {
                tracing::warn!(delivery = %name, %problem, "a delivery could not be looked at");
                self.backoff(mind, &name)
            }
        };
        let sleeper = name.clone();
        let nap = naps.spawn(async move {
            tokio::time::sleep(wait).await;
            sleeper
        });
        mind.naps.insert(name, nap);
    }

    fn backoff(&self, mind: &mut Mind, name: &Name) -> Duration {
        let tries = mind.tries.entry(name.clone()).or_default();
        *tries = tries.saturating_add(1);
        self.jittered(SOON.saturating_mul(1 << (*tries - 1).min(8)).min(LATE))
    }

    /// Between three quarters and all of a span, so that replicas and deliveries do not fall in step.
    fn jittered(&self, span: Duration) -> Duration {
        let [chance] = self.it.ambient.bytes::<1>();
        span.mul_f64(0.75 + f64::from(chance) / 1024.0)
    }

    async fn everything(&self, mind: &mut Mind) {
        match self.known().await {
            Ok(names) => mind.due.extend(names),
            Err(problem) => tracing::warn!(%problem, "the deliveries cannot be listed"),
        }
    }

    /// Every delivery that is declared, or of which anything is left.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn known(&self) -> Result<BTreeSet<Name>> {
        let declared = self.it.catalog.snapshot().await?;
        let left: Vec<(String,)> = self
            .it
            .database
            .fetch_all(
                sql("SELECT delivery FROM delivery_states UNION SELECT delivery FROM delivery_places \
                     UNION SELECT subject FROM intents WHERE room = $1 AND state IN ('open', 'unknown')")
                .bind(ROOM),
            )
            .await?;
        let mut names: BTreeSet<Name> = declared.deliveries.keys().cloned().collect();
        names.extend(left.into_iter().filter_map(|(name,)| name.parse::<Name>().ok()));
        Ok(names)
    }

    /// Reads what the log has grown by; whether what is declared has changed.
    async fn read_log(&self, mind: &mut Mind, size: u64) -> bool {
        let from = i64::try_from(mind.cursor).unwrap_or(i64::MAX);
        // Our own entries tell nothing new; reading values changes nothing.
        let query = sql("SELECT action, application, environment FROM entries WHERE idx >= $1 \
                         AND kind IN ('act', 'outcome') AND decision = 'allow' AND actor <> 'service/broker' \
                         AND (action LIKE 'secret.%' OR action LIKE 'catalog.%' OR action LIKE 'delivery.%') \
                         AND action NOT IN ('secret.revealed', 'secret.run')");
        let read = async {
            let rows: Vec<EntryRow> = self.it.database.fetch_all(query.bind(from)).await?;
            Ok::<_, Problem>((rows, self.it.catalog.snapshot().await?))
        };
        let Ok((rows, declared)) = read.await else {
            // The round finds what was missed.
            return false;
        };
        mind.cursor = size;
        let redeclared = rows.iter().any(|it| it.action.starts_with("catalog."));
        if redeclared {
            self.everything(mind).await;
        }
        for row in &rows {
            mind.due.extend(touched(&declared, row));
        }
        redeclared
    }

    async fn hear(&self, mind: &mut Mind, cluster: &Name, spot: &Spot) {
        let Ok(declared) = self.it.catalog.snapshot().await else { return };
        let place = Place { cluster: cluster.clone(), spot: spot.clone() };
        let there = declared.deliveries.values().filter(|it| Place::of(it) == place);
        mind.due.extend(there.map(|it| it.name.clone()));
    }

    /// One watch for each namespace that is allowed now, and none for any other.
    async fn keep_watches(&self, mind: &mut Mind, tasks: &mut JoinSet<()>, hear: &mpsc::Sender<Heard>) {
        let Ok(declared) = self.it.catalog.snapshot().await else { return };
        let wanted: BTreeSet<(Name, Name)> = watched(&declared).collect();
        mind.watches.retain(|key, task| {
            let keep = wanted.contains(key) && !task.is_finished();
            if !keep {
                task.abort();
            }
            keep
        });
        for key in wanted {
            if mind.watches.contains_key(&key) {
                continue;
            }
            let Some(target) = self.it.targets.get(&key.0).map(Arc::clone) else { continue };
            let (hear, at) = (hear.clone(), key.clone());
            let task = tasks.spawn(async move {
                let mut changes = target.changes(&at.1);
                while let Some(spot) = changes.next().await {
                    if hear.send((at.0.clone(), spot)).await.is_err() {
                        return;
                    }
                }
            });
            mind.watches.insert(key, task);
        }
    }
}

fn watched(declared: &Snapshot) -> impl Iterator<Item = (Name, Name)> {
    declared
        .clusters
        .values()
        .flat_map(|cluster| namespaces_of(cluster).into_iter().map(|it| (cluster.name.clone(), it)))
}

/// The deliveries that an entry could be about: of its environment, or of one that it shares with.
fn touched(declared: &Snapshot, row: &EntryRow) -> Vec<Name> {
    let (Some(application), Some(environment)) = (&row.application, &row.environment) else {
        return Vec::new();
    };
    let of = |it: &crate::catalog::Delivery| {
        let at = it.at();
        let own = at.to_string() == format!("{application}/{environment}");
        let shared = || declared.shares_into(&at.application, &at.environment);
        own || shared().iter().any(|it| {
            it.environment.application.as_str() == application
                && it.environment.environment.as_str() == environment
        })
    };
    declared.deliveries.values().filter(|it| of(it)).map(|it| it.name.clone()).collect()
}
