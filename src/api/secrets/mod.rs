//! Secrets of an environment.
//!
//! `{environment}` may be a team's copy: `sandbox@supa-team`. Answers that hold values are never kept by
//! anybody.

mod destroy;
mod generate;
mod list;
mod remove;
mod reveal;
mod rollback;
mod run;
mod set;
mod versions;

use std::sync::Arc;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use zeroize::Zeroizing;

use super::App;
use crate::{
    base::{EnvironmentRef, Problem, Result, SecretName, SecretValue},
    policy::{EnvironmentFacts, Resource},
    secrets::{Made, Revealed},
};

/// All endpoints here.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(list::route())
        .merge(versions::route())
        .merge(reveal::route())
        .merge(set::route())
        .merge(generate::route())
        .merge(rollback::route())
        .merge(remove::routes())
        .merge(destroy::route())
        .merge(run::route())
}

/// Which environment.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct EnvironmentPath {
    /// The application's name.
    application: String,
    /// The environment's name, `NAME` or `NAME@TEAM`.
    environment: String,
}

/// Which secret.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct SecretPath {
    /// The application's name.
    application: String,
    /// The environment's name, `NAME` or `NAME@TEAM`.
    environment: String,
    /// The secret's name.
    name: String,
}

impl EnvironmentPath {
    async fn resource(&self, app: &App) -> Result<Resource> {
        Ok(Resource::Environment(facts(app, &self.application, &self.environment).await?))
    }
}

impl SecretPath {
    async fn resource(&self, app: &App) -> Result<Resource> {
        let name: SecretName = self.name.parse().map_err(Problem::invalid)?;
        Ok(Resource::Secret(facts(app, &self.application, &self.environment).await?, name))
    }
}

async fn facts(app: &App, application: &str, environment: &str) -> Result<EnvironmentFacts> {
    let at: EnvironmentRef = format!("{application}/{environment}").parse().map_err(Problem::invalid)?;
    app.catalog.snapshot().await?.environment(&at)
}

/// A value on its way in. Errors never show it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ValueBody {
    /// `utf8`, or `base64` for bytes that are no text.
    encoding: Encoding,
    /// The value.
    #[schema(value_type = String)]
    value: Zeroizing<String>,
    /// The number that the newest version has to have still; 0 where there must be none.
    #[serde(default)]
    expect_version: Option<i64>,
}

/// How a value is written in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// As it is.
    Utf8,
    /// In base64, RFC 4648 section 4.
    Base64,
}

impl ValueBody {
    fn read(&self) -> Result<SecretValue> {
        match self.encoding {
            Encoding::Utf8 => Ok(SecretValue::new(self.value.as_bytes().to_vec())),
            Encoding::Base64 => BASE64
                .decode(self.value.as_bytes())
                .map(SecretValue::new)
                .map_err(|_| Problem::invalid("the value is not base64, RFC 4648 section 4, with padding")),
        }
    }
}

/// A value on its way out.
#[derive(Serialize, ToSchema)]
pub struct ValueView {
    /// What the secret is called here.
    name: String,
    /// Which version.
    version: i64,
    /// `utf8`, or `base64` for bytes that are no text.
    encoding: Encoding,
    /// The value.
    #[serde(serialize_with = "plain")]
    #[schema(value_type = String)]
    value: Zeroizing<String>,
}

/// A value as JSON has it.
pub(super) fn written(value: &SecretValue) -> (Encoding, Zeroizing<String>) {
    let (encoding, text) = match value.expose_text() {
        Some(text) => (Encoding::Utf8, text.to_owned()),
        None => (Encoding::Base64, BASE64.encode(value.expose())),
    };
    (encoding, Zeroizing::new(text))
}

/// Writes a value out: the one thing that is asked of its answer.
pub(super) fn plain<S: Serializer>(text: &Zeroizing<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

impl From<Revealed> for ValueView {
    fn from(told: Revealed) -> Self {
        let (encoding, value) = written(&told.value);
        Self { name: told.name.to_string(), version: told.version, encoding, value }
    }
}

/// A version that was made.
#[derive(Serialize, ToSchema)]
pub struct MadeView {
    /// The secret.
    name: String,
    /// The version's number.
    version: i64,
    /// The version's id.
    id: String,
    /// Whether its value is the one that was current before.
    equal_to_previous: bool,
    /// That somebody who has left knows the value; where that is so and a trust scope does not ignore it.
    #[serde(skip_serializing_if = "Option::is_none")]
    known_to_leavers: Option<KnownView>,
}

/// That leavers know a value.
#[derive(Serialize, ToSchema)]
pub struct KnownView {
    /// How many of them.
    leavers: i64,
    /// The rotation task that is open until another value is current and delivered.
    task: String,
}

impl MadeView {
    fn of(name: &str, made: &Made) -> Self {
        Self {
            name: name.to_owned(),
            version: made.number,
            id: made.id.to_string(),
            equal_to_previous: made.equal_to_previous,
            known_to_leavers: None,
        }
    }
}
