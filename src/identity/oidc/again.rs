//! Asking a provider again, by refresh token, whether a sign-in still stands and what is true of its person.

use super::{
    Providers, REFRESH_TOKEN,
    provider::{Awaited, Renewal},
};
use crate::{
    base::{Problem, Result, SecretValue},
    identity::{Assertion, Identity},
};

/// A sign-in that a provider is asked about.
pub(in crate::identity) struct AskedAbout {
    /// The provider's name.
    pub(in crate::identity) provider: String,
    /// Whose: the account.
    pub(in crate::identity) issuer: String,
    /// Whose: the account.
    pub(in crate::identity) subject: String,
    /// The sealed refresh token.
    pub(in crate::identity) sealed: Vec<u8>,
}

/// What a provider said.
pub(in crate::identity) enum Said {
    /// The sign-in stands; what is true of its person, where that was said, and the sealed token that it is
    /// asked by next, where that is another.
    Stands(Option<Box<Assertion>>, Option<Vec<u8>>),
    /// Something that is not to be believed, and the sealed token that it is asked by next, where that is another.
    Nonsense(Problem, Option<Vec<u8>>),
    /// It does not.
    Refused,
}

impl Providers {
    /// Whether any of them is asked again.
    pub(in crate::identity) fn are_asked_again(&self) -> bool {
        self.0.iter().any(|provider| provider.config.revalidate)
    }

    /// Reads anew what the providers say of themselves, where that runs out soon.
    pub(in crate::identity) async fn keep_fresh(&self) {
        futures::future::join_all(self.0.iter().map(super::provider::Provider::keep_fresh)).await;
    }
}

impl Identity {
    /// Seals a refresh token for the account that it is of.
    pub(in crate::identity) fn seal_refresh_token(
        &self,
        issuer: &str,
        subject: &str,
        token: &SecretValue,
    ) -> Vec<u8> {
        self.keys.seal(REFRESH_TOKEN, account(issuer, subject).as_bytes(), token.expose())
    }

    /// Asks the provider.
    ///
    /// # Errors
    /// Where it says neither yes nor no: then nothing is known that was not known before.
    pub(in crate::identity) async fn renewed(&self, about: &AskedAbout) -> Result<Said> {
        let provider = self.providers.get(&about.provider)?;
        let aad = account(&about.issuer, &about.subject);
        let token = self.keys.unseal(REFRESH_TOKEN, aad.as_bytes(), &about.sealed)?;
        let (tokens, next) = match provider.renew(&SecretValue::new(token.to_vec())).await? {
            Renewal::Refused => return Ok(Said::Refused),
            Renewal::Stands(tokens, next) => (tokens, next),
        };
        let next = next.map(|token| self.seal_refresh_token(&about.issuer, &about.subject, &token));
        let Some(tokens) = tokens else { return Ok(Said::Stands(None, next)) };
        // The new token is kept whatever is wrong with what came beside it: the old one may be used up.
        Ok(match self.said_of(provider, &tokens, about).await {
            Ok(said) => Said::Stands(Some(Box::new(said)), next),
            Err(problem) => Said::Nonsense(problem, next),
        })
    }

    async fn said_of(
        &self,
        provider: &super::provider::Provider,
        tokens: &super::provider::Tokens,
        about: &AskedAbout,
    ) -> Result<Assertion> {
        let awaited = Awaited { nonce: None, max_age: None, acr_values: &[] };
        let claims = provider.believe(tokens, &awaited).await?;
        provider.check_class(&claims)?;
        let assertion = self.assertion(provider, &claims, "")?;
        if (assertion.issuer.as_str(), assertion.subject.as_str()) == (&*about.issuer, &*about.subject) {
            return Ok(assertion);
        }
        Err(Problem::internal("it speaks of somebody else than was asked about"))
    }
}

/// What a refresh token is bound to, so that one row's cannot be used for another's.
fn account(issuer: &str, subject: &str) -> String {
    format!("{issuer} {subject}")
}
