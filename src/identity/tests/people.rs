//! Arriving, leaving, and what cannot be taken away.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;

use super::bench::{Bench, arrival, assertion};
use crate::{
    base::{ProblemKind, SecretValue},
    identity::{Caller, LoginWish, PersonAddress, token::challenge_of},
    policy::{Action, Resource},
    store::sql,
};

fn email(name: &str) -> PersonAddress {
    format!("{name}@example.com").parse().unwrap()
}

#[tokio::test]
async fn the_first_sign_in_creates_the_person_and_later_ones_refresh_her_groups() {
    let bench = Bench::new(Vec::new()).await;
    let first = bench.sign_in("dana", &["engineering"]).await.unwrap();
    assert_eq!(bench.entries().await, ["person.joined", "session.began"]);
    bench.clock.advance(Duration::from_mins(1));
    let again = bench.sign_in("dana", &["engineering"]).await.unwrap();
    assert_eq!(first.person, again.person);
    assert_eq!(bench.entries().await.len(), 3);
    let groups = bench.identity.memberships(first.person).await.unwrap();
    assert_eq!(groups[0].asserted_at, bench.ambient.now());
    bench.sign_in("dana", &["leads"]).await.unwrap();
    assert_eq!(bench.entries().await[3..], ["person.groups-changed", "session.began"]);
    assert_eq!(bench.who(&first).await, Ok(first.person));
}

#[tokio::test]
async fn only_the_hash_of_a_token_is_kept() {
    let bench = Bench::new(Vec::new()).await;
    let session = bench.sign_in("dana", &[]).await.unwrap();
    let rows: Vec<(Vec<u8>,)> = bench.all(sql("SELECT token_hash FROM sessions")).await;
    assert!(session.token.expose_text().unwrap().starts_with("pc_"));
    assert_eq!(rows[0].0, super::super::token::hash_of(session.token.expose()));
    assert!(!format!("{session:?}").contains(session.token.expose_text().unwrap()));
}

