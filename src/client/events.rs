//! Server-sent events (WHATWG HTML, "Server-sent events"): as much of them as the server uses.

use std::time::Duration;

use reqwest::{Method, Response, header};

use super::{Client, Request};
use crate::base::Result;

/// How long one stream is read before it is opened anew.
const ONE_STREAM: Duration = Duration::from_mins(2);
/// Longest event that is kept, in bytes.
const LONGEST_EVENT: usize = 1024 * 1024;

/// A request, each time it changes.
#[derive(Debug)]
pub struct RequestEvents {
    response: Response,
    reader: Reader,
}

impl Client {
    /// Follows a request. The first event tells how it stands.
    ///
    /// # Errors
    /// `not-found`, `denied`, `server-unavailable`.
    pub async fn request_events(&self, id: &str) -> Result<RequestEvents> {
        let request = self
            .request(Method::GET, &["requests", id, "events"], &[])
            .header(header::ACCEPT, "text/event-stream")
            .timeout(ONE_STREAM);
        Ok(RequestEvents { response: self.send(request).await?, reader: Reader::default() })
    }
}

impl RequestEvents {
    /// The next event; nothing where the stream ended or broke off: then it is to be opened anew.
    pub async fn next(&mut self) -> Option<Request> {
        loop {
            while let Some(event) = self.reader.event() {
                if let Some(request) = event.request() {
                    return Some(request);
                }
            }
            let chunk = self.response.chunk().await.ok()??;
            self.reader.take(&chunk)?;
        }
    }
}

/// What an event says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    name: String,
    data: String,
}

impl Event {
    fn request(&self) -> Option<Request> {
        if self.name == "request" { serde_json::from_str(&self.data).ok() } else { None }
    }
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
        assert_eq!(reader.event(), Some(Event { name: "request".to_owned(), data: "1\n2".to_owned() }));
        assert_eq!(reader.event(), None);
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let mut reader = Reader::default();
        assert_eq!(reader.take(&vec![b'a'; LONGEST_EVENT + 1]), None);
    }
}
