//! Cookies of ours: `HttpOnly`, `SameSite=Lax`, `Path=/`, and with https `Secure` and `__Host-`.

use std::time::Duration;

use crate::identity::Identity;

/// A `Set-Cookie` that keeps `value` for `life`.
pub(super) fn keep(identity: &Identity, full_name: &str, value: &str, life: Duration) -> String {
    let secure = if identity.secure_cookies() { "; Secure" } else { "" };
    format!("{full_name}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}", life.as_secs())
}

/// A `Set-Cookie` that removes the cookie.
pub(super) fn drop(identity: &Identity, full_name: &str) -> String {
    keep(identity, full_name, "", Duration::ZERO)
}
