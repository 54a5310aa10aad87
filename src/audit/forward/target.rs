//! Somewhere that entries are sent.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use ring::digest;
use serde_json::Value;
use url::Url;

use crate::{
    audit::read::Filter,
    base::{
        Problem, ProblemKind, Result, SecretValue,
        config::{Credential, ForwardConfig},
        hex,
    },
};

/// Most entries of a batch.
const LARGEST_BATCH: u64 = 500;

/// An address, its token, and what it gets.
pub(super) struct Target {
    pub(super) url: Url,
    token: Credential,
    pub(super) filter: Filter,
    /// What its row is found by.
    pub(super) id: String,
    /// What it gets, as a digest: another one is news to the log.
    pub(super) described: String,
    limit: AtomicU64,
}

impl Target {
    /// As the configuration has it.
    ///
    /// # Errors
    /// `invalid-configuration` for a filter that there is not.
    pub(super) fn new(config: &ForwardConfig) -> Result<Self> {
        let filter = filter_of(&config.filter).map_err(|problem| {
            Problem::new(
                ProblemKind::InvalidConfiguration,
                format!(
                    "the filter of what is forwarded to {} cannot be used: {}",
                    host(&config.url),
                    problem.detail
                ),
            )
            .remedy("Correct [[log.forward]] in the server's configuration.")
        })?;
        let described = serde_json::to_string(&config.filter).unwrap_or_default();
        Ok(Self {
            url: config.url.clone(),
            token: config.token.clone(),
            filter,
            id: digest_of(config.url.as_str()),
            described: digest_of(&described),
            limit: AtomicU64::new(LARGEST_BATCH),
        })
    }

    /// Whom it is for, as logs, metrics and errors name it: the rest of the address may hold a token.
    pub(super) fn host(&self) -> String {
        host(&self.url)
    }

    /// The token of now: its file may have been replaced.
    pub(super) fn token(&self) -> Result<SecretValue> {
        self.token.read()
    }

    /// How many entries a batch has at most.
    pub(super) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// It does not take so many at once.
    pub(super) fn halve(&self, entries: u64) {
        self.limit.store((entries / 2).max(1), Ordering::Relaxed);
    }
}

fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn digest_of(text: &str) -> String {
    hex::encode(&digest::digest(&digest::SHA256, text.as_bytes()).as_ref()[..16])
}

/// The keys are those of [`Filter`]; one that is not known would let everything through.
fn filter_of(config: &BTreeMap<String, String>) -> Result<Filter> {
    let map = config.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect();
    let filter: Filter =
        serde_json::from_value(Value::Object(map)).map_err(|error| Problem::invalid(error.to_string()))?;
    let taken = serde_json::to_value(&filter).unwrap_or_default();
    if let Some(unknown) = config.keys().find(|key| taken.get(key.as_str()).is_none()) {
        return Err(Problem::invalid(format!("there is no filter '{}'", unknown.escape_debug())));
    }
    filter.check()?;
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_filter_that_there_is_not_is_refused() {
        assert!(filter_of(&map(&[])).unwrap().is_empty());
        let found = filter_of(&map(&[("application", "reports"), ("action", "secret.")])).unwrap();
        assert_eq!(found.application.as_deref(), Some("reports"));
        for bad in [("aplication", "reports"), ("decision", "perhaps"), ("since", "yesterday")] {
            assert!(filter_of(&map(&[bad])).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_address_is_named_by_its_host_alone() {
        let url: Url = "https://siem.example.com:8443/token-abc".parse().unwrap();
        let config = ForwardConfig {
            url,
            token: Credential::Value(SecretValue::from("t".to_owned())),
            filter: BTreeMap::new(),
        };
        let target = Target::new(&config).unwrap();
        assert_eq!(target.host(), "siem.example.com:8443");
        assert!(!target.id.contains("token"));
    }
}
