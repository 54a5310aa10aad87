//! A disk without room.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use anyhow::{Result, bail, ensure};
use libtest_mimic::Trial;
use port_control::base::ProblemKind;

use super::{
    check::walk,
    site::{ANSWERED, Does, Note, Site},
};
use crate::{peers::Peers, support::trial};

pub fn trials(_: &Arc<Peers>) -> Vec<Trial> {
    vec![trial("log::a_full_disk_leaves_room_for_revocations", full_disk)]
}

/// A small disk of its own; unmounted with this value.
pub struct SmallDisk {
    pub path: PathBuf,
    // Last, so that it is removed after it was unmounted.
    _folder: tempfile::TempDir,
}

impl SmallDisk {
    /// Nothing where this machine does not let us mount one.
    pub fn mount(megabytes: u32) -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("disk");
        std::fs::create_dir(&path)?;
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "port-control-test"])
            .arg(&path)
            .output()
            .is_ok_and(|output| output.status.success());
        Ok(mounted.then_some(Self { path, _folder: folder }))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.path).output());
    }
}

/// Takes all the room that is left.
pub fn fill(folder: &Path) -> Result<PathBuf> {
    use std::io::Write as _;
    let path = folder.join("ballast");
    let mut file = std::fs::File::create(&path)?;
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    Ok(path)
}

async fn full_disk() -> Result<()> {
    let Some(disk) = SmallDisk::mount(24)? else {
        eprintln!("NOT COVERED: a full disk, because a small one cannot be mounted without being root");
        return Ok(());
    };
    let url = format!("sqlite:{}", disk.path.join("port-control.db").display());
    let database = port_control::store::Database::open(&url).await?;
    database.migrate().await?;
    let site = Site::open(database).await?;
    site.note("before").await?;
    let ballast = fill(&disk.path)?;
    refused_soon(&site).await?;
    for n in 0..50 {
        let name = format!("revoked-{n}");
        site.log.perform(Note { permit: site.revocation()?, name, does: Does::Note }).await?;
    }
    let (answer, took) = site.timed("still full").await;
    ensure!(answer.is_err_and(|it| it.is(ProblemKind::NotRecorded)), "the reserve went to somebody else");
    ensure!(took < ANSWERED, "answered after {took:?}");
    std::fs::remove_file(ballast)?;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    site.note("after").await?;
    let entries = walk(&site.database).await?;
    for entry in &entries {
        ensure!(site.has(entry.payload["name"].as_str().unwrap_or_default()).await?, "an entry alone");
    }
    ensure!(!site.has("still full").await?, "what was refused is there");
    Ok(())
}

/// The file has some room inside; after that, acts are refused.
async fn refused_soon(site: &Site) -> Result<()> {
    for n in 0..2000 {
        let name = format!("n{n}");
        let (answer, took) = site.timed(&name).await;
        ensure!(took < ANSWERED, "answered after {took:?}");
        if let Err(problem) = answer {
            ensure!(problem.is(ProblemKind::NotRecorded), "{problem}");
            ensure!(!site.has(&name).await?, "it is there");
            return Ok(());
        }
    }
    bail!("the disk does not get full")
}
