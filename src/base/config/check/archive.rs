//! Where old entries of the log are moved to.

use std::{path::PathBuf, time::Duration};

use url::Url;

use super::Check;
use crate::base::{
    config::{ArchiveConfig, ArchivePlace, S3Config, raw::RawArchive},
    time::parse_duration,
};

/// Where entries are kept from being forgotten, they are not moved either.
const AFTER: &str = "400d";

impl Check<'_> {
    /// `[log.archive]`; nothing of it is younger than `retention`.
    pub(super) fn archive(&mut self, raw: RawArchive, retention: Duration) -> Option<ArchiveConfig> {
        let path = ["log", "archive", "after"];
        let after = parse_duration(raw.after.as_deref().unwrap_or(AFTER)).unwrap_or_else(|message| {
            self.wrong(&path, message, "Write for example 400d.");
            Duration::MAX
        });
        if after < retention {
            self.wrong(
                &path,
                "entries would be archived before `[log] retention` is over",
                "Make 'after' as long as 'retention', or longer.",
            );
        }
        let to = self.archive_place(raw)?;
        Some(ArchiveConfig { to, after })
    }

    fn archive_place(&mut self, raw: RawArchive) -> Option<ArchivePlace> {
        let url = Url::parse(&raw.to).ok();
        let place = match url.as_ref().map(Url::scheme) {
            Some("file") => url.as_ref().and_then(folder).map(ArchivePlace::Folder),
            Some("s3") => return url.and_then(|url| self.bucket(&url, raw)),
            _ => None,
        };
        if place.is_none() {
            self.wrong(
                &["log", "archive", "to"],
                "this is no place for an archive",
                "Write file:///FOLDER or s3://BUCKET/PREFIX.",
            );
        } else if raw.endpoint.is_some() || raw.access_key_id.is_some() || raw.region.is_some() {
            self.wrong(
                &["log", "archive"],
                "a folder has no endpoint, region or credentials",
                "Take them out, or write to = \"s3://BUCKET/PREFIX\".",
            );
        }
        place
    }

    fn bucket(&mut self, url: &Url, raw: RawArchive) -> Option<ArchivePlace> {
        let at = ["log", "archive"];
        let Some(bucket) = url.host_str().filter(|it| !it.is_empty()).map(str::to_owned) else {
            self.wrong(&["log", "archive", "to"], "no bucket is named", "Write s3://BUCKET/PREFIX.");
            return None;
        };
        let endpoint = match raw.endpoint {
            Some(text) => Some(self.url(&["log", "archive", "endpoint"], &text)?),
            None => None,
        };
        let region = self.needed(&at, "region", raw.region);
        let access_key_id = self.needed(&at, "access_key_id", raw.access_key_id);
        let secret =
            self.credential(&at, "secret_access_key", raw.secret_access_key, raw.secret_access_key_file);
        let session_token = match (raw.session_token, raw.session_token_file) {
            (None, None) => None,
            (value, file) => self.credential(&at, "session_token", value, file),
        };
        Some(ArchivePlace::S3(Box::new(S3Config {
            bucket,
            prefix: url.path().trim_matches('/').to_owned(),
            endpoint,
            region: region?,
            access_key_id: access_key_id?,
            secret_access_key: secret?,
            session_token,
        })))
    }
}

/// The folder of a file URL without a host.
fn folder(url: &Url) -> Option<PathBuf> {
    let is_root = url.path() == "/";
    (!is_root && url.query().is_none()).then(|| url.to_file_path().ok()).flatten()
}
