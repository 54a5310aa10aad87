//! What is declared at one version: the part of the facts that files say.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    builtin::administrators,
    declare::{
        Application, Cluster, Delivery, ExternalSecret, Group, LeaseRole, Namespace, Object, Workload,
    },
};
use crate::{
    base::{EnvironmentRef, LeaseRef, Name, Problem, Result, SecretRef, config::AdministratorGroup, fits},
    policy::{EnvironmentFacts, TrustScope},
};

/// What is declared at one version. Immutable.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The catalog's version; moves with every apply that changes anything.
    pub version: i64,
    /// Groups by alias.
    pub groups: BTreeMap<Name, Group>,
    /// Teams, each with the aliases of its groups.
    pub teams: Vec<(Name, Vec<Name>)>,
    /// Where teams want to be told, of those that say so.
    pub contacts: BTreeMap<Name, String>,
    /// Applications by name.
    pub applications: BTreeMap<Name, Application>,
    /// Workloads by name.
    pub workloads: BTreeMap<Name, Workload>,
    /// Trust scopes, the built-in `administrators` first.
    pub scopes: Arc<Vec<TrustScope>>,
    /// Clusters by name.
    pub clusters: BTreeMap<Name, Cluster>,
    /// Deliveries by name.
    pub deliveries: BTreeMap<Name, Delivery>,
    aliases: BTreeMap<(String, String), Name>,
}

impl Snapshot {
    /// Puts declared objects together with the built-in scope for the configured `administrators`,
    /// each a provider and the group's id there.
    #[must_use]
    pub fn new(
        version: i64,
        objects: impl IntoIterator<Item = Object>,
        admins: &[AdministratorGroup],
    ) -> Self {
        let mut it = Self {
            version,
            groups: BTreeMap::new(),
            teams: Vec::new(),
            contacts: BTreeMap::new(),
            applications: BTreeMap::new(),
            workloads: BTreeMap::new(),
            scopes: Arc::default(),
            clusters: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            aliases: BTreeMap::new(),
        };
        let mut scopes = Vec::new();
        for object in objects {
            it.take(object, &mut scopes);
        }
        it.teams.sort();
        scopes.sort_by(|a, b| a.name.cmp(&b.name));
        scopes.insert(0, administrators(admins, &mut it.aliases));
        it.scopes = Arc::new(scopes);
        it
    }

    fn take(&mut self, object: Object, scopes: &mut Vec<TrustScope>) {
        match object {
            Object::Group(it) => {
                self.aliases.insert((it.provider.clone(), it.id.clone()), it.name.clone());
                self.groups.insert(it.name.clone(), it);
            }
            Object::Team(it) => {
                self.contacts.extend(it.contact.map(|contact| (it.name.clone(), contact)));
                self.teams.push((it.name, it.groups));
            }
            Object::Application(it) => {
                self.applications.insert(it.name.clone(), it);
            }
            Object::Workload(it) => {
                self.workloads.insert(it.name.clone(), it);
            }
            Object::TrustScope(it) => scopes.push(it),
            Object::Cluster(it) => {
                self.clusters.insert(it.name.clone(), it);
            }
            Object::Delivery(it) => {
                self.deliveries.insert(it.name.clone(), it);
            }
        }
    }

    /// What policy has to know of an environment.
    ///
    /// # Errors
    /// `not-found` where no file declares the application or the environment, where a copy is meant
    /// and no team named, or a team that has none.
    pub fn environment(&self, at: &EnvironmentRef) -> Result<EnvironmentFacts> {
        let application = self.applications.get(&at.application).ok_or_else(|| {
            Problem::not_found(format!("there is no application '{}'", at.application))
                .remedy("`portctl application list` shows those that there are; files declare them.")
        })?;
        let environment =
            application.environments.iter().find(|it| it.name == at.environment).ok_or_else(|| {
                let known = listed(application.environments.iter().map(|it| &it.name));
                Problem::not_found(format!("'{}' has no environment '{}'", at.application, at.environment))
                    .remedy(format!("Its environments are: {known}."))
            })?;
        match &at.team {
            None if !environment.copies.is_empty() => Err(Problem::not_found(format!(
                "'{}/{}' has a copy for each team, and no team was named",
                at.application, at.environment
            ))
            .remedy(format!("Say which with --team: {}.", listed(&environment.copies)))),
            Some(team) if environment.copies.is_empty() => Err(Problem::not_found(format!(
                "'{}/{}' is shared; '{team}' has no copy of its own",
                at.application, at.environment
            ))
            .remedy("Leave the team out.")),
            Some(team) if !environment.copies.contains(team) => Err(Problem::not_found(format!(
                "the team '{team}' has no copy of '{}/{}'",
                at.application, at.environment
            ))
            .remedy(format!("These teams have one: {}.", listed(&environment.copies)))),
            _ => Ok(EnvironmentFacts {
                at: at.clone(),
                owner: Some(application.team.clone()),
                protected: environment.protected,
            }),
        }
    }

