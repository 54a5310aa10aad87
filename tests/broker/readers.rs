//! Who can read what was delivered, as a real cluster's RBAC says.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::{
    base::ids::PersonId,
    broker::CheckLevel,
    client::PersonAct,
    identity::{Arrival, Assertion},
    store::sql,
};
use reqwest::Method;
use serde_json::json;

use super::{SECRET, Site, allowed, checks, delivery, with_cluster};
use crate::{
    peers::{Kubernetes, Peers, wait_for},
    support::{
        Given,
        house::{BOUND, House, name},
    },
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        with_cluster(peers, "whoever_can_read_a_delivery_knows_it_and_leaves_work_behind", readers_know),
        with_cluster(peers, "without_the_right_to_ask_exposure_by_delivery_is_unknown", not_allowed_to_ask),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The same as usual, and how people appear in the cluster.
fn with_people(namespace: &str) -> String {
    let people = "people:\n  provider: dev\n  user-claim: subject\n  user-prefix: 'oidc:'\n  groups:\n  \
                  - {group: engineering, as: 'oidc:platform'}\n";
    let delivery = delivery("reports", "reports", namespace, SECRET);
    format!("{}{people}{delivery}", allowed(&[(namespace, "supa-team")]))
}

async fn sign_in(house: &House, subject: &str, groups: &[&str]) -> Result<PersonId> {
    let assertion = Assertion {
        provider: name("dev"),
        issuer: "http://127.0.0.1:9".to_owned(),
        subject: subject.to_owned(),
        display_name: subject.to_owned(),
        email: Some(format!("{subject}@example.com")),
        groups: groups.iter().map(|it| (*it).to_owned()).collect::<BTreeSet<_>>(),
        sid: None,
        authenticated_at: house.app.ambient.now(),
        acr: None,
        amr: Vec::new(),
        sealed_id_token: None,
    };
    let arrival = Arrival { label: "a test".to_owned(), network: None, replaces: None };
    Ok(house.app.identity.take_in(assertion, arrival).await?.person)
}

/// Makes a Role that allows `verb` on Secrets, binds it to a user or a group, and waits until that has its
/// effect: the authorizer hears of it a little later.
async fn allow(cluster: &Kubernetes, namespace: &str, verb: &str, (kind, who): (&str, &str)) -> Result<()> {
    let mut rule = json!({ "apiGroups": [""], "resources": ["secrets"], "verbs": [verb] });
    if verb == "get" {
        rule["resourceNames"] = json!([SECRET]);
    }
    cluster.create_role(namespace, verb, json!([rule])).await?;
    bind(cluster, namespace, verb, kind, who).await?;
    let (user, groups) = if kind == "User" { (Some(who), None) } else { (None, Some([who])) };
    let attributes = json!({ "namespace": namespace, "verb": verb, "resource": "secrets", "name": SECRET });
    let spec = json!({ "resourceAttributes": attributes, "user": user, "groups": groups });
    let review =
        json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec });
    wait_for(&format!("{who} may {verb}"), BOUND, async || {
        let path = "apis/authorization.k8s.io/v1/subjectaccessreviews";
        let answer = cluster.call(Method::POST, path, Some(review.clone())).await.ok()?;
        (answer["status"]["allowed"] == true).then_some(())
    })
    .await
}

async fn bind(cluster: &Kubernetes, namespace: &str, role: &str, kind: &str, who: &str) -> Result<()> {
    let path = format!("apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings");
    let body = json!({
        "metadata": { "name": role },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": who }],
    });
    cluster.call(Method::POST, &path, Some(body)).await.map(drop)
}

/// Which versions of PASSWORD somebody could read, by what is noted.
async fn readable(house: &House, person: PersonId) -> Result<Vec<i64>> {
    let query = sql("SELECT v.number FROM exposures e JOIN versions v ON v.id = e.version \
                     WHERE e.principal = $1 AND e.how = 'delivery' ORDER BY v.number");
    let rows: Vec<(i64,)> = house.app.database.fetch_all(query.bind(person.to_string())).await?;
    Ok(rows.into_iter().map(|(number,)| number).collect())
}

async fn comes_to_know(house: &House, person: PersonId, versions: &[i64]) -> Result<()> {
    let look = async || (readable(house, person).await.ok()? == versions).then_some(());
    wait_for(&format!("{person} can read {versions:?}"), BOUND, look).await
}

