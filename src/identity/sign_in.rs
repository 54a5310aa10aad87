//! Taking a verified sign-in in: person, account, groups and session in one unit of work.

use std::{collections::BTreeSet, net::IpAddr};

use async_trait::async_trait;

use super::{
    Identity, NewSession, SessionKind,
    caller::{may_act, stored_id},
    groups::{GroupsChanged, changed_in},
    revalidate::ASKED_EVERY,
    sessions::{SessionSeed, end_one, move_facts},
    status::UNTIL_HER_PROVIDER_SPOKE,
    token::{TOKEN_PREFIX, new_token},
};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{
        Name, Problem, ProblemKind, Result, Timestamp,
        config::SessionConfig,
        ids::{PersonId, SessionId},
    },
    policy::{Action, Permit, PersonStatus, Resource, Service},
    store::sql,
};

/// What an identity provider has said of a person, verified.
#[derive(Clone)]
pub struct Assertion {
    /// The provider's name here: the source of the groups.
    pub provider: Name,
    /// With `subject`, the account.
    pub issuer: String,
    /// With `issuer`, the account.
    pub subject: String,
    /// For display only.
    pub display_name: String,
    /// For display only; nothing where this provider may not speak for it or has not verified it.
    pub email: Option<String>,
    /// All groups of the person as the provider names them.
    pub groups: BTreeSet<String>,
    /// The provider's own session.
    pub sid: Option<String>,
    /// When the person proved who she is; the earliest that it can have been where that is not said.
    pub authenticated_at: Timestamp,
    /// The authentication context class.
    pub acr: Option<String>,
    /// How she proved it.
    pub amr: Vec<String>,
    /// The ID token, sealed, for signing out at the provider.
    pub sealed_id_token: Option<Vec<u8>>,
}

/// Where a sign-in came from.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// What the person will know the session by.
    pub label: String,
    /// From where.
    pub network: Option<IpAddr>,
    /// The session of the same browser that this one takes the place of.
    pub replaces: Option<SessionId>,
}

impl Identity {
    /// Takes a verified sign-in in. The first one of an account creates the person.
    ///
    /// # Errors
    /// `person-suspended` and `person-deactivated`: then nothing is created or refreshed, and the
    /// refusal is recorded.
    pub async fn take_in(&self, assertion: Assertion, arrival: Arrival) -> Result<NewSession> {
        self.take_in_with(assertion, arrival, None).await
    }

    /// The same with a sealed refresh token, by which the provider is asked again while she is signed in.
    pub(super) async fn take_in_with(
        &self,
        assertion: Assertion,
        arrival: Arrival,
        refresh: Option<Vec<u8>>,
    ) -> Result<NewSession> {
        let permit = self.permits.permit(Service::SignIn, Action::SignIn, Resource::People)?;
        let token = new_token(&self.ambient, TOKEN_PREFIX);
        let seed = SessionSeed {
            token_hash: SessionSeed::token_hash_of(&token),
            kind: SessionKind::Browser,
            label: arrival.label,
            issuer: assertion.issuer.clone(),
            subject: assertion.subject.clone(),
            sid: assertion.sid.clone(),
            sealed_id_token: assertion.sealed_id_token.clone(),
            authenticated_at: assertion.authenticated_at,
            acr: assertion.acr.clone(),
            amr: assertion.amr.join(" "),
            network: arrival.network,
            ends_by: None,
            asserted_by: Some(assertion.provider.to_string()),
            origin: None,
        };
        let replaces = arrival.replaces;
        let unit = TakeIn { permit, assertion, seed, replaces, refresh, lives: self.sessions };
        let (person, id, ends_at) = self.log.perform(unit).await??;
        Ok(NewSession { token, id, person, ends_at })
    }
}

struct TakeIn {
    permit: Permit,
    assertion: Assertion,
    seed: SessionSeed,
    replaces: Option<SessionId>,
    refresh: Option<Vec<u8>>,
    lives: SessionConfig,
}

#[derive(sqlx::FromRow)]
struct AccountRow {
    person: String,
    status: String,
}

#[derive(sqlx::FromRow)]
struct GroupColumn {
    group_id: String,
}

