//! Static roles of a real database engine behind a whole server: once somebody has left, PostgreSQL refuses
//! the password that she knew, and takes the one that nobody has seen.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::{
    base::{
        Ambient, SecretRef, Timestamp,
        config::{Access, EngineConfig},
    },
    client::{Client, PersonAct},
    identity::{Arrival, Assertion},
    secrets::{leases::EngineRole, static_role_addition},
};
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use super::{by_role, config, vault};
use crate::{
    peers::{OpenBao, Peers, Postgres, least_policy, unique, wait_for},
    support::{
        Given,
        house::{BOUND, GROUND, House, Settings, name},
        on_sqlite,
    },
};

const AT: &str = "reports/sandbox/DATABASE_URL";
const LENA: &str = "lena@example.com";

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    if peers.openbao.is_none() || peers.postgres.is_none() {
        return Vec::new();
    }
    let mut trials = on_sqlite(peers, "engines::vault::a_static_role_is_rotated_after_a_leaver", one_role);
    trials.extend(on_sqlite(peers, "engines::vault::two_static_roles_take_turns", two_roles));
    trials.extend(on_sqlite(peers, "engines::vault::check_says_what_static_roles_lack", check_says));
    trials
}

/// Two database users, and a role of a database engine for each.
struct Target {
    bao: OpenBao,
    postgres: Postgres,
    mount: String,
    users: [String; 2],
}

impl Target {
    async fn new(given: &Given) -> Result<Self> {
        let bao = given.peers.openbao.clone().context("OpenBao was not started")?;
        let postgres = given.peers.postgres.clone().context("PostgreSQL was not started")?;
        let (mount, users) = (unique("database"), [unique("reports-a"), unique("reports-b")]);
        let target = Self { bao, postgres, mount, users };
        target.prepare().await?;
        Ok(target)
    }

