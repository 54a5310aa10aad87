//! A pin beside what is archived, in the same bucket: for replicas, which share it.

use async_trait::async_trait;

use super::{Kept, PinPlace};
use crate::audit::archive::Archive;

/// Its key in the archive.
const PATH: &str = "pin/checkpoint";

/// A pin in the log's archive.
#[derive(Clone)]
pub struct PinObject {
    archive: Archive,
}

impl PinObject {
    /// The pin in `archive`.
    #[must_use]
    pub fn new(archive: Archive) -> Self {
        Self { archive }
    }
}

#[async_trait]
impl PinPlace for PinObject {
    fn name(&self) -> String {
        format!("{}/{PATH}", self.archive.name())
    }

    async fn read(&self) -> Result<Option<Kept>, String> {
        let found = self.archive.read_tagged(PATH).await.map_err(|problem| problem.detail)?;
        let Some((bytes, version)) = found else { return Ok(None) };
        let note = String::from_utf8(bytes).map_err(|_| "it is no text".to_owned())?;
        Ok(Some(Kept { note, version }))
    }

    async fn replace(&self, read: Option<&Kept>, note: &str) -> Result<bool, String> {
        let tag = read.map(|kept| kept.version.as_str());
        self.archive.write_over(PATH, tag, note.as_bytes().to_vec()).await.map_err(|problem| problem.detail)
    }

    async fn set_aside(&self) -> Result<Option<String>, String> {
        let told = |problem: crate::base::Problem| problem.detail;
        let Some(kept) = self.read().await? else { return Ok(None) };
        let mut n = 1;
        let aside = loop {
            let path = format!("{PATH}.before-{n}");
            if self.archive.read(&path).await.map_err(told)?.is_none() {
                break path;
            }
            n += 1;
        };
        self.archive.write(&aside, kept.note.into_bytes()).await.map_err(told)?;
        self.archive.delete(PATH).await.map_err(told)?;
        Ok(Some(format!("{}/{aside}", self.archive.name())))
    }

    async fn check(&self) -> Result<(), String> {
        self.archive.check().await.map_err(|problem| problem.detail)
    }
}
