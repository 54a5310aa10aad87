//! `GET /audit/v1/bundle`

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::header,
    response::{IntoResponse as _, Response},
};
use futures::stream;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::verifiers;
use crate::{
    api::{App, Auth},
    audit::bundle::Bundle,
    base::Problem,
    identity::Caller,
    policy::{Action, Resource},
};

/// Which entries.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// The first; else the very first.
    from: Option<u64>,
    /// Before this one it ends; else with the last one that was signed.
    to: Option<u64>,
}

/// Every entry of a range with its openings, the hashes that hang them into the tree, and the signed
/// checkpoint, as lines of JSON in one file. None of the range is left out, and that is proved, too. That
/// you took it is itself recorded.
#[utoipa::path(
    get,
    path = "/audit/v1/bundle",
    tag = "audit",
    params(Which),
    responses(
        (status = 200, description = "To be verified with `portctl audit verify --bundle`.",
            content_type = "application/x-ndjson", body = String),
        (status = 400, description = "`invalid-request`: from after to, or beyond what was signed"),
        (status = 403, description = "`denied`"),
        (status = 409, description = "`conflict`: nothing was signed yet"),
    )
)]
async fn bundle(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(which) = which.map_err(|e| Problem::invalid(e.body_text()))?;
    let keys = verifiers(&app).await?;
    let range = (which.from.unwrap_or(0), which.to);
    let bundle = app
        .gate
        .act(&caller, Action::ReadLog, Resource::Log, |permit| {
            Bundle::begin((&app.database, app.entries.clone()), &app.log, permit, &keys, range)
        })
        .await?;
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")];
    let under_way = UnderWay { app, caller, bundle };
    Ok((headers, Body::from_stream(stream::unfold(Some(under_way), UnderWay::piece))).into_response())
}

/// A bundle, and whose it is.
struct UnderWay {
    app: Arc<App>,
    caller: Caller,
    bundle: Bundle,
}

impl UnderWay {
    /// The next lines. What goes wrong on the way breaks the answer off, so that nobody takes it for whole.
    async fn piece(this: Option<Self>) -> Option<(Result<String, Problem>, Option<Self>)> {
        let mut this = this?;
        match this.next().await {
            Ok(Some(lines)) => Some((Ok(lines), Some(this))),
            Ok(None) => None,
            Err(problem) => {
                tracing::warn!(%problem, "a bundle of the log was broken off");
                Some((Err(problem), None))
            }
        }
    }

    /// The right to read the log may end before the bundle does.
    async fn next(&mut self) -> Result<Option<String>, Problem> {
        if self.app.stop.is_cancelled() {
            return Err(Problem::internal("the server was told to stop"));
        }
        self.app.gate.authorize(&self.caller, Action::ReadLog, Resource::Log).await?;
        self.bundle.next().await
    }
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(bundle))
}
