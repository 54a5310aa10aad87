//! The first ten minutes of a developer and of an administrator: every command of the README's two parts, in the
//! order in which they stand there. (The auditor's are run at the end of the story, where there is something to
//! find.)

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    process::Child,
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::{
    base::{Ambient, Timestamp},
    dev::story::World as _,
};

use super::{
    chapters::ask,
    people::Person,
    world::{Combination, House},
};
use crate::{
    peers::{Peers, TestDatabase},
    support::{
        block_on,
        lending::{database_engine, token_role},
        program::port_control,
        readme::{self, Command},
        until,
    },
};

const DEVELOPER: &str = "A developer's first ten minutes";
const ADMIN: &str = "An admin's first ten minutes";
const LENA: &str = "lena@example.com";

/// Each part on each database; the developer's where there is an engine that leases.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for postgres in [false, true] {
        let database = if postgres { "postgres" } else { "sqlite" };
        let plain = Combination { postgres, openbao: false, kubernetes: false };
        if plain.is_possible(peers) {
            let peers = Arc::clone(peers);
            let name = format!("story::readme::an_admins_first_ten_minutes::{database}");
            trials.push(Trial::test(name, move || block_on(an_admins(peers, plain))));
        }
        let leasing = Combination { openbao: true, ..plain };
        if leasing.is_possible(peers) && peers.postgres.is_some() {
            let peers = Arc::clone(peers);
            let name = format!("story::readme::a_developers_first_ten_minutes::{database}");
            trials.push(Trial::test(name, move || block_on(a_developers(peers, leasing))));
        }
    }
    trials
}

/// The example's files where the README's commands look for them, with the database engine of a test's own.
fn write_example(house: &House, person: &Person, engine: Option<&str>) -> Result<()> {
    let folder = person.home.join("examples/supa");
    fs::create_dir_all(&folder)?;
    for document in house.documents().documents {
        let text = match engine {
            Some(mount) => document.text.replace(
                "{mount: database, role: reports-reader}",
                &format!("{{mount: {mount}, role: reader}}"),
            ),
            None => document.text,
        };
        fs::write(folder.join(document.file), text)?;
    }
    Ok(())
}

async fn an_admins(peers: Arc<Peers>, combination: Combination) -> Result<()> {
    let house = House::open(peers, combination).await?;
    run_the_admins(&house).await.with_context(|| house.server.said())?;
    super::closed(house)
}

async fn run_the_admins(house: &House) -> Result<()> {
    let ada = Person::signed_in(house, "ada").await?;
    write_example(house, &ada, None)?;
    for command in readme::commands(ADMIN, 14)? {
        let line = command.line.clone();
        done_by_ada(house, &ada, command).await.with_context(|| line)?;
    }
    Ok(())
}

async fn done_by_ada(house: &House, ada: &Person, command: Command) -> Result<()> {
    ensure!(command.words[0] == "portctl", "it is a command of portctl");
    // A date that is ahead when this is read may not be when it is run.
    let soon = Ambient::system(Timestamp::EPOCH).now().as_millis() + 30 * 86_400_000;
    let soon = Timestamp::from_millis(soon).to_string();
    let command = command.with("2026-12-31", &soon[..10]);
    let mut words = command.arguments();
    if command.begins("portctl apply") {
        // Nobody is at a terminal to be asked.
        words.push("--yes");
    }
    let mut out = ada.portctl.run(&words)?.done()?;
    if command.begins("portctl apply") {
        everybody_joins(house).await?;
    }
    let Some((_, wanted)) = SHOWN.iter().find(|(begins, _)| command.begins(begins)) else { return Ok(()) };
    if command.begins("portctl leaver show") || command.begins("portctl rotation list") {
        // Her tasks follow her end by a moment.
        until("her values are rotation work", async || {
            out = ada.portctl.run(&words)?.done()?;
            Ok(out.contains(wanted).then_some(()))
        })
        .await?;
    }
    ensure!(out.contains(wanted), "it does not show '{wanted}': {out}");
    Ok(())
}

