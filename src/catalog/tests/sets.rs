//! Sets of files: the example, plans, sources.

use proptest::prelude::*;

use super::*;
use crate::base::{EnvironmentRef, Name, config::AdministratorGroup};

#[test]
fn the_example_is_right_and_applying_it_twice_changes_nothing() {
    let (plan, stored) = applied(set(example()), 0, &[]).unwrap();
    assert_eq!((plan.source.as_str(), plan.changes.len()), ("supa", 4 + 1 + 2 + 5 + 1 + 1));
    assert!(!plan.needs_allow_delete);
    let (again, _) = applied(set(example()), 1, &stored).unwrap();
    assert_eq!(again.changes, []);
}

#[test]
fn the_example_of_a_job_goes_beside_the_other() {
    let (plan, _) = applied(set([example(), files_of("examples/ci")].concat()), 0, &[]).unwrap();
    assert_eq!((plan.source.as_str(), plan.changes.len()), ("supa", 4 + 1 + 2 + 5 + 1 + 1 + 2));
}

#[test]
fn a_snapshot_of_the_example_answers_what_decisions_ask() {
    let (_, stored) = applied(set(example()), 0, &[]).unwrap();
    let admins = ["dev/it", "dev/root/sub"].map(|it| it.parse::<AdministratorGroup>().unwrap());
    let snapshot = Snapshot::new(1, stored.into_iter().map(|it| it.object), &admins);
    let at = |text: &str| snapshot.environment(&text.parse::<EnvironmentRef>().unwrap());
    assert!(at("reports/production").unwrap().protected);
    assert_eq!(at("reports/sandbox").unwrap().owner.unwrap().as_str(), "supa-team");
    for gone in ["report/sandbox", "reports/staging", "reports/sandbox@supa-team"] {
        let problem = at(gone).unwrap_err();
        assert!(problem.is(crate::base::ProblemKind::NotFound) && problem.remedy.is_some());
    }
    let admin = &snapshot.scopes[0];
    assert_eq!(admin.name.as_str(), "administrators");
    // A declared alias is used; a group that nobody declared gets one that nobody can.
    let names: Vec<&str> = admin.members.groups.iter().map(Name::as_str).collect();
    assert_eq!(names, ["it", "administrators-2"]);
    assert_eq!(snapshot.alias("dev", "root/sub").unwrap().as_str(), "administrators-2");
    assert_eq!(snapshot.alias("other", "it"), None);
}

#[test]
fn a_file_that_aims_an_alias_elsewhere_does_not_move_the_administrators() {
    let group = "kind: Group\nname: it\nprovider: dev\nid: everyone\n";
    let (_, stored) = applied(one(group), 0, &[]).unwrap();
    let admins = ["dev/it".parse().unwrap()];
    let snapshot = Snapshot::new(1, stored.into_iter().map(|it| it.object), &admins);
    assert_eq!(snapshot.scopes[0].members.groups[0].as_str(), "administrators-1");
    assert_eq!(snapshot.alias("dev", "everyone").unwrap().as_str(), "it");
}

