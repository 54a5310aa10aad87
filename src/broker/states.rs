//! How deliveries stand, and leaving one alone for a while.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;

use super::{Broker, desired::Place, units::DeliveryState};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{EnvironmentRef, Name, Problem, ProblemKind, Result, Timestamp},
    catalog::Delivery,
    policy::{Action, Permit},
    store::sql,
};

/// The longest time for which a delivery can be left alone.
pub const LONGEST_PAUSE: Duration = Duration::from_hours(168);

/// What is stored of a delivery.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct StoredState {
    pub(super) delivery: String,
    pub(super) environment: String,
    pub(super) state: String,
    pub(super) detail: String,
    pub(super) digest: Option<Vec<u8>>,
    pub(super) generation: i64,
    pub(super) audit_index: i64,
    pub(super) delivered_at: Option<i64>,
    pub(super) paused_until: Option<i64>,
}

/// How one delivery stands.
#[derive(Clone, Debug)]
pub struct DeliveryRow {
    /// What files declare.
    pub delivery: Delivery,
    /// Whose: the copy's team, else the application's owner.
    pub team: Name,
    /// How it stands.
    pub state: DeliveryState,
    /// What stands in its way, in words.
    pub detail: String,
    /// How often what it delivers has changed.
    pub generation: i64,
    /// When it was written last.
    pub delivered_at: Option<Timestamp>,
    /// Until when it is left alone.
    pub paused_until: Option<Timestamp>,
    /// Former places, `CLUSTER/NAMESPACE/SECRET`, from which it is still to be removed.
    pub leftovers: Vec<String>,
}

impl Broker {
    pub(super) async fn stored(&self, delivery: &Name) -> Result<Option<StoredState>> {
        let query = sql("SELECT delivery, environment, state, detail, digest, generation, audit_index, delivered_at, paused_until \
                         FROM delivery_states WHERE delivery = $1")
        .bind(delivery);
        Ok(self.it.database.fetch_optional(query).await?)
    }

    /// Every declared delivery and how it stands, by name. Decide first who may see which.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn states(&self) -> Result<Vec<DeliveryRow>> {
        let declared = self.it.catalog.snapshot().await?;
        let query = sql(
            "SELECT delivery, environment, state, detail, digest, generation, audit_index, delivered_at, paused_until \
                         FROM delivery_states",
        );
        let stored: Vec<StoredState> = self.it.database.fetch_all(query).await?;
        let stored: BTreeMap<String, StoredState> =
            stored.into_iter().map(|it| (it.delivery.clone(), it)).collect();
        let places = self.all_places().await?;
        let row = |delivery: &Delivery| {
            let team = delivery.team.as_ref().or_else(|| declared.team_of(&delivery.application))?;
            let leftovers = places
                .iter()
                .filter(|(name, place)| *name == delivery.name && *place != Place::of(delivery))
                .map(|(_, place)| place.to_string());
            Some(shown(delivery, team, stored.get(delivery.name.as_str()), leftovers.collect()))
        };
        Ok(declared.delivery_list().filter_map(row).collect())
    }

    /// The declared delivery of this name: what to decide on before it is paused or resumed.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn delivery(&self, name: &Name) -> Result<Delivery> {
        self.it.catalog.snapshot().await?.deliveries.get(name).cloned().ok_or_else(|| {
            Problem::not_found(format!("there is no delivery '{name}'"))
                .remedy("`portctl delivery list` shows those that there are; files declare them.")
        })
    }

    /// Leaves a delivery alone for a while: what somebody does to its Secret by hand stays until then.
    /// When it was left alone until.
    ///
    /// # Errors
    /// `invalid-request` for no reason or a time that is too long; those of [`crate::audit::Log::perform`].
    pub async fn pause(
        &self,
        permit: Permit,
        name: &Name,
        span: Duration,
        reason: &str,
    ) -> Result<Timestamp> {
        permit.expect(Action::PauseDelivery)?;
        let at = self.delivery(name).await?.at();
        of_this(&permit, &at)?;
        if span.is_zero() || span > LONGEST_PAUSE {
            let text = "a delivery can be paused for a week at most, and for a second at least";
            return Err(Problem::new(ProblemKind::InvalidRequest, text).remedy("Write for example --for 1h."));
        }
        if reason.trim().is_empty() {
            return Err(Problem::new(ProblemKind::InvalidRequest, "a pause needs a reason")
                .remedy("Add --reason \"…\"."));
        }
        let change = Some((span, reason.to_owned()));
        let until = self.it.log.perform(ChangePause { permit, name: name.clone(), at, change }).await?;
        until.ok_or_else(|| Problem::internal("a pause without an end"))
    }

    /// Takes a delivery up again at once.
    ///
    /// # Errors
    /// `conflict` where it is not paused; those of [`crate::audit::Log::perform`].
    pub async fn resume(&self, permit: Permit, name: &Name) -> Result<()> {
        permit.expect(Action::PauseDelivery)?;
        let at = self.delivery(name).await?.at();
        of_this(&permit, &at)?;
        self.it.log.perform(ChangePause { permit, name: name.clone(), at, change: None }).await?;
        Ok(())
    }
}

