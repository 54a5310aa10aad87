//! Asking a cluster, at a bounded rate and nothing twice.

use std::{collections::HashMap, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{super::TargetError, people::Candidate};
use crate::{
    base::ids::PersonId,
    broker::{Reader, Spot, Target},
};

/// Between two questions: fifty a second at most, however many people there are.
const PACE: Duration = Duration::from_millis(20);

/// How entries say as whom she could read it.
fn shown(reader: &Reader) -> String {
    if reader.user.is_empty() { format!("groups {}", reader.groups.join(", ")) } else { reader.user.clone() }
}

/// What was asked about one Secret.
pub(super) struct Asking<'a> {
    target: &'a dyn Target,
    spot: &'a Spot,
    stop: &'a CancellationToken,
    answers: HashMap<Reader, bool>,
}

impl<'a> Asking<'a> {
    pub(super) fn new(target: &'a dyn Target, spot: &'a Spot, stop: &'a CancellationToken) -> Self {
        Self { target, spot, stop, answers: HashMap::new() }
    }

    /// Which of these can read it, and as whom. Ends early where the server stops.
    pub(super) async fn who_can(
        &mut self,
        some: &[Candidate],
    ) -> Result<Vec<(PersonId, String)>, TargetError> {
        let mut found = Vec::new();
        for candidate in some {
            if self.stop.is_cancelled() {
                break;
            }
            if let Some(reader) = self.first_that_can(&candidate.readers).await? {
                found.push((candidate.person, shown(reader)));
            }
        }
        Ok(found)
    }

    async fn first_that_can<'r>(&mut self, readers: &'r [Reader]) -> Result<Option<&'r Reader>, TargetError> {
        for reader in readers {
            if self.can(reader).await? {
                return Ok(Some(reader));
            }
        }
        Ok(None)
    }

    async fn can(&mut self, reader: &Reader) -> Result<bool, TargetError> {
        if let Some(known) = self.answers.get(reader) {
            return Ok(*known);
        }
        tokio::time::sleep(PACE).await;
        let can = self.target.may_read(self.spot, reader).await?;
        self.answers.insert(reader.clone(), can);
        Ok(can)
    }
}
