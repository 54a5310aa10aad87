//! Where archived entries lie: a folder, or a bucket of S3. Every exchange with it is bounded.

use std::{
    path::{Path as FilePath, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures::TryStreamExt as _;
use object_store::{
    ClientOptions, CredentialProvider, Error, ObjectStore, ObjectStoreExt as _, PutMode, RetryConfig,
    UpdateVersion,
    aws::{AmazonS3Builder, AwsCredential},
    local::LocalFileSystem,
    path::Path,
    prefix::PrefixStore,
};

use crate::base::{
    Problem, ProblemKind, Result,
    config::{ArchivePlace, Credential, S3Config},
};

/// How long one exchange may take, whatever is tried again within it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest object that is read, in bytes: 256 entries of the longest kind with their openings.
const LONGEST: u64 = 64 * 1024 * 1024;
/// What `check` writes, reads and deletes.
const TRIAL: &str = "trial";

/// A place for archived entries. Cheap to clone.
#[derive(Clone)]
pub struct Archive {
    store: Arc<dyn ObjectStore>,
    name: Arc<str>,
    /// A folder that has to be there: one that is not mounted is not to be made.
    folder: Option<Arc<FilePath>>,
}

impl Archive {
    /// The place that the configuration names; it is not asked yet.
    ///
    /// # Errors
    /// `invalid-configuration`.
    pub fn open(place: &ArchivePlace) -> Result<Self> {
        let unusable = |error: Error| {
            Problem::new(
                ProblemKind::InvalidConfiguration,
                format!("the log's archive cannot be used: {error}"),
            )
            .remedy("Correct [log.archive] in the server's configuration.")
        };
        match place {
            ArchivePlace::Folder(path) => Self::in_folder(path).map_err(unusable),
            ArchivePlace::S3(config) => Self::in_bucket(config).map_err(unusable),
        }
    }

    /// In a store of one's own; `name` is what entries call it.
    #[must_use]
    pub fn over(store: Arc<dyn ObjectStore>, name: &str) -> Self {
        Self { store, name: name.into(), folder: None }
    }

    fn in_folder(path: &PathBuf) -> Result<Self, Error> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        // What is written is on the disk before the rows go.
        let files = LocalFileSystem::new().with_fsync(true);
        let store = PrefixStore::new(files, Path::from_absolute_path(&absolute)?);
        let name = format!("file://{}", absolute.display());
        Ok(Self { store: Arc::new(store), name: name.into(), folder: Some(absolute.into()) })
    }

    fn in_bucket(config: &S3Config) -> Result<Self, Error> {
        let is_plain = config.endpoint.as_ref().is_some_and(|it| it.scheme() == "http");
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_credentials(Arc::new(Credentials::of(config)))
            .with_retry(RetryConfig { max_retries: 2, retry_timeout: PATIENCE, ..RetryConfig::default() })
            .with_client_options(
                ClientOptions::new()
                    .with_timeout(PATIENCE)
                    .with_connect_timeout(PATIENCE / 2)
                    .with_allow_http(is_plain),
            )
            .with_allow_http(is_plain);
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/'));
        }
        let store = PrefixStore::new(builder.build()?, Path::parse(&config.prefix)?);
        let name = format!("s3://{}/{}", config.bucket, config.prefix);
        Ok(Self { store: Arc::new(store), name: name.trim_end_matches('/').into(), folder: None })
    }

    /// What entries call it: `file:///…` or `s3://BUCKET/PREFIX`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What lies at a path; nothing where nothing does.
    ///
    /// # Errors
    /// `archive-unavailable`.
    pub async fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        self.refuse_unmounted()?;
        let reading = async {
            let found = self.store.get(&Path::from(path)).await?;
            if found.meta.size > LONGEST {
                let why = format!("it is longer than {LONGEST} bytes");
                return Err(Error::Generic { store: "archive", source: why.into() });
            }
            found.bytes().await
        };
        match self.bounded(path, reading).await {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(Failure::NotFound) => Ok(None),
            Err(Failure::Of(problem)) => Err(problem),
        }
    }

    /// Puts something there, in place of what was there. It lasts once this returns.
    ///
    /// # Errors
    /// `archive-unavailable`.
    pub async fn write(&self, path: &str, bytes: Vec<u8>) -> Result<()> {
        self.refuse_unmounted()?;
        let written = self.bounded(path, self.store.put(&Path::from(path), bytes.into())).await;
        written.map(drop).map_err(|failure| failure.into_problem(self, path))
    }

    /// What lies at a path, and its tag, which is another once it was replaced.
    ///
    /// # Errors
    /// `archive-unavailable`.
    pub async fn read_tagged(&self, path: &str) -> Result<Option<(Vec<u8>, String)>> {
        self.refuse_unmounted()?;
        let reading = async {
            let found = self.store.get(&Path::from(path)).await?;
            let tag = found.meta.e_tag.clone().unwrap_or_default();
            Ok((found.bytes().await?.to_vec(), tag))
        };
        match self.bounded(path, reading).await {
            Ok(found) => Ok(Some(found)),
            Err(Failure::NotFound) => Ok(None),
            Err(Failure::Of(problem)) => Err(problem),
        }
    }

    /// Puts something in the place of what had this tag, or where nothing was; whether that was still so.
    ///
    /// # Errors
    /// `archive-unavailable`.
    pub async fn write_over(&self, path: &str, tag: Option<&str>, bytes: Vec<u8>) -> Result<bool> {
        self.refuse_unmounted()?;
        let mode = match tag {
            Some(tag) => PutMode::Update(UpdateVersion { e_tag: Some(tag.to_owned()), version: None }),
            None => PutMode::Create,
        };
        let location = Path::from(path);
        let writing = async {
            match self.store.put_opts(&location, bytes.into(), mode.into()).await {
                Ok(_) => Ok(true),
                Err(Error::Precondition { .. } | Error::AlreadyExists { .. } | Error::NotFound { .. }) => {
                    Ok(false)
                }
                Err(error) => Err(error),
            }
        };
        self.bounded(path, writing).await.map_err(|failure| failure.into_problem(self, path))
    }

    /// Takes something away; it may be gone already.
    ///
    /// # Errors
    /// `archive-unavailable`.
    pub async fn delete(&self, path: &str) -> Result<()> {
        self.refuse_unmounted()?;
        match self.bounded(path, self.store.delete(&Path::from(path))).await {
            Ok(()) | Err(Failure::NotFound) => Ok(()),
            Err(Failure::Of(problem)) => Err(problem),
        }
    }

    /// The paths that begin with `folder/`, in order.
    ///
    /// # Errors
    /// `archive-unavailable`.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>> {
        self.refuse_unmounted()?;
        let prefix = Path::from(folder);
        let listing = self.store.list(Some(&prefix)).map_ok(|found| found.location.to_string()).try_collect();
        match self.bounded(folder, listing).await {
            Ok(paths) => {
                let mut paths: Vec<String> = paths;
                paths.sort();
                Ok(paths)
            }
            Err(Failure::NotFound) => Ok(Vec::new()),
            Err(Failure::Of(problem)) => Err(problem),
        }
    }

    /// Writes something for trial, reads it back and deletes it.
    ///
    /// # Errors
    /// `archive-unavailable`: what of these does not work.
    pub async fn check(&self) -> Result<()> {
        let said = b"port-control check".to_vec();
        self.write(TRIAL, said.clone()).await?;
        let found = self.read(TRIAL).await?;
        self.delete(TRIAL).await?;
        if found.as_deref() == Some(said.as_slice()) {
            return Ok(());
        }
        Err(self.unavailable("it does not give back what was written to it"))
    }

    async fn bounded<T>(
        &self,
        path: &str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(Error::NotFound { .. })) => Err(Failure::NotFound),
            Ok(Err(error)) => Err(Failure::Of(self.unavailable(&format!("{path}: {}", said_by(&error))))),
            Err(_) => Err(Failure::Of(self.unavailable(&format!("{path}: it does not answer in time")))),
        }
    }

    fn refuse_unmounted(&self) -> Result<()> {
        match &self.folder {
            Some(folder) if !folder.is_dir() => Err(self.unavailable("the folder is not there")),
            _ => Ok(()),
        }
    }

    fn unavailable(&self, why: &str) -> Problem {
        Problem::new(ProblemKind::ArchiveUnavailable, format!("the log's archive {}: {why}", self.name))
            .remedy("Entries stay where they are until it works; `port-control check` tries it.")
    }
}

