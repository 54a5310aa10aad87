//! A small house for tests: a database in a folder of its own, a clock that stands still, declared
//! scopes, people.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{
    approvers::{StandingRow, facts_of, standing_query},
    *,
};
use crate::{
    audit::{Authority, Draft, FactsOfNow, Log, Unit, Work},
    base::{
        Ambient, EnvironmentRef, Problem, ProblemKind, Result, Timestamp,
        ambient::SeededChance,
        config::{IssuerKind, SessionConfig, WorkloadIssuerConfig},
        ids::{PersonId, RequestId},
        time::ManualClock,
    },
    catalog::Catalog,
    identity::{Identity, Parts, Sealing, ServicePermits, WorkloadParts},
    notify::Outbox,
    policy::{Action, FactVersions, Permit, PersonFacts, Principal, Resource, Service},
    store::{Database, Query, WriteTx, sql},
};

/// Reads again what decisions of these tests rest on.
struct Confirms;

#[async_trait]
impl FactsOfNow for Confirms {
    async fn confirm(&self, tx: &mut WriteTx, permit: &Permit, now: Timestamp) -> Result<()> {
        let changed = || Problem::new(ProblemKind::FactsChanged, "a fact changed");
        if now > permit.good_until() {
            return Err(changed());
        }
        if let Some((person, facts)) = permit.rests_on().person {
            let found: Option<(i64,)> =
                tx.fetch_optional(sql("SELECT facts FROM people WHERE id = $1").bind(person)).await?;
            if found != Some((facts,)) {
                return Err(changed());
            }
        }
        Ok(())
    }
}

/// Our own services may do what they ask for.
pub(crate) struct Services(pub(crate) Ambient);

impl ServicePermits for Services {
    fn permit(&self, service: Service, action: Action, resource: Resource) -> Result<Permit> {
        let rests_on = FactVersions::default();
        Ok(Permit::for_tests(Principal::Service(service), action, resource, rests_on, self.0.now()))
    }
}

/// The one issuer of workloads' tokens here; it is never asked.
fn ci() -> WorkloadIssuerConfig {
    WorkloadIssuerConfig {
        name: "ci".parse().unwrap(),
        kind: IssuerKind::Oidc,
        issuer: "http://127.0.0.1:9".to_owned(),
        audience: "https://port.example.com".to_owned(),
        cluster: None,
    }
}

/// Nothing here is sealed.
struct NoKeys;

impl Sealing for NoKeys {
    fn seal(&self, _: &str, _: &[u8], _: &[u8]) -> Vec<u8> {
        Vec::new()
    }

    fn unseal(&self, _: &str, _: &[u8], _: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>> {
        Err(Problem::internal("nothing is sealed here"))
    }

    fn mac(&self, _: &str, _: &[&[u8]]) -> [u8; 32] {
        [0; 32]
    }
}

/// Writes whatever a test needs to be there.
struct Seed {
    permit: Permit,
    queries: Vec<Query>,
}

#[async_trait]
impl Unit for Seed {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        for query in &self.queries {
            work.execute(query.clone()).await?;
        }
        work.record(Draft::act("test.seeded"));
        Ok(())
    }
}

pub(crate) struct House {
    folder: tempfile::TempDir,
    pub(crate) database: Database,
    pub(crate) log: Log,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) ambient: Ambient,
    pub(crate) catalog: Catalog,
    pub(crate) services: Arc<Services>,
    pub(crate) requests: Requests,
    outbox: Outbox,
}

pub(crate) fn production() -> EnvironmentRef {
    "reports/production".parse().unwrap()
}