#[async_trait]
impl Unit for TakeIn {
    /// The inner problem is a refusal that is itself recorded.
    type Output = Result<(PersonId, SessionId, Timestamp)>;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output> {
        if let Err(problem) = self.check_told_apart(work).await? {
            work.record(Draft::refused("session.began").with("denial", "named-like-a-connection"));
            return Ok(Err(problem));
        }
        self.lift(work).await?;
        let person = match self.account(work).await? {
            None => {
                if let Err(problem) = self.check_not_provisioned(work).await? {
                    work.record(Draft::refused("session.began").with("denial", "not-provisioned"));
                    return Ok(Err(problem));
                }
                self.join(work).await?
            }
            Some((person, status)) => {
                if let Err(problem) = may_act(status) {
                    work.record(refusal(person, &problem));
                    return Ok(Err(problem));
                }
                said_again(work, person, &self.assertion).await?;
                person
            }
        };
        if let Some(replaced) = self.replaces {
            end_one(work, replaced, person, "replaced").await?;
        }
        let (session, ends_at) = self.seed.begin(work, person, self.lives).await?;
        if let Some(sealed) = &self.refresh {
            keep_refresh_token(work, session, &self.assertion.provider, sealed).await?;
        }
        Ok(Ok((person, session, ends_at)))
    }
}

/// The entry of a sign-in that was refused for the person's status.
pub(super) fn refusal(person: PersonId, problem: &Problem) -> Draft {
    Draft::refused("session.began").subject(person).with("denial", problem.kind.slug())
}

impl TakeIn {
    async fn account(&self, work: &mut Work<'_>) -> Result<Option<(PersonId, PersonStatus)>> {
        let row: Option<AccountRow> = work
            .fetch_optional(
                sql("SELECT a.person, p.status FROM accounts a JOIN people p ON p.id = a.person \
                     WHERE a.issuer = $1 AND a.subject = $2")
                .bind(&self.assertion.issuer)
                .bind(&self.assertion.subject),
            )
            .await?;
        row.map(|row| Ok((stored_id(&row.person)?, PersonStatus::from_stored(&row.status)))).transpose()
    }

    /// Her provider speaks: what kept her out until it did is over.
    async fn lift(&self, work: &mut Work<'_>) -> Result<()> {
        let row: Option<(String,)> = work
            .fetch_optional(
                sql("SELECT p.id FROM accounts a JOIN people p ON p.id = a.person \
                     WHERE a.issuer = $1 AND a.subject = $2 AND p.status = 'suspended' AND p.status_cause = $3")
                .bind(&self.assertion.issuer)
                .bind(&self.assertion.subject)
                .bind(UNTIL_HER_PROVIDER_SPOKE),
            )
            .await?;
        let Some((person,)) = row else { return Ok(()) };
        let person: PersonId = stored_id(&person)?;
        work.execute(
            sql("UPDATE people SET status = 'active', status_cause = NULL, status_since = $2 WHERE id = $1")
                .bind(person)
                .bind(work.now()),
        )
        .await?;
        move_facts(work, person).await?;
        work.record(
            Draft::act("person.resumed")
                .subject(person)
                .resource(person)
                .with("was", PersonStatus::Suspended.as_str())
                .with("provider", self.assertion.provider.as_str()),
        );
        Ok(())
    }

    /// Where a connection has the provider's name, their groups are not told apart. A server that knows of both
    /// does not start; another replica may have made the connection since.
    async fn check_told_apart(&self, work: &mut Work<'_>) -> Result<Result<()>> {
        let provider = &self.assertion.provider;
        let connection: Option<(String,)> = work
            .fetch_optional(sql("SELECT name FROM scim_connections WHERE name = $1").bind(provider))
            .await?;
        Ok(connection.map_or(Ok(()), |_| {
            Err(Problem::new(
                ProblemKind::SignInRefused,
                format!("an identity provider and a connection are both called '{provider}'"),
            )
            .remedy("Tell whoever runs the server: `port-control check` says what to do."))
        }))
    }

    /// Where a connection is declared to know everybody, whoever it does not have is nobody here.
    async fn check_not_provisioned(&self, work: &mut Work<'_>) -> Result<Result<()>> {
        let connection: Option<(String,)> = work
            .fetch_optional(
                sql("SELECT name FROM scim_connections WHERE issuer = $1 AND authoritative \
                     AND disabled_at IS NULL ORDER BY name LIMIT 1")
                .bind(&self.assertion.issuer),
            )
            .await?;
        Ok(connection.map_or(Ok(()), |(name,)| {
            Err(Problem::new(
                ProblemKind::SignInRefused,
                format!(
                    "you are not provisioned here: the connection '{name}' says who is, and does not know you"
                ),
            )
            .remedy("Ask whoever runs your identity provider to assign you to this application."))
        }))
    }

