//! Invariant 1, over every route there is.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use data_encoding::BASE64URL_NOPAD;
use libtest_mimic::Trial;
use port_control::store::sql;
use reqwest::Method;
use ring::digest::{SHA256, digest};
use serde_json::json;

use super::{
    house::{Answer, Differently, House, Person, send},
    routes::{self, Example, Route},
};
use crate::{
    peers::Peers,
    support::{Given, on_sqlite},
};

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = on_sqlite(peers, "web::permit_sweep", permit_sweep);
    trials.extend(on_sqlite(peers, "web::permit_sweep_of_a_public_log", permit_sweep_of_a_public_log));
    trials
}

/// What every active person may call, because it is about herself or answers with what she may see: in
/// these answers nothing of anybody else's may stand.
const OWN: &[(&str, &str)] = &[
    ("GET", "/api/v1/whoami"),
    ("GET", "/api/v1/sessions"),
    ("GET", "/api/v1/requests"),
    ("GET", "/api/v1/exposures"),
    ("GET", "/api/v1/grants"),
    ("GET", "/api/v1/leases"),
    ("GET", "/api/v1/moves"),
    ("GET", "/api/v1/applications"),
    ("GET", "/api/v1/deliveries"),
    ("GET", "/whoami"),
    ("GET", "/requests"),
    ("GET", "/logins/{login}"),
    ("POST", "/logins/{login}"),
    ("POST", "/sign-out"),
    ("GET", "/device"),
    ("POST", "/device"),
];

/// A house in which everything that the routes name is there.
pub struct Furnished {
    pub house: House,
    pub example: Example,
    pub dana: Person,
}

impl Furnished {
    pub async fn new(given: &Given, differently: Differently) -> Result<Self> {
        let house = House::open_differently(given, differently).await?;
        let dana = house.example("dana").await?;
        let at = "/api/v1/applications/reports/environments/sandbox/secrets/DATABASE_URL/versions";
        house.post(&dana, at, &routes::body(at)).await?.done()?;
        let request = house.a_request(&dana).await?;
        let login = a_login(&house).await?;
        let person = "dana@example.com".to_owned();
        let example = Example { person, session: dana.session.to_string(), request, login };
        let signed =
            || async { Ok(!house.all::<(i64,)>(sql("SELECT size FROM checkpoints")).await?.is_empty()) };
        house.eventually("the log is signed", signed).await?;
        Ok(Self { house, example, dana })
    }

    /// Calls a route as somebody would who knows what it takes.
    pub async fn call(&self, route: &Route, person: Option<&Person>) -> Result<Answer> {
        let path = self.example.fill(&route.path)?;
        let mut request = match person {
            None => self.house.request(route.method(), &path),
            Some(person) if route.is_page => self.house.by_cookie(person, route.method(), &path),
            Some(person) => self.house.as_bearer(person, route.method(), &path),
        };
        if route.changes() && route.is_page {
            let csrf = person.map(|person| self.house.csrf(person)).unwrap_or_default();
            let form = [("csrf", csrf.as_str()), ("verdict", "approve"), ("reason", "")];
            request = request.header("origin", &self.house.url).form(&form);
        } else if route.method == "POST" {
            request = request.json(&routes::body(&route.path));
        }
        send(request).await.with_context(|| route.to_string())
    }
}

/// A command line that waits for a click; its verifier is 43 times the letter v.
pub async fn a_login(house: &House) -> Result<String> {
    let challenge = BASE64URL_NOPAD.encode(digest(&SHA256, "v".repeat(43).as_bytes()).as_ref());
    let wish = json!({ "challenge": challenge, "port": 50_000, "state": "s".repeat(22), "machine": "box" });
    let answer = send(house.request(Method::POST, "/api/v1/logins").json(&wish)).await?.done()?;
    Ok(answer["login"].as_str().context("no login")?.to_owned())
}

async fn permit_sweep(given: Given) -> Result<()> {
    sweep(given, false).await
}

async fn permit_sweep_of_a_public_log(given: Given) -> Result<()> {
    sweep(given, true).await
}

