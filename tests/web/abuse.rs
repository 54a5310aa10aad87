//! Abuse cases 30, 35, 39 and 40, over HTTP on a whole server.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use data_encoding::BASE64;
use libtest_mimic::Trial;
use port_control::{api::Limits, base::time::Stopwatch, store::sql};
use reqwest::{Body, Method, RequestBuilder, header};
use serde_json::json;
use sqlx::ConnectOptions as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    house::{Answer, Differently, House, Person, send},
    permits::{Furnished, a_login},
    routes,
};
use crate::{
    peers::Peers,
    support::{Given, on_sqlite},
};

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_sqlite(peers, "web::abuse_30_another_account_is_the_same_person", abuse_30_another_account),
        on_sqlite(peers, "web::abuse_30_an_approver_who_lost_the_group", abuse_30_lost_the_group),
        on_sqlite(peers, "web::abuse_35_names_that_are_none", abuse_35_names_that_are_none),
        on_sqlite(peers, "web::abuse_35_paths_that_lead_elsewhere", abuse_35_paths_that_lead_elsewhere),
        on_sqlite(peers, "web::abuse_39_a_post_from_another_site", abuse_39_a_post_from_another_site),
        on_sqlite(peers, "web::abuse_39_nothing_is_framed_or_kept", abuse_39_nothing_is_framed_or_kept),
        on_sqlite(peers, "web::abuse_39_script_in_every_field", abuse_39_script_in_every_field),
        on_sqlite(peers, "web::abuse_39_a_name_that_was_made_to_lead_here", abuse_39_rebinding),
        on_sqlite(peers, "web::abuse_40_a_hundred_megabytes", abuse_40_a_hundred_megabytes),
        on_sqlite(peers, "web::abuse_40_a_body_in_drops", abuse_40_a_body_in_drops),
        on_sqlite(peers, "web::abuse_40_a_compressed_bomb", abuse_40_a_compressed_bomb),
        on_sqlite(peers, "web::abuse_40_half_open_connections", abuse_40_half_open_connections),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Dana has a second account, which says that she leads: it is Dana who asks and Dana who approves.
async fn abuse_30_another_account(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let dana = house.example("dana").await?;
    let id = house.a_request(&dana).await?;
    let path = given.url.strip_prefix("sqlite:").context("this is SQLite")?;
    let mut database = sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await?;
    sqlx::query(
        "INSERT INTO accounts (issuer, subject, person, provider, created_at) VALUES ($1, $2, $3, 'dev', 0)",
    )
    .bind(format!("{}/idp", house.url))
    .bind("dana-the-lead")
    .bind(dana.id.to_string())
    .execute(&mut database)
    .await?;
    let lead = house.sign_in("dana-the-lead", &["engineering", "leads"]).await?;
    ensure!(lead.id == dana.id && lead.session != dana.session, "she is another person");
    let own = house.post(&lead, &format!("/api/v1/requests/{id}/approve"), &json!({})).await?;
    own.is_problem(403, "denied")?;
    // One approval is enough; a second changes nothing, whoever makes it.
    let (omar, lena) = (house.example("omar").await?, house.example("lena").await?);
    house.post(&omar, &format!("/api/v1/requests/{id}/approve"), &json!({})).await?.done()?;
    for again in [&omar, &lena] {
        let again = house.post(again, &format!("/api/v1/requests/{id}/approve"), &json!({})).await?;
        again.is_problem(409, "conflict")?;
    }
    let grants: Vec<(String,)> = house.all(sql("SELECT id FROM grants")).await?;
    ensure!(grants.len() == 1, "{grants:?}");
    Ok(())
}

