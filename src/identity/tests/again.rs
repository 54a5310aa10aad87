//! Asking a provider again, where it says what it is told to.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::json;

use super::{
    bench::{Bench, START},
    oidc::{Liar, attempt},
};
use crate::{base::ProblemKind, identity::SignedIn, store::sql};

async fn house() -> (Bench, std::sync::Arc<Liar>, SignedIn) {
    house_that_wants(&[]).await
}

/// One in which every sign-in has to be by one of these classes.
async fn house_that_wants(classes: &[&str]) -> (Bench, std::sync::Arc<Liar>, SignedIn) {
    let liar = Liar::start().await;
    liar.refreshes.store(1, Ordering::SeqCst);
    if let Some(class) = classes.first() {
        *liar.lies.lock().unwrap() = json!({ "acr": class });
    }
    let mut config = liar.config();
    config.revalidate = true;
    config.required_acr = classes.iter().map(|it| (*it).to_owned()).collect();
    let bench = Bench::new(vec![config]).await;
    let signed_in = attempt(&bench, &liar).await.unwrap();
    (bench, liar, signed_in)
}

/// Five minutes later she does something.
async fn later(bench: &Bench, signed_in: &SignedIn) {
    bench.clock.advance(Duration::from_mins(5));
    let _ = bench.who(&signed_in.session).await;
}

#[tokio::test]
async fn a_sign_in_that_is_used_is_confirmed_and_one_that_is_not_is_left_alone() {
    let (bench, liar, signed_in) = house().await;
    let url = bench
        .identity
        .begin_sign_in("company", crate::identity::SignInWish::default(), None)
        .await
        .unwrap()
        .url;
    assert!(
        url.query().unwrap().contains("offline_access") && url.query().unwrap().contains("prompt=consent"),
        "{url}"
    );
    assert_eq!(bench.identity.ask_again().await.unwrap(), 0, "it was confirmed just now");
    later(&bench, &signed_in).await;
    assert_eq!(bench.identity.ask_again().await.unwrap(), 1);
    assert!(liar.asked.lock().unwrap().contains("refresh_token=refresh-1"), "{:?}", liar.asked);
    assert_eq!(bench.entries().await.last().unwrap(), "session.confirmed");
    bench.clock.advance(Duration::from_mins(5));
    assert_eq!(bench.identity.ask_again().await.unwrap(), 0, "nobody has used it since");
    *liar.lies.lock().unwrap() = json!({ "iat": START / 1000 + 900, "exp": START / 1000 + 1200 });
    later(&bench, &signed_in).await;
    assert_eq!(bench.identity.ask_again().await.unwrap(), 1);
    assert!(
        liar.asked.lock().unwrap().contains("refresh_token=refresh-2"),
        "the one that took its place is used"
    );
    let groups = bench.identity.memberships(signed_in.session.person).await.unwrap();
    assert_eq!(groups[0].asserted_at, bench.ambient.now(), "facts of now");
}

#[tokio::test]
async fn abuse_16_what_a_provider_says_when_asked_again_is_true_at_once() {
    let (bench, liar, signed_in) = house().await;
    *liar.lies.lock().unwrap() = json!({ "groups": ["leads"] });
    later(&bench, &signed_in).await;
    bench.identity.ask_again().await.unwrap();
    let groups = bench.identity.memberships(signed_in.session.person).await.unwrap();
    assert_eq!(groups.iter().map(|it| it.group_id.as_str()).collect::<Vec<_>>(), ["leads"]);
    // Of somebody else nothing is believed, and nobody is confirmed by it for her groups.
    *liar.lies.lock().unwrap() = json!({ "sub": "omar", "groups": ["it"] });
    later(&bench, &signed_in).await;
    bench.identity.ask_again().await.unwrap();
    let after = bench.identity.memberships(signed_in.session.person).await.unwrap();
    assert_eq!(groups, after);
}

#[tokio::test]
async fn abuse_17_only_a_clear_no_ends_a_sign_in() {
    let (bench, liar, signed_in) = house().await;
    for (status, body) in [
        (500, "{}"),
        (503, ""),
        (200, "<html>"),
        (400, "{\"error\":\"invalid_client\"}"),
        (401, "{\"error\":\"unauthorized_client\"}"),
        (400, "nonsense"),
    ] {
        *liar.instead.lock().unwrap() = Some((status, body.to_owned()));
        later(&bench, &signed_in).await;
        assert_eq!(bench.identity.ask_again().await.unwrap(), 0, "{status} {body}");
        assert_eq!(bench.who(&signed_in.session).await, Ok(signed_in.session.person), "{status} {body}");
    }
    *liar.instead.lock().unwrap() = Some((400, "{\"error\":\"invalid_grant\"}".to_owned()));
    later(&bench, &signed_in).await;
    assert_eq!(bench.identity.ask_again().await.unwrap(), 1);
    assert_eq!(bench.who(&signed_in.session).await, Err(ProblemKind::Unauthenticated));
    assert_eq!(bench.entries().await.last().unwrap(), "session.ended");
    let left: Vec<(String,)> = bench.all(sql("SELECT session FROM refresh_tokens")).await;
    assert!(left.is_empty(), "{left:?}");
}

async fn confirmed(bench: &Bench) -> Vec<(Option<i64>,)> {
    bench.all(sql("SELECT confirmed_at FROM sessions ORDER BY id")).await
}

#[tokio::test]
async fn abuse_17_what_is_not_believed_confirms_nobody_and_the_next_token_is_kept() {
    let (bench, liar, signed_in) = house().await;
    let before = confirmed(&bench).await;
    *liar.lies.lock().unwrap() = json!({ "sub": "omar" });
    later(&bench, &signed_in).await;
    assert_eq!(bench.identity.ask_again().await.unwrap(), 0);
    assert_eq!(confirmed(&bench).await, before, "nobody has said that it stands");
    assert!(!bench.entries().await.contains(&"session.confirmed".to_owned()));
    // Soon again, by the token that came beside it: the one before is used up.
    *liar.lies.lock().unwrap() = json!({ "iat": START / 1000 + 300, "exp": START / 1000 + 900 });
    assert_eq!(bench.identity.ask_again().await.unwrap(), 0, "not at once");
    bench.clock.advance(Duration::from_secs(30));
    assert_eq!(bench.identity.ask_again().await.unwrap(), 1);
    assert!(liar.asked.lock().unwrap().contains("refresh_token=refresh-2"), "{:?}", liar.asked);
    assert_ne!(confirmed(&bench).await, before);
}

#[tokio::test]
async fn abuse_23_the_class_that_every_sign_in_has_to_have_is_wanted_when_asked_again() {
    let (bench, liar, signed_in) = house_that_wants(&["mfa"]).await;
    let before = confirmed(&bench).await;
    for said in [json!("pwd"), json!(null)] {
        let times = json!({ "iat": START / 1000 + 300, "exp": START / 1000 + 1200, "acr": said });
        *liar.lies.lock().unwrap() = times;
        later(&bench, &signed_in).await;
        assert_eq!(bench.identity.ask_again().await.unwrap(), 0, "{said}");
        assert_eq!(confirmed(&bench).await, before, "{said}");
    }
    liar.lies.lock().unwrap()["acr"] = json!("mfa");
    later(&bench, &signed_in).await;
    assert_eq!(bench.identity.ask_again().await.unwrap(), 1);
    assert_ne!(confirmed(&bench).await, before);
}
