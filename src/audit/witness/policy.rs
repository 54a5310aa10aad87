//! How many witnesses it takes until a checkpoint counts as witnessed.

use std::fmt;

use super::{
    WitnessKey,
    cosignature::{self, parts},
};
use crate::base::{Problem, ProblemKind, Result};

/// Most witnesses: a note has room for 32 signatures, and the log's own keys are among them.
const MOST: usize = 24;

/// Whose cosignatures count, and how many are needed.
#[derive(Clone, Debug, Default)]
pub struct WitnessPolicy {
    keys: Vec<WitnessKey>,
    quorum: usize,
}

impl WitnessPolicy {
    /// `quorum` of these; all of them where nothing is said.
    ///
    /// # Errors
    /// Where one witness would count twice, or where the quorum is none or can never be met.
    pub fn new(keys: Vec<WitnessKey>, quorum: Option<usize>) -> Result<Self, String> {
        let quorum = quorum.unwrap_or(keys.len());
        for (at, key) in keys.iter().enumerate() {
            let is_twin = |it: &WitnessKey| it.name() == key.name() || it.public() == key.public();
            if keys[..at].iter().any(is_twin) {
                return Err(format!("the witness '{}' is there twice, by its name or its key", key.name()));
            }
        }
        match quorum {
            _ if keys.len() > MOST => Err(format!("there are more than {MOST} witnesses")),
            0 if !keys.is_empty() => Err("a quorum of 0 witnesses says nothing".to_owned()),
            _ if quorum > keys.len() => {
                Err(format!("{quorum} witnesses are needed, and {} are named", keys.len()))
            }
            _ => Ok(Self { keys, quorum }),
        }
    }

    /// Whose cosignatures count.
    #[must_use]
    pub fn keys(&self) -> &[WitnessKey] {
        &self.keys
    }

    /// How many are needed; 0 where there are no witnesses.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.quorum
    }

    /// Who of them cosigned this note. Whether the log signed it is another's question.
    ///
    /// # Errors
    /// `log-altered` where a cosignature of one of them is wrong.
    pub fn judge(&self, note: &str) -> Result<Witnessed> {
        let wrong = |why: String| {
            Problem::new(ProblemKind::LogAltered, format!("the checkpoint cannot be believed: {why}"))
        };
        let (body, lines) = parts(note).ok_or_else(|| wrong("it is no note".to_owned()))?;
        let mut by = Vec::new();
        for key in &self.keys {
            if cosignature::find(lines, body, key).map_err(wrong)?.is_some() {
                by.push(key.name().to_owned());
            }
        }
        Ok(Witnessed { by, of: self.keys.len(), needs: self.quorum })
    }
}

/// Who of them cosigned the checkpoint of an export, given its first line, which was verified.
///
/// # Errors
/// As [`WitnessPolicy::judge`].
pub fn judge_export(policy: &WitnessPolicy, first_line: &str) -> Result<Witnessed> {
    let header: serde_json::Value = serde_json::from_str(first_line).unwrap_or_default();
    policy.judge(header["checkpoint"].as_str().unwrap_or_default())
}

/// Who cosigned a checkpoint, as a policy sees it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Witnessed {
    /// Their names.
    pub by: Vec<String>,
    /// How many would count.
    pub of: usize,
    /// How many are needed.
    pub needs: usize,
}

impl Witnessed {
    /// Whether they are enough. Where nobody is needed, nothing was witnessed.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.needs > 0 && self.by.len() >= self.needs
    }
}

impl fmt::Display for Witnessed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let enough = if self.is_met() { "" } else { ", which is not enough" };
        write!(f, "witnessed by {} of {} (policy needs {}){enough}", self.by.len(), self.of, self.needs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(count: u8) -> Vec<WitnessKey> {
        (0..count).map(|n| WitnessKey::new(&format!("w{n}"), [n; 32]).unwrap()).collect()
    }

    #[test]
    fn nobody_counts_twice_and_a_quorum_can_be_met() {
        assert_eq!(WitnessPolicy::new(keys(3), None).unwrap().quorum(), 3);
        assert_eq!(WitnessPolicy::new(keys(3), Some(2)).unwrap().quorum(), 2);
        assert!(WitnessPolicy::new(keys(3), Some(4)).is_err());
        assert!(WitnessPolicy::new(keys(3), Some(0)).is_err());
        assert!(WitnessPolicy::new(Vec::new(), Some(1)).is_err());
        let same_key = vec![WitnessKey::new("a", [1; 32]).unwrap(), WitnessKey::new("b", [1; 32]).unwrap()];
        assert!(WitnessPolicy::new(same_key, Some(1)).is_err());
        assert!(WitnessPolicy::new([keys(1), keys(1)].concat(), Some(1)).is_err());
    }

    #[test]
    fn without_witnesses_nothing_is_witnessed() {
        let found = WitnessPolicy::default().judge("a\n1\n\n\n").unwrap();
        assert!(!found.is_met());
        assert_eq!(found.to_string(), "witnessed by 0 of 0 (policy needs 0), which is not enough");
    }
}
