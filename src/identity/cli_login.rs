//! Signing a command line in: it waits on a loopback port, the person clicks in her browser, and the
//! one-time code that the browser carries over is worth something only with the PKCE verifier
//! (RFC 8252, RFC 7636).

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use subtle::ConstantTimeEq as _;
use url::Url;

use super::{
    Caller, Confirmation, Identity, NewSession, SessionKind,
    caller::{may_act, stored_id, unauthenticated},
    oidc::text_of,
    sessions::SessionSeed,
    sign_in::refusal,
    token::{TOKEN_PREFIX, challenge_of, hash_of, new_token},
};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{
        Problem, ProblemKind, Result, SecretValue, Timestamp,
        config::SessionConfig,
        ids::{LoginId, PersonId, SessionId},
    },
    policy::{Action, Permit, PersonStatus, Resource, Service},
    store::sql,
};

/// How long a command line waits for the click, and for the code.
const LOGIN_LIFE: Duration = Duration::from_mins(5);

/// What a command line sends to be signed in.
#[derive(Clone, Debug)]
pub struct LoginWish {
    /// PKCE S256 challenge: 43 characters of base64url.
    pub challenge: String,
    /// The port on 127.0.0.1 that it listens on.
    pub port: u16,
    /// What it recognises its own login by.
    pub state: String,
    /// The machine's name, shown to whoever clicks.
    pub machine: String,
}

/// A command line that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingLogin {
    /// Which.
    pub id: LoginId,
    /// The machine that says it is asking.
    pub machine: String,
    /// Until when it waits.
    pub expires_at: Timestamp,
    /// What it wants confirmed, where it is signed in already.
    pub confirmation: Option<Confirmation>,
}

#[derive(sqlx::FromRow)]
pub(super) struct LoginRow {
    challenge: String,
    port: i64,
    state: String,
    machine: String,
    session: Option<String>,
    code_hash: Option<Vec<u8>>,
    pub(super) raises: Option<String>,
    max_age: Option<i64>,
    acr_values: Option<String>,
    created_at: i64,
    expires_at: i64,
}

const BY_ID: &str = "SELECT challenge, port, state, machine, session, code_hash, raises, max_age, acr_values, \
    created_at, expires_at FROM pending_logins WHERE id = $1";

impl Identity {
    /// Notes that a command line waits.
    ///
    /// # Errors
    /// `invalid-request`, `rate-limited`.
    pub async fn begin_login(&self, wish: LoginWish, network: Option<IpAddr>) -> Result<PendingLogin> {
        wish.check()?;
        self.limit.take(network, self.ambient.now())?;
        self.note_login(wish, None).await
    }

