//! Invariant 2, over every route there is.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use data_encoding::BASE64URL_NOPAD;
use libtest_mimic::Trial;
use port_control::store::sql;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::{
    house::{Differently, House, Person},
    permits::{Furnished, a_login},
    routes,
};
use crate::{
    peers::Peers,
    support::{Given, on_sqlite},
};

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = on_sqlite(peers, "web::audit_sweep_of_denials", audit_sweep_of_denials);
    trials.extend(on_sqlite(peers, "web::audit_sweep_of_what_is_told", audit_sweep_of_what_is_told));
    trials.extend(on_sqlite(peers, "web::audit_sweep_of_the_gone", audit_sweep_of_the_gone));
    trials.extend(on_sqlite(peers, "web::audit_sweep_of_changes", audit_sweep_of_changes));
    trials
}

/// Every `denied` and `needs-grant` that somebody gets is in the log, with who she is and what she wanted.
async fn audit_sweep_of_denials(given: Given) -> Result<()> {
    let furnished = Furnished::new(&given, Differently::default()).await?;
    let mut denied = 0;
    for (number, route) in routes::all()?.iter().filter(|route| !route.is_public()).enumerate() {
        // Another person each time: who is refused the same over and over is counted, not listed.
        let stranger = furnished.house.sign_in(&format!("stranger-{number}"), &[]).await?;
        let answer = furnished.call(route, Some(&stranger)).await?;
        if answer.status != 403 {
            continue;
        }
        denied += 1;
        let entries: Vec<(String, String)> = furnished
            .house
            .all(
                sql("SELECT kind, decision FROM entries WHERE actor = $1 ORDER BY idx")
                    .bind(stranger.id.to_string()),
            )
            .await?;
        let expected = [("denial".to_owned(), "deny".to_owned())];
        ensure!(entries == expected, "{route}: {entries:?}");
    }
    ensure!(denied > 25, "only {denied} routes were denied");
    Ok(())
}

/// What is only read and recorded all the same: values, and the log. Lists of names and states are not.
const RECORDED: &[&str] = &[
    "/api/v1/applications/{application}/environments/{environment}/secrets/{name}/value",
    "/audit/v1/access",
    "/audit/v1/bundle",
    "/audit/v1/entries",
    "/audit/v1/export",
];

async fn audit_sweep_of_what_is_told(given: Given) -> Result<()> {
    let furnished = Furnished::new(&given, Differently::default()).await?;
    let aya = furnished.house.example("aya").await?;
    for route in routes::all()?.iter().filter(|route| !route.changes() && !route.is_public()) {
        for person in [&furnished.dana, &aya] {
            if route.path.ends_with("/events") {
                continue;
            }
            let query = || {
                let query = sql("SELECT action FROM entries WHERE actor = $1 AND decision = 'allow'");
                furnished.house.all::<(String,)>(query.bind(person.id.to_string()))
            };
            let before = query().await?.len();
            let is_told = furnished.call(route, Some(person)).await?.status.is_success();
            let expected = usize::from(is_told && RECORDED.contains(&route.path.as_str()));
            ensure!(query().await?.len() - before == expected, "{route}: {:?}", query().await?.last());
        }
    }
    Ok(())
}

/// Whoever calls by a token of before is told of in the log, too: whose it was, which, and from where.
async fn audit_sweep_of_the_gone(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (suspended, deactivated) = super::permits::gone(&house).await?;
    for (person, denial) in [(&suspended, "person-suspended"), (&deactivated, "person-deactivated")] {
        for _ in 0..30 {
            house.get(person, "/api/v1/whoami").await?.is_problem(403, denial)?;
        }
        let entries =
            sql("SELECT kind, decision FROM entries WHERE subject = $1 AND action = 'session.used'");
        let entries: Vec<(String, String)> = house.all(entries.bind(person.id.to_string())).await?;
        ensure!(entries == [("denial".to_owned(), "deny".to_owned())], "{entries:?}");
    }
    Ok(())
}

