//! Whose cosignatures are wanted of what is verified.

use clap::Args;

use crate::{
    audit::witness::{WitnessKey, WitnessPolicy, Witnessed},
    base::{Problem, Result},
};

/// Witnesses, by keys from somewhere that you trust.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct WitnessArgs {
    /// The key of a witness that should have cosigned; repeat it for each.
    #[arg(long = "witness", value_name = "VKEY")]
    keys: Vec<String>,
    /// How many of them it takes; all of them where nothing is said.
    #[arg(long, value_name = "N", requires = "keys")]
    quorum: Option<usize>,
}

impl WitnessArgs {
    /// What they mean; nothing where none is named.
    pub(super) fn policy(&self) -> Result<Option<WitnessPolicy>> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        let keys = self.keys.iter().map(|text| text.parse::<WitnessKey>()).collect::<Result<Vec<_>, _>>();
        let policy = keys.and_then(|keys| WitnessPolicy::new(keys, self.quorum));
        Ok(Some(policy.map_err(Problem::invalid)?))
    }
}

/// Refuses what was not witnessed as it was wanted, after it was shown.
pub(super) fn want(witnessed: Option<&Witnessed>) -> Result<()> {
    match witnessed {
        Some(witnessed) if !witnessed.is_met() => {
            Err(Problem::conflict(format!("what was verified fits the log's signature, and is {witnessed}"))
                .remedy("Ask again in a few seconds; `/audit/log/witnessed-checkpoint` has the newest one."))
        }
        _ => Ok(()),
    }
}

/// A line of its own, where it was asked for.
pub(super) fn say(witnessed: Option<&Witnessed>) -> String {
    witnessed.map(|it| format!("{it}\n")).unwrap_or_default()
}
