//! Our own device flow (RFC 8628), as a machine and as a browser see it.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::store::sql;
use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::{
    peers::Peers,
    support::{Given, on_each_database, on_sqlite, program::Portctl},
    web::house::{Answer, Differently, House, Person, send},
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_each_database(peers, "identity::a_machine_is_signed_in_by_a_code", signed_in_by_a_code),
        on_sqlite(peers, "identity::portctl_login_shows_a_code", portctl_shows_a_code),
        on_sqlite(peers, "identity::abuse_24_a_code_from_elsewhere_is_warned_of", abuse_24_phishing),
        on_sqlite(peers, "identity::abuse_24_codes_are_not_guessed", abuse_24_guesses),
        on_sqlite(peers, "identity::a_machine_that_does_not_wait_is_slowed", slowed),
        on_sqlite(peers, "identity::the_device_flow_is_off_unless_it_is_switched_on", off_by_default),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn begun(house: &House) -> Result<Value> {
    let form = [("client_id", "portctl"), ("machine", "build-box")];
    send(house.request(Method::POST, "/api/v1/device/authorization").form(&form)).await?.done()
}

async fn asked(house: &House, codes: &Value) -> Result<Answer> {
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", codes["device_code"].as_str().context("no code")?),
        ("client_id", "portctl"),
    ];
    send(house.request(Method::POST, "/api/v1/device/token").form(&form)).await
}

/// As a standard client reads an error: 400, and the standard's word.
fn says(answer: &Answer, word: &str) -> Result<()> {
    ensure!(answer.status == 400 && answer.json()["error"] == word, "wanted {word}: {answer:?}");
    Ok(())
}

async fn typed(house: &House, person: &Person, codes: &Value, verdict: Option<&str>) -> Result<Answer> {
    let code = codes["user_code"].as_str().context("no code")?.to_lowercase();
    let mut fields = vec![("user_code", code.as_str())];
    fields.extend(verdict.map(|verdict| ("verdict", verdict)));
    house.submit(person, "/device", &fields).await
}

async fn signed_in_by_a_code(given: Given) -> Result<()> {
    let house = House::bare(&given, Differently::default()).await?;
    let dana = house.example("dana").await?;
    let codes = begun(&house).await?;
    ensure!(codes["verification_uri"] == format!("{}/device", house.url), "{codes}");
    ensure!(codes["expires_in"] == 300 && codes["interval"] == 5, "{codes}");
    says(&asked(&house, &codes).await?, "authorization_pending")?;
    let shown = typed(&house, &dana, &codes, None).await?;
    ensure!(shown.text.contains("build-box") && shown.text.contains("127.0.0.1"), "{shown:?}");
    says(&asked(&house, &codes).await?, "slow_down")?;
    let done = typed(&house, &dana, &codes, Some("approve")).await?;
    ensure!(done.status == 200 && done.text.contains("signed in"), "{done:?}");
    let token = asked(&house, &codes).await?.done()?;
    ensure!(token["token_type"] == "Bearer", "its type is told");
    let bearer = token["access_token"].as_str().context("no token")?;
    let me = send(house.request(Method::GET, "/api/v1/whoami").bearer_auth(bearer)).await?.done()?;
    ensure!(me["session"]["kind"] == "cli" && me["session"]["label"] == "build-box", "{me}");
    says(&asked(&house, &codes).await?, "invalid_grant")?;
    // No is no, and once.
    let codes = begun(&house).await?;
    typed(&house, &dana, &codes, Some("deny")).await?;
    says(&asked(&house, &codes).await?, "access_denied")?;
    let late = typed(&house, &dana, &codes, Some("approve")).await?;
    ensure!(late.text.contains("no machine waits"), "{late:?}");
    let entries =
        sql("SELECT action FROM entries WHERE action IN ('login.approved', 'login.refused') ORDER BY idx");
    let entries: Vec<(String,)> = house.all(entries).await?;
    ensure!(entries == [("login.approved".to_owned(),), ("login.refused".to_owned(),)], "{entries:?}");
    house.close().await
}

async fn portctl_shows_a_code(given: Given) -> Result<()> {
    use std::io::{BufRead as _, BufReader};
    let house = House::bare(&given, Differently::default()).await?;
    let dana = house.example("dana").await?;
    let portctl = Portctl::new(&given.folder.path().join("home"), &house.url, None)?;
    let mut child = portctl.spawn(&["login", "--device"])?;
    let mut said = BufReader::new(child.stderr.take().context("no standard error")?);
    let line = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        said.read_line(&mut line).map(|_| line)
    })
    .await??;
    let code = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
    ensure!(line.contains("/device in a browser"), "{line}");
    typed(&house, &dana, &json!({ "user_code": code }), Some("approve")).await?;
    let status = tokio::task::spawn_blocking(move || child.wait()).await??;
    ensure!(status.success(), "portctl login --device ended with {status}");
    portctl.run(&["whoami"])?.done()?;
    Ok(())
}

