//! Leases of an engine that fails: nothing is told without its entry, nothing works that nobody holds, and
//! every intent closes.

mod bank;
mod histories;

use std::{sync::Arc, time::Duration};

use serde_json::json;

use self::bank::Bank;
use crate::{
    access::house::{House, production},
    base::{
        ProblemKind, Result,
        ids::{PersonId, WorkloadTokenId},
    },
    policy::{Action, FactVersions, Permit, Principal, Resource},
    revocation::Revocation,
    secrets::{
        Lease, LeaseParts, LeaseState, Leases,
        leases::{LeaseEngine, Lent, Whose},
    },
    store::sql,
};

const HOUR: Duration = Duration::from_hours(1);

/// A house with an engine that can make credentials, and somebody to lease them.
struct Room {
    house: House,
    leases: Leases,
    bank: Arc<Bank>,
    dana: PersonId,
}

impl Room {
    async fn new() -> Self {
        let bank = Arc::new(Bank::default());
        Self::with(Some(Arc::clone(&bank) as _), bank).await
    }

    async fn with(engine: Option<Arc<dyn LeaseEngine>>, bank: Arc<Bank>) -> Self {
        let house = House::new().await;
        let body = json!({"name": "reports", "team": "supa-team",
            "environments": [{"name": "production", "protected": true}],
            "leases": [{"environment": "production", "name": "reader",
                "at": {"mount": "database", "role": "reader"}, "longest": "2h"}]});
        let declared = sql("UPDATE declared SET body = $1 WHERE kind = 'Application' AND name = 'reports'");
        let moved = sql("UPDATE catalog SET version = version + 1");
        let scope = json!({"name": "lender", "members": {"groups": ["engineering"]},
            "allows": [{"actions": ["lease"], "applications": "own-teams", "environments": "all"}]});
        let lender = sql("INSERT INTO declared (kind, name, source, body) \
                          VALUES ('TrustScope', 'lender', 'test', $1)");
        let lender = lender.bind(scope.to_string());
        house.seed(vec![declared.bind(body.to_string()), lender, moved]).await;
        let leases = Leases::new(LeaseParts {
            database: house.database.clone(),
            log: house.log.clone(),
            catalog: house.catalog.clone(),
            ambient: house.ambient.clone(),
            engine,
            permits: Arc::clone(&house.services) as _,
        });
        let dana = house.person("Dana", &["engineering"]).await;
        Self { house, leases, bank, dana }
    }

    async fn permit(&self, role: &str) -> Permit {
        let facts = self.house.catalog.snapshot().await.unwrap().environment(&production()).unwrap();
        let resource = Resource::Lease(facts, role.parse().unwrap());
        self.house.permit(self.dana, Action::Lease, resource).await
    }

    /// Under the trust scope that allows it; a permit of these tests has none.
    async fn issue(&self) -> Result<Lent> {
        let lent = self.leases.issue(self.permit("reader").await, Some(HOUR)).await?;
        let scope = sql("UPDATE leases SET scope = 'lender' WHERE id = $1").bind(lent.lease.id);
        self.house.seed(vec![scope]).await;
        Ok(lent)
    }

    async fn give_back(&self, lease: &Lease) -> Result<Lease> {
        let permit = self.house.permit(self.dana, Action::EndOwnLease, Resource::Own).await;
        self.leases.revoke(permit, lease.id).await
    }

    async fn renew(&self, lease: &Lease, length: Duration) -> Result<Lease> {
        self.leases.renew(self.permit("reader").await, lease.id, length).await
    }

    async fn all(&self) -> Vec<Lease> {
        let own = self.house.own(self.dana).await;
        self.leases.list(&own, &Whose::All, true).await.unwrap()
    }

    async fn stands(&self, lease: &Lease) -> (LeaseState, Option<String>) {
        let lease = self.now(lease).await;
        (lease.state, lease.because)
    }

    async fn now(&self, lease: &Lease) -> Lease {
        let permit = self.house.permit(self.dana, Action::SeePeople, Resource::People).await;
        self.leases.show(&permit, lease.id).await.unwrap()
    }

    fn revocation(&self) -> Revocation {
        let house = &self.house;
        let permits = Arc::clone(&house.services) as _;
        Revocation::new(
            house.database.clone(),
            house.log.clone(),
            house.catalog.clone(),
            permits,
            house.ambient.clone(),
            house.outbox(),
        )
    }
}

fn ended(because: &str) -> (LeaseState, Option<String>) {
    (LeaseState::Ended, Some(because.to_owned()))
}

