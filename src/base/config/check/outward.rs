//! What the log has to do with the outside: witnesses, and where it is forwarded to.

use super::Check;
use crate::base::config::{
    ForwardConfig, OutwardConfig, WitnessConfig,
    raw::{RawForward, RawLog, RawWitness},
};

impl Check<'_> {
    /// Takes its part out of `[log]`.
    pub(super) fn outward(&mut self, raw: &mut RawLog) -> OutwardConfig {
        let quorum = raw.witness_policy.as_ref().map(|it| it.quorum);
        let witnesses = self.witnesses(std::mem::take(&mut raw.witnesses));
        if quorum.is_some_and(|quorum| quorum == 0 || quorum > witnesses.len()) {
            self.wrong(
                &["log", "witness_policy", "quorum"],
                format!(
                    "this quorum cannot be met, or says nothing: there are {} witnesses",
                    witnesses.len()
                ),
                "Write how many of [[log.witnesses]] are needed, 1 at least.",
            );
        }
        let forward = self.forward(std::mem::take(&mut raw.forward));
        OutwardConfig { witnesses, quorum, forward, archive: None }
    }

    fn witnesses(&mut self, raw: Vec<RawWitness>) -> Vec<WitnessConfig> {
        let mut witnesses = Vec::new();
        for (index, it) in raw.into_iter().enumerate() {
            if let Some(url) = self.url(&["log", "witnesses", &index.to_string(), "url"], &it.url) {
                witnesses.push(WitnessConfig { vkey: it.vkey, url, pins: it.pins });
            }
        }
        witnesses
    }

    fn forward(&mut self, raw: Vec<RawForward>) -> Vec<ForwardConfig> {
        let mut forward: Vec<ForwardConfig> = Vec::new();
        for (index, it) in raw.into_iter().enumerate() {
            let index = index.to_string();
            let path = ["log", "forward", index.as_str()];
            let url = self.url(&["log", "forward", &index, "url"], &it.url);
            let token = self.credential(&path, "token", it.token, it.token_file);
            let (Some(url), Some(token)) = (url, token) else { continue };
            if forward.iter().any(|known| known.url == url) {
                self.wrong(&path, "this address is forwarded to twice", "Take one of the two out.");
            }
            forward.push(ForwardConfig { url, token, filter: it.filter });
        }
        forward
    }
}
