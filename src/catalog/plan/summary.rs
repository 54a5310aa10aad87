//! One readable line for each thing that changes.

use std::collections::BTreeMap;

use serde_json::Value as Json;

/// Longest text of one value.
const LONGEST: usize = 80;

/// What a new thing is.
pub(super) fn of_new(body: &Json) -> String {
    let parts: Vec<String> = fields(body)
        .filter(|(key, _)| *key != "name")
        .map(|(key, value)| format!("{key}: {}", short(value)))
        .collect();
    parts.join("; ")
}

/// What is different, field by field.
pub(super) fn of_change(old: &Json, new: &Json) -> String {
    let mut parts = Vec::new();
    for (key, before) in fields(old) {
        match new.get(key) {
            None => parts.push(format!("-{key}: {}", short(before))),
            Some(after) if after != before => parts.push(format!("{key}: {}", difference(before, after))),
            Some(_) => {}
        }
    }
    for (key, after) in fields(new).filter(|(key, _)| old.get(key).is_none()) {
        parts.push(format!("+{key}: {}", short(after)));
    }
    parts.join("; ")
}

/// In alphabetical order, whatever order the JSON library keeps.
fn fields(body: &Json) -> impl Iterator<Item = (&str, &Json)> {
    let sorted: BTreeMap<&str, &Json> =
        body.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value)).collect();
    sorted.into_iter()
}

fn difference(old: &Json, new: &Json) -> String {
    match (old, new) {
        (Json::Array(old), Json::Array(new)) => of_lists(old, new),
        (Json::Object(_), Json::Object(_)) => format!("({})", of_change(old, new)),
        _ => format!("{} → {}", short(old), short(new)),
    }
}

/// What joined, what left, and, where items have names, what became different.
fn of_lists(old: &[Json], new: &[Json]) -> String {
    let mut parts = Vec::new();
    for item in new.iter().filter(|it| !old.contains(it)) {
        match old.iter().find(|it| name(it).is_some() && name(it) == name(item)) {
            Some(before) => parts.push(format!("{} ({})", label(item), of_change(before, item))),
            None => parts.push(format!("+{}", label(item))),
        }
    }
    let stays = |it: &Json| new.contains(it) || new.iter().any(|n| name(n).is_some() && name(n) == name(it));
    parts.extend(old.iter().filter(|it| !stays(it)).map(|it| format!("-{}", label(it))));
    if parts.is_empty() { "in another order".to_owned() } else { parts.join(" ") }
}

fn name(item: &Json) -> Option<&str> {
    item.get("name").and_then(Json::as_str)
}

fn label(item: &Json) -> String {
    name(item).map_or_else(|| short(item), ToOwned::to_owned)
}

fn short(value: &Json) -> String {
    let text = match value {
        Json::String(text) => text.escape_debug().to_string(),
        Json::Array(items) => items.iter().map(label).collect::<Vec<_>>().join(", "),
        Json::Object(_) => {
            let parts: Vec<String> =
                fields(value).map(|(key, value)| format!("{key} {}", short(value))).collect();
            format!("({})", parts.join(", "))
        }
        other => other.to_string(),
    };
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_told_field_by_field() {
        let old =
            json!({"name": "reports", "team": "a", "environments": [{"name": "sandbox"}, {"name": "x"}]});
        let new = json!({"name": "reports", "team": "b", "environments":
            [{"name": "sandbox", "copies": ["a"]}, {"name": "y"}], "shares": ["s"]});
        assert_eq!(
            of_change(&old, &new),
            "environments: sandbox (+copies: a) +y -x; team: a → b; +shares: s"
        );
        assert_eq!(of_new(&json!({"name": "t", "groups": ["g", "h"]})), "groups: g, h");
        assert_eq!(of_change(&json!({"l": [1, 2]}), &json!({"l": [2, 1]})), "l: in another order");
    }
}
