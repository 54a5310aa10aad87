//! Sending: batch by batch to each place, each at its own pace, by one replica at a time.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use reqwest::{Client, StatusCode, header::CONTENT_TYPE};
use tokio_util::sync::CancellationToken;

use super::{
    batch::{self, Batch, Wanted},
    begin::Begin,
    rows::{self, Cursor, Lag},
    target::Target,
};
use crate::{
    audit::{
        Log,
        archive::Entries,
        outward::{PATIENCE, Turn, client, pause, said_by},
        witness::{Stored, newest},
    },
    base::{Ambient, Problem, ProblemKind, Result, Timestamp, config::ForwardConfig, time::format_duration},
    policy::{Action, Permit, Resource, Service, ServicePermits},
    store::Database,
};

/// Between two batches where nothing waits: entries are gathered for so long.
const BREATH: Duration = Duration::from_millis(500);
/// How long nothing is looked at, at most; and how soon another replica takes over from one that stopped.
const LONGEST_SLEEP: Duration = Duration::from_secs(15);
/// The pause after the first failure, and the longest one.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));
/// How long a batch that is under way may still take once the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);
/// How old the oldest entry that waits may be before `check` says so.
const TOO_LONG: Duration = Duration::from_mins(10);

/// What a forwarder is made of.
pub struct ForwarderParts<'a> {
    /// Where entries and cursors lie.
    pub database: Database,
    /// The log, which tells when it has grown.
    pub log: Log,
    /// Time and chance.
    pub ambient: Ambient,
    /// Where its permits come from.
    pub permits: Arc<dyn ServicePermits>,
    /// The log's name.
    pub origin: String,
    /// Where to.
    pub config: &'a [ForwardConfig],
}

/// Sends signed entries on.
pub struct Forwarder {
    database: Database,
    entries: Entries,
    log: Log,
    ambient: Ambient,
    permits: Arc<dyn ServicePermits>,
    origin: String,
    targets: Vec<Target>,
    client: Client,
    holder: String,
}

/// What a look has come to.
#[derive(Debug, PartialEq, Eq)]
enum Passed {
    /// A batch is done; there may be more.
    Sent,
    /// Everything that is signed was sent.
    UpToDate,
    /// It is not time yet, or another replica's turn.
    Wait(Duration),
}

impl Forwarder {
    /// A forwarder to these places.
    ///
    /// # Errors
    /// `invalid-configuration` for a filter that there is not.
    pub fn new(parts: ForwarderParts<'_>) -> Result<Self> {
        let ForwarderParts { database, log, ambient, permits, origin, config } = parts;
        let targets = config.iter().map(Target::new).collect::<Result<Vec<_>>>()?;
        let holder = ambient.uuid().to_string();
        let entries = Entries::new(database.clone(), None);
        Ok(Self { database, entries, log, ambient, permits, origin, targets, client: client()?, holder })
    }

    /// It sends entries wherever these are.
    #[must_use]
    pub fn with_entries(self, entries: Entries) -> Self {
        Self { entries, ..self }
    }

    /// Sends what is signed, until `stop`. A batch that is under way then has a few seconds left; where it
    /// does not end in them, it is sent again after the next start.
    pub async fn run(self, stop: CancellationToken) {
        join_all(self.targets.iter().map(|target| self.attend(target, &stop))).await;
        stop.cancelled().await;
    }