async fn sweep(given: Given, public_log: bool) -> Result<()> {
    let furnished = Furnished::new(&given, Differently { public_log, ..Differently::default() }).await?;
    let (suspended, deactivated) = gone(&furnished.house).await?;
    let all = routes::all()?;
    lists_name_routes_that_are_there(&all)?;
    ensure!(all.len() > 60, "only {} routes were found", all.len());
    let mut wrong = Vec::new();
    connections_alone(&furnished, &all, [&suspended, &deactivated]).await?;
    for route in all.iter().filter(|route| !route.is_public() && !route.is_of_a_connection()) {
        let open = route.is_of_the_log() && public_log;
        let stranger = furnished.house.sign_in("stranger", &["nobody-knows-this-group"]).await?;
        let answers = [
            ("anonymous", furnished.call(route, None).await?, anonymous as Verdict),
            ("suspended", furnished.call(route, Some(&suspended)).await?, |route, it| {
                refused(route, it, "person-suspended")
            }),
            ("deactivated", furnished.call(route, Some(&deactivated)).await?, |route, it| {
                refused(route, it, "person-deactivated")
            }),
            ("a stranger", furnished.call(route, Some(&stranger)).await?, foreign),
        ];
        for (who, answer, is_right) in answers {
            let right = if open { is_told(route, &answer) } else { is_right(route, &answer) };
            if !right {
                wrong.push(format!("{who}: {route}: {} {}", answer.status, answer.text));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    nobody_did_anything(&furnished.house).await
}

/// What connections call answers to no person, whoever she is, and says so as its standard has it.
async fn connections_alone(furnished: &Furnished, all: &[Route], gone: [&Person; 2]) -> Result<()> {
    let callers = [None, Some(&furnished.dana), Some(gone[0]), Some(gone[1])];
    let mut seen = 0;
    for route in all.iter().filter(|route| route.is_of_a_connection()) {
        seen += 1;
        for caller in callers {
            let answer = furnished.call(route, caller).await?;
            let is_scim = answer.header("content-type") == "application/scim+json";
            ensure!(answer.status == 401 && is_scim, "{route}: {} {}", answer.status, answer.text);
        }
    }
    ensure!(seen > 15, "only {seen} routes of connections were found");
    Ok(())
}

/// Everybody is answered; of what witnesses cosigned, that there are none here.
fn is_told(route: &Route, answer: &Answer) -> bool {
    let has_none = route.path.ends_with("/witnessed-checkpoint") && answer.problem() == "conflict";
    answer.status.is_success() || has_none
}

type Verdict = fn(&Route, &Answer) -> bool;

fn anonymous(route: &Route, answer: &Answer) -> bool {
    if route.is_page {
        return answer.status == 303 && answer.header("location").starts_with("/sign-in?return_to=");
    }
    answer.status == 401
        && answer.problem() == "unauthenticated"
        && answer.header("www-authenticate") == "Bearer"
}

fn refused(route: &Route, answer: &Answer, problem: &str) -> bool {
    if route.is_page {
        let says = if problem == "person-suspended" { "suspended" } else { "deactivated" };
        return answer.status == 403 && answer.text.contains(says);
    }
    answer.status == 403 && answer.problem() == problem
}

/// Somebody who is in no trust scope.
fn foreign(route: &Route, answer: &Answer) -> bool {
    if OWN.contains(&(route.method.as_str(), route.path.as_str())) {
        let others = ["dana@example.com", "INC-123", "DATABASE_URL", "reports-env", "hunter2"];
        return answer.status.as_u16() < 400 && !others.iter().any(|theirs| answer.text.contains(theirs));
    }
    if route.is_page {
        return [403, 404].contains(&answer.status.as_u16()) && !answer.text.contains("INC-123");
    }
    let problem = answer.problem();
    [403, 404].contains(&answer.status.as_u16())
        && ["denied", "needs-grant", "not-found"].contains(&problem.as_str())
}

/// A person who is suspended, and one who is deactivated, each with a token that was good before.
pub async fn gone(house: &House) -> Result<(Person, Person)> {
    let ada = house.example("ada").await?;
    let suspended = house.sign_in("suspended", &["engineering", "leads", "it", "audit"]).await?;
    let lena = house.sign_in("lena", &["engineering", "leads", "it", "audit"]).await?;
    for (person, act) in [(&suspended, "suspend"), (&lena, "deactivate")] {
        let path = format!("/api/v1/people/{}/{act}", person.id);
        house.post(&ada, &path, &json!({ "reason": "a test" })).await?.done()?;
    }
    Ok((suspended, lena))
}

/// A list of what is open must not outlive what it lists.
fn lists_name_routes_that_are_there(all: &[Route]) -> Result<()> {
    use port_control::api::public;
    let there: BTreeSet<(&str, &str)> = all.iter().map(|it| (it.method.as_str(), it.path.as_str())).collect();
    for listed in [public::ROUTES, public::PAGES, public::LOG, OWN].concat() {
        ensure!(there.contains(&listed), "{listed:?} is listed, and there is no such route");
    }
    Ok(())
}

/// Dana's request is pending still, her session works, and her secret has one version.
async fn nobody_did_anything(house: &House) -> Result<()> {
    let states: Vec<(String,)> = house.all(sql("SELECT state FROM requests")).await?;
    ensure!(states == [("pending".to_owned(),)], "{states:?}");
    let versions: Vec<(i64,)> = house.all(sql("SELECT number FROM versions")).await?;
    ensure!(versions.len() == 1, "{versions:?}");
    let exposed: Vec<(String,)> = house.all(sql("SELECT DISTINCT principal FROM exposures")).await?;
    ensure!(exposed.len() == 1, "{exposed:?}");
    Ok(())
}