/// A permit for one environment is none for another's delivery.
fn of_this(permit: &Permit, at: &EnvironmentRef) -> Result<()> {
    if permit.resource().environment().is_some_and(|it| it.at == *at) {
        return Ok(());
    }
    Err(Problem::internal("a permit was used on a delivery of another environment"))
}

fn shown(
    delivery: &Delivery,
    team: &Name,
    stored: Option<&StoredState>,
    leftovers: Vec<String>,
) -> DeliveryRow {
    DeliveryRow {
        delivery: delivery.clone(),
        team: team.clone(),
        state: stored.map_or(DeliveryState::New, |it| DeliveryState::from_stored(&it.state)),
        detail: stored.map(|it| it.detail.clone()).unwrap_or_default(),
        generation: stored.map_or(0, |it| it.generation),
        delivered_at: stored.and_then(|it| it.delivered_at).map(Timestamp::from_millis),
        paused_until: stored.and_then(|it| it.paused_until).map(Timestamp::from_millis),
        leftovers,
    }
}

/// Begins or ends a pause.
struct ChangePause {
    permit: Permit,
    name: Name,
    at: EnvironmentRef,
    change: Option<(Duration, String)>,
}

#[async_trait]
impl Unit for ChangePause {
    type Output = Option<Timestamp>;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Option<Timestamp>> {
        let until = self.change.as_ref().map(|(span, _)| work.now().after(*span));
        let reason = self.change.as_ref().map(|(_, reason)| reason.as_str());
        if until.is_none() {
            let paused: Option<(i64,)> = work
                .fetch_optional(
                    sql("SELECT paused_until FROM delivery_states WHERE delivery = $1 AND paused_until > $2")
                        .bind(&self.name)
                        .bind(work.now()),
                )
                .await?;
            if paused.is_none() {
                return Err(Problem::conflict(format!("the delivery '{}' is not paused", self.name)));
            }
        }
        let (now, by) = (work.now(), self.permit.principal().to_string());
        work.execute(
            sql(
                "INSERT INTO delivery_states (delivery, state, detail, generation, audit_index, changed_at, \
                 paused_until, paused_by, paused_reason, environment) \
                 VALUES ($1, 'new', '', 0, 0, $2, $3, $4, $5, $6) \
                 ON CONFLICT (delivery) DO UPDATE SET paused_until = excluded.paused_until, \
                 paused_by = excluded.paused_by, paused_reason = excluded.paused_reason",
            )
            .bind(&self.name)
            .bind(now)
            .bind(until)
            .bind(by)
            .bind(reason.map(ToOwned::to_owned))
            .bind(&self.at),
        )
        .await?;
        work.record(self.draft(until));
        Ok(until)
    }
}

impl ChangePause {
    fn draft(&self, until: Option<Timestamp>) -> Draft {
        let action = if until.is_some() { "delivery.paused" } else { "delivery.resumed" };
        let draft = Draft::act(action)
            .resource(format!("delivery/{}", self.name))
            .environment(&self.at)
            .with("delivery", self.name.as_str());
        match (&self.change, until) {
            (Some((_, reason)), Some(until)) => draft.reason(reason).with("until", until.to_string()),
            _ => draft,
        }
    }
}
