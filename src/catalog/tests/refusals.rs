//! Every refusal, with its file and line.

use super::*;

/// A small world on lines of its own; what is under test comes after it.
const BASE: &str = "
{kind: Group, name: g, provider: p, id: i}
---
{kind: Team, name: t, groups: [g]}
---
{kind: Team, name: u, groups: [g]}
---
{kind: Application, name: a, team: t, environments: [{name: e}, {name: c, copies: [t]}]}
---
{kind: Application, name: b, team: u, environments: [{name: e}]}
---
{kind: Cluster, name: k, namespaces: [{name: n, teams: [t]}, {name: m, teams: [t], secret-names: [t-*]},
  {name: m, teams: [u], secret-names: [u-*]}]}
---
{kind: Delivery, name: d, application: a, environment: e, cluster: k, namespace: n, secret: s}
---
";

#[track_caller]
fn refused(text: &str, wanted: &[&str]) {
    let text = format!("{BASE}{text}");
    let problem = applied(one(&text), 0, &[]).map(|(plan, _)| plan).expect_err("it is refused");
    assert!(problem.is(crate::base::ProblemKind::InvalidDeclaration), "{problem}");
    let found = told(&problem);
    let first = BASE.lines().count() as u64;
    let shown: Vec<String> = found
        .iter()
        .map(|it| {
            let mut parts = it.splitn(4, ':');
            let (file, line) = (parts.next().unwrap(), parts.next().unwrap().parse::<u64>().unwrap());
            let (column, message) = (parts.next().unwrap(), parts.next().unwrap());
            assert_eq!(file, "a.yaml");
            format!("{}:{column}:{message}", i128::from(line) - i128::from(first))
        })
        .collect();
    let fits = shown.len() == wanted.len() && shown.iter().zip(wanted).all(|(f, w)| f.starts_with(w));
    assert!(fits, "found {shown:#?}");
}

#[test]
fn the_small_world_is_right() {
    applied(one(&format!("{BASE}{{kind: Source, name: test}}")), 0, &[]).unwrap();
}

#[test]
fn unknown_and_repeated_keys() {
    refused(
        "kind: Team\nname: x\ngrups: [g]\nowner: me\n",
        &["3:1: unknown key 'grups'", "4:1: unknown key 'owner'"],
    );
    refused("kind: Team\nname: x\ngroups: [g]\nname: y\n", &["4:1: the key 'name' is here a second time"]);
    refused("kind: Team\nname: x\n", &["1:1: 'groups' is missing"]);
    refused("name: x\n", &["1:1: this document does not say what it declares"]);
    refused("kind: Taem\nname: x\n", &["1:7: there is no kind 'Taem'"]);
    refused("just text\n", &["1:1: this document does not say"]);
    refused("kind: Team\nname: [x\n", &["2:7: not YAML that is taken here: unclosed bracket '['"]);
}

#[test]
fn the_nearest_word_is_offered() {
    let problem = applied(one("kind: Team\nname: x\ngrups: [g]\n"), 0, &[]).unwrap_err();
    assert!(problem.remedy.unwrap().starts_with("Did you mean 'groups'?"));
}

#[test]
fn names_that_are_none_and_text_that_is_not_text() {
    refused("{kind: Team, name: X, groups: [g]}", &["1:20: 'X' is no name here"]);
    refused("{kind: Group, name: x, provider: p, id: 007}", &["1:41: a number (put text in quotes)"]);
    refused("{kind: Group, name: x, provider: p, id: true}", &["1:41: true or false where"]);
    refused(
        "{kind: Application, name: x, team: t, environments: [{name: e, protected: yes}]}",
        &["1:75: text where a boolean is wanted"],
    );
}

#[test]
fn everything_is_told_at_once_and_nothing_that_only_follows() {
    refused(
        "kind: Team\nname: x\ngrups: [g]\n---\nkind: Application\nname: y\nteam: x\nenvironments: \
         [{name: e}]\nsize: 1\n---\n{kind: Team, name: z, groups: [nobody]}\n---\n{kind: Delivery, name: w, \
         application: y, environment: e, cluster: k, namespace: n, secret: s}\n",
        &[
            "3:1: unknown key 'grups'",
            "9:1: unknown key 'size'",
            "11:32: there is no Group 'nobody'",
            "13:93: the delivery 'd' goes into the same Secret",
        ],
    );
}

#[test]
fn duplicates() {
    refused("{kind: Team, name: t, groups: [g]}", &["1:20: Team 't' is declared twice"]);
    refused("{kind: Group, name: h, provider: p, id: i}", &["1:41: this group of 'p' has the alias 'g'"]);
    refused("{kind: Team, name: x, groups: [g, g]}", &["1:35: 'g' is in this list twice"]);
    refused(
        "{kind: Application, name: x, team: t, environments: [{name: e}, {name: e}]}",
        &["1:72: there are two environments 'e'"],
    );
}