#[tokio::test]
async fn abuse_05_the_same_subject_of_another_issuer_is_another_person() {
    let bench = Bench::new(Vec::new()).await;
    let dana = bench.sign_in("dana", &[]).await.unwrap();
    let mut other = assertion("dana", &[]);
    other.issuer = "https://other.example.com".to_owned();
    let other = bench.identity.take_in(other, arrival()).await.unwrap();
    assert_ne!(dana.person, other.person);
    let permit = bench.may_manage(dana.person).await;
    let problem = bench.identity.deactivate(permit, &email("dana"), "who?").await.unwrap_err();
    assert!(problem.is(ProblemKind::Ambiguous));
    assert_eq!(problem.more["ids"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn abuse_13_and_14_a_leavers_session_is_dead_and_signing_in_brings_nothing_back() {
    let bench = Bench::new(Vec::new()).await;
    let ada = bench.sign_in("ada", &["it"]).await.unwrap();
    let lena = bench.sign_in("lena", &["leads"]).await.unwrap();
    let permit = bench.may_manage(ada.person).await;
    let done = bench.identity.deactivate(permit, &email("lena"), "left").await.unwrap();
    assert_eq!(done.sessions_ended, 1);
    assert_eq!(bench.who(&lena).await, Err(ProblemKind::PersonDeactivated));
    let before: Vec<(i64,)> = bench.all(sql("SELECT CAST(count(*) AS BIGINT) FROM people")).await;
    let again = bench.sign_in("lena", &["leads", "it"]).await.unwrap_err();
    assert!(again.is(ProblemKind::PersonDeactivated));
    let after: Vec<(i64,)> = bench.all(sql("SELECT CAST(count(*) AS BIGINT) FROM people")).await;
    assert_eq!(before, after);
    assert_eq!(bench.identity.memberships(lena.person).await.unwrap().len(), 1);
    assert_eq!(bench.who(&lena).await, Err(ProblemKind::PersonDeactivated));
    let denied = sql("SELECT action FROM entries WHERE decision = 'deny' ORDER BY idx");
    let denied: Vec<(String,)> = bench.all(denied).await;
    // Her token twice within a minute, and signing in again.
    assert_eq!(denied, [("session.used".to_owned(),), ("session.began".to_owned(),)]);
}

#[tokio::test]
async fn a_suspension_stops_everything_and_resuming_gives_it_back() {
    let bench = Bench::new(Vec::new()).await;
    let ada = bench.sign_in("ada", &["it"]).await.unwrap();
    let dana = bench.sign_in("dana", &[]).await.unwrap();
    let permit = bench.may_manage(ada.person).await;
    bench.identity.suspend(permit, &email("dana"), "lost laptop").await.unwrap();
    assert_eq!(bench.who(&dana).await, Err(ProblemKind::PersonSuspended));
    assert!(bench.sign_in("dana", &[]).await.unwrap_err().is(ProblemKind::PersonSuspended));
    let permit = bench.may_manage(ada.person).await;
    bench.identity.resume(permit, &email("dana"), "found").await.unwrap();
    assert_eq!(bench.who(&dana).await, Ok(dana.person));
}

#[tokio::test]
async fn the_last_administrator_stays_even_when_two_take_each_other_away_at_once() {
    let bench = Bench::new(Vec::new()).await;
    let ada = bench.sign_in("ada", &["it"]).await.unwrap();
    let permit = bench.may_manage(ada.person).await;
    let problem = bench.identity.deactivate(permit, &email("ada"), "bye").await.unwrap_err();
    assert!(problem.is(ProblemKind::Conflict) && problem.remedy.is_some());
    let omar = bench.sign_in("omar", &["it"]).await.unwrap();
    let (one, two) = (bench.may_manage(ada.person).await, bench.may_manage(omar.person).await);
    let (ada_is, omar_is) = (email("ada"), email("omar"));
    let (one, two) = tokio::join!(
        bench.identity.suspend(one, &omar_is, "race"),
        bench.identity.suspend(two, &ada_is, "race"),
    );
    assert!(one.is_ok() != two.is_ok());
    let left = [bench.who(&ada).await.is_ok(), bench.who(&omar).await.is_ok()];
    assert_eq!(left.iter().filter(|works| **works).count(), 1);
}

#[tokio::test]
async fn a_deactivation_races_sign_ins_and_nothing_works_afterwards() {
    let bench = Bench::new(Vec::new()).await;
    let ada = bench.sign_in("ada", &["it"]).await.unwrap();
    bench.sign_in("lena", &[]).await.unwrap();
    let permit = bench.may_manage(ada.person).await;
    let lena = email("lena");
    let sign_ins = futures::future::join_all((0..20).map(|_| bench.sign_in("lena", &["leads"])));
    let (done, sessions) = tokio::join!(bench.identity.deactivate(permit, &lena, "left"), sign_ins);
    done.unwrap();
    for session in sessions.into_iter().flatten() {
        assert_eq!(bench.who(&session).await, Err(ProblemKind::PersonDeactivated));
    }
    let live: Vec<(i64,)> = bench
        .all(sql("SELECT CAST(count(*) AS BIGINT) FROM sessions s JOIN people p ON p.id = s.person \
                 WHERE p.status <> 'active' AND s.ended_at IS NULL"))
        .await;
    assert_eq!(live, [(0,)]);
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_used_and_at_its_end_whatever_happens() {
    let bench = Bench::new(Vec::new()).await;
    let idle = bench.sign_in("dana", &[]).await.unwrap();
    bench.clock.advance(Duration::from_secs(3601));
    assert_eq!(bench.who(&idle).await, Err(ProblemKind::Unauthenticated));
    let used = bench.sign_in("dana", &[]).await.unwrap();
    for _ in 0..15 {
        bench.clock.advance(Duration::from_mins(30));
        assert_eq!(bench.who(&used).await, Ok(used.person));
    }
    bench.clock.advance(Duration::from_mins(30));
    assert_eq!(bench.who(&used).await, Err(ProblemKind::Unauthenticated));
    assert_eq!(bench.identity.end_expired().await.unwrap(), 2);
    assert_eq!(bench.identity.end_expired().await.unwrap(), 0);
}

#[tokio::test]
async fn a_recovery_token_is_good_once_and_not_for_long() {
    let bench = Bench::new(Vec::new()).await;
    let late = bench.identity.create_recovery("provider is down").await.unwrap();
    bench.clock.advance(Duration::from_secs(901));
    assert!(
        bench.identity.recover(&late.token, None, None).await.unwrap_err().is(ProblemKind::SignInRefused)
    );
    let right = bench.identity.create_recovery("provider is down").await.unwrap();
    let session = bench.identity.recover(&right.token, None, None).await.unwrap();
    let again = bench.identity.recover(&right.token, None, None).await.unwrap_err();
    assert!(again.is(ProblemKind::SignInRefused));
    let caller = bench.identity.authenticate(session.token.expose_text().unwrap(), None).await.unwrap();
    let facts = bench.identity.person_facts(&caller).await.unwrap();
    assert_eq!(facts.session.kind, crate::identity::SessionKind::Recovery);
}

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// A command line waits, Dana clicks: her browser's session, the login, and the code.
async fn clicked(bench: &Bench) -> (Caller, crate::base::ids::LoginId, String) {
    let session = bench.sign_in("dana", &[]).await.unwrap();
    let caller = bench.identity.authenticate(session.token.expose_text().unwrap(), None).await.unwrap();
    let wish = LoginWish {
        challenge: challenge_of(VERIFIER),
        port: 40_000,
        state: BASE64URL_NOPAD.encode(&[1; 16]),
        machine: "laptop".to_owned(),
    };
    let login = bench.identity.begin_login(wish, None).await.unwrap().id;
    let permit = bench.permit(caller.person, Action::SignInCli, Resource::Own).await;
    let url = bench.identity.approve_login(permit, &caller, login).await.unwrap();
    assert_eq!((url.host_str(), url.port()), (Some("127.0.0.1"), Some(40_000)));
    let code = url.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    (caller, login, code)
}

#[tokio::test]
async fn abuse_22_a_command_lines_code_is_good_once_and_only_with_its_verifier() {
    let bench = Bench::new(Vec::new()).await;
    let verifier = SecretValue::from(VERIFIER.to_owned());
    let (caller, login, code) = clicked(&bench).await;
    let session = bench.identity.exchange_login(login, &code, &verifier, None).await.unwrap();
    assert_eq!(bench.who(&session).await, Ok(caller.person));
    assert!(bench.identity.exchange_login(login, &code, &verifier, None).await.is_err());
    let (_, login, code) = clicked(&bench).await;
    let wrong = SecretValue::from("another".to_owned());
    assert!(bench.identity.exchange_login(login, &code, &wrong, None).await.is_err());
    assert!(bench.identity.exchange_login(login, &code, &verifier, None).await.is_err());
}

#[tokio::test]
async fn only_a_browsers_session_lets_a_command_line_in_and_no_longer_than_itself() {
    let bench = Bench::new(Vec::new()).await;
    let verifier = SecretValue::from(VERIFIER.to_owned());
    let (caller, login, code) = clicked(&bench).await;
    let session = bench.identity.exchange_login(login, &code, &verifier, None).await.unwrap();
    let permit = bench.permit(caller.person, Action::SeeOwn, Resource::Own).await;
    let all = bench.identity.list_sessions(&permit, caller.person).await.unwrap();
    assert!(all.iter().all(|it| it.ends_at == session.ends_at), "it ends with the browser's: {all:?}");

    let by_command_line = Caller { session: session.id, ..caller.clone() };
    let wish = LoginWish {
        challenge: challenge_of(VERIFIER),
        port: 50_000,
        state: "0123456789abcdef".to_owned(),
        machine: "another".to_owned(),
    };
    let login = bench.identity.begin_login(wish, None).await.unwrap();
    let permit = bench.permit(caller.person, Action::SignInCli, Resource::Own).await;
    let refused = bench.identity.approve_login(permit, &by_command_line, login.id).await.unwrap_err();
    assert!(refused.is(ProblemKind::SignInRefused), "{refused}");
}

#[tokio::test]
async fn a_command_line_is_not_signed_in_once_the_browser_is_signed_out() {
    let bench = Bench::new(Vec::new()).await;
    let verifier = SecretValue::from(VERIFIER.to_owned());
    let (caller, login, code) = clicked(&bench).await;
    let permit = bench.permit(caller.person, Action::EndOwnSession, Resource::Own).await;
    bench.identity.end_session(permit, caller.session).await.unwrap();
    assert!(bench.identity.exchange_login(login, &code, &verifier, None).await.is_err());
}

#[tokio::test]
async fn abuse_39_a_post_by_cookie_wants_the_sessions_token_and_our_own_origin() {
    let bench = Bench::new(Vec::new()).await;
    let session = bench.sign_in("dana", &[]).await.unwrap();
    let other = bench.sign_in("omar", &[]).await.unwrap();
    let identity = &bench.identity;
    let (own, foreign) = (identity.csrf_token(session.id), identity.csrf_token(other.id));
    let origin = Some("https://secrets.example.com");
    let caller = Caller { person: session.person, session: session.id, network: None };
    assert!(identity.check_post(&caller, Some(&own), origin).await.is_ok());
    for (token, origin) in [
        (Some(&foreign), origin),
        (None, origin),
        (Some(&own), None),
        (Some(&own), Some("null")),
        (Some(&own), Some("https://evil.example.com")),
        (Some(&own), Some("http://secrets.example.com")),
    ] {
        assert!(identity.check_post(&caller, token.map(String::as_str), origin).await.is_err());
    }
    // All within a minute: one entry.
    assert_eq!(bench.entries().await.iter().filter(|action| *action == "session.used").count(), 1);
    assert_eq!(identity.session_cookie_name(), "__Host-pc-session");
}
