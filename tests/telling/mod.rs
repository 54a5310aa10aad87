//! What is told outside, by e-mail, to a real server.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::{
    base::{
        SecretValue,
        config::{Access, Config, Credential, MailConfig, MailTls},
    },
    broker::CheckLevel,
    server::{check, migrate},
    store::sql,
};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    peers::{Peers, Smtp, Taken},
    support::{Given, house::Settings, on_sqlite},
    web::house::{Differently, House, Person, example},
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    if !peers.smtp {
        return Vec::new();
    }
    [
        on_sqlite(peers, "telling::mail_reaches_those_who_can_do_something", reaches),
        on_sqlite(peers, "telling::an_address_that_is_refused_holds_no_other_up", refused),
        on_sqlite(peers, "telling::mail_goes_by_implicit_tls", implicit),
        on_sqlite(peers, "telling::mail_goes_to_no_server_that_is_not_believed", not_believed),
        on_sqlite(peers, "telling::check_tries_the_mail_server_and_sends_nothing", is_checked),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A house that sends e-mail, with the example declared.
async fn house(given: &Given, mail: MailConfig) -> Result<House> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let change = |config: &mut Config| config.mail = Some(mail);
    let house = House::serve_on(given, listener, Differently::default(), change).await?;
    let ada = house.example("ada").await?;
    house.post(&ada, "/api/v1/apply", &json!({ "documents": example()? })).await?.done()?;
    Ok(house)
}

/// Waits until `wanted` is among what was taken.
async fn arrives(house: &House, smtp: &Smtp, what: &str, wanted: impl Fn(&Taken) -> bool) -> Result<Taken> {
    house.eventually(what, || async { Ok(smtp.taken()?.iter().any(&wanted)) }).await?;
    smtp.taken()?.into_iter().find(|it| wanted(it)).context("it was there a moment ago")
}

/// Dana asks for production.
async fn asks(house: &House) -> Result<(Person, String)> {
    house.example("omar").await?;
    let dana = house.example("dana").await?;
    let request = house.a_request(&dana).await?;
    Ok((dana, request))
}

async fn is_checked(given: Given) -> Result<()> {
    let smtp = Smtp::start_private().await?;
    let folder = given.folder.path();
    let config = Settings::new(&given.url, folder, Access::Directory(folder.join("cluster"))).config(1)?;
    migrate(&config).await?;
    let said = async |mail: MailConfig| {
        let found = check(Config { mail: Some(mail), ..config.clone() }).await;
        let found =
            found.into_iter().find(|it| it.dependency == "mail 127.0.0.1").context("it is not named")?;
        ensure!(found.works() && found.findings.len() == 1, "the server works all the same: {found:?}");
        let finding = found.findings.into_iter().next().context("nothing is said")?;
        anyhow::Ok((finding.level == CheckLevel::Fine, finding.message))
    };
    for tls in [MailTls::StartTls, MailTls::Implicit] {
        let (is_fine, words) = Box::pin(said(smtp.config(tls))).await?;
        ensure!(is_fine && words.contains("sign in"), "{words}");
    }
    let good = || smtp.config(MailTls::StartTls);
    let password = Credential::Value(SecretValue::from("another".to_owned()));
    let wrong = MailConfig { credentials: Some(("port-control".to_owned(), password)), ..good() };
    let nobody = MailConfig { port: 1, ..good() };
    let stranger = MailConfig { ca_file: None, ..good() };
    let cases = [(wrong, "answered 535"), (nobody, "cannot be reached"), (stranger, "no safe connection")];
    for (mail, wanted) in cases {
        let (is_fine, words) = Box::pin(said(mail)).await?;
        ensure!(!is_fine && words.contains(wanted) && !words.contains("another"), "{wanted}: {words}");
    }
    ensure!(smtp.taken()?.is_empty(), "something was sent: {:?}", smtp.taken()?);
    Ok(())
}

