//! Somebody who may read the log, as policy decides it from her facts, and as the database has her.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use port_control::{
    base::{
        Ambient, Timestamp,
        ids::{PersonId, SessionId},
    },
    policy::{
        Action, Authentication, FactVersions, Facts, Membership, Permit, PersonFacts, PersonStatus, Policies,
        Resource, TrustScope,
    },
};
use serde_json::json;
use sqlx::SqliteConnection;

pub struct Auditor {
    policies: Policies,
    scopes: Arc<Vec<TrustScope>>,
    ambient: Ambient,
    person: PersonId,
    session: SessionId,
}

impl Auditor {
    pub async fn sign_in(on: &mut SqliteConnection) -> Result<Self> {
        let ambient = Ambient::system(Timestamp::EPOCH);
        let scopes = serde_json::from_value(json!([
            { "name": "auditor", "members": { "groups": ["audit"] }, "allows": [{ "actions": ["read-log"] }] },
        ]))?;
        let (person, session) = (ambient.id::<PersonId>(), ambient.id::<SessionId>());
        sqlx::query(
            "INSERT INTO people (id, status, status_since, display_name, email, created_at, facts) \
             VALUES ($1, 'active', 0, 'Aya', 'aya@example.com', 0, 1)",
        )
        .bind(person.to_string())
        .execute(&mut *on)
        .await?;
        sqlx::query(
            "INSERT INTO sessions (id, token_hash, person, kind, label, issuer, subject, created_at, \
             authenticated_at, amr, idle_millis, ends_at) \
             VALUES ($1, x'00', $2, 'cli', '', '', '', 0, 0, '', 0, 0)",
        )
        .bind(session.to_string())
        .bind(person.to_string())
        .execute(on)
        .await?;
        Ok(Self { policies: Policies::built_in()?, scopes: Arc::new(scopes), ambient, person, session })
    }

    pub fn permit(&self) -> Result<Permit> {
        let decided = self.policies.decide(&Facts::Person(self.facts()?), Action::ReadLog, Resource::Log);
        Ok(decided.map_err(|denial| denial.to_problem())?)
    }

    fn facts(&self) -> Result<PersonFacts> {
        let now = self.ambient.now();
        let group = "audit".parse().ok().context("a name")?;
        Ok(PersonFacts {
            person: self.person,
            status: PersonStatus::Active,
            memberships: vec![Membership { group, source: "idp".to_owned(), asserted_at: now }],
            received_groups: Vec::new(),
            teams: Vec::new(),
            authentication: Authentication {
                session: self.session,
                at: now,
                confirmed_at: now,
                acr: None,
                session_ends: now.after(std::time::Duration::from_hours(8)),
            },
            grants: Vec::new(),
            scopes: Arc::clone(&self.scopes),
            now,
            network: None,
            versions: FactVersions {
                person: Some((self.person, 1)),
                session: Some(self.session),
                ..FactVersions::default()
            },
        })
    }
}
