//! Whom a provisioned person is: by the account that one attribute names, and by nothing else.

use serde_json::Value;

use super::{Connection, Said, refuse};
use crate::{
    audit::{Draft, Work},
    base::{Problem, Result, ids::PersonId},
    identity::{
        caller::stored_id,
        display::{owned_address, shown},
    },
    policy::PersonStatus,
    store::sql,
};

/// A person and what she is.
pub(super) struct Linked {
    pub(super) person: PersonId,
    pub(super) status: PersonStatus,
    /// Whether she begins here.
    pub(super) is_new: bool,
}

/// The person whom these attributes name: whoever has that account, else a new one who gets it. Nobody
/// while they name none.
///
/// # Errors
/// `uniqueness` where this connection or another has her already.
pub(super) async fn link(
    work: &mut Work<'_>,
    connection: &Connection,
    body: &Said,
    active: bool,
    domains: &[String],
) -> Result<Option<Linked>> {
    let Some(subject) = connection.link.subject(body) else { return Ok(None) };
    if let Some(known) = by_account(work, &connection.issuer, &subject).await? {
        refuse_second(work, connection, known.person).await?;
        work.record(
            Draft::act("person.linked").subject(known.person).with("provider", connection.name.as_str()),
        );
        return Ok(Some(known));
    }
    let person = create(work, connection, body, active, domains).await?;
    create_account(work, connection, person.person, &subject).await?;
    Ok(Some(person))
}

async fn by_account(work: &mut Work<'_>, issuer: &str, subject: &str) -> Result<Option<Linked>> {
    let row: Option<(String, String)> = work
        .fetch_optional(
            sql("SELECT p.id, p.status FROM accounts a JOIN people p ON p.id = a.person \
                 WHERE a.issuer = $1 AND a.subject = $2")
            .bind(issuer)
            .bind(subject),
        )
        .await?;
    row.map(|(id, status)| {
        let status = PersonStatus::from_stored(&status);
        Ok(Linked { person: stored_id(&id)?, status, is_new: false })
    })
    .transpose()
}

async fn refuse_second(work: &mut Work<'_>, connection: &Connection, person: PersonId) -> Result<()> {
    let other: Option<(String, String)> = work
        .fetch_optional(
            sql("SELECT id, connection FROM scim_users WHERE person = $1 AND deleted_at IS NULL")
                .bind(person),
        )
        .await?;
    match other {
        None => Ok(()),
        Some((id, by)) if by == connection.name.as_str() => Err(refuse(
            "uniqueness",
            format!("'{id}' is provisioned with the same {}", connection.link.attribute()),
        )),
        // Nobody is taken from the connection that has her, nor told by which that is.
        Some(_) => Err(refuse(
            "uniqueness",
            format!("whoever has this {} is provisioned by another connection", connection.link.attribute()),
        )),
    }
}

/// A new person. One who is not active yet is suspended by the connection, which can undo that.
async fn create(
    work: &mut Work<'_>,
    connection: &Connection,
    body: &Said,
    active: bool,
    domains: &[String],
) -> Result<Linked> {
    let person: PersonId = work.ambient().id();
    let status = if active { PersonStatus::Active } else { PersonStatus::Suspended };
    let cause = (!active).then(|| format!("connection/{}", connection.name));
    work.execute(
        sql("INSERT INTO people (id, status, status_cause, status_since, display_name, email, created_at, facts) \
             VALUES ($1, $2, $3, $4, $5, $6, $4, 1)")
        .bind(person)
        .bind(status.as_str())
        .bind(cause)
        .bind(work.now())
        .bind(display_name(body))
        .bind(email(body, domains)),
    )
    .await?;
    work.record(
        Draft::act("person.joined")
            .subject(person)
            .with("provider", connection.name.as_str())
            .with("groups", Vec::<String>::new()),
    );
    if !active {
        // Her history begins with it, for whoever recomputes what she could reach.
        work.record(
            Draft::act("person.suspended")
                .subject(person)
                .resource(person)
                .with("was", PersonStatus::Active.as_str()),
        );
    }
    Ok(Linked { person, status, is_new: true })
}

