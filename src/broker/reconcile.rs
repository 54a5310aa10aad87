//! One delivery: what should be, what is, and the one step between.

use super::{
    Broker, Found, Mode, Target, TargetError,
    desired::{Desired, Place, Stamp, WriteNote, is_ours},
    kubernetes::role_rule,
    states::StoredState,
    units::{About, CloseWrite, DeliveryState, Fail, NoteState, OpenWrite, Standing},
};
use crate::{
    audit::IntentOutcome,
    base::{EnvironmentRef, Name, ProblemKind, Result, Timestamp, hex, ids::IntentId},
    catalog::{Delivery, Snapshot},
    policy::{Action, EnvironmentFacts, Permit, Resource, Service},
};

/// How often a Secret is read again when others write it at the same time.
const ROUNDS: usize = 5;
/// What Kubernetes takes in one Secret, in bytes of keys and values.
const LARGEST: usize = 1024 * 1024;

/// What is to be done about a delivery after it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until something changes.
    Settled,
    /// Look again soon.
    Again,
    /// Look again at a time.
    At(Timestamp),
}

/// A delivery being looked at.
pub(super) struct Job<'j> {
    pub(super) about: About,
    pub(super) facts: EnvironmentFacts,
    pub(super) place: Place,
    pub(super) target: &'j dyn Target,
    pub(super) stored: Option<StoredState>,
}

impl Broker {
    /// Makes one delivery as it should be; the one entrance. Running it again changes nothing more, and
    /// never may two run for the same delivery in this process.
    ///
    /// # Errors
    /// A problem of the database or the log; of clusters and engine only states are made.
    pub async fn reconcile(&self, name: &Name) -> Result<Next> {
        self.recover(name).await?;
        let declared = self.it.catalog.snapshot().await?;
        let delivery = declared.deliveries.get(name);
        let left = self.leave_former_places(name, delivery).await?;
        match delivery {
            Some(delivery) => {
                let next = self.deliver(&declared, delivery).await?;
                Ok(if left { next } else { Next::Again })
            }
            None if left => self.forget(name).await.map(|()| Next::Settled),
            None => Ok(Next::Again),
        }
    }

    /// The permit that every act of the broker takes.
    pub(super) fn permit(&self, facts: &EnvironmentFacts) -> Result<Permit> {
        self.it.permits.permit(Service::Broker, Action::Deliver, Resource::Environment(facts.clone()))
    }

    /// The same for an environment that may no longer be declared.
    pub(super) fn permit_at(&self, at: &EnvironmentRef) -> Result<Permit> {
        self.permit(&EnvironmentFacts { at: at.clone(), owner: None, protected: false })
    }

    async fn deliver(&self, declared: &Snapshot, delivery: &Delivery) -> Result<Next> {
        let facts = declared.environment(&delivery.at())?;
        let stored = self.stored(&delivery.name).await?;
        let about = About { delivery: delivery.name.clone(), environment: delivery.at() };
        if let Some(until) = self.paused(stored.as_ref()) {
            let standing = Standing::new(DeliveryState::Paused, format!("left as it is until {until}"));
            self.note(&about, &facts, stored.as_ref(), standing).await?;
            return Ok(Next::At(until));
        }
        let Some(team) = delivery.team.clone().or_else(|| facts.owner.clone()) else {
            return Ok(Next::Settled);
        };
        let place = Place::of(delivery);
        let target = match self.open(declared, &place, &team) {
            Ok(target) => target,
            Err(standing) => {
                self.note(&about, &facts, stored.as_ref(), standing).await?;
                return Ok(Next::Settled);
            }
        };
        let job = Job { about, facts, place, target, stored };
        match self.it.values.current(&delivery.at(), self.permit(&job.facts)?).await {
            Ok(values) => self.fill(job, &Desired::new(&*self.it.mac, delivery, &team, values)).await,
            Err(problem) => {
                let detail = format!("its values cannot be read: {}", problem.detail);
                self.say(&job, Standing::new(DeliveryState::Unreachable, detail)).await
            }
        }
    }

    /// Until when it is paused, if it is.
    fn paused(&self, stored: Option<&StoredState>) -> Option<Timestamp> {
        let until = stored.and_then(|it| it.paused_until).map(Timestamp::from_millis);
        until.filter(|it| *it > self.it.ambient.now())
    }