fn declared() -> Vec<(&'static str, &'static str, Value)> {
    let group = |name: &'static str| ("Group", name, json!({"name": name, "provider": "idp", "id": name}));
    let delivery = |name: &'static str, application: &str| {
        let body = json!({"name": name, "application": application, "environment": "production",
            "cluster": "main", "namespace": "apps", "secret": name});
        ("Delivery", name, body)
    };
    let scope = |name: &'static str, actions: Value, longest: &str| {
        let body = json!({"name": name, "members": {"groups": ["engineering"]},
            "by-request": {"approvers": ["leads"], "longest": longest},
            "allows": [{"actions": actions, "applications": "all", "environments": ["production"]}]});
        ("TrustScope", name, body)
    };
    vec![
        group("engineering"),
        group("leads"),
        ("Team", "supa-team", json!({"name": "supa-team", "groups": ["engineering"]})),
        (
            "Application",
            "reports",
            json!({"name": "reports", "team": "supa-team", "environments": [{"name": "production", "protected": true}],
                "shares": [{"environment": "production", "secret": "B", "with": ["billing"]}]}),
        ),
        (
            "Application",
            "billing",
            json!({"name": "billing", "team": "supa-team", "environments": [{"name": "production"}]}),
        ),
        delivery("reports-env", "reports"),
        delivery("billing-env", "billing"),
        scope("production-access", json!(["reveal", "set"]), "1h"),
        scope("production-run", json!(["run", "set"]), "30m"),
    ]
}

