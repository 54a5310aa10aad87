use super::*;

struct House {
    _folder: tempfile::TempDir,
    database: Database,
    ambient: Ambient,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&format!("sqlite:{}/test.db", folder.path().display())).await.unwrap();
        database.migrate().await.unwrap();
        Self { _folder: folder, database, ambient: Ambient::system(Timestamp::EPOCH) }
    }

    async fn keys(&self, master: MasterKey) -> Result<Keys> {
        Keys::open(&self.database, master, self.ambient.clone()).await
    }
}

fn raw(byte: u8) -> MasterKey {
    MasterKey::Raw(Zeroizing::new([byte; 32]))
}

#[tokio::test]
async fn what_was_sealed_is_opened_after_a_restart_for_the_same_purpose_alone() {
    let house = House::new().await;
    let keys = house.keys(raw(1)).await.unwrap();
    let sealed = keys.seal("tokens", b"per_1", b"plain");
    let again = house.keys(raw(1)).await.unwrap();
    assert_eq!(again.unseal("tokens", b"per_1", &sealed).unwrap().as_slice(), b"plain");
    assert!(again.unseal("cookies", b"per_1", &sealed).is_err());
    assert!(again.unseal("tokens", b"per_2", &sealed).is_err());
    for at in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 1;
        assert!(again.unseal("tokens", b"per_1", &altered).is_err(), "byte {at}");
        assert!(again.unseal("tokens", b"per_1", &sealed[..at]).is_err(), "cut at {at}");
    }
    assert_eq!(public(&keys).await, public(&again).await);
}

/// What the log is verified with.
async fn public(keys: &Keys) -> Vec<[u8; 32]> {
    keys.log_keys().await.unwrap().iter().map(|key| key.public).collect()
}

#[tokio::test]
async fn another_master_key_is_refused() {
    let house = House::new().await;
    house.keys(raw(1)).await.unwrap();
    let refusal = house.keys(raw(2)).await.unwrap_err();
    assert!(refusal.is(ProblemKind::InvalidConfiguration), "{refusal}");
}

#[tokio::test]
async fn a_passphrase_opens_what_it_sealed_and_another_does_not() {
    let house = House::new().await;
    let passphrase = |text: &str| MasterKey::from_passphrase(SecretValue::from(text.to_owned()));
    let sealed = house.keys(passphrase("correct horse")).await.unwrap().seal("a", b"", b"plain");
    let again = house.keys(passphrase("correct horse")).await.unwrap();
    assert_eq!(again.unseal("a", b"", &sealed).unwrap().as_slice(), b"plain");
    assert!(house.keys(passphrase("battery staple")).await.is_err());
}

#[tokio::test]
async fn parts_of_a_mac_are_told_apart() {
    let house = House::new().await;
    let keys = house.keys(raw(1)).await.unwrap();
    assert_ne!(keys.mac("a", &[b"ab", b"c"]), keys.mac("a", &[b"a", b"bc"]));
    assert_ne!(keys.mac("a", &[b"ab"]), keys.mac("b", &[b"ab"]));
    assert_eq!(keys.mac("a", &[b"ab"]), keys.mac("a", &[b"ab"]));
}

#[tokio::test]
async fn a_new_wrapping_key_leaves_what_the_old_one_wrapped_openable_everywhere() {
    let house = House::new().await;
    let (here, there) = (house.keys(raw(1)).await.unwrap(), house.keys(raw(1)).await.unwrap());
    let old = here.wrap(b"v1", &[5; 32]);
    let new = here.new_wrapping();
    house.database.write_unrecorded("keys", new.row(house.ambient.now())).await.unwrap();
    here.reload().await.unwrap();
    assert_eq!(here.wrapping_in_use(), new.id);
    let newer = here.wrap(b"v1", &[6; 32]);
    assert_ne!(newer.under, old.under);
    assert_eq!(here.unwrap(b"v1", &old).await.unwrap().as_slice(), [5; 32]);
    // The other replica has not heard of it, and looks.
    assert_eq!(there.unwrap(b"v1", &newer).await.unwrap().as_slice(), [6; 32]);
    assert!(there.unwrap(b"v2", &newer).await.is_err());
}

proptest::proptest! {
    #[test]
    fn sealing_is_undone_by_unsealing(plain: Vec<u8>, aad: Vec<u8>) {
        let ambient = Ambient::system(Timestamp::EPOCH);
        let key = sealed::key(&[3; 32]);
        let sealed = sealed::seal(&key, &ambient, &aad, &plain);
        let opened = sealed::unseal(&key, &aad, &sealed).unwrap();
        proptest::prop_assert_eq!(opened.as_slice(), plain.as_slice());
    }
}

#[tokio::test]
async fn another_master_key_takes_over_and_nothing_else_changes() {
    let house = House::new().await;
    let keys = house.keys(raw(1)).await.unwrap();
    let (sealed, wrapped) = (keys.seal("tokens", b"", b"plain"), keys.wrap(b"a", &[7; 32]));
    assert!(reseal(&house.database, &raw(3), &raw(2), &house.ambient).await.is_err());
    let takes_over = reseal(&house.database, &raw(1), &raw(2), &house.ambient).await.unwrap();
    house.database.write_unrecorded("keys", takes_over).await.unwrap();
    // A server that runs goes on.
    assert!(keys.unseal("tokens", b"", &sealed).is_ok());
    assert!(house.keys(raw(1)).await.unwrap_err().is(ProblemKind::InvalidConfiguration));
    let next = house.keys(raw(2)).await.unwrap();
    assert_eq!(next.unseal("tokens", b"", &sealed).unwrap().as_slice(), b"plain");
    assert_eq!(*next.unwrap(b"a", &wrapped).await.unwrap(), [7; 32]);
    assert_eq!(public(&next).await, public(&keys).await);
}

#[tokio::test]
async fn sealing_and_opening_is_the_identity_and_anything_else_is_refused() {
    use proptest::prelude::*;
    let house = House::new().await;
    let keys = house.keys(raw(1)).await.unwrap();
    let bytes = || proptest::collection::vec(any::<u8>(), 0..300);
    proptest!(ProptestConfig::with_cases(64), |(purpose in "[a-z-]{0,20}", aad in bytes(), plain in bytes())| {
        let sealed = keys.seal(&purpose, &aad, &plain);
        let opened = keys.unseal(&purpose, &aad, &sealed).unwrap();
        prop_assert_eq!(opened.as_slice(), plain.as_slice());
        prop_assert!(keys.unseal(&purpose, &aad, &plain).is_err());
    });
}
