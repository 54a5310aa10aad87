//! Movers: what only the old team justified ends, once, and nothing else does.

use std::{sync::Arc, time::Duration};

use super::super::{
    house::House,
    movers::{Movers, MoversParts},
};
use crate::{
    base::{SecretValue, ids::PersonId},
    notify::{Outbox, Webhook},
    policy::{Action, Policies},
    store::{Query, sql},
};

fn movers(house: &House) -> Movers {
    let secret = SecretValue::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
    let webhook = Webhook::new("https://example.com/hook".parse().unwrap(), &secret).unwrap();
    Movers::new(MoversParts {
        database: house.database.clone(),
        log: house.log.clone(),
        catalog: house.catalog.clone(),
        policies: Arc::new(Policies::built_in().unwrap()),
        permits: Arc::clone(&house.services) as _,
        ambient: house.ambient.clone(),
        outbox: Outbox::new(&[webhook]),
    })
}

/// Dana, who has been met, with a grant; and Omar, who gave it.
async fn granted(house: &House) -> PersonId {
    let dana = house.person("Dana", &["engineering"]).await;
    let omar = house.person("Omar", &["leads"]).await;
    let request = house.ask(dana, Action::Reveal).await.unwrap().request.id;
    house.decide(omar, request, super::super::Verdict::Approve).await.unwrap();
    assert_eq!(movers(house).look().await.unwrap(), 0, "who is met for the first time has not moved");
    dana
}

/// What a source says of her groups has changed, as identity writes it.
async fn leave(house: &House, person: PersonId, group: &str) {
    let moves = sql("UPDATE people SET facts = facts + 1 WHERE id = $1").bind(person);
    house.leave_group(person, group).await;
    house.seed(vec![moves]).await;
}

/// Files say something else, in a new version.
async fn redeclare(house: &House, kind: &str, name: &str, body: &str) {
    let declared = sql("UPDATE declared SET body = $3 WHERE kind = $1 AND name = $2");
    house
        .seed(vec![
            declared.bind(kind).bind(name).bind(body),
            sql("UPDATE catalog SET version = version + 1"),
        ])
        .await;
}

fn ended(person: PersonId) -> Query {
    sql("SELECT CAST(count(*) AS BIGINT) FROM grants WHERE person = $1 AND ended_because = 'no-longer-justified'")
        .bind(person)
}

/// How many messages tell a team of a move.
async fn told(house: &House) -> i64 {
    house.count(sql("SELECT CAST(count(*) AS BIGINT) FROM outbox WHERE topic = 'person.moved'")).await
}

#[tokio::test]
async fn what_only_the_old_team_justified_ends_and_one_entry_tells_of_it() {
    let house = House::new().await;
    let dana = granted(&house).await;
    leave(&house, dana, "engineering").await;
    assert_eq!(movers(&house).look().await.unwrap(), 1);
    assert_eq!(house.count(ended(dana)).await, 1);
    assert!(!house.holds(dana).await);
    assert_eq!((house.entries("person.moved").await, house.entries("grant.ended").await), (1, 1));
    let entry = sql("SELECT e.idx FROM moves m JOIN entries e ON e.idx = m.entry \
                     WHERE m.person = $1 AND e.action = 'person.moved'");
    assert!(house.count(entry.bind(dana)).await > 0, "the move names its entry");
    assert_eq!(movers(&house).look().await.unwrap(), 0, "it is told once");
    assert_eq!((house.entries("person.moved").await, told(&house).await), (1, 1));
}

#[tokio::test]
async fn what_is_known_no_longer_is_no_move() {
    let house = House::new().await;
    let dana = granted(&house).await;
    house.clock.advance(Duration::from_mins(20));
    let long_ago = sql("UPDATE memberships SET asserted_at = 0");
    house.seed(vec![long_ago, sql("UPDATE people SET facts = facts + 1")]).await;
    assert_eq!(movers(&house).look().await.unwrap(), 0);
    assert!(house.holds(dana).await);
}

#[tokio::test]
async fn a_suspension_is_no_move_and_a_move_while_suspended_is_one() {
    let house = House::new().await;
    let dana = granted(&house).await;
    house.set_status(dana, "suspended").await;
    assert_eq!(movers(&house).look().await.unwrap(), 0);
    leave(&house, dana, "engineering").await;
    assert_eq!((movers(&house).look().await.unwrap(), house.count(ended(dana)).await), (1, 1));
}

#[tokio::test]
async fn what_leavers_held_is_left_to_their_own_end() {
    let house = House::new().await;
    let dana = granted(&house).await;
    leave(&house, dana, "engineering").await;
    house.set_status(dana, "deactivated").await;
    assert_eq!((movers(&house).look().await.unwrap(), house.entries("person.moved").await), (0, 0));
}