/// What changes nothing although it is posted: it is not recorded.
const CHANGES_NOTHING: &[(&str, &str)] = &[
    ("POST", "/api/v1/plan"),
    // Somebody waits who is nobody yet; the click is recorded, and so is the session that it brings.
    ("POST", "/api/v1/logins"),
    // The same for a machine that shows a code, and for one that waits to be confirmed.
    ("POST", "/api/v1/device/authorization"),
    ("POST", "/api/v1/step-ups"),
    // What it ends is recorded, session by session: `identity::a_logout_at_the_provider_…`.
    ("POST", "/sign-in/{provider}/backchannel-logout"),
];

/// What takes an engine that makes credentials: `engines::leases` sees what each of these leaves in the log.
const WITH_AN_ENGINE: &[(&str, &str)] = &[
    ("POST", "/api/v1/leases"),
    ("POST", "/api/v1/leases/{lease}/renew"),
    ("POST", "/api/v1/leases/{lease}/revoke"),
];

/// One change after another, each by somebody who may: the log grows with each.
struct Changes<'h> {
    house: &'h House,
    made: BTreeSet<(String, String)>,
}

impl Changes<'_> {
    /// Whether she did something since, or a session of hers began: what our services do by themselves
    /// does not count.
    async fn has_entry(&self, person: &Person, since: i64) -> Result<bool> {
        let query = sql("SELECT action FROM entries WHERE idx >= $1 AND decision = 'allow' \
                         AND (actor = $2 OR action = 'session.began')");
        let entries: Vec<(String,)> = self.house.all(query.bind(since).bind(person.id.to_string())).await?;
        Ok(!entries.is_empty())
    }

    /// Calls `route`, at `path`, and sees the log grow.
    async fn make(&mut self, person: &Person, route: &str, path: &str, body: Value) -> Result<Value> {
        let before = self.house.log_size().await?;
        let is_page = !route.starts_with("/api/") && !route.starts_with("/audit/");
        let answer = if is_page {
            let fields: Vec<(&str, &str)> = body
                .as_object()
                .into_iter()
                .flatten()
                .filter_map(|(k, v)| Some((k.as_str(), v.as_str()?)))
                .collect();
            self.house.submit(person, path, &fields).await?
        } else {
            self.house.post(person, path, &body).await?
        };
        ensure!(answer.status.as_u16() < 400, "{route}: {} {}", answer.status, answer.text);
        ensure!(self.has_entry(person, before).await?, "{route} left no entry");
        self.made.insert(("POST".to_owned(), route.to_owned()));
        Ok(answer.json())
    }
}

/// Whether everything that she held has ended.
async fn nothing_left(house: &House, person: &Person) -> Result<bool> {
    let left = sql("SELECT id FROM grants WHERE person = $1 AND ended_at IS NULL \
                    UNION ALL SELECT id FROM requests WHERE person = $1 AND state = 'pending'");
    Ok(house.all::<(String,)>(left.bind(person.id)).await?.is_empty())
}

/// Somebody knows a value that is in use, leaves, and is closed by hand.
async fn close_leaver(changes: &mut Changes<'_>, ada: &Person) -> Result<()> {
    let house = changes.house;
    let leaver = house.sign_in("knows-something", &["engineering"]).await?;
    let secret = "/api/v1/applications/reports/environments/sandbox/secrets/KNOWN/versions";
    house.post(&leaver, secret, &json!({ "encoding": "utf8", "value": "known" })).await?.done()?;
    let reason = json!({ "reason": "a test" });
    house.post(ada, &format!("/api/v1/people/{}/deactivate", leaver.id), &reason).await?.done()?;
    let opened = async || {
        let rows = sql("SELECT person FROM leavers WHERE person = $1").bind(leaver.id);
        Ok(!house.all::<(String,)>(rows).await?.is_empty())
    };
    house.eventually("that she left is noted", opened).await?;
    let path = format!("/api/v1/leavers/{}/close", leaver.id);
    changes.make(ada, "/api/v1/leavers/{person}/close", &path, reason).await?;
    Ok(())
}

