//! From verified claims to what we hold of a person.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use url::Url;

use crate::{
    base::{Problem, ProblemKind, Result, config::ProviderConfig},
    identity::display::{LONGEST_NAME, owned_address, shown},
};

/// How many groups are taken at most.
const MOST_GROUPS: usize = 1000;
/// Issuers on these hosts are Microsoft Entra's.
const ENTRA_HOSTS: [&str; 3] =
    ["login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn"];

/// What verified claims say of a person.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) subject: String,
    pub(super) display_name: String,
    pub(super) email: Option<String>,
    pub(super) groups: BTreeSet<String>,
}

/// Reads them.
pub(super) fn read(claims: &Map<String, Value>, config: &ProviderConfig) -> Result<Said> {
    let subject = subject(claims, config)?;
    let display_name = [config.name_claim.as_str(), "name", "preferred_username"]
        .into_iter()
        .find_map(|claim| text(claims, claim).map(shown).filter(|name| !name.is_empty()))
        .unwrap_or_else(|| shown(&subject));
    Ok(Said { display_name, email: email(claims, config), groups: groups(claims, config)?, subject })
}

fn text<'a>(claims: &'a Map<String, Value>, claim: &str) -> Option<&'a str> {
    claims.get(claim).and_then(Value::as_str)
}

fn fault(config: &ProviderConfig, what: &str) -> Problem {
    Problem::new(ProblemKind::ProviderFault, format!("the identity provider {} {what}", config.name))
        .remedy("Ask whoever runs it.")
}

/// The account: `sub`, at Entra the object id, which is the same for all applications of a tenant.
fn subject(claims: &Map<String, Value>, config: &ProviderConfig) -> Result<String> {
    let sub = text(claims, "sub").filter(|sub| !sub.is_empty() && sub.len() <= 255);
    let sub = sub.ok_or_else(|| fault(config, "names no subject"))?;
    let Some(tenant) = entra_tenant(&config.issuer) else { return Ok(sub.to_owned()) };
    if text(claims, "tid") != Some(tenant.as_str()) {
        return Err(fault(config, "speaks of another tenant"));
    }
    let oid = text(claims, "oid").filter(|oid| !oid.is_empty() && oid.len() <= 255);
    oid.map(|oid| format!("oid:{oid}")).ok_or_else(|| fault(config, "names no object id"))
}

/// Whether this is an issuer of Microsoft Entra.
pub(in crate::identity) fn is_entra(issuer: &str) -> bool {
    entra_tenant(issuer).is_some()
}

fn entra_tenant(issuer: &str) -> Option<String> {
    let url: Url = issuer.parse().ok()?;
    ENTRA_HOSTS.contains(&url.host_str()?).then(|| url.path_segments()?.next().map(str::to_owned)).flatten()
}

/// An e-mail address is kept where the provider may speak for its domain and has verified it. At Entra
/// that is the user principal name, whose domain the tenant has proved; anybody may write `email` there.
fn email(claims: &Map<String, Value>, config: &ProviderConfig) -> Option<String> {
    let address = if entra_tenant(&config.issuer).is_some() {
        text(claims, "preferred_username")?
    } else {
        let verified = claims.get("email_verified")?;
        if verified.as_bool() != Some(true) && verified.as_str() != Some("true") {
            return None;
        }
        text(claims, "email")?
    };
    owned_address(address, &config.email_domains)
}

/// All groups. A provider that says that it has left some out has said nothing: neither "none" nor "as
/// before" would be true.
fn groups(claims: &Map<String, Value>, config: &ProviderConfig) -> Result<BTreeSet<String>> {
    let claim = config.groups_claim.as_str();
    let elsewhere = claims.get("_claim_names").and_then(|names| names.get(claim)).is_some();
    let has_groups = claims.get("hasgroups").is_some_and(|has| has.as_bool() == Some(true) || has == "true");
    if elsewhere || has_groups {
        return Err(Problem::new(
            ProblemKind::SignInRefused,
            format!(
                "{} did not send your groups, because you are in more of them than fit into a token",
                config.name
            ),
        )
        .remedy(
            "Ask whoever runs it to send only the groups that are assigned to this application, or to use SCIM.",
        ));
    }
    let said = match claims.get(claim) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(group)) => vec![group.clone()],
        Some(Value::Array(groups)) => groups
            .iter()
            .map(|group| group.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| fault(config, "sends groups that are no text"))?,
        Some(_) => return Err(fault(config, "sends groups that are no list")),
    };
    let fits = |group: &String| {
        !group.is_empty() && group.chars().count() <= LONGEST_NAME && !group.chars().any(char::is_control)
    };
    if said.len() > MOST_GROUPS || !said.iter().all(fits) {
        return Err(fault(config, "sends more groups than are taken, or one without a proper name"));
    }
    Ok(said.into_iter().collect())
}
