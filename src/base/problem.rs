//! What went wrong, in the one shape that the API, the pages and the command line share.
//!
//! A problem says what happened, to which thing, and what to do next; never a value. On the wire it
//! is an RFC 9457 problem document with a stable `type`.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! problem_kinds {
    ($($(#[doc = $doc:literal])* $name:ident $slug:literal $status:literal $exit:literal;)*) => {
        /// The stable `type` of a problem, with its HTTP status and the exit code of `portctl`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProblemKind {
            $($(#[doc = $doc])* $name,)*
        }

        impl ProblemKind {
            /// Every kind, for the documentation and its tests.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The last part of the `type` URI.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug,)* }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// What `portctl` exits with.
            #[must_use]
            pub const fn exit_code(self) -> u8 {
                match self { $(Self::$name => $exit,)* }
            }

            /// One sentence on what it means: the `title`.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc,)*).trim_ascii(),)* }
            }
        }
    };
}

problem_kinds! {
    /// The request is not well-formed
    InvalidRequest "invalid-request" 400 2;
    /// The device is not signed in
    DeviceGrant "device-grant" 400 3;
    /// Nobody is signed in
    Unauthenticated "unauthenticated" 401 3;
    /// The sign-in is too old or too weak for this
    InsufficientAuthentication "insufficient-user-authentication" 401 3;
    /// Signing in did not work
    SignInRefused "sign-in-refused" 403 3;
    /// The person is suspended
    PersonSuspended "person-suspended" 403 1;
    /// The person is deactivated
    PersonDeactivated "person-deactivated" 403 1;
    /// No trust scope allows this
    Denied "denied" 403 1;
    /// A grant is needed and can be asked for
    NeedsGrant "needs-grant" 403 4;
    /// What was asked for does not exist, or may not be seen
    NotFound "not-found" 404 1;
    /// The method is not one of this address
    MethodNotAllowed "method-not-allowed" 405 2;
    /// The request was not sent in time
    RequestTimeout "request-timeout" 408 1;
    /// It is there already
    AlreadyExists "already-exists" 409 1;
    /// It is not in a state that allows this
    Conflict "conflict" 409 1;
    /// The name fits more than one
    Ambiguous "ambiguous" 409 1;
    /// A declaring file manages it
    ManagedByFiles "managed-by-files" 409 1;
    /// The world has moved since the plan was made
    PlanIsStale "plan-is-stale" 409 1;
    /// The facts changed while this was decided
    FactsChanged "facts-changed" 409 1;
    /// It is no longer the version that was expected
    PreconditionFailed "precondition-failed" 412 1;
    /// It is larger than what is taken
    TooLarge "too-large" 413 2;
    /// The content is not of the type that this address takes
    UnsupportedMediaType "unsupported-media-type" 415 2;
    /// This server is not called that
    Misdirected "misdirected" 421 2;
    /// The declaring files are not right
    InvalidDeclaration "invalid-declaration" 422 1;
    /// The Idempotency-Key was used for another request
    IdempotencyMismatch "idempotency-mismatch" 422 1;
    /// Too many requests
    RateLimited "rate-limited" 429 1;
    /// The server has too much to do
    Overloaded "overloaded" 503 1;
    /// Nothing happened, because it could not be recorded
    NotRecorded "not-recorded" 503 1;
    /// Whether it happened is not known yet
    OutcomeUnknown "outcome-unknown" 503 1;
    /// The database does not answer
    DatabaseUnavailable "database-unavailable" 503 1;
    /// The secrets engine does not answer
    EngineUnavailable "engine-unavailable" 503 1;
    /// The secrets engine refused or answered nonsense
    EngineFault "engine-fault" 502 1;
    /// The cluster does not answer
    ClusterUnavailable "cluster-unavailable" 503 1;
    /// The cluster refused or answered nonsense
    ClusterFault "cluster-fault" 502 1;
    /// The archive of the log does not answer
    ArchiveUnavailable "archive-unavailable" 503 1;
    /// The identity provider does not answer
    ProviderUnavailable "identity-provider-unavailable" 503 1;
    /// The identity provider answered nonsense
    ProviderFault "identity-provider-fault" 502 1;
    /// The server does not answer
    ServerUnavailable "server-unavailable" 503 1;
    /// The configuration is not right
    InvalidConfiguration "invalid-configuration" 500 2;
    /// The log was altered
    LogAltered "log-altered" 500 10;
    /// The log is incomplete
    LogIncomplete "log-incomplete" 500 11;
    /// A fault of ours
    Internal "internal" 500 1;
}

/// The namespace of the `type` URIs.
pub const TYPE_PREFIX: &str = "https://portcontrol.dev/problems/";

impl Serialize for ProblemKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{TYPE_PREFIX}{}", self.slug()))
    }
}

impl<'de> Deserialize<'de> for ProblemKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let uri = String::deserialize(deserializer)?;
        let slug = uri.strip_prefix(TYPE_PREFIX).unwrap_or(&uri);
        // A newer server may know kinds that this client does not.
        Ok(Self::ALL.iter().copied().find(|kind| kind.slug() == slug).unwrap_or(Self::Internal))
    }
}

/// A refusal or a failure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// What sort of problem it is.
    #[serde(rename = "type")]
    pub kind: ProblemKind,
    /// What happened, to which thing.
    pub detail: String,
    /// What to do next; where there is a command, the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Further members of the document: ids, names, counts.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), remedy: None, more: serde_json::Map::new() }
    }

    /// Says what to do next.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds a member to the document.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// The request is not well-formed.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::InvalidRequest, detail)
    }

    /// There is no such thing, or it may not be seen.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::NotFound, detail)
    }

    /// Not in a state that allows this.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::Conflict, detail)
    }

    /// A fault of ours. `detail` must not hold a value.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::Internal, detail)
    }

    /// Whether it is of this kind.
    #[must_use]
    pub fn is(&self, kind: ProblemKind) -> bool {
        self.kind == kind
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        self.remedy.as_ref().map_or(Ok(()), |remedy| write!(f, "\n{remedy}"))
    }
}

impl std::error::Error for Problem {}
