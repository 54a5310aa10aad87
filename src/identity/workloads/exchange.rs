//! Exchanging a token of a workload's own issuer for a short one of ours (RFC 8693).

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use async_trait::async_trait;
use ring::digest::{Context, SHA256};

use super::{
    Issuer, WORKLOAD_TOKEN_PREFIX, Workload,
    issuer::{Doubt, Presented},
    refusals::{Refusal, STRANGER, count_refused},
};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Name, Problem, ProblemKind, Result, SecretValue, Timestamp, ids::WorkloadTokenId},
    identity::{
        Identity,
        jwt::claims_of,
        token::{hash_of, new_token},
    },
    policy::{Action, Permit, Resource, Service, TrustScope},
    store::sql,
};

/// Longest life of a token of ours; it never outlives the one that it was given for.
const LONGEST: Duration = Duration::from_mins(15);

/// What is brought, and what is wanted for it.
pub struct Exchange {
    /// The token of the workload's own issuer.
    pub token: SecretValue,
    /// Which workload it is, where what it says fits more than one.
    pub workload: Option<Name>,
    /// The one trust scope that the new token is to be good for.
    pub scope: Option<Name>,
    /// From where.
    pub network: Option<IpAddr>,
}

/// What files say.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Workloads by name.
    pub workloads: &'a BTreeMap<Name, Workload>,
    /// Trust scopes.
    pub scopes: &'a [TrustScope],
}

/// A token that has just been issued, with its only copy.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token; shown once, kept nowhere.
    pub token: SecretValue,
    /// Whose.
    pub workload: Name,
    /// The one trust scope that it is good for.
    pub scope: Option<Name>,
    /// For how long.
    pub life: Duration,
}

impl Identity {
    /// Exchanges a token.
    ///
    /// # Errors
    /// `rate-limited`; `sign-in-refused` for a token that is not to be believed, was exchanged already, or
    /// fits no declared workload; `ambiguous` where it fits several; `denied` for a trust scope that the
    /// workload is not in; `identity-provider-unavailable` and `cluster-unavailable`; those of the log.
    pub async fn exchange(&self, wish: Exchange, known: Known<'_>) -> Result<IssuedToken> {
        self.limit.take(wish.network, self.ambient.now())?;
        let issuer = self.issuer_of(&wish.token)?;
        let presented = issuer.believe(&wish.token).await.map_err(|doubt| match doubt {
            Doubt::Disbelieved(what) => nobody(format!(
                "the token is not to be believed: {what}; it has to be {}'s, for the audience {}",
                issuer.config.name, issuer.config.audience
            )),
            Doubt::Unknown(problem) => {
                count_refused("unknown");
                problem
            }
        })?;
        if is_stranger(issuer, &presented, known) {
            self.note_refused_workload(refusal(issuer, presented, None, STRANGER, wish.network)).await;
            return Err(fits_nothing());
        }
        let outcome = match choose(issuer, &presented, &wish, known) {
            Ok(workload) => self
                .issue(issuer, &presented, &wish, workload)
                .await
                .map_err(|problem| (Some(workload.name.clone()), problem)),
            Err(problem) => Err((wish.workload.clone(), problem)),
        };
        match outcome {
            Ok(given) => Ok(given),
            Err((workload, problem)) => {
                if let Some(why) = why_refused(problem.kind) {
                    let refusal = refusal(issuer, presented, workload, why, wish.network);
                    self.note_refused_workload(refusal).await;
                }
                Err(problem)
            }
        }
    }

    /// Whose token it says that it is. Nothing of it is believed yet.
    fn issuer_of(&self, token: &SecretValue) -> Result<&Issuer> {
        let claims = token.expose_text().and_then(claims_of);
        let claims = claims.ok_or_else(|| nobody("the subject token is no signed token (JWT)".to_owned()))?;
        let iss = claims.get("iss").and_then(serde_json::Value::as_str).unwrap_or_default();
        self.issuers.of(iss).ok_or_else(|| {
            let shown: String = iss.chars().take(120).collect();
            nobody(format!("no workload issuer here is '{}'", shown.escape_debug()))
        })
    }

