//! Who speaks: the connection of the path, by its token.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};

use crate::{
    api::{App, Network, auth::bearer},
    base::{Problem, ProblemKind, Result},
    identity::scim::Speaker,
};

/// An authenticated connection. A token of another connection, of a person, or none is refused alike.
pub(super) struct Connected(pub(super) Speaker);

impl FromRequestParts<Arc<App>> for Connected {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self> {
        let Network(network) = Network::from_request_parts(parts, app).await?;
        let Path(path) = Path::<HashMap<String, String>>::from_request_parts(parts, app)
            .await
            .map_err(|_| Problem::not_found("there is nothing at this address"))?;
        let connection = path.get("connection").map_or("", String::as_str);
        let token = bearer(&parts.headers)?.ok_or_else(|| {
            Problem::new(ProblemKind::Unauthenticated, "no token was sent")
                .remedy("Send `Authorization: Bearer TOKEN` with the connection's token.")
        })?;
        app.scim.authenticate(connection, token, network).await.map(Self)
    }
}
