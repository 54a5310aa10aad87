//! 5b. Know: Dana sees what she knows, and who else knows it; somebody who moves on loses what her old
//! team had opened, and sees that, too.

use anyhow::{Context as _, Result, ensure};
use port_control::dev::story::World as _;

use super::{Cast, ask};
use crate::{
    peers,
    story::{
        people::{Person, told},
        world::House,
    },
    support::until,
};

pub async fn what_and_who(house: &House, cast: &Cast) -> Result<()> {
    what_dana_knows(cast)?;
    a_mover(house, cast).await
}

fn what_dana_knows(cast: &Cast) -> Result<()> {
    let known = cast.dana.reads("exposure person")?;
    let items = known["items"].as_array().context("no list")?;
    for how in ["entered", "revealed"] {
        let is_it = |it: &&serde_json::Value| it["secret"] == ask::URL && it["how"] == how;
        let it = items.iter().find(is_it).with_context(|| format!("she has {how} it: {known}"))?;
        ensure!(it["is_current"] == true && it["last_entry"].is_i64(), "{it}");
    }
    let who = cast.dana.does(&format!("exposure secret {}", ask::URL))?;
    ensure!(
        who.contains("Dana  dana@example.com") && who.contains("revealed") && !who.contains("Lena"),
        "{who}"
    );
    cast.dana.fails("exposure person lena@example.com", 1, "see-people")?;
    cast.dana.fails("rotation list", 1, "portctl rotation list --mine")?;
    cast.dana.does("rotation list --mine")?;
    let hidden = cast.aya.says("delivery list")?;
    let why = hidden.err.contains("none is yours to see") && hidden.err.contains("'people-admin'");
    ensure!(hidden.code == 0 && why, "an empty list says why: {}", hidden.err);
    let of_dana = cast.aya.does("exposure person dana@example.com")?;
    ensure!(of_dana.contains(ask::URL), "an auditor sees what she knows: {of_dana}");
    Ok(())
}

async fn a_mover(house: &House, cast: &Cast) -> Result<()> {
    house.realm.put_person(&peers::Person::new("Mia", &["engineering"])).await?;
    let mut mia = Person::signed_in(house, "mia").await?;
    let request = ask::id(&ask::request(&mia, "1h")?)?;
    cast.omar.does(&format!("request approve {request}"))?;
    until("her grant is hers", async || Ok(mia.does("grant list")?.contains("production").then_some(())))
        .await?;
    house.realm.put_person(&peers::Person::new("Mia", &["kitchen"])).await?;
    house.sign_in(&mut mia.browser, "mia").await.map_err(told)?;
    mia.fails(&format!("secret get {}", ask::URL), 1, "kitchen")?;
    until("she sees what she lost", async || {
        let me = mia.reads("whoami")?;
        let lost = me["moves"][0]["teams_lost"].to_string();
        let ended = me["moves"][0]["grants_ended"].as_array().map_or(0, Vec::len);
        Ok((lost.contains("supa-team") && ended == 1).then_some(()))
    })
    .await?;
    ensure!(cast.omar.does("person moves")?.contains("Mia"), "her old team sees it");
    ensure!(cast.aya.does("person show mia@example.com")?.contains("team supa-team"), "so do auditors");
    Ok(())
}
