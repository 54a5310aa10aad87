//! `/requests/{id}`: one request, with the buttons that its reader has.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form, Router,
    extract::{Path, State},
    response::{IntoResponse as _, Redirect},
    routing::get,
};
use serde::Deserialize;

use super::{Shown, Visitor, page, problem_page};
use crate::{
    access::{RequestState, Verdict},
    api::{
        App,
        requests::{
            RequestView,
            decide::{decide, take_back},
            request_id,
        },
    },
    base::Result,
    policy::{Action, Resource},
};

#[derive(Template)]
#[template(path = "request.html")]
struct Page {
    request: RequestView,
    may_decide: bool,
    may_cancel: bool,
    csrf: String,
}

async fn gathered(app: &App, visitor: &Visitor, id: &str) -> Result<Page> {
    let resource = app.requests.resource(request_id(id)?).await?;
    let permit = app.gate.authorize(&visitor.caller, Action::SeeRequest, resource).await?;
    let request = app.requests.show(permit).await?;
    let pending = request.state == RequestState::Pending;
    let permit = app.gate.authorize(&visitor.caller, Action::SeeOwn, Resource::Own).await?;
    let may_decide = pending && app.requests.to_decide(permit).await?.iter().any(|r| r.id == request.id);
    let may_cancel = pending && request.person == visitor.caller.person;
    let request = RequestView::of(app, &request).await?;
    Ok(Page { request, may_decide, may_cancel, csrf: visitor.csrf.clone() })
}

async fn show(State(app): State<Arc<App>>, visitor: Visitor, Path(id): Path<String>) -> Shown {
    page(&gathered(&app, &visitor, &id).await.map_err(|problem| problem_page(&problem))?)
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
    csrf: String,
    verdict: Button,
    #[serde(default)]
    reason: String,
}

async fn say(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(said): Form<Said>,
) -> Shown {
    visitor.check_post(&app, &said.csrf).await?;
    let outcome = match said.verdict {
        Button::Approve => decide(&app, &visitor.caller, &id, Verdict::Approve, &said.reason).await,
        Button::Deny => decide(&app, &visitor.caller, &id, Verdict::Deny, &said.reason).await,
        Button::Cancel => take_back(&app, &visitor.caller, &id).await,
    };
    let request = outcome.map_err(|problem| problem_page(&problem))?;
    Ok(Redirect::to(&format!("/requests/{}", request.id)).into_response())
}

/// This page.
pub fn route() -> Router<Arc<App>> {
    Router::new().route("/requests/{id}", get(show).post(say))
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
        let page = Page { request, may_decide: true, may_cancel: true, csrf: "\">".into() }.render().unwrap();
        assert!(!page.contains("value=\"\">\""));
        assert!(!page.contains("<script") && page.contains("alert(2)"));
        assert!(page.contains("value=\"approve\"") && page.contains("value=\"cancel\""));
    }
}
