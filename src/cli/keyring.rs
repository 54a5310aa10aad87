//! The system's keyring, where there is one that works. Every fault of it means: not there.

use std::path::Path;

use crate::base::SecretValue;

/// The folder is part of the name: whoever sets XDG_CONFIG_HOME wants credentials of its own.
#[cfg(target_os = "linux")]
fn entry(folder: &Path, server: &str) -> Option<keyring::Entry> {
    keyring::Entry::new(&format!("portctl {}", folder.display()), server).ok()
}

/// The token for a server.
#[cfg(target_os = "linux")]
pub(super) fn get(folder: &Path, server: &str) -> Option<SecretValue> {
    entry(folder, server)?.get_secret().ok().map(SecretValue::new)
}

/// Keeps a token; says whether it can be had back.
#[cfg(target_os = "linux")]
pub(super) fn set(folder: &Path, server: &str, token: &SecretValue) -> bool {
    let Some(entry) = entry(folder, server) else { return false };
    entry.set_secret(token.expose()).is_ok() && get(folder, server).is_some_and(|kept| kept == *token)
}

/// Forgets a token.
#[cfg(target_os = "linux")]
pub(super) fn forget(folder: &Path, server: &str) {
    if let Some(entry) = entry(folder, server) {
        // Not being there is what was wanted.
        let _ = entry.delete_credential();
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn get(_folder: &Path, _server: &str) -> Option<SecretValue> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(super) fn set(_folder: &Path, _server: &str, _token: &SecretValue) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
pub(super) fn forget(_folder: &Path, _server: &str) {}
