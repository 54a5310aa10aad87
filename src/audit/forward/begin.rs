//! The entry about a place that the log is forwarded to.
//!
//! There is one when a place is first used and one when what it gets changes, and none for a batch: that
//! would be an entry to forward, so that a log in which nothing happens would feed itself for ever.

use async_trait::async_trait;
use serde_json::Value;

use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Problem, Result},
    policy::Permit,
    store::sql,
};

/// Notes that a place is forwarded to, from the first entry on or from where it stands.
pub(super) struct Begin {
    pub(super) permit: Permit,
    pub(super) target: String,
    pub(super) described: String,
    pub(super) host: String,
    pub(super) filter: Value,
}

#[async_trait]
impl Unit for Begin {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let query =
            sql("SELECT described, next_entry FROM log_forwards WHERE target = $1").bind(&self.target);
        let found: Option<(String, i64)> = work.fetch_optional(query).await?;
        if found.as_ref().is_some_and(|(described, _)| *described == self.described) {
            return Err(Problem::conflict("this place is known already"));
        }
        let next = found.map_or(0, |(_, next)| next);
        // A batch that was planned is no longer the same one.
        let row =
            sql("INSERT INTO log_forwards (target, described, next_entry, moved_at, attempts, next_at) \
                       VALUES ($1, $2, $3, $4, 0, $4) \
                       ON CONFLICT (target) DO UPDATE SET described = excluded.described, planned = NULL")
            .bind(&self.target)
            .bind(&self.described)
            .bind(next)
            .bind(work.now());
        work.execute(row).await?;
        let draft = Draft::act("log.forwarding-set").resource("log").with("host", self.host.as_str());
        work.record(draft.with("filter", self.filter.clone()).with("from", next));
        Ok(())
    }
}