async fn abuse_30_lost_the_group(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (dana, omar) = (house.example("dana").await?, house.example("omar").await?);
    let id = house.a_request(&dana).await?;
    house.get(&omar, &format!("/api/v1/requests/{id}")).await?.done()?;
    // His identity provider no longer says so; the session from before is still good for the rest.
    house.sign_in("omar", &["engineering"]).await?;
    let late = house.post(&omar, &format!("/api/v1/requests/{id}/approve"), &json!({})).await?;
    late.is_problem(403, "denied")?;
    let page =
        house.submit(&omar, &format!("/requests/{id}"), &[("verdict", "approve"), ("reason", "")]).await?;
    ensure!(page.status == 403, "{page:?}");
    let states: Vec<(String,)> = house.all(sql("SELECT state FROM requests")).await?;
    ensure!(states == [("pending".to_owned(),)], "{states:?}");
    Ok(())
}

/// Names as they stand in addresses: two dots, slashes, NUL, a terminal's escape, 300 characters, a
/// right-to-left mark, a Cyrillic letter, a fullwidth one, a space, a hidden file, a lone surrogate.
fn no_names() -> Vec<String> {
    let fixed = [
        "%2e%2e",
        "..%2f..%2fetc",
        "a%2Fb",
        "a%5Cb",
        "a%00b",
        "a%0Ab",
        "a%1B[31m",
        "%E2%80%AEgnp",
        "%D0%B0pp",
        "%EF%BD%81",
        "a%20b",
        "%20",
        ".a",
        "-a",
        "%ED%A0%80",
        "%FF",
        "a%3Fb",
        "a%23b",
        "%25",
        "*",
        "a;b",
        "'--",
    ];
    fixed.iter().map(|name| (*name).to_owned()).chain(["a".repeat(300)]).collect()
}

/// Sends what no client of ours would: the address as it stands, to the byte.
async fn raw(house: &House, method: &str, path: &str, token: &str, body: &str) -> Result<Answer> {
    let host = house.url.trim_start_matches("http://");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(host).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await??;
    let answer = String::from_utf8(answer)?;
    let (head, text) = answer.split_once("\r\n\r\n").context("no head")?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?.parse()?;
    let mut headers = header::HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        headers.append(name.parse::<header::HeaderName>()?, value.parse()?);
    }
    Ok(Answer { status, headers, text: text.to_owned() })
}

/// A refusal that the caller is to blame for, in which nothing can turn or colour the writing.
fn is_plain_refusal(answer: &Answer) -> Result<()> {
    let known = ["invalid-request", "not-found", "denied", "ambiguous"].contains(&answer.problem().as_str());
    ensure!(answer.status.is_client_error() && known, "{answer:?}");
    let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
    let is_plain = |c: char| !c.is_control() && !('\u{202a}'..='\u{202e}').contains(&c);
    ensure!(detail.chars().all(is_plain), "{detail:?}");
    Ok(())
}

async fn abuse_35_names_that_are_none(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (dana, ada, aya) =
        (house.example("dana").await?, house.example("ada").await?, house.example("aya").await?);
    let in_sandbox = "/api/v1/applications/reports/environments/sandbox";
    let value = json!({ "encoding": "utf8", "value": "hunter2" }).to_string();
    let reason = json!({ "reason": "a test" }).to_string();
    let pause = json!({ "for": "1h", "reason": "a test" }).to_string();
    for name in no_names() {
        for (who, method, path, body) in [
            (&dana, "POST", format!("{in_sandbox}/secrets/{name}/versions"), value.as_str()),
            (&dana, "GET", format!("{in_sandbox}/secrets/{name}/value"), ""),
            (&dana, "POST", format!("{in_sandbox}/secrets/{name}/destroy"), "{}"),
            (&dana, "POST", format!("/api/v1/applications/reports/environments/{name}/run"), ""),
            (&dana, "GET", format!("/api/v1/applications/reports/environments/sandbox@{name}/secrets"), ""),
            (&dana, "GET", format!("/api/v1/applications/{name}/environments/sandbox/secrets"), ""),
            (&dana, "POST", format!("/api/v1/deliveries/{name}/pause"), &pause),
            (&dana, "GET", format!("/api/v1/requests/{name}"), ""),
            (&dana, "DELETE", format!("/api/v1/sessions/{name}"), ""),
            (&ada, "POST", format!("/api/v1/people/{name}/suspend"), &reason),
            (&ada, "GET", format!("/api/v1/leavers/{name}"), ""),
            (&aya, "GET", format!("/audit/log/tile/0/{name}"), ""),
            (&aya, "GET", format!("/audit/log/tile/{name}/000"), ""),
            (&aya, "GET", format!("/audit/v1/entries/{name}/proof"), ""),
        ] {
            let answer = raw(&house, method, &path, &who.token, body).await.context(path.clone())?;
            is_plain_refusal(&answer).with_context(|| format!("{method} {path}"))?;
        }
    }
    let made: Vec<(String,)> = house.all(sql("SELECT name FROM secrets")).await?;
    ensure!(made.is_empty(), "{made:?}");
    Ok(())
}