    /// Every environment, each copy by itself.
    pub fn environment_list(&self) -> impl Iterator<Item = EnvironmentRef> {
        self.applications.values().flat_map(|application| {
            application.environments.iter().flat_map(|environment| {
                let teams: Vec<Option<Name>> = match environment.copies.as_slice() {
                    [] => vec![None],
                    copies => copies.iter().cloned().map(Some).collect(),
                };
                teams.into_iter().map(|team| EnvironmentRef {
                    application: application.name.clone(),
                    environment: environment.name.clone(),
                    team,
                })
            })
        })
    }

    /// The alias under which a group of a source is known to trust scopes and teams.
    #[must_use]
    pub fn alias(&self, source: &str, group_id: &str) -> Option<&Name> {
        self.aliases.get(&(source.to_owned(), group_id.to_owned()))
    }

    /// The team that owns an application.
    #[must_use]
    pub fn team_of(&self, application: &Name) -> Option<&Name> {
        self.applications.get(application).map(|it| &it.team)
    }

    /// A trust scope by name.
    #[must_use]
    pub fn scope(&self, name: &Name) -> Option<&TrustScope> {
        self.scopes.iter().find(|it| it.name == *name)
    }

    /// A cluster by name.
    #[must_use]
    pub fn cluster(&self, name: &Name) -> Option<&Cluster> {
        self.clusters.get(name)
    }

    /// All deliveries, by name.
    pub fn delivery_list(&self) -> impl Iterator<Item = &Delivery> {
        self.deliveries.values()
    }

    /// Secrets of other applications that this environment gets, too.
    #[must_use]
    pub fn shares_into(&self, application: &Name, environment: &Name) -> Vec<SecretRef> {
        let mut found = Vec::new();
        for owner in self.applications.values() {
            for share in &owner.shares {
                if share.environment == *environment && share.with.contains(application) {
                    found.push(SecretRef {
                        environment: EnvironmentRef {
                            application: owner.name.clone(),
                            environment: share.environment.clone(),
                            team: None,
                        },
                        name: share.secret.clone(),
                    });
                }
            }
        }
        found
    }

    /// A secret that files declare to live at a place of its own in the engine, and whether it may be
    /// changed.
    #[must_use]
    pub fn external_secret(&self, at: &SecretRef) -> Option<&ExternalSecret> {
        let here = &at.environment;
        self.applications
            .get(&here.application)
            .filter(|_| here.team.is_none())?
            .secrets
            .iter()
            .find(|it| it.environment == here.environment && it.name == at.name)
    }

    /// A role whose credentials can be leased.
    #[must_use]
    pub fn lease_role(&self, at: &LeaseRef) -> Option<&LeaseRole> {
        let here = &at.environment;
        let application = self.applications.get(&here.application).filter(|_| here.team.is_none())?;
        application.leases.iter().find(|it| it.environment == here.environment && it.name == at.role)
    }
}

impl Delivery {
    /// The environment whose secrets it delivers.
    #[must_use]
    pub fn at(&self) -> EnvironmentRef {
        EnvironmentRef {
            application: self.application.clone(),
            environment: self.environment.clone(),
            team: self.team.clone(),
        }
    }
}

impl Cluster {
    /// Whether it allows a team to make a Secret of this name in this namespace.
    #[must_use]
    pub fn allows(&self, namespace: &Name, team: &Name, secret: &str) -> bool {
        self.namespaces.iter().any(|it| it.name == *namespace && it.allows(team, secret))
    }
}

impl Namespace {
    fn allows(&self, team: &Name, secret: &str) -> bool {
        self.teams.contains(team)
            && (self.secret_names.is_empty() || self.secret_names.iter().any(|glob| fits(glob, secret)))
    }
}

pub(super) fn listed<T: ToString>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
