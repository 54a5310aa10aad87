//! `GET /audit/v1/entries`

use std::sync::Arc;

use axum::extract::{Query, State, rejection::QueryRejection};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Which, reader};
use crate::{
    api::{App, Auth, Json},
    audit::{archive::ArchivedRange, read::Entry, unknown::UnknownName},
    base::Problem,
    policy::{Action, Resource},
};

/// Entries of a page where nobody says how many.
const PAGE: u32 = 100;

/// Entries, the newest first.
#[derive(Serialize, ToSchema)]
pub struct Entries {
    /// They. Each field that is committed to was recomputed.
    #[schema(value_type = Vec<Object>)]
    items: Vec<Entry>,
    /// The cursor of the next page; null after the last.
    next: Option<String>,
    /// Which entries of this page's stretch and time lie in an archive, and in which: these were not
    /// searched. `/audit/v1/export` and `/audit/v1/bundle` read them, too.
    #[schema(value_type = Vec<Object>)]
    archived: Vec<ArchivedRange>,
    /// Names that were asked for and that nothing in the log has, looked for where no entry was found.
    unknown: Vec<UnknownView>,
}

/// A name that nothing in the log has.
#[derive(Serialize, ToSchema)]
pub struct UnknownView {
    /// `action`, `application`, `secret` or `scope`.
    what: String,
    /// The name that was asked for.
    name: String,
    /// Names that are alike and are in the log, the nearest first.
    nearest: Vec<String>,
}

impl From<UnknownName> for UnknownView {
    fn from(it: UnknownName) -> Self {
        Self { what: it.what.to_owned(), name: it.name, nearest: it.nearest }
    }
}

/// What the log says, the newest first. That you asked is itself recorded.
#[utoipa::path(
    get,
    path = "/audit/v1/entries",
    tag = "audit",
    params(Which),
    responses(
        (status = 200, description = "A page that stays as it is while the log grows.", body = Entries),
        (status = 400, description = "`invalid-request`: an unknown filter, a time that ends before it begins"),
        (status = 403, description = "`denied`"),
        (status = 500, description = "`log-altered`: an entry does not fit what lies beside it"),
    )
)]
async fn entries(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Entries>, Problem> {
    let Query(which) = which.map_err(|e| Problem::invalid(e.body_text()))?;
    let reader = reader(&app);
    let limit = which.limit.unwrap_or(PAGE);
    let (page, unknown) = app
        .gate
        .act(&caller, Action::ReadLog, Resource::Log, |permit| async {
            // Only who may read the log learns whose an address is.
            let filter = which.filter(&app, &permit).await?;
            let page = reader.entries(permit, &filter, which.cursor, limit).await?;
            let is_all = page.items.is_empty() && page.next.is_none() && which.cursor.is_none();
            let unknown = if is_all { reader.unknown(&filter).await? } else { Vec::new() };
            Ok((page, unknown))
        })
        .await?;
    let next = page.next.map(|index| index.to_string());
    let unknown = unknown.into_iter().map(UnknownView::from).collect();
    Ok(Json(Entries { items: page.items, next, archived: page.archived, unknown }))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(entries))
}