    /// Nobody prepared anything: the person begins here.
    async fn join(&self, work: &mut Work<'_>) -> Result<PersonId> {
        let person = create_person(work, &self.assertion.display_name, self.email()).await?;
        create_account(work, person, &self.assertion).await?;
        write_groups(work, person, &self.assertion).await?;
        self.note_met(work, person).await?;
        work.record(
            Draft::act("person.joined")
                .subject(person)
                .with("provider", self.assertion.provider.as_str())
                .with("groups", self.assertion.groups.iter().cloned().collect::<Vec<_>>()),
        );
        Ok(person)
    }

    /// Where she is now, for whoever follows people and looks only when she has moved already.
    async fn note_met(&self, work: &mut Work<'_>, person: PersonId) -> Result<()> {
        let groups = serde_json::json!(self.assertion.groups).to_string();
        work.execute(
            sql("INSERT INTO first_met (person, catalog, source, groups) \
                 SELECT $1, version, $2, $3 FROM catalog WHERE id = 1")
            .bind(person)
            .bind(&self.assertion.provider)
            .bind(groups),
        )
        .await?;
        Ok(())
    }

    fn email(&self) -> &str {
        self.assertion.email.as_deref().unwrap_or("")
    }
}

/// What the provider says now takes the place of what it said before.
pub(super) async fn said_again(work: &mut Work<'_>, person: PersonId, said: &Assertion) -> Result<()> {
    let before: Vec<GroupColumn> = work
        .fetch_all(
            sql("SELECT group_id FROM memberships WHERE person = $1 AND source = $2")
                .bind(person)
                .bind(&said.provider),
        )
        .await?;
    let before: BTreeSet<String> = before.into_iter().map(|row| row.group_id).collect();
    write_groups(work, person, said).await?;
    work.execute(
        sql("UPDATE people SET display_name = $2, email = $3 WHERE id = $1")
            .bind(person)
            .bind(&said.display_name)
            .bind(said.email.as_deref().unwrap_or("")),
    )
    .await?;
    let now = &said.groups;
    let added: Vec<String> = now.difference(&before).cloned().collect();
    let removed: Vec<String> = before.difference(now).cloned().collect();
    let source = said.provider.as_str();
    changed_in(work, person, GroupsChanged { source, added: &added, removed: &removed }).await
}

/// `asserted_at` moves for all of them, because the provider has just said them again.
async fn write_groups(work: &mut Work<'_>, person: PersonId, said: &Assertion) -> Result<()> {
    let source = &said.provider;
    work.execute(sql("DELETE FROM memberships WHERE person = $1 AND source = $2").bind(person).bind(source))
        .await?;
    for group in &said.groups {
        work.execute(
            sql("INSERT INTO memberships (person, source, group_id, asserted_at) VALUES ($1, $2, $3, $4)")
                .bind(person)
                .bind(source)
                .bind(group)
                .bind(work.now()),
        )
        .await?;
    }
    Ok(())
}

/// By which the provider is asked again; whoever signed in just now has just been confirmed.
async fn keep_refresh_token(
    work: &mut Work<'_>,
    session: SessionId,
    provider: &Name,
    sealed: &[u8],
) -> Result<()> {
    work.execute(
        sql("INSERT INTO refresh_tokens (session, provider, sealed, next_at, asking_until) \
             VALUES ($1, $2, $3, $4, 0)")
        .bind(session)
        .bind(provider)
        .bind(sealed.to_vec())
        .bind(work.now().after(ASKED_EVERY)),
    )
    .await?;
    Ok(())
}

/// Writes a new person; her entry is the caller's.
pub(super) async fn create_person(work: &mut Work<'_>, display_name: &str, email: &str) -> Result<PersonId> {
    let person: PersonId = work.ambient().id();
    work.execute(
        sql("INSERT INTO people (id, status, status_since, display_name, email, created_at, facts) \
             VALUES ($1, 'active', $2, $3, $4, $2, 1)")
        .bind(person)
        .bind(work.now())
        .bind(display_name)
        .bind(email),
    )
    .await?;
    Ok(person)
}

async fn create_account(work: &mut Work<'_>, person: PersonId, assertion: &Assertion) -> Result<()> {
    work.execute(
        sql("INSERT INTO accounts (issuer, subject, person, provider, created_at) VALUES ($1, $2, $3, $4, $5)")
            .bind(&assertion.issuer)
            .bind(&assertion.subject)
            .bind(person)
            .bind(&assertion.provider)
            .bind(work.now()),
    )
    .await?;
    Ok(())
}
