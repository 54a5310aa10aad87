//! Changing what is set for a connection.

use std::time::Duration;

use async_trait::async_trait;

use super::{ConnectionSettings, tokens::check_enabled};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Name, Problem, Result},
    identity::{
        removal::RemovalLimit,
        scim::{Connection, Link, Scim, is_unchanged, unchanged},
    },
    policy::{Action, Permit},
    store::sql,
};

/// What is to become of a connection; what is left out stays as it is.
#[derive(Clone, Debug, Default)]
pub struct ConnectionChange {
    /// By which identity provider its people sign in; only while nobody is linked.
    pub provider: Option<String>,
    /// What links its people with sign-ins; only while nobody is linked.
    pub link: Option<Link>,
    /// Whether signing in by that provider creates nobody.
    pub authoritative: Option<bool>,
    /// Whether it may bring back whom it deactivated.
    pub may_reactivate: Option<bool>,
    /// Patterns of the groups that it may write, in place of those that there are.
    pub groups: Option<Vec<String>>,
    /// How many people it may remove before somebody is asked.
    pub number: Option<i64>,
    /// The same as a share of its people, in percent.
    pub percent: Option<i64>,
    /// In which time.
    pub window: Option<Duration>,
}

impl ConnectionChange {
    /// What is set then.
    fn of(&self, before: &Connection) -> ConnectionSettings {
        ConnectionSettings {
            name: before.name.clone(),
            provider: self.provider.clone().unwrap_or_else(|| before.provider.clone()),
            link: self.link.unwrap_or(before.link),
            authoritative: self.authoritative.unwrap_or(before.authoritative),
            may_reactivate: self.may_reactivate.unwrap_or(before.may_reactivate),
            groups: self.groups.clone().unwrap_or_else(|| before.groups.clone()),
            limit: RemovalLimit {
                number: self.number.unwrap_or(before.limit.number),
                percent: self.percent.unwrap_or(before.limit.percent),
                window: self.window.unwrap_or(before.limit.window),
            },
        }
    }

    fn is_empty(&self) -> bool {
        let Self { provider, link, authoritative, may_reactivate, groups, number, percent, window } = self;
        provider.is_none()
            && link.is_none()
            && authoritative.is_none()
            && may_reactivate.is_none()
            && groups.is_none()
            && number.is_none()
            && percent.is_none()
            && window.is_none()
    }
}

impl Scim {
    /// Changes what is set for a connection; as it is set then.
    ///
    /// # Errors
    /// `not-found`; `invalid-request` where nothing is said, or what does not fit; `conflict` where it is
    /// disabled, or people are linked by what would change.
    pub async fn set_connection(
        &self,
        permit: Permit,
        name: &Name,
        change: &ConnectionChange,
    ) -> Result<Connection> {
        permit.expect(Action::ManageConnections)?;
        if change.is_empty() {
            return Err(Problem::invalid("nothing is said that could be set")
                .remedy("`portctl scim connection set --help` shows what can."));
        }
        let before = self.connection(name).await?;
        let settings = change.of(&before);
        let issuer = self.check_settings(&settings)?;
        match self.parts().log.perform(Set { permit, before, settings, issuer }).await {
            Err(problem) if !is_unchanged(&problem) => Err(problem),
            _ => self.connection(name).await,
        }
    }
}

struct Set {
    permit: Permit,
    before: Connection,
    settings: ConnectionSettings,
    issuer: String,
}

#[async_trait]
impl Unit for Set {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        check_enabled(work, &self.settings.name).await?;
        let changed = self.changed();
        if changed.is_empty() {
            return Err(unchanged());
        }
        if ["provider", "link"].iter().any(|it| changed.contains(it)) {
            self.check_nobody_linked(work).await?;
        }
        if self.write(work).await? == 0 {
            return Err(Problem::conflict("somebody else has changed the connection meanwhile")
                .remedy("Look at it and try again: `portctl scim connection show`."));
        }
        let it = &self.settings;
        work.record(
            Draft::act("connection.changed")
                .resource(format!("connection/{}", it.name))
                .with("changed", changed)
                .with("provider", it.provider.as_str())
                .with("link", it.link.to_string())
                .with("authoritative", it.authoritative)
                .with("may_reactivate", it.may_reactivate)
                .with("groups", it.groups.clone())
                .with("removals_number", it.limit.number)
                .with("removals_share", it.limit.percent)
                .with("removals_within_millis", millis(it.limit.window)),
        );
        Ok(())
    }
}

impl Set {
    /// The names of what differs.
    fn changed(&self) -> Vec<&'static str> {
        let (was, is) = (&self.before, &self.settings);
        let all = [
            ("provider", was.provider != is.provider || was.issuer != self.issuer),
            ("link", was.link != is.link),
            ("authoritative", was.authoritative != is.authoritative),
            ("may_reactivate", was.may_reactivate != is.may_reactivate),
            ("groups", was.groups != is.groups),
            ("removals", was.limit != is.limit),
        ];
        all.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }

    /// Whoever is linked has an account, by which she may have signed in: another link would be another person.
    async fn check_nobody_linked(&self, work: &mut Work<'_>) -> Result<()> {
        let linked: Option<(i64,)> = work
            .fetch_optional(
                sql("SELECT CAST(count(*) AS BIGINT) FROM scim_users WHERE connection = $1 \
                     AND person IS NOT NULL AND deleted_at IS NULL")
                .bind(&self.settings.name),
            )
            .await?;
        match linked.map_or(0, |(n,)| n) {
            0 => Ok(()),
            n => Err(Problem::conflict(format!(
                "{n} people of '{}' are linked with accounts of '{}' by {}, and would be others",
                self.settings.name, self.before.provider, self.before.link
            ))
            .remedy("Make another connection and disable this one: `portctl scim connection create`.")),
        }
    }

    /// Only if it is as it was looked at.
    async fn write(&self, work: &mut Work<'_>) -> Result<u64> {
        let it = &self.settings;
        work.execute(
            sql("UPDATE scim_connections SET provider = $3, issuer = $4, link_attribute = $5, link_claim = $6, \
                 authoritative = $7, may_reactivate = $8, writable_groups = $9, breaker_share = $10, \
                 breaker_number = $11, breaker_window = $12, version = version + 1 \
                 WHERE name = $1 AND version = $2")
            .bind(&it.name)
            .bind(self.before.version)
            .bind(&it.provider)
            .bind(&self.issuer)
            .bind(it.link.attribute())
            .bind(it.link.claim())
            .bind(it.authoritative)
            .bind(it.may_reactivate)
            .bind(serde_json::json!(it.groups).to_string())
            .bind(it.limit.percent)
            .bind(it.limit.number)
            .bind(millis(it.limit.window)),
        )
        .await
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
