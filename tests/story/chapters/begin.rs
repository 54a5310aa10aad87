//! 2. Begin: the way back in when nobody can sign in.

use anyhow::{Result, ensure};

use crate::{
    story::{people::Person, world::House},
    support::program::port_control,
};

/// A right made on the server's machine signs in once, and only once.
pub fn recover_access(house: &House) -> Result<()> {
    let config = house.config.display().to_string();
    let made = port_control(&["recover-access", "--config", &config, "--reason", "the provider is down"])?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let token = String::from_utf8(made.stdout)?;
    let token = token.split_whitespace().find(|word| word.starts_with("pcr_")).unwrap_or(token.trim());

    let somebody = Person::new(house, "recovered")?;
    let login = ["login", "--recovery"];
    somebody.portctl.run_with(&login, token.as_bytes())?.done()?;
    let who = somebody.reads("whoami")?;
    ensure!(who["session"]["kind"] == "recovery", "{who}");
    somebody.portctl.run_with(&login, token.as_bytes())?.refused(3, "used already")?;
    somebody.does("logout")?;
    Ok(())
}
