//! 2. Begin: the way back in when nobody can sign in.

use anyhow::{Result, ensure};

use crate::{
    story::{people::Person, world::House},
    support::program::port_control,
};

/// A right made on the server's machine signs in once, and only once.
pub fn recover_access(house: &House) -> Result<()> {
    let token = right(house)?;
    let somebody = Person::new(house, "recovered")?;
    let login = ["login", "--recovery"];
    somebody.portctl.run_with(&login, token.as_bytes())?.done()?;
    let who = somebody.reads("whoami")?;
    ensure!(who["session"]["kind"] == "recovery", "{who}");
    somebody.portctl.run_with(&login, token.as_bytes())?.refused(3, "used already")?;
    somebody.does("logout")?;
    Ok(())
}

/// It gives the powers of administrators and none of the person's own, whatever files say.
pub fn recovery_reaches_no_secret(house: &House) -> Result<()> {
    let somebody = Person::new(house, "recovered")?;
    let login = ["login", "--recovery", "--person", "dana@example.com"];
    somebody.portctl.run_with(&login, right(house)?.as_bytes())?.done()?;
    let who = somebody.reads("whoami")?;
    ensure!(who["scopes"].as_array().map(Vec::len) == Some(1), "administrators and no other scope: {who}");
    somebody.fails("secret list reports/sandbox", 1, "may not list")?;
    somebody.does("person list")?;
    somebody.does("logout")?;
    Ok(())
}

fn right(house: &House) -> Result<String> {
    let config = house.config.display().to_string();
    let made = port_control(&["recover-access", "--config", &config, "--reason", "the provider is down"])?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Ok(String::from_utf8(made.stdout)?.trim().to_owned())
}
