//! Asking, approving, having, losing: with the clock and the rows in hand.

mod lease_rights;
mod movers;

use std::time::Duration;

use super::{house::House, *};
use crate::{
    base::{ProblemKind, ids::RequestId},
    policy::{Action, Resource},
    store::sql,
};

const HOUR: Duration = Duration::from_hours(1);

fn reason(problem: &crate::base::Problem) -> &str {
    problem.more.get("reason").and_then(|reason| reason.as_str()).unwrap_or("none")
}

#[tokio::test]
async fn a_request_becomes_a_grant_for_the_asked_time_and_ends_by_itself() {
    let house = House::new().await;
    let dana = house.person("Dana", &["engineering"]).await;
    let omar = house.person("Omar", &["leads", "engineering"]).await;
    let asked = house.ask(dana, Action::Reveal).await.unwrap();
    assert!(asked.created && asked.grant.is_none());
    assert_eq!(asked.approvers.iter().map(|a| a.display_name.as_str()).collect::<Vec<_>>(), ["Omar"]);
    assert_eq!(asked.link, format!("https://port.example.com/requests/{}", asked.request.id));
    assert_eq!(
        house.requests.to_decide(house.own(omar).await).await.unwrap(),
        std::slice::from_ref(&asked.request)
    );
    assert!(house.requests.to_decide(house.own(dana).await).await.unwrap().is_empty());
    let (request, grant) = house.decide(omar, asked.request.id, Verdict::Approve).await.unwrap();
    let grant = grant.unwrap();
    assert_eq!(request.state, RequestState::Approved { at: house.ambient.now(), grant: grant.id });
    assert_eq!(grant.ends_at, house.ambient.now().after(HOUR / 2));
    assert!(house.holds(dana).await);
    house.clock.advance(HOUR / 2);
    assert!(!house.holds(dana).await);
    assert_eq!(house.expiry().look().await.unwrap(), 1);
    assert_eq!(house.expiry().look().await.unwrap(), 0);
    let ended = house.show(request.id).await.1.unwrap().ended.unwrap();
    assert_eq!(ended.1, "time");
    for action in ["request.created", "request.approved", "grant.began", "grant.ended"] {
        assert_eq!(house.entries(action).await, 1, "{action}");
    }
}

