//! Everything that decides whether a task can close, and what stands in its way.

use std::collections::BTreeSet;

use super::rows::{
    AgeRow, CauseRow, DeliveredRow, EndRow, PlaceRow, Reads, SecretRow, StateRow, Waiver, ages_query,
    causes_query, delivered_query, end_query, places_query, secret_query, states_query, waiver_query,
};
use crate::{
    access::stored,
    base::{Name, Problem, Result, SecretRef, ids::PersonId},
    catalog::Snapshot,
};

/// What keeps a task open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The current value is one that a leaver knows, or too old.
    Current,
    /// A delivery still holds such a value, or one of a deleted secret.
    StillDelivered(String),
    /// A delivery does not have the current value yet.
    NotDelivered(Name),
    /// A delivery cannot be relied on, in this state.
    Stuck(Name, String),
    /// Nobody has said, and no rotator seen to it, that the old value is worth nothing at its target.
    StillValid,
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Current => {
                f.write_str("the current value is too old, or one that a leaver knows; set another one")
            }
            Self::StillDelivered(delivery) => write!(f, "delivery '{delivery}' still holds an old value"),
            Self::NotDelivered(delivery) => {
                write!(f, "delivery '{delivery}' does not have the current value yet")
            }
            Self::Stuck(delivery, state) => write!(f, "delivery '{delivery}' is {state}"),
            Self::StillValid => f.write_str("the old value may still be taken at its target"),
        }
    }
}

/// One secret of a task, and what is known of it.
#[derive(Debug)]
pub(super) struct PlaceFacts {
    pub(super) row: PlaceRow,
    pub(super) secret: SecretRow,
    pub(super) at: SecretRef,
    delivered: Vec<DeliveredRow>,
    end: Option<EndRow>,
}

/// A task, and what is known of it.
#[derive(Debug)]
pub(super) struct TaskFacts {
    /// Its secrets; never none.
    pub(super) places: Vec<PlaceFacts>,
    pub(super) causes: Vec<CauseRow>,
    pub(super) ages: Vec<AgeRow>,
    pub(super) waiver: Option<Waiver>,
    states: Vec<StateRow>,
}

impl TaskFacts {
    /// Reads them. `lead` is the first task of those that are one; nothing where there is none.
    pub(super) async fn read(mut reads: impl Reads, lead: &str) -> Result<Option<Self>> {
        let rows: Vec<PlaceRow> = reads.all(places_query(lead)).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut places = Vec::with_capacity(rows.len());
        for row in rows {
            places.push(PlaceFacts::read(&mut reads, row).await?);
        }
        places.sort_by_cached_key(|place| place.at.to_string());
        Ok(Some(Self {
            places,
            causes: reads.all(causes_query(lead)).await?,
            ages: reads.all(ages_query(lead)).await?,
            waiver: reads.first(waiver_query(lead)).await?,
            states: reads.all(states_query()).await?,
        }))
    }

    pub(super) fn is_open(&self) -> bool {
        self.places.iter().any(|place| place.row.state == "open")
    }

    /// The values that the task is about.
    pub(super) fn known(&self) -> impl Iterator<Item = &[u8]> {
        let causes = self.causes.iter().map(|cause| cause.fingerprint.as_slice());
        causes.chain(self.ages.iter().map(|age| age.fingerprint.as_slice()))
    }

    /// Whether a value is one of them.
    pub(super) fn is_known(&self, fingerprint: &[u8]) -> bool {
        self.known().any(|known| known == fingerprint)
    }

    /// The leavers that it is about.
    pub(super) fn people(&self) -> Result<BTreeSet<PersonId>> {
        self.causes.iter().map(|cause| stored(&cause.person)).collect()
    }

    /// What stands in the way of closing, by what files declare.
    pub(super) fn obstacles(&self, declared: &Snapshot) -> Vec<Obstacle> {
        self.places.iter().flat_map(|place| self.obstacles_at(declared, place)).collect()
    }

    /// The same at one of its secrets.
    pub(super) fn obstacles_at(&self, declared: &Snapshot, place: &PlaceFacts) -> Vec<Obstacle> {
        let mut found = Vec::new();
        let is_current = place.secret.fingerprint.as_deref().is_some_and(|it| self.is_known(it));
        if is_current {
            found.push(Obstacle::Current);
        }
        let deleted = place.secret.version.is_none();
        let held = place.delivered.iter().filter(|row| deleted || self.is_known(&row.fingerprint));
        found.extend(held.map(|row| Obstacle::StillDelivered(row.delivery.clone())));
        if let Some(version) = &place.secret.version {
            for delivery in deliveries_of(declared, &place.at) {
                found.extend(self.obstacle_in(place, &delivery, version));
            }
        }
        if !is_current && place.may_be_valid(declared) {
            found.push(Obstacle::StillValid);
        }
        found
    }

    fn obstacle_in(&self, place: &PlaceFacts, delivery: &Name, version: &str) -> Option<Obstacle> {
        if let Some(row) = self.states.iter().find(|row| row.delivery == delivery.as_str()) {
            return Some(Obstacle::Stuck(delivery.clone(), row.state.clone()));
        }
        let is_it = |row: &DeliveredRow| row.delivery == delivery.as_str() && row.version == version;
        (!place.delivered.iter().any(is_it)).then(|| Obstacle::NotDelivered(delivery.clone()))
    }
}

impl PlaceFacts {
    async fn read(reads: &mut impl Reads, row: PlaceRow) -> Result<Self> {
        let secret: Option<SecretRow> = reads.first(secret_query(&row.secret)).await?;
        let secret =
            secret.ok_or_else(|| Problem::internal(format!("the task {} has lost its secret", row.id)))?;
        Ok(Self {
            at: secret.reference()?,
            delivered: reads.all(delivered_query(&secret.id)).await?,
            end: reads.first(end_query(&row.id)).await?,
            secret,
            row,
        })
    }

    /// Whether the old value has to be ended at its target, and nobody has since the newest version.
    fn may_be_valid(&self, declared: &Snapshot) -> bool {
        let ends = declared.rotation(&self.at).is_some_and(crate::catalog::Rotation::ends_old_value);
        ends && self.end.as_ref().map(|end| end.version.as_str()) != self.secret.newest.as_deref()
    }
}

/// The deliveries that files declare for a secret: those of its environment, and those of every
/// environment that it is shared with.
fn deliveries_of(declared: &Snapshot, secret: &SecretRef) -> Vec<Name> {
    declared
        .delivery_list()
        .filter(|delivery| {
            delivery.at() == secret.environment
                || declared.shares_into(&delivery.application, &delivery.environment).contains(secret)
        })
        .map(|delivery| delivery.name.clone())
        .collect()
}
