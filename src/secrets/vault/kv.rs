//! The KV engine, version 2: one secret's versions.

use std::collections::BTreeMap;

use http::Method;
use rustify::Endpoint;
use serde::Deserialize;
use vaultrs::api::kv2::requests::{
    DeleteSecretVersionsRequest, DestroySecretVersionsRequest, ReadSecretMetadataRequest, ReadSecretRequest,
    SetSecretMetadataRequest, UndeleteSecretVersionsRequest,
};

use super::{
    Vault,
    call::{Answer, Call},
    encoding::{self, Fields},
    place::At,
};
use crate::{
    base::{Problem, ProblemKind, Result, SecretValue},
    secrets::{Place, Stored, VersionState},
};

#[derive(Deserialize)]
struct Read {
    /// Nothing where the version is deleted or destroyed.
    data: Option<Fields>,
    metadata: Version,
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

#[derive(Deserialize)]
struct Metadata {
    current_version: u64,
    #[serde(default)]
    versions: BTreeMap<u64, VersionMetadata>,
}

#[derive(Deserialize)]
struct VersionMetadata {
    /// Empty where it is not deleted.
    deletion_time: String,
    destroyed: bool,
}

impl VersionMetadata {
    fn state(&self) -> VersionState {
        match (self.destroyed, self.deletion_time.is_empty()) {
            (true, _) => VersionState::Destroyed,
            (false, false) => VersionState::Deleted,
            (false, true) => VersionState::Live,
        }
    }
}

impl Vault {
    pub(super) async fn read_version(&self, place: &Place, version: Option<u64>) -> Result<Option<Stored>> {
        let at = self.at(place)?;
        let path = at.below("data");
        let answer = self.ask(&path, &ReadSecretRequest { mount: at.mount, path: at.path, version }).await?;
        if answer.is_absence() {
            return Ok(None);
        }
        if !answer.is_success() {
            return Err(self.refused(&path, &answer));
        }
        let wrong = |why: &str| self.nonsense(&path, why);
        let read: Read = answer.data().ok_or_else(|| wrong("there is no version in the answer"))?;
        let found = read.metadata.version;
        if found == 0 || version.is_some_and(|asked| asked != 0 && asked != found) {
            return Err(wrong("it is another version than the one that was asked for"));
        }
        let Some(fields) = read.data else { return Ok(None) };
        let value = self.value(place, &path, fields)?;
        Ok(Some(Stored { value, version: found }))
    }

    fn value(&self, place: &Place, path: &str, fields: Fields) -> Result<SecretValue> {
        let found = match place {
            Place::Ours(_) => fields.ours(),
            Place::Foreign { field, .. } => fields.foreign(field),
        };
        let unfit = |why: String| {
            Problem::new(
                ProblemKind::EngineFault,
                format!("{path} of Vault at {} holds no value: {why}", self.transport.address()),
            )
            .remedy(match place {
                Place::Ours(_) => "Somebody else wrote there: set the secret again.",
                Place::Foreign { .. } => "Check the secret's mount, path and field in the declaring file.",
            })
        };
        match found {
            Ok(value) if value.len() > SecretValue::LONGEST => {
                Err(unfit(format!("it is longer than {} bytes", SecretValue::LONGEST)))
            }
            found => found.map_err(unfit),
        }
    }

    pub(super) async fn newest_version(&self, place: &Place) -> Result<u64> {
        Ok(self.metadata(place).await?.map_or(0, |it| it.current_version))
    }

    pub(super) async fn version_state(&self, place: &Place, version: u64) -> Result<VersionState> {
        let found = self.metadata(place).await?;
        let found = found.as_ref().and_then(|it| it.versions.get(&version));
        Ok(found.map_or(VersionState::Absent, VersionMetadata::state))
    }

    async fn metadata(&self, place: &Place) -> Result<Option<Metadata>> {
        let at = self.at(place)?;
        let path = at.below("metadata");
        let answer = self.ask(&path, &ReadSecretMetadataRequest { mount: at.mount, path: at.path }).await?;
        if answer.is_absence() {
            return Ok(None);
        }
        if !answer.is_success() {
            return Err(self.refused(&path, &answer));
        }
        let found = answer.data::<Metadata>();
        found.map(Some).ok_or_else(|| self.nonsense(&path, "there is no version in the answer"))
    }

