//! `GET /audit/v1/export`

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::header,
    response::{IntoResponse, Response},
};
use futures::stream;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Which, reader, verifiers};
use crate::{
    api::{App, Auth},
    audit::{export::Format, read::Export},
    base::Problem,
    identity::Caller,
    policy::{Action, Resource},
};

/// Entries, the oldest first, bound to the newest checkpoint: a header, the entries, an end. As lines of
/// JSON that can be verified, as a table, or as events of CloudEvents or OCSF. Where a filter is given,
/// the header says so, and each line that can be verified proves its place. That you exported is itself
/// recorded.
#[utoipa::path(
    get,
    path = "/audit/v1/export",
    tag = "audit",
    params(Which),
    responses(
        (status = 200, description = "Of `ndjson`: to be verified with `portctl audit verify --file`.",
            content_type = "application/x-ndjson", body = String),
        (status = 400, description = "`invalid-request`"),
        (status = 403, description = "`denied`"),
        (status = 409, description = "`conflict`: nothing was signed yet"),
    )
)]
async fn export(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(which) = which.map_err(|e| Problem::invalid(e.body_text()))?;
    let format: Format = which.format.as_deref().map(str::parse).transpose()?.unwrap_or_default();
    let reader = reader(&app);
    let (reader, keys) = (reader.with_witnesses(Arc::clone(&app.witness_policy)), verifiers(&app).await?);
    let export = app
        .gate
        .act(&caller, Action::ReadLog, Resource::Log, |permit| async {
            let filter = which.filter(&app, &permit).await?;
            reader.export_as(format, permit, filter, &keys).await
        })
        .await?;
    let headers = [(header::CONTENT_TYPE, format.content_type()), (header::CACHE_CONTROL, "no-store")];
    let under_way = UnderWay { app, caller, export };
    Ok((headers, Body::from_stream(stream::unfold(Some(under_way), UnderWay::piece))).into_response())
}

/// An export, and whose it is.
struct UnderWay {
    app: Arc<App>,
    caller: Caller,
    export: Export,
}

impl UnderWay {
    /// The next lines. What goes wrong on the way breaks the answer off, so that nobody takes it for whole.
    async fn piece(this: Option<Self>) -> Option<(Result<String, Problem>, Option<Self>)> {
        let mut this = this?;
        match this.next().await {
            Ok(Some(lines)) => Some((Ok(lines), Some(this))),
            Ok(None) => None,
            Err(problem) => {
                tracing::warn!(%problem, "an export of the log was broken off");
                Some((Err(problem), None))
            }
        }
    }

    /// The right to read the log may end before the export does.
    async fn next(&mut self) -> Result<Option<String>, Problem> {
        if self.app.stop.is_cancelled() {
            return Err(Problem::internal("the server was told to stop"));
        }
        self.app.gate.authorize(&self.caller, Action::ReadLog, Resource::Log).await?;
        self.export.next().await
    }
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(export))
}
