//! Intents without an outcome: somebody died, or an answer was lost. What is there tells.

use super::{
    Broker, Found,
    desired::{Place, is_ours},
    units::{About, CloseWrite, Fail, Leave, Note, ROOM},
};
use crate::{
    audit::IntentOutcome,
    base::{Name, Problem, ProblemKind, Result, Timestamp, ids::IntentId},
    store::{DatabaseKind, sql},
};

/// How long an intent may be another replica's that is still at it: longer than a write may take.
const TOO_YOUNG: std::time::Duration = std::time::Duration::from_secs(10);

#[derive(sqlx::FromRow)]
struct OpenIntent {
    id: String,
    body: String,
    state: String,
    opened_at: i64,
}

impl Broker {
    /// Closes every intent of a delivery that lacks its outcome, where what is there can be read. One
    /// that stays open keeps its place from being written, and nothing else.
    pub(super) async fn recover(&self, name: &Name) -> Result<()> {
        let open: Vec<OpenIntent> = self
            .it
            .database
            .fetch_all(
                sql("SELECT id, body, state, opened_at FROM intents \
                     WHERE room = $1 AND subject = $2 AND state IN ('open', 'unknown') ORDER BY opened_at, id")
                .bind(ROOM)
                .bind(name),
            )
            .await?;
        for intent in open {
            self.look_at(name, &intent).await?;
        }
        Ok(())
    }

    async fn look_at(&self, name: &Name, intent: &OpenIntent) -> Result<()> {
        let age = self.it.ambient.now().since(Timestamp::from_millis(intent.opened_at));
        let replicas = self.it.database.kind() == DatabaseKind::Postgres;
        if replicas && intent.state == "open" && age < TOO_YOUNG {
            return Ok(());
        }
        let id: IntentId = intent.id.parse().map_err(Problem::internal)?;
        let note: Note = serde_json::from_str(&intent.body)
            .map_err(|_| Problem::internal(format!("the intent {id} cannot be read")))?;
        let place = note.place();
        let Some(target) = self.it.targets.get(&place.cluster) else { return Ok(()) };
        let Ok(found) = target.read(&place.spot).await else { return Ok(()) };
        match self.conclude(name, id, note, place, found.as_ref()).await {
            // Somebody else looked, too.
            Err(problem) if problem.is(ProblemKind::Conflict) => Ok(()),
            concluded => concluded,
        }
    }

    async fn conclude(
        &self,
        name: &Name,
        intent: IntentId,
        note: Note,
        place: Place,
        found: Option<&Found>,
    ) -> Result<()> {
        let mac = &*self.it.mac;
        let permit = self.permit_at(&note.environment)?;
        let about = About { delivery: name.clone(), environment: note.environment };
        let ours = found.filter(|it| is_ours(mac, it, &place, name));
        match (note.write, ours) {
            (Some(write), Some(it)) if write.is_there(mac, &place, it) => {
                self.it.log.perform(CloseWrite { permit, about, place, intent, write }).await
            }
            (None, None) => {
                let found = if found.is_some() { "not-ours" } else { "gone" };
                self.it.log.perform(Leave { permit, about, place, intent: Some(intent), found }).await
            }
            _ => {
                let outcome = IntentOutcome::Failed;
                self.it.log.perform(Fail { permit, about, intent, outcome, standing: None }).await
            }
        }
    }
}