/// No dots, slashes or schemes make one address mean another.
async fn abuse_35_paths_that_lead_elsewhere(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let dana = house.example("dana").await?;
    let secret = "/api/v1/applications/reports/environments/sandbox/secrets/A";
    house.post(&dana, &format!("{secret}/versions"), &routes::body("versions")).await?.done()?;
    for path in [
        "/healthz/../api/v1/applications/reports/environments/sandbox/secrets/A/value",
        "/healthz/%2e%2e/api/v1/applications/reports/environments/sandbox/secrets/A/value",
        "//api/v1/applications/reports/environments/sandbox/secrets/A/value",
        "/api/v1/applications/reports/environments/production/../sandbox/secrets/A/value",
        "/api/v1/applications/reports/environments/sandbox/secrets/A/value/",
        "/API/v1/applications/reports/environments/sandbox/secrets/A/value",
        "/api/v1/applications/reports/environments/sandbox/secrets/A%2Fvalue",
        "/api/v1/applications/reports/environments/sandbox/secrets/A/value;x",
    ] {
        let answer = raw(&house, "GET", path, &dana.token, "").await?;
        ensure!(answer.status.is_client_error() && !answer.text.contains("hunter2"), "{path}: {answer:?}");
    }
    let straight = raw(&house, "GET", &format!("{secret}/value"), &dana.token, "").await?;
    ensure!(straight.text.contains("hunter2-value"), "{straight:?}");
    Ok(())
}

/// What another site can make a browser send: the cookie, and never both our token and our origin.
async fn abuse_39_a_post_from_another_site(given: Given) -> Result<()> {
    let furnished = Furnished::new(&given, Differently::default()).await?;
    let house = &furnished.house;
    let omar = house.example("omar").await?;
    let (own, foreign) = (house.csrf(&omar), house.csrf(&furnished.dana));
    let attempts = [
        (None, Some(house.url.as_str())),
        (Some(""), Some(house.url.as_str())),
        (Some(foreign.as_str()), Some(house.url.as_str())),
        (Some(own.as_str()), None),
        (Some(own.as_str()), Some("null")),
        (Some(own.as_str()), Some("https://evil.example")),
        (Some(own.as_str()), Some("http://localhost")),
        (None, None),
    ];
    let before = house.log_size().await?;
    for (token, origin) in attempts {
        for route in routes::all()?.iter().filter(|route| route.changes() && !route.is_public()) {
            let path = furnished.example.fill(&route.path)?;
            let mut request = house.by_cookie(&omar, route.method(), &path);
            if let Some(origin) = origin {
                request = request.header(header::ORIGIN, origin);
            }
            let answer = send(cross_site(request, route, token)).await?;
            // A connection calls by its bearer token alone: there a cookie is nobody's.
            let refused: &[u16] = if route.path.starts_with("/scim/") { &[401] } else { &[400, 403] };
            ensure!(refused.contains(&answer.status.as_u16()), "{route} {token:?} {origin:?}: {answer:?}");
        }
    }
    let entries = sql("SELECT action, decision, subject FROM entries WHERE idx >= $1").bind(before);
    let entries: Vec<(String, String, Option<String>)> = house.all(entries).await?;
    let refused = ("session.used".to_owned(), "deny".to_owned(), Some(omar.id.to_string()));
    ensure!(entries == [refused], "something was done, or the refusal is not in the log: {entries:?}");
    let page = format!("/requests/{}", furnished.example.request);
    let right = house.submit(&omar, &page, &[("verdict", "deny"), ("reason", "")]).await?;
    ensure!(right.status == 303, "from her own page it is done");
    Ok(())
}

