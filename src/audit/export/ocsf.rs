//! Entries as events of OCSF 1.3.0 (schema.ocsf.io): the class and activity of each action, and the
//! attributes that these classes require.

use serde_json::{Map, Value, json};

use crate::{audit::read::Entry, policy::Action};

/// The version of OCSF.
const VERSION: &str = "1.3.0";
/// Who makes it, and what it is called.
const PRODUCT: &str = "Port Control";

/// A class of OCSF; its number is its `class_uid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Sessions and sign-ins.
    Authentication = 3002,
    /// People, deliveries, work that is open.
    EntityManagement = 3004,
    /// What people may do: grants.
    UserAccessManagement = 3005,
    /// Everything that is asked of the server.
    ApiActivity = 6003,
}

/// Activities of [`Class::ApiActivity`] and [`Class::EntityManagement`].
const CREATE: u16 = 1;
const READ: u16 = 2;
const UPDATE: u16 = 3;
const DELETE: u16 = 4;
/// Activities of [`Class::EntityManagement`] alone.
const ENABLE: u16 = 8;
const DISABLE: u16 = 9;
const DEACTIVATE: u16 = 11;
const SUSPEND: u16 = 12;
const RESUME: u16 = 13;
/// Activities of [`Class::Authentication`].
const LOGON: u16 = 1;
const LOGOFF: u16 = 2;
const TICKET: u16 = 3;
/// Activities of [`Class::UserAccessManagement`].
const ASSIGN: u16 = 1;
const REVOKE: u16 = 2;
/// What a class has no word for.
const OTHER: u16 = 99;

/// The class and the activity of an action that an act, an intent or an outcome has, or, where it was
/// denied, of the right that was wanted. Nothing for one that is not known here.
#[must_use]
pub fn class_of(action: &str) -> Option<(Class, u16)> {
    use Class::{ApiActivity as Api, Authentication as Auth, EntityManagement as Entity};
    Some(match action {
        "session.began" | "recovery.used" => (Auth, LOGON),
        "session.ended" | "person.signed-out" => (Auth, LOGOFF),
        "login.approved" | "login.refused" | "recovery.created" | "workload.token-issued" => (Auth, TICKET),
        "session.used" | "session.raised" | "session.confirmed" | "workload.refused" => (Auth, OTHER),
        "grant.began" | "lease.issuing" | "lease.issued" => (Class::UserAccessManagement, ASSIGN),
        "grant.ended" | "lease.ending" | "lease.ended" | "lease.not-issued" => {
            (Class::UserAccessManagement, REVOKE)
        }
        "person.joined"
        | "leaver.opened"
        | "leaver.reopened"
        | "rotation.opened"
        | "rotation.waiver-asked"
        | "removal.expected"
        | "connection.created"
        | "connection.token-made"
        | "scim.user-created"
        | "scim.group-created" => (Entity, CREATE),
        "person.suspended" | "removal.held" | "rotation.waived" => (Entity, SUSPEND),
        "person.resumed" | "rotation.waiver-ended" => (Entity, RESUME),
        "person.deactivated" => (Entity, DEACTIVATE),
        "removal.refused"
        | "removal.rejected"
        | "removal.unexpected"
        | "leaver.closed"
        | "rotation.closed"
        | "rotation.asked"
        | "rotation.wanted"
        | "rotation.reminded"
        | "rotation.reminder"
        | "connection.heard"
        | "scim.refused"
        | "scim.unlinked-deactivated" => (Entity, OTHER),
        "rotation.said-done"
        | "rotation.old-value-ended"
        | "rotation.rotating"
        | "rotation.rotated"
        | "person.groups-changed"
        | "person.moved"
        | "delivery.readers-known"
        | "delivery.readers-unknown"
        | "rotation.cause-added"
        | "delivery.writing"
        | "delivery.written"
        | "delivery.restored"
        | "delivery.noted"
        | "delivery.failed"
        | "person.linked"
        | "scim.user-changed"
        | "connection.changed"
        | "scim.group-changed" => (Entity, UPDATE),
        "person.forgotten" | "delivery.removing" | "delivery.removed" | "delivery.ended"
        | "scim.user-deleted" | "scim.group-deleted" => (Entity, DELETE),
        "delivery.paused" | "connection.disabled" | "connection.tokens-ended" => (Entity, DISABLE),
        "person.reactivated" | "delivery.resumed" => (Entity, ENABLE),
        "log.key-added" | "secret.set" | "secret.rotated" | "secret.generated" | "secret.found"
        | "request.created" | "log.held" => (Api, CREATE),
        "secret.revealed" | "secret.run" | "secret.readable" | "log.read" | "log.exported"
        | "log.followed" => (Api, READ),
        "secret.rolled-back"
        | "secret.undeleted"
        | "secret.settled"
        | "lease.renewing"
        | "lease.renewed"
        | "catalog.applied"
        | "request.approved"
        | "request.denied"
        | "request.decision-refused"
        | "log.recovered"
        | "server.started"
        | "key.rotated"
        | "key.rewrapped"
        | "log.forwarding-set"
        | "log.archiving"
        | "log.archived" => (Api, UPDATE),
        "secret.deleted" | "secret.destroyed" | "request.cancelled" | "request.expired"
        | "request.withdrawn" | "log.forgot" | "log.released" | "log.key-retired" => (Api, DELETE),
        right => return right.parse::<Action>().ok().map(wanted),
    })
}

