//! A server in this process with a realm of the real provider under the name `dev`, which the example's
//! groups are of.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use port_control::{
    base::{
        SecretValue,
        config::{Config, Credential, ProviderConfig},
    },
    store::{Query, sql},
};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use tokio::net::TcpListener;
use url::Url;

use crate::{
    peers::{Browser, Client, OidcProvider, Page, Realm},
    support::{Given, program::Portctl},
    web::house::{self, Differently},
};

/// The house and its provider.
pub struct House {
    pub web: house::House,
    pub realm: Realm,
    given: Given,
}

/// Somebody with a browser of her own.
pub struct Visitor {
    pub browser: Browser,
    pub name: String,
}

impl House {
    /// One with a provider that is not asked again, and the example declared.
    pub async fn open(given: Given) -> Result<Self> {
        Self::with(given, |_| ()).await
    }

    /// The same, with something of the provider's configuration that differs.
    pub async fn with(given: Given, change: impl FnOnce(&mut ProviderConfig)) -> Result<Self> {
        let peer = given.peers.oidc_provider.clone().context("no provider")?;
        Self::at(given, &peer, change).await
    }

    /// The same at a provider of the test's own.
    pub async fn at(
        given: Given,
        peer: &OidcProvider,
        change: impl FnOnce(&mut ProviderConfig),
    ) -> Result<Self> {
        let realm = peer.realm().await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let back = |path: &str| format!("http://{address}/sign-in/dev/{path}");
        let client = realm
            .register_with(
                &back("callback"),
                json!({ "backchannel_logout_uri": back("backchannel-logout"),
                        "post_logout_redirect_uris": [format!("http://{address}/sign-in")] }),
            )
            .await?;
        let mut provider = provider("dev", &realm, &client);
        change(&mut provider);
        let web = house::House::serve_on(&given, listener, Differently::default(), |config: &mut Config| {
            config.providers = vec![provider];
        })
        .await?;
        let house = Self { web, realm, given };
        house.declare("").await?;
        Ok(house)
    }

    /// Declares the example and `more` beside it.
    pub async fn declare(&self, more: &str) -> Result<()> {
        let ada = self.web.sign_in_by(&self.realm.issuer, "ada", &["it"]).await?;
        let mut documents = house::example()?;
        if !more.is_empty() {
            documents.push(json!({ "file": "more.yaml", "text": more }));
        }
        self.web.post(&ada, "/api/v1/apply", &json!({ "documents": documents })).await?.done()?;
        Ok(())
    }

    pub fn url(&self, path: &str) -> Result<Url> {
        Ok(format!("{}{path}", self.web.url).parse()?)
    }

    /// Signs somebody in by the provider, in a browser of her own; the page that she comes to.
    pub async fn visitor(&self, name: &str) -> Result<(Visitor, Page)> {
        let visitor = Visitor { browser: Browser::new()?, name: name.to_owned() };
        let page = self.sign_in(&visitor, "/sign-in/dev?return_to=/whoami").await?;
        Ok((visitor, page))
    }

    /// Goes where `path` leads, by the provider where it leads there; the page in the end.
    pub async fn sign_in(&self, visitor: &Visitor, path: &str) -> Result<Page> {
        let page = visitor.browser.follow(&self.url(path)?).await?;
        let Some(authorize) = page.next() else { return Ok(page) };
        let back = visitor.browser.sign_in(&authorize, &visitor.name).await?;
        visitor.browser.follow(&back).await
    }

    /// The token of a browser's session.
    pub fn token(&self, visitor: &Visitor) -> Result<String> {
        visitor.browser.cookie(&self.url("/")?, "pc-session").context("nobody is signed in")
    }

    /// Whether a browser is signed in.
    pub async fn is_signed_in(&self, visitor: &Visitor) -> Result<bool> {
        let page = visitor.browser.get(&self.url("/whoami")?).await?;
        Ok(page.status == 200)
    }

    /// Signs `portctl` in from a browser that is; its home is a folder of the test.
    pub async fn portctl(&self, visitor: &Visitor) -> Result<Portctl> {
        let home = self.given.folder.path().join(format!("home-{}", visitor.name));
        let portctl = Portctl::new(&home, &self.web.url, None)?;
        let mut child = portctl.spawn(&["login", "--no-browser"])?;
        let page = read_address(&mut child, "Sign in on this page: ").await?;
        let page = visitor.browser.get(&page).await?;
        self.confirm(visitor, &page).await?;
        let status = tokio::task::spawn_blocking(move || child.wait()).await??;
        ensure!(status.success(), "portctl login ended with {status}");
        Ok(portctl)
    }