fn cross_site(request: RequestBuilder, route: &routes::Route, token: Option<&str>) -> RequestBuilder {
    if route.is_page {
        let mut form = vec![("verdict", "approve"), ("reason", "")];
        form.extend(token.map(|token| ("csrf", token)));
        return request.form(&form);
    }
    let request = match token {
        Some(token) => request.header("x-csrf-token", token),
        None => request,
    };
    request.json(&routes::body(&route.path))
}

/// Every answer of every route, right or wrong.
async fn abuse_39_nothing_is_framed_or_kept(given: Given) -> Result<()> {
    let furnished = Furnished::new(&given, Differently::default()).await?;
    let mut values = 0;
    for route in routes::all()?.iter().filter(|route| !route.changes() && !route.path.ends_with("/events")) {
        for person in [None, Some(&furnished.dana)] {
            let answer = furnished.call(route, person).await?;
            let policy = answer.header("content-security-policy");
            let is_guarded = policy.contains("frame-ancestors 'none'")
                && policy.contains("default-src 'none'")
                && !policy.contains("script-src")
                && answer.header("x-frame-options") == "DENY"
                && answer.header("x-content-type-options") == "nosniff";
            ensure!(is_guarded, "{route}: {:?}", answer.headers);
            ensure!(answer.header("access-control-allow-origin").is_empty(), "{route}: {:?}", answer.headers);
            // The stylesheet is the same for everybody.
            let may_be_kept = route.path == "/style.css";
            let is_kept = !["no-store", "no-cache"].contains(&answer.header("cache-control"));
            ensure!(may_be_kept || !is_kept, "{route}: {:?}", answer.headers);
            if answer.text.contains("hunter2-value") {
                ensure!(answer.header("cache-control") == "no-store", "{route}: {:?}", answer.headers);
                values += 1;
            }
        }
    }
    ensure!(values == 1, "{values} answers had the value");
    Ok(())
}

const SCRIPT: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>";

/// In her name, her address, her groups, a reason, a machine's name, a provider's error, an address.
async fn abuse_39_script_in_every_field(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let script = house.sign_in(SCRIPT, &[SCRIPT, "engineering", "leads"]).await?;
    let wish = json!({ "action": "reveal", "at": "reports/production", "for": "1h", "reason": SCRIPT });
    let asked = house.post(&script, "/api/v1/requests", &wish).await?.done()?;
    let id = asked["request"]["id"].as_str().context("no id")?.to_owned();
    let omar = house.example("omar").await?;
    house.post(&omar, &format!("/api/v1/requests/{id}/deny"), &json!({ "reason": SCRIPT })).await?.done()?;
    let login =
        json!({ "challenge": "a".repeat(43), "port": 50_000, "state": "s".repeat(22), "machine": SCRIPT });
    let login = send(house.request(Method::POST, "/api/v1/logins").json(&login)).await?.done()?;
    let login = login["login"].as_str().context("no login")?.to_owned();
    let encoded: String = url::form_urlencoded::byte_serialize(SCRIPT.as_bytes()).collect();
    let mut shown = 0;
    let pages = [
        "/whoami".to_owned(),
        "/requests".to_owned(),
        format!("/requests/{id}"),
        format!("/requests/{encoded}"),
        format!("/logins/{login}"),
        format!("/logins/{encoded}"),
        format!("/sign-in?return_to={encoded}&acr_values={encoded}"),
        format!("/sign-in?max_age={encoded}"),
        format!("/sign-in/{encoded}"),
        format!("/sign-in/dev/callback?error={encoded}&error_description={encoded}&state={encoded}"),
        format!("/sign-in/{encoded}/callback?code={encoded}&state={encoded}"),
        format!("/leavers/{encoded}"),
        format!("/{encoded}"),
    ];
    for page in &pages {
        shown += usize::from(is_without_script(&house, &script, page).await?);
    }
    ensure!(shown >= 5, "only {shown} pages show what she wrote");
    let ada = house.example("ada").await?;
    let leave = format!("/api/v1/people/{}/deactivate", script.id);
    house.post(&ada, &leave, &json!({ "reason": SCRIPT })).await?.done()?;
    ensure!(
        is_without_script(&house, &ada, &format!("/leavers/{}", script.id)).await?,
        "the leaver has no name"
    );
    is_without_script(&house, &script, "/whoami").await?;
    Ok(())
}

