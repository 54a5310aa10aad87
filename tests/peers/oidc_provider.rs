//! The OpenID provider: a realm of its own for each test, with issuer, keys, clients and people.

use std::path::Path;

use anyhow::Result;
use reqwest::Method;
use serde_json::{Map, Value, json};
use url::Url;

use super::{Browser, Peer, Private, answer, unique, variable};

/// A server of many realms.
#[derive(Clone)]
pub struct OidcProvider {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    http: reqwest::Client,
}

/// One provider, as the product sees it.
#[derive(Clone)]
pub struct Realm {
    /// What discovery begins with.
    pub issuer: String,
    /// Where its people and clients are changed.
    admin: String,
    http: reqwest::Client,
}

/// What the product is to a provider.
#[derive(Clone)]
pub struct Client {
    pub id: String,
    pub secret: String,
}

/// Somebody who can sign in, and how the provider describes her.
#[derive(Clone, Debug)]
pub struct Person {
    /// What she types, and the `sub` of her tokens.
    pub id: String,
    pub name: String,
    pub email: String,
    pub groups: Vec<String>,
    /// How strongly she signs in when nobody asks for more (`basic`, `mfa`, `phishing-resistant`).
    pub acr: String,
    pub amr: Vec<String>,
    /// What she can step up to when it is asked for: `acr`, and the `amr` that it then has.
    pub step_up: Vec<(String, Vec<String>)>,
    /// More claims, which win over those above.
    pub claims: Map<String, Value>,
}

impl Person {
    /// Somebody with a password who can do more if she must.
    pub fn new(name: &str, groups: &[&str]) -> Self {
        let id = name.to_lowercase();
        Self {
            name: name.to_owned(),
            email: format!("{id}@example.com"),
            groups: groups.iter().map(ToString::to_string).collect(),
            acr: "basic".into(),
            amr: vec!["pwd".into()],
            step_up: vec![("mfa".into(), vec!["pwd".into(), "otp".into(), "mfa".into()])],
            claims: Map::new(),
            id,
        }
    }

    /// A developer.
    pub fn dana() -> Self {
        Self::new("Dana", &["engineering"])
    }

    /// Leads, and approves.
    pub fn omar() -> Self {
        Self::new("Omar", &["leads", "engineering"])
    }

    /// Administers people.
    pub fn ada() -> Self {
        Self::new("Ada", &["it"])
    }

    /// Audits.
    pub fn aya() -> Self {
        Self::new("Aya", &["audit"])
    }

    /// Leaves.
    pub fn lena() -> Self {
        Self::new("Lena", &["engineering", "leads"])
    }

    fn body(&self) -> Value {
        let mut claims = json!({
            "name": self.name,
            "preferred_username": self.id,
            "email": self.email,
            "email_verified": true,
            "groups": self.groups,
        });
        claims.as_object_mut().expect("it was written as one").extend(self.claims.clone());
        let step_up: Map<String, Value> =
            self.step_up.iter().map(|(acr, amr)| (acr.clone(), json!(amr))).collect();
        json!({ "acr": self.acr, "amr": self.amr, "step_up": step_up, "claims": claims })
    }
}

impl OidcProvider {
    pub(super) fn from_env() -> Option<Self> {
        variable("PEERS_OIDC_PROVIDER_URL").map(Self::new)
    }

    fn new(url: String) -> Self {
        Self { url, http: super::http(None).expect("an HTTP client without options") }
    }

    /// A provider of the test's own, to be killed or made to hang. Keys, clients and people outlive
    /// that, sessions do not.
    pub async fn start_private() -> Result<Private<Self>> {
        Private::start().await
    }

    /// A realm without people and clients.
    pub async fn empty_realm(&self) -> Result<Realm> {
        let name = unique("realm");
        let admin = format!("{}/test/{name}", self.url);
        let response = self.http.put(&admin).json(&json!({})).send().await?;
        answer("a new realm", response).await?;
        Ok(Realm { issuer: format!("{}/{name}", self.url), admin, http: self.http.clone() })
    }

    /// A realm with Dana, Omar, Ada, Aya and Lena.
    pub async fn realm(&self) -> Result<Realm> {
        let realm = self.empty_realm().await?;
        for person in [Person::dana(), Person::omar(), Person::ada(), Person::aya(), Person::lena()] {
            realm.put_person(&person).await?;
        }
        Ok(realm)
    }
}

impl Realm {
    /// A client that may be sent back to `redirect_uri`.
    pub async fn register(&self, redirect_uri: &str) -> Result<Client> {
        self.register_with(redirect_uri, json!({})).await
    }

    /// A client with further metadata of OpenID registration (`backchannel_logout_uri`,
    /// `post_logout_redirect_uris`, …), which win over the usual ones.
    pub async fn register_with(&self, redirect_uri: &str, further: Value) -> Result<Client> {
        let client = Client { id: unique("client"), secret: unique("client-secret") };
        self.put_client(&client, redirect_uri, further).await?;
        Ok(client)
    }

    /// A client whose id and secret are chosen, or another description of one that is there.
    pub async fn put_client(&self, client: &Client, redirect_uri: &str, further: Value) -> Result<()> {
        let mut body = json!({
            "client_secret": client.secret,
            "redirect_uris": [redirect_uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "require_auth_time": true,
            "backchannel_logout_session_required": true,
        });
        if let (Some(body), Value::Object(further)) = (body.as_object_mut(), further) {
            body.extend(further);
        }
        self.change(Method::PUT, &format!("clients/{}", client.id), Some(body)).await.map(drop)
    }

    /// Adds somebody or changes her: the next token, also one from a refresh, says so.
    pub async fn put_person(&self, person: &Person) -> Result<()> {
        self.change(Method::PUT, &format!("people/{}", person.id), Some(person.body())).await.map(drop)
    }

    /// Takes somebody out: she can sign in no more, and refreshing her tokens is refused.
    pub async fn remove_person(&self, id: &str) -> Result<()> {
        self.change(Method::DELETE, &format!("people/{id}"), None).await.map(drop)
    }

    /// Ends her sessions at the provider, which tells every client with a `backchannel_logout_uri`.
    /// One object a client told: `client_id`, `sid`, `ok`, `error`.
    pub async fn log_out(&self, id: &str) -> Result<Vec<Value>> {
        let told = self.change(Method::POST, &format!("logout/{id}"), None).await?;
        Ok(told.as_array().cloned().unwrap_or_default())
    }

    /// Signs in with a new browser, see [`Browser::sign_in`].
    pub async fn sign_in(&self, authorize: &Url, person: &str) -> Result<Url> {
        Browser::new()?.sign_in(authorize, person).await
    }

    async fn change(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let mut request = self.http.request(method.clone(), format!("{}/{path}", self.admin));
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(&format!("{method} {path}"), request.send().await?).await
    }
}

impl Peer for OidcProvider {
    const NAME: &'static str = "oidc-provider";
    const PROGRAM: &'static str = "PEERS_OIDC_PROVIDER_BIN";

    fn open(_folder: &Path, port: u16) -> Result<Self> {
        Ok(Self::new(format!("http://127.0.0.1:{port}")))
    }

    async fn answers(&self) -> bool {
        // It has no page at its root, and says so as soon as it listens.
        self.http.get(&self.url).send().await.is_ok()
    }
}