#[tokio::test]
async fn a_pending_request_is_withdrawn_with_what_justified_it() {
    let house = House::new().await;
    let dana = house.person("Dana", &["engineering"]).await;
    let request = house.ask(dana, Action::Run).await.unwrap().request.id;
    movers(&house).look().await.unwrap();
    leave(&house, dana, "engineering").await;
    assert_eq!(movers(&house).look().await.unwrap(), 1);
    assert_eq!(house.show(request).await.0.state.as_str(), "withdrawn");
    assert_eq!(house.entries("request.withdrawn").await, 1);
}

/// An apply moves people, too: all whom it concerns, and nobody else.
#[tokio::test]
async fn files_move_people_in_bulk() {
    let house = House::new().await;
    let dana = granted(&house).await;
    for n in 0..600 {
        house.person(&format!("Person{n}"), if n % 2 == 0 { &["engineering"] } else { &[] }).await;
    }
    assert_eq!(movers(&house).look().await.unwrap(), 0);
    redeclare(&house, "Team", "supa-team", r#"{"name": "supa-team", "groups": ["leads"]}"#).await;
    // Omar comes into the team that Dana and 300 others go out of.
    assert_eq!(movers(&house).look().await.unwrap(), 302);
    assert_eq!(house.entries("person.moved").await, 302);
    assert!(house.holds(dana).await, "her group justifies the grant still");
    assert_eq!(told(&house).await, 0, "whoever applied it knows");
    let scope = r#"{"name": "production-access", "members": {"groups": ["leads"]},
        "by-request": {"approvers": ["leads"], "longest": "1h"},
        "allows": [{"actions": ["reveal"], "applications": "all", "environments": ["production"]}]}"#;
    redeclare(&house, "TrustScope", "production-access", scope).await;
    assert_eq!(movers(&house).look().await.unwrap(), 302);
    assert_eq!(house.count(ended(dana)).await, 1);
    assert_eq!(movers(&house).look().await.unwrap(), 0);
}

/// Two who look at the same time, and one who begins anew, tell of a move once.
#[tokio::test]
async fn whoever_looks_at_the_same_time_tells_of_a_move_once() {
    let house = House::new().await;
    let dana = granted(&house).await;
    leave(&house, dana, "engineering").await;
    let (one, other) = (movers(&house), movers(&house));
    let (one, other) = futures::join!(one.look(), other.look());
    assert_eq!(one.unwrap() + other.unwrap(), 1);
    assert_eq!((house.entries("person.moved").await, house.count(ended(dana)).await), (1, 1));
}

/// As identity notes her when she signs in for the first time, by what is declared then.
async fn met(house: &House, person: PersonId, groups: &str) {
    let met = sql("INSERT INTO first_met (person, catalog, source, groups) \
         SELECT $1, version, 'idp', $2 FROM catalog WHERE id = 1");
    house.seed(vec![met.bind(person).bind(groups)]).await;
}

#[tokio::test]
async fn who_moves_before_anybody_has_looked_has_moved_from_where_she_first_signed_in() {
    let house = House::new().await;
    let dana = house.person("Dana", &["engineering"]).await;
    met(&house, dana, "[\"engineering\"]").await;
    leave(&house, dana, "engineering").await;
    assert_eq!(movers(&house).look().await.unwrap(), 1);
    assert_eq!(house.entries("person.moved").await, 1);
    assert_eq!(movers(&house).look().await.unwrap(), 0, "it is told once");
}

#[tokio::test]
async fn who_comes_while_files_are_applied_has_not_moved_into_her_own_team() {
    let house = House::new().await;
    redeclare(&house, "Team", "supa-team", "{\"name\":\"supa-team\",\"groups\":[]}").await;
    let followed = movers(&house);
    // What somebody has seen of files who looks while they move.
    let old = house.catalog.snapshot().await.unwrap();
    redeclare(&house, "Team", "supa-team", "{\"name\":\"supa-team\",\"groups\":[\"engineering\"]}").await;
    let (dana, omar) =
        (house.person("Dana", &["engineering"]).await, house.person("Omar", &["engineering"]).await);
    met(&house, dana, "[\"engineering\"]").await;
    assert_eq!(followed.look_by(&old).await.unwrap(), 0);
    let noted = sql("SELECT CAST(count(*) AS BIGINT) FROM standings");
    assert_eq!(house.count(noted).await, 0, "nobody is noted by what holds no more: {omar}");
    assert_eq!(movers(&house).look().await.unwrap(), 0);
    assert_eq!(house.entries("person.moved").await, 0);
}
