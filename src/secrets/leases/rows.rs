//! Leases as they lie in the database.

use crate::{
    audit::Work,
    base::{
        EnvironmentRef, LeaseRef, Name, Problem, Result, Timestamp,
        ids::{GrantId, IntentId, LeaseId},
    },
    policy::Permit,
    secrets::leases::{EngineRole, Handle},
    store::{Query, sql},
};

/// How a lease stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// It is being issued, and nobody has the credentials yet.
    Opening,
    /// Its holder has the credentials.
    Live,
    /// It is being taken back; the credentials may work until the engine has answered.
    Revoking,
    /// The credentials work no more, or were never made.
    Ended,
}

impl LeaseState {
    /// As it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Live => "live",
            Self::Revoking => "revoking",
            Self::Ended => "ended",
        }
    }

    /// What cannot be read counts as live: it is shown, and can be taken back.
    fn from_stored(text: &str) -> Self {
        match text {
            "opening" => Self::Opening,
            "revoking" => Self::Revoking,
            "ended" => Self::Ended,
            _ => Self::Live,
        }
    }
}

/// As what a workload held the token by which it acts.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Origin {
    /// SHA-256 of what files declared of it.
    pub(super) declaration: Vec<u8>,
    /// The issuer's name in the configuration.
    pub(super) issuer: String,
}

/// Credentials that somebody holds for a while; without the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its id.
    pub id: LeaseId,
    /// Who holds it, as the log names whoever it is.
    pub principal: String,
    /// Of which role.
    pub at: LeaseRef,
    /// The team that owned the application when it was issued.
    pub owner: Option<Name>,
    /// Whether the environment was protected then.
    pub protected: bool,
    /// Where the engine has the role.
    pub engine_role: EngineRole,
    /// The trust scope that allowed it.
    pub scope: Option<String>,
    /// The grant that it took, and with which it ends.
    pub grant: Option<GrantId>,
    /// What it rests on where a workload holds it.
    pub(super) origin: Option<Origin>,
    /// How it stands.
    pub state: LeaseState,
    /// What is under way at the engine.
    pub(super) intent: Option<IntentId>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its holder was given the credentials.
    pub issued_at: Option<Timestamp>,
    /// When it ends unless it is renewed.
    pub ends_at: Timestamp,
    /// Until when it can be renewed.
    pub limit_at: Timestamp,
    /// Why it is over, or about to be: `given-back`, `revoked`, `time`, `grant-ended`, `suspended`,
    /// `no-longer-declared`, `declaration-moved`, `issuer-gone`, `deactivated`, `not-allowed`, `not-issued`,
    /// `not-told`.
    pub because: Option<String>,
    /// Since when it is being taken back.
    pub revoking_at: Option<Timestamp>,
    /// When the engine had taken it back.
    pub ended_at: Option<Timestamp>,
    /// What stands in the way of taking it back, in words.
    pub waits_for: Option<String>,
    /// By what it is renewed and taken back.
    pub(super) handle: Handle,
    /// How often that was tried in vain.
    pub(super) attempts: i64,
}

#[derive(sqlx::FromRow)]
pub(super) struct LeaseRow {
    id: String,
    principal: String,
    application: String,
    environment: String,
    role: String,
    owner: Option<String>,
    protected: i64,
    mount: String,
    engine_role: String,
    scope: Option<String>,
    grant_id: Option<String>,
    declaration: Option<Vec<u8>>,
    issuer: Option<String>,
    state: String,
    intent: Option<String>,
    created_at: i64,
    issued_at: Option<i64>,
    ends_at: i64,
    limit_at: i64,
    engine_lease: Option<String>,
    because: Option<String>,
    revoking_at: Option<i64>,
    ended_at: Option<i64>,
    accessor: Option<String>,
    attempts: Option<i64>,
    detail: Option<String>,
}

impl TryFrom<LeaseRow> for Lease {
    type Error = Problem;

    fn try_from(row: LeaseRow) -> Result<Self> {
        let state = LeaseState::from_stored(&row.state);
        Ok(Self {
            id: stored(&row.id)?,
            at: LeaseRef {
                environment: EnvironmentRef {
                    application: stored(&row.application)?,
                    environment: stored(&row.environment)?,
                    team: None,
                },
                role: stored(&row.role)?,
            },
            owner: row.owner.as_deref().map(stored).transpose()?,
            protected: row.protected != 0,
            engine_role: EngineRole { mount: row.mount, role: row.engine_role },
            scope: row.scope,
            grant: row.grant_id.as_deref().map(stored).transpose()?,
            origin: row
                .declaration
                .zip(row.issuer)
                .map(|(declaration, issuer)| Origin { declaration, issuer }),
            intent: row.intent.as_deref().map(stored).transpose()?,
            created_at: Timestamp::from_millis(row.created_at),
            issued_at: row.issued_at.map(Timestamp::from_millis),
            ends_at: Timestamp::from_millis(row.ends_at),
            limit_at: Timestamp::from_millis(row.limit_at),
            because: row.because,
            revoking_at: row.revoking_at.map(Timestamp::from_millis),
            ended_at: row.ended_at.map(Timestamp::from_millis),
            waits_for: row.detail.filter(|_| state != LeaseState::Ended),
            handle: Handle { accessor: row.accessor, lease: row.engine_lease },
            attempts: row.attempts.unwrap_or(0),
            principal: row.principal,
            state,
        })
    }
}

fn stored<T: std::str::FromStr<Err = String>>(text: &str) -> Result<T> {
    text.parse().map_err(|_| Problem::internal("a stored lease cannot be read"))
}

/// Every column of [`LeaseRow`]; `rest` says of which leases, `l` being the lease, `a` its accessor and `t` the
/// attempts at taking it back.
pub(super) fn leases(rest: &str) -> Query {
    Query::composed(
        format!(
            "SELECT l.*, a.accessor, t.attempts, t.detail FROM leases l \
             LEFT JOIN lease_accessors a ON a.lease = l.id LEFT JOIN lease_attempts t ON t.lease = l.id {rest}"
        ),
        Vec::new(),
    )
}

/// What a permit of a workload rests on: the token by which it was decided.
pub(super) async fn origin(work: &mut Work<'_>, permit: &Permit) -> Result<Option<Origin>> {
    let Some(token) = permit.rests_on().workload else { return Ok(None) };
    let query = sql("SELECT declaration, issuer FROM workload_tokens WHERE id = $1").bind(token);
    let found = work.fetch_optional(query).await?;
    found.map(Some).ok_or_else(|| Problem::internal("a workload acts by a token that is not there"))
}

/// One lease.
pub(super) fn lease(id: LeaseId) -> Query {
    leases("WHERE l.id = $1").bind(id)
}