/// What commands show, by how they begin.
const SHOWN: &[(&str, &str)] = &[
    ("portctl plan", "reports"),
    ("portctl apply", "applied"),
    ("portctl delivery list", "reports-production"),
    ("portctl leaver preview", "reports/sandbox/DATABASE_URL"),
    ("portctl leaver show", "reports/sandbox/DATABASE_URL"),
    ("portctl exposure person", "reports/sandbox/DATABASE_URL"),
    ("portctl rotation list", "reports/sandbox/DATABASE_URL"),
    ("portctl scim connection create", "pcs_"),
    ("portctl leaver expect", "30"),
];

/// Dana keeps a value, and Lena comes to know it.
async fn everybody_joins(house: &House) -> Result<()> {
    let dana = Person::signed_in(house, "dana").await?;
    let lena = Person::signed_in(house, "lena").await?;
    dana.sets("reports/sandbox/DATABASE_URL", "postgres://sandbox")?.done()?;
    lena.does("secret get reports/sandbox/DATABASE_URL")?;
    ensure!(LENA == lena.email(), "the README's leaver is Lena");
    Ok(())
}

async fn a_developers(peers: Arc<Peers>, combination: Combination) -> Result<()> {
    let database = peers.postgres.as_ref().context("no PostgreSQL")?.create_database("readme").await?;
    let house = House::open(Arc::clone(&peers), combination).await?;
    run_the_developers(&house, &peers, &database).await.with_context(|| house.server.said())?;
    super::closed(house)
}

async fn run_the_developers(house: &House, peers: &Peers, database: &TestDatabase) -> Result<()> {
    let ada = Person::signed_in(house, "ada").await?;
    engine_that_leases(house, peers, &ada, database).await?;
    let omar = Person::signed_in(house, "omar").await?;
    production_has_a_value(house, &omar).await?;
    let mut newcomer =
        Newcomer { dana: Person::new(house, "dana")?, omar, waiting: None, asked: String::new() };
    newcomer.has_an_app()?;
    // Her browser is signed in; her terminal is not.
    house.sign_in(&mut newcomer.dana.browser, "dana").await.map_err(super::people::told)?;
    for command in readme::commands(DEVELOPER, 20)? {
        let line = command.line.clone();
        newcomer.does(house, &command).await.with_context(|| line)?;
    }
    ensure!(!newcomer.asked.is_empty() && newcomer.waiting.is_none(), "she asked, and was answered");
    Ok(())
}

/// Everything that docs/leases.md says an engine has to allow, with the policies that `vault-policy` prints.
async fn engine_that_leases(
    house: &House,
    peers: &Peers,
    ada: &Person,
    database: &TestDatabase,
) -> Result<()> {
    let server = peers.postgres.as_ref().context("no PostgreSQL")?;
    let (bao, ours) = (house.openbao().context("no OpenBao")?, house.mount().context("no mount")?);
    let engine = database_engine(bao, server, database).await?;
    write_example(house, ada, Some(&engine))?;
    ada.does("apply -f examples/supa --yes")?;
    let config = house.config.display().to_string();
    let lease = format!("{}-lease", ours.path);
    for (name, more) in [(&ours.policy, None), (&lease, Some("--leases"))] {
        let words: Vec<&str> = ["vault-policy", "--config", &config].into_iter().chain(more).collect();
        let printed = port_control(&words)?;
        ensure!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
        bao.set_policy(name, &String::from_utf8(printed.stdout)?).await?;
    }
    token_role(bao, &lease, true).await
}

/// Lena has set one, as production has had one for long.
async fn production_has_a_value(house: &House, omar: &Person) -> Result<()> {
    let lena = Person::signed_in(house, "lena").await?;
    let request = ask::id(&ask::request(&lena, "1h")?)?;
    omar.does(&format!("request approve {request}"))?;
    lena.sets(ask::URL, "postgres://production")?.done().map(drop)
}

