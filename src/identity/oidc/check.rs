//! Trying a provider's configuration, and saying what is wrong with it: what would keep people from signing
//! in, and what would only keep something from working.

use std::time::Duration;

use http::{HeaderMap, header};
use openidconnect::core::{CoreJsonWebKeySet, CoreJwsSigningAlgorithm};
use serde_json::Value;
use url::Url;

use super::{
    provider::{OFFLINE, Provider},
    verify::{ALGORITHMS, SKEW},
};
use crate::{
    base::{Name, Problem, ProblemKind, Timestamp},
    identity::Identity,
};

/// Something that is wrong with a provider's configuration, or with the provider.
#[derive(Clone, Debug)]
pub struct ProviderFinding {
    /// Whether nobody could sign in by it.
    pub fails: bool,
    /// What, and what to do.
    pub problem: Problem,
}

/// What a provider says of itself, and what is to be said of that.
struct Look<'p> {
    provider: &'p Provider,
    said: Value,
    found: Vec<ProviderFinding>,
}

impl Identity {
    /// Tries every provider: what is wrong with each.
    pub async fn check_providers(&self) -> Vec<(Name, Vec<ProviderFinding>)> {
        let looks = self.providers.0.iter().map(|it| async { (it.config.name.clone(), it.check().await) });
        futures::future::join_all(looks).await
    }
}

impl Provider {
    async fn check(&self) -> Vec<ProviderFinding> {
        let address =
            format!("{}/.well-known/openid-configuration", self.config.issuer.trim_end_matches('/'));
        let Ok(url) = address.parse::<Url>() else { return vec![wrong("the issuer is no URL", ISSUER)] };
        let (headers, said) = match self.client().json(&url).await {
            Err(why) => return vec![wrong(&format!("{address} cannot be read: {why}"), REACH)],
            Ok((headers, 200, Some(said))) => (headers, said),
            Ok((_, status, _)) => {
                return vec![wrong(
                    &format!("{address} answers with status {status} and no document"),
                    ISSUER,
                )];
            }
        };
        let mut look = Look { provider: self, said, found: Vec::new() };
        look.issuer();
        look.endpoints();
        look.algorithms();
        look.flow();
        look.claims();
        look.sign_out();
        look.clock(&headers, self.now());
        look.keys().await;
        look.found
    }
}

const ISSUER: &str = "Write the issuer exactly as the provider does: `[[providers]] issuer`.";
const REACH: &str = "See that the address is right, that it is reached from here, and that its certificate is \
                     one that this machine believes.";

fn wrong(what: &str, remedy: &str) -> ProviderFinding {
    let problem = Problem::new(ProblemKind::ProviderFault, what).remedy(remedy);
    ProviderFinding { fails: true, problem }
}