/// The page shows from where a machine asks, and warns where that is not where its reader is. No link has the
/// code in it, so a link alone signs nobody in.
async fn abuse_24_phishing(given: Given) -> Result<()> {
    let house = House::bare(&given, Differently::default()).await?;
    let dana = house.example("dana").await?;
    let elsewhere =
        reqwest::Client::builder().local_address("127.0.0.2".parse::<std::net::IpAddr>()?).build()?;
    let form = [("client_id", "portctl"), ("machine", "Dana's laptop")];
    let codes = elsewhere.post(format!("{}/api/v1/device/authorization", house.url)).form(&form);
    let codes = send(codes).await?.done()?;
    ensure!(codes.get("verification_uri_complete").is_none(), "a link would have the code: {codes}");
    let shown = typed(&house, &dana, &codes, None).await?;
    ensure!(shown.text.contains("127.0.0.2"), "{shown:?}");
    ensure!(shown.text.contains("not the network that you are in"), "it warns: {shown:?}");
    let by_link =
        format!("/device?user_code={}&verdict=approve", codes["user_code"].as_str().unwrap_or_default());
    let by_link = send(house.by_cookie(&dana, Method::GET, &by_link)).await?;
    ensure!(by_link.status == 200 && !by_link.text.contains("laptop"), "{by_link:?}");
    // Another site cannot type it for her.
    let foreign =
        house.by_cookie(&dana, Method::POST, "/device").header(header::ORIGIN, "https://evil.example");
    let code = codes["user_code"].as_str().unwrap_or_default().to_owned();
    let fields = [("csrf", house.csrf(&dana)), ("user_code", code), ("verdict", "approve".to_owned())];
    let foreign = send(foreign.form(&fields)).await?;
    ensure!(foreign.status == 403, "{foreign:?}");
    says(&asked(&house, &codes).await?, "authorization_pending")?;
    Ok(())
}

/// Thirty wrong codes a minute from one network, and a code that was typed five times is worth nothing.
async fn abuse_24_guesses(given: Given) -> Result<()> {
    let house = House::bare(&given, Differently::default()).await?;
    let dana = house.example("dana").await?;
    let codes = begun(&house).await?;
    for _ in 0..5 {
        let shown = typed(&house, &dana, &codes, None).await?;
        ensure!(shown.text.contains("build-box"), "{shown:?}");
    }
    let sixth = typed(&house, &dana, &codes, None).await?;
    ensure!(sixth.text.contains("no machine waits"), "{sixth:?}");
    let mut last = sixth;
    for number in 0..40 {
        let guess = json!({ "user_code": format!("BCDF-{number:04}") });
        last = typed(&house, &dana, &guess, None).await?;
    }
    ensure!(last.status == 429, "guessing goes on: {last:?}");
    // Nor by approving blindly, nor by guessing the other code.
    let blindly = typed(&house, &dana, &json!({ "user_code": "ZZZZ-ZZZZ" }), Some("approve")).await?;
    ensure!(blindly.status == 429, "{blindly:?}");
    asked(&house, &json!({ "device_code": "pcd_guess" })).await?.is_problem(429, "rate-limited")?;
    Ok(())
}

async fn slowed(given: Given) -> Result<()> {
    let house = House::bare(&given, Differently::default()).await?;
    let codes = begun(&house).await?;
    says(&asked(&house, &codes).await?, "authorization_pending")?;
    for expected in [10, 15, 20] {
        let answer = asked(&house, &codes).await?;
        says(&answer, "slow_down")?;
        ensure!(answer.json()["interval"] == expected, "{answer:?}");
    }
    Ok(())
}

async fn off_by_default(given: Given) -> Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let off = |config: &mut port_control::base::Config| config.sign_in.device_flow = false;
    let house = House::serve_on(&given, listener, Differently::default(), off).await?;
    let dana = house.example("dana").await?;
    send(house.request(Method::POST, "/api/v1/device/authorization").form(&[("machine", "box")]))
        .await?
        .is_problem(404, "not-found")?;
    asked(&house, &json!({ "device_code": "pcd_x" })).await?.is_problem(404, "not-found")?;
    let page = send(house.by_cookie(&dana, Method::GET, "/device")).await?;
    ensure!(page.status == 404, "{page:?}");
    Ok(())
}
