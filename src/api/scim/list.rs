//! Lists and searches.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::{Body, ScimJson},
    caller::Connected,
};
use crate::{
    api::App,
    base::{Problem, Result},
    identity::scim::{ListWish, Listed, Projection, Said},
};

/// What stands in the address of a list.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListQuery {
    filter: Option<String>,
    start_index: Option<String>,
    count: Option<String>,
    sort_by: Option<String>,
    sort_order: Option<String>,
    attributes: Option<String>,
    excluded_attributes: Option<String>,
}

/// The same for one resource.
pub(super) struct Wanted(pub(super) ListQuery);

impl<S: Send + Sync> FromRequestParts<S> for Wanted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut http::request::Parts, state: &S) -> Result<Self> {
        match Query::<ListQuery>::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(_) => Err(wrong("the query of the address cannot be read")),
        }
    }
}

fn wrong(what: &str) -> Problem {
    Problem::invalid(what).with("scimType", "invalidValue")
}

impl ListQuery {
    /// Which attributes are answered.
    pub(super) fn projection(&self) -> Projection {
        Projection::new(self.attributes.as_deref(), self.excluded_attributes.as_deref())
    }

    /// What is looked for.
    pub(super) fn wish(self) -> Result<ListWish> {
        let number = |text: &Option<String>| {
            let read = |text: &String| text.trim().parse::<i64>().map_err(|_| wrong("a number is not one"));
            text.as_ref().map(read).transpose()
        };
        Ok(ListWish {
            start_index: number(&self.start_index)?,
            count: number(&self.count)?,
            descending: self.sort_order.as_deref().is_some_and(|it| it.eq_ignore_ascii_case("descending")),
            projection: self.projection(),
            filter: self.filter,
            sort_by: self.sort_by,
        })
    }
}

/// What the body of a search says (RFC 7644, section 3.4.3).
pub(super) fn wish_of(body: &Said) -> Result<ListWish> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let names = |name: &str| match body.get(name) {
        Some(Value::Array(names)) => {
            Some(names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","))
        }
        Some(Value::String(names)) => Some(names.clone()),
        _ => None,
    };
    let number = |name: &str| match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or_else(|| wrong("a number is not one")),
    };
    Ok(ListWish {
        filter: text("filter"),
        start_index: number("startIndex")?,
        count: number("count")?,
        sort_by: text("sortBy"),
        descending: text("sortOrder").is_some_and(|it| it.eq_ignore_ascii_case("descending")),
        projection: Projection::new(names("attributes").as_deref(), names("excludedAttributes").as_deref()),
    })
}

/// A page.
pub(super) fn page(listed: Listed) -> ScimJson {
    let Listed { total, start_index, resources } = listed;
    ScimJson(json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total,
        "startIndex": start_index,
        "itemsPerPage": resources.len(),
        "Resources": Value::Array(resources),
    }))
}

/// People and groups.
pub(super) async fn search(
    State(app): State<Arc<App>>,
    Connected(speaker): Connected,
    Body(body): Body,
) -> Result<ScimJson, Problem> {
    Ok(page(app.scim.search(&speaker, &wish_of(&body)?).await?))
}
