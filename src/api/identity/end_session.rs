//! `DELETE /api/v1/sessions/{session}`

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{App, Auth},
    base::{Problem, ids::SessionId},
    policy::{Action, Resource},
};

/// End a session: one's own, or, for who may manage people, anybody's.
#[utoipa::path(
    delete,
    path = "/sessions/{session}",
    tag = "identity",
    params(("session" = String, Path, description = "The session.")),
    responses(
        (status = 204, description = "It has ended."),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
    )
)]
async fn end_session(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(session): Path<String>,
) -> Result<StatusCode, Problem> {
    let session: SessionId = session.parse().map_err(Problem::invalid)?;
    let own = app.gate.authorize(&caller, Action::SeeOwn, Resource::Own).await?;
    let is_own = app.identity.list_sessions(&own, caller.person).await?.iter().any(|it| it.id == session);
    let (action, resource) = if is_own {
        (Action::EndOwnSession, Resource::Own)
    } else {
        (Action::ManagePeople, Resource::People)
    };
    app.gate.act(&caller, action, resource, |permit| app.identity.end_session(permit, session)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(end_session))
}
