//! The routes that anybody may call: signing in has to begin somewhere, and a probe has no token.

/// Method and path, as routes are written. Everything else needs a caller.
pub const ROUTES: &[(&str, &str)] = &[
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    // Counts and times alone; no name of anybody or anything.
    ("GET", "/metrics"),
    ("GET", "/api/v1/version"),
    ("GET", "/api/v1/openapi.json"),
    ("POST", "/api/v1/logins"),
    ("POST", "/api/v1/logins/{login}/token"),
    ("POST", "/api/v1/recovery"),
    // An identity provider says that somebody is signed out there; what it sends is signed.
    ("POST", "/sign-in/{provider}/backchannel-logout"),
    // A machine without a browser, where that is switched on (RFC 8628).
    ("POST", "/api/v1/device/authorization"),
    ("POST", "/api/v1/device/token"),
    ("POST", "/api/v1/token"),
];

/// The same for pages.
pub const PAGES: &[(&str, &str)] = &[
    ("GET", "/"),
    ("GET", "/style.css"),
    ("GET", "/sign-in"),
    ("GET", "/sign-in/{provider}"),
    ("GET", "/sign-in/{provider}/callback"),
];

/// What is published of the log: for everybody where `[log] public` says so, else for whom a trust scope
/// lets read it.
pub const LOG: &[(&str, &str)] = &[
    ("GET", "/audit/log/checkpoint"),
    ("GET", "/audit/log/witnessed-checkpoint"),
    ("GET", "/audit/log/tile/entries/{path}"),
    ("GET", "/audit/log/tile/{level}/{path}"),
    ("GET", "/audit/v1/vkeys"),
    ("GET", "/audit/v1/entries/{index}/proof"),
    ("GET", "/audit/v1/consistency"),
];