async fn reaches(given: Given) -> Result<()> {
    let smtp = Smtp::start_private().await?;
    let house = house(&given, smtp.config(MailTls::StartTls)).await?;
    let lena = house.example("lena").await?;
    let (_, request) = asks(&house).await?;
    for approver in ["omar@example.com", "lena@example.com"] {
        let taken = arrives(&house, &smtp, approver, |it| it.to == [approver]).await?;
        ensure!(taken.secure && taken.user.as_deref() == Some("port-control"), "{taken:?}");
        ensure!(taken.from == "port-control@example.com", "{taken:?}");
        ensure!(taken.text.contains(&request) && taken.text.contains("INC-123"), "{taken:?}");
    }
    // Lena knows a value, and leaves: the team is told, and no value is.
    let secret = "/api/v1/applications/reports/environments/production/secrets/KNOWN/versions";
    let sandbox = secret.replace("production", "sandbox");
    let value = json!({ "encoding": "utf8", "value": "hunter2-of-lena" });
    house.post(&lena, &sandbox, &value).await?.done()?;
    let ada = house.example("ada").await?;
    let path = format!("/api/v1/people/{}/deactivate", lena.id);
    house.post(&ada, &path, &json!({ "reason": "left" })).await?.done()?;
    let team = |it: &Taken| it.to == ["supa-team@example.com"] && it.text.contains("KNOWN");
    arrives(&house, &smtp, "a message to the team", team).await?;
    let all = smtp.taken()?;
    ensure!(all.iter().all(|it| !it.text.contains("hunter2")), "{all:?}");
    // Who it went to is not kept once it is there.
    let kept = async || {
        let rows = sql("SELECT id FROM outbox WHERE recipient IS NOT NULL OR done_at IS NULL");
        Ok(house.all::<(String,)>(rows).await?.is_empty())
    };
    house.eventually("everything is sent", kept).await?;
    house.close().await
}

async fn refused(given: Given) -> Result<()> {
    let smtp = Smtp::start_private().await?;
    smtp.refuse(Some("omar@example.com"))?;
    let house = house(&given, smtp.config(MailTls::StartTls)).await?;
    house.example("lena").await?;
    asks(&house).await?;
    arrives(&house, &smtp, "Lena's message", |it| it.to == ["lena@example.com"]).await?;
    let waits = async || {
        let rows = sql(
            "SELECT last_error FROM outbox WHERE recipient IS NOT NULL AND attempts > 0 AND last_error IS NOT NULL",
        );
        let rows: Vec<(String,)> = house.all(rows).await?;
        ensure!(rows.iter().all(|(why,)| !why.contains("omar")), "an address is told: {rows:?}");
        Ok(rows.iter().any(|(why,)| why.contains("451")))
    };
    house.eventually("Omar's message is put off", waits).await?;
    smtp.refuse(None)?;
    arrives(&house, &smtp, "Omar's message", |it| it.to == ["omar@example.com"]).await?;
    let ids: BTreeSet<String> = smtp
        .taken()?
        .iter()
        .filter_map(|it| it.text.lines().find(|line| line.starts_with("Message-ID:")).map(str::to_owned))
        .collect();
    ensure!(ids.len() == 1, "one message has one id: {ids:?}");
    house.close().await
}

async fn implicit(given: Given) -> Result<()> {
    let smtp = Smtp::start_private().await?;
    let house = house(&given, smtp.config(MailTls::Implicit)).await?;
    asks(&house).await?;
    let taken = arrives(&house, &smtp, "Omar's message", |it| it.to == ["omar@example.com"]).await?;
    ensure!(taken.secure, "{taken:?}");
    house.close().await
}

async fn not_believed(given: Given) -> Result<()> {
    let smtp = Smtp::start_private().await?;
    // Its authority is one of the test's own, which no system knows.
    let mail = MailConfig { ca_file: None, ..smtp.config(MailTls::StartTls) };
    let house = house(&given, mail).await?;
    asks(&house).await?;
    let fails = async || {
        let rows = sql("SELECT last_error FROM outbox WHERE last_error IS NOT NULL");
        let rows: Vec<(String,)> = house.all(rows).await?;
        Ok(rows.iter().any(|(why,)| why.contains("no safe connection")))
    };
    house.eventually("that the server is not believed is noted", fails).await?;
    ensure!(smtp.taken()?.is_empty(), "a message was sent to a stranger");
    house.close().await
}
