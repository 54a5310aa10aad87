//! A receiver of the log on loopback, which can be told to misbehave.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use port_control::{
    audit::{forward::ForwardHeader, verify::ExportLine},
    base::{
        SecretValue,
        config::{Credential, ForwardConfig},
    },
};

/// The token that it wants.
const TOKEN: &str = "siem-token-of-the-tests";

/// A batch that came, whatever was answered.
#[derive(Clone, Debug)]
pub struct Got {
    pub key: String,
    pub header: ForwardHeader,
    pub lines: Vec<ExportLine>,
    pub status: u16,
}

/// A receiver that runs.
pub struct Siem {
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    got: Vec<Got>,
    answers: VecDeque<u16>,
    always: Option<u16>,
    hangs: bool,
    most: Option<usize>,
    problems: Vec<String>,
}

impl Siem {
    pub async fn start() -> Result<Self> {
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        let take = async move |headers: HeaderMap, body: String| {
            let (status, hangs) = {
                let mut state = shared.lock().expect("nobody panics with it");
                (state.take(&headers, &body), state.hangs)
            };
            if hangs {
                tokio::time::sleep(Duration::from_mins(10)).await;
            }
            (StatusCode::from_u16(status).expect("a status"), [("location", "/elsewhere")])
        };
        let router = Router::new().route("/log", post(take));
        let router = router.layer(axum::extract::DefaultBodyLimit::max(8 << 20));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/log?key=in-the-address", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, state })
    }

    /// As a server's configuration names it.
    pub fn config(&self, filter: &[(&str, &str)]) -> ForwardConfig {
        ForwardConfig {
            url: self.url.parse().expect("it is a URL"),
            token: Credential::Value(SecretValue::from(TOKEN.to_owned())),
            filter: filter.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        }
    }

    /// What it answers next, before it answers 204 again.
    pub fn answer(&self, statuses: &[u16]) {
        self.with(|state| state.answers = statuses.iter().copied().collect());
    }

    /// What it always answers; nothing for 204.
    pub fn always(&self, status: Option<u16>) {
        self.with(|state| state.always = status);
    }

    /// Whether it takes everything and answers nothing.
    pub fn hang(&self, hangs: bool) {
        self.with(|state| state.hangs = hangs);
    }

    /// How many entries it takes at once; more are answered with 413.
    pub fn at_most(&self, most: usize) {
        self.with(|state| state.most = Some(most));
    }

    /// All batches that came.
    ///
    /// # Errors
    /// Where one was not as it should be.
    pub fn got(&self) -> Result<Vec<Got>> {
        self.with(|state| {
            ensure!(state.problems.is_empty(), "{:?}", state.problems);
            Ok(state.got.clone())
        })
    }

    /// The entries that it took, in the order in which they came.
    pub fn taken(&self) -> Result<Vec<ExportLine>> {
        Ok(self.got()?.into_iter().filter(|it| it.status == 204).flat_map(|it| it.lines).collect())
    }

    fn with<T>(&self, does: impl FnOnce(&mut State) -> T) -> T {
        does(&mut self.state.lock().expect("nobody panics with it"))
    }
}

impl State {
    fn take(&mut self, headers: &HeaderMap, body: &str) -> u16 {
        let mut got = match read(headers, body) {
            Ok(got) => got,
            Err(error) => {
                self.problems.push(format!("{error:#}"));
                return 400;
            }
        };
        let is_too_much = self.most.is_some_and(|most| got.lines.len() > most);
        let status = self.always.or_else(|| self.answers.pop_front());
        got.status = if is_too_much { 413 } else { status.unwrap_or(204) };
        let status = got.status;
        self.got.push(got);
        status
    }
}

/// A batch, taken apart strictly.
fn read(headers: &HeaderMap, body: &str) -> Result<Got> {
    let header = |name: &str| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
    ensure!(header("authorization") == format!("Bearer {TOKEN}"), "no token, or another one");
    ensure!(header("content-type") == "application/x-ndjson", "no NDJSON");
    ensure!(body.ends_with('\n'), "cut off");
    let mut lines = body.lines();
    let first: ForwardHeader = serde_json::from_str(lines.next().context("an empty batch")?)?;
    let lines = lines.map(serde_json::from_str::<ExportLine>).collect::<Result<Vec<_>, _>>()?;
    let key = header("idempotency-key").to_owned();
    ensure!(key == format!("{}/{}-{}", first.origin, first.first, first.last), "the key is {key}");
    ensure!(
        lines.iter().all(|it| (first.first..=first.last).contains(&it.index)),
        "an entry beyond its batch"
    );
    let is_whole = lines.len() as u64 == first.last - first.first + 1;
    ensure!(first.filtered || is_whole, "an unfiltered batch has a hole");
    Ok(Got { key, header: first, lines, status: 0 })
}
