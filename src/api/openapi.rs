//! `GET /api/v1/openapi.json`: OpenAPI 3.1, made from the code.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};
use utoipa_axum::router::OpenApiRouter;

use super::{
    App, audit, catalog, deliveries, exposures, grants, idempotency, identity, leases, leavers, moves,
    removals, requests, rotation, scim_connections, secrets, version,
};
use crate::base::ProblemKind;

#[derive(OpenApi)]
#[openapi(
    info(title = "Port Control", description = "People get, use and lose access to secrets."),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        api.components.get_or_insert_default().add_security_scheme("bearer", scheme);
    }
}

/// Every endpoint under `/api/v1` and `/audit`, with its description.
pub(super) fn endpoints() -> OpenApiRouter<Arc<App>> {
    let all = OpenApiRouter::new()
        .merge(version::route())
        .merge(identity::routes())
        .merge(catalog::routes())
        .merge(secrets::routes())
        .merge(requests::routes())
        .merge(grants::list::route())
        .merge(exposures::routes())
        .merge(moves::routes())
        .merge(leases::routes())
        .merge(leavers::routes())
        .merge(removals::routes())
        .merge(rotation::routes())
        .merge(scim_connections::routes())
        .merge(deliveries::routes());
    OpenApiRouter::with_openapi(Document::openapi()).nest("/api/v1", all).merge(audit::routes())
}

/// The description of the API: what the endpoints say of themselves, and what holds for all of them.
#[must_use]
pub fn document() -> Value {
    let mut document = serde_json::to_value(endpoints().into_openapi()).unwrap_or_default();
    document["components"]["schemas"]["Problem"] = problem_schema();
    let paths = document["paths"].as_object_mut().map(std::mem::take).unwrap_or_default();
    let described = paths.into_iter().map(|(path, mut item)| {
        // A router's `{*rest}` is a parameter like any other to whoever reads this.
        let path = path.replace("{*", "{");
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            name(operation, &path);
            complete(operation, idempotency::applies(method, &path));
        }
        (path, item)
    });
    document["paths"] = Value::Object(described.collect());
    document
}

/// Names an operation after what it is about, where it is only called `list` or `resume` in its room.
fn name(operation: &mut Value, path: &str) {
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let is_name =
        |segment: &&str| !segment.starts_with('{') && !["", "api", "v1", "audit", &id].contains(segment);
    let about = path.rsplit('/').find(is_name);
    if let Some(about) = about.filter(|_| !id.contains('_')) {
        operation["operationId"] = format!("{id}_{}", about.replace('-', "_")).into();
    }
}

/// Adds to an operation what is true of every one.
fn complete(operation: &mut Value, takes_key: bool) {
    let is_public = operation["security"].as_array().is_some_and(|it| it.iter().any(|it| *it == json!({})));
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    if !is_public {
        say(responses, "401", "`unauthenticated`: nobody is signed in, or the session has ended.");
        say(responses, "403", "`person-suspended`, `person-deactivated`");
    }
    if takes_key {
        say(responses, "409", "`conflict`: something is done, or was done, under this Idempotency-Key.");
        say(responses, "422", "`idempotency-mismatch`: the Idempotency-Key was used for another request.");
    }
    say(responses, "default", "Any other problem.");
    let is_problem =
        |status: &str, response: &Value| !status.starts_with('2') && response["content"].is_null();
    for (status, response) in responses.iter_mut().filter(|(status, it)| is_problem(status, it)) {
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        response["content"] = json!({ "application/problem+json": { "schema": schema } });
        debug_assert!(response["description"].is_string(), "{status}");
    }
    if takes_key {
        parameters(operation).push(idempotency::parameter());
    }
}

fn parameters(operation: &mut Value) -> &mut Vec<Value> {
    let parameters = &mut operation["parameters"];
    if !parameters.is_array() {
        *parameters = json!([]);
    }
    match parameters {
        Value::Array(all) => all,
        _ => unreachable!("it was made one"),
    }
}

/// Adds a sentence to a response, or the response.
fn say(responses: &mut Map<String, Value>, status: &str, what: &str) {
    let response = responses.entry(status).or_insert_with(|| json!({ "description": "" }));
    let before = response["description"].as_str().unwrap_or_default();
    let both = if before.is_empty() { what.to_owned() } else { format!("{before}; {what}") };
    response["description"] = both.into();
}

/// RFC 9457.
fn problem_schema() -> Value {
    let types: Vec<Value> =
        ProblemKind::ALL.iter().filter_map(|kind| serde_json::to_value(kind).ok()).collect();
    json!({
        "type": "object",
        "description": "What went wrong (RFC 9457). Further members name ids, counts and findings.",
        "required": ["type", "detail"],
        "properties": {
            "type": { "type": "string", "format": "uri", "enum": types },
            "detail": { "type": "string", "description": "What happened, to which thing; never a value." },
            "remedy": { "type": "string", "description": "What to do next." },
        },
    })
}
