//! What one caller may take up: time, room, and a place among those that are answered at once.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{FromRequestParts as _, Request, State},
    http::{Method, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures::{Stream, StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{App, Network, health};
use crate::{
    base::{Problem, ProblemKind, Result},
    identity::whole,
};

/// How long a place is waited for.
const WAIT: Duration = Duration::from_millis(500);

/// What one caller may take up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many requests are answered at once; whoever comes then waits a moment, or comes again.
    pub at_once: usize,
    /// How many of them one network may have, so that nobody takes all.
    pub each: usize,
    /// How many wait for events at once.
    pub streams: usize,
    /// How long a body may take to arrive, from its first byte to its last.
    pub body: Duration,
    /// How long an answer may take to begin.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            at_once: 512,
            each: 128,
            streams: 1024,
            body: Duration::from_secs(10),
            answer: Duration::from_secs(30),
        }
    }
}

/// The places there are.
#[derive(Clone)]
pub(super) struct Places {
    answers: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    each: usize,
    networks: Arc<Mutex<Networks>>,
}

type Networks = HashMap<Option<IpAddr>, Arc<Semaphore>>;

/// A place among those who are being answered, until it is dropped.
struct Place<'p> {
    places: &'p Places,
    network: Option<IpAddr>,
    own: Arc<Semaphore>,
    permits: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

impl Drop for Place<'_> {
    /// Forgets a network of which nobody is answered or waits.
    fn drop(&mut self) {
        self.permits = None;
        let mut networks = self.places.networks();
        // The map's and ours: whoever else has or waits for a place holds one, too.
        if Arc::strong_count(&self.own) <= 2 {
            networks.remove(&self.network);
        }
    }
}

impl Places {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            answers: Arc::new(Semaphore::new(limits.at_once)),
            streams: Arc::new(Semaphore::new(limits.streams)),
            each: limits.each,
            networks: Arc::default(),
        }
    }

    fn networks(&self) -> MutexGuard<'_, Networks> {
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, as soon as there is one, within [`WAIT`]: first among those of the network.
    async fn take(&self, network: Option<IpAddr>) -> Option<Place<'_>> {
        let new = || Arc::new(Semaphore::new(self.each));
        let own = Arc::clone(self.networks().entry(network).or_insert_with(new));
        let mut place = Place { places: self, network, own, permits: None };
        let both = async {
            let own = Arc::clone(&place.own).acquire_owned().await.ok()?;
            Some((own, Arc::clone(&self.answers).acquire_owned().await.ok()?))
        };
        place.permits = Some(tokio::time::timeout(WAIT, both).await.ok()??);
        Some(place)
    }

    /// A place among those who wait for events, kept as long as the answer.
    ///
    /// # Errors
    /// `overloaded`.
    pub(super) fn stream(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| overloaded())
    }
}

fn overloaded() -> Problem {
    Problem::new(ProblemKind::Overloaded, "nothing happened: too many requests are being answered")
        .remedy("Try again in a moment.")
}

/// Answers where there is a place. Probes always have one: a busy server is not a dead one.
pub(super) async fn places(
    State((app, places)): State<(Arc<App>, Places)>,
    request: Request,
    next: Next,
) -> Response {
    if health::is_probe(request.uri().path()) {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let network = match Network::from_request_parts(&mut parts, &app).await {
        Ok(Network(network)) => network.map(whole),
        Err(problem) => return problem.into_response(),
    };
    let Some(_place) = places.take(network).await else { return overloaded().into_response() };
    parts.extensions.insert(places.clone());
    next.run(Request::from_parts(parts, body)).await
}

/// Answers in time, or says so.
pub(super) async fn in_time(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    match tokio::time::timeout(limits.answer, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => too_slow(&method, limits.answer).into_response(),
    }
}

fn too_slow(method: &Method, limit: Duration) -> Problem {
    let limit = limit.as_secs();
    if method.is_safe() {
        return Problem::new(ProblemKind::Overloaded, format!("this took longer than {limit} s"))
            .remedy("Try again in a moment; `port-control check` says what does not answer.");
    }
    Problem::new(
        ProblemKind::OutcomeUnknown,
        format!("this took longer than {limit} s: whether it happened is not known"),
    )
    .remedy("Repeat it with the same Idempotency-Key: it is answered from what is found.")
}

/// A body that did not arrive in time.
#[derive(Debug)]
pub(super) struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body did not arrive in time")
    }
}

impl std::error::Error for TooSlow {}

impl TooSlow {
    /// Whether that is why `error` came about.
    pub(super) fn is_cause_of(error: &(dyn std::error::Error + 'static)) -> bool {
        let mut next = Some(error);
        while let Some(error) = next {
            if error.is::<Self>() {
                return true;
            }
            next = error.source();
        }
        false
    }

    pub(super) fn problem() -> Problem {
        Problem::new(ProblemKind::RequestTimeout, "nothing happened: the body did not arrive in time")
            .remedy("Send it again, whole.")
    }
}

/// Takes bodies as they are, and not for ever: one that is compressed is refused, so that nothing small
/// becomes large here.
pub(super) async fn bodies(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    if let Some(encoding) = request.headers().get(header::CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return compressed().into_response();
    }
    if request.method().is_safe() {
        return next.run(request).await;
    }
    next.run(request.map(|body| Body::from_stream(until(body, limits.body)))).await
}

/// RFC 9110, section 15.5.16.
fn compressed() -> Response {
    let problem = Problem::new(ProblemKind::UnsupportedMediaType, "a compressed body is not taken")
        .remedy("Send it without Content-Encoding.");
    ([(header::ACCEPT_ENCODING, "identity")], problem).into_response()
}

/// The pieces of a body, which ends in [`TooSlow`] where it is not whole after `limit`.
fn until(
    body: Body,
    limit: Duration,
) -> impl Stream<Item = std::result::Result<axum::body::Bytes, axum::Error>> {
    let deadline = Box::pin(tokio::time::sleep(limit));
    stream::unfold(Some((body.into_data_stream(), deadline)), async |state| {
        let (mut body, mut deadline) = state?;
        tokio::select! {
            biased;
            piece = body.next() => Some((piece?, Some((body, deadline)))),
            () = &mut deadline => Some((Err(axum::Error::new(TooSlow)), None)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_is_waited_for_and_networks_are_forgotten() {
        let places = Places::new(Limits { at_once: 2, each: 1, ..Limits::default() });
        let (here, there) = (Some([192, 0, 2, 1].into()), Some([192, 0, 2, 2].into()));
        let first = places.take(here).await.unwrap();
        assert!(places.take(here).await.is_none(), "one network has one place");
        let other = places.take(there).await.unwrap();
        assert!(places.take(None).await.is_none(), "there are two places");
        let waiting = places.clone();
        let waiting = tokio::spawn(async move { waiting.take(here).await.is_some() });
        tokio::time::sleep(WAIT / 5).await;
        drop(first);
        assert!(waiting.await.unwrap(), "whoever waits gets it");
        drop(other);
        assert!(places.networks().is_empty());
    }
}