    /// The same for a session that is to be raised, too.
    pub(super) async fn note_login(
        &self,
        wish: LoginWish,
        raises: Option<(SessionId, Confirmation)>,
    ) -> Result<PendingLogin> {
        let now = self.ambient.now();
        let (session, confirmation) = raises.unzip();
        let login = PendingLogin {
            id: self.ambient.id(),
            machine: wish.machine.trim().to_owned(),
            expires_at: now.after(LOGIN_LIFE),
            confirmation,
        };
        let wanted = login.confirmation.as_ref();
        self.database
            .write_unrecorded(
                "pending_logins",
                sql("INSERT INTO pending_logins (id, challenge, port, state, machine, created_at, expires_at, \
                     raises, max_age, acr_values) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
                .bind(login.id)
                .bind(wish.challenge)
                .bind(i64::from(wish.port))
                .bind(wish.state)
                .bind(&login.machine)
                .bind(now)
                .bind(login.expires_at)
                .bind(session)
                .bind(wanted.and_then(|it| it.max_age).map(seconds))
                .bind(wanted.map(|it| it.acr_values.join(" "))),
            )
            .await?;
        Ok(login)
    }

    /// The command line that waits for a click.
    ///
    /// # Errors
    /// `not-found` where it does not wait any more.
    pub async fn pending_login(&self, id: LoginId) -> Result<PendingLogin> {
        let row = self.login_row(id).await?.filter(|row| row.session.is_none());
        let row = row.ok_or_else(gone)?;
        let confirmation = row.confirmation();
        let expires_at = Timestamp::from_millis(row.expires_at);
        Ok(PendingLogin { id, machine: row.machine, expires_at, confirmation })
    }

    pub(super) async fn login_row(&self, id: LoginId) -> Result<Option<LoginRow>> {
        let row: Option<LoginRow> = self.database.fetch_optional(sql(BY_ID).bind(id)).await?;
        Ok(row.filter(|row| Timestamp::from_millis(row.expires_at) > self.ambient.now()))
    }

    /// The click: the browser's next address, on the port where the command line listens, with the code.
    ///
    /// # Errors
    /// `not-found` where it does not wait any more, or somebody has clicked already; `sign-in-refused`
    /// where it is no browser's session: only who has signed in by her provider lets another in.
    pub async fn approve_login(&self, permit: Permit, caller: &Caller, id: LoginId) -> Result<Url> {
        permit.expect(Action::SignInCli)?;
        let code = new_token(&self.ambient, "");
        let unit = ApproveLogin { permit, session: caller.session, id, code_hash: hash_of(code.expose()) };
        let (port, state) = self.log.perform(unit).await?;
        let mut url: Url = format!("http://127.0.0.1:{port}/")
            .parse()
            .map_err(|_| Problem::internal("a stored port cannot be read"))?;
        url.query_pairs_mut().append_pair("code", &text_of(&code)).append_pair("state", &state);
        Ok(url)
    }

    /// Exchanges the code for a session. A code that comes with the wrong verifier is used up, too.
    ///
    /// # Errors
    /// `sign-in-refused`; `person-suspended`, `person-deactivated`.
    pub async fn exchange_login(
        &self,
        id: LoginId,
        code: &str,
        verifier: &SecretValue,
        network: Option<IpAddr>,
    ) -> Result<NewSession> {
        self.limit.take(network, self.ambient.now())?;
        let row = self.proven(id, code, verifier).await?;
        if row.raises.is_some() {
            return Err(refused("this one is signed in already, and only wants to be confirmed"));
        }
        let permit = self.permits.permit(Service::SignIn, Action::SignIn, Resource::People)?;
        let token = new_token(&self.ambient, TOKEN_PREFIX);
        let unit = ExchangeLogin {
            permit,
            id,
            code_hash: hash_of(code.as_bytes()),
            token_hash: SessionSeed::token_hash_of(&token),
            network,
            lives: self.sessions,
        };
        let (person, id, ends_at) = self.log.perform(unit).await??;
        Ok(NewSession { token, id, person, ends_at })
    }
}

impl Identity {
    /// A login whose code and verifier these are. A code that comes with the wrong verifier is used up.
    pub(super) async fn proven(&self, id: LoginId, code: &str, verifier: &SecretValue) -> Result<LoginRow> {
        let row = self.login_row(id).await?.ok_or_else(gone)?;
        row.check_code(code)?;
        let fits: bool = challenge_of(&text_of(verifier)).as_bytes().ct_eq(row.challenge.as_bytes()).into();
        if fits {
            return Ok(row);
        }
        let forget = sql("DELETE FROM pending_logins WHERE id = $1").bind(id);
        self.database.write_unrecorded("pending_logins", forget).await?;
        Err(refused("the verifier is not that of the login which the code belongs to"))
    }
}

/// Whole seconds, as they are stored.
pub(super) fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

impl LoginWish {
    pub(super) fn check(&self) -> Result<()> {
        let base64url =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if self.challenge.len() != 43 || !base64url(&self.challenge) {
            return Err(Problem::invalid("the challenge is no S256 challenge: 43 characters of base64url"));
        }
        if self.port == 0 {
            return Err(Problem::invalid("the port is 0"));
        }
        if !(16..=128).contains(&self.state.len()) || !base64url(&self.state) {
            return Err(Problem::invalid("the state wants 16 to 128 characters of base64url"));
        }
        let machine = self.machine.trim();
        let plain = machine.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        if machine.is_empty() || machine.len() > 100 || !plain {
            return Err(Problem::invalid("the machine's name wants 1 to 100 printable ASCII characters"));
        }
        Ok(())
    }
}

impl LoginRow {
    fn check_code(&self, code: &str) -> Result<()> {
        let fits = self
            .code_hash
            .as_ref()
            .is_some_and(|hash| hash_of(code.as_bytes()).ct_eq(hash.as_slice()).into());
        if fits { Ok(()) } else { Err(refused("the code is not that of this login")) }
    }