    /// The target of a place, where the cluster allows that place to the team (abuse case 34).
    fn open(&self, declared: &Snapshot, place: &Place, team: &Name) -> Result<&dyn Target, Standing> {
        let Place { cluster, spot } = place;
        if !declared.cluster(cluster).is_some_and(|it| it.allows(&spot.namespace, team, &spot.secret)) {
            let detail = format!("the cluster '{cluster}' does not allow '{spot}' to the team '{team}'");
            return Err(Standing::new(DeliveryState::Refused, detail));
        }
        self.it.targets.get(cluster).map(|it| &**it).ok_or_else(|| {
            let detail = format!(
                "the server's configuration does not say how '{cluster}' is reached: add [clusters.{cluster}]"
            );
            Standing::new(DeliveryState::Unreachable, detail)
        })
    }

    async fn fill(&self, mut job: Job<'_>, desired: &Desired) -> Result<Next> {
        if desired.is_empty() {
            if !self.leave_place(&job.about, &job.place).await? {
                return Ok(Next::Again);
            }
            let detail = format!("no secret of {} has a value yet", job.about.environment);
            let standing = Standing::new(DeliveryState::WaitingForValues, detail);
            self.note(&job.about, &job.facts, job.stored.as_ref(), standing).await?;
            return Ok(Next::Settled);
        }
        if desired.size() > LARGEST {
            let detail = format!(
                "the values of {} are {} bytes together, and a Secret takes 1 MiB; what was delivered before \
                 stays: make a value smaller, or delete one that nobody needs",
                job.about.environment,
                desired.size()
            );
            self.note(
                &job.about,
                &job.facts,
                job.stored.as_ref(),
                Standing::new(DeliveryState::Refused, detail),
            )
            .await?;
            return Ok(Next::Settled);
        }
        for _ in 0..ROUNDS {
            let found = match job.target.read(&job.place.spot).await {
                Ok(found) => found,
                Err(error) => return self.say(&job, trouble(&job.place, &error)).await,
            };
            if let Some(next) = self.step(&job, desired, found.as_ref()).await? {
                return Ok(next);
            }
            self.recover(&job.about.delivery).await?;
            job.stored = self.stored(&job.about.delivery).await?;
            if self.paused(job.stored.as_ref()).is_some() {
                return Ok(Next::Again);
            }
        }
        self.say(&job, trouble(&job.place, &TargetError::Conflict)).await
    }

    /// Compares and writes; nothing where it has to be read again.
    async fn step(&self, job: &Job<'_>, desired: &Desired, found: Option<&Found>) -> Result<Option<Next>> {
        let mac = &*self.it.mac;
        if let Some(found) = found {
            if !is_ours(mac, found, &job.place, &job.about.delivery) {
                let detail = format!(
                    "a Secret '{}' that Port Control did not make is there; delete or rename it, \
                     or give the delivery another name for its Secret",
                    job.place
                );
                return self.say(job, Standing::new(DeliveryState::Foreign, detail)).await.map(Some);
            }
            if found.ending {
                let detail = "it was deleted by hand, and a finalizer on it holds it";
                return self.say(job, Standing::new(DeliveryState::Refused, detail)).await.map(Some);
            }
            let stored = job.stored.as_ref().filter(|it| it.digest.as_deref() == Some(&desired.digest[..]));
            if let Some(stored) = stored {
                let stamp = Stamp { generation: stored.generation, audit_index: stored.audit_index };
                if desired.is_there(mac, stamp, found) {
                    let standing = Standing::new(DeliveryState::Delivered, "");
                    self.note(&job.about, &job.facts, Some(stored), standing).await?;
                    return Ok(Some(Next::Settled));
                }
            }
        }
        self.write(job, desired, found).await
    }

    async fn write(&self, job: &Job<'_>, desired: &Desired, found: Option<&Found>) -> Result<Option<Next>> {
        // After trouble it is tried without effect first, so that nothing is intended in vain.
        if job.stored.as_ref().is_some_and(|it| in_trouble(&it.state)) {
            let stamp = Stamp { generation: 0, audit_index: 0 };
            match self.put(job, desired, stamp, found, Mode::Try).await {
                Ok(()) => {}
                Err(TargetError::Conflict) => return Ok(None),
                Err(error) => return self.say(job, trouble(&job.place, &error)).await.map(Some),
            }
        }
        let (intent, write) = match self.it.log.perform(self.opening(job, desired)?).await {
            Ok(opened) => opened,
            // An earlier write of it is not settled yet, another replica's or one that was lost; or it
            // was settled since we looked.
            Err(problem) if problem.is(ProblemKind::Conflict) => return Ok(Some(Next::Again)),
            Err(problem) => return Err(problem),
        };
        let done = self.put(job, desired, write.stamp(), found, Mode::Do).await;
        self.close(job, intent, write, done).await
    }