/// Dana on her first day, and Omar, who approves.
struct Newcomer {
    dana: Person,
    omar: Person,
    /// Her command that waits for his answer.
    waiting: Option<Child>,
    /// The request that it made.
    asked: String,
}

impl Newcomer {
    /// What lies in her folder: the app, a report, a key, and what the README has her write.
    fn has_an_app(&self) -> Result<()> {
        let home = &self.dana.home;
        for (name, text) in [
            ("reports", "#!/bin/sh\ntest -n \"$DATABASE_URL\" && echo running\n"),
            (
                "report",
                "#!/bin/sh\ntest -n \"$READER_USERNAME\" && test -n \"$READER_PASSWORD\" && echo reported\n",
            ),
        ] {
            fs::write(home.join(name), text)?;
            fs::set_permissions(home.join(name), fs::Permissions::from_mode(0o755))?;
        }
        fs::write(home.join("key.txt"), "k-0815\n")?;
        fs::write(home.join("keystore.p12"), [0_u8, 159, 146, 150, 10])?;
        fs::write(home.join(".env"), "MODE=sandbox\n")?;
        Ok(fs::write(home.join("portctl.toml"), readme::block(DEVELOPER, "toml")?)?)
    }

    async fn does(&mut self, house: &House, command: &Command) -> Result<()> {
        ensure!(command.words[0] == "portctl", "it is a command of portctl");
        let words = command.arguments();
        if command.begins("portctl login") {
            let server = ["login", "--server", &house.server.url];
            ensure!(words.len() == 3 && words[..2] == server[..2], "it names a server");
            return self.dana.log_in_by(&server).await;
        }
        if command.begins("portctl request") {
            return self.asks(&words);
        }
        if command.begins("portctl secret get reports/production/DATABASE_URL") && self.asked.is_empty() {
            return self.dana.portctl.run(&words)?.refused(4, "portctl request create --action reveal");
        }
        let input = match &command.input {
            Some(file) => fs::read(self.dana.home.join(file))?,
            None if command.begins("portctl secret set") => b"postgres://sandbox".to_vec(),
            None => Vec::new(),
        };
        let out = self.dana.portctl.run_with(&words, &input)?.done()?;
        let shown = [
            ("portctl whoami", "developer"),
            ("portctl secret list", "DATABASE_URL"),
            ("portctl secret get", "postgres://production"),
            ("portctl run --", "running"),
            ("portctl run reports/sandbox --", "running"),
            ("portctl run reports/sandbox --lease", "reported"),
            ("portctl lease create", "READER_PASSWORD="),
            ("portctl exposure", "reports/production/DATABASE_URL"),
        ];
        for (begins, wanted) in shown {
            ensure!(!command.begins(begins) || out.contains(wanted), "it does not show '{wanted}': {out}");
        }
        Ok(())
    }

    /// She waits at her terminal while he looks what there is and says yes in his.
    fn asks(&mut self, words: &[&str]) -> Result<()> {
        match words[1] {
            "create" => {
                let mut child = self.dana.portctl.spawn(words)?;
                let said = BufReader::new(child.stderr.take().context("no standard error")?);
                let link = said.lines().map_while(Result::ok).find(|line| line.starts_with("where: "));
                let asked = link.as_deref().and_then(|it| it.rsplit('/').next()).context("no link")?;
                asked.clone_into(&mut self.asked);
                self.waiting = Some(child);
            }
            "list" => {
                let out = self.omar.portctl.run(words)?.done()?;
                ensure!(out.contains(&self.asked) && out.contains("INC-123"), "it is not listed: {out}");
            }
            _ => {
                ensure!(words == ["request", "approve", "REQUEST"], "the README says how to say yes");
                self.omar.does(&format!("request approve {}", self.asked))?;
                let mut waiting = self.waiting.take().context("nobody waits")?;
                ensure!(waiting.wait()?.success(), "her terminal waited, and says that she may");
            }
        }
        Ok(())
    }
}
