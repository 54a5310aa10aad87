//! What the log costs: `POSTGRES_FSYNC=on tests/run --peers-only -- cargo bench --bench audit`. Without
//! PostgreSQL beside it, only SQLite is measured.

mod append;
#[path = "../support/mod.rs"]
mod measure;
#[path = "../../tests/peers/mod.rs"]
mod peers;
mod readers;
mod replicas;
mod site;
#[path = "../../tests/support/mod.rs"]
mod support;

use anyhow::Result;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        append::run().await?;
        readers::run().await?;
        replicas::run().await
    })
}