/// What was denied: the right that was wanted.
fn wanted(right: Action) -> (Class, u16) {
    use Action as A;
    match right {
        A::SignIn | A::SignInCli => (Class::Authentication, LOGON),
        A::EndOwnSession | A::SignOut => (Class::Authentication, LOGOFF),
        A::ManagePeople | A::ManageConnections | A::Provision => (Class::EntityManagement, UPDATE),
        A::Deprovision => (Class::EntityManagement, DELETE),
        A::Request => (Class::ApiActivity, CREATE),
        A::Lease => (Class::UserAccessManagement, ASSIGN),
        A::EndOwnLease => (Class::UserAccessManagement, REVOKE),
        A::List
        | A::Reveal
        | A::Run
        | A::Plan
        | A::SeeDelivery
        | A::SeeExposure
        | A::SeePeople
        | A::SeeRotation
        | A::SeeOwn
        | A::SeeRequest
        | A::ReadLog => (Class::ApiActivity, READ),
        A::Destroy | A::CancelRequest | A::Revoke | A::Expire | A::Forget => (Class::ApiActivity, DELETE),
        _ => (Class::ApiActivity, UPDATE),
    }
}

/// One entry.
pub(super) fn event(entry: &Entry, origin: &str) -> Value {
    let (class, activity) = class_of(&entry.action).unwrap_or((Class::ApiActivity, OTHER));
    let mut event = base(class, activity, &entry.action);
    let actor = entry.actor.as_deref().unwrap_or("unknown");
    let is_person = actor.starts_with("per_");
    event["time"] = entry.time.as_millis().into();
    event["severity_id"] = if entry.decision == "allow" { 1 } else { 2 }.into();
    event["status_id"] = status(entry).into();
    event["actor"] = if is_person { json!({ "user": user(actor) }) } else { json!({ "app_name": actor }) };
    event["src_endpoint"] = match &entry.network {
        Some(address) => json!({ "ip": address }),
        None => json!({ "name": if is_person { "unknown" } else { actor } }),
    };
    event["metadata"]["uid"] = format!("{origin}/{}", entry.index).into();
    event["metadata"]["sequence"] = entry.index.into();
    event["metadata"]["log_name"] = origin.into();
    event["unmapped"] = json!(entry);
    require(&mut event, class, entry, actor);
    event
}

/// What one class requires beyond what all of them do.
fn require(event: &mut Value, class: Class, entry: &Entry, actor: &str) {
    let whom = user(entry.subject.as_deref().unwrap_or(actor));
    let what = entry.resource.as_ref().or(entry.at.as_ref()).or(entry.subject.as_ref());
    let what = what.map_or(actor, String::as_str);
    match class {
        Class::Authentication => {
            event["user"] = whom;
            event["service"] = json!({ "name": PRODUCT });
        }
        Class::UserAccessManagement => {
            event["user"] = whom;
            event["privileges"] = json!([entry.scope.as_deref().unwrap_or(what)]);
        }
        Class::EntityManagement => event["entity"] = json!({ "uid": what }),
        Class::ApiActivity => {
            event["api"] = json!({ "operation": entry.action });
            event["resources"] = json!([{ "name": what }]);
        }
    }
}

