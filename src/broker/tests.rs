//! The reconciler over a simulated cluster, killed wherever it waits; the folder's contract.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
    task::Poll,
};

use futures::{StreamExt, stream::BoxStream};
use serde_json::json;

use super::*;
use crate::{
    access::house::House,
    base::ambient::{Chance, SeededChance},
    store::sql,
};

struct TestMac;

impl Mac for TestMac {
    fn mac(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, purpose.as_bytes());
        let mut context = ring::hmac::Context::with_key(&key);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign().as_ref().try_into().unwrap()
    }
}

#[derive(Default)]
struct TestValues(Mutex<Vec<CurrentValue>>);

#[async_trait]
impl Values for TestValues {
    async fn current(&self, at: &EnvironmentRef, _permit: Permit) -> Result<Vec<CurrentValue>> {
        let ours = at.application.as_str() == "reports";
        Ok(if ours { self.0.lock().unwrap().clone() } else { Vec::new() })
    }
}

/// A cluster in memory. When its fuel runs out, a call hangs for ever, done or not.
#[derive(Default)]
struct Sim {
    secrets: Mutex<BTreeMap<Spot, Found>>,
    count: AtomicI64,
    fuel: AtomicI64,
    down: std::sync::atomic::AtomicBool,
}

impl Sim {
    async fn call<T>(
        &self,
        work: impl FnOnce(&mut BTreeMap<Spot, Found>, i64) -> Result<T, TargetError>,
    ) -> Result<T, TargetError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(TargetError::Unreachable("it is down".to_owned()));
        }
        tokio::task::yield_now().await;
        let left = self.fuel.fetch_sub(1, Ordering::SeqCst);
        if left == 0 {
            std::future::pending::<()>().await;
        }
        let done = work(&mut self.secrets.lock().unwrap(), self.count.fetch_add(1, Ordering::SeqCst));
        if left == 1 {
            std::future::pending::<()>().await;
        }
        done
    }

    fn by_hand(&self, spot: &Spot, data: &str, owner: bool) {
        let count = self.count.fetch_add(1, Ordering::SeqCst);
        let mut secrets = self.secrets.lock().unwrap();
        let mut manifest =
            secrets.get(spot).filter(|_| owner).map(|it| it.manifest.clone()).unwrap_or_default();
        manifest.data.insert("HAND".to_owned(), SecretValue::from(data.to_owned()));
        secrets.insert(spot.clone(), found(manifest, format!("u{count}"), count));
    }
}

fn found(manifest: Manifest, uid: String, version: i64) -> Found {
    Found {
        seen: Seen { uid, resource_version: version.to_string() },
        manifest,
        immutable: false,
        ending: false,
    }
}

#[async_trait]
impl Target for Sim {
    async fn read(&self, spot: &Spot) -> Result<Option<Found>, TargetError> {
        self.call(|secrets, _| Ok(secrets.get(spot).cloned())).await
    }

    async fn create(&self, spot: &Spot, manifest: &Manifest, mode: Mode) -> Result<(), TargetError> {
        self.call(|secrets, count| {
            if secrets.contains_key(spot) {
                return Err(TargetError::Conflict);
            }
            if mode == Mode::Do {
                secrets.insert(spot.clone(), found(manifest.clone(), format!("u{count}"), count));
            }
            Ok(())
        })
        .await
    }

    async fn replace(
        &self,
        spot: &Spot,
        seen: &Seen,
        manifest: &Manifest,
        mode: Mode,
    ) -> Result<(), TargetError> {
        self.call(|secrets, count| match secrets.get(spot) {
            Some(it) if it.seen == *seen => {
                if mode == Mode::Do {
                    secrets.insert(spot.clone(), found(manifest.clone(), seen.uid.clone(), count));
                }
                Ok(())
            }
            _ => Err(TargetError::Conflict),
        })
        .await
    }

    async fn delete(&self, spot: &Spot, seen: &Seen, mode: Mode) -> Result<(), TargetError> {
        self.call(|secrets, _| match secrets.get(spot) {
            Some(it) if it.seen == *seen => {
                if mode == Mode::Do {
                    secrets.remove(spot);
                }
                Ok(())
            }
            _ => Err(TargetError::Conflict),
        })
        .await
    }

    fn changes(&self, _namespace: &Name) -> BoxStream<'static, Spot> {
        futures::stream::pending().boxed()
    }

    async fn check(&self, _namespaces: &[Name]) -> Vec<CheckFinding> {
        Vec::new()
    }
}

struct World {
    house: House,
    broker: Broker,
    sim: Arc<Sim>,
    values: Arc<TestValues>,
}

fn spot() -> Spot {
    Spot { namespace: "apps".parse().unwrap(), secret: "reports-env".to_owned() }
}

fn delivery() -> Name {
    "reports-env".parse().unwrap()
}

impl World {
    async fn new() -> Self {
        let house = House::new().await;
        let world = Self::around(house);
        world
            .declare(
                "Cluster",
                "main",
                &json!({"name": "main", "namespaces": [{"name": "apps", "teams": ["supa-team"]}]}),
            )
            .await;
        world.sim.fuel.store(i64::MAX, Ordering::SeqCst);
        world
    }