impl Look<'_> {
    fn fails(&mut self, what: &str, remedy: &str) {
        self.found.push(wrong(what, remedy));
    }

    fn warns(&mut self, what: &str, remedy: &str) {
        self.found.push(ProviderFinding { fails: false, ..wrong(what, remedy) });
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.said.get(name).and_then(Value::as_str)
    }

    /// A list that the document has; nothing where it has none, which leaves it open.
    fn list(&self, name: &str) -> Option<Vec<String>> {
        let items = self.said.get(name)?.as_array()?;
        Some(items.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect())
    }

    fn lacks(&self, name: &str, item: &str) -> bool {
        self.list(name).is_some_and(|items| !items.iter().any(|it| it == item))
    }

    fn issuer(&mut self) {
        let wanted = self.provider.config.issuer.clone();
        match self.text("issuer").map(str::to_owned) {
            Some(issuer) if issuer == wanted => {}
            Some(issuer) => {
                let shown: String = issuer.chars().take(200).collect();
                self.fails(
                    &format!("it calls itself '{}', and the configuration '{wanted}'", shown.escape_debug()),
                    ISSUER,
                );
            }
            None => self.fails("it does not say what it is called (issuer)", ISSUER),
        }
    }

    fn endpoints(&mut self) {
        for (name, needed) in [
            ("authorization_endpoint", true),
            ("token_endpoint", true),
            ("jwks_uri", true),
            ("end_session_endpoint", false),
        ] {
            let url = self.text(name).map(str::parse::<Url>);
            let refused = match url {
                None if needed => Some("is missing".to_owned()),
                None => None,
                Some(Err(_)) => Some("is no URL".to_owned()),
                Some(Ok(url)) => self.provider.client().may_call(&url).err().map(|why| why.to_string()),
            };
            if let Some(why) = refused {
                let remedy = "Ask whoever runs it: its discovery document has to name addresses by https.";
                self.fails(&format!("{name}: {why}"), remedy);
            }
        }
    }

    fn algorithms(&mut self) {
        let name = "id_token_signing_alg_values_supported";
        let Some(offered) = self.list(name) else { return };
        let believed = |it: &String| {
            let parsed: Result<CoreJwsSigningAlgorithm, _> = serde_json::from_value(Value::from(it.as_str()));
            parsed.is_ok_and(|it| ALGORITHMS.contains(&it))
        };
        if !offered.iter().any(believed) {
            self.fails(
                &format!("it signs ID tokens by {} alone, none of which is believed", offered.join(", ")),
                "Have it sign by RS256, PS256, ES256 or EdDSA for this client.",
            );
        }
    }

    fn flow(&mut self) {
        if self.lacks("response_types_supported", "code") {
            self.fails("it does not know the authorization code flow", "Switch it on for this client.");
        }
        if self.lacks("grant_types_supported", "authorization_code") {
            self.fails("it does not exchange authorization codes", "Switch that grant on for this client.");
        }
        let methods = self.list("code_challenge_methods_supported").unwrap_or_default();
        if !methods.iter().any(|it| it == "S256") {
            self.warns(
                "it does not say that it knows PKCE by S256, so a stolen code might be worth something there",
                "Ask whoever runs it; we send the challenge in any case.",
            );
        }
        if self.provider.config.revalidate {
            self.renewal();
        }
    }

    fn renewal(&mut self) {
        if self.lacks("grant_types_supported", "refresh_token") {
            self.fails(
                "it gives no refresh tokens, and the configuration says revalidate = true",
                "Switch refresh tokens on for this client, or take `revalidate` out.",
            );
        }
        if self.lacks("scopes_supported", OFFLINE) {
            self.warns(
                "it does not know the scope offline_access, and may give no refresh token without",
                "Allow that scope for this client.",
            );
        }
    }

    fn claims(&mut self) {
        let config = &self.provider.config;
        let (groups, scopes) = (config.groups_claim.clone(), config.scopes.clone());
        let classes = [config.required_acr.clone(), config.acr.clone()].concat();
        if self.lacks("claims_supported", &groups) {
            self.warns(
                &format!("it does not list '{groups}' among its claims: people would be in no group"),
                "Have it put groups into ID tokens, or name the claim that holds them: `groups_claim`.",
            );
        }
        for scope in
            scopes.iter().filter(|it| self.lacks("scopes_supported", it)).cloned().collect::<Vec<_>>()
        {
            self.warns(
                &format!("it does not know the scope '{scope}'"),
                "Define it there, or take it out of `scopes`.",
            );
        }
        for class in
            classes.iter().filter(|it| self.lacks("acr_values_supported", it)).cloned().collect::<Vec<_>>()
        {
            self.warns(
                &format!("it does not list the authentication context class '{class}'"),
                "Spell it as the provider does, in `acr` and `required_acr`.",
            );
        }
    }

    fn sign_out(&mut self) {
        if self.text("end_session_endpoint").is_none() {
            self.warns(
                "it has no page to sign out at: whoever signs out here stays signed in there",
                "Nothing is to be done here; people sign out there by themselves.",
            );
        }
        if self.said.get("backchannel_logout_supported").and_then(Value::as_bool) != Some(true) {
            self.warns(
                "it does not tell us when somebody signs out there (back-channel logout)",
                "Where it can, have it send logout tokens to /sign-in/NAME/backchannel-logout; `revalidate` finds out, too.",
            );
        }
    }

    /// Tokens are believed by their times, so the two clocks have to agree.
    fn clock(&mut self, headers: &HeaderMap, now: Timestamp) {
        let date = headers.get(header::DATE).and_then(|it| it.to_str().ok());
        let Some(theirs) = date.and_then(|it| chrono::DateTime::parse_from_rfc2822(it).ok()) else { return };
        let theirs = Timestamp::from_millis(theirs.timestamp_millis());
        let off: Duration = now.since(theirs).max(theirs.since(now));
        // What it answers has whole seconds, and was on its way.
        if off > SKEW {
            let which = if theirs > now { "ahead of" } else { "behind" };
            self.fails(
                &format!("its clock is {} s {which} ours, and a minute is what is borne", off.as_secs()),
                "Set the clock that is wrong, by NTP.",
            );
        }
    }

    async fn keys(&mut self) {
        let Some(Ok(url)) = self.text("jwks_uri").map(str::parse::<Url>) else { return };
        let remedy = "Ask whoever runs it: its jwks_uri has to publish the keys that it signs by.";
        match self.provider.client().json(&url).await {
            Err(why) => self.fails(&format!("its keys cannot be read: {why}"), REACH),
            Ok((_, 200, Some(document))) => {
                let keys: Option<CoreJsonWebKeySet> = serde_json::from_value(document).ok();
                if keys.is_none_or(|keys| keys.keys().is_empty()) {
                    self.fails("it publishes no key that we understand", remedy);
                }
            }
            Ok((_, status, _)) => {
                self.fails(&format!("its keys cannot be read: status {status} and no document"), remedy);
            }
        }
    }
}