/// Where an export begins or ends: somebody reads the log by our interface.
pub(super) fn edge(name: &str, said: &Value, origin: &str) -> Value {
    let mut event = base(Class::ApiActivity, READ, name);
    event["time"] = 0.into();
    event["severity_id"] = 1.into();
    event["actor"] = json!({ "app_name": PRODUCT });
    event["src_endpoint"] = json!({ "name": origin });
    event["api"] = json!({ "operation": name });
    event["metadata"]["log_name"] = origin.into();
    event["unmapped"] = said.clone();
    event
}

fn base(class: Class, activity: u16, what: &str) -> Value {
    let class_uid = u32::from(class as u16);
    json!({
        "class_uid": class_uid,
        "category_uid": class_uid / 1000,
        "activity_id": activity,
        "type_uid": class_uid * 100 + u32::from(activity),
        "message": what,
        "metadata": {
            "version": VERSION,
            "product": {
                "name": PRODUCT,
                "vendor_name": PRODUCT,
                "version": env!("CARGO_PKG_VERSION"),
            },
        },
    })
}

fn user(id: &str) -> Value {
    let mut user = Map::new();
    user.insert("uid".to_owned(), id.into());
    if id.starts_with("per_") {
        user.insert("type_id".to_owned(), 1.into());
    }
    Value::Object(user)
}

/// 1 success, 2 failure, 0 what is not known yet.
fn status(entry: &Entry) -> u8 {
    let outcome = entry.payload.get("outcome").and_then(Value::as_str);
    match (entry.kind.as_str(), outcome) {
        ("denial", _) | (_, Some("failed")) => 2,
        ("intent", _) | (_, Some("unknown")) => 0,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    fn sources(folder: &Path, into: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, into);
            } else if path.extension().is_some_and(|it| it == "rs") {
                into.push(fs::read_to_string(path).unwrap());
            }
        }
    }

    /// Everything that source drafts by name, and every text that looks like one of the same family.
    fn drafted() -> BTreeSet<String> {
        let mut texts = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut texts);
        let mut found = BTreeSet::new();
        for text in &texts {
            for draft in ["Draft::act(\"", "Draft::refused(\""] {
                let named = text.match_indices(draft).map(|(at, start)| &text[at + start.len()..]);
                found.extend(named.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
            }
        }
        let families: BTreeSet<String> =
            found.iter().filter_map(|it| it.split_once('.')).map(|(family, _)| family.to_owned()).collect();
        let is_word = |it: &str| !it.is_empty() && it.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        for literal in texts.iter().flat_map(|text| text.split('"')) {
            let Some((family, word)) = literal.split_once('.') else { continue };
            let is_file = matches!(word, "html" | "db" | "rs" | "yaml" | "toml" | "pin");
            if is_word(word) && !is_file && families.contains(family) && !TOPICS.contains(&literal) {
                found.insert(literal.to_owned());
            }
        }
        found
    }

    /// Topics of messages that share a family with actions and are none.
    const TOPICS: [&str; 2] = ["request.without-approver", "scim.group-opens-protected"];

    #[test]
    fn every_action_has_a_class_and_an_activity() {
        let drafted = drafted();
        assert!(drafted.len() > 45, "only {} actions were found", drafted.len());
        let rights = Action::ALL.iter().map(|it| it.as_str().to_owned());
        let unknown: Vec<String> = drafted
            .into_iter()
            .chain(rights)
            .filter(|action| !action.starts_with("test.") && class_of(action).is_none())
            .collect();
        assert!(unknown.is_empty(), "these have no class of OCSF: {unknown:?}");
    }

    #[test]
    fn an_activity_is_one_of_its_class() {
        for action in drafted() {
            let Some((class, activity)) = class_of(&action) else { continue };
            let last = match class {
                Class::Authentication => 7,
                Class::EntityManagement => 13,
                Class::UserAccessManagement => 2,
                Class::ApiActivity => 4,
            };
            assert!(activity == OTHER || (1..=last).contains(&activity), "{action}: {activity}");
        }
    }
}
