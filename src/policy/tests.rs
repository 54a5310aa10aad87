//! What the policies say, case by case; and that each of them is needed.

use std::{str::FromStr as _, sync::Arc, time::Duration};

use cedar_policy::{Entities, PolicySet, Schema, ValidationMode, Validator};
use serde_json::json;

use super::{
    cedar::{Question, Verdict, action_entity, entity, resource_entity, uid},
    *,
};
use crate::base::{
    Name, SecretName, Timestamp,
    ids::{GrantId, PersonId, RequestId, RotationTaskId, SessionId, WorkloadTokenId},
};

fn id<I: crate::base::ids::Id>(n: u128) -> I {
    I::from_uuid(uuid::Uuid::from_u128(n))
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn scopes() -> Vec<TrustScope> {
    let scopes = json!([
        {"name": "administrators", "members": {"groups": ["it"]}, "allows": [{"actions": ["apply", "manage-people"]}]},
        {"name": "developer", "members": {"groups": ["engineering"]},
         "allows": [{"actions": ["list", "reveal", "set", "lease"], "applications": "own-teams", "environments": ["sandbox"]}]},
        {"name": "production-access", "members": {"groups": ["engineering"]},
         "by-request": {"approvers": ["leads"], "longest": "1h"},
         "allows": [{"actions": ["reveal", "lease"], "applications": ["reports"], "environments": ["production"]}]},
        {"name": "auditor", "members": {"groups": ["audit"]}, "ends": "2027-01-01", "allows": [{"actions": ["read-log"]}]},
        {"name": "keys", "members": {"groups": ["it"]}, "authentication": {"acr": ["mfa"], "no-older-than": "10m"},
         "networks": ["10.0.0.0/8"], "allows": [{"actions": ["manage-keys"]}]},
        {"name": "rotation", "members": {"groups": ["leads"]}, "allows": [{"actions": ["waive-rotation"]}]},
        {"name": "ci", "members": {"workloads": ["reports-ci"]}, "networks": ["10.0.0.0/8"],
         "allows": [{"actions": ["list", "run", "lease"], "applications": ["reports"], "environments": ["sandbox"]},
                    {"actions": ["reveal"], "applications": "own-teams", "environments": "all"}]},
        {"name": "ci-by-request", "members": {"groups": ["engineering"], "workloads": ["reports-ci"]},
         "by-request": {"approvers": ["leads"], "longest": "1h"},
         "allows": [{"actions": ["set"], "applications": ["reports"], "environments": ["production"]}]},
        {"name": "ci-signed-in", "members": {"workloads": ["reports-ci"]}, "authentication": {"no-older-than": "10m"},
         "allows": [{"actions": ["set"], "applications": ["reports"], "environments": ["sandbox"]}]},
        {"name": "ci-strong", "members": {"workloads": ["reports-ci"]}, "authentication": {"acr": ["mfa"]},
         "allows": [{"actions": ["see-delivery"], "applications": ["reports"], "environments": ["sandbox"]}]},
        {"name": "ci-ended", "members": {"workloads": ["reports-ci"]}, "ends": "2026-02-01",
         "allows": [{"actions": ["list"], "applications": "all", "environments": ["production"]}]},
        {"name": "till", "members": {"groups": ["it"]}, "revalidate": true,
         "allows": [{"actions": ["see-rotation"]}]},
        {"name": "operations", "members": {"groups": ["it"]},
         "allows": [{"actions": ["destroy"], "applications": "all", "environments": "all"}]},
    ]);
    serde_json::from_value(scopes).unwrap()
}

fn environment(text: &str) -> EnvironmentFacts {
    let at: crate::base::EnvironmentRef = text.parse().unwrap();
    let protected = at.environment.as_str() == "production";
    EnvironmentFacts { at, owner: Some(name("supa-team")), protected }
}

fn secret(text: &str) -> Resource {
    Resource::Secret(environment(text), SecretName::from_str("DATABASE_URL").unwrap())
}

fn request_of(requester: u128) -> Resource {
    Resource::Request {
        id: id::<RequestId>(9),
        requester: id(requester),
        scope: name("production-access"),
        environment: environment("reports/production"),
    }
}

/// That a task may wait; these have no say in it.
fn waiver(barred: &[u128]) -> Resource {
    Resource::Waiver { task: id::<RotationTaskId>(8), barred: barred.iter().map(|n| id(*n)).collect() }
}

/// Somebody of these groups, who has just signed in.
fn person(groups: &[&str]) -> PersonFacts {
    let membership =
        |group: &&str| Membership { group: name(group), source: "idp".to_owned(), asserted_at: now() };
    PersonFacts {
        person: id::<PersonId>(1),
        status: PersonStatus::Active,
        memberships: groups.iter().map(membership).collect(),
        received_groups: groups.iter().map(|group| format!("idp/{group}")).collect(),
        teams: vec![(name("supa-team"), vec![name("engineering")])],
        authentication: Authentication {
            session: id::<SessionId>(2),
            at: now(),
            confirmed_at: now(),
            acr: None,
            session_ends: now().after(Duration::from_hours(8)),
        },
        grants: Vec::new(),
        scopes: Arc::new(scopes()),
        now: now(),
        network: None,
        versions: FactVersions {
            person: Some((id(1), 1)),
            session: Some(id(2)),
            catalog: 1,
            ..FactVersions::default()
        },
    }
}

fn with(mut facts: PersonFacts, change: impl FnOnce(&mut PersonFacts)) -> Facts {
    change(&mut facts);
    Facts::Person(facts)
}

fn grant_until(minutes: u64, environment: &str) -> GrantFact {
    GrantFact {
        id: id::<GrantId>(3),
        scope: name("production-access"),
        environment: environment.parse().unwrap(),
        starts: now(),
        ends: now().after(Duration::from_mins(minutes)),
    }
}

fn aged(facts: &mut PersonFacts, hours: u64) {
    for membership in &mut facts.memberships {
        membership.asserted_at = now().before(Duration::from_hours(hours));
    }
}

fn keys_facts(change: impl FnOnce(&mut PersonFacts)) -> Facts {
    with(person(&["it"]), |it| {
        it.authentication.acr = Some("mfa".to_owned());
        it.network = Some("10.1.2.3".parse().unwrap());
        change(it);
    })
}

/// A job whose token was issued for what files declare still.
fn workload(name_of: &str, change: impl FnOnce(&mut WorkloadFacts)) -> Facts {
    let mut facts = WorkloadFacts {
        workload: name(name_of),
        is_declared: true,
        token: id::<WorkloadTokenId>(4),
        token_ends: now().after(Duration::from_mins(5)),
        only: None,
        scopes: Arc::new(scopes()),
        now: now(),
        network: Some("10.1.2.3".parse().unwrap()),
        versions: FactVersions { workload: Some(id(4)), catalog: 1, ..FactVersions::default() },
    };
    change(&mut facts);
    Facts::Workload(facts)
}

fn service(service: Service) -> Facts {
    Facts::Service(ServiceFacts { service, now: now() })
}

fn connection(disabled: bool) -> Facts {
    Facts::Connection(ConnectionFacts {
        connection: name("okta"),
        disabled,
        version: 1,
        network: None,
        now: now(),
    })
}

struct Case {
    what: &'static str,
    facts: Facts,
    action: Action,
    resource: Resource,
    /// `None`: allowed.
    no: Option<DenialReason>,
}

fn case(
    what: &'static str,
    facts: Facts,
    action: Action,
    resource: Resource,
    no: Option<DenialReason>,
) -> Case {
    Case { what, facts, action, resource, no }
}

#[expect(clippy::too_many_lines, reason = "a table, a line a case")]
fn cases() -> Vec<Case> {
    use Action as A;
    use DenialReason as No;
    let same = |it: &mut PersonFacts| _ = it;
    let dana = || with(person(&["engineering"]), same);
    let sandbox = || secret("reports/sandbox");
    let production = || secret("reports/production");
    let in_sandbox = || Resource::Environment(environment("reports/sandbox"));
    let lease = |at: &str| Resource::Lease(environment(at), name("reader"));
    vec![
        case("a role of her team's sandbox", dana(), A::Lease, lease("reports/sandbox"), None),
        case("a role of production", dana(), A::Lease, lease("reports/production"), Some(No::NeedsGrant)),
        case("her own lease", dana(), A::EndOwnLease, Resource::Own, None),
        case("her team's sandbox", dana(), A::Reveal, sandbox(), None),
        case("an action that no scope names", dana(), A::Run, sandbox(), Some(No::NotCovered)),
        case(
            "another team's copy",
            dana(),
            A::Reveal,
            secret("reports/sandbox@other-team"),
            Some(No::NotCovered),
        ),
        case("her team's copy", dana(), A::Reveal, secret("reports/sandbox@supa-team"), None),
        case(
            "no group at all",
            with(person(&[]), same),
            A::Reveal,
            secret("reports/production"),
            Some(No::NotAMember),
        ),
        case(
            "suspended",
            with(person(&["engineering"]), |it| it.status = PersonStatus::Suspended),
            A::Reveal,
            sandbox(),
            Some(No::Suspended),
        ),
        case(
            "deactivated",
            with(person(&["engineering"]), |it| it.status = PersonStatus::Deactivated),
            A::Reveal,
            sandbox(),
            Some(No::Deactivated),
        ),
        case(
            "suspended, on her own things",
            with(person(&[]), |it| it.status = PersonStatus::Suspended),
            A::SeeOwn,
            Resource::Own,
            Some(No::Suspended),
        ),
        case("her own things", with(person(&[]), same), A::SeeOwn, Resource::Own, None),
        case("production without a grant", dana(), A::Reveal, production(), Some(No::NeedsGrant)),
        case(
            "production with one",
            with(person(&["engineering"]), |it| it.grants.push(grant_until(60, "reports/production"))),
            A::Reveal,
            production(),
            None,
        ),
        case(
            "a grant for elsewhere",
            with(person(&["engineering"]), |it| it.grants.push(grant_until(60, "billing/production"))),
            A::Reveal,
            production(),
            Some(No::NeedsGrant),
        ),
        case(
            "a grant at its very end",
            with(person(&["engineering"]), |it| it.grants.push(grant_until(0, "reports/production"))),
            A::Reveal,
            production(),
            Some(No::NeedsGrant),
        ),
        case(
            "groups known 13 hours ago",
            with(person(&["engineering"]), |it| aged(it, 13)),
            A::Reveal,
            sandbox(),
            Some(No::FactsTooOld),
        ),
        case(
            "groups known 2 hours ago, protected",
            with(person(&["engineering"]), |it| {
                aged(it, 2);
                it.grants.push(grant_until(60, "reports/production"));
            }),
            A::Reveal,
            production(),
            Some(No::FactsTooOld),
        ),
        case(
            "her team known long ago, the scope's group just now",
            with(person(&["engineering"]), |it| {
                it.teams = vec![(name("supa-team"), vec![name("leads")])];
                it.memberships.push(Membership {
                    group: name("leads"),
                    source: "idp".into(),
                    asserted_at: now().before(Duration::from_hours(13)),
                });
            }),
            A::Reveal,
            sandbox(),
            Some(No::FactsTooOld),
        ),
        case("asking for production", dana(), A::Request, production(), None),
        case("asking for what none grants", dana(), A::Request, sandbox(), Some(No::NotCovered)),
        case("the auditor", with(person(&["audit"]), same), A::ReadLog, Resource::Log, None),
        case(
            "the auditor a year later",
            with(person(&["audit"]), |it| {
                it.now = "2027-01-01T00:00:00Z".parse().unwrap();
                it.memberships[0].asserted_at = it.now;
            }),
            A::ReadLog,
            Resource::Log,
            Some(No::ScopeEnded),
        ),
        case("an administrator", with(person(&["it"]), same), A::Apply, Resource::Catalog, None),
        case("keys", keys_facts(|_| ()), A::ManageKeys, Resource::Keys, None),
        case(
            "keys, weakly signed in",
            keys_facts(|it| it.authentication.acr = None),
            A::ManageKeys,
            Resource::Keys,
            Some(No::AuthenticationTooWeak),
        ),
        case(
            "keys, signed in long ago",
            keys_facts(|it| it.authentication.at = now().before(Duration::from_mins(11))),
            A::ManageKeys,
            Resource::Keys,
            Some(No::AuthenticationTooOld),
        ),
        case(
            "keys, from elsewhere",
            keys_facts(|it| it.network = Some("192.0.2.1".parse().unwrap())),
            A::ManageKeys,
            Resource::Keys,
            Some(No::OutsideNetwork),
        ),
        case(
            "confirmed five minutes ago",
            with(person(&["it"]), |it| it.authentication.confirmed_at = now().before(Duration::from_mins(5))),
            A::SeeRotation,
            Resource::Rotation,
            None,
        ),
        case(
            "confirmed longer ago",
            with(person(&["it"]), |it| {
                it.authentication.confirmed_at = now().before(Duration::from_secs(301));
            }),
            A::SeeRotation,
            Resource::Rotation,
            Some(No::NotConfirmed),
        ),
        case("everywhere", with(person(&["it"]), same), A::Destroy, secret("billing/production"), None),
        case("an approver", with(person(&["leads"]), same), A::Decide, request_of(7), None),
        case("no approver", dana(), A::Decide, request_of(7), Some(No::NotAnApprover)),
        case(
            "her own request",
            with(person(&["leads"]), same),
            A::Decide,
            request_of(1),
            Some(No::OwnRequest),
        ),
        case(
            "an approver of long ago",
            with(person(&["leads"]), |it| aged(it, 2)),
            A::Decide,
            request_of(7),
            Some(No::NotAnApprover),
        ),
        case("an approver looks", with(person(&["leads"]), same), A::SeeRequest, request_of(7), None),
        case("the requester looks", dana(), A::SeeRequest, request_of(1), None),
        case("somebody else looks", dana(), A::SeeRequest, request_of(7), Some(No::NotCovered)),
        case("the requester takes it back", dana(), A::CancelRequest, request_of(1), None),
        case("somebody else takes it back", dana(), A::CancelRequest, request_of(7), Some(No::NotCovered)),
        case(
            "the broker delivers",
            service(Service::Broker),
            A::Deliver,
            Resource::Environment(environment("reports/production")),
            None,
        ),
        case("the broker reveals", service(Service::Broker), A::Reveal, production(), Some(No::NotCovered)),
        case(
            "what was begun at an engine is settled",
            service(Service::Secrets),
            A::Settle,
            Resource::Environment(environment("reports/production")),
            None,
        ),
        case("sign-in takes in", service(Service::SignIn), A::SignIn, Resource::People, None),
        case("sign-in signs out", service(Service::SignIn), A::SignOut, Resource::People, None),
        case(
            "expiry signs out",
            service(Service::Expiry),
            A::SignOut,
            Resource::People,
            Some(No::NotCovered),
        ),
        case("sign-in lets workloads in", service(Service::SignIn), A::SignIn, Resource::Workloads, None),
        case("expiry ends", service(Service::Expiry), A::Expire, Resource::People, None),
        case("movers follow", service(Service::Movers), A::Follow, Resource::People, None),
        case(
            "movers take from leavers",
            service(Service::Movers),
            A::Revoke,
            Resource::People,
            Some(No::NotCovered),
        ),
        case(
            "who knows a secret, where no scope says so",
            dana(),
            A::SeeExposure,
            sandbox(),
            Some(No::NotCovered),
        ),
        case("revocation takes", service(Service::Revocation), A::Revoke, Resource::People, None),
        case(
            "revocation delivers",
            service(Service::Revocation),
            A::Deliver,
            Resource::Environment(environment("reports/production")),
            Some(No::NotCovered),
        ),
        case("a waiver", with(person(&["leads"]), same), A::WaiveRotation, waiver(&[7]), None),
        case(
            "a waiver that she asked for, or that is about her",
            with(person(&["leads"]), same),
            A::WaiveRotation,
            waiver(&[7, 1]),
            Some(No::OwnWaiver),
        ),
        case("a waiver, by somebody else", dana(), A::WaiveRotation, waiver(&[7]), Some(No::NotAMember)),
        case("rotation keeps its tasks", service(Service::Rotation), A::Rotate, Resource::Rotation, None),
        case(
            "rotation sets a new value",
            service(Service::Rotation),
            A::Rotate,
            Resource::Environment(environment("reports/production")),
            None,
        ),
        case(
            "rotation takes from leavers",
            service(Service::Rotation),
            A::Revoke,
            Resource::People,
            Some(No::NotCovered),
        ),
        case("the forwarder forwards", service(Service::Forwarder), A::Forward, Resource::Log, None),
        case(
            "the forwarder forwards nothing else",
            service(Service::Forwarder),
            A::Forward,
            Resource::People,
            Some(No::NotCovered),
        ),
        case(
            "the operator forwards",
            service(Service::Operator),
            A::Forward,
            Resource::Log,
            Some(No::NotCovered),
        ),
        case("the archivist archives", service(Service::Archivist), A::Archive, Resource::Log, None),
        case(
            "the archivist forwards",
            service(Service::Archivist),
            A::Forward,
            Resource::Log,
            Some(No::NotCovered),
        ),
        case(
            "the forwarder archives",
            service(Service::Forwarder),
            A::Archive,
            Resource::Log,
            Some(No::NotCovered),
        ),
        case("a job leases", workload("reports-ci", |_| ()), A::Lease, lease("reports/sandbox"), None),
        case("a job runs", workload("reports-ci", |_| ()), A::Run, in_sandbox(), None),
        case(
            "a job whose declaration moved",
            workload("reports-ci", |it| it.is_declared = false),
            A::Run,
            in_sandbox(),
            Some(No::DeclarationMoved),
        ),
        case("another job", workload("billing-ci", |_| ()), A::Run, in_sandbox(), Some(No::NotAMember)),
        case(
            "a job by a token for another scope",
            workload("reports-ci", |it| it.only = Some(name("ci-strong"))),
            A::Run,
            in_sandbox(),
            Some(No::OtherScope),
        ),
        case(
            "a job by a token for this scope",
            workload("reports-ci", |it| it.only = Some(name("ci"))),
            A::Run,
            in_sandbox(),
            None,
        ),
        case(
            "a job from elsewhere",
            workload("reports-ci", |it| it.network = None),
            A::Run,
            in_sandbox(),
            Some(No::OutsideNetwork),
        ),
        case(
            "a job and own teams",
            workload("reports-ci", |_| ()),
            A::Reveal,
            sandbox(),
            Some(No::NotCovered),
        ),
        case(
            "a job would have to ask",
            workload("reports-ci", |_| ()),
            A::Set,
            production(),
            Some(No::ForPeople),
        ),
        case(
            "a job would have to sign in",
            workload("reports-ci", |_| ()),
            A::Set,
            sandbox(),
            Some(No::ForPeople),
        ),
        case(
            "a job would have to sign in strongly",
            workload("reports-ci", |_| ()),
            A::SeeDelivery,
            in_sandbox(),
            Some(No::ForPeople),
        ),
        case(
            "a job in a scope that has ended",
            workload("reports-ci", |_| ()),
            A::List,
            Resource::Environment(environment("reports/production")),
            Some(No::ScopeEnded),
        ),
        case("a job gives back", workload("reports-ci", |_| ()), A::EndOwnLease, Resource::Own, None),
        case("a job looks at itself", workload("reports-ci", |_| ()), A::SeeOwn, Resource::Own, None),
        case(
            "a job asks",
            workload("reports-ci", |_| ()),
            A::Request,
            Resource::Environment(environment("reports/production")),
            Some(No::ForPeople),
        ),
        case("a job approves", workload("reports-ci", |_| ()), A::Decide, request_of(7), Some(No::ForPeople)),
        case("a job destroys", workload("reports-ci", |_| ()), A::Destroy, sandbox(), Some(No::ForPeople)),
        case(
            "a job applies",
            workload("reports-ci", |_| ()),
            A::Apply,
            Resource::Catalog,
            Some(No::ForPeople),
        ),
        case("the operator works", service(Service::Operator), A::Operate, Resource::Keys, None),
        case("a connection provisions", connection(false), A::Provision, Resource::People, None),
        case("a connection takes away", connection(false), A::Deprovision, Resource::People, None),
        case(
            "a connection manages people",
            connection(false),
            A::ManagePeople,
            Resource::People,
            Some(No::NotCovered),
        ),
        case(
            "a disabled connection",
            connection(true),
            A::Provision,
            Resource::People,
            Some(No::ConnectionDisabled),
        ),
    ]
}

fn outcome(policies: &Policies, case: &Case) -> Option<DenialReason> {
    policies
        .decide(&case.facts, case.action, case.resource.clone())
        .err()
        .map(|denial| denial.reason().clone())
}

#[test]
fn each_case_is_decided_as_it_should_be() {
    let policies = Policies::built_in().unwrap();
    for case in cases() {
        assert_eq!(outcome(&policies, &case), case.no, "{}", case.what);
    }
}

/// Taking any policy out changes the outcome of some case, or how somebody stands: so none is for
/// nothing, and none goes untested.
#[test]
fn every_policy_is_missed_where_it_is_taken_out() {
    let texts = [
        include_str!("../../policies/people.cedar"),
        include_str!("../../policies/workloads.cedar"),
        include_str!("../../policies/scopes.cedar"),
        include_str!("../../policies/requests.cedar"),
        include_str!("../../policies/services.cedar"),
        include_str!("../../policies/connections.cedar"),
    ];
    let all = cedar::Policies::parse(&texts).unwrap();
    let standings = |policies: &Policies| -> Vec<(bool, String)> {
        let mut all = policies.explain(&person(&["engineering"]));
        if let Facts::Workload(facts) = workload("reports-ci", |_| ()) {
            all.extend(policies.explain_workload(&facts));
        }
        all.into_iter().map(|it| (it.within, it.because)).collect()
    };
    let whole = standings(&Policies::built_in().unwrap());
    for id in all.ids() {
        let maimed = Policies::built_in_without(id);
        let noticed =
            cases().iter().any(|case| outcome(&maimed, case) != case.no) || standings(&maimed) != whole;
        assert!(noticed, "no case misses the policy '{id}'");
    }
}

#[test]
fn policies_fit_the_schema() {
    let (schema, _) =
        Schema::from_cedarschema_str(include_str!("../../policies/schema.cedarschema")).unwrap();
    let validator = Validator::new(schema);
    for text in [
        include_str!("../../policies/people.cedar"),
        include_str!("../../policies/workloads.cedar"),
        include_str!("../../policies/scopes.cedar"),
        include_str!("../../policies/requests.cedar"),
        include_str!("../../policies/services.cedar"),
        include_str!("../../policies/connections.cedar"),
    ] {
        let result = validator.validate(&PolicySet::from_str(text).unwrap(), ValidationMode::Strict);
        let errors: Vec<String> = result.validation_errors().map(ToString::to_string).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}

/// Cedar skips a policy that cannot be evaluated, even one that forbids. We deny.
#[test]
fn abuse_29_a_forbid_that_errors_denies() {
    let texts = [
        "@id(\"all\") permit (principal, action, resource);",
        "@id(\"broken\") forbid (principal, action, resource) when { principal.status == \"suspended\" };",
    ];
    let policies = cedar::Policies::parse(&texts).unwrap();
    let question = |attributes| Question {
        principal: uid("Person", "per_1"),
        action: Action::SeeOwn,
        resource: resource_entity(&Resource::Own).uid(),
        entities: vec![
            entity("Person", "per_1", attributes),
            resource_entity(&Resource::Own),
            action_entity(Action::SeeOwn),
        ],
        context: Vec::new(),
        stand: false,
    };
    assert_eq!(policies.ask(&question(Vec::new())), Verdict::Broken);
    let active = cedar_policy::RestrictedExpression::new_string("active".to_owned());
    assert_eq!(policies.ask(&question(vec![("status", active)])), Verdict::Allowed("all".to_owned()));
}

/// The earliest end of what a permit rests on is its own.
#[test]
fn a_permit_ends_with_what_it_rests_on() {
    let policies = Policies::built_in().unwrap();
    let until = |seconds| now().after(Duration::from_secs(seconds));
    let facts = with(person(&["engineering"]), |it| {
        let mut grant = grant_until(60, "reports/production");
        grant.ends = until(5);
        it.grants.push(grant);
    });
    let permit = policies.decide(&facts, Action::Reveal, secret("reports/production")).unwrap();
    assert_eq!(permit.good_until(), until(5));
    assert_eq!(permit.grant(), Some(id(3)));
    let facts = with(person(&["engineering"]), |it| {
        it.memberships[0].asserted_at = now().before(Duration::from_hours(12)).after(Duration::from_secs(7));
    });
    let permit = policies.decide(&facts, Action::Reveal, secret("reports/sandbox")).unwrap();
    assert_eq!(permit.good_until(), until(7));
}

/// A denial says what a sign-in would have to be like, as RFC 9470 names it.
/// What is told to somebody of this group, where these scopes are declared, too.
fn told(
    group: &str,
    more: &serde_json::Value,
    action: Action,
    resource: Resource,
) -> (Option<String>, String) {
    let facts = with(person(&[group]), |facts| {
        let mut all = scopes();
        all.extend(serde_json::from_value::<Vec<TrustScope>>(more.clone()).unwrap());
        facts.scopes = Arc::new(all);
    });
    let denial = Policies::built_in().unwrap().decide(&facts, action, resource).unwrap_err();
    (denial.scope().map(ToString::to_string), denial.in_words())
}

#[test]
fn a_refusal_names_a_declared_scope_before_administrators() {
    let people_admin = json!([{"name": "people-admin", "members": {"groups": ["hr"]}, "allows": [{"actions": ["manage-people"]}]}]);
    let (scope, words) = told("engineering", &people_admin, Action::ManagePeople, Resource::People);
    assert_eq!(scope.as_deref(), Some("people-admin"), "{words}");
    assert!(words.contains("'hr'") && words.contains("idp/engineering"), "{words}");
    let (scope, _) = told("engineering", &json!([]), Action::ManagePeople, Resource::People);
    assert_eq!(scope.as_deref(), Some("administrators"), "where no other would allow it");
}

#[test]
fn what_is_another_teams_says_whose_scope_would_allow_it() {
    let (scope, words) = told("audit", &json!([]), Action::Reveal, secret("reports/sandbox"));
    assert_eq!(scope.as_deref(), Some("developer"), "{words}");
    assert!(words.contains("is for the groups 'engineering'"), "{words}");
    // In the scope's groups, and not in the team: being granted it would not help.
    let others = json!([{"name": "asked-for", "members": {"groups": ["audit"]},
        "by-request": {"approvers": ["leads"], "longest": "1h"},
        "allows": [{"actions": ["destroy"], "applications": "own-teams", "environments": ["sandbox"]}]}]);
    let without_operations = with(person(&["audit"]), |facts| {
        let mut all = scopes();
        all.retain(|scope| scope.name != name("operations"));
        all.extend(serde_json::from_value::<Vec<TrustScope>>(others).unwrap());
        facts.scopes = Arc::new(all);
    });
    let policies = Policies::built_in().unwrap();
    let no = policies.decide(&without_operations, Action::Destroy, secret("reports/sandbox")).unwrap_err();
    assert_eq!(*no.reason(), DenialReason::NotCovered);
    let words = no.in_words();
    assert!(
        words.contains("'asked-for' allows it to the team 'supa-team', which is the groups 'engineering'"),
        "{words}"
    );
}

#[test]
fn a_denial_for_the_sign_in_says_what_would_do() {
    let policies = Policies::built_in().unwrap();
    let weak = keys_facts(|it| it.authentication.acr = None);
    let problem = policies.decide(&weak, Action::ManageKeys, Resource::Keys).unwrap_err().to_problem();
    assert!(problem.is(crate::base::ProblemKind::InsufficientAuthentication));
    assert_eq!((&problem.more["acr_values"], &problem.more["max_age"]), (&json!("mfa"), &json!(600)));
    let old = with(person(&["it"]), |it| it.authentication.confirmed_at = Timestamp::EPOCH);
    let problem = policies.decide(&old, Action::SeeRotation, Resource::Rotation).unwrap_err().to_problem();
    assert!(!problem.more.contains_key("acr_values") && !problem.more.contains_key("max_age"));
}

/// What Cedar is asked fits the schema, entities and all.
#[test]
fn entities_fit_the_schema() {
    let (schema, _) =
        Schema::from_cedarschema_str(include_str!("../../policies/schema.cedarschema")).unwrap();
    for case in cases() {
        for entities in Policies::questions(&case.facts, case.action, &case.resource) {
            // Actions with their groups come from the schema itself.
            let others = entities.into_iter().filter(|it| it.uid().type_name().to_string() != "Action");
            let fit = Entities::from_entities(others, Some(&schema));
            assert!(fit.is_ok(), "{}: {:?}", case.what, fit.err());
        }
    }
}
