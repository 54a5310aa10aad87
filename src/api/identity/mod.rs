//! Who somebody is: sign-ins of the command line, sessions, people.

mod begin_login;
mod begin_step_up;
pub mod change_person;
mod device_authorization;
mod device_token;
mod end_session;
mod exchange_login;
mod exchange_token;
mod finish_step_up;
mod list_people;
mod list_sessions;
mod recover;
mod show_person;
mod whoami;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    api::App,
    base::{
        Problem, Timestamp,
        ids::{PersonId, SessionId},
    },
    identity::{NewSession, Person, PersonAddress, Session},
    policy::PersonStatus,
};

pub use begin_login::LoginView;
pub use exchange_login::ExchangeRequest;
pub(crate) use whoami::view as whoami_view;
pub use whoami::{CallingSession, GroupView, WhoamiView};

/// A person.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PersonView {
    /// The id of our own.
    #[schema(value_type = String)]
    pub id: PersonId,
    /// `active`, `suspended` or `deactivated`.
    #[schema(value_type = String)]
    pub status: PersonStatus,
    /// Since when.
    #[schema(value_type = String)]
    pub status_since: Timestamp,
    /// Her name; for display only.
    pub display_name: String,
    /// Her e-mail address, for display only; empty where nobody who may has asserted one.
    pub email: String,
}

impl From<Person> for PersonView {
    fn from(person: Person) -> Self {
        Self {
            id: person.id,
            status: person.status,
            status_since: person.status_since,
            display_name: person.display_name,
            email: person.email,
        }
    }
}

/// A session.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// Which.
    #[schema(value_type = String)]
    pub id: SessionId,
    /// Whose.
    #[schema(value_type = String)]
    pub person: PersonId,
    /// `browser`, `cli` or `recovery`.
    pub kind: String,
    /// The browser or the machine.
    pub label: String,
    /// When the person proved who she is.
    #[schema(value_type = String)]
    pub authenticated_at: Timestamp,
    /// When it was last used, to the minute.
    #[schema(value_type = String)]
    pub last_used_at: Timestamp,
    /// When it ends whatever happens.
    #[schema(value_type = String)]
    pub ends_at: Timestamp,
}

impl From<Session> for SessionView {
    fn from(session: Session) -> Self {
        Self {
            id: session.id,
            person: session.person,
            kind: session.kind.as_str().to_owned(),
            label: session.label,
            authenticated_at: session.authenticated_at,
            last_used_at: session.last_used_at,
            ends_at: session.ends_at,
        }
    }
}

/// A session that has just begun, with its token, which is shown this once.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// To be sent as `Authorization: Bearer …`.
    pub token: String,
    /// Who is signed in.
    #[schema(value_type = String)]
    pub person: PersonId,
    /// The session.
    #[schema(value_type = String)]
    pub session: SessionId,
    /// When it ends whatever happens.
    #[schema(value_type = String)]
    pub expires_at: Timestamp,
}

impl From<NewSession> for TokenView {
    fn from(session: NewSession) -> Self {
        Self {
            token: session.token.expose_text().unwrap_or_default().to_owned(),
            person: session.person,
            session: session.id,
            expires_at: session.ends_at,
        }
    }
}

/// A list of people or sessions.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Listed<T> {
    /// What was found.
    pub items: Vec<T>,
    /// The cursor of what follows, where anything does.
    pub next: Option<String>,
}

/// Refuses where machines without a browser are not let in.
pub(crate) fn device_flow(app: &App) -> Result<(), Problem> {
    if app.config.sign_in.device_flow {
        return Ok(());
    }
    Err(Problem::not_found("signing in by a code is switched off here").remedy(
        "Sign in by a browser: `portctl login`. `[sign_in] device_flow` in the server's configuration switches it on.",
    ))
}

/// Reads an address out of a path.
fn address(text: &str) -> Result<PersonAddress, Problem> {
    text.parse().map_err(Problem::invalid)
}

/// All endpoints here.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(whoami::route())
        .merge(begin_login::route())
        .merge(exchange_login::route())
        .merge(begin_step_up::route())
        .merge(device_authorization::route())
        .merge(device_token::route())
        .merge(finish_step_up::route())
        .merge(exchange_token::route())
        .merge(recover::route())
        .merge(list_sessions::route())
        .merge(end_session::route())
        .merge(list_people::route())
        .merge(show_person::route())
        .merge(change_person::routes())
}