#[tokio::test]
async fn approvers_are_told_once_for_each_channel_and_no_value_with_it() {
    let house = House::new().await;
    let dana = house.person("Dana", &["engineering"]).await;
    house.person("Omar", &["leads"]).await;
    let asked = house.ask(dana, Action::Reveal).await.unwrap();
    house.ask(dana, Action::Reveal).await.unwrap();
    let rows: Vec<(String, String)> =
        house.database.fetch_all(sql("SELECT topic, body FROM outbox")).await.unwrap();
    assert_eq!(rows.len(), 1);
    let body: serde_json::Value = serde_json::from_str(&rows[0].1).unwrap();
    assert_eq!(body["type"], "request.created");
    assert_eq!(body["data"]["link"], asked.link);
    assert_eq!(body["data"]["approvers"][0]["display_name"], "Omar");
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused_with_what_is_missing() {
    let house = House::new().await;
    let dana = house.person("Dana", &["engineering"]).await;
    let aya = house.person("Aya", &["audit"]).await;
    assert!(house.ask(aya, Action::Reveal).await.is_err());
    let ambiguous = house.ask(dana, Action::Set).await.unwrap_err();
    assert!(ambiguous.is(ProblemKind::Ambiguous));
    assert_eq!(ambiguous.more["scopes"], serde_json::json!(["production-access", "production-run"]));
    let denied = house.ask(dana, Action::Destroy).await.unwrap_err();
    assert!(denied.is(ProblemKind::Denied) && reason(&denied) == "not-covered");
    let long = house.ask_for(dana, Action::Reveal, 2 * HOUR).await.unwrap_err();
    assert!(long.is(ProblemKind::InvalidRequest) && long.to_string().contains("1h"));
    assert!(house.ask_for(dana, Action::Reveal, Duration::ZERO).await.is_err());
    for bad in [String::new(), " \n".into(), "x".repeat(4097)] {
        let permit = house.permit(dana, Action::Request, house.production().await).await;
        let ask = Ask { action: Action::Reveal, scope: None, length: HOUR, reason: bad };
        assert!(house.requests.create(permit, ask).await.unwrap_err().is(ProblemKind::InvalidRequest));
    }
    let permit = house.permit(dana, Action::Request, house.production().await).await;
    let ask = Ask {
        action: Action::Set,
        scope: Some("production-run".parse().unwrap()),
        length: HOUR / 2,
        reason: "\u{1b}[31m <script>\n".into(),
    };
    let asked = house.requests.create(permit, ask.clone()).await.unwrap();
    assert_eq!(house.show(asked.request.id).await.0.reason, ask.reason);
}

#[tokio::test]
async fn abuse_30_nobody_approves_her_own_request() {
    let house = House::new().await;
    let omar = house.person("Omar", &["leads", "engineering"]).await;
    let accounts = ["omar", "omar-too"].map(|subject| {
        sql("INSERT INTO accounts (issuer, subject, person, provider, created_at) VALUES ('https://idp', $1, $2, 'idp', 0)")
            .bind(subject)
            .bind(omar)
    });
    house.seed(accounts.to_vec()).await;
    let asked = house.ask(omar, Action::Reveal).await.unwrap();
    assert!(asked.approvers.is_empty());
    // Even with a permit that policy would never give.
    let problem = house.decide(omar, asked.request.id, Verdict::Approve).await.unwrap_err();
    assert_eq!(reason(&problem), "own-request");
    assert_eq!(house.entries("request.decision-refused").await, 1);
    // A permit for a request that was described wrongly is of no use.
    let other = house.person("Lena", &["engineering"]).await;
    let Resource::Request { id, scope, environment, .. } =
        house.requests.resource(asked.request.id).await.unwrap()
    else {
        unreachable!()
    };
    let forged = Resource::Request { id, requester: other, scope, environment };
    let permit = house.permit(omar, Action::Decide, forged).await;
    assert!(house.requests.decide(permit, Verdict::Approve, "").await.unwrap_err().is(ProblemKind::Internal));
    assert!(house.show(id).await.1.is_none());
}

#[tokio::test]
async fn abuse_30_an_approver_who_lost_the_group_in_between_approves_nothing() {
    let house = House::new().await;
    let dana = house.person("Dana", &["engineering"]).await;
    let omar = house.person("Omar", &["leads"]).await;
    let id = house.ask(dana, Action::Reveal).await.unwrap().request.id;
    let permit = house.permit_to_decide(omar, id).await;
    house.leave_group(omar, "leads").await;
    let problem = house.requests.decide(permit, Verdict::Approve, "").await.unwrap_err();
    assert_eq!(reason(&problem), "not-an-approver");
    assert!(house.show(id).await.1.is_none());
    let lena = house.person("Lena", &["leads"]).await;
    for status in ["suspended", "deactivated"] {
        house.set_status(lena, "active").await;
        let permit = house.permit_to_decide(lena, id).await;
        house.set_status(lena, status).await;
        let problem = house.requests.decide(permit, Verdict::Approve, "").await.unwrap_err();
        assert!(problem.is(ProblemKind::FactsChanged));
        let problem = house.decide(lena, id, Verdict::Approve).await.unwrap_err();
        assert_eq!(reason(&problem), "not-an-approver");
    }
    assert_eq!(house.show(id).await.0.state, RequestState::Pending);
}

#[tokio::test]
async fn abuse_30_what_was_known_of_an_approver_too_long_ago_counts_as_absent() {
    let house = House::new().await;
    let omar = house.person("Omar", &["leads"]).await;
    house.clock.advance(HOUR + Duration::from_millis(1));
    let dana = house.person("Dana", &["engineering"]).await;
    let asked = house.ask(dana, Action::Reveal).await.unwrap();
    assert!(asked.approvers.is_empty());
    assert!(house.decide(omar, asked.request.id, Verdict::Approve).await.is_err());
    house.refresh(omar).await;
    assert!(house.decide(omar, asked.request.id, Verdict::Approve).await.is_ok());
}

#[tokio::test]
async fn abuse_30_two_approvals_at_one_instant_are_one_grant() {
    for (first, second) in [(Verdict::Approve, Verdict::Approve), (Verdict::Approve, Verdict::Deny)] {
        let house = House::new().await;
        let dana = house.person("Dana", &["engineering"]).await;
        let omar = house.person("Omar", &["leads"]).await;
        let lena = house.person("Lena", &["leads"]).await;
        let id = house.ask(dana, Action::Reveal).await.unwrap().request.id;
        // Two by Omar, in two sessions, and one by Lena.
        let outcomes = tokio::join!(
            house.decide(omar, id, first),
            house.decide(omar, id, first),
            house.decide(lena, id, second),
        );
        let outcomes = [outcomes.0, outcomes.1, outcomes.2];
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert!(outcomes.iter().filter_map(|o| o.as_ref().err()).all(|p| p.is(ProblemKind::Conflict)));
        let said = house.requests.decisions(&house.show(id).await.0).await.unwrap();
        assert_eq!(said.len(), 1);
        let grants = house.count(sql("SELECT CAST(count(*) AS BIGINT) FROM grants")).await;
        assert_eq!(grants, i64::from(said[0].decision == "approve"));
    }
}

#[tokio::test]
async fn abuse_13_a_requester_who_is_gone_or_no_longer_a_member_gets_nothing() {
    let house = House::new().await;
    let dana = house.person("Dana", &["engineering"]).await;
    let omar = house.person("Omar", &["leads"]).await;
    let id = house.ask(dana, Action::Reveal).await.unwrap().request.id;
    for status in ["suspended", "deactivated"] {
        house.set_status(dana, status).await;
        let problem = house.decide(omar, id, Verdict::Approve).await.unwrap_err();
        assert!(problem.is(ProblemKind::Denied) && reason(&problem) == status);
    }
    house.set_status(dana, "active").await;
    house.leave_group(dana, "engineering").await;
    assert_eq!(reason(&house.decide(omar, id, Verdict::Approve).await.unwrap_err()), "not-a-member");
    assert_eq!(house.entries("request.decision-refused").await, 3, "refusals are recorded, too");
    assert_eq!(house.show(id).await.0.state, RequestState::Pending);
    assert!(house.decide(omar, id, Verdict::Deny).await.is_ok());
}

#[tokio::test]
async fn abuse_13_an_approval_against_a_deactivation_leaves_nothing_that_works() {
    for round in 0..8 {
        let house = House::new().await;
        let dana = house.person("Dana", &["engineering"]).await;
        let omar = house.person("Omar", &["leads"]).await;
        let id = house.ask(dana, Action::Reveal).await.unwrap().request.id;
        let permit = house.permit_to_decide(omar, id).await;
        let deactivate = async {
            tokio::time::sleep(Duration::from_millis(round)).await;
            house.set_status(dana, "deactivated").await;
        };
        let (outcome, ()) = tokio::join!(house.requests.decide(permit, Verdict::Approve, ""), deactivate);
        assert!(outcome.is_ok() || house.show(id).await.1.is_none());
        // The order of the log settles it: a grant stands before the deactivation or not at all.
        let order: Vec<(String,)> = house
            .database
            .fetch_all(sql(
                "SELECT action FROM entries WHERE action IN ('grant.began', 'test.seeded') ORDER BY idx",
            ))
            .await
            .unwrap();
        assert_eq!(order.last().unwrap().0, "test.seeded");
    }
}

#[tokio::test]
async fn what_has_run_out_is_ended_without_being_asked() {
    let house = House::new().await;
    let dana = house.person("Dana", &["engineering"]).await;
    let omar = house.person("Omar", &["leads"]).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(house.expiry().run(stop.clone()));
    let id = house.ask_for(dana, Action::Reveal, Duration::from_secs(1)).await.unwrap().request.id;
    house.decide(omar, id, Verdict::Approve).await.unwrap();
    let mut log = house.log.watch();
    house.clock.advance(Duration::from_secs(1));
    while house.entries("grant.ended").await == 0 {
        tokio::time::timeout(Duration::from_secs(10), log.changed()).await.unwrap().unwrap();
    }
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn abuse_31_asking_again_prolongs_nothing() {
    let house = House::new().await;
    let dana = house.person("Dana", &["engineering"]).await;
    let omar = house.person("Omar", &["leads"]).await;
    let first = house.ask(dana, Action::Reveal).await.unwrap();
    let again = house.ask(dana, Action::Reveal).await.unwrap();
    assert!(!again.created && again.request == first.request && again.approvers == first.approvers);
    let (_, grant) = house.decide(omar, first.request.id, Verdict::Approve).await.unwrap();
    house.clock.advance(HOUR / 4);
    let again = house.ask(dana, Action::Reveal).await.unwrap();
    assert_eq!((again.created, again.grant), (false, grant.clone()));
    assert!(
        house.decide(omar, first.request.id, Verdict::Approve).await.unwrap_err().is(ProblemKind::Conflict)
    );
    house.clock.advance(HOUR / 4);
    // It is over to the millisecond, whether that is noted yet or not.
    let later = house.ask(dana, Action::Reveal).await.unwrap();
    assert!(later.created && later.grant.is_none());
    assert_eq!(house.show(first.request.id).await.1.unwrap().ends_at, grant.unwrap().ends_at);
}

#[tokio::test]
async fn abuse_31_two_askings_at_one_instant_are_one_request() {
    let house = House::new().await;
    let dana = house.person("Dana", &["engineering"]).await;
    let (one, two) = tokio::join!(house.ask(dana, Action::Reveal), house.ask(dana, Action::Reveal));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.request.id, two.request.id);
    assert!(one.created != two.created);
}

#[tokio::test]
async fn abuse_31_a_clock_that_jumps_ends_things_and_stretches_none() {
    let house = House::new().await;
    let dana = house.person("Dana", &["engineering"]).await;
    let omar = house.person("Omar", &["leads"]).await;
    let id = house.ask(dana, Action::Reveal).await.unwrap().request.id;
    house.decide(omar, id, Verdict::Approve).await.unwrap();
    let undecided = house.ask(dana, Action::Run).await.unwrap().request.id;
    house.clock.advance(1000 * HOUR);
    assert!(house.requests.grants(house.own(dana).await).await.unwrap().is_empty());
    house.refresh(omar).await;
    house.refresh(dana).await;
    // Too late by the clock, though nothing has noted it yet.
    assert!(house.decide(omar, undecided, Verdict::Approve).await.unwrap_err().is(ProblemKind::Conflict));
    assert_eq!(house.expiry().look().await.unwrap(), 2);
    assert_eq!(house.show(undecided).await.0.state.as_str(), "expired");
    assert_eq!(house.entries("request.expired").await, 1);
    assert!(house.ask(dana, Action::Run).await.unwrap().created);
}

#[tokio::test]
async fn an_undecided_request_that_ran_out_makes_room_for_the_next() {
    let house = House::new().await;
    let dana = house.person("Dana", &["engineering"]).await;
    let old = house.ask(dana, Action::Reveal).await.unwrap().request.id;
    house.clock.advance(24 * HOUR);
    house.refresh(dana).await;
    assert!(house.ask(dana, Action::Reveal).await.unwrap().created);
    assert_eq!(house.show(old).await.0.state.as_str(), "expired");
}

#[tokio::test]
async fn a_request_is_taken_back_by_its_requester_alone() {
    let house = House::new().await;
    let dana = house.person("Dana", &["engineering"]).await;
    let omar = house.person("Omar", &["leads"]).await;
    let id: RequestId = house.ask(dana, Action::Reveal).await.unwrap().request.id;
    let resource = house.requests.resource(id).await.unwrap();
    let permit = house.permit(omar, Action::CancelRequest, resource.clone()).await;
    assert!(house.requests.cancel(permit).await.unwrap_err().is(ProblemKind::Denied));
    let permit = house.permit(dana, Action::CancelRequest, resource.clone()).await;
    assert_eq!(house.requests.cancel(permit).await.unwrap().state.as_str(), "cancelled");
    let permit = house.permit(dana, Action::CancelRequest, resource).await;
    assert!(house.requests.cancel(permit).await.unwrap_err().is(ProblemKind::Conflict));
    assert!(house.decide(omar, id, Verdict::Approve).await.unwrap_err().is(ProblemKind::Conflict));
}
