//! What the server's own log says of a request: an id that the answer carries, too, the method and the
//! path. Never a query: codes stand there.

use axum::{extract::Request, response::Response};
use std::time::Duration;
use tower_http::{
    classify::{ServerErrorsAsFailures, SharedClassifier},
    trace::TraceLayer,
};
use tracing::Span;

/// The header with the id; a proxy may have given one.
const ID: &str = "x-request-id";
/// Longest id and path that are written down.
const LONGEST: usize = 200;

type Layer = TraceLayer<
    SharedClassifier<ServerErrorsAsFailures>,
    fn(&Request) -> Span,
    (),
    fn(&Response, Duration, &Span),
    (),
    (),
    (),
>;

/// Everything that is written while a request is answered says which request it was.
pub(super) fn layer() -> Layer {
    TraceLayer::new_for_http()
        .make_span_with(span as fn(&Request) -> Span)
        .on_request(())
        .on_response(answered as fn(&Response, Duration, &Span))
        .on_body_chunk(())
        .on_eos(())
        .on_failure(())
}

fn span(request: &Request) -> Span {
    let id = request.headers().get(ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    let cut = |text: &str| text.chars().take(LONGEST).collect::<String>();
    tracing::info_span!("request", id = cut(id), method = %request.method(), path = cut(request.uri().path()))
}

fn answered(answer: &Response, took: Duration, _: &Span) {
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(status = answer.status().as_u16(), millis, "answered");
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use axum::body::Body;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_says_which_request_it_was_and_no_query() {
        let written = Written::default();
        let writer = written.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let request = Request::builder()
            .uri("/sign-in/dev/callback?code=hunter2&state=hunter3")
            .header(ID, "an-id")
            .header("authorization", "Bearer hunter4")
            .body(Body::empty())
            .unwrap();
        tracing::subscriber::with_default(lines, || {
            span(&request).in_scope(|| tracing::warn!("something happened"));
        });
        let line = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(line.contains("an-id") && line.contains("/sign-in/dev/callback"), "{line}");
        assert!(!line.contains("hunter"), "{line}");
    }
}
