//! Where a secret lives: whose it is, and in which engine.

use std::sync::Arc;

use super::{Place, RemoteEngine, Secrets};
use crate::{
    base::{Problem, ProblemKind, Result, SecretRef},
    catalog::Snapshot,
};

/// Where a secret lives.
#[derive(Clone)]
pub(super) enum Home {
    /// In our own database.
    Embedded,
    /// In a remote engine.
    Remote {
        engine: Arc<dyn RemoteEngine>,
        place: Place,
        /// Whether it may be changed from here.
        writable: bool,
    },
}

impl Home {
    /// As it is stored beside the secret.
    pub(super) fn engine_name(&self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Remote { engine, .. } => engine.name(),
        }
    }

    /// The place, where it is none of ours, as it is stored beside the secret.
    pub(super) fn location(&self) -> Option<String> {
        match self {
            Self::Remote { place: Place::Foreign { mount, path, field }, .. } => {
                Some(serde_json::json!({ "mount": mount, "path": path, "field": field }).to_string())
            }
            _ => None,
        }
    }
}

/// Whether a mount is another, or lies below it.
fn is_within(mount: &str, other: &str) -> bool {
    mount.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Secrets {
    /// Where a secret lives by what files declare now.
    pub(super) fn home(&self, declared: &Snapshot, at: &SecretRef) -> Result<Home> {
        let external = declared.external_secret(at);
        match (&self.it.remote, external) {
            (None, None) => Ok(Home::Embedded),
            (None, Some(_)) => Err(Problem::new(
                ProblemKind::InvalidConfiguration,
                format!("files declare that '{at}' lives in Vault, and this server has none"),
            )
            .remedy("Set `[engine] kind = \"vault\"` in the server's configuration.")),
            (Some(engine), None) => Ok(Home::Remote {
                engine: Arc::clone(engine),
                place: Place::Ours(at.clone()),
                writable: true,
            }),
            (Some(engine), Some(external)) if is_within(&external.at.mount, engine.own_mount()) => {
                Err(Problem::new(
                    ProblemKind::ManagedByFiles,
                    format!("files declare that '{at}' lives in Port Control's own mount, where each secret has its own place"),
                )
                .remedy("Share the secret instead: `shares` in its owner's Application."))
            }
            (Some(engine), Some(external)) => Ok(Home::Remote {
                engine: Arc::clone(engine),
                place: Place::Foreign {
                    mount: external.at.mount.clone(),
                    path: external.at.path.clone(),
                    field: external.at.field.clone(),
                },
                writable: external.writable,
            }),
        }
    }

    /// The same, for a change; what is shared is changed by its owner alone.
    pub(super) async fn writable_home(&self, declared: &Snapshot, at: &SecretRef) -> Result<Home> {
        let owner = self.resolve(declared, at).await?;
        if owner != *at {
            return Err(Problem::conflict(format!("'{at}' is shared by its owner, and is '{owner}'"))
                .remedy(format!("Change it there: `portctl secret set {owner}`.")));
        }
        match self.home(declared, at)? {
            Home::Remote { writable: false, .. } => Err(Problem::new(
                ProblemKind::ManagedByFiles,
                format!("'{at}' lives elsewhere, and files do not say that it may be changed from here"),
            )
            .remedy("Change it where it lives, or declare it `writable: true`.")),
            home => Ok(home),
        }
    }

    /// Whose secret is meant by a name in an environment: its own, else one that its owner shares with
    /// the application.
    pub(super) fn owner_of(declared: &Snapshot, at: &SecretRef, is_own: bool) -> SecretRef {
        if is_own || declared.external_secret(at).is_some() {
            return at.clone();
        }
        let here = &at.environment;
        declared
            .shares_into(&here.application, &here.environment)
            .into_iter()
            .find(|it| it.name == at.name)
            .unwrap_or_else(|| at.clone())
    }
}
