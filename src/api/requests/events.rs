//! `GET /api/v1/requests/{id}/events`

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{Path, State},
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{RequestView, request_id};
use crate::{
    access::{Request, RequestState},
    api::{App, Auth, limits::Places},
    audit::Head,
    base::{Problem, Result, ids::RequestId},
    identity::Caller,
    policy::Action,
};

/// How long at most until the reader's right is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Shortest time between two looks.
const BREATH: Duration = Duration::from_millis(50);

/// One reader.
struct Reader {
    app: Arc<App>,
    caller: Caller,
    id: RequestId,
    log: watch::Receiver<Head>,
    told: Option<Request>,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    /// The request, as long as the reader may see it.
    async fn look(&self) -> Result<Request> {
        let resource = self.app.requests.resource(self.id).await?;
        let permit = self.app.gate.authorize(&self.caller, Action::SeeRequest, resource).await?;
        self.app.requests.show(permit).await
    }

    /// The next event: nothing once it was decided, or the right has ended.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if self.told.as_ref().is_some_and(|request| request.state != RequestState::Pending) {
            return None;
        }
        loop {
            self.log.borrow_and_update();
            let request = self.look().await.ok()?;
            if self.told.as_ref() != Some(&request) {
                let view = RequestView::of(&self.app, &request).await.ok()?;
                let event = Event::default().event("request").json_data(&view).ok()?;
                self.told = Some(request);
                return Some((Ok(event), self));
            }
            // Whether the log grew or the time is over, the right is looked at again.
            tokio::select! {
                () = self.app.stop.cancelled() => return None,
                grown = tokio::time::timeout(LOOK_AGAIN, self.log.changed()) => {
                    if matches!(grown, Ok(Err(_))) {
                        return None;
                    }
                }
            }
            tokio::time::sleep(BREATH).await;
        }
    }
}

/// A request each time it changes, as server-sent events named `request`. Ends when it is decided, and
/// with your right to see it.
#[utoipa::path(
    get,
    path = "/requests/{id}/events",
    tag = "requests",
    params(("id" = String, Path, description = "`req_…`")),
    responses(
        (status = 200, description = "Events whose data is the request.", body = RequestView,
            content_type = "text/event-stream"),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 503, description = "`overloaded`"),
    )
)]
async fn events(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(id): Path<String>,
    Extension(places): Extension<Places>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let id = request_id(&id)?;
    let log = app.log.watch();
    let reader = Reader { app, caller, id, log, told: None, _place: places.stream()? };
    reader.look().await?;
    Ok(Sse::new(stream::unfold(reader, Reader::next)).keep_alive(KeepAlive::default()))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(events))
}
