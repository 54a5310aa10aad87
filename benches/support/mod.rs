//! What the benches share: a disk to measure on, medians, and tables.

#![allow(dead_code, reason = "what one bench needs, another does not")]

use std::{fs::File, io::Write as _, path::Path, time::Duration};

use anyhow::Result;
use port_control::base::time::Stopwatch;

/// A folder beside the build, because the usual temporary folder may be no disk.
pub fn folder() -> Result<tempfile::TempDir> {
    Ok(tempfile::tempdir_in(Path::new(env!("CARGO_MANIFEST_DIR")).join("target"))?)
}

/// A growing file that is written as a log would be.
pub struct Bare(File);

impl Bare {
    pub fn in_folder(folder: &Path) -> Result<Self> {
        Ok(Self(File::create(folder.join("bare"))?))
    }

    /// 4 KiB more, and on the disk; how long that took.
    pub fn append(&mut self) -> Result<Duration> {
        let since = Stopwatch::start();
        self.0.write_all(&[7; 4096])?;
        self.0.sync_data()?;
        Ok(since.elapsed())
    }
}

/// What took how long, many times.
#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn push(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// Below which so many of a hundred lie, in milliseconds.
    pub fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(at).map_or(f64::NAN, |it| it.as_secs_f64() * 1e3)
    }

    pub fn p50(&self) -> f64 {
        self.percentile(50)
    }

    pub fn p99(&self) -> f64 {
        self.percentile(99)
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// The machine, for the table's head.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 = memory.split_whitespace().nth(1).and_then(|it| it.parse().ok()).unwrap_or(0);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?");
    format!("{cores} cores, {} GiB, load {load}", kib / 1024 / 1024)
}
