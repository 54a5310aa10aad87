//! From a workload's token to the workload that calls.

use std::{fmt, net::IpAddr};

use super::{WORKLOAD_TOKEN_PREFIX, refusals::Refusal};
use crate::{
    base::{Name, Problem, ProblemKind, Result, Timestamp, ids::WorkloadTokenId},
    identity::{Caller, Identity, caller::stored_id, token::hash_of},
    store::sql,
};

/// Whoever calls: a person, or a workload where those may, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyCaller {
    /// A human.
    Person(Caller),
    /// A CI job or a ServiceAccount.
    Workload(WorkloadCaller),
}

impl From<Caller> for AnyCaller {
    fn from(caller: Caller) -> Self {
        Self::Person(caller)
    }
}

impl From<&Caller> for AnyCaller {
    fn from(caller: &Caller) -> Self {
        Self::Person(caller.clone())
    }
}

impl From<&Self> for AnyCaller {
    fn from(caller: &Self) -> Self {
        caller.clone()
    }
}

impl fmt::Display for AnyCaller {
    /// As the log names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(caller) => write!(f, "{}", caller.person),
            Self::Workload(caller) => write!(f, "workload/{}", caller.workload),
        }
    }
}

/// An authenticated workload. `Debug` prints names and ids only.
#[derive(Clone, PartialEq, Eq)]
pub struct WorkloadCaller {
    /// Which, as files declare it.
    pub workload: Name,
    /// By which token.
    pub token: WorkloadTokenId,
    /// The one trust scope that the token was asked for.
    pub only: Option<Name>,
    /// From where.
    pub network: Option<IpAddr>,
}

impl fmt::Debug for WorkloadCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorkloadCaller({}, {})", self.workload, self.token)
    }
}

/// What is held of a workload's token.
#[derive(Clone, Debug)]
pub struct WorkloadRow {
    /// SHA-256 of what files declared of it when the token was issued.
    pub declaration: Vec<u8>,
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// Who it is there.
    pub subject: String,
    /// The one trust scope that the token was asked for.
    pub scope: Option<Name>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    id: String,
    workload: String,
    issuer: String,
    subject: String,
    scope: Option<String>,
    ends_at: i64,
    ended_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct FactsRow {
    declaration: Vec<u8>,
    issuer: String,
    subject: String,
    scope: Option<String>,
    issued_at: i64,
    ends_at: i64,
}

impl Identity {
    /// Who holds `token`, person or workload.
    ///
    /// # Errors
    /// As [`Identity::authenticate`].
    pub async fn authenticate_any(&self, token: &str, network: Option<IpAddr>) -> Result<AnyCaller> {
        if token.starts_with(WORKLOAD_TOKEN_PREFIX) {
            let (caller, _) = self.workload_of(token, network).await?;
            return Ok(AnyCaller::Workload(caller));
        }
        self.authenticate(token, network).await.map(AnyCaller::Person)
    }

    /// Refuses a workload where only people may call; that is recorded.
    pub(in crate::identity) async fn refuse_workload(&self, token: &str, network: Option<IpAddr>) -> Problem {
        let (caller, row) = match self.workload_of(token, network).await {
            Ok(found) => found,
            Err(problem) => return problem,
        };
        let workload = caller.workload;
        self.note_refused_workload(Refusal {
            workload: Some(workload.clone()),
            issuer: row.issuer,
            subject: row.subject,
            why: "for-people",
            network,
        })
        .await;
        Problem::new(ProblemKind::Denied, format!("workload/{workload} may not do this: only people do"))
            .with("reason", "for-people")
            .remedy("Let a person do it.")
    }

    async fn workload_of(&self, token: &str, network: Option<IpAddr>) -> Result<(WorkloadCaller, TokenRow)> {
        let row: Option<TokenRow> = self
            .database
            .fetch_optional(
                sql("SELECT id, workload, issuer, subject, scope, ends_at, ended_at FROM workload_tokens \
                     WHERE token_hash = $1")
                .bind(hash_of(token.as_bytes())),
            )
            .await?;
        let row = row.ok_or_else(|| unauthenticated("the token is not one of a workload here"))?;
        if row.ended_at.is_some() || Timestamp::from_millis(row.ends_at) <= self.ambient.now() {
            return Err(unauthenticated("the workload's token has ended"));
        }
        // Whom the configuration no longer trusts, it trusts no more.
        if !self.issuers.all.iter().any(|it| it.config.name.as_str() == row.issuer) {
            return Err(unauthenticated("the issuer of the workload is no longer one here"));
        }
        let workload = row.workload.parse().map_err(Problem::internal)?;
        let only = row.scope.as_deref().map(|it| it.parse().map_err(Problem::internal)).transpose()?;
        Ok((WorkloadCaller { workload, token: stored_id(&row.id)?, only, network }, row))
    }

    /// What is held of the token that a workload calls by. Access decides with it.
    ///
    /// # Errors
    /// `unauthenticated` where it has ended since.
    pub async fn workload_facts(&self, caller: &WorkloadCaller) -> Result<WorkloadRow> {
        let row: Option<FactsRow> = self
            .database
            .fetch_optional(
                sql("SELECT declaration, issuer, subject, scope, issued_at, ends_at FROM workload_tokens \
                     WHERE id = $1 AND ended_at IS NULL")
                .bind(caller.token),
            )
            .await?;
        let row = row.ok_or_else(|| unauthenticated("the workload's token has ended"))?;
        Ok(WorkloadRow {
            declaration: row.declaration,
            issuer: row.issuer,
            subject: row.subject,
            scope: row.scope.map(|it| it.parse().map_err(Problem::internal)).transpose()?,
            issued_at: Timestamp::from_millis(row.issued_at),
            ends_at: Timestamp::from_millis(row.ends_at),
        })
    }
}

fn unauthenticated(why: &str) -> Problem {
    Problem::new(ProblemKind::Unauthenticated, why)
        .remedy("Exchange the job's own token again: `POST /api/v1/token`; `portctl` does it by itself.")
}