#[test]
fn dangling_references() {
    refused("{kind: Team, name: x, groups: [nobody]}", &["1:32: there is no Group 'nobody'"]);
    refused(
        "{kind: Application, name: x, team: y, environments: [{name: e, copies: [z]}]}",
        &["1:36: there is no Team 'y'", "1:73: there is no Team 'z'"],
    );
    refused(
        "{kind: Delivery, name: x, application: y, environment: e, cluster: z, namespace: n, secret: s2}",
        &["1:40: there is no Application 'y'", "1:68: there is no Cluster 'z'"],
    );
    refused(
        "{kind: Delivery, name: x, application: a, environment: y, cluster: k, namespace: n, secret: s2}",
        &["1:56: 'a' has no environment 'y'"],
    );
}

const SCOPE: &str = "kind: TrustScope\nname: x\nmembers: {groups: [g]}\n";

#[test]
fn trust_scopes() {
    let allows = "allows: [{actions: [read-log]}]\n";
    refused(
        &format!("kind: TrustScope\nname: administrators\nmembers: {{groups: [g]}}\n{allows}"),
        &["2:7: the name 'administrators' is kept"],
    );
    refused(
        "{kind: Group, name: administrators-1, provider: p, id: j}",
        &["1:21: the name 'administrators-1'"],
    );
    refused(&format!("{SCOPE}allows: [{{actions: [reed-log]}}]\n"), &["4:21: unknown word 'reed-log'"]);
    refused(
        &format!("{SCOPE}allows: [{{actions: [decide]}}]\n"),
        &["4:21: no trust scope can allow 'decide'"],
    );
    refused(
        &format!("{SCOPE}allows: [{{actions: [reveal]}}]\n"),
        &["4:10: 'applications' is missing: these actions"],
    );
    refused(
        &format!("{SCOPE}allows: [{{actions: [reveal], applications: all}}]\n"),
        &["4:10: 'environments' is missing: these actions"],
    );
    refused(
        &format!("{SCOPE}allows: [{{actions: [read-log], applications: all, environments: all}}]\n"),
        &["4:21: 'read-log' is not done in environments"],
    );
    refused(
        &format!("{SCOPE}allows: [{{actions: [list], applications: own-team, environments: all}}]\n"),
        &["4:42: 'applications' is none of the forms"],
    );
    refused(
        &format!("{SCOPE}allows: [{{actions: [list], applications: [a, z], environments: [e, y]}}]\n"),
        &["4:46: there is no Application 'z'", "4:68: none of these applications has an environment 'y'"],
    );
    refused(&format!("{SCOPE}allows: []\n"), &["4:9: this list is empty"]);
    refused(
        &format!("{SCOPE}{allows}networks: [10.0.0.0/8, 10.0.0.0/33, here]\n"),
        &["5:24: '10.0.0.0/33' is no network", "5:37: 'here' is no network"],
    );
    refused(
        &format!("{SCOPE}{allows}by-request: {{approvers: [nobody], longest: 0s}}\n"),
        &[
            "4:21: 'read-log' cannot be asked for",
            "5:26: there is no Group 'nobody'",
            "5:44: a grant would never last",
        ],
    );
    refused(&format!("{SCOPE}{allows}ends: soon\n"), &["5:7: 'soon' is neither a date"]);
}

#[test]
fn how_secrets_get_new_values() {
    let application = |rest: &str| {
        format!(
            "{{kind: Application, name: x, team: t, environments: [{{name: e}}, {{name: c, copies: [t]}}], {rest}}}"
        )
    };
    let rotation = |rest: &str| application(&format!("rotation: [{{environment: e, secret: S, {rest}}}]"));
    let fine = format!(
        "{BASE}{}\n---\n{{kind: Source, name: test}}",
        rotation("every: 90d, by: {vault-static-role: {mount: db, role: r, other-role: s}}")
    );
    applied(one(&fine), 0, &[]).unwrap();
    for (rest, wanted) in [
        ("every: 0s", "every value would be too old at once"),
        ("by: {}", "new values are made in one way, and there are 0"),
        ("by: {webhook: w, hand: do it}", "new values are made in one way, and there are 2"),
        ("by: {hand: ''}", "instructions are 1 to 4096 bytes long"),
        (
            "by: {vault-static-role: {mount: db, role: r, other-role: r}}",
            "a role cannot take turns with itself",
        ),
        ("by: {vault-static-role: {mount: db, role: 'a/../b'}}", "this is no role of an engine"),
        ("by: {vault-static-role: {mount: db, role: r, template: x}}", "the template has no password in it"),
    ] {
        let found = told(&applied(one(&format!("{BASE}{}", rotation(rest))), 0, &[]).unwrap_err());
        assert!(found.len() == 1 && found[0].contains(wanted), "{rest}: {found:#?}");
    }
    let copies = "rotation: [{environment: c, secret: S, by: {vault-static-role: {mount: db, role: r}}}]";
    let found = told(&applied(one(&format!("{BASE}{}", application(copies))), 0, &[]).unwrap_err());
    assert!(found[0].contains("'x/c' has a copy for each team"), "{found:#?}");
}

