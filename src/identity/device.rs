//! Our own device flow (RFC 8628), for machines on which no browser can come back to a loopback port. Off
//! by default: who approves cannot see that the machine is hers, so its page says where it asks from.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;

use super::{
    Caller, Identity, NewSession, SessionKind,
    caller::stored_id,
    cli_login::click,
    limit::whole,
    sessions::SessionSeed,
    sign_in::refusal,
    token::{TOKEN_PREFIX, hash_of, new_token},
};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{
        Ambient, Problem, ProblemKind, Result, SecretValue, Timestamp,
        config::SessionConfig,
        ids::{PersonId, SessionId},
    },
    policy::{Action, Permit, Resource, Service},
    store::sql,
};

/// How long a code can be typed.
const CODE_LIFE: Duration = Duration::from_mins(5);
/// How long a machine waits between two questions, and by how much that grows where it does not wait.
const WAIT: Duration = Duration::from_secs(5);
/// Consonants that are not taken for one another: nothing that reads as a word, and no digit.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// How many of them make a code.
const LENGTH: usize = 8;
/// How often one code can be typed before it is worth nothing.
const MOST_SHOWN: i64 = 5;
const USER_CODE: &str = "identity.user-code";
/// What a device code begins with.
const PREFIX: &str = "pcd_";

/// What a machine is told, to show it and to ask again with.
#[derive(Debug)]
pub struct DeviceCodes {
    /// What it asks with.
    pub device_code: SecretValue,
    /// What its person types.
    pub user_code: String,
    /// Until when.
    pub expires_at: Timestamp,
    /// How long codes live.
    pub life: Duration,
    /// How long to wait between two questions.
    pub wait: Duration,
}

/// What the page shows of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingDevice {
    /// What it calls itself.
    pub machine: String,
    /// From where it asks.
    pub network: Option<IpAddr>,
    /// Whether that is where the person is, too.
    pub is_near: bool,
}

#[derive(sqlx::FromRow)]
struct DeviceRow {
    machine: String,
    network: Option<String>,
    session: Option<String>,
    refused: i64,
    asked_at: i64,
    wait_millis: i64,
    expires_at: i64,
}

const COLUMNS: &str = "SELECT machine, network, session, refused, asked_at, wait_millis, expires_at \
    FROM device_logins";

impl Identity {
    /// Codes for a machine that calls itself `machine`.
    ///
    /// # Errors
    /// `invalid-request`, `rate-limited`.
    pub async fn begin_device(&self, machine: &str, network: Option<IpAddr>) -> Result<DeviceCodes> {
        let machine = machine.trim();
        let plain = machine.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        if machine.is_empty() || machine.len() > 100 || !plain {
            return Err(Problem::invalid("the machine's name wants 1 to 100 printable ASCII characters"));
        }
        let now = self.ambient.now();
        self.limit.take(network, now)?;
        let device_code = new_token(&self.ambient, PREFIX);
        let user_code = new_user_code(&self.ambient);
        let expires_at = now.after(CODE_LIFE);
        let row = sql(
            "INSERT INTO device_logins (device_hash, user_code, machine, network, shown, refused, asked_at, \
                       wait_millis, created_at, expires_at) VALUES ($1, $2, $3, $4, 0, 0, 0, $5, $6, $7)",
        )
        .bind(hash_of(device_code.expose()))
        .bind(self.user_code(&user_code))
        .bind(machine)
        .bind(network.map(|network| network.to_string()))
        .bind(millis(WAIT))
        .bind(now)
        .bind(expires_at);
        self.database.write_unrecorded("device_logins", row).await?;
        Ok(DeviceCodes { device_code, user_code, expires_at, life: CODE_LIFE, wait: WAIT })
    }

    /// The machine that waits for this code. Each look counts: a code that is looked at too often, and a
    /// network that types too many wrong ones, get nothing more.
    ///
    /// # Errors
    /// `not-found`; `rate-limited`.
    pub async fn waiting_device(&self, caller: &Caller, typed: &str) -> Result<WaitingDevice> {
        let now = self.ambient.now();
        self.failures.look(caller.network, now)?;
        let code = self.user_code(typed);
        let shown =
            sql("UPDATE device_logins SET shown = shown + 1 WHERE user_code = $1 AND expires_at > $2 \
                         AND shown < $3 AND session IS NULL AND refused = 0");
        let shown = shown.bind(code).bind(now).bind(MOST_SHOWN);
        if self.database.write_unrecorded("device_logins", shown).await? != 1 {
            self.failures.count(caller.network, now);
            return Err(no_such_code());
        }
        let row = crate::store::Query::composed(format!("{COLUMNS} WHERE user_code = $1"), vec![code.into()]);
        let row: Option<DeviceRow> = self.database.fetch_optional(row).await?;
        let row = row.ok_or_else(no_such_code)?;
        let network: Option<IpAddr> = row.network.and_then(|text| text.parse().ok());
        let is_near = network.is_some() && network.map(whole) == caller.network.map(whole);
        Ok(WaitingDevice { machine: row.machine, network, is_near })
    }

