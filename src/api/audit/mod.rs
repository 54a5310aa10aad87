//! The log: what public verifiers read below `/audit/log` (C2SP tlog-tiles), and what auditors ask below
//! `/audit/v1`.

mod access;
mod bundle;
mod entries;
mod export;
mod follow;
mod forget;
mod holds;
mod names;
mod proofs;
mod tiles;
mod vkeys;
mod witnessed;

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{HeaderName, HeaderValue, header, request::Parts},
};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    api::{App, Auth},
    audit::{
        self, Checkpoint, VerifierKey,
        checkpoint::newest,
        read::{Filter, Reader, nothing_signed},
    },
    base::{Problem, Result, Timestamp},
    identity::PersonAddress,
    policy::{Action, Permit, Resource},
};

/// What never changes under its address.
const FOREVER: &str = "max-age=31536000, immutable";

/// Whoever may read what is published of the log: everybody where the configuration says so, else people
/// whom a trust scope lets read it.
pub struct LogReader {
    is_public: bool,
}

impl FromRequestParts<Arc<App>> for LogReader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let is_public = app.config.log.public;
        if !is_public {
            let Auth(caller) = Auth::from_request_parts(parts, app).await?;
            app.gate.authorize(&caller, Action::ReadLog, Resource::Log).await?;
        }
        Ok(Self { is_public })
    }
}

impl LogReader {
    /// How long an answer that never changes may be kept, and by whom.
    fn cache_forever(&self) -> [(HeaderName, HeaderValue); 1] {
        let who = if self.is_public { "public" } else { "private" };
        let value = HeaderValue::from_str(&format!("{who}, {FOREVER}"));
        [(header::CACHE_CONTROL, value.unwrap_or(HeaderValue::from_static("no-store")))]
    }
}

/// The keys that the log of this server is or was signed with, the oldest first.
///
/// # Errors
/// A problem of the database.
pub async fn verifiers(app: &App) -> Result<Vec<VerifierKey>> {
    audit::verifiers(&app.keys, &app.config.log.origin).await
}

/// Who asks the log of this server.
fn reader(app: &App) -> Reader {
    Reader::new(app.database.clone(), app.log.clone()).with_entries(app.entries.clone())
}

/// The newest checkpoint, and its note.
async fn signed(app: &App) -> Result<(Checkpoint, String)> {
    let note = newest(&app.database).await?.ok_or_else(nothing_signed)?;
    Ok((Checkpoint::open_any(&note, &verifiers(app).await?)?, note))
}

/// Which entries, as addresses say it.
#[derive(Clone, Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Who acted: an id, an e-mail address, or `service/…`.
    actor: Option<String>,
    /// Whom it is about: an id or an e-mail address.
    subject: Option<String>,
    /// In which application.
    application: Option<String>,
    /// In which environment; with `@TEAM` the copy of that team.
    environment: Option<String>,
    /// On which secret.
    secret: Option<String>,
    /// What was done; `secret.` means everything that begins so.
    action: Option<String>,
    /// `allow` or `deny`.
    decision: Option<String>,
    /// `act`, `denial`, `intent` or `outcome`.
    kind: Option<String>,
    /// By which trust scope.
    scope: Option<String>,
    /// For which request.
    request: Option<String>,
    /// Words that all stand in the reason.
    reason: Option<String>,
    /// Not before (RFC 3339, or a day).
    since: Option<String>,
    /// Before (RFC 3339, or a day).
    until: Option<String>,
    /// Where the page begins: `next` of the one before.
    cursor: Option<u64>,
    /// How many entries at most.
    limit: Option<u32>,
    /// Of an export: `ndjson` (which can be verified), `csv`, `cloudevents` or `ocsf`.
    format: Option<String>,
}

impl Which {
    /// As the log takes it: addresses become ids.
    async fn filter(&self, app: &App, permit: &Permit) -> Result<Filter> {
        let time = |text: &Option<String>| -> Result<Option<Timestamp>> {
            text.as_ref().map(|text| text.parse().map_err(Problem::invalid)).transpose()
        };
        Ok(Filter {
            actor: person(app, permit, self.actor.as_ref()).await?,
            subject: person(app, permit, self.subject.as_ref()).await?,
            application: self.application.clone(),
            environment: self.environment.clone(),
            secret: self.secret.clone(),
            action: self.action.clone(),
            decision: self.decision.clone(),
            kind: self.kind.clone(),
            scope: self.scope.clone(),
            request: self.request.clone(),
            reason: self.reason.clone(),
            since: time(&self.since)?,
            until: time(&self.until)?,
        })
    }
}

/// An e-mail address as the id of the one person who has it; anything else as it is.
async fn person(app: &App, permit: &Permit, who: Option<&String>) -> Result<Option<String>> {
    let Some(who) = who.filter(|who| who.contains('@')) else { return Ok(who.cloned()) };
    let address: PersonAddress = who.parse().map_err(Problem::invalid)?;
    Ok(Some(app.identity.find_person(permit, &address).await?.id.to_string()))
}

/// All endpoints here; their addresses begin with `/audit`, at the root of the server.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(access::route())
        .merge(bundle::route())
        .merge(entries::route())
        .merge(export::route())
        .merge(forget::route())
        .merge(holds::route())
        .merge(follow::route())
        .merge(names::route())
        .merge(proofs::route())
        .merge(tiles::route())
        .merge(vkeys::route())
        .merge(witnessed::route())
}