#[tokio::test]
async fn credentials_are_told_once_and_work_until_they_are_given_back() {
    let room = Room::new().await;
    let lent = room.issue().await.unwrap();
    assert_eq!(lent.lease.state, LeaseState::Live);
    assert_eq!(lent.lease.ends_at.since(room.house.ambient.now()), HOUR);
    assert_eq!(lent.values["password"].expose(), b"password-1");
    assert_eq!(room.bank.alive(), ["lease-1"]);
    assert_eq!(room.house.entries("lease.issued").await, 1);
    assert_eq!(room.all().await.len(), 1);
    let over = room.give_back(&lent.lease).await.unwrap();
    assert_eq!((over.state, over.because.as_deref()), (LeaseState::Ended, Some("given-back")));
    assert!(room.bank.alive().is_empty());
    assert_eq!(room.house.entries("lease.ended").await, 1);
    // A second time changes nothing.
    room.give_back(&lent.lease).await.unwrap();
    assert_eq!(room.house.entries("lease.ended").await, 1);
}

#[tokio::test]
async fn a_lease_lasts_as_long_as_what_allows_it_and_no_longer() {
    let room = Room::new().await;
    let long = Duration::from_hours(9);
    let lent = room.leases.issue(room.permit("reader").await, Some(long)).await.unwrap();
    assert_eq!(lent.lease.limit_at.since(room.house.ambient.now()), Duration::from_hours(2));
    assert_eq!(lent.lease.ends_at, lent.lease.limit_at);
    let short = room.issue().await.unwrap();
    room.house.clock.advance(HOUR / 2);
    let renewed = room.renew(&short.lease, long).await.unwrap();
    assert_eq!(renewed.ends_at, short.lease.limit_at);
    // The engine's word is taken where it gives less.
    room.bank.gives_at_most(60);
    let renewed = room.renew(&short.lease, HOUR).await.unwrap();
    assert_eq!(renewed.ends_at.since(room.house.ambient.now()), Duration::from_mins(1));
    room.house.clock.advance(Duration::from_hours(2));
    assert!(room.renew(&short.lease, HOUR).await.unwrap_err().is(ProblemKind::Conflict));
}

#[tokio::test]
async fn what_no_file_declares_and_what_no_engine_makes_is_refused() {
    let room = Room::new().await;
    let unknown = room.leases.issue(room.permit("owner").await, None).await.unwrap_err();
    assert!(unknown.is(ProblemKind::NotFound), "{unknown}");
    let room = Room::with(None, Arc::default()).await;
    let none = room.issue().await.unwrap_err();
    assert!(none.is(ProblemKind::InvalidConfiguration) && none.remedy.unwrap().contains("vault"));
    assert_eq!(room.house.count(sql("SELECT CAST(count(*) AS BIGINT) FROM leases")).await, 0);
}

#[tokio::test]
async fn nobody_ends_or_renews_what_somebody_else_holds() {
    let room = Room::new().await;
    let lent = room.issue().await.unwrap();
    let omar = room.house.person("Omar", &["engineering"]).await;
    let room = Room { dana: omar, ..room };
    assert!(room.give_back(&lent.lease).await.unwrap_err().is(ProblemKind::NotFound));
    assert!(room.renew(&lent.lease, HOUR).await.unwrap_err().is(ProblemKind::NotFound));
    let own = room.house.own(omar).await;
    assert!(room.leases.show(&own, lent.lease.id).await.unwrap_err().is(ProblemKind::NotFound));
    assert!(room.all().await.is_empty());
    let permit = room.house.permit(omar, Action::ManagePeople, Resource::People).await;
    assert_eq!(room.leases.revoke(permit, lent.lease.id).await.unwrap().because.as_deref(), Some("revoked"));
    assert!(room.bank.alive().is_empty());
}

#[tokio::test]
async fn one_holder_has_so_many_leases_and_no_more() {
    let room = Room::new().await;
    for _ in 0..32 {
        room.issue().await.unwrap();
    }
    assert!(room.issue().await.unwrap_err().is(ProblemKind::Conflict));
    assert_eq!(room.bank.alive().len(), 32);
}

