//! Filters, paths and operations of all kinds: read or refused, and never more than that.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{
    filter::{Among, compile, parse},
    patch::{apply, read},
    render::Projection,
    schema::{ENTERPRISE, PEOPLE, TEAMS, USER},
};
use crate::store::Arg;

const FILTERS: &str = include_str!("../../../tests/corpus/scim/filters.txt");
const PATCHES: &str = include_str!("../../../tests/corpus/scim/patches.txt");
const PATHS: &str = include_str!("../../../tests/corpus/scim/paths.txt");

fn lines(text: &'static str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn what_okta_and_entra_send_is_taken() {
    for line in PATCHES.lines() {
        let Value::Object(body) = serde_json::from_str(line).unwrap() else { panic!("{line}") };
        let mut resource = Map::new();
        for operation in read(&PEOPLE, &body).unwrap() {
            apply(&PEOPLE, &mut resource, &operation).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        assert_eq!(PEOPLE.read(&resource).unwrap(), resource, "{line}");
    }
}

/// Pieces of the corpus, put together in any order.
fn mixed(corpus: &'static str) -> impl Strategy<Value = String> {
    let lines = lines(corpus);
    let pieces: Vec<String> = lines
        .iter()
        .flat_map(|line| line.split_inclusive([' ', '[', ']', '(', ')', '.', '"']))
        .map(str::to_owned)
        .collect();
    prop_oneof![
        prop::sample::select(lines),
        prop::collection::vec(prop::sample::select(pieces), 0..20).prop_map(|it| it.concat()),
        "\\PC{0,60}",
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let plain = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop_oneof![Just("False".to_owned()), Just("true".to_owned()), "\\PC{0,12}"].prop_map(Value::from),
    ];
    let names = prop_oneof![
        prop::sample::select(lines(PATHS)),
        prop::sample::select(vec!["value".to_owned(), "Type".to_owned(), "primary".to_owned()]),
    ];
    plain.prop_recursive(3, 24, 4, move |inner| {
        let names = names.clone();
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names, inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn operations() -> impl Strategy<Value = Value> {
    let verb = prop::sample::select(vec!["add", "Replace", "REMOVE", "move"]);
    let path = prop::option::of(mixed(PATHS));
    prop::collection::vec((verb, path, values()), 1..5).prop_map(|all| {
        let all: Vec<Value> = all
            .into_iter()
            .map(|(op, path, value)| match path {
                Some(path) => json!({ "op": op, "path": path, "value": value }),
                None => json!({ "Op": op, "Value": value }),
            })
            .collect();
        json!({ "Operations": all })
    })
}

/// How many placeholders a condition has: each argument has one, and no other text of the filter is in it.
fn placeholders(text: &str) -> Vec<usize> {
    let mut found: Vec<usize> = text
        .split('$')
        .skip(1)
        .filter_map(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn dana() -> Map<String, Value> {
    let body = json!({
        "userName": "dana", "externalId": "dana", "name": { "givenName": "Dana" },
        "emails": [{ "value": "a@example.com", "type": "work", "primary": true }, { "value": "b@example.com" }],
        ENTERPRISE: { "department": "Builders" },
    });
    PEOPLE.read(body.as_object().unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_filter_is_a_condition_or_a_refusal(text in mixed(FILTERS), among in prop::bool::ANY) {
        let among = if among { Among::People } else { Among::Groups };
        let Ok(filter) = parse(&text) else { return Ok(()) };
        let Ok(compiled) = compile(&filter, among, 2, false) else { return Ok(()) };
        let expected: Vec<usize> = (2..compiled.args.len() + 2).collect();
        prop_assert_eq!(placeholders(&compiled.text), expected, "{}", compiled.text);
        for arg in &compiled.args {
            if let Arg::Text(Some(value)) = arg && value.len() > 12 {
                prop_assert!(!compiled.text.contains(value.as_str()), "{}", compiled.text);
            }
        }
    }

    #[test]
    fn what_operations_leave_is_what_the_schema_would_read(body in operations()) {
        let Ok(operations) = read(&PEOPLE, body.as_object().unwrap()) else { return Ok(()) };
        let mut resource = dana();
        for operation in &operations {
            if apply(&PEOPLE, &mut resource, operation).is_err() {
                return Ok(());
            }
        }
        let again = PEOPLE.read(&resource).unwrap();
        prop_assert_eq!(again, resource);
    }

    #[test]
    fn operations_of_groups_are_read_or_refused(body in operations()) {
        drop(read(&TEAMS, body.as_object().unwrap()));
    }

    #[test]
    fn any_body_is_read_or_refused(body in values()) {
        if let Value::Object(body) = body && let Ok(kept) = PEOPLE.read(&body) {
            let again = PEOPLE.read(&kept).unwrap();
            prop_assert_eq!(again, kept);
        }
    }

    #[test]
    fn a_projection_adds_nothing(only in mixed(PATHS), but in mixed(PATHS)) {
        let whole = Value::Object(dana());
        let left = Projection::new(Some(&only), Some(&but)).of(whole.clone(), &PEOPLE);
        for (name, value) in left.as_object().unwrap() {
            let before = &whole[name];
            prop_assert!(before.is_object() || before.is_array() || before == value, "{}: {}", name, value);
        }
    }
}

fn patched(operations: &Value) -> Result<Map<String, Value>, String> {
    let body = json!({ "Operations": operations });
    let mut resource = dana();
    for operation in &read(&PEOPLE, body.as_object().unwrap()).map_err(|it| it.to_string())? {
        apply(&PEOPLE, &mut resource, operation).map_err(|it| it.to_string())?;
    }
    Ok(resource)
}

#[test]
fn the_preferred_one_of_a_list_is_one() {
    let add = json!([{ "op": "add", "path": "emails", "value": [{ "value": "c@example.com", "primary": "True" }] }]);
    let after = patched(&add).unwrap();
    let preferred: Vec<&Value> =
        after["emails"].as_array().unwrap().iter().filter(|it| it["primary"] == true).collect();
    assert_eq!(preferred, [&json!({ "value": "c@example.com", "primary": true })]);
}

#[test]
fn parts_that_are_not_said_stay() {
    let replace = json!([{ "op": "replace", "path": "name", "value": { "familyName": "D" } }]);
    assert_eq!(patched(&replace).unwrap()["name"], json!({ "givenName": "Dana", "familyName": "D" }));
    let replace =
        json!([{ "op": "replace", "path": "emails[type eq \"WORK\"].value", "value": "d@example.com" }]);
    let after = patched(&replace).unwrap();
    assert_eq!(after["emails"][0], json!({ "value": "d@example.com", "type": "work", "primary": true }));
    let remove = json!([{ "op": "remove", "path": "emails[type eq \"work\"]" }]);
    assert_eq!(patched(&remove).unwrap()["emails"], json!([{ "value": "b@example.com" }]));
}

#[test]
fn what_follows_from_something_else_is_not_written() {
    assert!(patched(&json!([{ "op": "add", "path": "groups", "value": [{ "value": "x" }] }])).is_err());
    let body = json!({ "userName": "x", "groups": [{ "value": "x" }], "password": "hunter2", "id": "x" });
    let kept = PEOPLE.read(body.as_object().unwrap()).unwrap();
    assert_eq!(Value::Object(kept), json!({ "userName": "x" }));
}

#[test]
fn a_schema_by_its_name_is_the_resource() {
    let said = json!([{ "op": "replace", "path": USER, "value": { "title": "T" } },
                      { "op": "replace", "path": format!("{USER}:nickName"), "value": "N" }]);
    let after = patched(&said).unwrap();
    assert_eq!((&after["title"], &after["nickName"]), (&json!("T"), &json!("N")));
}