/// Whether the page shows it, as text: fails where it is more than text.
async fn is_without_script(house: &House, person: &Person, path: &str) -> Result<bool> {
    let page = send(house.by_cookie(person, Method::GET, path)).await?;
    ensure!(!page.status.is_server_error() || page.status == 503, "{path}: {page:?}");
    let kind = page.header("content-type");
    ensure!(kind.starts_with("text/html") || kind == "application/problem+json", "{path}: {page:?}");
    let is_html = kind.starts_with("text/html");
    ensure!(
        !is_html || !(page.text.contains("<script") || page.text.contains("<img")),
        "{path}: {}",
        page.text
    );
    Ok(is_html && page.text.contains("alert(1)"))
}

/// DNS rebinding: a page of `evil.example`, whose name was made to lead here, reads nothing.
async fn abuse_39_rebinding(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let dana = house.example("dana").await?;
    let port = house.url.rsplit(':').next().context("no port")?;
    for host in
        [format!("evil.example:{port}"), "evil.example".to_owned(), format!("127.0.0.1.evil.example:{port}")]
    {
        for path in ["/whoami", "/api/v1/whoami", "/api/v1/version", "/", "/sign-in", "/nothing"] {
            let request = house.by_cookie(&dana, Method::GET, path).header(header::HOST, &host);
            let answer = send(request).await?;
            answer.is_problem(421, "misdirected").with_context(|| format!("{host} {path}"))?;
        }
        // A probe names the pod by its address.
        let probe = send(house.request(Method::GET, "/readyz").header(header::HOST, &host)).await?;
        ensure!(probe.status == 200, "{probe:?}");
    }
    let by_name =
        house.by_cookie(&dana, Method::GET, "/whoami").header(header::HOST, format!("localhost:{port}"));
    ensure!(send(by_name).await?.status == 200, "localhost is this machine");
    Ok(())
}

/// A request's head, up to where its body would begin.
fn head(house: &House, dana: &Person, length: usize) -> String {
    let host = house.url.trim_start_matches("http://");
    format!(
        "POST /api/v1/requests HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n",
        dana.token
    )
}

async fn abuse_40_a_hundred_megabytes(given: Given) -> Result<()> {
    let house = House::bare(&given, Differently::default()).await?;
    let dana = house.example("dana").await?;
    let stream = TcpStream::connect(house.url.trim_start_matches("http://")).await?;
    let (mut from, mut to) = stream.into_split();
    let answer = tokio::spawn(async move {
        let mut heard = [0; 1024];
        let length = from.read(&mut heard).await.unwrap_or(0);
        String::from_utf8_lossy(&heard[..length]).into_owned()
    });
    to.write_all(head(&house, &dana, 100 << 20).as_bytes()).await?;
    let (piece, mut sent) = (vec![b' '; 64 << 10], 0);
    while sent < 100 << 20 && to.write_all(&piece).await.is_ok() {
        sent += piece.len();
    }
    // What the kernel holds on its way is not ours.
    ensure!(sent < 32 << 20, "{sent} bytes were taken");
    let answer = answer.await?;
    ensure!(answer.is_empty() || answer.starts_with("HTTP/1.1 413 "), "{answer}");
    house.get(&dana, "/api/v1/whoami").await?.done()?;
    Ok(())
}

