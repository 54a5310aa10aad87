//! The people of the story.

use data_encoding::BASE64URL_NOPAD;
use ring::digest::{SHA256, digest};
use url::Url;

use super::Story;
use crate::{
    base::{Problem, Result, SecretValue},
    client::{Client, NewLogin, SignedIn},
    dev::browser::Browser,
};

/// Somebody who is signed in twice: in her browser and by her command line.
pub struct Member {
    /// What she signs in as.
    pub login: &'static str,
    /// Her browser.
    pub browser: Browser,
    /// Her command line's way to the server.
    pub client: Client,
}

/// Everybody.
pub struct Cast {
    /// The admin.
    pub ada: Member,
    /// The developer.
    pub dana: Member,
    /// The lead who approves.
    pub omar: Member,
    /// The leaver.
    pub lena: Member,
    /// The auditor.
    pub aya: Member,
}

impl Story<'_> {
    /// Signs somebody in for the first time, by browser and by command line.
    pub(super) async fn sign_in(&self, login: &'static str) -> Result<Member> {
        let mut browser = Browser::new()?;
        self.world.sign_in(&mut browser, login).await?;
        let token = self.command_line(&mut browser).await?.token;
        let client = Client::new(self.world.server().clone(), Some(token), self.ambient.clone())?;
        Ok(Member { login, browser, client })
    }

    /// What `portctl login` does, with a browser that is signed in.
    async fn command_line(&self, browser: &mut Browser) -> Result<SignedIn> {
        let client = Client::new(self.world.server().clone(), None, self.ambient.clone())?;
        let (state, verifier) = (client.unguessable(), client.unguessable());
        let state_text = state.expose_text().unwrap_or_default().to_owned();
        let login = client
            .begin_login(&NewLogin {
                challenge: BASE64URL_NOPAD.encode(digest(&SHA256, verifier.expose()).as_ref()),
                // Nobody listens: the code is taken from the address that the page leads to.
                port: 50_000,
                state: state_text.clone(),
                machine: "the story's machine".to_owned(),
            })
            .await?;
        let page = browser.open(address(&login.url)?).await?;
        let back = browser.submit_to_leave(&page, &[]).await?;
        let said =
            |name: &str| back.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        super::ensure(said("state").as_deref() == Some(&state_text), "the state comes back as it was sent")?;
        let code = said("code").ok_or_else(|| Problem::conflict("the page gave no code"))?;
        client.finish_login(&login.login, &SecretValue::from(code), &verifier).await
    }

    /// A page of the server.
    pub(super) fn page(&self, path: &str) -> Result<Url> {
        address(&format!("{}{path}", self.world.server().as_text().trim_end_matches('/')))
    }
}

pub(super) fn address(text: &str) -> Result<Url> {
    text.parse().map_err(|_| Problem::conflict("the server named no address"))
}
