//! What the broker writes to the database, each with its entry.

use async_trait::async_trait;

use super::desired::{Place, WriteNote};
use crate::{
    audit::{Authority, Draft, IntentOutcome, Unit, Work},
    base::{EnvironmentRef, Name, Problem, Result, hex, ids::IntentId},
    policy::Permit,
    store::sql,
};

/// As intents name this room.
pub(super) const ROOM: &str = "broker";

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryState {
    /// Not looked at yet.
    New,
    /// Nothing to deliver, so no Secret.
    WaitingForValues,
    /// What should be there is there.
    Delivered,
    /// Left as it is until a time.
    Paused,
    /// A Secret of that name is there and is not ours. It is left alone.
    Foreign,
    /// The cluster or the engine does not answer.
    Unreachable,
    /// The cluster denies us a right that we need.
    Forbidden,
    /// It cannot be: too large, no such namespace, not allowed.
    Refused,
}

impl DeliveryState {
    const ALL: [Self; 8] = [
        Self::New,
        Self::WaitingForValues,
        Self::Delivered,
        Self::Paused,
        Self::Foreign,
        Self::Unreachable,
        Self::Forbidden,
        Self::Refused,
    ];

    /// As it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::WaitingForValues => "waiting-for-values",
            Self::Delivered => "delivered",
            Self::Paused => "paused",
            Self::Foreign => "foreign",
            Self::Unreachable => "unreachable",
            Self::Forbidden => "forbidden",
            Self::Refused => "refused",
        }
    }

    /// Reads what [`Self::as_str`] wrote; anything else counts as not looked at.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        Self::ALL.into_iter().find(|it| it.as_str() == text).unwrap_or(Self::New)
    }
}

/// A state with what stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) state: DeliveryState,
    pub(super) detail: String,
}

impl Standing {
    pub(super) fn new(state: DeliveryState, detail: impl Into<String>) -> Self {
        Self { state, detail: detail.into() }
    }
}

/// What each unit here is about.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) delivery: Name,
    pub(super) environment: EnvironmentRef,
}

impl About {
    fn draft(&self, action: &str) -> Draft {
        Draft::act(action)
            .resource(format!("delivery/{}", self.delivery))
            .environment(&self.environment)
            .with("delivery", self.delivery.as_str())
    }

    async fn note(&self, work: &mut Work<'_>, standing: &Standing) -> Result<()> {
        let now = work.now();
        work.execute(
            sql("INSERT INTO delivery_states (delivery, state, detail, generation, audit_index, changed_at, environment) \
                 VALUES ($1, $2, $3, 0, 0, $4, $5) ON CONFLICT (delivery) DO UPDATE \
                 SET environment = excluded.environment, state = excluded.state, detail = excluded.detail, changed_at = excluded.changed_at")
            .bind(&self.delivery)
            .bind(standing.state.as_str())
            .bind(standing.detail.as_str())
            .bind(now)
            .bind(&self.environment),
        )
        .await?;
        Ok(())
    }
}

/// A place as columns.
fn at(query: crate::store::Query, about: &About, place: &Place) -> crate::store::Query {
    query
        .bind(&about.delivery)
        .bind(&place.cluster)
        .bind(&place.spot.namespace)
        .bind(place.spot.secret.as_str())
}

/// What is in the body of an intent of this room.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Note {
    pub(super) cluster: Name,
    pub(super) namespace: Name,
    pub(super) secret: String,
    pub(super) environment: EnvironmentRef,
    /// Nothing where it is a removal.
    pub(super) write: Option<WriteNote>,
}

impl Note {
    fn of(place: &Place, about: &About, write: Option<WriteNote>) -> Self {
        Self {
            cluster: place.cluster.clone(),
            namespace: place.spot.namespace.clone(),
            secret: place.spot.secret.clone(),
            environment: about.environment.clone(),
            write,
        }
    }

    pub(super) fn place(&self) -> Place {
        let spot = super::Spot { namespace: self.namespace.clone(), secret: self.secret.clone() };
        Place { cluster: self.cluster.clone(), spot }
    }