async fn abuse_40_a_body_in_drops(given: Given) -> Result<()> {
    let limits = Limits { body: Duration::from_secs(1), ..Limits::default() };
    let house = House::bare(&given, Differently { limits, ..Differently::default() }).await?;
    let dana = house.example("dana").await?;
    let since = Stopwatch::start();
    let drops = || {
        futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Some((Ok::<_, std::io::Error>(" "), ()))
        })
    };
    for key in [None, Some("k-1")] {
        let mut request = house.as_bearer(&dana, Method::POST, "/api/v1/requests");
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let request = request.header(header::CONTENT_TYPE, "application/json");
        send(request.body(Body::wrap_stream(drops()))).await?.is_problem(408, "request-timeout")?;
    }
    ensure!(since.elapsed() < Duration::from_secs(6), "it took {:?}", since.elapsed());
    Ok(())
}

/// A request that is whole once it is inflated, which it is not.
async fn abuse_40_a_compressed_bomb(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let dana = house.example("dana").await?;
    let at = "/api/v1/applications/reports/environments/sandbox/secrets/A/versions";
    let packed = BASE64.decode(b"H4sIAAAAAAACA6tWSs1Lzk/JzEtXslIqLUmzUNJRKkvMKU0FciuUagH7ngORHwAAAA==")?;
    for (encoding, status) in
        [("gzip", 415), ("GZIP", 415), ("br", 415), ("gzip, gzip", 415), ("identity", 400)]
    {
        let request = house.as_bearer(&dana, Method::POST, at).header(header::CONTENT_ENCODING, encoding);
        let request = request.header(header::CONTENT_TYPE, "application/json").body(packed.clone());
        let answer = send(request).await?;
        ensure!(answer.status == status && !answer.problem().is_empty(), "{encoding}: {answer:?}");
    }
    let made: Vec<(String,)> = house.all(sql("SELECT name FROM secrets")).await?;
    ensure!(made.is_empty(), "{made:?}");
    Ok(())
}

/// A thousand connections that say nothing, or half of something: others are answered meanwhile, and
/// the thousand are gone within seconds.
async fn abuse_40_half_open_connections(given: Given) -> Result<()> {
    let house = House::bare(&given, Differently::default()).await?;
    let dana = house.example("dana").await?;
    let address = house.url.trim_start_matches("http://").to_owned();
    let since = Stopwatch::start();
    let mut half_open = Vec::new();
    for number in 0..1000 {
        let mut stream = TcpStream::connect(&address).await?;
        let said = ["", "GET", "GET /api/v1/whoami HTTP/1.1\r\nHost: ", "PRI * HTTP/2.0\r\n"][number % 4];
        stream.write_all(said.as_bytes()).await?;
        half_open.push(stream);
    }
    let login = Stopwatch::start();
    house.get(&dana, "/api/v1/whoami").await?.done()?;
    a_login(&house).await?;
    ensure!(login.elapsed() < Duration::from_secs(2), "others waited for {:?}", login.elapsed());
    for stream in &mut half_open {
        let mut rest = Vec::new();
        let left = Duration::from_secs(25).saturating_sub(since.elapsed());
        let ended = tokio::time::timeout(left, stream.read_to_end(&mut rest)).await;
        ensure!(ended.is_ok(), "a connection that says nothing is kept");
    }
    house.get(&dana, "/api/v1/whoami").await?.done()?;
    Ok(())
}
