//! Who came to know which values.

mod list;

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::{api::App, identity::Person, secrets::Exposure};

/// Somebody came to know a value.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ExposureView {
    /// Its id, `exp_…`, or that of the lease, `lea_…`.
    pub id: String,
    /// Who, as the log names whoever it is: `per_…`, `workload/…`.
    pub principal: String,
    /// What a person is called; for display only.
    pub display_name: Option<String>,
    /// A person's e-mail address, where somebody who may has asserted one; for display only.
    pub email: Option<String>,
    /// The secret, or the role of an engine, where it belongs: `APPLICATION/ENVIRONMENT[@TEAM]/NAME`.
    pub secret: String,
    /// Which version of it; nothing for a lease.
    pub version: Option<i64>,
    /// Whether that value is the secret's current one; of a lease, whether it may work still.
    pub is_current: bool,
    /// The deliveries that hold that value of the secret.
    pub deliveries: Vec<String>,
    /// `entered`, `revealed`, `run`, `lease`, or `delivery`: to where it could be read.
    pub how: String,
    /// By which trust scope; nothing for a delivery, and where it was by several.
    pub scope: Option<String>,
    /// When first (RFC 3339).
    pub first_at: String,
    /// When last.
    pub last_at: String,
    /// The index of the entry of the first time.
    pub first_entry: Option<i64>,
    /// The index of the entry of the last time.
    pub last_entry: Option<i64>,
}

impl ExposureView {
    fn of(exposure: Exposure, person: Option<&Person>) -> Self {
        Self {
            id: exposure.id,
            principal: exposure.principal,
            display_name: person.map(|it| it.display_name.clone()),
            email: person.map(|it| it.email.clone()).filter(|it| !it.is_empty()),
            secret: exposure.secret,
            version: exposure.version,
            is_current: exposure.is_current,
            deliveries: exposure.deliveries,
            how: exposure.how,
            scope: exposure.scope,
            first_at: exposure.first_at.to_string(),
            last_at: exposure.last_at.to_string(),
            first_entry: exposure.entries.map(|(first, _)| first),
            last_entry: exposure.entries.map(|(_, last)| last),
        }
    }
}

/// All endpoints here.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().merge(list::route())
}