    /// What its person says to a machine: yes or no.
    ///
    /// # Errors
    /// `not-found` where no machine waits for this code any more; `sign-in-refused` where this is no
    /// browser's session; `rate-limited`.
    pub async fn decide_device(&self, permit: Permit, caller: &Caller, typed: &str, yes: bool) -> Result<()> {
        permit.expect(Action::SignInCli)?;
        self.failures.look(caller.network, self.ambient.now())?;
        let unit = DecideDevice { permit, session: caller.session, code: self.user_code(typed), yes };
        let outcome = self.log.perform(unit).await;
        if matches!(&outcome, Err(problem) if problem.is(ProblemKind::NotFound)) {
            self.failures.count(caller.network, self.ambient.now());
        }
        outcome
    }

    /// Exchanges a device code for a session, once its person has said yes.
    ///
    /// # Errors
    /// `device-grant`, with the word of RFC 8628 as `error`; `person-suspended`, `person-deactivated`;
    /// `rate-limited`.
    pub async fn exchange_device(&self, code: &SecretValue, network: Option<IpAddr>) -> Result<NewSession> {
        let now = self.ambient.now();
        self.failures.look(network, now)?;
        let hash = hash_of(code.expose());
        let row =
            crate::store::Query::composed(format!("{COLUMNS} WHERE device_hash = $1"), vec![hash.into()]);
        let row: Option<DeviceRow> = self.database.fetch_optional(row).await?;
        let Some(row) = row else {
            self.failures.count(network, now);
            return Err(grant("invalid_grant", "the device code is none of ours, or was used already"));
        };
        if Timestamp::from_millis(row.expires_at) <= now {
            return Err(grant("expired_token", "nobody typed the code in time"));
        }
        if row.refused != 0 {
            return Err(grant("access_denied", "whoever typed the code said no"));
        }
        if row.session.is_none() {
            return Err(self.not_yet(&hash, &row, now).await?);
        }
        let permit = self.permits.permit(Service::SignIn, Action::SignIn, Resource::People)?;
        let token = new_token(&self.ambient, TOKEN_PREFIX);
        let token_hash = SessionSeed::token_hash_of(&token);
        let unit = ExchangeDevice { permit, hash, token_hash, network, lives: self.sessions };
        let (person, id, ends_at) = self.log.perform(unit).await??;
        Ok(NewSession { token, id, person, ends_at })
    }

    /// Notes that a machine asked, and says that it has to wait; longer, where it did not.
    async fn not_yet(&self, hash: &[u8; 32], row: &DeviceRow, now: Timestamp) -> Result<Problem> {
        let waited = now.as_millis() - row.asked_at;
        let too_soon = waited < row.wait_millis;
        let wait = if too_soon { row.wait_millis + millis(WAIT) } else { row.wait_millis };
        let asked = sql("UPDATE device_logins SET asked_at = $2, wait_millis = $3 WHERE device_hash = $1");
        let asked = asked.bind(hash).bind(now).bind(wait);
        self.database.write_unrecorded("device_logins", asked).await?;
        Ok(if too_soon {
            grant("slow_down", "it was asked too soon").with("interval", wait / 1000)
        } else {
            grant("authorization_pending", "nobody has typed the code yet")
        })
    }