    async fn issue(
        &self,
        issuer: &Issuer,
        presented: &Presented,
        wish: &Exchange,
        workload: &Workload,
    ) -> Result<IssuedToken> {
        let permit = self.permits.permit(Service::SignIn, Action::SignIn, Resource::Workloads)?;
        let token = new_token(&self.ambient, WORKLOAD_TOKEN_PREFIX);
        let unit = Issue {
            permit,
            token_hash: hash_of(token.expose()),
            workload: workload.name.clone(),
            declaration: workload.digest(),
            pinned: pinned(workload, presented),
            issuer: issuer.config.name.clone(),
            subject: presented.subject.clone(),
            once: presented.once.as_deref().map(|it| once(&issuer.config.issuer, it)),
            scope: wish.scope.clone(),
            network: wish.network,
            presented_ends: presented.ends,
        };
        let life = self.log.perform(unit).await?;
        metrics::counter!("port_control_workload_tokens_total").increment(1);
        Ok(IssuedToken { token, workload: workload.name.clone(), scope: wish.scope.clone(), life })
    }
}

/// Why somebody who is known was refused; what the database failed with is no refusal.
const fn why_refused(kind: ProblemKind) -> Option<&'static str> {
    match kind {
        ProblemKind::SignInRefused => Some("not-pinned"),
        ProblemKind::Conflict => Some("exchanged-already"),
        ProblemKind::Ambiguous => Some("ambiguous"),
        ProblemKind::Denied => Some("not-in-scope"),
        _ => None,
    }
}

fn refusal(
    issuer: &Issuer,
    presented: Presented,
    workload: Option<Name>,
    why: &'static str,
    network: Option<IpAddr>,
) -> Refusal {
    let (issuer, subject) = (issuer.config.name.to_string(), presented.subject);
    Refusal { workload, issuer, subject, why, network }
}

/// Whether no file knows anything of whose token it is. At a public issuer, anybody has one.
fn is_stranger(issuer: &Issuer, presented: &Presented, known: Known<'_>) -> bool {
    let mut of_issuer = known.workloads.values().filter(|it| it.issuer == issuer.config.name);
    !of_issuer.any(|it| it.is_akin(issuer.config.kind, &presented.claims))
}

/// The same to every stranger: what is declared here is not theirs to find out.
fn fits_nothing() -> Problem {
    Problem::new(ProblemKind::SignInRefused, "the token fits no workload here")
        .remedy("Compare the job with what files pin: `kind: Workload`, `pins`.")
}

/// Somebody of whom nothing is believed: counted, not recorded.
fn nobody(what: String) -> Problem {
    count_refused("nobody");
    Problem::new(ProblemKind::SignInRefused, what)
        .remedy("Send a token that one of `workload_issuers` in the server's configuration issued for it.")
}

/// The one declared workload that the token fits.
fn choose<'k>(
    issuer: &Issuer,
    presented: &Presented,
    wish: &Exchange,
    known: Known<'k>,
) -> Result<&'k Workload> {
    let meant: Vec<&Workload> = known
        .workloads
        .values()
        .filter(|it| {
            it.issuer == issuer.config.name && wish.workload.as_ref().is_none_or(|name| it.name == *name)
        })
        .collect();
    let misfits: Vec<_> =
        meant.iter().map(|it| (*it, it.misfit(issuer.config.kind, &presented.claims))).collect();
    let fitting: Vec<&Workload> =
        misfits.iter().filter(|(_, misfit)| misfit.is_none()).map(|(it, _)| *it).collect();
    let workload = match fitting.as_slice() {
        [one] => *one,
        [] => return Err(fits_none(issuer, &misfits)),
        several => {
            let names: Vec<&str> = several.iter().map(|it| it.name.as_str()).collect();
            return Err(Problem::new(
                ProblemKind::Ambiguous,
                format!("the token fits the workloads {}", names.join(", ")),
            )
            .remedy("Say which: `workload`, or PORTCTL_WORKLOAD for portctl."));
        }
    };
    match &wish.scope {
        Some(scope) if !is_in(workload, scope, known.scopes) => Err(Problem::new(
            ProblemKind::Denied,
            format!("the workload '{}' is in no trust scope '{scope}'", workload.name),
        )
        .remedy("Name a trust scope that has it under `members.workloads`, or none.")),
        _ => Ok(workload),
    }
}

fn is_in(workload: &Workload, scope: &Name, scopes: &[TrustScope]) -> bool {
    scopes.iter().any(|it| it.name == *scope && it.members.workloads.contains(&workload.name))
}