#[test]
fn clusters_and_deliveries() {
    let delivery = |rest: &str| format!("{{kind: Delivery, name: x, cluster: k, {rest}}}");
    refused(
        &delivery("application: b, environment: e, namespace: n, secret: s2"),
        &["1:82: the cluster 'k' does not allow the namespace 'n' to the team 'u'"],
    );
    refused(
        &delivery("application: a, environment: e, namespace: m, secret: u-1"),
        &["1:93: in the namespace 'm' the team 't' may not make 'u-1'"],
    );
    refused(
        &delivery("application: a, environment: e, namespace: n, secret: s"),
        &["1:93: the delivery 'd' goes into the same Secret"],
    );
    refused(
        &delivery("application: a, environment: c, namespace: n, secret: s2"),
        &["1:68: 'a/c' has a copy for each team"],
    );
    refused(
        &delivery("application: a, environment: e, team: t, namespace: n, secret: s2"),
        &["1:77: 'a/e' is shared"],
    );
    refused(
        &delivery("application: a, environment: c, team: u, namespace: n, secret: s2"),
        &["1:77: 'u' has no copy of 'a/c'"],
    );
    refused(
        &delivery("application: a, environment: e, namespace: n, secret: ../s"),
        &["1:93: '../s' is no name of a Secret"],
    );
    refused(
        "{kind: Cluster, name: x, namespaces: [{name: n, teams: [t, u]}, {name: n-, teams: [t]}]}",
        &["1:39: several teams share the namespace 'n'", "1:72: 'n-' is no name of a namespace"],
    );
}

#[test]
fn shares_and_secrets() {
    let x =
        |rest: &str| format!("{{kind: Application, name: x, team: t, environments: [{{name: e}}], {rest}}}");
    refused(
        &x("shares: [{environment: f, secret: K, with: [x, y, a]}]"),
        &[
            "1:89: 'x' has no environment 'f'",
            "1:110: 'x' owns this secret",
            "1:113: there is no Application 'y'",
            "1:116: 'a' has no environment 'f' to have it in",
        ],
    );
    let owner = "{kind: Application, name: o, team: t, environments: [{name: e}], shares: \
                 [{environment: e, secret: K, with: [x, a]}]}\n---\n";
    refused(
        &format!("{owner}{}", x("shares: [{environment: e, secret: K, with: [b]}]")),
        &["3:100: 'K' in 'x/e' belongs to 'o', which shares it"],
    );
    refused(
        &format!(
            "{}\n---\n{}",
            owner.replace("[x, a]", "[a]").trim_end_matches("\n---\n"),
            x("shares: [{environment: e, secret: K, with: [a]}]")
        ),
        &["3:100: 'o' shares a secret 'K' with the same application"],
    );
    refused(
        &x("secrets: [{environment: e, name: S, at: {mount: kv, path: ../sys, field: a/b}}]"),
        &["1:124: 'path' is no place", "1:139: 'field' is no place"],
    );
}

#[test]
fn abuse_35_roles_that_can_be_leased() {
    let role = |environment: &str, mount: &str, role: &str, longest: &str| {
        format!(
            "kind: Application\nname: x\nteam: t\nenvironments: [{{name: e}}, {{name: c, copies: [t]}}]\nleases:\n\
             - environment: {environment}\n  name: reader\n  at:\n    mount: {mount}\n    role: {role}\n  \
             longest: {longest}\n"
        )
    };
    applied(one(&format!("{BASE}{}", role("e", "database", "reader", "1h"))), 0, &[]).unwrap();
    refused(&role("none", "database", "reader", "1h"), &["6:16: 'x' has no environment 'none'"]);
    refused(&role("c", "database", "reader", "1h"), &["6:16: 'x/c' has a copy for each team"]);
    refused(&role("e", "../sys", "a/b", "1h"), &["9:12: 'mount' is no place", "10:11: 'role' is no place"]);
    refused(&role("e", "'data*'", "'+'", "1h"), &["9:12: 'mount' is no place", "10:11: 'role' is no place"]);
    refused(&role("e", "database", "reader", "10s"), &["11:12: a lease that is over"]);
    let twice = role("e", "database", "reader", "1h");
    let again = twice.split_once("leases:\n").unwrap().1;
    refused(&format!("{twice}{again}"), &["13:9: 'reader' is there twice"]);
}

#[test]
fn the_source_has_one_name() {
    refused("{kind: Source, name: other}", &["1:22: the source is called 'other' here and 'test' elsewhere"]);
    let group =
        vec![Document { file: "g.yaml".into(), text: "kind: Group\nname: g\nprovider: p\nid: i\n".into() }];
    let problem = applied(set(group), 0, &[]).unwrap_err();
    assert_eq!(told(&problem), ["g.yaml: these files do not say what their source is called"]);
}
