//! Abuse cases 21 and 22 where browsers meet them: on the pages.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use port_control::{
    dev::browser::{Browser, Page},
    store::sql,
};
use reqwest::{Method, header};
use url::Url;

use super::house::{Answer, Differently, House, send};
use crate::{
    peers::Peers,
    support::{Given, on_sqlite},
};

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_sqlite(peers, "web::abuse_22_a_callback_in_another_browser", a_callback_in_another_browser),
        on_sqlite(peers, "web::abuse_22_a_code_of_somebody_else", a_code_of_somebody_else),
        on_sqlite(peers, "web::abuse_22_an_answer_of_another_issuer", an_answer_of_another_issuer),
        on_sqlite(peers, "web::abuse_39_cookies_are_the_servers_alone", cookies_are_the_servers_alone),
        on_sqlite(peers, "web::abuse_22_signing_in_leaves_no_session_of_before", no_session_of_before),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn address(house: &House, path: &str) -> Result<Url> {
    Ok(format!("{}{path}", house.url).parse()?)
}

/// Signs in at the provider, and stops where it would send the browser back to us.
async fn about_to_come_back(house: &House, browser: &mut Browser, person: &str) -> Result<Url> {
    let page = browser.open(address(house, "/sign-in/dev?return_to=/whoami")?).await?;
    let secret = house.idp_secret.expose_text().unwrap_or_default();
    Ok(browser.submit_to_leave(&page, &[("person", person), ("secret", secret)]).await?)
}

/// `url` with another value of one parameter.
fn with(url: &Url, name: &str, value: Option<&str>) -> Url {
    let mut changed = url.clone();
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(key, _)| key != name)
        .map(|(k, v)| (k.into_owned(), v.into_owned()))
        .collect();
    changed.query_pairs_mut().clear().extend_pairs(kept).extend_pairs(value.map(|value| (name, value)));
    changed
}