impl House {
    pub(crate) async fn new() -> Self {
        let secret = crate::base::SecretValue::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let webhook =
            crate::notify::Webhook::new("https://example.com/hook".parse().unwrap(), &secret).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&format!("sqlite:{}/test.db", folder.path().display())).await.unwrap();
        database.migrate().await.unwrap();
        let clock = Arc::new(ManualClock::new("2026-03-01T12:00:00Z".parse().unwrap()));
        let ambient = Ambient::new(Arc::clone(&clock) as _, Arc::new(SeededChance::new(7)));
        let log = Log::open(database.clone(), ambient.clone(), Arc::new(Confirms)).await.unwrap();
        let services = Arc::new(Services(ambient.clone()));
        let catalog = Catalog::new(database.clone(), Vec::new());
        let outbox = Outbox::new(&[webhook]);
        let requests = Requests::new(
            database.clone(),
            log.clone(),
            catalog.clone(),
            Arc::new(crate::policy::Policies::built_in().unwrap()),
            ambient.clone(),
            outbox.clone(),
            "https://port.example.com/",
        );
        let house = Self { folder, database, log, clock, ambient, catalog, services, requests, outbox };
        house.declare().await;
        house
    }

    /// Where messages of its rooms go.
    pub(crate) fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }

    /// Where its database lies.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    async fn declare(&self) {
        let mut queries = vec![
            sql("INSERT INTO sources (name, digest, applied_at, applied_by) VALUES ('test', $1, 0, 'test')")
                .bind([0; 32]),
            sql("UPDATE catalog SET version = version + 1"),
        ];
        for (kind, name, body) in declared() {
            queries.push(
                sql("INSERT INTO declared (kind, name, source, body) VALUES ($1, $2, 'test', $3)")
                    .bind(kind)
                    .bind(name)
                    .bind(body.to_string()),
            );
        }
        self.seed(queries).await;
    }

    pub(crate) async fn seed(&self, queries: Vec<Query>) {
        let permit = self.services.permit(Service::Operator, Action::Operate, Resource::People).unwrap();
        self.log.perform(Seed { permit, queries }).await.unwrap();
    }

    pub(crate) async fn person(&self, name: &str, groups: &[&str]) -> PersonId {
        let id: PersonId = self.ambient.id();
        let now = self.ambient.now();
        let mut queries = vec![
            sql("INSERT INTO people (id, status, status_since, display_name, email, created_at, facts) \
                 VALUES ($1, 'active', $2, $3, $4, $2, 1)")
            .bind(id)
            .bind(now)
            .bind(name)
            .bind(format!("{}@example.com", name.to_lowercase())),
        ];
        queries.extend(groups.iter().map(|group| {
            sql("INSERT INTO memberships (person, source, group_id, asserted_at) VALUES ($1, 'idp', $2, $3)")
                .bind(id)
                .bind(*group)
                .bind(now)
        }));
        self.seed(queries).await;
        id
    }

    pub(crate) async fn set_status(&self, person: PersonId, status: &str) {
        let query = sql("UPDATE people SET status = $2, status_since = $3, facts = facts + 1 WHERE id = $1")
            .bind(person)
            .bind(status)
            .bind(self.ambient.now());
        self.seed(vec![query]).await;
    }

    pub(crate) async fn leave_group(&self, person: PersonId, group: &str) {
        // Without moving her facts: worse than what identity does.
        let query =
            sql("DELETE FROM memberships WHERE person = $1 AND group_id = $2").bind(person).bind(group);
        self.seed(vec![query]).await;
    }

    /// Says again what groups she is in, as a new sign-in does.
    pub(crate) async fn refresh(&self, person: PersonId) {
        let query = sql("UPDATE memberships SET asserted_at = $2 WHERE person = $1")
            .bind(person)
            .bind(self.ambient.now());
        self.seed(vec![query]).await;
    }

    async fn facts(&self, person: PersonId) -> PersonFacts {
        let rows: Vec<StandingRow> = self.database.fetch_all(standing_query(person)).await.unwrap();
        facts_of(person, rows, &self.catalog.snapshot().await.unwrap(), self.ambient.now()).unwrap()
    }

    /// A permit of now, whatever policy would say: what units refuse by themselves is at stake here.
    pub(crate) async fn permit(&self, person: PersonId, action: Action, resource: Resource) -> Permit {
        let rests_on = self.facts(person).await.versions;
        Permit::for_tests(Principal::Person(person), action, resource, rests_on, self.ambient.now())
    }

    /// Whether she holds anything now.
    pub(crate) async fn holds(&self, person: PersonId) -> bool {
        !grants_of(&self.database, person, self.ambient.now()).await.unwrap().is_empty()
    }

    pub(crate) async fn production(&self) -> Resource {
        Resource::Environment(self.catalog.snapshot().await.unwrap().environment(&production()).unwrap())
    }

    pub(crate) async fn own(&self, person: PersonId) -> Permit {
        self.permit(person, Action::SeeOwn, Resource::Own).await
    }

    /// The request and the grant that it became.
    pub(crate) async fn show(&self, id: RequestId) -> (Request, Option<Grant>) {
        let request = self.requests.get(id).await.unwrap();
        let grant = self.requests.grant(&request).await.unwrap();
        (request, grant)
    }

    pub(crate) async fn ask(&self, person: PersonId, action: Action) -> Result<Asked> {
        self.ask_for(person, action, Duration::from_mins(30)).await
    }

    pub(crate) async fn ask_for(&self, person: PersonId, action: Action, length: Duration) -> Result<Asked> {
        let permit = self.permit(person, Action::Request, self.production().await).await;
        self.requests.create(permit, Ask { action, scope: None, length, reason: "INC-123".into() }).await
    }

    pub(crate) async fn permit_to_decide(&self, person: PersonId, id: RequestId) -> Permit {
        let resource = self.requests.resource(id).await.unwrap();
        self.permit(person, Action::Decide, resource).await
    }

    pub(crate) async fn decide(
        &self,
        person: PersonId,
        id: RequestId,
        verdict: Verdict,
    ) -> Result<(Request, Option<Grant>)> {
        let permit = self.permit_to_decide(person, id).await;
        self.requests.decide(permit, verdict, "fine").await
    }

    pub(crate) fn expiry(&self) -> Expiry {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let identity = Identity::new(Parts {
            database: self.database.clone(),
            log: self.log.clone(),
            keys: Arc::new(NoKeys),
            ambient: self.ambient.clone(),
            permits: Arc::clone(&self.services) as _,
            public_url: "https://port.example.com/".parse().unwrap(),
            administrators: Vec::new(),
            providers: Vec::new(),
            workloads: WorkloadParts { issuers: vec![ci()], ..WorkloadParts::default() },
            sessions: SessionConfig { idle: Duration::from_hours(1), absolute: Duration::from_hours(10) },
            outbox: crate::notify::Outbox::default(),
        })
        .unwrap();
        let services = Arc::clone(&self.services) as _;
        let (database, log, catalog) = (self.database.clone(), self.log.clone(), self.catalog.clone());
        Expiry::new(database, log, identity, catalog, services, self.ambient.clone())
    }

    pub(crate) async fn count(&self, query: Query) -> i64 {
        self.database.fetch_optional::<(i64,)>(query).await.unwrap().unwrap().0
    }

    pub(crate) async fn entries(&self, action: &str) -> i64 {
        self.count(sql("SELECT CAST(count(*) AS BIGINT) FROM entries WHERE action = $1").bind(action)).await
    }
}
