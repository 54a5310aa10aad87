//! Waits on 127.0.0.1 for the answer of the browser (RFC 8252, section 7.3).

use std::time::Duration;

use subtle::ConstantTimeEq as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use url::Url;

use crate::base::{Problem, ProblemKind, Result, SecretValue};

/// How long one connection may take; short, since browsers open idle ones beside the one they use.
const ONE_REQUEST: Duration = Duration::from_secs(1);
/// Longest head of a request that is read, in bytes.
const LONGEST_HEAD: usize = 16 * 1024;

/// A port that waits for one answer.
pub(super) struct Loopback {
    listener: TcpListener,
    port: u16,
}

/// What a request to the port was.
enum Heard {
    Code(SecretValue),
    Refused(String),
    Nothing,
}

impl Loopback {
    /// Opens a port that this machine alone reaches.
    ///
    /// # Errors
    /// `internal` where none is free.
    pub(super) async fn open() -> Result<Self> {
        let failed =
            |e: std::io::Error| Problem::internal(format!("a port of 127.0.0.1 cannot be opened: {e}"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        Ok(Self { listener, port })
    }

    /// The port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The code that comes with the right state; everything else that knocks is sent away.
    ///
    /// # Errors
    /// `sign-in-refused` where the answer was no, or none came within `limit`.
    pub(super) async fn code(self, state: &SecretValue, limit: Duration) -> Result<SecretValue> {
        timeout(limit, self.listen(state)).await.unwrap_or_else(|_| {
            Err(Problem::new(
                ProblemKind::SignInRefused,
                "nobody finished the sign-in in the browser in time",
            )
            .remedy("Begin again: `portctl login`."))
        })
    }

    async fn listen(self, state: &SecretValue) -> Result<SecretValue> {
        loop {
            // A connection that breaks off is the browser's affair.
            let Ok((mut stream, _)) = self.listener.accept().await else { continue };
            let request = timeout(ONE_REQUEST, head(&mut stream)).await.ok().flatten();
            let heard = request.map_or(Heard::Nothing, |head| hear(&head, self.port, state));
            let _ = timeout(ONE_REQUEST, answer(&mut stream, &heard)).await;
            match heard {
                Heard::Code(code) => return Ok(code),
                Heard::Refused(why) => {
                    return Err(Problem::new(
                        ProblemKind::SignInRefused,
                        format!("the sign-in was refused: {why}"),
                    )
                    .remedy("Begin again where that was not meant: `portctl login`."));
                }
                Heard::Nothing => {}
            }
        }
    }
}

/// The head of a request; nothing where it does not end or is too long.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|it| it == b"\r\n\r\n") {
        if stream.read_buf(&mut bytes).await.ok()? == 0 || bytes.len() > LONGEST_HEAD {
            return None;
        }
    }
    String::from_utf8(bytes).ok()
}

fn hear(head: &str, port: u16, state: &SecretValue) -> Heard {
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let (Some("GET"), Some(target)) = (words.next(), words.next()) else { return Heard::Nothing };
    let host = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim())
    });
    // Another name for this machine is a page that rebinds its name.
    if host != Some(&format!("127.0.0.1:{port}")) || !target.starts_with('/') {
        return Heard::Nothing;
    }
    let Ok(url) = Url::parse(&format!("http://127.0.0.1{target}")) else { return Heard::Nothing };
    let of = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let right = of("state").is_some_and(|it| it.as_bytes().ct_eq(state.expose()).into());
    match (right, of("code"), of("error")) {
        (true, _, Some(why)) => Heard::Refused(why.chars().take(200).collect()),
        (true, Some(code), None) => Heard::Code(code.into()),
        _ => Heard::Nothing,
    }
}

async fn answer(stream: &mut TcpStream, heard: &Heard) -> std::io::Result<()> {
    let (status, text) = match heard {
        Heard::Code(_) => ("200 OK", "Signed in. You can close this page and go back to the terminal."),
        Heard::Refused(_) => ("200 OK", "Not signed in. The terminal says why."),
        Heard::Nothing => ("400 Bad Request", "This is not the answer that portctl waits for."),
    };
    let page = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(page.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn knock(port: u16, host: &str, target: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn abuse_22_only_the_answer_with_our_state_and_host_is_taken() {
        let loopback = Loopback::open().await.unwrap();
        let port = loopback.port();
        let state = SecretValue::from("s".to_owned());
        let waiting = tokio::spawn(async move { loopback.code(&state, Duration::from_secs(20)).await });
        let here = format!("127.0.0.1:{port}");
        for (host, target) in [
            (here.as_str(), "/?code=a&state=other"),
            (&here, "/?code=a"),
            ("evil.example.com", "/?code=a&state=s"),
        ] {
            assert!(knock(port, host, target).await.starts_with("HTTP/1.1 400 "));
        }
        assert!(knock(port, &here, "/callback?code=the-code&state=s").await.starts_with("HTTP/1.1 200 "));
        assert_eq!(waiting.await.unwrap().unwrap().expose(), b"the-code");
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let loopback = Loopback::open().await.unwrap();
        let problem = loopback.code(&"s".to_owned().into(), Duration::from_millis(10)).await.unwrap_err();
        assert!(problem.is(ProblemKind::SignInRefused));
    }
}
