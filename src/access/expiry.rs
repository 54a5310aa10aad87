//! Ends what has run out: grants, requests nobody decided, sessions, leases.
//!
//! Decisions compare ends with the time, so nothing rests on this being quick; it is what makes an end
//! an entry. Level-triggered: woken by the next end, by the log, and by a timer, it reads what has run
//! out and ends it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    grants::{self, stored},
    lease_ends,
    lease_rights::{self, Allowing},
    request::request_in,
};
use crate::{
    audit::{Authority, Head, Log, Unit, Work},
    base::{
        Ambient, ProblemKind, Result, Timestamp,
        ids::{GrantId, LeaseId, RequestId},
    },
    catalog::Catalog,
    identity::{Identity, ServicePermits},
    policy::{Action, Permit, Resource, Service},
    store::{Database, sql},
};

/// Longest time between two looks.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// Shortest time between two looks, so that a busy log does not make this busy.
const SHORTEST_SLEEP: Duration = Duration::from_millis(100);

/// What ends whatever has run out.
pub struct Expiry {
    database: Database,
    log: Log,
    identity: Identity,
    catalog: Catalog,
    permits: Arc<dyn ServicePermits>,
    ambient: Ambient,
}

/// One thing that has run out.
#[derive(Clone, Copy, Debug)]
enum RunOut {
    Grant(GrantId),
    Request(RequestId),
    Lease(LeaseId),
    /// Not by time: what allowed it does so no more.
    LeaseRight(LeaseId),
}

impl Expiry {
    /// Ends by the clock of `ambient`, under permits of [`Service::Expiry`].
    #[must_use]
    pub fn new(
        database: Database,
        log: Log,
        identity: Identity,
        catalog: Catalog,
        permits: Arc<dyn ServicePermits>,
        ambient: Ambient,
    ) -> Self {
        Self { database, log, identity, catalog, permits, ambient }
    }

    /// Looks again and again until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut log = self.log.watch();
        while !stop.is_cancelled() {
            // Before the look, so that what is declared meanwhile is looked at again.
            let declared = self.catalog.snapshot().await.map_or(0, |it| it.version);
            if let Err(problem) = self.look().await {
                tracing::warn!(%problem, "what has run out could not be ended; it does not work all the same");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.until_due(&mut log, declared) => {}
            }
        }
    }

    /// Waits until something has run out, or another version than `looked_at` is declared. A growing log may
    /// hold an end that is nearer, so it only makes the wait anew.
    async fn until_due(&self, log: &mut watch::Receiver<Head>, looked_at: i64) {
        loop {
            tokio::time::sleep(SHORTEST_SLEEP).await;
            log.borrow_and_update();
            if self.catalog.snapshot().await.is_ok_and(|it| it.version != looked_at) {
                return;
            }
            let sleep = self.until_next_end().await.unwrap_or(Duration::from_secs(1));
            tokio::select! {
                () = tokio::time::sleep(sleep) => return,
                _ = log.changed() => {}
            }
        }
    }

    /// Ends everything that has run out by now; how many things that were.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn look(&self) -> Result<usize> {
        let mut ended = self.identity.end_expired().await?;
        loop {
            let declared = self.catalog.snapshot().await?;
            let by = Allowing { declared, issuers: self.identity.workload_issuers().cloned().collect() };
            let found = self.run_out(&by).await?;
            if found.is_empty() {
                return Ok(ended);
            }
            let units = found.into_iter().map(|what| self.end(what, &by));
            let before = ended;
            for outcome in join_all(units).await {
                match outcome {
                    Ok(()) => ended += 1,
                    // Somebody else ended it: another replica, or its owner.
                    Err(problem)
                        if problem.is(ProblemKind::Conflict) || problem.is(ProblemKind::NotFound) => {}
                    Err(problem) => return Err(problem),
                }
            }
            if ended == before {
                return Ok(ended);
            }
        }
    }

    async fn end(&self, what: RunOut, by: &Allowing) -> Result<()> {
        let permit = self.permits.permit(Service::Expiry, Action::Expire, Resource::People)?;
        self.log.perform(End { permit, what, by: by.clone() }).await
    }

    async fn run_out(&self, by: &Allowing) -> Result<Vec<RunOut>> {
        let now = self.ambient.now();
        let grants: Vec<(String,)> = self
            .database
            .fetch_all(
                sql("SELECT id FROM grants WHERE ended_at IS NULL AND ends_at <= $1 LIMIT 256").bind(now),
            )
            .await?;
        let requests: Vec<(String,)> = self
            .database
            .fetch_all(
                sql("SELECT id FROM requests WHERE state = 'pending' AND expires_at <= $1 LIMIT 256")
                    .bind(now),
            )
            .await?;
        let leases = lease_ends::ids(&self.database, now).await?;
        let mut found = Vec::with_capacity(grants.len() + requests.len() + leases.len());
        found.extend(leases.into_iter().map(RunOut::Lease));
        let lost = lease_rights::lost(&self.database, by, now).await?;
        found.extend(lost.into_iter().map(RunOut::LeaseRight));
        for (id,) in grants {
            found.push(RunOut::Grant(stored(&id)?));
        }
        for (id,) in requests {
            found.push(RunOut::Request(stored(&id)?));
        }
        Ok(found)
    }

    async fn until_next_end(&self) -> Result<Duration> {
        let next: Option<(Option<i64>,)> = self
            .database
            .fetch_optional(sql("SELECT min(t.at) FROM (\
                 SELECT min(ends_at) AS at FROM grants WHERE ended_at IS NULL \
                 UNION ALL SELECT min(expires_at) AS at FROM requests WHERE state = 'pending' \
                 UNION ALL SELECT min(ends_at) AS at FROM sessions WHERE ended_at IS NULL) t"))
            .await?;
        let next = next.and_then(|(at,)| at).map(Timestamp::from_millis);
        let next = next.into_iter().chain(lease_ends::next(&self.database).await?).min();
        Ok(next.map_or(LONGEST_SLEEP, |at| at.since(self.ambient.now()).min(LONGEST_SLEEP)))
    }
}

/// Ends one thing, if it has run out by the time of the log.
struct End {
    permit: Permit,
    what: RunOut,
    by: Allowing,
}

#[async_trait]
impl Unit for End {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        match self.what {
            RunOut::Grant(id) => grants::end(work, id, "time").await,
            RunOut::Lease(id) => lease_ends::end(work, id).await,
            RunOut::LeaseRight(id) => lease_rights::end(work, id, &self.by).await,
            RunOut::Request(id) => {
                let now = work.now();
                let request = request_in(work, id).await?.expire(now)?;
                request.store_outcome(work).await?;
                work.record(request.draft("request.expired").with("because", "time"));
                Ok(())
            }
        }
    }
}