    fn around(house: House) -> Self {
        let (sim, values) = (Arc::new(Sim::default()), Arc::new(TestValues::default()));
        let broker = Broker::new(Surroundings {
            database: house.database.clone(),
            log: house.log.clone(),
            ambient: house.ambient.clone(),
            catalog: house.catalog.clone(),
            values: Arc::clone(&values) as _,
            mac: Arc::new(TestMac),
            permits: Arc::clone(&house.services) as _,
            targets: [("main".parse().unwrap(), Arc::clone(&sim) as Arc<dyn Target>)].into(),
        });
        Self { house, broker, sim, values }
    }

    async fn declare(&self, kind: &str, name: &str, body: &serde_json::Value) {
        let put = sql("INSERT INTO declared (kind, name, source, body) VALUES ($1, $2, 'test', $3) \
                       ON CONFLICT (kind, name) DO UPDATE SET body = excluded.body");
        let moved = sql("UPDATE catalog SET version = version + 1");
        self.house.seed(vec![put.bind(kind).bind(name).bind(body.to_string()), moved]).await;
    }

    async fn set(&self, text: &str) {
        let (secret, version): (SecretId, VersionId) = (self.house.ambient.id(), self.house.ambient.id());
        let name = format!("K{}", self.values.0.lock().unwrap().len());
        self.house
            .seed(vec![
                sql("INSERT INTO secrets (id, application, environment, team, name, engine, latest_number, changed_at) \
                     VALUES ($1, 'reports', 'production', '', $2, 'embedded', 1, 0)")
                .bind(secret)
                .bind(format!("{name}-{secret}")),
                sql("INSERT INTO versions (id, secret, number, fingerprint, state, origin, created_at, created_by) \
                     VALUES ($1, $2, 1, $3, 'live', 'set', 0, 'test')")
                .bind(version)
                .bind(secret)
                .bind([0; 32]),
            ])
            .await;
        let value = SecretValue::from(text.to_owned());
        let value = CurrentValue { name: name.parse().unwrap(), secret, version, value };
        self.values.0.lock().unwrap().push(value);
    }

    /// Runs until it settles, as the loop would.
    async fn settle(&self) {
        for _ in 0..20 {
            if self.broker.reconcile(&delivery()).await.unwrap() == Next::Settled {
                return;
            }
        }
        panic!("it does not settle");
    }

    async fn state(&self) -> DeliveryRow {
        let rows = self.broker.states().await.unwrap();
        rows.into_iter().find(|it| it.delivery.name == delivery()).unwrap()
    }

    fn there(&self) -> Option<Found> {
        self.sim.secrets.lock().unwrap().get(&spot()).cloned()
    }

    fn assert_delivered(&self) {
        let expected: BTreeMap<String, SecretValue> =
            self.values.0.lock().unwrap().iter().map(|it| (it.name.to_string(), it.value.clone())).collect();
        assert_eq!(self.there().unwrap().manifest.data, expected);
    }

    async fn count(&self, query: &'static str) -> i64 {
        let row: Option<(i64,)> = self.house.database.fetch_optional(sql(query)).await.unwrap();
        row.unwrap().0
    }
}

/// Polls a future so many times and drops it: killed where it waits.
async fn killed_after<T>(polls: u32, future: impl Future<Output = T>) {
    let mut future = pin!(future);
    let mut left = polls;
    let run = std::future::poll_fn(|context| {
        left = left.saturating_sub(1);
        if left == 0 || future.as_mut().poll(context).is_ready() { Poll::Ready(()) } else { Poll::Pending }
    });
    // A call that hangs is never polled again.
    let _ = tokio::time::timeout(std::time::Duration::from_millis(20), run).await;
}

#[tokio::test]
async fn invariant_6_killed_at_any_point_it_converges() {
    for seed in 0..24u64 {
        let world = World::new().await;
        let chance = SeededChance::new(seed);
        let draw = |below: u8| {
            let mut byte = [0];
            chance.fill(&mut byte);
            byte[0] % below
        };
        for _ in 0..8 {
            match draw(5) {
                0 | 1 => world.set("v").await,
                2 if world.there().is_some() => world.sim.by_hand(&spot(), "h", true),
                3 => drop(world.sim.secrets.lock().unwrap().remove(&spot())),
                _ => {}
            }
            world.sim.fuel.store(i64::from(draw(6)), Ordering::SeqCst);
            killed_after(u32::from(draw(40)) + 1, world.broker.reconcile(&delivery())).await;
        }
        world.sim.fuel.store(i64::MAX, Ordering::SeqCst);
        world.set("last").await;
        world.settle().await;
        world.assert_delivered();
        let open = "SELECT CAST(count(*) AS BIGINT) FROM intents WHERE state IN ('open', 'unknown')";
        assert_eq!(world.count(open).await, 0, "seed {seed}");
        let size = world.house.log.head().size;
        world.settle().await;
        assert_eq!(
            world.house.log.head().size,
            size,
            "seed {seed}: a turn that changes nothing writes nothing"
        );
        let versions = "SELECT CAST(count(*) AS BIGINT) FROM delivered_versions";
        assert_eq!(
            usize::try_from(world.count(versions).await).unwrap(),
            world.values.0.lock().unwrap().len()
        );
    }
}