/// Two people are held, as a connection's removals would be: one is released, one rejected.
async fn decide_removals(changes: &mut Changes<'_>, ada: &Person) -> Result<()> {
    let expected = json!({ "number": 3, "until": "2100-01-01T00:00:00Z", "reason": "a test" });
    let path = "/api/v1/removals/expected";
    let announced = changes.make(ada, path, path, expected).await?;
    let withdraw = format!("{path}/{}/withdraw", announced["id"].as_str().context("no id")?);
    let reason = json!({ "reason": "a test" });
    changes.make(ada, "/api/v1/removals/expected/{announcement}/withdraw", &withdraw, reason).await?;
    for act in ["release", "reject"] {
        let held = changes.house.sign_in(&format!("held-{act}"), &["engineering"]).await?;
        changes.house.hold(&held, "okta").await?;
        let body = json!({ "person": held.id, "reason": "a test" });
        let path = format!("/api/v1/removals/{act}");
        changes.make(ada, &path, &path, body).await?;
    }
    Ok(())
}

/// What the example does not declare yet, beside an application with a secret to rotate.
const MORE: &str = "---\nkind: Workload\nname: more-ci\nissuer: github\n\
                    pins: {repository_id: 22, repository_owner_id: 11, event_name: push}\n";

/// Dana's command line has her confirm who she is.
async fn confirm(changes: &mut Changes<'_>, token: &str) -> Result<()> {
    let house = changes.house;
    let cli = |path: &str, body: Value| {
        super::house::send(house.request(reqwest::Method::POST, path).bearer_auth(token).json(&body))
    };
    let challenge = BASE64URL_NOPAD.encode(digest(&SHA256, "v".repeat(43).as_bytes()).as_ref());
    let wish = json!({ "challenge": challenge, "port": 50_000, "state": "s".repeat(22) });
    let login = cli("/api/v1/step-ups", wish).await?.done()?["login"].as_str().context("no id")?.to_owned();
    // The provider has to have spoken since.
    let dana = house.example("dana").await?;
    let clicked = house.submit(&dana, &format!("/logins/{login}"), &[]).await?;
    let back: url::Url = clicked.header("location").parse()?;
    let code = back.query_pairs().find(|(name, _)| name == "code").context("no code")?.1.into_owned();
    let proof = json!({ "code": code, "verifier": "v".repeat(43) });
    let done = cli(&format!("/api/v1/step-ups/{login}/confirm"), proof).await?;
    ensure!(done.status == 204, "{done:?}");
    let raised: Vec<(String,)> =
        house.all(sql("SELECT subject FROM entries WHERE action = 'session.raised'")).await?;
    ensure!(raised.len() == 1, "{raised:?}");
    changes.made.insert(("POST".to_owned(), "/api/v1/step-ups/{login}/confirm".to_owned()));
    Ok(())
}

/// A machine shows a code, Dana types it, and the machine is signed in.
async fn by_code(changes: &mut Changes<'_>) -> Result<()> {
    let house = changes.house;
    let dana = house.example("dana").await?;
    let post = |path: &str, form: Vec<(&'static str, String)>| {
        super::house::send(house.request(reqwest::Method::POST, path).form(&form))
    };
    let machine = vec![("machine", "box".to_owned())];
    let codes = post("/api/v1/device/authorization", machine).await?.done()?;
    let typed = json!({ "user_code": codes["user_code"], "verdict": "approve" });
    changes.make(&dana, "/device", "/device", typed).await?;
    let before = house.log_size().await?;
    let grant = vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code".to_owned()),
        ("device_code", codes["device_code"].as_str().context("no code")?.to_owned()),
    ];
    post("/api/v1/device/token", grant).await?.done()?;
    ensure!(changes.has_entry(&dana, before).await?, "a machine was signed in without an entry");
    changes.made.insert(("POST".to_owned(), "/api/v1/device/token".to_owned()));
    Ok(())
}

