//! Server-sent events (WHATWG HTML, "Server-sent events"): as much of them as the server uses.

use std::{marker::PhantomData, time::Duration};

use reqwest::{Method, RequestBuilder, Response, header};
use serde::de::DeserializeOwned;

use super::{Client, Request};
use crate::{audit::read::Entry, base::Result};

/// How long a request is followed before the stream is opened anew.
const ONE_REQUEST: Duration = Duration::from_mins(2);
/// How long the log is.
const THE_LOG: Duration = Duration::from_hours(24);
/// Longest event that is kept, in bytes.
const LONGEST_EVENT: usize = 1024 * 1024;

/// Things, each as it is told.
#[derive(Debug)]
pub struct Events<T> {
    response: Response,
    reader: Reader,
    name: &'static str,
    last: Option<String>,
    told: PhantomData<T>,
}

impl Client {
    /// Follows a request. The first event tells how it stands.
    ///
    /// # Errors
    /// `not-found`, `denied`, `server-unavailable`.
    pub async fn request_events(&self, id: &str) -> Result<Events<Request>> {
        self.follow(self.request(Method::GET, &["requests", id, "events"], &[]), "request", ONE_REQUEST).await
    }

    /// Follows the log: entries that come from now on, or after the one with the id `last`.
    ///
    /// # Errors
    /// `denied`, `invalid-request`, `server-unavailable`.
    pub async fn audit_events(&self, query: &[(&str, &str)], last: Option<&str>) -> Result<Events<Entry>> {
        let url = self.server().audit(&["v1", "entries", "events"], query);
        let mut request = self.request_to(Method::GET, url);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        self.follow(request, "entry", THE_LOG).await
    }

    async fn follow<T>(
        &self,
        request: RequestBuilder,
        name: &'static str,
        limit: Duration,
    ) -> Result<Events<T>> {
        let request = request.header(header::ACCEPT, "text/event-stream").timeout(limit);
        let response = self.send(request).await?;
        Ok(Events { response, reader: Reader::default(), name, last: None, told: PhantomData })
    }
}

impl<T: DeserializeOwned> Events<T> {
    /// The next one; nothing where the stream ended or broke off: then it is to be opened anew.
    pub async fn next(&mut self) -> Option<T> {
        loop {
            while let Some(event) = self.reader.event() {
                self.last = event.id.clone().or(self.last.take());
                if event.name == self.name
                    && let Ok(told) = serde_json::from_str(&event.data)
                {
                    return Some(told);
                }
            }
            let chunk = self.response.chunk().await.ok()??;
            self.reader.take(&chunk)?;
        }
    }

    /// The id of the newest event, to go on after it.
    #[must_use]
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }
}

/// What an event says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    name: String,
    id: Option<String>,
    data: String,
}

/// Puts chunks together to events.
#[derive(Debug, Default)]
struct Reader {
    bytes: Vec<u8>,
}

impl Reader {
    /// Takes a chunk; nothing where the event became too long.
    fn take(&mut self, chunk: &[u8]) -> Option<()> {
        self.bytes.extend(chunk.iter().filter(|&&byte| byte != b'\r'));
        (self.bytes.len() <= LONGEST_EVENT).then_some(())
    }

    fn event(&mut self) -> Option<Event> {
        let end = self.bytes.windows(2).position(|pair| pair == b"\n\n")?;
        let block: Vec<u8> = self.bytes.drain(..end + 2).collect();
        let mut event = Event::default();
        for line in String::from_utf8_lossy(&block).lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut event.name),
                "id" => event.id = Some(value.to_owned()),
                "data" if event.data.is_empty() => value.clone_into(&mut event.data),
                "data" => {
                    event.data.push('\n');
                    event.data.push_str(value);
                }
                _ => {}
            }
        }
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_may_come_in_pieces_and_between_comments() {
        let mut reader = Reader::default();
        for piece in [": keep\n\neve", "nt: request\r\nda", "ta: 1\ndata: 2\r\n", "\r\n"] {
            reader.take(piece.as_bytes()).unwrap();
        }
        assert_eq!(reader.event(), Some(Event::default()));
        assert_eq!(
            reader.event(),
            Some(Event { name: "request".to_owned(), id: None, data: "1\n2".to_owned() })
        );
        assert_eq!(reader.event(), None);
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let mut reader = Reader::default();
        assert_eq!(reader.take(&vec![b'a'; LONGEST_EVENT + 1]), None);
    }
}
