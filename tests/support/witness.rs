//! A witness (C2SP tlog-witness) on loopback. It believes nothing: signatures are verified by `signed_note`
//! and proofs by `tlog_tiles`, and it cosigns no fork. It can be told to misbehave.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use data_encoding::BASE64;
use port_control::{audit::witness::WitnessKey, base::config::WitnessConfig, keys::LogSigner};
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{Checkpoint, Hash, check_tree};

/// The time at which every cosignature is made, in seconds.
const SIGNED_AT: u64 = 1_700_000_000;

/// How it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Honest,
    /// 503.
    Down,
    /// Takes the request and never answers.
    Hangs,
    /// Cosigns with another key under its own name and id.
    OtherKey,
    /// Cosigns another checkpoint.
    OtherCheckpoint,
    /// Says no time.
    NoTime,
    /// Signed in a hundred years.
    Future,
    /// Answers 200 with something else.
    Nonsense,
    /// Answers 200 without end.
    Endless,
    /// Answers 409 without a size.
    NoSize,
    /// Answers with a redirect to itself.
    Redirects,
    /// Answers 409 and says that it knows a million entries.
    Ahead,
}

/// A witness that runs.
pub struct Witness {
    pub key: WitnessKey,
    pub url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    name: String,
    signer: LogSigner,
    manner: Manner,
    /// Keys of the logs that it knows.
    logs: Vec<String>,
    latest: Option<(u64, Hash)>,
    answered: Vec<u16>,
}

impl Witness {
    /// One that knows the logs of these keys.
    pub async fn start(name: &str, seed: u8, logs: &[String]) -> Result<Self> {
        let signer = LogSigner::from_seed(&[seed; 32]);
        let key = WitnessKey::new(name, signer.public_key()).map_err(anyhow::Error::msg)?;
        let state = State {
            name: name.to_owned(),
            signer,
            manner: Manner::Honest,
            logs: logs.to_vec(),
            latest: None,
            answered: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let take = async move |body: String| answer(&shared, &body).await;
        let router = Router::new().route("/w/add-checkpoint", post(take));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/w", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { key, url, state })
    }

    /// As a server's configuration names it.
    pub fn config(&self) -> WitnessConfig {
        let url = self.url.parse().expect("it is a URL");
        WitnessConfig { vkey: self.key.to_string(), url, pins: false }
    }

    /// The same, of one that pins the log.
    pub fn pinning(&self) -> WitnessConfig {
        WitnessConfig { pins: true, ..self.config() }
    }

    pub fn behave(&self, manner: Manner) {
        self.with(|state| state.manner = manner);
    }

    /// It knows the log of this key, too.
    pub fn trust(&self, log: &str) {
        self.with(|state| state.logs.push(log.to_owned()));
    }

    /// It has lost what it knew.
    pub fn forget(&self) {
        self.with(|state| state.latest = None);
    }

    /// How large the log was that it cosigned last.
    pub fn size(&self) -> u64 {
        self.with(|state| state.latest.map_or(0, |(size, _)| size))
    }

    /// What it answered, the newest last; emptied by asking.
    pub fn answered(&self) -> Vec<u16> {
        self.with(|state| std::mem::take(&mut state.answered))
    }

    fn with<T>(&self, does: impl FnOnce(&mut State) -> T) -> T {
        does(&mut self.state.lock().expect("nobody panics with it"))
    }
}

async fn answer(state: &Mutex<State>, body: &str) -> Response {
    let manner = state.lock().expect("nobody panics with it").manner;
    if manner == Manner::Hangs {
        tokio::time::sleep(Duration::from_mins(10)).await;
    }
    let mut state = state.lock().expect("nobody panics with it");
    let response = match manner {
        Manner::Down => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Manner::Nonsense => "\u{2014} nobody\n<html>".into_response(),
        Manner::Endless => "x".repeat(1 << 20).into_response(),
        Manner::NoSize => (StatusCode::CONFLICT, "7\n").into_response(),
        Manner::Ahead => Refusal::Size(1_000_000).into_response(),
        Manner::Redirects => (StatusCode::TEMPORARY_REDIRECT, [("location", "/w/elsewhere")]).into_response(),
        _ => match state.add(body) {
            Ok(line) => line.into_response(),
            Err(refusal) => refusal.into_response(),
        },
    };
    state.answered.push(response.status().as_u16());
    response
}

/// What the specification wants to be answered.
enum Refusal {
    Status(StatusCode),
    Size(u64),
}

impl From<StatusCode> for Refusal {
    fn from(status: StatusCode) -> Self {
        Self::Status(status)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Status(status) => status.into_response(),
            Self::Size(size) => {
                let kind = [(CONTENT_TYPE, "text/x.tlog.size")];
                (StatusCode::CONFLICT, kind, format!("{size}\n")).into_response()
            }
        }
    }
}

