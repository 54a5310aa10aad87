//! What these tests stand on.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::{
    audit::{FactsOfNow, Log},
    base::{
        Ambient, Problem, ProblemKind, Result, SecretValue, Timestamp,
        ambient::SeededChance,
        config::{AdministratorGroup, ProviderConfig, SessionConfig},
        ids::PersonId,
        time::ManualClock,
    },
    identity::{Arrival, Assertion, Identity, NewSession, Parts, Sealing, ServicePermits, WorkloadParts},
    notify::{Outbox, Webhook},
    policy::{Action, FactVersions, Permit, Principal, Resource, Service},
    store::{Database, Row, WriteTx, sql},
};

pub(super) const START: i64 = 1_800_000_000_000;

/// Reads the version of the actor's facts again, as access does.
struct Confirms;

#[async_trait]
impl FactsOfNow for Confirms {
    async fn confirm(&self, tx: &mut WriteTx, permit: &Permit, _: Timestamp) -> Result<()> {
        let Some((person, facts)) = permit.rests_on().person else { return Ok(()) };
        let found: Option<(i64,)> =
            tx.fetch_optional(sql("SELECT facts FROM people WHERE id = $1").bind(person)).await?;
        if found == Some((facts,)) {
            return Ok(());
        }
        Err(Problem::new(ProblemKind::FactsChanged, "a fact changed"))
    }
}

struct Services(Ambient);

impl ServicePermits for Services {
    fn permit(&self, service: Service, action: Action, resource: Resource) -> Result<Permit> {
        let rests_on = FactVersions::default();
        Ok(Permit::for_tests(Principal::Service(service), action, resource, rests_on, self.0.now()))
    }
}

/// Seals by putting the purpose in front: enough to see that the right one is opened.
struct Labels;

impl Sealing for Labels {
    fn seal(&self, purpose: &str, aad: &[u8], plain: &[u8]) -> Vec<u8> {
        [purpose.as_bytes(), aad, plain].concat()
    }

    fn unseal(&self, purpose: &str, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let plain = sealed.strip_prefix([purpose.as_bytes(), aad].concat().as_slice());
        plain.map(|plain| Zeroizing::new(plain.to_vec())).ok_or_else(|| Problem::internal("sealed otherwise"))
    }

    fn mac(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        crate::identity::token::hash_of(&[purpose.as_bytes(), &parts.concat()].concat())
    }
}

pub(super) struct Bench {
    _folder: tempfile::TempDir,
    pub(super) database: Database,
    pub(super) clock: Arc<ManualClock>,
    pub(super) ambient: Ambient,
    pub(super) identity: Identity,
    pub(super) log: Log,
}

impl Bench {
    pub(super) async fn new(providers: Vec<ProviderConfig>) -> Self {
        Self::with(providers, WorkloadParts::default()).await
    }

    pub(super) async fn with(providers: Vec<ProviderConfig>, workloads: WorkloadParts) -> Self {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let database =
            Database::open(&format!("sqlite:{}", folder.path().join("test.db").display())).await.unwrap();
        database.migrate().await.unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(START)));
        let ambient = Ambient::new(Arc::clone(&clock) as _, Arc::new(SeededChance::new(7)));
        let log = Log::open(database.clone(), ambient.clone(), Arc::new(Confirms)).await.unwrap();
        let secret = SecretValue::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let webhook = Webhook::new("https://example.com/hook".parse().unwrap(), &secret).unwrap();
        let identity = Identity::new(Parts {
            database: database.clone(),
            log: log.clone(),
            keys: Arc::new(Labels),
            ambient: ambient.clone(),
            permits: Arc::new(Services(ambient.clone())),
            public_url: "https://secrets.example.com/".parse().unwrap(),
            administrators: vec![AdministratorGroup { provider: "company".to_owned(), id: "it".to_owned() }],
            providers,
            workloads,
            sessions: SessionConfig { idle: Duration::from_hours(1), absolute: Duration::from_hours(8) },
            outbox: Outbox::new(&[webhook]),
        })
        .unwrap();
        Self { _folder: folder, database, clock, ambient, identity, log }
    }

    /// Permits of our own services.
    pub(super) fn services(&self) -> impl ServicePermits {
        Services(self.ambient.clone())
    }

    pub(super) async fn sign_in(&self, name: &str, groups: &[&str]) -> Result<NewSession> {
        self.identity.take_in(assertion(name, groups), arrival()).await
    }

    /// A permit to manage people that rests on the facts of whoever holds it now.
    pub(super) async fn may_manage(&self, person: PersonId) -> Permit {
        self.permit(person, Action::ManagePeople, Resource::People).await
    }

    pub(super) async fn permit(&self, person: PersonId, action: Action, resource: Resource) -> Permit {
        let facts: Vec<(i64,)> = self.all(sql("SELECT facts FROM people WHERE id = $1").bind(person)).await;
        let rests_on = FactVersions { person: Some((person, facts[0].0)), ..FactVersions::default() };
        Permit::for_tests(Principal::Person(person), action, resource, rests_on, self.ambient.now())
    }

    pub(super) async fn all<T: Row>(&self, query: crate::store::Query) -> Vec<T> {
        self.database.fetch_all(query).await.unwrap()
    }

    pub(super) async fn entries(&self) -> Vec<String> {
        let rows: Vec<(String,)> = self.all(sql("SELECT action FROM entries ORDER BY idx")).await;
        rows.into_iter().map(|(action,)| action).collect()
    }

    /// What each entry of an action has in this field, the oldest first.
    pub(super) async fn fields(&self, action: &str, field: &str) -> Vec<Option<serde_json::Value>> {
        let query = sql("SELECT o.body FROM openings o JOIN entries e ON e.idx = o.entry \
             WHERE e.action = $1 ORDER BY e.idx");
        let rows: Vec<(String,)> = self.all(query.bind(action)).await;
        let payload = |body: &str| {
            let opening: serde_json::Value = serde_json::from_str(body).unwrap();
            serde_json::from_str::<serde_json::Value>(opening["payload"]["value"].as_str().unwrap()).unwrap()
        };
        rows.iter().map(|(body,)| payload(body).get(field).cloned()).collect()
    }

    /// Who holds the token, or what is answered instead.
    pub(super) async fn who(&self, session: &NewSession) -> Result<PersonId, ProblemKind> {
        let token = session.token.expose_text().unwrap();
        self.identity.authenticate(token, None).await.map(|caller| caller.person).map_err(|it| it.kind)
    }
}

pub(super) fn arrival() -> Arrival {
    Arrival { label: "Firefox".to_owned(), network: Some(Ipv4Addr::LOCALHOST.into()), replaces: None }
}

pub(super) fn assertion(name: &str, groups: &[&str]) -> Assertion {
    Assertion {
        provider: "company".parse().unwrap(),
        issuer: "https://idp.example.com".to_owned(),
        subject: name.to_owned(),
        display_name: name.to_owned(),
        email: Some(format!("{name}@example.com")),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        sid: None,
        authenticated_at: Timestamp::from_millis(START),
        acr: None,
        amr: Vec::new(),
        sealed_id_token: None,
    }
}
