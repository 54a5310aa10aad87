//! What the log costs: `POSTGRES_FSYNC=on tests/run --peers-only -- cargo bench --bench audit`. Without
//! PostgreSQL beside it, only SQLite is measured.

mod append;
mod auditor;
mod large;
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
        // One of them alone where it is named: `cargo bench --bench audit -- append`.
        let wanted: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
        let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|it| it == name);
        if is_wanted("append") {
            append::run().await?;
        }
        if is_wanted("readers") {
            readers::run().await?;
        }
        if is_wanted("replicas") {
            replicas::run().await?;
        }
        if is_wanted("large") {
            large::run().await?;
        }
        Ok(())
    })
}