#[expect(
    clippy::too_many_lines,
    reason = "a list of everything that changes something, and what is asked of it"
)]
async fn audit_sweep_of_changes(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (ada, dana, omar) =
        (house.example("ada").await?, house.example("dana").await?, house.example("omar").await?);
    let lena = house.example("lena").await?;
    let mut changes = Changes { house: &house, made: BTreeSet::new() };

    let mut files = super::house::example()?;
    files.push(json!({ "file": "more.yaml", "text": format!("{}{MORE}", super::rotation::MORE) }));
    changes.make(&ada, "/api/v1/apply", "/api/v1/apply", json!({ "documents": files })).await?;

    let template = "/api/v1/applications/{application}/environments/{environment}/secrets/{name}/";
    let secret = "/api/v1/applications/reports/environments/sandbox/secrets/A/";
    for (act, body) in [
        ("versions", json!({ "encoding": "utf8", "value": "one" })),
        ("generate", json!({})),
        ("rollback", json!({ "to": 1 })),
        ("delete", json!({})),
        ("undelete", json!({})),
    ] {
        changes.make(&dana, &format!("{template}{act}"), &format!("{secret}{act}"), body).await?;
    }
    let (route, path) = (format!("{template}destroy"), format!("{secret}destroy"));
    changes.make(&omar, &route, &path, json!({ "version": 1 })).await?;
    let run = "/api/v1/applications/{application}/environments/{environment}/run";
    changes.make(&dana, run, "/api/v1/applications/reports/environments/sandbox/run", json!({})).await?;

    let hers = json!({ "encoding": "utf8", "value": "hers" });
    let key = "/api/v1/applications/more/environments/sandbox/secrets/KEY";
    house.post(&lena, &format!("{key}/versions"), &hers).await?.done()?;

    let wish = |at: &str| json!({ "action": "reveal", "at": at, "for": "1h", "reason": "INC-123" });
    let requests = "/api/v1/requests";
    let mut ids = Vec::new();
    for (person, at) in [
        (&dana, "reports/production"),
        (&lena, "reports/production"),
        (&dana, "billing/production"),
        (&lena, "billing/production"),
    ] {
        let asked = changes.make(person, requests, requests, wish(at)).await?;
        ids.push(asked["request"]["id"].as_str().context("no id")?.to_owned());
    }
    let of = |act: &str, id: &str| (format!("{requests}/{{id}}/{act}"), format!("{requests}/{id}/{act}"));
    let (route, path) = of("approve", &ids[0]);
    changes.make(&omar, &route, &path, json!({ "reason": "fine" })).await?;
    let (route, path) = of("deny", &ids[1]);
    changes.make(&omar, &route, &path, json!({ "reason": "no" })).await?;
    let (route, path) = of("cancel", &ids[2]);
    changes.make(&dana, &route, &path, json!({})).await?;
    let page = format!("/requests/{}", ids[3]);
    changes.make(&omar, "/requests/{id}", &page, json!({ "verdict": "approve", "reason": "" })).await?;

    for (act, body) in [("pause", json!({ "for": "1h", "reason": "a test" })), ("resume", json!({}))] {
        let path = format!("/api/v1/deliveries/reports-production/{act}");
        changes.make(&dana, &format!("/api/v1/deliveries/{{name}}/{act}"), &path, body).await?;
    }

    let (login, verifier) = (a_login(&house).await?, "v".repeat(43));
    let clicked = house.submit(&dana, &format!("/logins/{login}"), &[]).await?;
    changes.make(&dana, "/logins/{login}", &format!("/logins/{}", a_login(&house).await?), json!({})).await?;
    let back: url::Url = clicked.header("location").parse()?;
    let code = back.query_pairs().find(|(name, _)| name == "code").context("no code")?.1.into_owned();
    let token = "/api/v1/logins/{login}/token";
    let exchange = json!({ "code": code, "verifier": verifier });
    let cli = changes.make(&dana, token, &format!("/api/v1/logins/{login}/token"), exchange).await?;
    confirm(&mut changes, cli["token"].as_str().context("no token")?).await?;
    by_code(&mut changes).await?;
    let right = house.app.identity.create_recovery("a test").await?;
    let right = json!({ "token": right.token.expose_text() });
    changes.make(&dana, "/api/v1/recovery", "/api/v1/recovery", right).await?;
    let issued =
        || house.all::<(i64,)>(sql("SELECT idx FROM entries WHERE action = 'workload.token-issued'"));
    let own = house.jobs.token(&house.url, &json!({}));
    let exchanged = super::workloads::exchange(&house, &own, &[]).await?;
    ensure!(exchanged.status == 200 && issued().await?.len() == 1, "{exchanged:?}");
    changes.made.insert(("POST".to_owned(), "/api/v1/token".to_owned()));
    changes.make(&dana, "/sign-out", "/sign-out", json!({})).await?;

    let person = "/api/v1/people/{person}/";
    for act in ["suspend", "resume", "sign-out", "deactivate", "reactivate", "deactivate"] {
        let path = format!("/api/v1/people/{}/{act}", lena.id);
        let done = async || nothing_left(&house, &lena).await;
        if act == "reactivate" {
            house.eventually("what she held has ended", done).await?;
        }
        changes.make(&ada, &format!("{person}{act}"), &path, json!({ "reason": "a test" })).await?;
    }
    close_leaver(&mut changes, &ada).await?;
    decide_removals(&mut changes, &ada).await?;
    let task = super::rotation::the_task(&house, &ada).await?;
    let of =
        |act: &str| (format!("/api/v1/rotation/{{task}}/{act}"), format!("/api/v1/rotation/{task}/{act}"));
    let until = house.app.ambient.now().after(std::time::Duration::from_hours(24)).to_string();
    let ((route, path), why) = (of("waive"), json!({ "reason": "a test" }));
    let asked = changes.make(&ada, &route, &path, json!({ "reason": "a test", "until": until })).await?;
    let (route, path) = of("confirm");
    changes.make(&omar, &route, &path, json!({ "waiver": asked["waiver"]["id"] })).await?;
    let (route, path) = of("unwaive");
    changes.make(&ada, &route, &path, why.clone()).await?;
    let dana = house.example("dana").await?;
    house.post(&dana, &format!("{key}/generate"), &json!({})).await?.done()?;
    let (route, path) = of("done");
    changes.make(&dana, &route, &path, why).await?;
    let body = json!({ "person": "all", "reason": "a test" });
    let held = changes.make(&ada, "/audit/v1/holds", "/audit/v1/holds", body).await?;
    let release = format!("/audit/v1/holds/{}/release", held["hold"].as_str().context("no id")?);
    let why = json!({ "reason": "a test" });
    changes.make(&ada, "/audit/v1/holds/{hold}/release", &release, why.clone()).await?;
    let path = format!("/audit/v1/people/{}/forget", lena.id);
    changes.make(&ada, "/audit/v1/people/{person}/forget", &path, why).await?;
    let connections = "/api/v1/scim-connections";
    changes.make(&ada, connections, connections, routes::body(connections)).await?;
    for (act, body) in [
        ("rotate", json!({})),
        ("retire", json!({})),
        ("set", json!({ "removals_number": 7 })),
        ("disable", json!({ "reason": "a test" })),
    ] {
        let (route, path) =
            (format!("{connections}/{{connection}}/{act}"), format!("{connections}/okta/{act}"));
        changes.make(&ada, &route, &path, body).await?;
    }
    let before = house.log_size().await?;
    let path = format!("/api/v1/sessions/{}", omar.session);
    let ended = super::house::send(house.as_bearer(&omar, reqwest::Method::DELETE, &path)).await?;
    ensure!(ended.status == 204 && house.log_size().await? > before, "{ended:?}");
    changes.made.insert(("DELETE".to_owned(), "/api/v1/sessions/{session}".to_owned()));

    let left: Vec<String> = routes::all()?
        .iter()
        // What connections change is looked at in tests/scim.
        .filter(|route| route.changes() && !route.is_of_a_connection())
        .filter(|route| !changes.made.contains(&(route.method.clone(), route.path.clone())))
        .filter(|route| {
            let route = (route.method.as_str(), route.path.as_str());
            !CHANGES_NOTHING.contains(&route) && !WITH_AN_ENGINE.contains(&route)
        })
        .map(ToString::to_string)
        .collect();
    ensure!(left.is_empty(), "nobody looked whether these leave an entry: {left:?}");
    Ok(())
}
