//! A secret read over HTTP by one client, with its entry on the disk before the value leaves, beside one
//! fdatasync: `POSTGRES_FSYNC=on tests/run --peers-only -- cargo bench --bench reveal`.

#[path = "support/mod.rs"]
mod measure;
#[path = "../tests/peers/mod.rs"]
mod peers;
#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use measure::{Bare, Times};
use peers::Peers;
use port_control::{
    base::{
        Ambient, SecretRef, Timestamp,
        config::{Access, Credential, EngineConfig, VaultAuth, VaultConfig},
        time::Stopwatch,
    },
    secrets::{Place, RemoteEngine as _, Vault},
    store::sql,
};
use support::house::{GROUND, House, Settings};

const ROUNDS: usize = 400;
const WARM: usize = 50;

#[derive(Default)]
struct Measured {
    bare: Times,
    /// The same client over the same connection, where nothing is decided or recorded.
    nothing: Times,
    engine: Times,
    reveal: Times,
}

fn at() -> SecretRef {
    "reports/sandbox/PASSWORD".parse().expect("a bench's secret is one")
}

async fn measure(settings: &Settings) -> Result<Option<Measured>> {
    let house = House::open(settings).await?;
    if is_unsafe(&house).await {
        return Ok(None);
    }
    house.declare(GROUND).await?;
    house.set("PASSWORD", "the value that is read").await?;
    let engine = match &settings.engine {
        EngineConfig::Embedded => None,
        EngineConfig::Vault(config) => {
            Some(Vault::new(config.as_ref().clone(), Ambient::system(Timestamp::EPOCH))?)
        }
    };
    let (mut bare, place, at) = (Bare::in_folder(&settings.folder)?, Place::Ours(at()), at());
    let mut measured = Measured::default();
    for round in 0..ROUNDS + WARM {
        let disk = bare.append()?;
        let since = Stopwatch::start();
        house.dana.version().await?;
        let nothing = since.elapsed();
        let since = Stopwatch::start();
        if let Some(engine) = &engine {
            ensure!(engine.read(&place, None).await?.is_some(), "the engine has no value");
        }
        let engine = since.elapsed();
        let since = Stopwatch::start();
        house.dana.reveal(&at, None).await?;
        let reveal = since.elapsed();
        if round >= WARM {
            measured.bare.push(disk);
            measured.nothing.push(nothing);
            measured.engine.push(engine);
            measured.reveal.push(reveal);
        }
    }
    house.close().await?;
    Ok(Some(measured))
}

/// Whether its commits do not reach the disk: then there is nothing to compare.
async fn is_unsafe(house: &House) -> bool {
    let asked = sql("SELECT current_setting('fsync')");
    let said: Option<(String,)> = house.app.database.fetch_optional(asked).await.unwrap_or_default();
    said.is_some_and(|(fsync,)| fsync != "on")
}

#[expect(clippy::print_stdout, reason = "a bench prints its table")]
fn print(what: &str, measured: Option<&Measured>) {
    let Some(measured) = measured else {
        println!("{what}: left out, its fsync is off. Set POSTGRES_FSYNC=on.");
        return;
    };
    let bare = measured.bare.p50();
    println!("{what}, {} alternating rounds, {}", measured.reveal.count(), measure::machine());
    println!("{:<52} {:>10} {:>10} {:>8}", "", "p50", "p99", "ratio");
    let line = |what: &str, times: &Times| {
        let (p50, p99) = (times.p50(), times.p99());
        println!("{what:<52} {p50:>7.3} ms {p99:>7.3} ms {:>8.2}", p50 / bare);
    };
    line("one fdatasync after 4 KiB", &measured.bare);
    line("GET /api/v1/version by the same client", &measured.nothing);
    if measured.engine.p50() > 0.01 {
        line("the engine's own read", &measured.engine);
    }
    line("an audited read over HTTP", &measured.reveal);
    let own = measured.engine.p50();
    if own > 0.01 {
        let rest = measured.reveal.p50() - own;
        println!(
            "{:<52} {rest:>7.3} ms {:>10} {:>8.2}",
            "the same without the engine's own read",
            "",
            rest / bare
        );
    }
}

fn nowhere(database: &str, folder: &Path) -> Settings {
    Settings::new(database, folder, Access::Directory(folder.join("cluster")))
}

async fn all() -> Result<()> {
    let peers = Peers::from_env();
    let folder = measure::folder()?;
    let file = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    print("SQLite, embedded engine", measure(&nowhere(&file("a.db"), folder.path())).await?.as_ref());
    if let Some(postgres) = &peers.postgres {
        let database = postgres.create_database("bench").await?;
        let measured = measure(&nowhere(&database.url, folder.path())).await?;
        print("PostgreSQL, embedded engine", measured.as_ref());
    }
    if let Some(openbao) = &peers.openbao {
        let mount = openbao.mount().await?;
        let engine = EngineConfig::Vault(Box::new(VaultConfig {
            address: openbao.address.parse()?,
            ca_file: None,
            namespace: None,
            mount: mount.path.clone(),
            max_versions: 4,
            auth: VaultAuth::AppRole {
                mount: "approle".to_owned(),
                role_id: mount.role.role_id.clone(),
                secret_id: Credential::Value(mount.role.secret_id.clone().into()),
            },
        }));
        let settings = Settings { engine, ..nowhere(&file("b.db"), folder.path()) };
        print("SQLite, OpenBao", measure(&settings).await?.as_ref());
    }
    Ok(())
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(all()).context("a bench")
}
