//! `GET /audit/v1/entries/events`

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Which, reader};
use crate::{
    api::{App, Auth, limits::Places},
    audit::{
        Head,
        read::{Entry, Filter, Reader},
    },
    base::{Problem, Result},
    identity::Caller,
    policy::{Action, Resource},
};

/// How long at most until the reader's right is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Shortest time between two looks.
const BREATH: Duration = Duration::from_millis(50);

/// Somebody who follows the log.
struct Follower {
    app: Arc<App>,
    caller: Caller,
    reader: Reader,
    filter: Filter,
    log: watch::Receiver<Head>,
    /// The index to go on from.
    next: u64,
    found: VecDeque<Entry>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// The next event: nothing once the right has ended.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        while self.found.is_empty() {
            self.log.borrow_and_update();
            self.look()
                .await
                .inspect_err(|problem| tracing::debug!(%problem, "nobody follows the log"))
                .ok()?;
            if self.found.is_empty() {
                self.wait().await?;
            }
        }
        let entry = self.found.pop_front()?;
        let event = Event::default().event("entry").id(entry.index.to_string()).json_data(&entry).ok()?;
        Some((Ok(event), self))
    }

    /// What has come since, if it may still be read.
    async fn look(&mut self) -> Result<()> {
        self.app.gate.authorize(&self.caller, Action::ReadLog, Resource::Log).await?;
        let (found, next) = self.reader.after(&self.filter, self.next).await?;
        (self.found, self.next) = (found.into(), next);
        Ok(())
    }

    /// Until the log has grown, or the right is to be looked at; nothing where the server ends.
    async fn wait(&mut self) -> Option<()> {
        tokio::select! {
            () = self.app.stop.cancelled() => return None,
            grown = tokio::time::timeout(LOOK_AGAIN, self.log.changed()) => {
                if matches!(grown, Ok(Err(_))) {
                    return None;
                }
            }
        }
        tokio::time::sleep(BREATH).await;
        Some(())
    }
}

/// Entries as they come, as server-sent events named `entry` whose id is the index; after `Last-Event-ID`
/// where that is said. Ends with your right to read the log. That you follow it is recorded once.
#[utoipa::path(
    get,
    path = "/audit/v1/entries/events",
    tag = "audit",
    params(Which),
    responses(
        (status = 200, description = "Events whose data is an entry.", content_type = "text/event-stream",
            body = String),
        (status = 400, description = "`invalid-request`"),
        (status = 403, description = "`denied`"),
        (status = 409, description = "`conflict`: what comes after `Last-Event-ID` lies in an archive"),
        (status = 503, description = "`overloaded`"),
    )
)]
async fn follow(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    headers: HeaderMap,
    which: Result<Query<Which>, QueryRejection>,
    Extension(places): Extension<Places>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let Query(which) = which.map_err(|e| Problem::invalid(e.body_text()))?;
    let (last, place) = (last_seen(&headers)?, places.stream()?);
    let (reader, log) = (reader(&app), app.log.watch());
    let (filter, from) = app
        .gate
        .act(&caller, Action::ReadLog, Resource::Log, |permit| async {
            let filter = which.filter(&app, &permit).await?;
            let from = reader.follow(permit, &filter).await?;
            Ok((filter, from))
        })
        .await?;
    let next = last.map_or(from, |last| last.saturating_add(1));
    app.entries.refuse_archived(next).await?;
    let follower = Follower { app, caller, reader, filter, log, next, found: VecDeque::new(), _place: place };
    Ok(Sse::new(stream::unfold(follower, Follower::next)).keep_alive(KeepAlive::default()))
}

/// The newest entry that the reader has (WHATWG HTML, section 9.2).
fn last_seen(headers: &HeaderMap) -> Result<Option<u64>> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let index = value.to_str().ok().and_then(|text| text.parse().ok());
    index.map(Some).ok_or_else(|| Problem::invalid("Last-Event-ID is not the index of an entry"))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(follow))
}
