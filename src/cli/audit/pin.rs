//! What was seen of a log before: the key that signs it and its newest checkpoint. Kept in the user's own
//! folder, where the server cannot reach it.

use std::{fs, io::ErrorKind, io::Write as _, path::PathBuf};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::{
    audit::{Checkpoint, VerifierKey},
    base::{Problem, ProblemKind, Result, hex},
    cli::{Context, credentials::private_file},
    client::ServerUrl,
};

/// What was seen of a log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pin {
    /// The key, as text.
    pub(super) key: String,
    /// The signed note.
    pub(super) checkpoint: String,
}

impl Pin {
    /// What was seen of the log of `server`.
    pub(super) fn read(context: &Context, server: &ServerUrl) -> Result<Option<Self>> {
        let path = path(context, server)?;
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|error| unusable(&path, &error.to_string()))?,
        };
        serde_json::from_str(&text).map(Some).map_err(|_| unusable(&path, "it is damaged"))
    }

    /// The key and the checkpoint, which it signed.
    pub(super) fn open(&self) -> Result<(VerifierKey, Checkpoint)> {
        let key: VerifierKey = self.key.parse().map_err(Problem::internal)?;
        let checkpoint = Checkpoint::open(&self.checkpoint, &key)?;
        Ok((key, checkpoint))
    }

    /// Keeps it, whole or not at all.
    pub(super) fn keep(&self, context: &Context, server: &ServerUrl) -> Result<()> {
        let path = path(context, server)?;
        let failed = |error: std::io::Error| unusable(&path, &error.to_string());
        let text = serde_json::to_vec_pretty(self).map_err(|e| Problem::internal(e.to_string()))?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let beside = path.with_extension(std::process::id().to_string());
        private_file(&beside)
            .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&beside, &path))
            .map_err(failed)
    }
}

fn path(context: &Context, server: &ServerUrl) -> Result<PathBuf> {
    let name = hex::encode(&digest(&SHA256, server.as_text().as_bytes()).as_ref()[..8]);
    Ok(context.settings().config_folder()?.join("logs").join(format!("{name}.json")))
}

fn unusable(path: &std::path::Path, why: &str) -> Problem {
    let shown = path.display();
    Problem::new(ProblemKind::InvalidConfiguration, format!("what was seen of the log, in {shown}: {why}"))
        .remedy(format!("Remove {shown} to begin anew, with a key from elsewhere: --key VKEY."))
}