    /// The only form in which a code is kept: it is short, so a plain hash would say what it is.
    fn user_code(&self, typed: &str) -> [u8; 32] {
        self.keys.mac(USER_CODE, &[written_plainly(typed).as_bytes()])
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// What RFC 8628 says to a machine, as a problem: programs that know the standard read `error`.
fn grant(error: &str, detail: &str) -> Problem {
    Problem::new(ProblemKind::DeviceGrant, detail)
        .with("error", error)
        .remedy("Begin again where it does not wait any more: `portctl login --device`.")
}

fn no_such_code() -> Problem {
    Problem::not_found("no machine waits for this code: it is mistyped, used, or older than five minutes")
        .remedy("Run `portctl login --device` again, and type what it shows.")
}

/// As people type it: in whatever case, with or without what stands between.
fn written_plainly(typed: &str) -> String {
    typed.chars().filter(char::is_ascii_alphanumeric).take(32).map(|c| c.to_ascii_uppercase()).collect()
}

/// Eight letters, all equally likely: bytes that would favour some are drawn again.
fn new_user_code(ambient: &Ambient) -> String {
    let mut code = String::new();
    while code.len() < LENGTH + 1 {
        for byte in ambient.bytes::<16>() {
            if code.len() == LENGTH / 2 {
                code.push('-');
            }
            if byte < 240 && code.len() < LENGTH + 1 {
                code.push(char::from(LETTERS[usize::from(byte) % LETTERS.len()]));
            }
        }
    }
    code
}

struct DecideDevice {
    permit: Permit,
    session: SessionId,
    code: [u8; 32],
    yes: bool,
}

#[async_trait]
impl Unit for DecideDevice {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let kind: Option<(String,)> =
            work.fetch_optional(sql("SELECT kind FROM sessions WHERE id = $1").bind(self.session)).await?;
        if kind.is_none_or(|(kind,)| SessionKind::from_stored(&kind) != SessionKind::Browser) {
            return Err(Problem::new(
                ProblemKind::SignInRefused,
                "a machine is let in from a browser that has signed in",
            )
            .remedy("Sign in in the browser, by your identity provider."));
        }
        let decided = sql(
            "UPDATE device_logins SET session = $2, refused = $3 WHERE user_code = $1 AND session IS NULL \
                           AND refused = 0 AND expires_at > $4 RETURNING machine",
        );
        let decided = decided
            .bind(self.code)
            .bind(self.yes.then_some(self.session))
            .bind(i64::from(!self.yes))
            .bind(work.now());
        let machine: Option<(String,)> = work.fetch_optional(decided).await?;
        let (machine,) = machine.ok_or_else(no_such_code)?;
        let what = if self.yes { "login.approved" } else { "login.refused" };
        work.record(
            Draft::act(what).resource(self.session).with("machine", machine).with("by", "device-code"),
        );
        Ok(())
    }
}

struct ExchangeDevice {
    permit: Permit,
    hash: [u8; 32],
    token_hash: [u8; 32],
    network: Option<IpAddr>,
    lives: SessionConfig,
}

#[async_trait]
impl Unit for ExchangeDevice {
    /// The inner problem is a refusal that is itself recorded.
    type Output = Result<(PersonId, SessionId, Timestamp)>;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output> {
        let taken = sql(
            "DELETE FROM device_logins WHERE device_hash = $1 AND session IS NOT NULL AND expires_at > $2 \
                         RETURNING machine, session",
        );
        let taken: Option<(String, String)> =
            work.fetch_optional(taken.bind(self.hash).bind(work.now())).await?;
        let used = || grant("invalid_grant", "the device code was used already");
        let (machine, session) = taken.ok_or_else(used)?;
        let click = click(work, Some(&session)).await?;
        let person: PersonId = stored_id(&click.person)?;
        if let Some(problem) = click.refusal(work.now()) {
            work.record(refusal(person, &problem));
            return Ok(Err(problem));
        }
        let seed = click.seed(self.token_hash, machine, self.network)?;
        let (session, ends_at) = seed.begin(work, person, self.lives).await?;
        Ok(Ok((person, session, ends_at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ambient::SeededChance, time::SystemClock};

    #[test]
    fn a_code_is_read_however_it_is_typed() {
        for typed in ["BCDF-GHJK", "bcdfghjk", " bcdf ghjk\n", "b-c-d-f-g-h-j-k"] {
            assert_eq!(written_plainly(typed), "BCDFGHJK", "{typed}");
        }
    }

    #[test]
    fn a_code_is_eight_letters_and_each_is_drawn() {
        let clock = std::sync::Arc::new(SystemClock::starting_at_least(Timestamp::EPOCH));
        let ambient = Ambient::new(clock, std::sync::Arc::new(SeededChance::new(3)));
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let code = new_user_code(&ambient);
            assert_eq!((code.len(), code.as_bytes()[4]), (9, b'-'), "{code}");
            seen.extend(code.bytes().filter(|byte| *byte != b'-'));
        }
        assert_eq!(seen, LETTERS.iter().copied().collect());
    }
}
