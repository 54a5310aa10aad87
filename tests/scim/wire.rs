//! A server with a connection, and the identity provider's end of it.

use anyhow::{Context as _, Result, ensure};
use port_control::{
    base::{
        Config, SecretValue,
        config::{Credential, WebhookConfig},
    },
    store::{Query, sql},
};
use reqwest::{Method, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    support::{Given, webhook::Receiver},
    web::house::{Answer, Differently, House, Person, send},
};

/// The standard's name of a list of operations.
pub const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// Of people.
pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// Of groups.
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// A server, an administrator, and a connection called `okta`.
pub struct Wire {
    pub house: House,
    pub ada: Person,
    pub token: String,
    pub told: Receiver,
}

impl Wire {
    /// With a connection that may bring people back.
    pub async fn open(given: &Given) -> Result<Self> {
        Self::open_with(given, json!({ "may_reactivate": true })).await
    }

    /// With a connection of these settings.
    pub async fn open_with(given: &Given, settings: Value) -> Result<Self> {
        Self::open_configured(given, settings, |_| ()).await
    }

    /// The same in a server whose configuration differs.
    pub async fn open_configured(
        given: &Given,
        settings: Value,
        differs: impl FnOnce(&mut Config),
    ) -> Result<Self> {
        let told = Receiver::start().await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let webhook = WebhookConfig {
            url: told.url.parse()?,
            secret: Credential::Value(SecretValue::from(told.secret.clone())),
        };
        let change = |config: &mut Config| {
            config.webhooks.push(webhook);
            differs(config);
        };
        let house = House::serve_on(given, listener, Differently::default(), change).await?;
        let ada = house.sign_in("ada", &["it"]).await?;
        let documents = crate::web::house::example()?;
        house.post(&ada, "/api/v1/apply", &json!({ "documents": documents })).await?.done()?;
        let mut wire = Self { house, ada, token: String::new(), told };
        wire.token = wire.connect("okta", settings).await?;
        Ok(wire)
    }

    /// Makes a connection; its token.
    pub async fn connect(&self, name: &str, settings: Value) -> Result<String> {
        let mut body = json!({ "name": name, "provider": "dev", "link": "externalId=sub" });
        for (key, value) in settings.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        let made = self.house.post(&self.ada, "/api/v1/scim-connections", &body).await?.done()?;
        Ok(made["token"].as_str().context("no token")?.to_owned())
    }

    /// Asks as the connection `okta` does.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        self.ask_with(method, path, body, &[]).await
    }

    /// The same, with headers.
    pub async fn ask_with(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        let path = format!("/scim/v2/okta{path}");
        let mut request = self.house.request(method, &path).bearer_auth(&self.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/scim+json").body(body.to_string());
        }
        send(request).await
    }

    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.ask(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        self.ask(Method::PUT, path, Some(body)).await
    }

    /// Sends operations.
    pub async fn patch(&self, path: &str, operations: Value) -> Result<Answer> {
        let body = json!({ "schemas": [PATCH], "Operations": operations });
        self.ask(Method::PATCH, path, Some(&body)).await
    }

    pub async fn delete(&self, path: &str) -> Result<Answer> {
        self.ask(Method::DELETE, path, None).await
    }

    /// Provisions somebody who signs in as `name`; her id in SCIM.
    pub async fn person(&self, name: &str) -> Result<String> {
        let body = json!({
            "schemas": [USER], "userName": format!("{name}@example.com"), "externalId": name, "active": true,
            "name": { "givenName": name, "familyName": "Example" },
            "emails": [{ "value": format!("{name}@example.com"), "type": "work", "primary": true }],
        });
        let made = self.post("/Users", &body).await?;
        ensure!(made.status == 201, "{}: {}", made.status, made.text);
        id(&made.json())
    }

    /// Provisions a group; its id in SCIM.
    pub async fn group(&self, name: &str, members: &[&str]) -> Result<String> {
        let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
        let body = json!({ "schemas": [GROUP], "displayName": name, "externalId": name, "members": members });
        let made = self.post("/Groups", &body).await?;
        ensure!(made.status == 201, "{}: {}", made.status, made.text);
        id(&made.json())
    }

    /// The members of a group, in order.
    pub async fn members(&self, group: &str) -> Result<Vec<String>> {
        let group = self.get(&format!("/Groups/{group}")).await?.done()?;
        let members = group["members"].as_array().cloned().unwrap_or_default();
        let mut ids: Vec<String> =
            members.iter().filter_map(|it| it["value"].as_str()).map(str::to_owned).collect();
        ids.sort();
        Ok(ids)
    }

    /// What somebody is here.
    pub async fn status(&self, subject: &str) -> Result<String> {
        let rows: Vec<(String,)> = self
            .house
            .all(
                sql("SELECT p.status FROM people p JOIN accounts a ON a.person = p.id WHERE a.subject = $1")
                    .bind(subject),
            )
            .await?;
        Ok(rows.into_iter().next().with_context(|| format!("{subject} is nobody"))?.0)
    }

    /// Writes rows that nobody here would.
    pub async fn write(&self, queries: Vec<Query>) -> Result<()> {
        let mut tx = self.house.app.database.begin_write().await?;
        for query in queries {
            tx.execute(query).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Declares more, beside the example.
    pub async fn declare(&self, text: &str) -> Result<()> {
        let documents =
            json!([{ "file": "more.yaml", "text": format!("kind: Source\nname: more\n---\n{text}") }]);
        self.house.post(&self.ada, "/api/v1/apply", &json!({ "documents": documents })).await?.done()?;
        Ok(())
    }

    /// How many entries of an action there are.
    pub async fn entries(&self, action: &str) -> Result<usize> {
        let rows: Vec<(i64,)> =
            self.house.all(sql("SELECT idx FROM entries WHERE action = $1").bind(action)).await?;
        Ok(rows.len())
    }

    /// What was refused to the connection: operation and reason.
    pub async fn refused(&self) -> Result<Vec<(String, String)>> {
        let shown = self.house.get(&self.ada, "/api/v1/scim-connections/okta").await?.done()?;
        let text = |it: &Value, name: &str| it[name].as_str().unwrap_or_default().to_owned();
        let refused = shown["refused"].as_array().context("no list")?;
        Ok(refused.iter().map(|it| (text(it, "operation"), text(it, "because"))).collect())
    }

    /// Waits until somebody was told this.
    pub async fn is_told(&self, topic: &str) -> Result<()> {
        let has = || async { Ok(self.told.has(topic)) };
        self.house.eventually(&format!("{topic} is told"), has).await
    }
}

/// The id of a resource.
pub fn id(resource: &Value) -> Result<String> {
    Ok(resource["id"].as_str().context("no id")?.to_owned())
}

/// Refuses anything but an error of SCIM's own, of this status.
pub fn is_error(answer: &Answer, status: u16, scim_type: Option<&str>) -> Result<()> {
    let said = answer.json();
    let is_scim = answer.header("content-type") == "application/scim+json"
        && said["schemas"][0] == "urn:ietf:params:scim:api:messages:2.0:Error"
        && said["status"].as_str() == Some(status.to_string().as_str())
        && said["scimType"].as_str() == scim_type;
    ensure!(
        answer.status == status && is_scim,
        "wanted {status} {scim_type:?}, got {}: {}",
        answer.status,
        answer.text
    );
    Ok(())
}