    pub(super) async fn write_version(
        &self,
        place: &Place,
        value: &SecretValue,
        expected: u64,
    ) -> Result<u64> {
        let at = self.at(place)?;
        let path = at.below("data");
        let (method, body) = match place {
            Place::Ours(_) => {
                self.keep_versions(&at).await?;
                (Method::POST, encoding::write_ours(value, expected))
            }
            Place::Foreign { field, .. } => {
                let body = encoding::patch_foreign(field, value, expected);
                (Method::PATCH, body.ok_or_else(|| not_text(&path))?)
            }
        };
        let answer = self.ask_with(&path, || Call::new(method.clone(), &*path, body.clone()).into()).await?;
        self.written(place, &path, &answer)
    }

    fn written(&self, place: &Place, path: &str, answer: &Answer) -> Result<u64> {
        if answer.complains_of("check-and-set") {
            return Err(Problem::new(
                ProblemKind::PreconditionFailed,
                format!("{path} of Vault has another version by now; nothing was written"),
            )
            .remedy("Look at the newest version, then set it again."));
        }
        // A patch of what is not there is answered without a word.
        let absent = answer.is_absence() || (answer.status == 404 && answer.body.is_empty());
        if absent && matches!(place, Place::Foreign { .. }) {
            return Err(Problem::conflict(format!(
                "there is no live version at {path} of Vault to change a field of"
            ))
            .remedy("Make or undelete it in Vault first; what somebody else made is only changed here."));
        }
        if !answer.is_success() {
            return Err(self.refused(path, answer));
        }
        let version = answer.data::<Version>().map(|it| it.version).filter(|version| *version > 0);
        version.ok_or_else(|| self.nonsense(path, "there is no version in the answer"))
    }

    /// Sets how many versions are kept: once for each secret in the life of this process, so that a
    /// changed configuration arrives without a request more for each write.
    async fn keep_versions(&self, at: &At) -> Result<()> {
        if self.kept.lock().is_ok_and(|kept| kept.contains(&at.path)) {
            return Ok(());
        }
        let path = at.below("metadata");
        let request = SetSecretMetadataRequest {
            mount: at.mount.clone(),
            path: at.path.clone(),
            max_versions: Some(self.config.max_versions.into()),
            ..SetSecretMetadataRequest::default()
        };
        let answer = self.ask(&path, &request).await?;
        if !answer.is_success() {
            return Err(self.refused(&path, &answer));
        }
        if let Ok(mut kept) = self.kept.lock() {
            kept.insert(at.path.clone());
        }
        Ok(())
    }

    pub(super) async fn delete_versions(&self, place: &Place, versions: &[u64]) -> Result<()> {
        let At { mount, path } = self.at_ours(place, "deleted")?;
        self.change(place, "delete", DeleteSecretVersionsRequest { mount, path, versions: versions.to_vec() })
            .await
    }

    pub(super) async fn undelete_versions(&self, place: &Place, versions: &[u64]) -> Result<()> {
        let At { mount, path } = self.at_ours(place, "undeleted")?;
        self.change(
            place,
            "undelete",
            UndeleteSecretVersionsRequest { mount, path, versions: versions.to_vec() },
        )
        .await
    }

    pub(super) async fn destroy_versions(&self, place: &Place, versions: &[u64]) -> Result<()> {
        let At { mount, path } = self.at_ours(place, "destroyed")?;
        self.change(
            place,
            "destroy",
            DestroySecretVersionsRequest { mount, path, versions: versions.to_vec() },
        )
        .await
    }

    /// Versions that are not there need no change: that is no error.
    async fn change<E: Endpoint>(&self, place: &Place, part: &str, request: E) -> Result<()> {
        let path = self.at(place)?.below(part);
        let answer = self.ask(&path, &request).await?;
        if answer.is_success() || answer.is_absence() { Ok(()) } else { Err(self.refused(&path, &answer)) }
    }

    fn at(&self, place: &Place) -> Result<At> {
        At::of(place, &self.config.mount)
    }

    /// A version at a foreign place holds other people's fields, too.
    fn at_ours(&self, place: &Place, done: &str) -> Result<At> {
        let at = self.at(place)?;
        match place {
            Place::Ours(_) => Ok(at),
            Place::Foreign { .. } => Err(Problem::conflict(format!(
                "{} of Vault belongs to somebody else, so no version of it can be {done} here",
                at.below("data")
            ))
            .remedy("Do it in Vault itself.")),
        }
    }
}

fn not_text(path: &str) -> Problem {
    Problem::invalid(format!("{path} of Vault holds text, and this value is none"))
        .remedy("Set a value that is UTF-8, or let the secret live at our own place.")
}