    async fn open(&self, work: &mut Work<'_>, about: &About, draft: Draft) -> Result<IntentId> {
        let open: Vec<(String,)> = work
            .fetch_all(
                sql("SELECT body FROM intents WHERE room = $1 AND subject = $2 AND state IN ('open', 'unknown')")
                    .bind(ROOM)
                    .bind(&about.delivery),
            )
            .await?;
        let here = |body: &str| serde_json::from_str::<Self>(body).is_ok_and(|it| it.place() == self.place());
        if open.iter().any(|(body,)| here(body)) {
            return Err(Problem::conflict(format!(
                "the delivery '{}' is being written already",
                about.delivery
            )));
        }
        let body = serde_json::to_value(self).map_err(|error| Problem::internal(error.to_string()))?;
        let draft = draft.with("place", self.place().to_string());
        work.open_intent(ROOM, about.delivery.as_str(), &body, draft).await
    }
}

macro_rules! under_permit {
    ($output:ty) => {
        type Output = $output;

        fn authority(&self) -> Authority<'_> {
            Authority::Permit(&self.permit)
        }
    };
}

/// Before a Secret is written: the intent, and the place where it will be found again.
pub(super) struct OpenWrite {
    pub(super) permit: Permit,
    pub(super) about: About,
    pub(super) place: Place,
    /// What was stored of the delivery when what is there was compared with what should be: its
    /// generation and audit index.
    pub(super) seen: (i64, i64),
    /// Generation and audit index are filled in.
    pub(super) write: WriteNote,
}

#[async_trait]
impl Unit for OpenWrite {
    under_permit!((IntentId, WriteNote));

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output> {
        let stored: Option<(i64, i64, Option<Vec<u8>>, Option<i64>)> = work
            .fetch_optional(
                sql("SELECT generation, audit_index, digest, paused_until FROM delivery_states WHERE delivery = $1")
                    .bind(&self.about.delivery),
            )
            .await?;
        let head: Option<(i64,)> = work.fetch_optional(sql("SELECT size FROM log_head WHERE id = 1")).await?;
        let (generation, index, digest, paused) = stored.unwrap_or((0, 0, None, None));
        // Asked for again: whoever has paused it may count on nothing being written from then on.
        if paused.is_some_and(|until| until > work.now().as_millis()) {
            return Err(Problem::conflict(format!("the delivery '{}' is paused", self.about.delivery)));
        }
        if (generation, index) != self.seen {
            // What was compared is no longer so: another replica has written it.
            return Err(Problem::conflict(format!(
                "the delivery '{}' was written meanwhile",
                self.about.delivery
            )));
        }
        let mut write = self.write.clone();
        write.restores = digest.is_some_and(|it| hex::encode(&it) == write.digest);
        write.generation = generation + i64::from(!write.restores);
        write.audit_index = head.map_or(0, |(size,)| size);
        work.execute(
            at(
                sql("INSERT INTO delivery_places (delivery, cluster, namespace, secret, environment) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING"),
                &self.about,
                &self.place,
            )
            .bind(&self.about.environment),
        )
        .await?;
        let draft = self
            .about
            .draft("delivery.writing")
            .with("generation", write.generation)
            .with("digest", write.digest.as_str());
        let note = Note::of(&self.place, &self.about, Some(write.clone()));
        let id = note.open(work, &self.about, draft).await?;
        Ok((id, write))
    }
}

/// After it: what is in the cluster now.
pub(super) struct CloseWrite {
    pub(super) permit: Permit,
    pub(super) about: About,
    pub(super) place: Place,
    pub(super) intent: IntentId,
    pub(super) write: WriteNote,
}

impl CloseWrite {
    async fn versions(&self, work: &mut Work<'_>) -> Result<()> {
        let place = self.place.to_string();
        work.execute(
            sql("DELETE FROM delivered_versions WHERE delivery = $1 AND place = $2")
                .bind(&self.about.delivery)
                .bind(place.as_str()),
        )
        .await?;
        for it in &self.write.versions {
            work.execute(
                sql("INSERT INTO delivered_versions (delivery, place, secret, version) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT DO NOTHING")
                .bind(&self.about.delivery)
                .bind(place.as_str())
                .bind(it.secret.as_str())
                .bind(it.version.as_str()),
            )
            .await?;
        }
        Ok(())
    }

    async fn state(&self, work: &mut Work<'_>) -> Result<()> {
        let digest = hex::decode(&self.write.digest).unwrap_or_default();
        self.about.note(work, &Standing::new(DeliveryState::Delivered, "")).await?;
        let now = work.now();
        work.execute(
            sql("UPDATE delivery_states SET digest = $2, generation = $3, audit_index = $4, delivered_at = $5 \
                 WHERE delivery = $1")
            .bind(&self.about.delivery)
            .bind(digest)
            .bind(self.write.generation)
            .bind(self.write.audit_index)
            .bind(now),
        )
        .await?;
        Ok(())
    }
}

