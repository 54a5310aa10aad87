//! A folder that stands in for a cluster: a manifest in each file `DIR/NAMESPACE/NAME.json`, 0600.
//!
//! It keeps the contract of an API server, with uid and resourceVersion of its own, so that `dev` and
//! the tests see the same behaviour. The resourceVersion is a digest of what is in the file: an edit by
//! hand moves it, too.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures::{StreamExt, stream::BoxStream};
use zeroize::Zeroizing;

use super::{
    manifest,
    target::{CheckFinding, CheckLevel, Found, Manifest, Mode, Seen, Spot, Target, TargetError},
};
use crate::base::{Ambient, Name, hex};

/// How often the folder is looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// A folder of manifests.
#[derive(Clone)]
pub struct Directory {
    root: PathBuf,
    ambient: Ambient,
    /// Between reading a file and putting another in its place nobody else of this process does so.
    turn: Arc<Mutex<()>>,
}

impl Directory {
    /// The folder `root`; made when first written to.
    #[must_use]
    pub fn new(root: PathBuf, ambient: Ambient) -> Self {
        Self { root, ambient, turn: Arc::default() }
    }

    fn path(&self, spot: &Spot) -> PathBuf {
        self.root.join(spot.namespace.as_str()).join(format!("{}.json", spot.secret))
    }

    /// Runs file work where it holds nobody up, one at a time.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, TargetError> + Send + 'static,
    ) -> Result<T, TargetError> {
        let it = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _turn = it.turn.lock().unwrap_or_else(PoisonError::into_inner);
            work(&it)
        });
        done.await
            .unwrap_or_else(|_| Err(TargetError::Unreachable("the file work was broken off".to_owned())))
    }

    fn load(&self, spot: &Spot) -> Result<Option<Found>, TargetError> {
        let text = match fs::read(self.path(spot)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.unreachable(&error)),
        };
        let version = version_of(&text);
        let Some(mut found) = manifest::read(text) else {
            // Somebody's file, whatever it is: there, and not ours.
            let seen = Seen { uid: String::new(), resource_version: version };
            return Ok(Some(Found { seen, manifest: Manifest::default(), immutable: false, ending: false }));
        };
        found.seen.resource_version = version;
        Ok(Some(found))
    }

    /// Refuses where what is there is not what was seen.
    fn confirm(&self, spot: &Spot, seen: &Seen) -> Result<(), TargetError> {
        match self.load(spot)? {
            Some(found) if found.seen == *seen => Ok(()),
            _ => Err(TargetError::Conflict),
        }
    }

    /// Temporary file, fsync, and into its place: over what is there, or only where nothing is.
    fn store(
        &self,
        spot: &Spot,
        manifest: &Manifest,
        uid: &str,
        over: bool,
        mode: Mode,
    ) -> Result<(), TargetError> {
        let seen = Seen { uid: uid.to_owned(), resource_version: "0".to_owned() };
        let text = manifest::write(spot, manifest, Some(&seen));
        self.place(&self.path(spot), &text, over, mode).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => TargetError::Conflict,
            _ => self.unreachable(&error),
        })
    }

    fn place(&self, path: &Path, text: &Zeroizing<Vec<u8>>, over: bool, mode: Mode) -> io::Result<()> {
        let folder = path.parent().unwrap_or(&self.root);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let temporary = folder.join(format!(".{}.new", self.ambient.uuid().as_simple()));
        let written = write_new(&temporary, text).and_then(|()| match mode {
            Mode::Try => fs::remove_file(&temporary),
            Mode::Do if over => fs::rename(&temporary, path),
            // A link fails where there is a file already; a rename would take its place.
            Mode::Do => fs::hard_link(&temporary, path).and_then(|()| fs::remove_file(&temporary)),
        });
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written.and_then(|()| fs::File::open(folder)?.sync_all())
    }

    fn unreachable(&self, error: &io::Error) -> TargetError {
        TargetError::Unreachable(format!("the folder {}: {error}", self.root.display()))
    }
}

fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut file, text)?;
    file.sync_all()
}

fn version_of(text: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text);
    hex::encode(&digest.as_ref()[..16])
}

#[async_trait]
impl Target for Directory {
    async fn read(&self, spot: &Spot) -> Result<Option<Found>, TargetError> {
        let spot = spot.clone();
        self.on_disk(move |it| it.load(&spot)).await
    }

    async fn create(&self, spot: &Spot, manifest: &Manifest, mode: Mode) -> Result<(), TargetError> {
        let (spot, manifest) = (spot.clone(), manifest.clone());
        self.on_disk(move |it| {
            if it.load(&spot)?.is_some() {
                return Err(TargetError::Conflict);
            }
            it.store(&spot, &manifest, &it.ambient.uuid().to_string(), false, mode)
        })
        .await
    }

    async fn replace(
        &self,
        spot: &Spot,
        seen: &Seen,
        manifest: &Manifest,
        mode: Mode,
    ) -> Result<(), TargetError> {
        let (spot, seen, manifest) = (spot.clone(), seen.clone(), manifest.clone());
        self.on_disk(move |it| {
            it.confirm(&spot, &seen)?;
            it.store(&spot, &manifest, &seen.uid, true, mode)
        })
        .await
    }

    async fn delete(&self, spot: &Spot, seen: &Seen, mode: Mode) -> Result<(), TargetError> {
        let (spot, seen) = (spot.clone(), seen.clone());
        self.on_disk(move |it| {
            it.confirm(&spot, &seen)?;
            if mode == Mode::Try {
                return Ok(());
            }
            let path = it.path(&spot);
            fs::remove_file(&path)
                .and_then(|()| fs::File::open(path.parent().unwrap_or(&it.root))?.sync_all())
                .map_err(|error| it.unreachable(&error))
        })
        .await
    }

    fn changes(&self, namespace: &Name) -> BoxStream<'static, Spot> {
        let (folder, namespace) = (self.root.join(namespace.as_str()), namespace.clone());
        let start = look(&folder);
        futures::stream::unfold((folder, start), |(folder, before)| async move {
            tokio::time::sleep(INTERVAL).await;
            let at = folder.clone();
            let now = tokio::task::spawn_blocking(move || look(&at)).await.unwrap_or_default();
            let changed = differences(&before, &now);
            Some((changed, (folder, now)))
        })
        .flat_map(futures::stream::iter)
        .map(move |secret| Spot { namespace: namespace.clone(), secret })
        .boxed()
    }

    async fn check(&self, _namespaces: &[Name]) -> Vec<CheckFinding> {
        let probe = self
            .on_disk(|it| {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&it.root)
                    .and_then(|()| it.place(&it.root.join("probe"), &Zeroizing::default(), true, Mode::Try))
                    .map_err(|error| it.unreachable(&error))
            })
            .await;
        vec![match probe {
            Ok(()) => CheckFinding {
                level: CheckLevel::Fine,
                message: format!("the folder {} can be written to", self.root.display()),
                remedy: None,
            },
            Err(error) => CheckFinding {
                level: CheckLevel::Failure,
                message: error.to_string(),
                remedy: Some("Give the server's account the right to write there.".to_owned()),
            },
        }]
    }
}

type Look = BTreeMap<String, (Option<SystemTime>, u64)>;

/// Names of the Secrets in a folder, with what moves when one is written.
fn look(folder: &Path) -> Look {
    let Ok(entries) = fs::read_dir(folder) else { return Look::new() };
    let one = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let secret = name.strip_suffix(".json")?.to_owned();
        let metadata = entry.metadata().ok()?;
        Some((secret, (metadata.modified().ok(), metadata.len())))
    };
    entries.filter_map(Result::ok).filter_map(one).collect()
}

fn differences(before: &Look, now: &Look) -> Vec<String> {
    let names = before.keys().chain(now.keys()).collect::<std::collections::BTreeSet<_>>();
    names.into_iter().filter(|it| before.get(*it) != now.get(*it)).cloned().collect()
}
