//! The least that Port Control has to be allowed in Vault, as a policy and as what is checked.

use std::fmt::Write;

use super::{
    lease::token_role,
    place::{checked, trim},
};
use crate::{base::Result, secrets::leases::EngineRole};

/// A place that somebody else made and that a file declares.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForeignPath {
    /// The KV v2 mount.
    pub mount: String,
    /// The path below it.
    pub path: String,
    /// Whether its fields may be changed here, not only read.
    pub writable: bool,
}

/// One path and what is done there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) path: String,
    pub(super) capabilities: &'static [&'static str],
}

/// What is done below the mount of our own secrets.
pub(super) const OURS: &[(&str, &[&str])] = &[
    ("data", &["create", "read", "update"]),
    ("metadata", &["create", "read", "update"]),
    ("delete", &["update"]),
    ("undelete", &["update"]),
    ("destroy", &["update"]),
];

/// What is done with our own token. Vault's policy `default` has it too, but a role may go without.
pub(super) const TOKEN: &[(&str, &[&str])] = &[
    ("auth/token/lookup-self", &["read"]),
    ("auth/token/renew-self", &["update"]),
    ("sys/capabilities-self", &["update"]),
];

/// Everything that is needed, with `*` for every secret of ours.
pub(super) fn needs(mount: &str, foreign: &[ForeignPath]) -> Result<Vec<Need>> {
    let mount = checked("mount", mount)?;
    let need = |path: String, capabilities| Need { path, capabilities };
    let mut needs: Vec<Need> =
        OURS.iter().map(|(part, can)| need(format!("{mount}/{part}/*"), can)).collect();
    for place in merged(foreign) {
        let (at, path) = (checked("mount", &place.mount)?, checked("path", &place.path)?);
        let data: &[&str] = if place.writable { &["patch", "read"] } else { &["read"] };
        needs.push(need(format!("{at}/data/{path}"), data));
        needs.push(need(format!("{at}/metadata/{path}"), &["read"]));
    }
    needs.extend(TOKEN.iter().map(|(path, can)| need((*path).to_owned(), can)));
    Ok(needs)
}

/// What is done to issue, renew and take back leases, beside that: under tokens of a role of their own.
pub(super) fn lease_needs(mount: &str) -> Result<Vec<Need>> {
    let mount = checked("mount", mount)?;
    let need = |path: String, capabilities| Need { path, capabilities };
    Ok(vec![
        need(format!("auth/token/create/{}", token_role(&mount)), &["create", "update"]),
        need("auth/token/renew-accessor".to_owned(), &["update"]),
        need("auth/token/revoke-accessor".to_owned(), &["update"]),
        need("sys/leases/renew".to_owned(), &["update"]),
        need("sys/leases/revoke".to_owned(), &["update"]),
    ])
}

/// What a token may under which a lease is issued: read the credentials of these roles.
pub(super) fn role_needs(roles: &[EngineRole]) -> Result<Vec<Need>> {
    let path = |it: &EngineRole| {
        Ok(format!("{}/creds/{}", checked("mount", &it.mount)?, checked("role", &it.role)?))
    };
    let mut paths: Vec<String> = roles.iter().map(path).collect::<Result<_>>()?;
    paths.sort();
    paths.dedup();
    Ok(paths.into_iter().map(|path| Need { path, capabilities: &["read"] }).collect())
}

/// What is done to static roles that give secrets their new values.
pub(super) fn static_role_needs(roles: &[EngineRole]) -> Result<Vec<Need>> {
    let mut needs = Vec::new();
    for role in roles {
        let (mount, name) = (checked("mount", &role.mount)?, checked("role", &role.role)?);
        needs.push(Need { path: format!("{mount}/static-creds/{name}"), capabilities: &["read"] });
        needs.push(Need { path: format!("{mount}/rotate-role/{name}"), capabilities: &["update"] });
    }
    Ok(needs)
}

/// Several secrets may be fields of one path.
fn merged(foreign: &[ForeignPath]) -> Vec<ForeignPath> {
    let mut places: Vec<ForeignPath> = Vec::new();
    for place in foreign {
        let same = |it: &&mut ForeignPath| {
            trim(&it.mount) == trim(&place.mount) && trim(&it.path) == trim(&place.path)
        };
        match places.iter_mut().find(same) {
            Some(known) => known.writable |= place.writable,
            None => places.push(place.clone()),
        }
    }
    places.sort();
    places
}

/// The policy, in HCL, for `vault policy write port-control -`. `mount` is that of our own secrets.
///
/// # Errors
/// `invalid-request` for a mount or path that a policy would read as something else.
pub fn least_policy(mount: &str, foreign: &[ForeignPath]) -> Result<String> {
    Ok(hcl("# What Port Control needs in Vault or OpenBao, and nothing more.\n", &needs(mount, foreign)?))
}

/// What that policy lacks for leases, and how the role is made whose tokens they are issued under. Nothing where
/// no file declares a role.
///
/// # Errors
/// As [`least_policy`].
pub fn lease_addition(mount: &str, roles: &[EngineRole]) -> Result<String> {
    if roles.is_empty() {
        return Ok(String::new());
    }
    let name = token_role(mount);
    let head = format!(
        "\n# Leases are issued under tokens of a role of their own, which read credentials and do nothing else:\n\
         #   port-control vault-policy --leases --config FILE | vault policy write {name} -\n\
         #   vault write auth/token/roles/{name} allowed_policies={name} orphan=true renewable=true \\\n\
         #     token_type=service token_no_default_policy=true\n"
    );
    Ok(hcl(&head, &lease_needs(mount)?))
}

