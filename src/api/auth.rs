//! Who calls.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};

use super::{App, Network};
use crate::{
    base::{Problem, ProblemKind, Result},
    identity::{AnyCaller, Caller},
};

/// The header in which a page's script would send the token that its forms carry.
const CSRF_HEADER: &str = "x-csrf-token";

/// By which a browser says where a request comes from (W3C Fetch Metadata).
const FETCH_SITE: &str = "sec-fetch-site";

/// An authenticated person: by `Authorization: Bearer TOKEN` (RFC 6750), else by the session cookie of a
/// browser. What changes something by cookie has to come from one of our own pages.
pub struct Auth(pub Caller);

/// The same where workloads may call, too. Everywhere else they are refused.
pub struct AnyAuth(pub AnyCaller);

impl FromRequestParts<Arc<App>> for AnyAuth {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self> {
        let Network(network) = Network::from_request_parts(parts, app).await?;
        match bearer(&parts.headers)? {
            Some(token) => app.identity.authenticate_any(token, network).await.map(Self),
            None => Auth::from_request_parts(parts, app).await.map(|Auth(caller)| Self(caller.into())),
        }
    }
}

impl FromRequestParts<Arc<App>> for Auth {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self> {
        let Network(network) = Network::from_request_parts(parts, app).await?;
        if let Some(token) = bearer(&parts.headers)? {
            return app.identity.authenticate(token, network).await.map(Self);
        }
        let token = cookie(&parts.headers, &app.identity.session_cookie_name()).ok_or_else(|| {
            Problem::new(ProblemKind::Unauthenticated, "nobody is signed in")
                .remedy("Sign in: `portctl login --server URL`.")
        })?;
        let caller = app.identity.authenticate(token, network).await?;
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        refuse_foreign_navigation(text(FETCH_SITE))?;
        if !parts.method.is_safe() {
            let (token, origin) = (text(CSRF_HEADER), text(header::ORIGIN.as_str()));
            app.identity.check_post(&caller, token, origin).await?;
        }
        Ok(Self(caller))
    }
}

/// A link on another site must not make somebody reveal a value, be it only to herself.
fn refuse_foreign_navigation(site: Option<&str>) -> Result<()> {
    match site {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) => Err(Problem::new(ProblemKind::Denied, "another site led here, with your session")
            .remedy("Open the address yourself.")),
    }
}

/// The bearer token; a header that is there and is none is refused rather than passed over.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = all.next() else { return Ok(None) };
    let unreadable = || {
        Problem::new(ProblemKind::Unauthenticated, "the Authorization header is not 'Bearer TOKEN'")
            .remedy("Send one such header, or none.")
    };
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(unreadable)?;
    if all.next().is_some() || !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(unreadable());
    }
    Ok(Some(token.trim()))
}

/// The value of the cookie called `name`, where the browser sent it once.
pub(crate) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value);
    // Two of one name: somebody else has set one of them.
    let first = found.next();
    if found.next().is_some() { None } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[(&'static str, &str)]) -> HeaderMap {
        values
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_bearer_token_is_one_header_of_that_scheme() {
        assert_eq!(bearer(&headers(&[("authorization", "Bearer pct_x")])).unwrap(), Some("pct_x"));
        assert_eq!(bearer(&headers(&[("authorization", "bearer pct_x")])).unwrap(), Some("pct_x"));
        assert_eq!(bearer(&headers(&[])).unwrap(), None);
        for bad in ["Bearer", "Bearer ", "Basic abc", "pct_x"] {
            assert!(bearer(&headers(&[("authorization", bad)])).is_err(), "{bad}");
        }
        let mut two = headers(&[("authorization", "Bearer a")]);
        two.append("authorization", "Bearer b".parse().unwrap());
        assert!(bearer(&two).is_err());
    }

    #[test]
    fn a_cookie_that_was_sent_twice_is_none() {
        assert_eq!(cookie(&headers(&[("cookie", "a=1; pc-session=x")]), "pc-session"), Some("x"));
        assert_eq!(cookie(&headers(&[("cookie", "pc-session=y; pc-session=x")]), "pc-session"), None);
    }
}
