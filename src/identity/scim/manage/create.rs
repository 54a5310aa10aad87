//! Making a connection.

use async_trait::async_trait;

use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Name, Problem, ProblemKind, Result, SecretValue},
    identity::{
        oidc::is_entra,
        removal::RemovalLimit,
        scim::{Link, Scim, connection::PREFIX},
        token::{hash_of, new_token},
    },
    policy::{Action, Permit},
    store::sql,
};

/// How many patterns of groups a connection has at most.
const MOST_PATTERNS: usize = 50;

/// What is set for a connection.
#[derive(Clone, Debug)]
pub struct ConnectionSettings {
    /// Its name; also the source of its groups.
    pub name: Name,
    /// By which identity provider its people sign in.
    pub provider: String,
    /// What links its people with sign-ins.
    pub link: Link,
    /// Whether signing in by that provider creates nobody.
    pub authoritative: bool,
    /// Whether it may bring back whom it deactivated.
    pub may_reactivate: bool,
    /// Patterns of the groups that it may write.
    pub groups: Vec<String>,
    /// How many people it may remove before somebody is asked.
    pub limit: RemovalLimit,
}

/// A connection that was just made.
#[derive(Debug)]
pub struct NewConnection {
    /// Its name.
    pub name: Name,
    /// The only copy of its token.
    pub token: SecretValue,
}

impl Scim {
    /// Makes a connection with its first token.
    ///
    /// # Errors
    /// `already-exists`; `invalid-request` for a provider that is not configured, a link that does not fit
    /// it, or a name that is a provider's.
    pub async fn create_connection(
        &self,
        permit: Permit,
        settings: ConnectionSettings,
    ) -> Result<NewConnection> {
        permit.expect(Action::ManageConnections)?;
        let issuer = self.check_settings(&settings)?;
        let token = new_token(&self.parts().ambient, PREFIX);
        let name = settings.name.clone();
        let unit = Create { permit, settings, issuer, token_hash: hash_of(token.expose()) };
        self.parts().log.perform(unit).await?;
        Ok(NewConnection { name, token })
    }

    /// The issuer for whose people the connection speaks.
    pub(super) fn check_settings(&self, settings: &ConnectionSettings) -> Result<String> {
        let providers = &self.parts().providers;
        if settings.name.as_str() == "recovery" || self.provider(settings.name.as_str()).is_some() {
            return Err(Problem::invalid(format!("'{}' is the name of an identity provider", settings.name))
                .remedy("Its groups have to be told from those of sign-ins: take another name."));
        }
        let provider = self.provider(&settings.provider).ok_or_else(|| {
            let known: Vec<&str> = providers.iter().map(|it| it.name.as_str()).collect();
            Problem::invalid(format!("no identity provider '{}' is configured", settings.provider))
                .remedy(format!("Those that are: {}.", known.join(", ")))
        })?;
        let wanted = if is_entra(&provider.issuer) { "oid" } else { "sub" };
        if settings.link.claim() != wanted {
            return Err(Problem::invalid(format!(
                "people of '{}' are known by their claim {wanted}, not by {}",
                settings.provider,
                settings.link.claim()
            ))
            .remedy(format!("Say for example `--link externalId={wanted}`.")));
        }
        if settings.groups.len() > MOST_PATTERNS || settings.groups.iter().any(|it| it.len() > 255) {
            return Err(Problem::invalid("a connection has at most 50 patterns of 255 bytes"));
        }
        let limit = settings.limit;
        if limit.number < 0 || !(0..=100).contains(&limit.percent) || limit.window.is_zero() {
            return Err(Problem::invalid(
                "the limit of removals is a number, a share in percent, and a time",
            ));
        }
        Ok(provider.issuer.clone())
    }
}

struct Create {
    permit: Permit,
    settings: ConnectionSettings,
    issuer: String,
    token_hash: [u8; 32],
}

#[async_trait]
impl Unit for Create {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let it = &self.settings;
        let there: Option<(String,)> = work
            .fetch_optional(sql("SELECT name FROM scim_connections WHERE name = $1").bind(&it.name))
            .await?;
        if there.is_some() {
            return Err(Problem::new(
                ProblemKind::AlreadyExists,
                format!("there is a connection '{}' already", it.name),
            )
            .remedy("Take another name; `portctl scim connection list` shows those that there are."));
        }
        self.insert(work).await?;
        work.execute(
            sql("INSERT INTO scim_tokens (token_hash, connection, created_at) VALUES ($1, $2, $3)")
                .bind(self.token_hash)
                .bind(&it.name)
                .bind(work.now()),
        )
        .await?;
        work.record(
            Draft::act("connection.created")
                .resource(format!("connection/{}", it.name))
                .with("provider", it.provider.as_str())
                .with("link", it.link.to_string())
                .with("authoritative", it.authoritative)
                .with("may_reactivate", it.may_reactivate)
                .with("groups", it.groups.clone()),
        );
        Ok(())
    }
}

impl Create {
    async fn insert(&self, work: &mut Work<'_>) -> Result<()> {
        let it = &self.settings;
        work.execute(
            sql("INSERT INTO scim_connections (name, version, provider, issuer, link_attribute, link_claim, \
                 authoritative, may_reactivate, writable_groups, breaker_share, breaker_number, breaker_window, \
                 created_at) VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)")
            .bind(&it.name)
            .bind(&it.provider)
            .bind(&self.issuer)
            .bind(it.link.attribute())
            .bind(it.link.claim())
            .bind(it.authoritative)
            .bind(it.may_reactivate)
            .bind(serde_json::json!(it.groups).to_string())
            .bind(it.limit.percent)
            .bind(it.limit.number)
            .bind(i64::try_from(it.limit.window.as_millis()).unwrap_or(i64::MAX))
            .bind(work.now()),
        )
        .await?;
        Ok(())
    }
}