    /// Presses the button of a page, and carries the answer to the port that waits for it.
    pub async fn confirm(&self, visitor: &Visitor, page: &Page) -> Result<()> {
        ensure!(page.form().is_some(), "there is no button: {} {}", page.status, page.body);
        let pressed = visitor.browser.submit(page, &[]).await?;
        let back = pressed.next().with_context(|| format!("{} {}", pressed.status, pressed.body))?;
        visitor.browser.get(&back).await?;
        Ok(())
    }

    /// Changes the database past the server, as only time does else.
    pub async fn tamper(&self, statement: &'static str) -> Result<()> {
        let path = self.given.url.strip_prefix("sqlite:").context("this is SQLite")?;
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(Path::new(path))
            .busy_timeout(Duration::from_secs(5));
        let mut database = options.connect().await?;
        sqlx::raw_sql(statement).execute(&mut database).await?;
        Ok(())
    }

    /// Actions of all entries that are about sessions ending, with why.
    pub async fn ended(&self) -> Result<Vec<String>> {
        let rows = sql("SELECT ended_because FROM sessions WHERE ended_at IS NOT NULL ORDER BY id");
        Ok(self.web.all::<(String,)>(rows).await?.into_iter().map(|(why,)| why).collect())
    }

    pub async fn count(&self, query: Query) -> Result<i64> {
        let rows: Vec<(i64,)> = self.web.all(query).await?;
        Ok(rows.first().map_or(0, |(count,)| *count))
    }

    /// How many entries there are of an action.
    pub async fn entries(&self, action: &str) -> Result<i64> {
        self.count(sql("SELECT CAST(count(*) AS BIGINT) FROM entries WHERE action = $1").bind(action)).await
    }

    /// GET by a bearer token.
    pub async fn get(&self, token: &str, path: &str) -> Result<house::Answer> {
        house::send(self.web.request(Method::GET, path).bearer_auth(token)).await
    }

    /// What the provider's back channel would be called by.
    pub async fn logout_token(&self, token: &str) -> Result<house::Answer> {
        let request = self.web.request(Method::POST, "/sign-in/dev/backchannel-logout");
        house::send(request.form(&[("logout_token", token)])).await
    }
}

/// A realm, as our configuration has it.
pub fn provider(name: &str, realm: &Realm, client: &Client) -> ProviderConfig {
    configured(name, &realm.issuer, client)
}

/// A provider, as our configuration has it.
pub fn configured(name: &str, issuer: &str, client: &Client) -> ProviderConfig {
    ProviderConfig {
        name: name.parse().expect("a test's name is one"),
        issuer: issuer.to_owned(),
        client_id: client.id.clone(),
        client_secret: Some(Credential::Value(SecretValue::from(client.secret.clone()))),
        groups_claim: "groups".to_owned(),
        name_claim: "name".to_owned(),
        scopes: ["openid", "profile", "email", "groups"].map(str::to_owned).to_vec(),
        email_domains: vec!["example.com".to_owned()],
        acr: Vec::new(),
        required_acr: Vec::new(),
        revalidate: false,
    }
}

/// Reads what a `portctl` says until it names a page.
pub async fn read_address(child: &mut std::process::Child, words: &'static str) -> Result<Url> {
    use std::io::{BufRead as _, BufReader};
    let said = child.stderr.take().context("no standard error")?;
    let reading = tokio::task::spawn_blocking(move || -> Result<Url> {
        let mut told = String::new();
        let mut lines = BufReader::new(said);
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                anyhow::bail!("it named no page: {told}");
            }
            if let Some((_, rest)) = line.split_once(words) {
                let found = rest.split_whitespace().next().unwrap_or_default().parse()?;
                // Whoever writes on is not to be stopped by a closed pipe.
                std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
                return Ok(found);
            }
            told.push_str(&line);
        }
    });
    tokio::time::timeout(Duration::from_secs(30), reading).await.context("it named no page in time")??
}

/// A JWT's claims, believed by nobody.
pub fn claims(token: &str) -> Result<Value> {
    let part = token.split('.').nth(1).context("no claims")?;
    Ok(serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(part.as_bytes())?)?)
}
