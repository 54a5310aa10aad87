//! A server that shows its log as it likes, and what is said of it.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::{Path, State},
    routing::get,
};

use super::*;
use crate::{
    audit::{
        leaf_hash,
        tile::{WIDTH, bundle, parse_tile_path},
        verify::Recount,
    },
    cli::{Format, Surroundings},
    keys::LogSigner,
};

/// What the server shows.
struct Shown {
    leaves: Vec<Vec<u8>>,
    /// What it signs, where that is something else.
    signs: Option<Vec<Vec<u8>>>,
    signer: LogSigner,
}

type Shared = Arc<Mutex<Shown>>;

fn leaf(time: u64) -> Vec<u8> {
    format!(
        r#"{{"action":"secret.set","commitments":{{}},"decision":"allow","kind":"act","time":{time},"v":1}}"#
    )
    .into_bytes()
}

fn key_of(shown: &Shown) -> VerifierKey {
    VerifierKey::new("example.com/log", shown.signer.public_key()).unwrap()
}

async fn checkpoint(State(shown): State<Shared>) -> String {
    let shown = shown.lock().unwrap();
    let signed = shown.signs.as_ref().unwrap_or(&shown.leaves);
    let mut tree = Recount::default();
    for leaf in signed {
        tree.push(leaf_hash(leaf));
    }
    Checkpoint { origin: "example.com/log".to_owned(), size: tree.size(), root: tree.root() }
        .sign(&shown.signer)
}

async fn keys(State(shown): State<Shared>) -> String {
    key_of(&shown.lock().unwrap()).to_string()
}

async fn hashes(State(shown): State<Shared>, Path((level, path)): Path<(u32, String)>) -> Vec<u8> {
    let (number, width) = parse_tile_path(&path).unwrap();
    let span = usize::try_from(WIDTH.pow(level)).unwrap();
    let leaves = shown.lock().unwrap().leaves.clone();
    let root = |leaves: &[Vec<u8>]| {
        let mut tree = Recount::default();
        for leaf in leaves {
            tree.push(leaf_hash(leaf));
        }
        tree.root()
    };
    let first = usize::try_from(number * WIDTH).unwrap();
    let roots = leaves.chunks_exact(span).skip(first).take(usize::try_from(width).unwrap()).map(root);
    roots.flatten().collect()
}

async fn entries(State(shown): State<Shared>, Path(path): Path<String>) -> Vec<u8> {
    let (number, width) = parse_tile_path(&path).unwrap();
    let leaves = shown.lock().unwrap().leaves.clone();
    let first = usize::try_from(number * WIDTH).unwrap();
    let leaves = leaves.into_iter().skip(first).take(usize::try_from(width).unwrap());
    bundle(&leaves.collect::<Vec<_>>()).unwrap()
}

struct House {
    shown: Shared,
    context: Context,
    _folder: tempfile::TempDir,
}

impl House {
    async fn new(size: u64) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let signer = LogSigner::from_seed(&[1; 32]);
        let shown =
            Arc::new(Mutex::new(Shown { leaves: (0..size).map(leaf).collect(), signs: None, signer }));
        let router = Router::new()
            .route("/audit/log/checkpoint", get(checkpoint))
            .route("/audit/v1/vkeys", get(keys))
            .route("/audit/log/tile/entries/{*path}", get(entries))
            .route("/audit/log/tile/{level}/{*path}", get(hashes))
            .with_state(Arc::clone(&shown));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let folder = tempfile::tempdir().unwrap();
        let around = Surroundings { config_home: Some(folder.path().to_owned()), ..Surroundings::default() };
        Self { shown, context: Context::new(Some(url), Format::Table, around), _folder: folder }
    }

    async fn verify(&self) -> Result<Verified> {
        verify_server(&self.context, Vec::new(), None, None).await
    }

    fn show(&self, change: impl FnOnce(&mut Shown)) {
        change(&mut self.shown.lock().unwrap());
    }
}

#[tokio::test]
async fn a_whole_log_is_verified_and_has_to_grow_out_of_itself() {
    let house = House::new(300).await;
    let first = house.verify().await.unwrap();
    assert_eq!((first.size, first.seen_before), (300, None));
    house.show(|shown| shown.leaves.push(leaf(300)));
    let second = house.verify().await.unwrap();
    assert_eq!((second.size, second.seen_before), (301, Some(300)));
}

#[tokio::test]
async fn a_log_that_was_rewritten_and_signed_anew_exits_with_10() {
    let house = House::new(300).await;
    house.verify().await.unwrap();
    house.show(|shown| {
        shown.leaves[7] = leaf(9);
        shown.leaves.push(leaf(300));
    });
    let problem = house.verify().await.unwrap_err();
    assert_eq!(problem.kind.exit_code(), 10, "{problem}");
    // What was seen stays what was seen.
    assert_eq!(house.verify().await.unwrap_err().kind.exit_code(), 10);
}

#[tokio::test]
async fn a_log_that_was_cut_off_exits_with_11() {
    let house = House::new(300).await;
    house.verify().await.unwrap();
    house.show(|shown| shown.leaves.truncate(299));
    let problem = house.verify().await.unwrap_err();
    assert_eq!(problem.kind.exit_code(), 11, "{problem}");
}

#[tokio::test]
async fn entries_that_are_not_those_that_were_signed_are_found() {
    let house = House::new(300).await;
    house.show(|shown| {
        shown.signs = Some(shown.leaves.clone());
        shown.leaves[299] = leaf(9);
    });
    assert_eq!(house.verify().await.unwrap_err().kind.exit_code(), 10);
    house.show(|shown| shown.leaves.truncate(280));
    assert_eq!(house.verify().await.unwrap_err().kind.exit_code(), 11);
}

#[tokio::test]
async fn another_key_than_the_one_seen_first_is_not_believed() {
    let house = House::new(3).await;
    house.verify().await.unwrap();
    house.show(|shown| shown.signer = LogSigner::from_seed(&[2; 32]));
    assert_eq!(house.verify().await.unwrap_err().kind.exit_code(), 10);
    // Said by hand, it is a new beginning.
    let key = key_of(&house.shown.lock().unwrap());
    assert_eq!(verify_server(&house.context, vec![key], None, None).await.unwrap().seen_before, None);
}

#[tokio::test]
async fn an_empty_export_or_one_cut_in_a_line_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("export");
    let key = VerifierKey::new("example.com/log", LogSigner::from_seed(&[1; 32]).public_key()).unwrap();
    for (text, exit) in [("", 10), ("{\"port_control_export\":1", 11), ("{}\n", 10)] {
        std::fs::write(&path, text).unwrap();
        let keys = std::slice::from_ref(&key);
        assert_eq!(verify_file(&path, keys, None, None).unwrap_err().kind.exit_code(), exit, "{text}");
    }
}