#[test]
fn shares_and_places_of_their_own_are_found() {
    let text = "
kind: Group
name: g
provider: p
id: i
---
{kind: Team, name: t, groups: [g]}
---
kind: Application
name: a
team: t
environments: [{name: e}]
shares: [{environment: e, secret: KEY, with: [b]}]
secrets: [{environment: e, name: OLD, at: {mount: kv, path: x/y, field: z}}]
---
kind: Application
name: b
team: t
environments: [{name: e, copies: [t]}]
";
    let (_, stored) = applied(one(text), 0, &[]).unwrap();
    let snapshot = Snapshot::new(1, stored.into_iter().map(|it| it.object), &[]);
    let name = |text: &str| text.parse().unwrap();
    let shares = snapshot.shares_into(&name("b"), &name("e"));
    assert_eq!(shares.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a/e/KEY"]);
    assert!(snapshot.shares_into(&name("a"), &name("e")).is_empty());
    assert_eq!(snapshot.external_secret(&"a/e/OLD".parse().unwrap()).unwrap().at.path, "x/y");
    assert!(snapshot.external_secret(&"a/e@t/OLD".parse().unwrap()).is_none());
    let all: Vec<String> = snapshot.environment_list().map(|it| it.to_string()).collect();
    assert_eq!(all, ["a/e", "b/e@t"]);
}

#[test]
fn a_source_owns_what_it_declared_and_nothing_else() {
    let (_, stored) = applied(set(example()), 0, &[]).unwrap();
    let text = "
kind: Source
name: other
---
kind: Team
name: others
groups: [engineering]
---
kind: Team
name: supa-team
groups: [engineering]
";
    let problem = applied(set(vec![doc("o.yaml", text)]), 1, &stored).unwrap_err();
    assert_eq!(told(&problem), ["o.yaml:10:7: Team 'supa-team' belongs to the source 'supa'"]);
    let alone = text.rsplit_once("---").unwrap().0;
    let (plan, both) = applied(set(vec![doc("o.yaml", alone)]), 1, &stored).unwrap();
    assert_eq!(plan.changes.len(), 1, "nothing of the other source is touched: {plan:?}");
    // The other source still needs the group.
    let without: Vec<Document> = vec![doc("s.yaml", "kind: Source\nname: supa\n")];
    let problem = applied(set(without), 2, &both).unwrap_err();
    assert_eq!(told(&problem), ["Team 'others' of source 'other': there is no Group 'engineering'"]);
}

#[test]
fn what_is_no_longer_declared_is_a_removal_that_has_to_be_allowed() {
    let (_, stored) = applied(set(example()), 0, &[]).unwrap();
    let fewer: Vec<Document> = example().into_iter().filter(|it| it.file != "deliveries.yaml").collect();
    let (plan, _) = applied(set(fewer), 1, &stored).unwrap();
    assert!(plan.needs_allow_delete);
    assert_eq!(plan.changes[0].change, ChangeKind::Remove);
    let problem = plan.allow_removals(false).unwrap_err();
    assert!(problem.detail.contains("Delivery 'reports-production'") && problem.remedy.is_some());
    assert!(plan.allow_removals(true).is_ok());
}

#[test]
fn the_digest_moves_with_the_world_and_with_the_files() {
    let digest = |version, text: &str| applied(one(text), version, &[]).unwrap().0.digest;
    let group = "kind: Group\nname: it\nprovider: dev\nid: it\n";
    assert_eq!(digest(1, group), digest(1, group));
    assert_ne!(digest(1, group), digest(2, group));
    assert_ne!(digest(1, group), digest(1, &format!("{group}# a remark\n")));
}

#[test]
fn abuse_40_bombs_are_refused_within_bounds() {
    let laugh = |n: usize| format!("a{n}: &a{n} [{}]\n", [format!("*a{}", n - 1).as_str(); 10].join(", "));
    let first = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    let laughs: String = std::iter::once(first).chain((1..12).map(laugh)).collect();
    let deep = format!("kind: Team\nname: {}x{}\n", "[".repeat(20_000), "]".repeat(20_000));
    for text in [laughs, deep, "a".repeat(LONGEST_FILE + 1)] {
        assert!(applied(one(&text), 0, &[]).is_err());
    }
    let many = (0..=MOST_FILES).map(|n| doc(&n.to_string(), "kind: Source\nname: s\n")).collect();
    assert!(applied(set(many), 0, &[]).is_err());
}

fn doc(file: &str, text: &str) -> Document {
    Document { file: file.to_owned(), text: text.to_owned() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}", yaml in "[a-zA-Z:\\-\\[\\]{}&*!|>'\" \n0-9]{0,200}") {
        for text in [text.clone(), yaml.clone(), format!("kind: TrustScope\nname: x\n{yaml}")] {
            if let Err(problem) = applied(one(&text), 0, &[]) {
                prop_assert!(!told(&problem).is_empty());
            }
        }
    }

    #[test]
    fn the_order_and_the_cut_of_files_do_not_matter(order in Just(example()).prop_shuffle()) {
        let (one, stored) = applied(set(example()), 0, &[]).unwrap();
        let (other, _) = applied(set(order.clone()), 0, &[]).unwrap();
        prop_assert_eq!(&one, &other);
        let joined = order.iter().map(|it| it.text.clone()).collect::<Vec<_>>().join("\n---\n");
        let (again, _) = applied(set(vec![doc("all.yaml", &joined)]), 1, &stored).unwrap();
        prop_assert_eq!(again.changes, vec![]);
    }

    #[test]
    fn applied_is_applied(teams in proptest::collection::btree_map("[a-z][a-z0-9-]{0,8}", 1..4usize, 0..6),
                          before in proptest::collection::btree_map("[a-z][a-z0-9-]{0,8}", 1..4usize, 0..6)) {
        let (_, stored) = applied(one(&world(&before)), 0, &[]).unwrap();
        let (plan, after) = applied(one(&world(&teams)), 1, &stored).unwrap();
        let (again, _) = applied(one(&world(&teams)), 2, &after).unwrap();
        prop_assert_eq!(again.changes, vec![]);
        prop_assert_eq!(plan.changes.is_empty(), before == teams);
    }
}

/// Teams of one to three of three groups.
fn world(teams: &std::collections::BTreeMap<String, usize>) -> String {
    let group = |name: &&str| format!("---\nkind: Group\nname: {name}\nprovider: p\nid: {name}\n");
    let team = |(name, count): (&String, &usize)| {
        format!("---\nkind: Team\nname: '{name}'\ngroups: [{}]\n", ["g0", "g1", "g2"][..*count].join(", "))
    };
    ["g0", "g1", "g2"].iter().map(group).chain(teams.iter().map(team)).collect()
}
