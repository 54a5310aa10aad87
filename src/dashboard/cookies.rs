//! Cookies of ours: `HttpOnly`, `SameSite=Lax`, `Path=/`, and with https `Secure` and `__Host-`.

use std::time::Duration;

use axum::http::{HeaderMap, header};

use crate::identity::Identity;

/// The value of the cookie called `name`, where the browser sent it once.
pub(super) fn read(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned());
    // Two of one name: somebody else has set one of them.
    let first = found.next();
    if found.next().is_some() { None } else { first }
}

/// A `Set-Cookie` that keeps `value` for `life`.
pub(super) fn keep(identity: &Identity, full_name: &str, value: &str, life: Duration) -> String {
    let secure = if identity.secure_cookies() { "; Secure" } else { "" };
    format!("{full_name}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}", life.as_secs())
}

/// A `Set-Cookie` that removes the cookie.
pub(super) fn drop(identity: &Identity, full_name: &str) -> String {
    keep(identity, full_name, "", Duration::ZERO)
}