    async fn attend(&self, target: &Target, stop: &CancellationToken) {
        let mut head = self.log.watch();
        while !stop.is_cancelled() {
            head.borrow_and_update();
            let passed = tokio::select! {
                passed = self.pass(target) => passed,
                () = async { stop.cancelled().await; tokio::time::sleep(GRACE).await } => break,
            };
            let sleep = match passed {
                Ok(Passed::Sent) => continue,
                Ok(Passed::UpToDate) => {
                    tokio::select! {
                        () = stop.cancelled() => break,
                        _ = tokio::time::timeout(LONGEST_SLEEP, head.changed()) => BREATH,
                    }
                }
                Ok(Passed::Wait(sleep)) => sleep,
                Err(problem) => {
                    tracing::warn!(host = target.host(), %problem, "entries could not be forwarded");
                    PAUSES.0
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
        self.turn(target).give_back(&self.database).await;
    }

    fn turn(&self, target: &Target) -> Turn {
        Turn::new(format!("forward {}", target.id), self.holder.clone(), PATIENCE * 3)
    }

    fn permit(&self) -> Result<Permit> {
        self.permits.permit(Service::Forwarder, Action::Forward, Resource::Log)
    }

    /// Sends the next batch, if it is time and this replica's turn.
    async fn pass(&self, target: &Target) -> Result<Passed> {
        let Some(checkpoint) = newest(&self.database).await? else { return Ok(self.nothing_to_send(0)) };
        let now = self.ambient.now();
        let cursor = self.cursor(target).await?;
        show(target, rows::lag(&self.database, cursor.next(), checkpoint.size, now).await?);
        if cursor.next() >= checkpoint.size {
            return Ok(self.nothing_to_send(checkpoint.size));
        }
        if cursor.attempts > 0 && cursor.next_at > now.as_millis() {
            let left = Timestamp::from_millis(cursor.next_at).since(now);
            return Ok(Passed::Wait(left.min(LONGEST_SLEEP)));
        }
        if !self.turn(target).take(&self.database, &self.ambient).await? {
            return Ok(Passed::Wait(LONGEST_SLEEP));
        }
        // Whose turn it was may have sent more meanwhile.
        let cursor = self.cursor(target).await?;
        match self.read(target, &checkpoint, &cursor).await? {
            None => Ok(Passed::UpToDate),
            Some(batch) => self.deliver(target, &batch, &cursor).await,
        }
    }

    /// What is committed is signed in a moment.
    fn nothing_to_send(&self, signed: u64) -> Passed {
        if self.log.head().size > signed { Passed::Wait(BREATH) } else { Passed::UpToDate }
    }

    /// Where the place stands; where it is new or gets something else than before, that is recorded first.
    async fn cursor(&self, target: &Target) -> Result<Cursor> {
        let gone = || Problem::internal("the row of a place to forward to is gone");
        match rows::cursor(&self.database, target).await? {
            Some(cursor) if cursor.described == target.described => return Ok(cursor),
            _ => {}
        }
        let begin = Begin {
            permit: self.permit()?,
            target: target.id.clone(),
            described: target.described.clone(),
            host: target.host(),
            filter: serde_json::to_value(&target.filter).unwrap_or_default(),
        };
        match self.log.perform(begin).await {
            Err(problem) if !problem.is(ProblemKind::Conflict) => Err(problem),
            _ => rows::cursor(&self.database, target).await?.ok_or_else(gone),
        }
    }

    async fn read(&self, target: &Target, checkpoint: &Stored, cursor: &Cursor) -> Result<Option<Batch>> {
        let (first, planned) = (cursor.next(), cursor.planned());
        let wanted = Wanted { target, origin: &self.origin, checkpoint, first, planned };
        batch::read(self.permit()?, (&self.database, &self.entries), &wanted).await
    }

    async fn deliver(&self, target: &Target, batch: &Batch, cursor: &Cursor) -> Result<Passed> {
        if batch.entries > 0 {
            if cursor.planned() != Some(batch.end) {
                rows::plan(&self.database, target, batch).await?;
            }
            if let Err(refusal) = self.post(target, batch).await {
                return self.failed(target, batch, cursor, refusal).await;
            }
            count("port_control_forwarded_entries_total", target, batch.entries);
        }
        rows::advance(&self.database, target, batch, self.ambient.now()).await?;
        Ok(Passed::Sent)
    }

    async fn failed(
        &self,
        target: &Target,
        batch: &Batch,
        cursor: &Cursor,
        refusal: Refusal,
    ) -> Result<Passed> {
        count("port_control_forward_failures_total", target, 1);
        if refusal.is_too_large && batch.entries > 1 {
            target.halve(batch.entries);
            rows::forget_plan(&self.database, target).await?;
            return Ok(Passed::Sent);
        }
        let (first, longest) = PAUSES;
        let failures = u32::try_from(cursor.attempts).unwrap_or(u32::MAX).saturating_add(1);
        let sleep = pause(&self.ambient, failures, first, longest);
        tracing::warn!(
            host = target.host(),
            first = batch.first,
            why = refusal.why,
            "a batch of entries was not taken; it is sent again"
        );
        rows::postpone(&self.database, target, self.ambient.now().after(sleep), &refusal.why).await?;
        Ok(Passed::Wait(sleep.min(LONGEST_SLEEP)))
    }

    async fn post(&self, target: &Target, batch: &Batch) -> Result<(), Refusal> {
        let token = target.token().map_err(|problem| Refusal::because(problem.detail.clone()))?;
        let token = token.expose_text().ok_or_else(|| Refusal::because("its token is no text"))?;
        let key = format!("{}/{}-{}", self.origin, batch.first, batch.end - 1);
        let answer = self
            .client
            .post(target.url.clone())
            .header(CONTENT_TYPE, "application/x-ndjson")
            .header("idempotency-key", key)
            .bearer_auth(token)
            .body(batch.body.clone())
            .send()
            .await
            .map_err(|error| Refusal::because(said_by(error)))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let is_too_large = status == StatusCode::PAYLOAD_TOO_LARGE;
        Err(Refusal { is_too_large, ..Refusal::because(format!("it answered {status}")) })
    }

    /// Of each place, how far it has come; a problem where entries have been waiting for long.
    pub async fn check(&self) -> Vec<(String, Result<String>)> {
        join_all(self.targets.iter().map(async |target| (target.host(), self.stands(target).await))).await
    }

    async fn stands(&self, target: &Target) -> Result<String> {
        target.token()?;
        let Some(cursor) = rows::cursor(&self.database, target).await? else {
            return Ok("nothing was sent there yet".to_owned());
        };
        let size = newest(&self.database).await?.map_or(0, |it| it.size);
        let lag = rows::lag(&self.database, cursor.next(), size, self.ambient.now()).await?;
        if lag.age < TOO_LONG {
            return Ok(format!("{} entries were taken, {} wait", cursor.next(), lag.entries));
        }
        let why = cursor.last_error.unwrap_or_else(|| "nothing was tried".to_owned());
        Err(Problem::new(
            ProblemKind::Internal,
            format!(
                "{} entries wait, the oldest for {}: {why}",
                lag.entries,
                format_duration(Duration::from_secs(lag.age.as_secs()))
            ),
        )
        .remedy("Nothing is lost: everything is sent once the receiver takes it again."))
    }
}

/// Why a batch was not taken.
struct Refusal {
    is_too_large: bool,
    why: String,
}

impl Refusal {
    fn because(why: impl Into<String>) -> Self {
        Self { is_too_large: false, why: why.into() }
    }
}

fn count(name: &'static str, target: &Target, by: u64) {
    metrics::counter!(name, "target" => target.host()).increment(by);
}

fn show(target: &Target, lag: Lag) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    metrics::gauge!("port_control_forward_lag_entries", "target" => target.host()).set(lag.entries as f64);
    metrics::gauge!("port_control_forward_lag", "target" => target.host()).set(lag.age.as_secs_f64());
}