#[tokio::test]
async fn time_the_grant_and_a_suspension_end_a_lease() {
    let room = Room::new().await;
    let [by_time, by_grant] = [room.issue().await.unwrap().lease, room.issue().await.unwrap().lease];
    let omar = room.house.person("Omar", &["leads"]).await;
    let asked = room.house.ask(room.dana, Action::Reveal).await.unwrap().request.id;
    let (_, grant) = room.house.decide(omar, asked, crate::access::Verdict::Approve).await.unwrap();
    let grant = grant.unwrap();
    let linked = sql("UPDATE leases SET grant_id = $2 WHERE id = $1").bind(by_grant.id).bind(grant.id);
    room.house.seed(vec![linked]).await;
    assert_eq!(room.house.expiry().look().await.unwrap(), 0, "nothing is over yet");
    room.house.clock.advance(Duration::from_mins(31));
    room.house.expiry().look().await.unwrap();
    room.leases.look().await.unwrap();
    assert_eq!(room.stands(&by_grant).await, ended("grant-ended"));
    room.house.clock.advance(HOUR);
    room.house.expiry().look().await.unwrap();
    room.leases.look().await.unwrap();
    assert_eq!(room.stands(&by_time).await, ended("time"));
    let by_status = room.issue().await.unwrap().lease;
    room.house.set_status(room.dana, "suspended").await;
    room.house.expiry().look().await.unwrap();
    room.leases.look().await.unwrap();
    assert_eq!(room.stands(&by_status).await, ended("suspended"));
    assert!(room.bank.alive().is_empty());
}

#[tokio::test]
async fn abuse_16_a_lease_ends_with_the_group_the_team_and_the_scope_that_allowed_it() {
    let room = Room::new().await;
    let over = async |lease: &Lease| {
        room.house.expiry().look().await.unwrap();
        room.leases.look().await.unwrap();
        room.stands(lease).await == ended("not-allowed")
    };
    let lease = room.issue().await.unwrap().lease;
    // However long ago it was said.
    room.house.clock.advance(HOUR / 2);
    assert!(!over(&lease).await);
    room.house.leave_group(room.dana, "engineering").await;
    assert!(over(&lease).await);
    let again =
        sql("INSERT INTO memberships (person, source, group_id, asserted_at) VALUES ($1, 'idp', $2, 0)");
    room.house.seed(vec![again.bind(room.dana).bind("engineering")]).await;
    let moved = || sql("UPDATE catalog SET version = version + 1");
    for change in [
        "UPDATE declared SET body = '{\"name\":\"supa-team\",\"groups\":[\"leads\"]}' WHERE name = 'supa-team'",
        "DELETE FROM declared WHERE name = 'lender'",
    ] {
        let lease = room.issue().await.unwrap().lease;
        room.house.seed(vec![sql(change), moved()]).await;
        assert!(over(&lease).await, "{change}");
        let restored = "UPDATE declared SET body = '{\"name\":\"supa-team\",\"groups\":[\"engineering\"]}' \
                        WHERE name = 'supa-team'";
        room.house.seed(vec![sql(restored), moved()]).await;
    }
    assert!(room.bank.alive().is_empty());
}

#[tokio::test]
async fn abuse_13_a_leavers_lease_is_left_until_the_engine_has_taken_it_back() {
    let room = Room::new().await;
    let lease = room.issue().await.unwrap().lease;
    room.house.set_status(room.dana, "deactivated").await;
    room.bank.will([bank::Fault::LostBefore; 2]);
    room.revocation().look().await.unwrap();
    let left = async || {
        let permit = room.house.permit(room.dana, Action::SeePeople, Resource::People).await;
        room.revocation().leaver(permit, room.dana).await.unwrap().row
    };
    assert_eq!((left().await.left.leases, left().await.left.total()), (1, 1));
    room.leases.look().await.unwrap();
    let stuck = room.now(&lease).await;
    assert_eq!(stuck.state, LeaseState::Revoking);
    assert!(stuck.waits_for.unwrap().contains("does not answer"));
    assert!(left().await.closed_at.is_none());
    // Not before its time is it tried again.
    room.leases.look().await.unwrap();
    assert_eq!(room.bank.planned(), 1);
    for _ in 0..2 {
        room.house.clock.advance(Duration::from_secs(2));
        room.leases.look().await.unwrap();
    }
    assert_eq!(room.stands(&lease).await, ended("deactivated"));
    assert!(room.bank.alive().is_empty());
    room.revocation().look().await.unwrap();
    assert_eq!(left().await.left.total(), 0);
    assert!(left().await.closed_at.is_some());
}

/// Facts that move while the credentials are made: nobody is told, and they are taken back at once.
#[tokio::test]
async fn abuse_13_a_deactivation_while_a_lease_is_issued_wins() {
    let room = Room::new().await;
    room.bank.pauses_at_read();
    let permit = room.permit("reader").await;
    let leaving = async {
        room.bank.paused().await;
        room.house.set_status(room.dana, "deactivated").await;
        room.bank.goes_on();
    };
    let (told, ()) = tokio::join!(room.leases.issue(permit, None), leaving);
    assert!(told.unwrap_err().is(ProblemKind::FactsChanged));
    assert!(room.bank.alive().is_empty());
    assert_eq!(room.house.entries("lease.issued").await, 0);
    assert_eq!(room.house.entries("lease.not-issued").await, 1);
}