    fn opening(&self, job: &Job<'_>, desired: &Desired) -> Result<OpenWrite> {
        Ok(OpenWrite {
            permit: self.permit(&job.facts)?,
            about: job.about.clone(),
            place: job.place.clone(),
            seen: job.stored.as_ref().map_or((0, 0), |it| (it.generation, it.audit_index)),
            write: WriteNote {
                belongs: desired.belongs.clone(),
                versions: desired.versions.clone(),
                digest: hex::encode(&desired.digest),
                generation: 0,
                audit_index: 0,
                restores: false,
            },
        })
    }

    async fn close(
        &self,
        job: &Job<'_>,
        intent: IntentId,
        write: WriteNote,
        done: Result<(), TargetError>,
    ) -> Result<Option<Next>> {
        let (about, permit) = (job.about.clone(), self.permit(&job.facts)?);
        let error = match done {
            Ok(()) => {
                let place = job.place.clone();
                self.it.log.perform(CloseWrite { permit, about, place, intent, write }).await?;
                return Ok(Some(Next::Settled));
            }
            // Somebody was faster, or an answer was lost and the write repeated: looking tells.
            Err(TargetError::Conflict) => {
                let outcome = IntentOutcome::Unknown;
                self.it.log.perform(Fail { permit, about, intent, outcome, standing: None }).await?;
                return Ok(None);
            }
            Err(error) => error,
        };
        let outcome = match error {
            TargetError::Unreachable(_) => IntentOutcome::Unknown,
            _ => IntentOutcome::Failed,
        };
        let standing = Some(trouble(&job.place, &error));
        self.it.log.perform(Fail { permit, about, intent, outcome, standing }).await?;
        Ok(Some(Next::Again))
    }

    async fn put(
        &self,
        job: &Job<'_>,
        desired: &Desired,
        stamp: Stamp,
        found: Option<&Found>,
        mode: Mode,
    ) -> Result<(), TargetError> {
        let manifest = desired.manifest(&*self.it.mac, stamp, found);
        let spot = &job.place.spot;
        match found {
            None => job.target.create(spot, &manifest, mode).await,
            // Somebody made it immutable: only a new one can hold other values.
            Some(found) if found.immutable => {
                job.target.delete(spot, &found.seen, mode).await?;
                if mode == Mode::Try { Ok(()) } else { job.target.create(spot, &manifest, mode).await }
            }
            Some(found) => job.target.replace(spot, &found.seen, &manifest, mode).await,
        }
    }

    /// Notes a state that something has to be done about, and looks again soon.
    async fn say(&self, job: &Job<'_>, standing: Standing) -> Result<Next> {
        self.note(&job.about, &job.facts, job.stored.as_ref(), standing).await?;
        Ok(Next::Again)
    }

    /// Notes a state, unless it is noted already.
    pub(super) async fn note(
        &self,
        about: &About,
        facts: &EnvironmentFacts,
        stored: Option<&StoredState>,
        standing: Standing,
    ) -> Result<()> {
        if stored.is_some_and(|it| it.state == standing.state.as_str() && it.detail == standing.detail) {
            return Ok(());
        }
        let permit = self.permit(facts)?;
        self.it.log.perform(NoteState { permit, about: about.clone(), standing }).await
    }
}

fn in_trouble(state: &str) -> bool {
    use DeliveryState::{Forbidden, Refused, Unreachable};
    matches!(DeliveryState::from_stored(state), Forbidden | Refused | Unreachable)
}

/// What a target's refusal means for the delivery, with the remedy.
pub(super) fn trouble(place: &Place, error: &TargetError) -> Standing {
    let cluster = &place.cluster;
    let (state, remedy) = match error {
        TargetError::Forbidden { namespace, .. } => (DeliveryState::Forbidden, role_rule(namespace)),
        TargetError::Refused(_) => (DeliveryState::Refused, String::new()),
        TargetError::Conflict => {
            (DeliveryState::Unreachable, "Something else writes the same Secret all the time.".to_owned())
        }
        TargetError::Unreachable(_) => (DeliveryState::Unreachable, String::new()),
    };
    Standing::new(state, format!("the cluster '{cluster}': {error}. {remedy}").trim_end().to_owned())
}