fn parameter(url: &Url, name: &str) -> String {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

async fn sessions(house: &House) -> Result<usize> {
    Ok(house.all::<(String,)>(sql("SELECT id FROM sessions WHERE ended_at IS NULL")).await?.len())
}

/// Refused by a page, and nobody is signed in.
async fn is_refused(house: &House, browser: &mut Browser, page: &Page) -> Result<()> {
    ensure!([400, 401, 403, 404].contains(&page.status.as_u16()), "{}: {}", page.status, page.told());
    let who = browser.open(address(house, "/whoami")?).await?;
    ensure!(who.url.path() == "/sign-in", "somebody is signed in: {}", who.told());
    ensure!(sessions(house).await? == 0, "a session began");
    Ok(())
}

/// Sign-in CSRF: an attacker's answer, opened in the victim's browser; and the other way round.
async fn a_callback_in_another_browser(given: Given) -> Result<()> {
    let house = House::bare(&given, Differently::default()).await?;
    let (mut omar, mut dana) = (Browser::new()?, Browser::new()?);
    let back = about_to_come_back(&house, &mut omar, "omar").await?;
    // Once in a browser that has begun nothing, once in one that is about to sign in itself.
    let page = dana.open(back.clone()).await?;
    is_refused(&house, &mut dana, &page).await?;
    about_to_come_back(&house, &mut dana, "dana").await?;
    let page = dana.open(back.clone()).await?;
    is_refused(&house, &mut dana, &page).await?;
    // His own browser's sign-in was not used up by that.
    let page = omar.open(back.clone()).await?;
    ensure!(page.status == 200 && page.told().contains("omar@example.com"), "{}", page.told());
    // A second time it is worth nothing, in no browser.
    let again = Browser::new()?.open(back).await?;
    ensure!(again.status.is_client_error() && sessions(&house).await? == 1, "{}", again.told());
    Ok(())
}

/// Code injection: Omar's code in the answer to Dana's sign-in.
async fn a_code_of_somebody_else(given: Given) -> Result<()> {
    let house = House::bare(&given, Differently::default()).await?;
    let (mut omar, mut dana) = (Browser::new()?, Browser::new()?);
    let stolen = parameter(&about_to_come_back(&house, &mut omar, "omar").await?, "code");
    let own = about_to_come_back(&house, &mut dana, "dana").await?;
    let page = dana.open(with(&own, "code", Some(&stolen))).await?;
    is_refused(&house, &mut dana, &page).await?;
    for (name, value) in [("state", Some("a".repeat(43))), ("state", None), ("code", None)] {
        let own = about_to_come_back(&house, &mut dana, "dana").await?;
        let page = dana.open(with(&own, name, value.as_deref())).await?;
        is_refused(&house, &mut dana, &page).await?;
    }
    Ok(())
}

/// Mix-up: the answer says that it comes from somebody else (RFC 9207), or does not say.
async fn an_answer_of_another_issuer(given: Given) -> Result<()> {
    let house = House::bare(&given, Differently::default()).await?;
    let mut dana = Browser::new()?;
    for issuer in [Some("https://evil.example"), None] {
        let own = about_to_come_back(&house, &mut dana, "dana").await?;
        let page = dana.open(with(&own, "iss", issuer)).await?;
        is_refused(&house, &mut dana, &page).await?;
    }
    let own = about_to_come_back(&house, &mut dana, "dana").await?;
    let elsewhere = own.as_str().replace("/sign-in/dev/", "/sign-in/other/");
    let page = dana.open(elsewhere.parse()?).await?;
    is_refused(&house, &mut dana, &page).await
}

/// Session fixation: whatever session the browser had, the one after signing in is another.
async fn no_session_of_before(given: Given) -> Result<()> {
    let house = House::bare(&given, Differently::default()).await?;
    let mut browser = Browser::new()?;
    for _ in 0..2 {
        let back = about_to_come_back(&house, &mut browser, "dana").await?;
        let page = browser.open(back).await?;
        ensure!(page.status == 200, "{}", page.told());
        ensure!(sessions(&house).await? == 1, "the session before goes on");
    }
    let began: Vec<(String,)> = house.all(sql("SELECT id FROM sessions")).await?;
    ensure!(began.len() == 2, "{began:?}");
    Ok(())
}

/// No script reads them, no other site's post carries them, and they go to this host alone.
async fn cookies_are_the_servers_alone(given: Given) -> Result<()> {
    let house = House::bare(&given, Differently::default()).await?;
    let begun = send(house.request(Method::GET, "/sign-in/dev?return_to=/whoami")).await?;
    let pending = one_cookie(&begun)?;
    let at_provider: Url = begun.header("location").parse()?;
    let mut form: Vec<(String, String)> = at_provider.query_pairs().into_owned().collect();
    form.push(("person".to_owned(), "dana".to_owned()));
    form.push(("secret".to_owned(), house.idp_secret.expose_text().unwrap_or_default().to_owned()));
    let chosen =
        house.request(Method::POST, at_provider.path()).header(header::ORIGIN, &house.url).form(&form);
    let back: Url = send(chosen).await?.header("location").parse()?;
    let path = format!("{}?{}", back.path(), back.query().unwrap_or_default());
    let signed_in = send(house.request(Method::GET, &path).header(header::COOKIE, &pending)).await?;
    ensure!(signed_in.status == 303 && signed_in.header("location") == "/whoami", "{signed_in:?}");
    ensure!(one_cookie(&signed_in)?.starts_with("pc-session="), "{signed_in:?}");
    Ok(())
}

/// The cookie that is set, where nothing is wrong with any.
fn one_cookie(answer: &Answer) -> Result<String> {
    let mut set = Vec::new();
    for cookie in answer.headers.get_all(header::SET_COOKIE) {
        let cookie = cookie.to_str()?;
        let attributes: Vec<String> = cookie.split(';').skip(1).map(|it| it.trim().to_lowercase()).collect();
        for wanted in ["httponly", "path=/"] {
            ensure!(attributes.iter().any(|it| it == wanted), "{wanted} is missing: {attributes:?}");
        }
        let is_kept_from_posts =
            attributes.iter().any(|it| ["samesite=lax", "samesite=strict"].contains(&it.as_str()));
        ensure!(
            is_kept_from_posts && !attributes.iter().any(|it| it.starts_with("domain")),
            "{attributes:?}"
        );
        if !attributes.contains(&"max-age=0".to_owned()) {
            set.push(cookie.split(';').next().unwrap_or_default().to_owned());
        }
    }
    ensure!(set.len() == 1, "{} cookies are set", set.len());
    Ok(set.remove(0))
}