async fn create_account(
    work: &mut Work<'_>,
    connection: &Connection,
    person: PersonId,
    subject: &str,
) -> Result<()> {
    work.execute(
        sql("INSERT INTO accounts (issuer, subject, person, provider, created_at) VALUES ($1, $2, $3, $4, $5)")
            .bind(&connection.issuer)
            .bind(subject)
            .bind(person)
            .bind(&connection.provider)
            .bind(work.now()),
    )
    .await?;
    Ok(())
}

/// The attribute that links has another value now. While nobody has signed in by the account of before,
/// which provisioning had made, it is the account that changes.
///
/// # Errors
/// `mutability` where somebody has, or the new account is somebody's.
pub(super) async fn move_account(
    work: &mut Work<'_>,
    connection: &Connection,
    person: PersonId,
    now: &str,
) -> Result<()> {
    let accounts: Vec<(String,)> = work
        .fetch_all(
            sql("SELECT subject FROM accounts WHERE person = $1 AND issuer = $2")
                .bind(person)
                .bind(&connection.issuer),
        )
        .await?;
    if accounts.iter().any(|(subject,)| subject == now) {
        return Ok(());
    }
    let is_free = by_account(work, &connection.issuer, now).await?.is_none();
    let [(before,)] = accounts.as_slice() else { return Err(fixed(connection)) };
    if !is_free || !is_unused(work, connection, person, before).await? {
        return Err(fixed(connection));
    }
    work.execute(
        sql("UPDATE accounts SET subject = $3 WHERE issuer = $1 AND subject = $2")
            .bind(&connection.issuer)
            .bind(before)
            .bind(now),
    )
    .await?;
    work.record(Draft::act("person.linked").subject(person).with("provider", connection.name.as_str()));
    Ok(())
}

fn fixed(connection: &Connection) -> Problem {
    let attribute = connection.link.attribute();
    refuse(
        "mutability",
        format!("{attribute} links this person with her sign-ins, and cannot become another"),
    )
    .remedy("Delete her and provision whoever is meant anew.")
}

/// Whether nobody has signed in by an account, and no other connection has its person.
async fn is_unused(
    work: &mut Work<'_>,
    connection: &Connection,
    person: PersonId,
    subject: &str,
) -> Result<bool> {
    let used: Option<(String,)> = work
        .fetch_optional(
            sql("SELECT id FROM sessions WHERE person = $1 AND issuer = $2 AND subject = $3")
                .bind(person)
                .bind(&connection.issuer)
                .bind(subject),
        )
        .await?;
    let elsewhere: Option<(String,)> = work
        .fetch_optional(
            sql("SELECT id FROM scim_users WHERE person = $1 AND connection <> $2 AND deleted_at IS NULL")
                .bind(person)
                .bind(&connection.name),
        )
        .await?;
    Ok(used.is_none() && elsewhere.is_none())
}

/// Writes what a person is called; for display only.
pub(super) async fn write_display(
    work: &mut Work<'_>,
    person: PersonId,
    body: &Said,
    domains: &[String],
) -> Result<()> {
    work.execute(
        sql("UPDATE people SET display_name = $2, email = $3 WHERE id = $1")
            .bind(person)
            .bind(display_name(body))
            .bind(email(body, domains)),
    )
    .await?;
    Ok(())
}

fn display_name(body: &Said) -> String {
    let text = |of: Option<&Value>, name: &str| of?.get(name)?.as_str().map(str::to_owned);
    let name = body.get("name");
    let whole = || Some([text(name, "givenName")?, text(name, "familyName")?].join(" "));
    let own = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    [own("displayName"), text(name, "formatted"), whole(), own("userName")]
        .into_iter()
        .flatten()
        .map(|name| shown(&name))
        .find(|name| !name.is_empty())
        .unwrap_or_default()
}

/// An address of a domain for which her provider speaks, the preferred one first; nothing else.
fn email(body: &Said, domains: &[String]) -> String {
    let mut emails = super::users::emails_of(body);
    emails.sort_by_key(|(_, kind, primary)| (!primary, kind.as_deref() != Some("work")));
    emails.iter().find_map(|(address, ..)| owned_address(address, domains)).unwrap_or_default()
}
