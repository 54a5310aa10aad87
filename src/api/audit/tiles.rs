//! `GET /audit/log/checkpoint`, `/audit/log/tile/{level}/…`, `/audit/log/tile/entries/…`: the log as
//! C2SP tlog-tiles has it.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{LogReader, signed};
use crate::{
    api::App,
    audit::{
        read::nothing_signed,
        tile::{self, HIGHEST_LEVEL, WIDTH},
        witness::newest_note,
    },
    base::{Problem, Result},
};

/// The newest checkpoint, signed (C2SP tlog-checkpoint), with the cosignatures of witnesses that there are
/// of it by now. It waits for none: `/audit/log/witnessed-checkpoint` has enough of them.
#[utoipa::path(
    get,
    path = "/audit/log/checkpoint",
    tag = "audit",
    responses(
        (status = 200, description = "A signed note.", content_type = "text/plain", body = String),
        (status = 403, description = "`denied`"),
        (status = 409, description = "`conflict`: nothing was signed yet"),
    )
)]
async fn checkpoint(State(app): State<Arc<App>>, _: LogReader) -> Result<Response, Problem> {
    let note = newest_note(&app.database, &app.witness_policy).await?.ok_or_else(nothing_signed)?;
    Ok(note_answer(note))
}

/// A note as it is answered with: the next one may be there in a moment.
pub(super) fn note_answer(note: String) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, note).into_response()
}

fn no_tile(path: &str) -> Problem {
    Problem::not_found(format!("the log has no tile '{}' yet", path.escape_debug()))
        .remedy("`/audit/log/checkpoint` says how large it is.")
}

/// The number and width of a tile that lies within what was signed.
async fn within(app: &App, level: u8, path: &str) -> Result<(u64, u64)> {
    let (number, width) = tile::parse_tile_path(path).ok_or_else(|| {
        Problem::invalid(format!("'{}' is no address of a tile", path.escape_debug()))
            .remedy("One looks like 067, x001/234 or x001/234.p/12.")
    })?;
    let (newest, _) = signed(app).await?;
    let end = number.checked_mul(WIDTH).and_then(|first| first.checked_add(width));
    match end {
        Some(end) if end <= newest.size >> (8 * u32::from(level)) => Ok((number, width)),
        _ => Err(no_tile(path)),
    }
}

/// Hashes of the tree, 32 bytes each (C2SP tlog-tiles).
#[utoipa::path(
    get,
    path = "/audit/log/tile/{level}/{*path}",
    tag = "audit",
    params(
        ("level" = String, Path, description = "The level: 0 has the leaves' hashes."),
        ("path" = String, Path, description = "Such as 067, x001/234 or x001/234.p/12."),
    ),
    responses(
        (status = 200, description = "A tile.", content_type = "application/octet-stream", body = Vec<u8>),
        (status = 400, description = "`invalid-request`"),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`: beyond what was signed"),
    )
)]
async fn hashes(
    State(app): State<Arc<App>>,
    reader: LogReader,
    Path((level, path)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let level = level
        .parse::<u8>()
        .ok()
        .filter(|number| number.to_string() == level && *number < 64)
        .ok_or_else(|| Problem::invalid(format!("'{}' is no level of tiles", level.escape_debug())))?;
    if level > HIGHEST_LEVEL {
        return Err(no_tile(&path));
    }
    let (number, width) = within(&app, level, &path).await?;
    let hashes = tile::hashes(&app.database, level, number, width).await?.ok_or_else(|| no_tile(&path))?;
    Ok((reader.cache_forever(), hashes.concat()).into_response())
}

/// Entries, each after its length in two bytes (C2SP tlog-tiles).
#[utoipa::path(
    get,
    path = "/audit/log/tile/entries/{*path}",
    tag = "audit",
    params(("path" = String, Path, description = "Such as 067, x001/234 or x001/234.p/12.")),
    responses(
        (status = 200, description = "A bundle of 256, or of fewer.", content_type = "application/octet-stream",
            body = Vec<u8>),
        (status = 400, description = "`invalid-request`"),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`: beyond what was signed"),
        (status = 503, description = "`archive-unavailable`: they were moved, and the archive does not answer"),
    )
)]
async fn bundle(
    State(app): State<Arc<App>>,
    reader: LogReader,
    Path(path): Path<String>,
) -> Result<Response, Problem> {
    let (number, width) = within(&app, 0, &path).await?;
    let leaves = app.entries.leaves(number, width).await?;
    if leaves.len() as u64 != width {
        return Err(no_tile(&path));
    }
    Ok((reader.cache_forever(), tile::bundle(&leaves)?).into_response())
}

/// These endpoints.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(checkpoint)).routes(routes!(bundle)).routes(routes!(hashes))
}
