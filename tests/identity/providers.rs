//! Several providers, what they have to say of a sign-in, and signing out there, too.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use port_control::store::sql;

use super::house::House;
use crate::{
    peers::{Peers, Person},
    support::{Given, on_sqlite},
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_sqlite(peers, "identity::a_sign_in_brings_name_groups_and_address", brings_what_is_true),
        on_sqlite(peers, "identity::a_required_class_is_asked_for_and_verified", required_class),
        on_sqlite(peers, "identity::groups_that_do_not_fit_are_not_taken_for_none", groups_overage),
        on_sqlite(peers, "identity::signing_out_ends_the_providers_session_too", signs_out_there),
        on_sqlite(peers, "identity::failing_callbacks_are_slowed", failing_callbacks),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn brings_what_is_true(given: Given) -> Result<()> {
    let house = House::open(given).await?;
    let (_, page) = house.visitor("dana").await?;
    for what in ["Dana", "dana@example.com", "dev/engineering"] {
        ensure!(page.body.contains(what), "{what}: {}", page.body);
    }
    Ok(())
}

/// Who can give more than a password is asked for it; who cannot is refused with what to do.
async fn required_class(given: Given) -> Result<()> {
    let house = House::with(given, |it| it.required_acr = vec!["mfa".to_owned()]).await?;
    let (_, page) = house.visitor("dana").await?;
    ensure!(page.status == 200, "{}", page.body);
    let acr = sql("SELECT acr FROM sessions WHERE subject = 'dana'");
    ensure!(house.web.all::<(String,)>(acr).await? == [("mfa".to_owned(),)], "her session has the class");
    let weak = Person { step_up: Vec::new(), ..Person::omar() };
    house.realm.put_person(&weak).await?;
    let (omar, page) = house.visitor("omar").await?;
    ensure!(page.status == 403 && page.body.contains("mfa"), "{} {}", page.status, page.body);
    ensure!(page.body.contains("required_acr"), "it says what to do: {}", page.body);
    ensure!(!house.is_signed_in(&omar).await?, "he is signed in");
    Ok(())
}

/// Both ways in which Entra says that it has left groups out: neither is "none", nor "as before".
async fn groups_overage(given: Given) -> Result<()> {
    let house = House::open(given).await?;
    house.visitor("dana").await?;
    for (claim, value) in
        [("_claim_names", serde_json::json!({ "groups": "src1" })), ("hasgroups", serde_json::json!(true))]
    {
        let mut dana = Person::dana();
        dana.claims.insert("groups".to_owned(), serde_json::Value::Null);
        dana.claims.insert(claim.to_owned(), value);
        let endpoint = serde_json::json!({ "src1": { "endpoint": "https://graph.invalid/groups" } });
        dana.claims.insert("_claim_sources".to_owned(), endpoint);
        house.realm.put_person(&dana).await?;
        let (_, page) = house.visitor("dana").await?;
        ensure!(
            page.status == 403 && page.body.contains("did not send your groups"),
            "{claim}: {}",
            page.body
        );
    }
    let groups = sql(
        "SELECT m.group_id FROM memberships m JOIN accounts a ON a.person = m.person WHERE a.subject = 'dana'",
    );
    let groups: Vec<(String,)> = house.web.all(groups).await?;
    ensure!(groups == [("engineering".to_owned(),)], "what was known of her is as before: {groups:?}");
    Ok(())
}

async fn signs_out_there(given: Given) -> Result<()> {
    let house = House::open(given).await?;
    let (dana, _) = house.visitor("dana").await?;
    // Who is signed in there is not asked again.
    let again = house.sign_in(&dana, "/sign-in/dev?return_to=/whoami").await?;
    ensure!(again.status == 200, "{}", again.body);
    let out = dana.browser.submit(&again, &[]).await?;
    ensure!(out.body.contains("You are signed out here"), "{} {}", out.status, out.body);
    ensure!(!house.is_signed_in(&dana).await?, "she is signed in here");
    let there = dana.browser.submit(&out, &[]).await?;
    ensure!(there.status == 200 && there.form().is_some(), "{} {}", there.status, there.body);
    dana.browser.submit(&there, &[("logout", "yes")]).await?;
    let begun = dana.browser.follow(&house.url("/sign-in/dev?return_to=/whoami")?).await?;
    let authorize = begun.next().ok_or_else(|| anyhow::anyhow!("it leads nowhere"))?;
    let asked = dana.browser.follow(&authorize).await?;
    ensure!(asked.body.contains("name=\"login\""), "the provider still knows her: {}", asked.body);
    Ok(())
}

/// Whoever guesses at callbacks is told to wait; a sign-in of another network is not.
async fn failing_callbacks(given: Given) -> Result<()> {
    let house = House::open(given).await?;
    let mut last = 0;
    for number in 0..40 {
        let path = format!("/sign-in/dev/callback?state=guess-{number}&code=x&iss={}", house.realm.issuer);
        let page = crate::web::house::send(house.web.request(reqwest::Method::GET, &path)).await?;
        last = page.status.as_u16();
        ensure!([403, 429].contains(&last), "{page:?}");
    }
    ensure!(last == 429, "the fortieth guess is answered with {last}");
    Ok(())
}