/// A request, taken apart strictly.
struct Request {
    old: u64,
    proof: Vec<Hash>,
    note: Vec<u8>,
}

fn parse(body: &str) -> Result<Request> {
    let (head, note) = body.split_once("\n\n").context("no empty line")?;
    let mut lines = head.split('\n');
    let old = lines.next().and_then(|line| line.strip_prefix("old ")).context("no old size")?;
    let size: u64 = old.parse()?;
    ensure!(size.to_string() == old, "an old size has one spelling");
    let proof = lines.map(|line| {
        let bytes: [u8; 32] = BASE64.decode(line.as_bytes())?.as_slice().try_into()?;
        Ok(Hash(bytes))
    });
    let proof = proof.collect::<Result<Vec<_>>>()?;
    ensure!(proof.len() <= 63, "too many lines of proof");
    Ok(Request { old: size, proof, note: note.as_bytes().to_vec() })
}

impl State {
    fn add(&mut self, body: &str) -> Result<String, Refusal> {
        let Request { old, proof, note } = parse(body).map_err(|_| StatusCode::BAD_REQUEST)?;
        let note = Note::from_bytes(&note).map_err(|_| StatusCode::BAD_REQUEST)?;
        let checkpoint = Checkpoint::from_bytes(note.text()).map_err(|_| StatusCode::BAD_REQUEST)?;
        let prefix = format!("{}+", checkpoint.origin());
        let known: Vec<&String> = self.logs.iter().filter(|key| key.starts_with(&prefix)).collect();
        if known.is_empty() {
            return Err(StatusCode::NOT_FOUND.into());
        }
        let verifiers = known.into_iter().filter_map(|key| StandardVerifier::new(key).ok());
        let verifiers = VerifierList::new(verifiers.map(|it| Box::new(it) as _).collect());
        note.verify(&verifiers).map_err(|_| StatusCode::FORBIDDEN)?;
        let (size, root) = (checkpoint.size(), *checkpoint.hash());
        if old > size {
            return Err(StatusCode::BAD_REQUEST.into());
        }
        let latest = self.latest.map_or(0, |(size, _)| size);
        if old != latest {
            return Err(Refusal::Size(latest));
        }
        let grew = match self.latest {
            None => proof.is_empty(),
            Some((_, before)) if old == size => before == root && proof.is_empty(),
            Some((_, before)) => check_tree(&proof, size, root, old, before).is_ok(),
        };
        if !grew {
            return Err(StatusCode::UNPROCESSABLE_ENTITY.into());
        }
        self.latest = Some((size, root));
        Ok(self.cosign(&String::from_utf8_lossy(note.text())))
    }

    fn cosign(&self, body: &str) -> String {
        let time = match self.manner {
            Manner::NoTime => 0,
            Manner::Future => 5_000_000_000,
            _ => SIGNED_AT,
        };
        let other = LogSigner::from_seed(&[99; 32]);
        let signer = if self.manner == Manner::OtherKey { &other } else { &self.signer };
        let body = match self.manner {
            Manner::OtherCheckpoint => body.replacen('\n', "x\n", 1),
            _ => body.to_owned(),
        };
        let mut signature = signed_note_id(&self.name, &self.signer.public_key()).to_vec();
        signature.extend_from_slice(&time.to_be_bytes());
        signature.extend_from_slice(&signer.sign(format!("cosignature/v1\ntime {time}\n{body}").as_bytes()));
        // Lines of keys that nobody knows come first, and are to be passed over.
        let stranger = format!("\u{2014} stranger.example {}\n", BASE64.encode(&[7; 76]));
        format!("{stranger}\u{2014} {} {}\n", self.name, BASE64.encode(&signature))
    }
}

/// The id of a key whose kind is 4, by the oracle: the key of a note begins with its kind.
fn signed_note_id(name: &str, public: &[u8; 32]) -> [u8; 4] {
    signed_note::key_id(name, &[[4].as_slice(), public].concat()).to_be_bytes()
}
