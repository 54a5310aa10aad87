//! 6. Deliver: the Secret in the cluster.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use port_control::dev::story::{Delivered, World as _};

use super::{Cast, ask::URL};
use crate::{
    story::{
        people::{Person, told},
        world::House,
    },
    support::until,
};

/// What "within a second" leaves.
const A_SECOND: Duration = Duration::from_secs(1);

#[expect(clippy::disallowed_methods, reason = "how long it takes is what is asked")]
pub async fn follow_and_put_back(house: &House, cast: &Cast) -> Result<()> {
    let found = holds(house, "postgres://production/one").await?;
    let has =
        |map: &std::collections::BTreeMap<String, String>, what: &str| map.values().any(|it| it == what);
    for label in ["reports", "production", "supa-team"] {
        ensure!(has(&found.labels, label), "labelled with {label}: {:?}", found.labels);
    }
    ensure!(has(&found.annotations, "reports-production"), "names its delivery: {:?}", found.annotations);

    let began = Instant::now();
    cast.dana.sets(URL, "postgres://production/two")?;
    holds(house, "postgres://production/two").await?;
    ensure!(began.elapsed() < A_SECOND, "a new version took {:?}", began.elapsed());

    house.edit().await.map_err(told)?;
    until("the edit is undone", async || {
        let found = house.delivered().await.map_err(told)?;
        Ok(found.filter(|it| !it.values.contains_key("EDITED")).map(drop))
    })
    .await?;
    house.delete().await.map_err(told)?;
    holds(house, "postgres://production/two").await?;
    paused(house, &cast.dana).await
}

/// Without a value there is no Secret, and the delivery says so.
pub async fn waits_for_values(house: &House, dana: &Person) -> Result<()> {
    until("the delivery waits", async || {
        let state = dana.reads("delivery list")?;
        Ok((state[0]["state"] == "waiting-for-values").then_some(()))
    })
    .await?;
    ensure!(house.delivered().await.map_err(told)?.is_none(), "there is no Secret");
    Ok(())
}

/// While it is paused, an edit stays.
async fn paused(house: &House, dana: &Person) -> Result<()> {
    let pause = ["delivery", "pause", "reports-production", "--for", "1h", "--reason", "INC-123 by hand"];
    dana.portctl.run(&pause)?.done()?;
    house.edit().await.map_err(told)?;
    dana.sets(URL, "postgres://production/three")?;
    let state = dana.reads("delivery list")?;
    ensure!(state[0]["state"] == "paused", "the delivery says so: {state}");
    ensure!(
        house.delivered().await.map_err(told)?.is_some_and(|it| it.values.contains_key("EDITED")),
        "it stays"
    );
    dana.does("delivery resume reports-production")?;
    holds(house, "postgres://production/three").await.map(drop)
}

/// Waits until the Secret holds this value.
pub async fn holds(house: &House, value: &str) -> Result<Delivered> {
    until(&format!("the Secret holds '{value}'"), async || {
        let found = house.delivered().await.map_err(told)?;
        Ok(found.filter(|it| it.values.get("DATABASE_URL").is_some_and(|it| it.expose() == value.as_bytes())))
    })
    .await
}