/// The policy of the tokens under which leases are issued.
///
/// # Errors
/// As [`least_policy`].
pub fn lease_policy(roles: &[EngineRole]) -> Result<String> {
    let mut needs = role_needs(roles)?;
    // So that `port-control check` can see that the rest is there.
    needs.push(Need { path: "sys/capabilities-self".to_owned(), capabilities: &["update"] });
    Ok(hcl("# What a token may under which Port Control issues a lease, and nothing more.\n", &needs))
}

/// What the server's own policy has to have besides, where static roles make new values of secrets; empty
/// where none do.
///
/// # Errors
/// As [`least_policy`].
pub fn static_role_addition(roles: &[EngineRole]) -> Result<String> {
    let needs = static_role_needs(roles)?;
    if needs.is_empty() {
        return Ok(String::new());
    }
    Ok(hcl("\n# Static roles give secrets their new values.\n", &needs))
}

fn hcl(head: &str, needs: &[Need]) -> String {
    let mut text = head.to_owned();
    for need in needs {
        let capabilities = need.capabilities.join("\", \"");
        let _ = writeln!(text, "\npath \"{}\" {{\n  capabilities = [\"{capabilities}\"]\n}}", need.path);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(path: &str, writable: bool) -> ForeignPath {
        ForeignPath { mount: "legacy".to_owned(), path: path.to_owned(), writable }
    }

    #[test]
    fn the_policy_names_the_paths_and_nothing_else() {
        let text = least_policy("port-control/", &[]).unwrap();
        let paths: Vec<&str> = text.lines().filter(|line| line.starts_with("path")).collect();
        assert_eq!(
            paths,
            [
                r#"path "port-control/data/*" {"#,
                r#"path "port-control/metadata/*" {"#,
                r#"path "port-control/delete/*" {"#,
                r#"path "port-control/undelete/*" {"#,
                r#"path "port-control/destroy/*" {"#,
                r#"path "auth/token/lookup-self" {"#,
                r#"path "auth/token/renew-self" {"#,
                r#"path "sys/capabilities-self" {"#,
            ]
        );
        for beyond in ["sudo", "list", "\"delete\"", "patch", "deny"] {
            assert!(!text.contains(beyond), "{beyond}");
        }
    }

    #[test]
    fn a_foreign_place_may_be_changed_only_where_that_is_declared() {
        let text = least_policy("kv", &[foreign("team/db", true), foreign("team/mail", false)]).unwrap();
        let expected = r#"
path "legacy/data/team/db" {
  capabilities = ["patch", "read"]
}

path "legacy/metadata/team/db" {
  capabilities = ["read"]
}

path "legacy/data/team/mail" {
  capabilities = ["read"]
}
"#;
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn two_fields_of_one_place_are_one_path() {
        let text = least_policy("kv", &[foreign("/team/db", false), foreign("team/db", true)]).unwrap();
        assert_eq!(text.matches("legacy/data/team/db").count(), 1);
        assert!(text.contains("patch"));
    }

    fn role(mount: &str, role: &str) -> EngineRole {
        EngineRole { mount: mount.to_owned(), role: role.to_owned() }
    }

    #[test]
    fn leases_add_what_issues_and_takes_back_and_their_tokens_read_roles_alone() {
        let roles = [role("database", "reader"), role("database", "owner"), role("database", "reader")];
        let addition = lease_addition("port-control", &roles).unwrap();
        assert!(addition.contains(r#"path "auth/token/create/port-control-lease" {"#), "{addition}");
        assert!(!addition.contains("creds"), "{addition}");
        let paths = |text: &str| text.lines().filter(|line| line.starts_with("path")).count();
        assert_eq!(paths(&addition), 5);
        let policy = lease_policy(&roles).unwrap();
        assert!(policy.contains(r#"path "database/creds/owner" {"#) && paths(&policy) == 3, "{policy}");
        assert_eq!(lease_addition("port-control", &[]).unwrap(), "");
    }

    #[test]
    fn abuse_35_a_role_that_is_a_pattern_is_no_policy() {
        for bad in ["*", "reader*", "+", "../sys", "a\" { capabilities = [\"sudo\"] }"] {
            assert!(lease_policy(&[role("database", bad)]).is_err(), "{bad}");
            assert!(lease_policy(&[role(bad, "reader")]).is_err(), "{bad}");
        }
    }

    #[test]
    fn abuse_35_a_place_that_is_a_pattern_is_no_policy() {
        for bad in
            ["*", "team/*", "+/db", "a\" { capabilities = [\"sudo\"] }", "{{identity.entity.id}}", "../sys"]
        {
            assert!(least_policy("kv", &[foreign(bad, false)]).is_err(), "{bad}");
            assert!(least_policy(bad, &[]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_static_role_may_be_read_and_rotated_and_no_other() {
        let role = |role: &str| EngineRole { mount: "database".to_owned(), role: role.to_owned() };
        let addition = static_role_addition(&[role("reports")]).unwrap();
        for (path, can) in [("static-creds", "read"), ("rotate-role", "update")] {
            let expected = format!("path \"database/{path}/reports\" {{\n  capabilities = [\"{can}\"]\n}}");
            assert!(addition.contains(&expected), "{addition}");
        }
        assert_eq!(static_role_addition(&[]).unwrap(), "");
        assert!(static_role_addition(&[role("*")]).is_err());
    }
}
