//! What is not right between declarations: every declared thing against all others, whichever source
//! they are of, so that neither an addition nor a removal leaves anything dangling.

mod applications;
mod deliveries;
mod rotation;
mod scopes;
mod workloads;

use std::collections::{BTreeMap, BTreeSet};

use super::{
    builtin::is_reserved,
    declare::{Group, Kind, Object, Team},
    snapshot::listed,
};
use crate::base::{
    Name,
    config::IssuerKind,
    located::{Finding, Node, Place, nearest},
};

/// Whose tokens each workload issuer of the server's configuration issues.
pub(super) type WorkloadIssuers = BTreeMap<Name, IssuerKind>;

/// One thing of the world that would be, where it stands, and whose it is.
pub(super) struct Thing<'a> {
    pub(super) object: &'a Object,
    /// Its tree with lines; nothing where another source declared it.
    pub(super) node: Option<&'a Node>,
    pub(super) source: &'a Name,
}

/// Everything that would be declared.
pub(super) struct World<'a> {
    things: BTreeMap<(Kind, &'a Name), Thing<'a>>,
    unread: &'a BTreeSet<(Kind, String)>,
    /// Workload issuers of the server's configuration.
    issuers: &'a WorkloadIssuers,
    /// The first alias of each group, and the first delivery into each Secret: no check may look at
    /// all things for each thing, because this runs while the log waits.
    aliases: BTreeMap<(&'a str, &'a str), &'a Name>,
    secrets: BTreeMap<(&'a Name, &'a Name, &'a str), &'a Name>,
    /// The first application that declares each place in the engine.
    places: BTreeMap<(&'a str, &'a str, &'a str), &'a Name>,
}

impl<'a> World<'a> {
    /// `unread` is what is there, but could not be read: nothing is said of it.
    pub(super) fn new(
        things: impl IntoIterator<Item = Thing<'a>>,
        unread: &'a BTreeSet<(Kind, String)>,
        issuers: &'a WorkloadIssuers,
    ) -> Self {
        let key = |it: Thing<'a>| ((it.object.kind(), it.object.name()), it);
        let things: BTreeMap<_, _> = things.into_iter().map(key).collect();
        let (mut aliases, mut secrets, mut places) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for thing in things.values() {
            match thing.object {
                Object::Group(it) => {
                    aliases.entry((it.provider.as_str(), it.id.as_str())).or_insert(&it.name);
                }
                Object::Application(it) => {
                    for at in it.secrets.iter().map(|it| &it.at) {
                        places
                            .entry((at.mount.as_str(), at.path.as_str(), at.field.as_str()))
                            .or_insert(&it.name);
                    }
                }
                Object::Delivery(it) => {
                    secrets.entry((&it.cluster, &it.namespace, it.secret.as_str())).or_insert(&it.name);
                }
                _ => {}
            }
        }
        Self { things, unread, issuers, aliases, secrets, places }
    }

    /// Everything that is not right.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for thing in self.things.values() {
            let mut at = At { world: self, thing, findings: &mut findings };
            at.name();
            match thing.object {
                Object::Group(it) => at.group(it),
                Object::Team(it) => at.team(it),
                Object::Application(it) => at.application(it),
                Object::Workload(it) => at.workload(it),
                Object::TrustScope(it) => at.scope(it),
                Object::Cluster(it) => at.cluster(it),
                Object::Delivery(it) => at.delivery(it),
            }
        }
        findings
    }

    fn get(&self, kind: Kind, name: &Name) -> Option<&'a Object> {
        self.things.get(&(kind, name)).map(|it| it.object)
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &Thing<'a>> {
        self.things.values().filter(move |it| it.object.kind() == kind)
    }
}

/// The checks of one thing.
struct At<'w, 'a> {
    world: &'w World<'a>,
    thing: &'w Thing<'a>,
    findings: &'w mut Vec<Finding>,
}

impl<'a> At<'_, 'a> {
    /// Notes what is wrong with the value at `path`.
    fn wrong(&mut self, path: &[&str], message: impl Into<String>, remedy: impl Into<String>) {
        let place = match self.thing.node {
            Some(node) => node.place_of(path).clone(),
            None => elsewhere(self.thing),
        };
        self.findings.push(place.finding(message, remedy));
    }

    fn name(&mut self) {
        if is_reserved(self.thing.object.name()) {
            self.wrong(
                &["name"],
                format!("the name '{}' is kept for the built-in trust scope", self.thing.object.name()),
                "Choose another; the server's configuration alone says who the administrators are.",
            );
        }
    }

    /// Refuses a name that nothing of this kind has.
    fn refers(&mut self, path: &[&str], kind: Kind, name: &Name) -> Option<&'a Object> {
        let found = self.world.get(kind, name);
        if found.is_none() && !self.world.unread.contains(&(kind, name.to_string())) {
            let known: Vec<&str> = self.world.of(kind).map(|it| it.object.name().as_str()).collect();
            let remedy = match nearest(name.as_str(), known.iter().copied()) {
                Some(meant) => format!("Did you mean '{meant}'? Else declare the {kind} '{name}', too."),
                None => format!("Declare the {kind} '{name}', too, or take it out here."),
            };
            self.wrong(path, format!("there is no {kind} '{name}'"), remedy);
        }
        found
    }

    /// Refuses each name of a list that nothing of this kind has, and each that is there twice.
    fn refers_all(&mut self, path: &[&str], kind: Kind, names: &[Name]) {
        for (index, name) in names.iter().enumerate() {
            let index_text = index.to_string();
            let path: Vec<&str> = path.iter().copied().chain([index_text.as_str()]).collect();
            if names[..index].contains(name) {
                self.wrong(&path, format!("'{name}' is in this list twice"), "Keep one of the two.");
            } else {
                self.refers(&path, kind, name);
            }
        }
    }

    fn not_empty<T>(&mut self, path: &[&str], list: &[T], what: &str) {
        if list.is_empty() {
            self.wrong(path, format!("this list is empty: {what}"), "Add at least one.");
        }
    }

    fn group(&mut self, group: &Group) {
        for (key, text) in [("provider", &group.provider), ("id", &group.id)] {
            if text.trim().is_empty() || text.len() > 512 || text.chars().any(char::is_control) {
                self.wrong(
                    &[key],
                    format!("'{key}' is no text that a provider sends"),
                    "Write it as it sends it.",
                );
            }
        }
        let first = self.world.aliases.get(&(group.provider.as_str(), group.id.as_str())).copied();
        if let Some(first) = first.filter(|it| **it != group.name) {
            self.wrong(
                &["id"],
                format!("this group of '{}' has the alias '{first}' already", group.provider.escape_debug()),
                format!("A group has one alias: use '{first}', or take one of the two out."),
            );
        }
    }

    fn team(&mut self, team: &Team) {
        self.not_empty(&["groups"], &team.groups, "nobody would be in the team");
        self.refers_all(&["groups"], Kind::Group, &team.groups);
        if team.contact.as_ref().is_some_and(|it| it.parse::<lettre::Address>().is_err()) {
            self.wrong(&["contact"], "this is no e-mail address", "Write for example team@example.com.");
        }
    }
}

/// How findings name what another source declared.
fn elsewhere(thing: &Thing<'_>) -> Place {
    let file = format!("{} '{}' of source '{}'", thing.object.kind(), thing.object.name(), thing.source);
    Place { file: file.into(), line: 0, column: 0 }
}

/// The remedy that lists what there is.
fn there_are<T: ToString>(names: impl IntoIterator<Item = T>) -> String {
    format!("There are: {}.", listed(names))
}
