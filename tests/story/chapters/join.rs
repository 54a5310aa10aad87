//! 3. Join: nobody prepared anything.

use anyhow::{Context as _, Result, ensure};
use port_control::dev::story::World as _;

use super::Cast;
use crate::{
    peers,
    story::{people::Person, world::House},
};

pub async fn everybody(house: &House, ada: Person) -> Result<Cast> {
    let dana = Person::signed_in(house, "dana").await?;
    let who = dana.reads("whoami")?;
    let scopes = who["scopes"].as_array().context("no scopes")?;
    let scope = |name: &str| scopes.iter().find(|it| it["scope"] == name).cloned().unwrap_or_default();
    let why = scope("developer")["because"].as_str().unwrap_or_default().to_owned();
    ensure!(scope("developer")["within"] == true && why.contains("'engineering'"), "{who:#}");
    ensure!(scope("production-access")["within"] == false, "{who:#}");
    ensure!(dana.does("whoami")?.contains("developer"), "the table says it, too");

    in_no_scope(house).await?;
    Ok(Cast {
        ada,
        dana,
        omar: Person::signed_in(house, "omar").await?,
        lena: Person::signed_in(house, "lena").await?,
        aya: Person::signed_in(house, "aya").await?,
    })
}

/// Somebody whom no file knows is told what we received of her, and whom to ask.
async fn in_no_scope(house: &House) -> Result<()> {
    house.realm.put_person(&peers::Person::new("Visitor", &["kitchen"])).await?;
    let mut visitor = Person::new(house, "visitor")?;
    let page = house.sign_in(&mut visitor.browser, "visitor").await;
    let page = page.map_err(crate::story::people::told)?;
    ensure!(page.text.contains("kitchen") && page.text.contains("ada@example.com"), "{}", page.text);
    visitor.log_in().await?;
    let said = visitor.does("whoami")?;
    ensure!(said.contains("kitchen") && said.contains("ada@example.com"), "{said}");
    visitor.fails("secret list reports/sandbox", 1, "ada@example.com")
}