    /// What is to be confirmed, where it is a session that is to be raised.
    pub(super) fn confirmation(&self) -> Option<Confirmation> {
        self.raises.as_ref()?;
        let values = self.acr_values.as_deref().unwrap_or_default();
        Some(Confirmation {
            acr_values: values.split_whitespace().map(str::to_owned).collect(),
            max_age: self.max_age.map(|age| Duration::from_secs(u64::try_from(age).unwrap_or(0))),
            since: Timestamp::from_millis(self.created_at),
        })
    }
}

pub(super) fn gone() -> Problem {
    Problem::not_found("this login is not waiting: it is finished, or has taken longer than five minutes")
        .remedy("Run `portctl login` again.")
}

pub(super) fn refused(why: &str) -> Problem {
    Problem::new(ProblemKind::SignInRefused, why).remedy("Run `portctl login` again.")
}

async fn waiting(work: &mut Work<'_>, id: LoginId) -> Result<LoginRow> {
    let row: Option<LoginRow> = work.fetch_optional(sql(BY_ID).bind(id)).await?;
    row.filter(|row| Timestamp::from_millis(row.expires_at) > work.now()).ok_or_else(gone)
}

struct ApproveLogin {
    permit: Permit,
    session: SessionId,
    id: LoginId,
    code_hash: [u8; 32],
}

#[async_trait]
impl Unit for ApproveLogin {
    type Output = (i64, String);

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<(i64, String)> {
        let row = waiting(work, self.id).await?;
        self.refuse_all_but_browsers(work).await?;
        self.refuse_all_but_her(work, &row).await?;
        let clicked = work
            .execute(
                sql("UPDATE pending_logins SET session = $2, code_hash = $3, expires_at = $4 \
                     WHERE id = $1 AND session IS NULL")
                .bind(self.id)
                .bind(self.session)
                .bind(self.code_hash)
                .bind(work.now().after(LOGIN_LIFE)),
            )
            .await?;
        if clicked != 1 {
            return Err(gone());
        }
        work.record(Draft::act("login.approved").resource(self.id).with("machine", row.machine));
        Ok((row.port, row.state))
    }
}

impl ApproveLogin {
    /// A recovery session must not become a longer one, and a command line's none at all.
    async fn refuse_all_but_browsers(&self, work: &mut Work<'_>) -> Result<()> {
        let kind: Option<(String,)> =
            work.fetch_optional(sql("SELECT kind FROM sessions WHERE id = $1").bind(self.session)).await?;
        if kind.is_some_and(|(kind,)| SessionKind::from_stored(&kind) == SessionKind::Browser) {
            return Ok(());
        }
        Err(Problem::new(
            ProblemKind::SignInRefused,
            "a command line is let in from a browser that has signed in",
        )
        .remedy("Sign in in the browser, by your identity provider."))
    }
}

impl ApproveLogin {
    /// A session is raised by its own person and by nobody else.
    async fn refuse_all_but_her(&self, work: &mut Work<'_>, row: &LoginRow) -> Result<()> {
        let Some(raised) = &row.raises else { return Ok(()) };
        let raised = sql("SELECT person FROM sessions WHERE id = $1 AND ended_at IS NULL").bind(raised);
        let whose: Option<(String,)> = work.fetch_optional(raised).await?;
        let clicks = self.permit.person().map(|person| person.to_string());
        if whose.is_some_and(|(whose,)| Some(whose) == clicks) {
            return Ok(());
        }
        Err(refused("the command line that asks is signed in as somebody else, or not any more"))
    }
}

struct ExchangeLogin {
    permit: Permit,
    id: LoginId,
    code_hash: [u8; 32],
    token_hash: [u8; 32],
    network: Option<IpAddr>,
    lives: SessionConfig,
}

/// The session of the browser in which a person clicked, and her status now.
#[derive(sqlx::FromRow)]
pub(super) struct ClickRow {
    pub(super) id: String,
    pub(super) person: String,
    status: String,
    issuer: String,
    subject: String,
    pub(super) sid: Option<String>,
    pub(super) authenticated_at: i64,
    pub(super) confirmed_at: i64,
    pub(super) acr: Option<String>,
    pub(super) amr: String,
    ends_at: i64,
    ended_at: Option<i64>,
}

#[async_trait]
impl Unit for ExchangeLogin {
    /// The inner problem is a refusal that is itself recorded.
    type Output = Result<(PersonId, SessionId, Timestamp)>;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output> {
        let row = take_code(work, self.id, &self.code_hash).await?;
        let click = click(work, row.session.as_deref()).await?;
        let person: PersonId = stored_id(&click.person)?;
        if let Some(problem) = click.refusal(work.now()) {
            work.record(refusal(person, &problem));
            return Ok(Err(problem));
        }
        let seed = click.seed(self.token_hash, row.machine, self.network)?;
        let (session, ends_at) = seed.begin(work, person, self.lives).await?;
        Ok(Ok((person, session, ends_at)))
    }
}

/// The login that waits for this code, taken out: the code is good once.
pub(super) async fn take_code(work: &mut Work<'_>, id: LoginId, code_hash: &[u8; 32]) -> Result<LoginRow> {
    let row = waiting(work, id).await?;
    if row.code_hash.as_deref() != Some(&code_hash[..]) {
        return Err(refused("the code is not that of this login"));
    }
    work.execute(sql("DELETE FROM pending_logins WHERE id = $1").bind(id)).await?;
    Ok(row)
}

impl LoginRow {
    /// The browser's session in which somebody clicked.
    pub(super) fn clicked_in(&self) -> Option<&str> {
        self.session.as_deref()
    }
}

/// The session of the browser in which a person clicked, and her status now.
pub(super) async fn click(work: &mut Work<'_>, session: Option<&str>) -> Result<ClickRow> {
    let click: Option<ClickRow> = work
        .fetch_optional(
            sql("SELECT s.id, s.person, p.status, s.issuer, s.subject, s.sid, s.authenticated_at, \
                 COALESCE(s.confirmed_at, s.created_at) AS confirmed_at, s.acr, s.amr, s.ends_at, s.ended_at \
                 FROM sessions s JOIN people p ON p.id = s.person WHERE s.id = $1")
            .bind(session.unwrap_or_default()),
        )
        .await?;
    click.ok_or_else(gone)
}

impl ClickRow {
    /// Why this click lets nobody in, where it does not.
    pub(super) fn refusal(&self, now: Timestamp) -> Option<Problem> {
        may_act(PersonStatus::from_stored(&self.status)).err().or_else(|| {
            let over = self.ended_at.is_some() || self.ends_at <= now.as_millis();
            over.then(|| unauthenticated("the browser's session has ended since the click"))
        })
    }

    /// The command line's session says of the sign-in what the browser's said.
    pub(super) fn seed(
        &self,
        token_hash: [u8; 32],
        machine: String,
        network: Option<IpAddr>,
    ) -> Result<SessionSeed> {
        Ok(SessionSeed {
            token_hash,
            kind: SessionKind::Cli,
            label: machine,
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            sid: self.sid.clone(),
            sealed_id_token: None,
            authenticated_at: Timestamp::from_millis(self.authenticated_at),
            acr: self.acr.clone(),
            amr: self.amr.clone(),
            network,
            // Else one session could follow another for ever, and nobody had to sign in again.
            ends_by: Some(Timestamp::from_millis(self.ends_at)),
            asserted_by: None,
            origin: Some((stored_id(&self.id)?, Timestamp::from_millis(self.confirmed_at))),
        })
    }
}
