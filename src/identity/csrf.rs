//! Cookies and what guards them. A page posts by cookie, so a post carries a token that only our own
//! pages can know, and comes from our own origin.

use std::time::Duration;

use subtle::ConstantTimeEq as _;
use url::Url;

use super::{Caller, Identity, oidc::is_loopback};
use crate::base::{Problem, ProblemKind, Result, hex, ids::SessionId};

/// The session cookie's name without the prefix that https adds.
const SESSION_COOKIE: &str = "pc-session";
const CSRF: &str = "identity.csrf";

impl Identity {
    /// Whether cookies are marked `Secure` and named `__Host-…`: always, but for loopback without TLS.
    #[must_use]
    pub fn secure_cookies(&self) -> bool {
        self.public_url.scheme() == "https" || !is_loopback(&self.public_url)
    }

    /// The full name of one of our cookies.
    #[must_use]
    pub fn cookie_name(&self, name: &str) -> String {
        if self.secure_cookies() { format!("__Host-{name}") } else { name.to_owned() }
    }

    /// The full name of the session cookie.
    #[must_use]
    pub fn session_cookie_name(&self) -> String {
        self.cookie_name(SESSION_COOKIE)
    }

    /// The address of one of our own pages.
    ///
    /// # Errors
    /// `internal` where `path` is none.
    pub fn address(&self, path: &str) -> Result<Url> {
        self.public_url
            .join(path)
            .map_err(|_| Problem::internal("one of our own addresses cannot be written"))
    }

    /// How long a session lasts at most, and so its cookie.
    #[must_use]
    pub fn longest_session(&self) -> Duration {
        self.sessions.absolute
    }

    /// The token that the forms of a session's pages carry.
    #[must_use]
    pub fn csrf_token(&self, session: SessionId) -> String {
        hex::encode(&self.keys.mac(CSRF, &[session.to_string().as_bytes()]))
    }

    /// Refuses a post by cookie that does not come from a page of this session, and records that: the
    /// token has to fit, and the browser has to name our own origin.
    ///
    /// # Errors
    /// `denied`.
    pub async fn check_post(&self, caller: &Caller, token: Option<&str>, origin: Option<&str>) -> Result<()> {
        let own = self.public_url.origin().ascii_serialization();
        let expected = self.csrf_token(caller.session);
        let fits: bool = token.is_some_and(|token| token.as_bytes().ct_eq(expected.as_bytes()).into());
        if fits && origin == Some(own.as_str()) {
            return Ok(());
        }
        self.note_refusal(caller.person, caller.session, caller.network, ProblemKind::Denied).await;
        Err(Problem::new(ProblemKind::Denied, "this was not sent from one of our own pages")
            .remedy("Open the page again and send its form."))
    }
}
