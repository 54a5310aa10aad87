//! Values that are older than files allow: the same task, whoever knows them.
//!
//! A value is as old as the first version of its secret that had it: setting an equal one makes it no
//! younger.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{
    close::check_version,
    open::{join_equals, open_task, reference},
};
use crate::{
    access::{stored, stored_environment},
    audit::{Authority, Unit, Work},
    base::{Name, Problem, Result, SecretRef, Timestamp, ids::SecretId},
    catalog::Snapshot,
    policy::{Action, Permit},
    store::{Database, Query, sql},
};

/// The current value of a secret, and since when it has had it.
#[derive(Clone, Debug, sqlx::FromRow)]
struct Value {
    id: String,
    team: String,
    name: String,
    fingerprint: Vec<u8>,
    since: i64,
}

/// Current values in an environment whose task does not say that they are too old.
fn values_query(application: &Name, environment: &Name, secret: Option<SecretId>) -> Query {
    sql("SELECT s.id, s.team, s.name, v.fingerprint, (SELECT min(w.created_at) FROM versions w \
             WHERE w.secret = s.id AND w.fingerprint = v.fingerprint) AS since FROM secrets s \
         JOIN versions v ON v.secret = s.id AND v.number = s.current_number AND v.state = 'live' \
         WHERE s.application = $1 AND s.environment = $2 AND s.id = COALESCE($3, s.id) AND NOT EXISTS \
             (SELECT 1 FROM rotation_tasks t JOIN rotation_ages a ON a.task = t.id \
                 WHERE t.secret = s.id AND t.state = 'open' AND a.fingerprint = v.fingerprint)")
    .bind(application)
    .bind(environment)
    .bind(secret)
}

impl Value {
    fn at(&self, application: &Name, environment: &Name) -> Result<SecretRef> {
        let environment = stored_environment(application.as_str(), environment.as_str(), &self.team)?;
        Ok(SecretRef { environment, name: stored(&self.name)? })
    }

    /// When it became too old, where it is.
    fn too_old_since(&self, every: Option<Duration>, now: Timestamp) -> Option<Timestamp> {
        every.map(|every| Timestamp::from_millis(self.since).after(every)).filter(|end| *end <= now)
    }
}

/// Secrets whose value is too old, without a task that says so.
pub(super) async fn aged(database: &Database, declared: &Snapshot, now: Timestamp) -> Result<Vec<SecretId>> {
    let mut found = Vec::new();
    for application in declared.applications.values() {
        for environment in &application.environments {
            let named = application.rotation.iter().filter(|it| it.environment == environment.name);
            if environment.rotate_every.or_else(|| named.filter_map(|it| it.every).min()).is_none() {
                continue;
            }
            let query = values_query(&application.name, &environment.name, None);
            let values: Vec<Value> = database.fetch_all(query).await?;
            for value in values {
                let every = declared.rotate_every(&value.at(&application.name, &environment.name)?);
                if value.too_old_since(every, now).is_some() {
                    found.push(stored(&value.id)?);
                }
            }
        }
    }
    Ok(found)
}

/// Opens the task of a secret whose value is too old, or adds that to the open one.
pub(super) struct OpenAged {
    pub(super) permit: Permit,
    pub(super) secret: SecretId,
    pub(super) declared: Arc<Snapshot>,
}

#[async_trait]
impl Unit for OpenAged {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        self.permit.expect(Action::Rotate)?;
        check_version(work, &self.declared).await?;
        let at = reference(work, self.secret).await?;
        let here = &at.environment;
        let query = values_query(&here.application, &here.environment, Some(self.secret));
        let value: Option<Value> = work.fetch_optional(query).await?;
        let every = self.declared.rotate_every(&at);
        let too_old = value.and_then(|it| Some((it.too_old_since(every, work.now())?, it.fingerprint)));
        let (since, fingerprint) =
            too_old.ok_or_else(|| Problem::conflict(format!("'{at}' has a task, or is young enough")))?;
        let opened = open_task(work, self.secret).await?;
        work.execute(
            sql("INSERT INTO rotation_ages (task, fingerprint, since) VALUES ($1, $2, $3)")
                .bind(opened.place)
                .bind(&fingerprint[..])
                .bind(since),
        )
        .await?;
        let lead = join_equals(work, &fingerprint).await?;
        let draft = opened.draft(&at, &lead);
        work.record(draft.with("cause", "age").with("since", since.to_string()));
        Ok(())
    }
}
