use std::{collections::BTreeMap, sync::Mutex};

use object_store::memory::InMemory;

use super::*;
use crate::{audit::archive::Archive, keys::LogSigner};

fn signer() -> LogSigner {
    LogSigner::from_seed(&[1; 32])
}

fn key() -> [VerifierKey; 1] {
    [VerifierKey::new("example.com/log", signer().public_key()).unwrap()]
}

fn at(size: u64) -> Checkpoint {
    Checkpoint { origin: "example.com/log".to_owned(), size, root: [7; 32] }
}

async fn pins(pin: &Pin, size: u64) -> Result<Checkpoint> {
    pin.write(&at(size), &at(size).sign(&signer()), &key()).await
}

async fn never_goes_back(pin: &Pin) {
    pin.check().await.unwrap();
    assert_eq!(pin.read(&key()).await.unwrap(), None);
    for (size, pinned) in [(3, 3), (2, 3), (9, 9)] {
        assert_eq!(pins(pin, size).await.unwrap(), at(pinned));
        assert_eq!(pin.read(&key()).await.unwrap(), Some(at(pinned)));
    }
    let aside = pin.set_aside().await.unwrap().unwrap();
    assert!(aside.ends_with("before-1"), "{aside}");
    assert_eq!(pin.read(&key()).await.unwrap(), None);
    pins(pin, 4).await.unwrap();
    assert!(pin.set_aside().await.unwrap().unwrap().ends_with("before-2"));
    assert_eq!(pin.set_aside().await.unwrap(), None);
}

#[tokio::test]
async fn a_pin_never_goes_back_and_is_believed_only_if_signed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept-pin");
    let pin = Pin::new(PinFile::new(path.clone()));
    never_goes_back(&pin).await;
    std::fs::write(path, at(9).sign(&LogSigner::from_seed(&[2; 32]))).unwrap();
    assert!(pin.read(&key()).await.unwrap_err().is(ProblemKind::InvalidConfiguration));
    assert!(pins(&pin, 10).await.unwrap_err().is(ProblemKind::InvalidConfiguration));
}

#[tokio::test]
async fn a_pin_among_objects_never_goes_back_either() {
    let archive = Archive::over(std::sync::Arc::new(InMemory::new()), "s3://archive/log");
    never_goes_back(&Pin::new(PinObject::new(archive))).await;
}

/// A place where another replica is faster, so many times.
struct Contested {
    kept: Mutex<BTreeMap<u8, String>>,
    lost: Mutex<usize>,
}

#[async_trait]
impl PinPlace for Contested {
    fn name(&self) -> String {
        "a contested place".to_owned()
    }

    async fn read(&self) -> Result<Option<Kept>, String> {
        let kept = self.kept.lock().unwrap();
        Ok(kept.last_key_value().map(|(at, note)| Kept { note: note.clone(), version: at.to_string() }))
    }

    async fn replace(&self, read: Option<&Kept>, note: &str) -> Result<bool, String> {
        let mut kept = self.kept.lock().unwrap();
        let newest = kept.keys().last().copied().unwrap_or_default();
        let mut lost = self.lost.lock().unwrap();
        if *lost > 0 {
            *lost -= 1;
            kept.insert(newest + 1, at(u64::from(newest) + 1).sign(&signer()));
            return Ok(false);
        }
        assert_eq!(read.map(|it| it.version.clone()), Some(newest.to_string()));
        kept.insert(newest + 1, note.to_owned());
        Ok(true)
    }

    async fn set_aside(&self) -> Result<Option<String>, String> {
        Ok(None)
    }

    async fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

#[tokio::test]
async fn replicas_that_pin_at_once_leave_the_newest() {
    let place = |lost| Pin::new(Contested { kept: Mutex::default(), lost: Mutex::new(lost) });
    assert_eq!(pins(&place(3), 100).await.unwrap(), at(100));
    assert_eq!(pins(&place(3), 2).await.unwrap(), at(2), "the other's is as new");
    let endless = pins(&place(1000), 1000).await.unwrap_err();
    assert!(endless.detail.contains("all the time"), "{endless}");
}

#[tokio::test]
async fn a_place_that_takes_its_time_gets_the_newest_and_is_waited_for_at_the_end() {
    let archive = Archive::over(std::sync::Arc::new(InMemory::new()), "s3://archive/log");
    let pin = Pin::new(PinObject::new(archive));
    let behind = Behind::begin(pin.clone(), None);
    for size in 1..=50 {
        behind.tell(at(size), at(size).sign(&signer()), key().to_vec());
    }
    behind.finish().await;
    assert_eq!(pin.read(&key()).await.unwrap(), Some(at(50)));
}