#[tokio::test]
async fn without_a_value_there_is_no_secret() {
    let world = World::new().await;
    world.settle().await;
    assert!(world.there().is_none());
    assert_eq!(world.state().await.state, DeliveryState::WaitingForValues);
}

#[tokio::test]
async fn abuse_34_a_secret_that_is_not_ours_is_left_alone() {
    let world = World::new().await;
    world.set("v").await;
    world.sim.by_hand(&spot(), "theirs", false);
    let before = world.there().unwrap();
    assert_eq!(world.broker.reconcile(&delivery()).await.unwrap(), Next::Again);
    assert_eq!(world.there().unwrap().seen, before.seen);
    assert_eq!(world.state().await.state, DeliveryState::Foreign);
    // Ours, copied to another name, is not ours there.
    world.sim.secrets.lock().unwrap().clear();
    world.settle().await;
    let ours = world.there().unwrap();
    let place =
        desired::Place { cluster: "main".parse().unwrap(), spot: Spot { secret: "other".into(), ..spot() } };
    assert!(!desired::is_ours(&TestMac, &ours, &place, &delivery()));
}

#[tokio::test]
async fn abuse_34_a_namespace_that_is_not_allowed_is_not_touched() {
    let world = World::new().await;
    world.set("v").await;
    world
        .declare(
            "Cluster",
            "main",
            &json!({"name": "main", "namespaces": [{"name": "apps", "teams": ["others"]}]}),
        )
        .await;
    world.settle().await;
    assert!(world.there().is_none());
    assert_eq!(world.state().await.state, DeliveryState::Refused);
}

#[tokio::test]
async fn a_cluster_that_is_down_is_told_once_and_heals() {
    let world = World::new().await;
    world.set("v").await;
    world.sim.down.store(true, Ordering::SeqCst);
    world.broker.reconcile(&delivery()).await.unwrap();
    let size = world.house.log.head().size;
    world.broker.reconcile(&delivery()).await.unwrap();
    assert_eq!(world.house.log.head().size, size);
    assert_eq!(world.state().await.state, DeliveryState::Unreachable);
    world.sim.down.store(false, Ordering::SeqCst);
    world.settle().await;
    world.assert_delivered();
    assert_eq!(world.state().await.generation, 1);
}

#[tokio::test]
async fn what_is_done_by_hand_is_undone_and_named() {
    let world = World::new().await;
    world.set("v").await;
    world.settle().await;
    world.sim.by_hand(&spot(), "h", true);
    world.settle().await;
    world.assert_delivered();
    let restored = "SELECT CAST(count(*) AS BIGINT) FROM entries WHERE action = 'delivery.restored'";
    assert_eq!(world.count(restored).await, 1);
    assert_eq!(world.state().await.generation, 1);
}

#[tokio::test]
async fn a_delivery_that_is_declared_no_more_is_removed() {
    let world = World::new().await;
    world.set("v").await;
    world.settle().await;
    let gone = vec![
        sql("DELETE FROM declared WHERE kind = 'Delivery' AND name = 'reports-env'"),
        sql("UPDATE catalog SET version = version + 1"),
    ];
    world.house.seed(gone).await;
    world.settle().await;
    assert!(world.there().is_none());
    assert!(!world.broker.known().await.unwrap().contains(&delivery()));
}

#[tokio::test]
async fn the_folder_keeps_the_contract_of_a_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let target = Directory::new(folder.path().to_owned(), Ambient::system(crate::base::Timestamp::EPOCH));
    let data = [("K".to_owned(), SecretValue::new(vec![0, 255]))].into();
    let mut manifest = Manifest { data, ..Manifest::default() };
    target.create(&spot(), &manifest, Mode::Try).await.unwrap();
    assert!(target.read(&spot()).await.unwrap().is_none());
    target.create(&spot(), &manifest, Mode::Do).await.unwrap();
    assert_eq!(target.create(&spot(), &manifest, Mode::Do).await, Err(TargetError::Conflict));
    let first = target.read(&spot()).await.unwrap().unwrap();
    assert_eq!(first.manifest, manifest);
    manifest.labels.insert("a".to_owned(), "b".to_owned());
    target.replace(&spot(), &first.seen, &manifest, Mode::Do).await.unwrap();
    assert_eq!(target.replace(&spot(), &first.seen, &manifest, Mode::Do).await, Err(TargetError::Conflict));
    assert_eq!(target.delete(&spot(), &first.seen, Mode::Do).await, Err(TargetError::Conflict));
    let second = target.read(&spot()).await.unwrap().unwrap();
    assert_eq!(second.seen.uid, first.seen.uid);
    let mode = std::fs::metadata(folder.path().join("apps/reports-env.json")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
    target.delete(&spot(), &second.seen, Mode::Do).await.unwrap();
    assert!(target.read(&spot()).await.unwrap().is_none());
}