/// Says by which claim a token does not fit, never what it says or should say.
fn fits_none(issuer: &Issuer, misfits: &[(&Workload, Option<&str>)]) -> Problem {
    let detail = match misfits {
        [] => format!("no workload of '{}' is declared that could be meant", issuer.config.name),
        [(workload, Some(claim))] => {
            format!("the token's claim '{claim}' is not what the workload '{}' is pinned to", workload.name)
        }
        several => {
            format!("the token fits none of the {} workloads of '{}'", several.len(), issuer.config.name)
        }
    };
    Problem::new(ProblemKind::SignInRefused, detail)
        .remedy("Compare the job with what files pin: `kind: Workload`, `pins`.")
}

/// What the pins of a workload found in its token.
fn pinned(workload: &Workload, presented: &Presented) -> serde_json::Value {
    let said = |claim: &String| presented.claims.get(claim).map(|it| (claim.clone(), it.clone().into()));
    serde_json::Value::Object(workload.pins.keys().filter_map(said).collect())
}

/// By what a token is known again that may be exchanged once.
fn once(issuer: &str, id: &str) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(&(issuer.len() as u64).to_be_bytes());
    context.update(issuer.as_bytes());
    context.update(id.as_bytes());
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

struct Issue {
    permit: Permit,
    token_hash: [u8; 32],
    workload: Name,
    declaration: [u8; 32],
    pinned: serde_json::Value,
    issuer: Name,
    subject: String,
    once: Option<[u8; 32]>,
    scope: Option<Name>,
    network: Option<IpAddr>,
    presented_ends: Timestamp,
}

#[async_trait]
impl Unit for Issue {
    type Output = Duration;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Duration> {
        let now = work.now();
        // What has run out can be brought neither again nor here.
        work.execute(sql("DELETE FROM workload_tokens WHERE forget_at <= $1").bind(now)).await?;
        self.refuse_again(work).await?;
        let ends_at = self.presented_ends.min(now.after(LONGEST));
        let id: WorkloadTokenId = work.ambient().id();
        self.insert(work, id, ends_at).await?;
        self.record(work, id, ends_at);
        Ok(ends_at.since(now))
    }
}

impl Issue {
    async fn refuse_again(&self, work: &mut Work<'_>) -> Result<()> {
        let Some(once) = self.once else { return Ok(()) };
        let known: Option<(String,)> =
            work.fetch_optional(sql("SELECT id FROM workload_tokens WHERE once = $1").bind(once)).await?;
        match known {
            None => Ok(()),
            Some(_) => Err(Problem::conflict("this token was exchanged already")
                .remedy("Let the job ask its issuer for a new one.")),
        }
    }

    async fn insert(&self, work: &mut Work<'_>, id: WorkloadTokenId, ends_at: Timestamp) -> Result<()> {
        work.execute(
            sql(
                "INSERT INTO workload_tokens (id, token_hash, workload, declaration, issuer, subject, once, \
                 scope, network, issued_at, ends_at, forget_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            )
            .bind(id)
            .bind(self.token_hash)
            .bind(self.workload.as_str())
            .bind(self.declaration)
            .bind(self.issuer.as_str())
            .bind(&self.subject)
            .bind(self.once.map(|it| it.to_vec()))
            .bind(self.scope.as_ref().map(ToString::to_string))
            .bind(self.network.map(|it| it.to_string()))
            .bind(work.now())
            .bind(ends_at)
            // The token that was brought is believed for a minute after its end.
            .bind(self.presented_ends.after(Duration::from_mins(2))),
        )
        .await?;
        Ok(())
    }

    fn record(&self, work: &mut Work<'_>, id: WorkloadTokenId, ends_at: Timestamp) {
        let mut draft = Draft::act("workload.token-issued")
            .resource(format!("workload/{}", self.workload))
            .with("token", id.to_string())
            .with("issuer", self.issuer.as_str())
            .with("subject", self.subject.as_str())
            .with("claims", self.pinned.clone())
            .with("ends_at", ends_at.to_string());
        if let Some(scope) = &self.scope {
            draft = draft.with("for_scope", scope.as_str());
        }
        if let Some(network) = self.network {
            draft = draft.with("from", network.to_string());
        }
        work.record(draft);
    }
}
