//! An identity provider that is away: who is signed in goes on, nobody else comes in, and it heals.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use port_control::dev::story::World as _;
use tokio::time::timeout;

use crate::{
    peers::{OidcProvider, Peers},
    story::{Combination, House, people::Person},
};

/// A refusal comes sooner; the rest is a busy machine's.
const BOUND: Duration = Duration::from_secs(20);

pub async fn down_hanging_and_back(peers: Arc<Peers>) -> Result<()> {
    let mut provider = OidcProvider::start_private().await?;
    let combination = Combination { postgres: false, openbao: false, kubernetes: false };
    let mut house = House::with_provider(peers, combination, &provider).await?;
    // The provider is asked for the first time while it is away.
    provider.pause();
    refused(&house, "hanging").await?;
    provider.resume();
    let dana = Person::signed_in(&house, "dana").await?;

    provider.kill();
    refused(&house, "down").await?;
    ensure!(dana.does("whoami")?.contains("Dana"), "who is signed in goes on");
    provider.start_again().await?;
    Person::signed_in(&house, "omar").await?;
    house.server.stop()?;
    Ok(())
}

/// Signing in fails in bounded time, and the page names the provider.
async fn refused(house: &House, how: &str) -> Result<()> {
    let mut visitor = Person::new(house, "visitor")?;
    let signing_in = timeout(BOUND, house.sign_in(&mut visitor.browser, "ada")).await;
    let problem = signing_in.with_context(|| how.to_owned())?.err().context("she was signed in")?;
    ensure!(problem.detail.contains("dev") || problem.detail.contains("provider"), "{how}: {problem}");
    Ok(())
}
