//! `/requests/{id}`: one request, with the buttons that its reader has.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form, Router,
    extract::{Path, State},
    response::{Html, Redirect},
    routing::get,
};
use serde::Deserialize;

use super::render;
use crate::{
    access::{RequestState, Verdict},
    api::{
        App, Auth,
        requests::{
            RequestView,
            decide::{decide, take_back},
            request_id,
        },
    },
    base::Problem,
    policy::{Action, Resource},
};

#[derive(Template)]
#[template(path = "request.html")]
struct Page {
    request: RequestView,
    may_decide: bool,
    may_cancel: bool,
}

async fn page(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(id): Path<String>,
) -> Result<Html<String>, Problem> {
    let resource = app.requests.resource(request_id(&id)?).await?;
    let permit = app.gate.authorize(&caller, Action::SeeRequest, resource).await?;
    let request = app.requests.show(permit).await?;
    let pending = request.state == RequestState::Pending;
    let permit = app.gate.authorize(&caller, Action::SeeOwn, Resource::Own).await?;
    let may_decide = pending && app.requests.to_decide(permit).await?.iter().any(|r| r.id == request.id);
    let may_cancel = pending && request.person == caller.person;
    render(&Page { request: RequestView::of(&app, &request).await?, may_decide, may_cancel })
}

/// Which button was pressed.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Button {
    Approve,
    Deny,
    Cancel,
}

#[derive(Deserialize)]
struct Said {
    verdict: Button,
    #[serde(default)]
    reason: String,
}

async fn say(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(id): Path<String>,
    Form(said): Form<Said>,
) -> Result<Redirect, Problem> {
    let request = match said.verdict {
        Button::Approve => decide(&app, &caller, &id, Verdict::Approve, &said.reason).await?,
        Button::Deny => decide(&app, &caller, &id, Verdict::Deny, &said.reason).await?,
        Button::Cancel => take_back(&app, &caller, &id).await?,
    };
    Ok(Redirect::to(&format!("/requests/{}", request.id)))
}

/// This page.
pub fn route() -> Router<Arc<App>> {
    Router::new().route("/requests/{id}", get(page).post(say))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::requests::PersonView;

    #[test]
    fn abuse_39_script_in_a_reason_or_a_name_is_shown_as_text() {
        let request = RequestView {
            id: "req_1".into(),
            person: PersonView { id: "per_1".into(), display_name: "<script>alert(1)</script>".into() },
            action: "reveal".into(),
            scope: "production-access".into(),
            at: "reports/production".into(),
            length: "1h".into(),
            reason: "\"><script>alert(2)</script>\u{202e}".into(),
            state: "pending".into(),
            created_at: String::new(),
            expires_at: String::new(),
            decisions: Vec::new(),
            grant: None,
        };
        let Html(page) = render(&Page { request, may_decide: true, may_cancel: true }).unwrap();
        assert!(!page.contains("<script") && page.contains("alert(2)"));
        assert!(page.contains("value=\"approve\"") && page.contains("value=\"cancel\""));
    }
}
