//! A pin in a file, for a single server.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use async_trait::async_trait;

use super::{Kept, PinPlace};

/// A pin in a file.
#[derive(Clone, Debug)]
pub struct PinFile {
    path: PathBuf,
}

impl PinFile {
    /// The pin at `path`.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    async fn in_background<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let path = self.path.clone();
        let done = tokio::task::spawn_blocking(move || work(&path)).await.map_err(io::Error::other);
        done.and_then(|done| done).map_err(|error| error.to_string())
    }
}

#[async_trait]
impl PinPlace for PinFile {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn is_near(&self) -> bool {
        true
    }

    async fn read(&self) -> Result<Option<Kept>, String> {
        let text = self.in_background(|path| match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            text => text.map(Some),
        });
        // Whoever writes it replaces it, whichever it was: replicas have a file each.
        Ok(text.await?.map(|note| Kept { note, version: String::new() }))
    }

    async fn replace(&self, _read: Option<&Kept>, note: &str) -> Result<bool, String> {
        let note = note.to_owned();
        self.in_background(move |path| replace(path, &note)).await.map(|()| true)
    }

    async fn set_aside(&self) -> Result<Option<String>, String> {
        self.in_background(set_aside).await.map(|aside| aside.map(|it| it.display().to_string()))
    }

    async fn check(&self) -> Result<(), String> {
        let tried = self.in_background(|path| {
            let trial = beside(path);
            File::create(&trial)?.sync_all()?;
            fs::remove_file(&trial)
        });
        tried.await
    }
}

/// A name of this process alone: replicas may share the folder.
fn beside(path: &Path) -> PathBuf {
    path.with_extension(format!("{}.new", std::process::id()))
}

fn replace(path: &Path, note: &str) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let beside = beside(path);
    let mut file = File::create(&beside)?;
    file.write_all(note.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

fn set_aside(path: &Path) -> io::Result<Option<PathBuf>> {
    if !path.exists() {
        return Ok(None);
    }
    let free = (1..=u16::MAX).map(|n| path.with_extension(format!("before-{n}"))).find(|it| !it.exists());
    let aside = free.unwrap_or_else(|| path.with_extension("before"));
    fs::rename(path, &aside)?;
    Ok(Some(aside))
}