    async fn prepare(&self) -> Result<()> {
        let admin: url::Url = self.postgres.url.parse()?;
        let port = admin.port().context("no port")?;
        let connection = json!({
            "plugin_name": "postgresql-database-plugin",
            "connection_url": format!("postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{port}/postgres?sslmode=disable"),
            "username": admin.username(),
            "password": admin.password(),
            "allowed_roles": "*",
        });
        let at = |rest: &str| format!("{}/{rest}", self.mount);
        let kind = json!({ "type": "database" });
        self.bao.call(Method::POST, &format!("sys/mounts/{}", self.mount), Some(kind)).await?;
        self.bao.call(Method::POST, &at("config/reports"), Some(connection)).await?;
        for user in &self.users {
            self.postgres.execute(&format!(r#"CREATE ROLE "{user}" LOGIN PASSWORD 'first'"#)).await?;
            let role = json!({ "db_name": "reports", "username": user, "rotation_period": "24h" });
            self.bao.call(Method::POST, &at(&format!("static-roles/{user}")), Some(role)).await?;
        }
        Ok(())
    }

    fn policy(&self) -> String {
        let path = |part: &str, can: &str| {
            format!("path \"{}/{part}/*\" {{ capabilities = [\"{can}\"] }}\n", self.mount)
        };
        path("static-creds", "read") + &path("rotate-role", "update")
    }

    /// What the example declares of `reports`, and what brings it into a folder.
    fn declared(&self, roles: &str) -> Result<String> {
        let mut url: url::Url = self.postgres.url.parse()?;
        url.set_username("").ok().context("no username")?;
        url.set_password(None).ok().context("no password")?;
        let template = url.as_str().replace("//", "//{username}:{password}@");
        let mount = &self.mount;
        let with = format!(
            "team: supa-team\nenvironments: [{{name: sandbox}}]\nrotation:\n  - environment: sandbox\n    \
             secret: DATABASE_URL\n    by:\n      vault-static-role: {{mount: {mount}, {roles}, template: \"{template}\"}}\n"
        );
        let ground = GROUND.replacen("team: supa-team\nenvironments: [{name: sandbox}]\n", &with, 1);
        Ok(format!(
            "{ground}---\nkind: Cluster\nname: main\nnamespaces: [{{name: supa, teams: [supa-team]}}]\n---\n\
             kind: Delivery\nname: reports-env\napplication: reports\nenvironment: sandbox\ncluster: main\n\
             namespace: supa\nsecret: reports-env\n"
        ))
    }

    async fn house(&self, given: &Given, roles: &str) -> Result<House> {
        let mount = self.bao.mount_with(|path| format!("{}{}", least_policy(path), self.policy())).await?;
        let cluster = Access::Directory(given.folder.path().join("cluster"));
        let mut settings = Settings::new(&given.url, given.folder.path(), cluster);
        let vault = config(&self.bao.address, &mount.path, by_role(&mount.role));
        settings.engine = EngineConfig::Vault(Box::new(vault));
        let house = House::open(&settings).await?;
        house.declare(&self.declared(roles)?).await?;
        Ok(house)
    }

    async fn end(self, house: House) -> Result<()> {
        house.close().await?;
        self.bao.call(Method::DELETE, &format!("sys/mounts/{}", self.mount), None).await?;
        for user in &self.users {
            self.postgres.execute(&format!(r#"DROP ROLE "{user}""#)).await?;
        }
        Ok(())
    }
}

async fn lena(house: &House) -> Result<Client> {
    let assertion = Assertion {
        provider: name("dev"),
        issuer: "http://127.0.0.1:9".to_owned(),
        subject: "lena".to_owned(),
        display_name: "Lena".to_owned(),
        email: Some(LENA.to_owned()),
        groups: BTreeSet::from(["engineering".to_owned()]),
        sid: None,
        authenticated_at: house.app.ambient.now(),
        acr: None,
        amr: vec!["pwd".to_owned()],
        sealed_id_token: None,
    };
    let arrival = Arrival { label: "a test".to_owned(), network: None, replaces: None };
    let token = house.app.identity.take_in(assertion, arrival).await?.token;
    let server = house.url.parse().map_err(|e| anyhow::anyhow!("{e}"))?;
    Ok(Client::new(server, Some(token), Ambient::system(Timestamp::EPOCH))?)
}

/// The rights that rotating takes are looked at, and nothing is read or rotated for that.
async fn check_says(given: Given) -> Result<()> {
    let target = Target::new(&given).await?;
    let mount = target.bao.mount_with(least_policy).await?;
    let (user, at) = (&target.users[0], &target.mount);
    let roles = [EngineRole { mount: at.clone(), role: user.clone() }];
    let check = async || {
        let vault = vault(config(&target.bao.address, &mount.path, by_role(&mount.role)))?;
        anyhow::Ok(vault.check_static_roles(&roles).await?)
    };
    let lacks = check().await?;
    for what in [format!("read at {at}/static-creds/{user}"), format!("update at {at}/rotate-role/{user}")] {
        ensure!(lacks.iter().any(|line| line.contains(&what)), "'{what}' is missing in {lacks:?}");
    }
    ensure!(lacks.len() == 2, "{lacks:?}");
    let policy = least_policy(&mount.path) + &static_role_addition(&roles)?;
    target.bao.set_policy(&mount.policy, &policy).await?;
    ensure!(check().await?.is_empty(), "{:?}", check().await?);
    target.bao.call(Method::DELETE, &format!("sys/mounts/{at}"), None).await?;
    for user in &target.users {
        target.postgres.execute(&format!(r#"DROP ROLE "{user}""#)).await?;
    }
    Ok(())
}

async fn reveal(client: &Client) -> Option<String> {
    let at: SecretRef = AT.parse().ok()?;
    client.reveal(&at, None).await.ok()?.value.expose_text().map(str::to_owned)
}

async fn works(url: &str) -> Result<bool> {
    match PgConnection::connect(url).await {
        Ok(connection) => {
            connection.close().await?;
            Ok(true)
        }
        Err(sqlx::Error::Database(refused)) if refused.code().as_deref() == Some("28P01") => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What Lena knows when she leaves; nothing of it is left in the end.
async fn leaves(house: &House) -> Result<String> {
    wait_for("the secret has the role's password", BOUND, async || reveal(&house.dana).await).await?;
    let known = reveal(&lena(house).await?).await.context("Lena sees it")?;
    ensure!(works(&known).await?, "what she knows works");
    house.stands("reports-env", "delivered").await?;
    house.dana.act_on_person(LENA, PersonAct::Deactivate, "left on Friday").await?;
    let through = async || house.dana.leaver(LENA).await.ok()?.line.closed_at;
    wait_for("nothing is left of Lena", BOUND, through).await?;
    Ok(known)
}

async fn one_role(given: Given) -> Result<()> {
    let target = Target::new(&given).await?;
    let house = target.house(&given, &format!("role: {}", target.users[0])).await?;
    let known = leaves(&house).await?;
    ensure!(!works(&known).await?, "PostgreSQL refuses what she knew");
    let now = reveal(&house.dana).await.context("there is a value")?;
    ensure!(now != known && works(&now).await?, "the new password works");
    let told = house.entries("rotation.rotated").await?.len();
    ensure!(told == 1, "{told} outcomes of one rotation");
    target.end(house).await
}

/// The new password is delivered before the old one dies, which is the other user's.
async fn two_roles(given: Given) -> Result<()> {
    let target = Target::new(&given).await?;
    let [a, b] = target.users.clone();
    let house = target.house(&given, &format!("role: {a}, other-role: {b}")).await?;
    let known = leaves(&house).await?;
    ensure!(known.contains(&a) && !works(&known).await?, "PostgreSQL refuses what she knew");
    let now = reveal(&house.dana).await.context("there is a value")?;
    ensure!(now.contains(&b) && works(&now).await?, "the other user's password works");
    let index = async |action: &str| -> Result<u64> {
        let last = house.entries(action).await?.pop();
        Ok(last.with_context(|| format!("no {action}"))?.index)
    };
    let (set, written) = (index("secret.settled").await?, index("delivery.written").await?);
    let killed = index("rotation.rotating").await?;
    ensure!(set < written && written < killed, "set {set}, delivered {written}, old one dead {killed}");
    target.end(house).await
}
