//! A log of a few hundred entries as a server publishes it, and everything that is made of it, in a folder.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use port_control::{
    audit::{
        Checkpoint, VerifierKey,
        verify::published::{Piece, PublishedCheck},
    },
    base::{Ambient, SecretValue, Timestamp},
    client::{AuditExport, Client},
};

use crate::{
    support::Given,
    web::house::{Differently, House, Person},
};

/// How many entries there are at least: more than one complete tile, and a partial one beside it.
const ENTRIES: usize = 300;

/// A server, and who may read its log.
pub struct Published {
    pub house: House,
    pub aya: Person,
    pub client: Client,
    pub key: VerifierKey,
}

impl Published {
    pub async fn new(given: &Given) -> Result<Self> {
        Self::new_with(given, Differently::default()).await
    }

    /// The same, with something that differs; its log is public.
    pub async fn new_with(given: &Given, differently: Differently) -> Result<Self> {
        let house = House::open_differently(given, Differently { public_log: true, ..differently }).await?;
        let aya = house.example("aya").await?;
        let token = SecretValue::from(aya.token.clone());
        let ambient = Ambient::system(Timestamp::EPOCH);
        let client = Client::new(house.url.parse().map_err(anyhow::Error::msg)?, Some(token), ambient)?;
        let key = client.audit_keys().await?.into_iter().next().context("no key")?;
        let published = Self { house, aya, client, key };
        published.grow(ENTRIES).await?;
        Ok(published)
    }

    /// So many entries more: reading the log is recorded.
    pub async fn grow(&self, entries: usize) -> Result<()> {
        for _ in 0..entries.div_ceil(50) {
            let read = || self.house.get(&self.aya, "/audit/v1/entries?limit=1");
            for answer in join_all((0..50).map(|_| read())).await {
                answer?.done()?;
            }
        }
        let size = u64::try_from(self.house.log_size().await?)?;
        self.house
            .eventually("a checkpoint of all is signed", || async {
                Ok(self.checkpoint().await.is_ok_and(|(checkpoint, _)| checkpoint.size >= size))
            })
            .await
    }

    /// The newest checkpoint, and its note.
    pub async fn checkpoint(&self) -> Result<(Checkpoint, String)> {
        let note = self.client.audit_checkpoint().await?;
        Ok((Checkpoint::open(&note, &self.key)?, note))
    }

    /// Every file of the published log, and what they are signed by.
    pub async fn files(&self) -> Result<(Checkpoint, Files)> {
        let (checkpoint, note) = self.checkpoint().await?;
        let mut files = Files::from([("checkpoint".to_owned(), note.into_bytes())]);
        let mut check = PublishedCheck::new(checkpoint.clone(), Vec::new())?;
        while let Some(piece) = check.wanted() {
            let bytes = self.client.audit_piece(&piece).await?;
            check.take(&bytes)?;
            files.insert(piece.path(), bytes);
        }
        check.finish()?;
        Ok((checkpoint, files))
    }

    /// An export, whole.
    pub async fn export(&self) -> Result<Vec<u8>> {
        whole(self.client.audit_export(&[]).await?).await
    }

    /// A bundle, whole.
    pub async fn bundle(&self, from: u64, to: Option<u64>) -> Result<Vec<u8>> {
        whole(self.client.audit_bundle(from, to).await?).await
    }
}

async fn whole(mut export: AuditExport<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(piece) = export.next().await? {
        bytes.extend(piece);
    }
    Ok(bytes)
}

/// Files of a published log, by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Lays them out in a folder.
pub fn lay_out(files: &Files, folder: &Path) -> Result<()> {
    for (path, bytes) in files {
        let file = folder.join(path);
        fs::create_dir_all(file.parent().context("no folder")?)?;
        fs::write(file, bytes)?;
    }
    Ok(())
}

/// What the verifier says of files that nobody wrote down.
pub fn check(files: &Files, key: &VerifierKey, seen: Vec<Checkpoint>) -> Result<()> {
    let note = String::from_utf8(files["checkpoint"].clone())?;
    let mut check = PublishedCheck::new(Checkpoint::open(&note, key)?, seen)?;
    while let Some(piece) = check.wanted() {
        check.take(files.get(&piece.path()).context("a file is not there")?)?;
    }
    check.finish()?;
    Ok(())
}

/// The pieces among the files.
pub fn pieces(files: &Files) -> Result<Vec<Piece>> {
    let paths = files.keys().filter(|path| *path != "checkpoint");
    let found: Option<Vec<Piece>> = paths.map(|path| Piece::from_path(path)).collect();
    let found = found.context("a file has no path of a log")?;
    ensure!(found.len() > 3, "{found:?}");
    Ok(found)
}
