//! Doing what was asked for once, however often it is asked: whatever is recorded while a request is
//! answered commits together with a claim on the request's key, or not at all.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;

use super::unit::{Authority, Unit, Work};
use crate::{
    base::{Problem, Result},
    store::sql,
};

tokio::task_local! {
    static CLAIM: Claim;
}

/// A claim of one attempt on the key of one principal.
#[derive(Clone, Debug)]
pub struct Claim {
    principal: String,
    key: String,
    digest: [u8; 32],
    attempt: String,
    made: Arc<AtomicBool>,
}

impl Claim {
    /// A claim of `principal`, as the log names it, on `key`; `digest` tells the request from others, `attempt` this attempt from others.
    #[must_use]
    pub fn new(principal: String, key: String, digest: [u8; 32], attempt: String) -> Self {
        Self { principal, key, digest, attempt, made: Arc::default() }
    }

    /// Does `work`: every unit that it performs makes this claim, too.
    pub async fn over<Working: Future>(self, work: Working) -> Working::Output {
        CLAIM.scope(self, work).await
    }

    /// Whether a unit has come so far that it may be committed.
    #[must_use]
    pub fn may_be_made(&self) -> bool {
        self.made.load(Ordering::SeqCst)
    }

    /// The claim that is to be made by what this task performs.
    pub(super) fn of_now() -> Option<Self> {
        CLAIM.try_with(Self::clone).ok()
    }

    async fn make(&self, work: &mut Work<'_>) -> Result<()> {
        self.made.store(true, Ordering::SeqCst);
        let made = work
            .execute(
                sql("INSERT INTO idempotency (principal, token, digest, attempt, created_at) \
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (principal, token) \
                     DO UPDATE SET attempt = excluded.attempt WHERE idempotency.attempt = excluded.attempt")
                .bind(&self.principal)
                .bind(&self.key)
                .bind(self.digest)
                .bind(&self.attempt)
                .bind(work.now()),
            )
            .await?;
        if made == 1 {
            return Ok(());
        }
        Err(Problem::conflict("nothing happened: another request with this Idempotency-Key was first")
            .remedy("Repeat it in a moment: it is answered as the first one was."))
    }
}

/// A unit that makes a claim, too.
pub(super) struct Claimed<U> {
    pub(super) unit: U,
    pub(super) claim: Claim,
}

#[async_trait]
impl<U: Unit> Unit for Claimed<U> {
    type Output = U::Output;

    fn authority(&self) -> Authority<'_> {
        self.unit.authority()
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<U::Output> {
        let done = self.unit.run(work).await?;
        self.claim.make(work).await?;
        Ok(done)
    }
}
