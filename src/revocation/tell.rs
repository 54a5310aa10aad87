//! What is told when somebody leaves: which team has work to do, and which requests nobody is left for.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Revocation, preview::known_in_use};
use crate::{
    access::powers_of,
    audit::Work,
    base::{Name, Result, ids::PersonId},
    catalog::Snapshot,
};

/// Messages, by their topics.
#[derive(Clone, Debug, Default)]
pub(super) struct Messages(Vec<(&'static str, Value)>);

impl Messages {
    /// What is to be told of the leaving of `person`: to each team that owns a secret whose value she knows,
    /// and of each request that nobody could approve any more.
    pub(super) async fn of(revocation: &Revocation, declared: &Snapshot, person: PersonId) -> Result<Self> {
        let mut messages = Vec::new();
        let mut work: BTreeMap<&Name, Vec<String>> = BTreeMap::new();
        for secret in known_in_use(&revocation.database, declared, person).await? {
            if let Some(team) = declared.team_of(&secret.environment.application) {
                work.entry(team).or_default().push(secret.to_string());
            }
        }
        for (team, secrets) in work {
            messages.push(("leaver.opened", json!({ "person": person, "team": team, "secrets": secrets })));
        }
        let now = revocation.ambient.now();
        for power in powers_of(&revocation.database, declared, person, now).await? {
            if power.others == 0 {
                let request = &power.request;
                messages.push((
                    "request.without-approver",
                    json!({
                        "request": request.id, "person": request.person, "scope": request.scope, "at": request.at,
                    }),
                ));
            }
        }
        Ok(Self(messages))
    }

    /// Puts them into the outbox.
    pub(super) async fn enqueue(&self, revocation: &Revocation, work: &mut Work<'_>) -> Result<()> {
        for (topic, message) in &self.0 {
            revocation.outbox.enqueue(work, topic, message).await?;
        }
        Ok(())
    }
}
