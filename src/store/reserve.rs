//! Room on the disk that is kept for the worst day.
//!
//! Where the disk is full, taking rights away has to go on. So a file beside the database holds some
//! room that nobody else gets; it is emptied when the disk is full, and filled again when there is room.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// How much room is kept, in bytes: some hundreds of revocations.
const SIZE: usize = 4 << 20;

/// The file that holds the room.
#[derive(Clone, Debug)]
pub struct Reserve(PathBuf);

impl Reserve {
    pub(super) fn beside(database: &Path) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push(".reserve");
        Self(path.into())
    }

    /// Takes the room, where it is not taken yet. Where there is too little, nothing is taken.
    ///
    /// # Errors
    /// Where the disk has less room than that.
    pub async fn fill(&self) -> io::Result<()> {
        let path = self.0.clone();
        in_background(move || fill(&path)).await
    }

    /// Gives the room to whoever is next: the caller, who has just been refused.
    ///
    /// # Errors
    /// Of the file system.
    pub async fn release(&self) -> io::Result<()> {
        let path = self.0.clone();
        in_background(move || empty(&path)).await
    }
}

async fn in_background(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn fill(path: &Path) -> io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|file| file.len() == SIZE as u64) {
        return Ok(());
    }
    let filled = File::create(path).and_then(|mut file| {
        // A hole would be no room, and some file systems make one of zeros.
        let block: Vec<u8> = (0..=u8::MAX).cycle().take(1 << 16).collect();
        for _ in 0..SIZE / block.len() {
            file.write_all(&block)?;
        }
        // A file system may take what it cannot place; it says so here.
        file.sync_data()
    });
    if filled.is_err() {
        empty(path)?;
    }
    filled
}

fn empty(path: &Path) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    file.set_len(0)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_reserve_is_taken_given_and_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::beside(&folder.path().join("test.db"));
        let size = || std::fs::metadata(&reserve.0).unwrap().len();
        reserve.fill().await.unwrap();
        assert_eq!(size(), SIZE as u64);
        reserve.release().await.unwrap();
        assert_eq!(size(), 0);
        reserve.fill().await.unwrap();
        assert_eq!(size(), SIZE as u64);
    }
}