#[async_trait]
impl Unit for CloseWrite {
    under_permit!(());

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        self.versions(work).await?;
        self.state(work).await?;
        let draft = self
            .about
            .draft("delivery.written")
            .with("place", self.place.to_string())
            .with("generation", self.write.generation);
        work.close_intent(self.intent, IntentOutcome::Done, draft).await?;
        if self.write.restores {
            let name = &self.about.delivery;
            work.record(self.about.draft("delivery.restored").with("place", self.place.to_string()).with(
                "remedy",
                format!(
                    "To change it by hand for a while: portctl delivery pause {name} --for 1h --reason \"…\""
                ),
            ));
        }
        Ok(())
    }
}

/// After an act that came to nothing, or of which that is not known.
pub(super) struct Fail {
    pub(super) permit: Permit,
    pub(super) about: About,
    pub(super) intent: IntentId,
    pub(super) outcome: IntentOutcome,
    /// The new state, where there is one to tell.
    pub(super) standing: Option<Standing>,
}

#[async_trait]
impl Unit for Fail {
    under_permit!(());

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let mut draft = self.about.draft("delivery.failed");
        if let Some(standing) = &self.standing {
            self.about.note(work, standing).await?;
            draft = draft.with("state", standing.state.as_str()).with("detail", standing.detail.as_str());
        }
        work.close_intent(self.intent, self.outcome, draft).await
    }
}

/// A state that changed without anything being written to a cluster.
pub(super) struct NoteState {
    pub(super) permit: Permit,
    pub(super) about: About,
    pub(super) standing: Standing,
}

#[async_trait]
impl Unit for NoteState {
    under_permit!(());

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        self.about.note(work, &self.standing).await?;
        let draft = self.about.draft("delivery.noted").with("state", self.standing.state.as_str());
        work.record(draft.with("detail", self.standing.detail.as_str()));
        Ok(())
    }
}

/// Before a Secret of ours is deleted.
pub(super) struct OpenRemove {
    pub(super) permit: Permit,
    pub(super) about: About,
    pub(super) place: Place,
}

#[async_trait]
impl Unit for OpenRemove {
    under_permit!(IntentId);

    async fn run(&self, work: &mut Work<'_>) -> Result<IntentId> {
        let note = Note::of(&self.place, &self.about, None);
        note.open(work, &self.about, self.about.draft("delivery.removing")).await
    }
}

/// A place where nothing of ours is any more: deleted by us, gone by itself, or not ours.
pub(super) struct Leave {
    pub(super) permit: Permit,
    pub(super) about: About,
    pub(super) place: Place,
    /// Of the deletion; nothing where there was nothing to delete.
    pub(super) intent: Option<IntentId>,
    pub(super) found: &'static str,
}

#[async_trait]
impl Unit for Leave {
    under_permit!(());

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        work.execute(at(
            sql("DELETE FROM delivery_places WHERE delivery = $1 AND cluster = $2 AND namespace = $3 AND secret = $4"),
            &self.about,
            &self.place,
        ))
        .await?;
        work.execute(
            sql("DELETE FROM delivered_versions WHERE delivery = $1 AND place = $2")
                .bind(&self.about.delivery)
                .bind(self.place.to_string()),
        )
        .await?;
        // What is put there next is a change, not a restoration.
        work.execute(
            sql("UPDATE delivery_states SET digest = NULL WHERE delivery = $1").bind(&self.about.delivery),
        )
        .await?;
        let draft = self
            .about
            .draft("delivery.removed")
            .with("place", self.place.to_string())
            .with("found", self.found);
        if let Some(intent) = self.intent {
            work.close_intent(intent, IntentOutcome::Done, draft).await
        } else {
            work.record(draft);
            Ok(())
        }
    }
}

/// The end of a delivery that no file declares and that is nowhere any more.
pub(super) struct Forget {
    pub(super) permit: Permit,
    pub(super) about: About,
}

#[async_trait]
impl Unit for Forget {
    under_permit!(());

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        for query in [
            sql("DELETE FROM delivery_states WHERE delivery = $1"),
            sql("DELETE FROM delivery_readers WHERE delivery = $1"),
        ] {
            work.execute(query.bind(&self.about.delivery)).await?;
        }
        work.record(self.about.draft("delivery.ended"));
        Ok(())
    }
}