enum Failure {
    NotFound,
    Of(Problem),
}

impl Failure {
    fn into_problem(self, archive: &Archive, path: &str) -> Problem {
        match self {
            Self::NotFound => archive.unavailable(&format!("{path}: there is no such place")),
            Self::Of(problem) => problem,
        }
    }
}

/// What an error comes down to: the outer ones say the same at length.
fn said_by(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let outer: String = error.to_string().chars().take(300).collect();
    let inner = cause.to_string();
    if outer.contains(&inner) { outer } else { format!("{outer}: {inner}") }
}

/// Reads the secret key whenever it is needed: its file may have been replaced.
#[derive(Debug)]
struct Credentials {
    key_id: String,
    secret: Credential,
    token: Option<Credential>,
}

impl Credentials {
    fn of(config: &S3Config) -> Self {
        Self {
            key_id: config.access_key_id.clone(),
            secret: config.secret_access_key.clone(),
            token: config.session_token.clone(),
        }
    }

    fn read(&self) -> Result<AwsCredential> {
        let text = |credential: &Credential| {
            let value = credential.read()?;
            value.expose_text().map(str::to_owned).ok_or_else(|| {
                Problem::new(
                    ProblemKind::InvalidConfiguration,
                    "a credential of the log's archive is no text",
                )
            })
        };
        let token = self.token.as_ref().map(text).transpose()?;
        Ok(AwsCredential { key_id: self.key_id.clone(), secret_key: text(&self.secret)?, token })
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let read = self.read().map(Arc::new);
        read.map_err(|problem| Error::Generic { store: "archive", source: problem.detail.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_put_into_a_folder_is_there_until_it_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::open(&ArchivePlace::Folder(folder.path().join("a b"))).unwrap();
        let gone = archive.check().await.unwrap_err();
        assert!(gone.is(ProblemKind::ArchiveUnavailable), "{gone}");
        assert!(!folder.path().join("a b").exists(), "a folder that is not mounted is not made");
        std::fs::create_dir(folder.path().join("a b")).unwrap();
        archive.check().await.unwrap();
        assert_eq!(archive.read("x/y").await.unwrap(), None);
        for bytes in [vec![1, 2, 3], vec![4]] {
            archive.write("x/y", bytes.clone()).await.unwrap();
            assert_eq!(archive.read("x/y").await.unwrap(), Some(bytes));
        }
        assert!(folder.path().join("a b/x/y").is_file());
        archive.delete("x/y").await.unwrap();
        archive.delete("x/y").await.unwrap();
        assert_eq!(archive.read("x/y").await.unwrap(), None);
    }
}