async fn readers_know(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let (house, cluster, namespace) = (&site.house, &site.cluster, &site.namespace);
    let lena = sign_in(house, "lena", &["engineering"]).await?;
    let omar = sign_in(house, "omar", &[]).await?;
    let eve = sign_in(house, "eve", &["elsewhere"]).await?;
    allow(cluster, namespace, "get", ("Group", "oidc:platform")).await?;
    house.declare(&with_people(namespace)).await?;
    site.deliver("PASSWORD", "one").await?;
    comes_to_know(house, lena, &[1]).await?;
    ensure!(readable(house, omar).await?.is_empty() && readable(house, eve).await?.is_empty());
    // Listing is reading, too.
    allow(cluster, namespace, "list", ("User", "oidc:omar")).await?;
    site.deliver("PASSWORD", "two").await?;
    comes_to_know(house, lena, &[1, 2]).await?;
    comes_to_know(house, omar, &[2]).await?;
    ensure!(readable(house, eve).await?.is_empty(), "eve can read nothing");
    is_told(house, omar).await?;
    // A leaver leaves work behind for what she could read, and for nothing else.
    house.dana.act_on_person(&omar.to_string(), PersonAct::Deactivate, "left").await?;
    wait_for("there is a task of his", BOUND, async || {
        let tasks = sql("SELECT c.task FROM rotation_causes c JOIN rotation_tasks t ON t.id = c.task \
                         WHERE c.person = $1 AND t.state = 'open'");
        let tasks: Vec<(String,)> = house.app.database.fetch_all(tasks.bind(omar)).await.ok()?;
        (tasks.len() == 1).then_some(())
    })
    .await?;
    site.close().await
}

/// The list names who could read it and how, the log has an entry for each, and nothing is unknown.
async fn is_told(house: &House, omar: PersonId) -> Result<()> {
    let at = "reports/sandbox/PASSWORD".parse().map_err(anyhow::Error::msg)?;
    let found = house.dana.exposures_of_secret(&at).await?;
    let his = found.items.iter().find(|it| it.principal == omar.to_string()).context("not listed")?;
    ensure!(his.how == "delivery" && his.is_current && his.deliveries == ["reports"], "{his:?}");
    let entries = house.entries("secret.readable").await?;
    let entry =
        entries.iter().find(|it| i64::try_from(it.index).ok() == his.last_entry).context("no entry")?;
    ensure!(entry.subject == Some(omar.to_string()) && entry.payload["as"] == "oidc:omar", "{entry:?}");
    // Dana is of engineering, too; twice the two of them, and Omar once.
    ensure!(entries.len() == 5, "{entries:?}");
    wait_for("nothing is unknown", BOUND, async || {
        let at = "reports/sandbox/PASSWORD".parse().ok()?;
        house.dana.exposures_of_secret(&at).await.ok()?.unknown.is_empty().then_some(())
    })
    .await
}

async fn unknown(house: &House) -> Option<String> {
    let at = "reports/sandbox/PASSWORD".parse().ok()?;
    house.dana.exposures_of_secret(&at).await.ok()?.unknown.pop().map(|it| it.because)
}

async fn not_allowed_to_ask(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let (house, cluster, namespace) = (&site.house, &site.cluster, &site.namespace);
    site.deliver("PASSWORD", "one").await?;
    let why = unknown(house).await.context("it is known")?;
    ensure!(why.contains("add 'people' to its Cluster"), "{why}");
    let role = format!("apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/port-control");
    cluster.call(Method::DELETE, &role, None).await?;
    let mut rules = crate::peers::secret_rules();
    rules.as_array_mut().context("no rules")?.truncate(1);
    cluster.create_role(namespace, "port-control", rules).await?;
    house.declare(&with_people(namespace)).await?;
    let words = ["no right to ask who can read Secrets", "localsubjectaccessreviews", namespace];
    wait_for("check says which right is missing", BOUND, async || {
        checks::says(&checks::found(&site.given).await.ok()?, CheckLevel::Warning, &words).ok()
    })
    .await?;
    site.deliver("PASSWORD", "two").await?;
    wait_for("the list says which right is missing", BOUND, async || {
        unknown(house).await?.contains("localsubjectaccessreviews").then_some(())
    })
    .await?;
    ensure!(house.entries("delivery.readers-unknown").await?.len() == 1, "it is noted once");
    // Given the right, it is known with the next value at the latest.
    cluster.call(Method::DELETE, &role, None).await?;
    cluster.create_role(namespace, "port-control", crate::peers::secret_rules()).await?;
    wait_for("the right is there", BOUND, async || {
        let findings = checks::found(&site.given).await.ok()?;
        findings.iter().all(|it| it.level == CheckLevel::Fine).then_some(())
    })
    .await?;
    site.deliver("PASSWORD", "three").await?;
    wait_for("it is known", BOUND, async || unknown(house).await.is_none().then_some(())).await?;
    site.close().await
}
