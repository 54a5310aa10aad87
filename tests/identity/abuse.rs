//! Abuse cases about who somebody is, through the whole of it: a real provider that says what an attacker
//! would have it say, and a browser. What a provider cannot be made to say (no signature, HMAC by its public
//! key, unknown keys, another nonce) is in `src/identity/oidc/tests.rs` and `src/identity/tests/oidc.rs`.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::store::sql;
use serde_json::json;
use tokio::net::TcpListener;

use super::house::{House, Visitor, provider};
use crate::{
    peers::{Browser, Peers, Person, Realm},
    support::{Given, on_sqlite},
    web::house::{self, Differently},
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_sqlite(peers, "identity::abuse_01_an_unverified_address_of_somebody_else", abuse_01),
        on_sqlite(peers, "identity::abuse_02_and_07_another_providers_domain", abuse_02_and_07),
        on_sqlite(peers, "identity::abuse_03_an_address_taken_before_its_owner_comes", abuse_03),
        on_sqlite(peers, "identity::abuse_04_an_absent_subject_links_nobody", abuse_04),
        on_sqlite(peers, "identity::abuse_05_the_same_subject_of_another_provider", abuse_05),
        on_sqlite(peers, "identity::abuse_14_a_leaver_signs_in_again", abuse_14),
        on_sqlite(peers, "identity::abuse_22_a_code_of_one_provider_at_another", abuse_22),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A person as the database has her: id, address, groups.
type Known = (String, String, BTreeSet<String>);

async fn known(house: &house::House, issuer: &str, subject: &str) -> Result<Known> {
    let row = sql(
        "SELECT p.id, p.email FROM people p JOIN accounts a ON a.person = p.id WHERE a.issuer = $1 AND a.subject = $2",
    );
    let rows: Vec<(String, String)> = house.all(row.bind(issuer).bind(subject)).await?;
    let (id, email) = rows.into_iter().next().with_context(|| format!("nobody is {subject} of {issuer}"))?;
    let groups = sql("SELECT source || '/' || group_id FROM memberships WHERE person = $1").bind(&id);
    let groups: Vec<(String,)> = house.all(groups).await?;
    Ok((id, email, groups.into_iter().map(|(group,)| group).collect()))
}

async fn people(house: &house::House) -> Result<i64> {
    let rows: Vec<(i64,)> = house.all(sql("SELECT CAST(count(*) AS BIGINT) FROM people")).await?;
    Ok(rows[0].0)
}

/// Somebody who gives herself Dana's address, which the provider has not verified: she is nobody but herself,
/// with no address.
async fn abuse_01(given: Given) -> Result<()> {
    let house = House::open(given).await?;
    let (_, page) = house.visitor("dana").await?;
    ensure!(page.status == 200, "{}", page.body);
    let mut mallory = Person::new("Mallory", &[]);
    "dana@example.com".clone_into(&mut mallory.email);
    mallory.claims.insert("email_verified".to_owned(), json!(false));
    house.realm.put_person(&mallory).await?;
    house.visitor("mallory").await?;
    let issuer = &house.realm.issuer;
    let (dana, mallory) =
        (known(&house.web, issuer, "dana").await?, known(&house.web, issuer, "mallory").await?);
    ensure!(dana.0 != mallory.0 && mallory.1.is_empty() && mallory.2.is_empty(), "{dana:?} {mallory:?}");
    ensure!(dana.1 == "dana@example.com" && dana.2.len() == 1, "Dana is as she was: {dana:?}");
    Ok(())
}

/// Two providers, each with a domain of its own.
struct Two {
    house: house::House,
    company: Realm,
    partner: Realm,
}

impl Two {
    async fn open(given: &Given) -> Result<Self> {
        let peer = given.peers.oidc_provider.as_ref().context("no provider")?;
        let (company, partner) = (peer.realm().await?, peer.realm().await?);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut providers = Vec::new();
        for (name, realm, domain) in
            [("dev", &company, "example.com"), ("partner", &partner, "partner.example")]
        {
            let client = realm.register(&format!("http://{address}/sign-in/{name}/callback")).await?;
            let mut one = provider(name, realm, &client);
            one.email_domains = vec![domain.to_owned()];
            providers.push(one);
        }
        let change = |config: &mut port_control::base::Config| config.providers = providers;
        let house = house::House::serve_on(given, listener, Differently::default(), change).await?;
        Ok(Self { house, company, partner })
    }

    async fn sign_in(&self, provider: &str, person: &str) -> Result<(Visitor, crate::peers::Page)> {
        let visitor = Visitor { browser: Browser::new()?, name: person.to_owned() };
        let begin = format!("{}/sign-in/{provider}?return_to=/whoami", self.house.url).parse()?;
        let authorize = visitor.browser.follow(&begin).await?.next().context("it leads nowhere")?;
        let back = visitor.browser.sign_in(&authorize, person).await?;
        let page = visitor.browser.follow(&back).await?;
        Ok((visitor, page))
    }
}

/// The partner's provider says, verified, that its Mallory is Ada of the company, and in the company's group
/// of administrators (CVE-2023-3128).
async fn abuse_02_and_07(given: Given) -> Result<()> {
    let two = Two::open(&given).await?;
    two.sign_in("dev", "ada").await?;
    let mut mallory = Person::new("Mallory", &["it"]);
    "ada@example.com".clone_into(&mut mallory.email);
    two.partner.put_person(&mallory).await?;
    let (_, page) = two.sign_in("partner", "mallory").await?;
    ensure!(page.status == 200, "{}", page.body);
    let ada = known(&two.house, &two.company.issuer, "ada").await?;
    let mallory = known(&two.house, &two.partner.issuer, "mallory").await?;
    ensure!(ada.0 != mallory.0 && ada.1 == "ada@example.com", "{ada:?} {mallory:?}");
    ensure!(mallory.1.is_empty(), "an address of a domain that is not its own is kept: {mallory:?}");
    // Her groups are those of her provider: no scope of the company's groups opens to them.
    ensure!(mallory.2 == BTreeSet::from(["partner/it".to_owned()]), "{mallory:?}");
    ensure!(page.body.contains("administrators") && !page.body.contains("<td>yes</td>"), "{}", page.body);
    two.house.close().await
}

/// Mallory is there first, with the address that Lena will have. Lena comes, and is another person.
async fn abuse_03(given: Given) -> Result<()> {
    let house = House::open(given).await?;
    let mut mallory = Person::new("Mallory", &[]);
    "lena@example.com".clone_into(&mut mallory.email);
    house.realm.put_person(&mallory).await?;
    house.visitor("mallory").await?;
    let (_, page) = house.visitor("lena").await?;
    ensure!(page.status == 200, "{}", page.body);
    let issuer = &house.realm.issuer;
    let (lena, mallory) =
        (known(&house.web, issuer, "lena").await?, known(&house.web, issuer, "mallory").await?);
    ensure!(lena.0 != mallory.0 && mallory.2.is_empty(), "{lena:?} {mallory:?}");
    ensure!(lena.2.contains("dev/engineering"), "{lena:?}");
    // Whoever means the address has to say which of the two.
    let ada = house.web.sign_in_by(issuer, "ada", &["it"]).await?;
    let by_address = "/api/v1/people/lena@example.com/suspend";
    let answer = house.web.post(&ada, by_address, &json!({ "reason": "a test" })).await?;
    answer.is_problem(409, "ambiguous")?;
    Ok(())
}

/// Two people for whom a mapped claim is absent are two, and neither is anybody else.
async fn abuse_04(given: Given) -> Result<()> {
    let house = House::with(given, |it| "employee_name".clone_into(&mut it.name_claim)).await?;
    for name in ["one", "two"] {
        let mut person = Person::new(name, &[]);
        for claim in ["name", "email", "preferred_username"] {
            person.claims.insert(claim.to_owned(), json!(null));
        }
        house.realm.put_person(&person).await?;
        let (_, page) = house.visitor(name).await?;
        ensure!(page.status == 200, "{}", page.body);
    }
    let issuer = &house.realm.issuer;
    let (one, two) = (known(&house.web, issuer, "one").await?, known(&house.web, issuer, "two").await?);
    ensure!(one.0 != two.0 && one.1.is_empty() && two.1.is_empty(), "{one:?} {two:?}");
    Ok(())
}

async fn abuse_05(given: Given) -> Result<()> {
    let two = Two::open(&given).await?;
    two.sign_in("dev", "dana").await?;
    two.partner.put_person(&Person::new("Dana", &["it"])).await?;
    two.sign_in("partner", "dana").await?;
    let company = known(&two.house, &two.company.issuer, "dana").await?;
    let partner = known(&two.house, &two.partner.issuer, "dana").await?;
    ensure!(company.0 != partner.0, "one person of two providers: {company:?}");
    ensure!(!company.2.contains("partner/it") && company.2.contains("dev/engineering"), "{company:?}");
    Ok(())
}

/// She is known there still, with all her groups: here nothing begins again, and nobody new does.
async fn abuse_14(given: Given) -> Result<()> {
    let house = House::open(given).await?;
    let (lena, _) = house.visitor("lena").await?;
    let ada = house.web.sign_in_by(&house.realm.issuer, "ada", &["it"]).await?;
    let id = known(&house.web, &house.realm.issuer, "lena").await?.0;
    let reason = json!({ "reason": "left" });
    house.web.post(&ada, &format!("/api/v1/people/{id}/deactivate"), &reason).await?.done()?;
    let before = people(&house.web).await?;
    ensure!(!house.is_signed_in(&lena).await?, "her session works");
    let (_, page) = house.visitor("lena").await?;
    ensure!(page.status == 403 && page.body.contains("deactivated"), "{} {}", page.status, page.body);
    ensure!(people(&house.web).await? == before, "somebody new is there");
    let live =
        sql("SELECT CAST(count(*) AS BIGINT) FROM sessions WHERE person = $1 AND ended_at IS NULL").bind(&id);
    ensure!(house.count(live).await? == 0, "a session of hers lives");
    house.web.close().await
}

/// Mix-up (RFC 9700, section 4.4): what one provider answered is brought to the callback of the other.
async fn abuse_22(given: Given) -> Result<()> {
    let two = Two::open(&given).await?;
    let mallory = Person::new("Mallory", &[]);
    two.partner.put_person(&mallory).await?;
    let browser = Browser::new()?;
    let begin = format!("{}/sign-in/partner?return_to=/whoami", two.house.url).parse()?;
    let authorize = browser.follow(&begin).await?.next().context("it leads nowhere")?;
    let back = browser.sign_in(&authorize, "mallory").await?;
    let elsewhere = back.as_str().replace("/sign-in/partner/", "/sign-in/dev/").parse()?;
    let page = browser.follow(&elsewhere).await?;
    ensure!(page.status == 403, "{} {}", page.status, page.body);
    // It is used up: a sign-in that was mixed up is not finished anywhere.
    let page = browser.follow(&back).await?;
    ensure!(page.status == 403, "{} {}", page.status, page.body);
    ensure!(people(&two.house).await? == 0, "somebody joined");
    Ok(())
}
