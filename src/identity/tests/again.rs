//! Asking a provider again, where it says what it is told to.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::json;

use super::{
    bench::{Bench, START},
    oidc::{Liar, attempt},
};
use crate::{base::ProblemKind, identity::SignedIn, store::sql};

async fn house() -> (Bench, std::sync::Arc<Liar>, SignedIn) {
    let liar = Liar::start().await;
    liar.refreshes.store(1, Ordering::SeqCst);
    let mut config = liar.config();
    config.revalidate = true;
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