/// What files declare of the workload that leases.
fn reports_ci(branch: &str) -> String {
    let pins = json!({"repository_id": 22, "ref": branch});
    json!({"name": "reports-ci", "issuer": "ci", "pins": pins}).to_string()
}

impl Room {
    /// Declares the workload so, and the trust scope that it leases under.
    async fn declare_workload(&self, branch: &str) {
        let scope = json!({"name": "lender-ci", "members": {"workloads": ["reports-ci"]},
            "allows": [{"actions": ["lease"], "applications": "all", "environments": "all"}]});
        let declared = |kind: &str, name: &str, body: String| {
            let declared =
                sql("INSERT INTO declared (kind, name, source, body) VALUES ($1, $2, 'test', $3) \
                 ON CONFLICT (kind, name) DO UPDATE SET body = excluded.body");
            declared.bind(kind).bind(name).bind(body)
        };
        let queries = vec![
            declared("Workload", "reports-ci", reports_ci(branch)),
            declared("TrustScope", "lender-ci", scope.to_string()),
            sql("UPDATE catalog SET version = version + 1"),
        ];
        self.house.seed(queries).await;
    }

    /// What a token allows that the workload has for what is declared of it now.
    async fn workload_permit(&self, issuer: &str) -> Permit {
        let declared = self.house.catalog.snapshot().await.unwrap();
        let token: WorkloadTokenId = self.house.ambient.id();
        let held =
            sql("INSERT INTO workload_tokens (id, token_hash, workload, declaration, issuer, subject, \
             issued_at, ends_at, forget_at) VALUES ($1, $2, 'reports-ci', $3, $4, 'a job', 0, 0, 0)");
        let digest = declared.workloads[&"reports-ci".parse().unwrap()].digest();
        let hash = self.house.ambient.bytes::<32>();
        self.house.seed(vec![held.bind(token).bind(hash).bind(digest).bind(issuer)]).await;
        let facts = declared.environment(&production()).unwrap();
        let rests_on =
            FactVersions { workload: Some(token), catalog: declared.version, ..FactVersions::default() };
        let resource = Resource::Lease(facts, "reader".parse().unwrap());
        let workload = Principal::Workload("reports-ci".parse().unwrap());
        Permit::for_tests(workload, Action::Lease, resource, rests_on, self.house.ambient.now())
    }

    async fn lend_to_workload(&self, issuer: &str) -> Lease {
        let lent = self.leases.issue(self.workload_permit(issuer).await, Some(HOUR)).await.unwrap();
        let scope = sql("UPDATE leases SET scope = 'lender-ci' WHERE id = $1").bind(lent.lease.id);
        self.house.seed(vec![scope]).await;
        lent.lease
    }
}

#[tokio::test]
async fn abuse_25_a_workloads_lease_ends_with_the_declaration_that_it_was_issued_under() {
    let room = Room::new().await;
    let over = async |lease: &Lease| {
        room.house.expiry().look().await.unwrap();
        room.leases.look().await.unwrap();
        room.stands(lease).await
    };
    room.declare_workload("refs/heads/main").await;
    let [lease, other] = [room.lend_to_workload("ci").await, room.lend_to_workload("ci").await];
    let renewed = room.leases.renew(room.workload_permit("ci").await, lease.id, HOUR).await.unwrap();
    assert_eq!(over(&renewed).await.0, LeaseState::Live, "nothing has moved");
    room.declare_workload("refs/heads/release").await;
    // Who comes by that name now is another, and does not renew what was not issued to it.
    let refused = room.leases.renew(room.workload_permit("ci").await, lease.id, HOUR).await.unwrap_err();
    assert!(refused.is(ProblemKind::Conflict) && refused.remedy.is_some(), "{refused}");
    assert_eq!(room.stands(&lease).await, ended("declaration-moved"), "at once");
    assert_eq!(over(&other).await, ended("declaration-moved"), "by itself");
    let anew = room.lend_to_workload("ci").await;
    assert_eq!(over(&anew).await.0, LeaseState::Live);
    assert_eq!(room.bank.alive().len(), 1);
}

#[tokio::test]
async fn a_workloads_lease_ends_with_the_issuer_whose_token_it_brought() {
    let room = Room::new().await;
    room.declare_workload("refs/heads/main").await;
    let lease = room.lend_to_workload("gone").await;
    let refused = room.leases.renew(room.workload_permit("ci").await, lease.id, HOUR).await.unwrap_err();
    assert!(refused.is(ProblemKind::Conflict), "{refused}");
    let lease = room.lend_to_workload("gone").await;
    room.house.expiry().look().await.unwrap();
    room.leases.look().await.unwrap();
    assert_eq!(room.stands(&lease).await, ended("issuer-gone"));
    assert!(room.bank.alive().is_empty());
}
