//! Logout tokens that lie in one way each, from a provider that signs whatever it is told to.

use serde_json::{Value, json};

use super::{
    bench::{Bench, START, arrival, assertion},
    oidc::{Liar, house},
};
use crate::{base::ProblemKind, identity::NewSession};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn honest(liar: &Liar) -> Value {
    json!({
        "iss": liar.issuer, "aud": "port-control", "iat": START / 1000, "exp": START / 1000 + 120, "jti": "j-1",
        "sid": "s-1", "sub": "dana", "events": { EVENT: {} },
    })
}

fn token(claims: &Value) -> String {
    Liar::signed(&json!({ "alg": "EdDSA", "kid": "k1", "typ": "logout+jwt" }), claims)
}

async fn signed_in(bench: &Bench, liar: &Liar, name: &str, session: &str) -> NewSession {
    let mut said = assertion(name, &[]);
    said.issuer.clone_from(&liar.issuer);
    said.sid = Some(session.to_owned());
    bench.identity.take_in(said, arrival()).await.unwrap()
}

async fn sent(bench: &Bench, token: &str) -> Result<usize, ProblemKind> {
    bench.identity.logged_out_at_provider("company", token, None).await.map_err(|problem| problem.kind)
}

#[tokio::test]
async fn abuse_18_a_logout_token_ends_its_session_once() {
    let (bench, liar) = house().await;
    let (one, other) =
        (signed_in(&bench, &liar, "dana", "s-1").await, signed_in(&bench, &liar, "dana", "s-2").await);
    assert_eq!(sent(&bench, &token(&honest(&liar))).await, Ok(1));
    assert_eq!(bench.who(&one).await, Err(ProblemKind::Unauthenticated));
    assert_eq!(bench.who(&other).await, Ok(other.person), "another session of hers goes on");
    assert_eq!(sent(&bench, &token(&honest(&liar))).await, Err(ProblemKind::InvalidRequest));
    // Without a session, all of the subject's; a second time there is nobody, which is no failure.
    for (jti, ended) in [("j-2", 1), ("j-3", 0)] {
        let mut claims = honest(&liar);
        claims["jti"] = json!(jti);
        claims.as_object_mut().unwrap().remove("sid");
        assert_eq!(sent(&bench, &token(&claims)).await, Ok(ended), "{jti}");
        assert_eq!(sent(&bench, &token(&claims)).await, Err(ProblemKind::InvalidRequest), "{jti} again");
    }
    assert_eq!(bench.who(&other).await, Err(ProblemKind::Unauthenticated));
    let ended = bench.entries().await.iter().filter(|action| *action == "session.ended").count();
    assert_eq!(ended, 2, "an entry for each session");
}

#[tokio::test]
async fn abuse_18_logout_tokens_that_are_none() {
    let (bench, liar) = house().await;
    let session = signed_in(&bench, &liar, "dana", "s-1").await;
    let now = START / 1000;
    for (claim, lie) in [
        ("iss", json!("https://evil.example.com")),
        ("aud", json!("another-client")),
        ("aud", json!(["another-client"])),
        ("aud", json!(null)),
        ("iat", json!(now - 3600)),
        ("iat", json!(now + 120)),
        ("iat", json!("now")),
        ("exp", json!(now - 61)),
        ("jti", json!(null)),
        ("jti", json!("")),
        ("events", json!(null)),
        ("events", json!({ "https://schemas.openid.net/secevent/risc/event-type/account-disabled": {} })),
        ("events", json!([EVENT])),
        ("nonce", json!("of-an-id-token")),
    ] {
        let mut claims = honest(&liar);
        claims[claim] = lie.clone();
        assert_eq!(sent(&bench, &token(&claims)).await, Err(ProblemKind::InvalidRequest), "{claim} = {lie}");
    }
    let mut nobody = honest(&liar);
    for claim in ["sid", "sub"] {
        nobody.as_object_mut().unwrap().remove(claim);
    }
    assert_eq!(sent(&bench, &token(&nobody)).await, Err(ProblemKind::InvalidRequest));
    for header in [
        json!({ "alg": "EdDSA", "kid": "k1", "typ": "secevent+jwt" }),
        json!({ "alg": "EdDSA", "kid": "k1", "crit": ["b64"] }),
        json!({ "alg": "none" }),
        json!({ "alg": "HS256", "kid": "k1" }),
        json!({ "alg": "RS256", "kid": "k1" }),
        json!({ "alg": "EdDSA", "kid": "unknown" }),
    ] {
        let token = Liar::signed(&header, &honest(&liar));
        assert_eq!(sent(&bench, &token).await, Err(ProblemKind::InvalidRequest), "{header}");
    }
    let mut forged = token(&honest(&liar));
    forged.truncate(forged.len() - 4);
    assert_eq!(sent(&bench, &format!("{forged}AAAA")).await, Err(ProblemKind::InvalidRequest));
    assert_eq!(bench.who(&session).await, Ok(session.person), "she is signed in still");
    assert_eq!(bench.entries().await, ["person.joined", "session.began"]);
}

/// Whoever guesses is slowed; the provider itself may sign out as many as it has.
#[tokio::test]
async fn abuse_18_guesses_are_slowed_and_logouts_are_not() {
    let (bench, liar) = house().await;
    for number in 0..60 {
        let mut claims = honest(&liar);
        claims["jti"] = json!(format!("right-{number}"));
        assert_eq!(sent(&bench, &token(&claims)).await, Ok(0));
    }
    let outcomes = futures::future::join_all((0..40).map(|_| sent(&bench, "a.b.c"))).await;
    assert!(outcomes.contains(&Err(ProblemKind::RateLimited)), "{outcomes:?}");
}
