//! `GET /audit/v1/access`

use std::sync::Arc;

use axum::extract::{Query, State, rejection::QueryRejection};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::reader;
use crate::{
    access::reach::{ACTIONS, History, Reach, World, world_of_now},
    api::{App, Auth, Json},
    audit::read::Reader,
    base::{Name, Problem, Result, Timestamp},
    policy::{Action, Resource},
};

/// When, and of what.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// At which moment (RFC 3339); now where it stays out.
    at: Option<String>,
    /// Of which application.
    application: Option<String>,
}

/// Who could reach what at one moment.
#[derive(Serialize, ToSchema)]
pub struct Access {
    /// The moment.
    #[schema(value_type = String)]
    at: Timestamp,
    /// Whether it was recomputed from entries; else it is by the rows of now.
    recomputed: bool,
    /// How many entries the log had when it was asked.
    entries: u64,
    /// How many people were known.
    people: usize,
    /// Of how many entries parts were forgotten; of whom they were is not known any more.
    forgotten: u64,
    /// Who can do what where: people by id, place and trust scope, then workloads.
    #[schema(value_type = Vec<Object>)]
    items: Vec<Reach>,
    /// Always null: all are listed.
    next: Option<String>,
}

/// Who could reach what, of environments: recomputed from entries for a moment before, by the rows of now
/// else. Policy decides for each as it does when she asks herself. That you asked is itself recorded.
#[utoipa::path(
    get,
    path = "/audit/v1/access",
    tag = "audit",
    params(Asked),
    responses(
        (status = 200, description = "Everybody's reach at that moment.", body = Access),
        (status = 400, description = "`invalid-request`: no time, or one to come"),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`: that application was not declared then"),
        (status = 500, description = "`log-altered`: an entry does not fit what lies beside it"),
    )
)]
async fn access(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Access>, Problem> {
    let Query(asked) = asked.map_err(|e| Problem::invalid(e.body_text()))?;
    let now = app.ambient.now();
    let at = asked.at.as_deref().map(|text| moment(text, now)).transpose()?;
    let application: Option<Name> =
        asked.application.as_deref().map(|text| text.parse().map_err(Problem::invalid)).transpose()?;
    let reader = reader(&app);
    let question = json!({ "question": "access", "at": at, "application": asked.application });
    let entries = app
        .gate
        .act(&caller, Action::ReadLog, Resource::Log, |permit| reader.ask(permit, question.clone()))
        .await?;
    let (world, forgotten) = match at {
        Some(at) => recomputed(&app, &reader, entries, at).await?,
        None => (world_of_now(&app.database, app.catalog.snapshot().await?, now).await?, 0),
    };
    let (policies, people) = (app.gate.policies(), world.people());
    let items = tokio::task::spawn_blocking(move || world.reaches(&policies, application.as_ref()))
        .await
        .map_err(|e| Problem::internal(format!("working out who can reach what: {e}")))??;
    let (at, recomputed) = (at.unwrap_or(now), at.is_some());
    Ok(Json(Access { at, recomputed, entries, people, forgotten, items, next: None }))
}

/// A moment that is no longer to come.
fn moment(text: &str, now: Timestamp) -> Result<Timestamp> {
    let at: Timestamp = text.parse().map_err(Problem::invalid)?;
    if at > now {
        return Err(Problem::invalid(format!("{at} is still to come; it is {now}"))
            .remedy("Name a time that has been, or leave it out for now."));
    }
    Ok(at)
}

async fn recomputed(app: &App, reader: &Reader, entries: u64, at: Timestamp) -> Result<(World, u64)> {
    let mut history = History::default();
    reader.each(ACTIONS, entries, Some(at), |entry| history.take(entry)).await?;
    Ok((history.world(&app.config.administrators, at), history.forgotten()))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(access))
}
