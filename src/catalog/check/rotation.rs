//! How secrets get new values: what could not work.

use super::At;
use crate::catalog::{
    declare::{Application, Kind},
    rotation::{Rotation, StaticRole, Way},
};

/// Longest instructions, in bytes.
const LONGEST: usize = 4096;

impl At<'_, '_> {
    pub(super) fn rotations(&mut self, application: &Application) {
        for (index, environment) in application.environments.iter().enumerate() {
            if environment.rotate_every.is_some_and(|it| it.is_zero()) {
                self.never_young(&["environments", &index.to_string(), "rotate-every"]);
            }
        }
        for (index, rotation) in application.rotation.iter().enumerate() {
            let repeated = application.rotation[..index]
                .iter()
                .any(|it| it.environment == rotation.environment && it.secret == rotation.secret);
            self.rotation(application, &index.to_string(), rotation, repeated);
        }
    }

    fn never_young(&mut self, path: &[&str]) {
        self.wrong(path, "every value would be too old at once", "Write for example 90d.");
    }

    fn rotation(&mut self, owner: &Application, index: &str, it: &Rotation, repeated: bool) {
        if repeated {
            let path = ["rotation", index, "secret"];
            self.wrong(&path, format!("'{}' is there twice", it.secret), "Keep one of the two.");
        }
        if it.every.is_some_and(|every| every.is_zero()) {
            self.never_young(&["rotation", index, "every"]);
        }
        let path = ["rotation", index, "environment"];
        match it.way() {
            Some(Way::StaticRole(role)) => {
                self.shared_environment(owner, &path, &it.environment);
                self.static_role(owner, index, it, role);
            }
            Some(Way::Ci(job)) => {
                self.own_environment(owner, &path, &it.environment);
                self.refers(&["rotation", index, "by", "ci", "workload"], Kind::Workload, &job.workload);
            }
            _ => self.own_environment(owner, &path, &it.environment),
        }
        self.one_way(index, it);
    }

    fn one_way(&mut self, index: &str, it: &Rotation) {
        let Some(by) = &it.by else { return };
        if by.count() != 1 {
            self.wrong(
                &["rotation", index, "by"],
                format!("new values are made in one way, and there are {}", by.count()),
                "Write one of: vault-static-role, webhook, ci, hand.",
            );
        }
        let instructions = by.way().and_then(|way| way.instructions().map(str::len));
        if instructions.is_some_and(|length| length == 0 || length > LONGEST) {
            self.wrong(
                &["rotation", index, "by"],
                format!("instructions are 1 to {LONGEST} bytes long"),
                "Write what to do, or where that is written.",
            );
        }
    }

    fn static_role(&mut self, owner: &Application, index: &str, it: &Rotation, role: &StaticRole) {
        let path = ["rotation", index, "by", "vault-static-role"];
        let plain = super::applications::is_plain(&role.mount, true)
            && role.roles().all(|name| super::applications::is_plain(name, false));
        if !plain {
            self.wrong(&path, "this is no role of an engine", "Write mount and role as Vault lists them.");
        }
        if role.other_role.as_ref() == Some(&role.role) {
            self.wrong(&path, "a role cannot take turns with itself", "Name a second role.");
        }
        if !role.holds_password() {
            self.wrong(&path, "the template has no password in it", "Write {password} where it goes.");
        }
        let external = owner.secrets.iter().find(|x| x.environment == it.environment && x.name == it.secret);
        if external.is_some_and(|external| !external.writable) {
            self.wrong(
                &path,
                format!("'{}' lives elsewhere and may not be changed from here", it.secret),
                "Declare it `writable: true`, or take the rotator out.",
            );
        }
    }
}
