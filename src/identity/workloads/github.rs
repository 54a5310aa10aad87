//! The subject of a job of GitHub's. It has two forms: `repo:OWNER/NAME:REST`, which whoever takes over a name
//! takes over with it, and `repo:OWNER@ID/NAME@ID:REST`. Which one a repository's jobs have is set there, so a
//! pin in either form fits a token in either, as long as ids that stand in it are those of the token.

use std::collections::BTreeMap;

/// A subject, taken apart.
#[derive(PartialEq, Eq)]
struct Subject<'t> {
    owner: &'t str,
    owner_id: Option<&'t str>,
    repository: &'t str,
    repository_id: Option<&'t str>,
    rest: &'t str,
}

/// Whether the subject of a pin and the one of a token mean the same job.
pub(super) fn is_same_subject(pin: &str, said: &str, claims: &BTreeMap<String, String>) -> bool {
    let (Some(pin_parts), Some(said_parts)) = (parse(pin), parse(said)) else { return pin == said };
    let is_own = |it: &Subject<'_>| {
        let fits = |id: Option<&str>, claim: &str| {
            id.is_none_or(|id| claims.get(claim).is_some_and(|said| said == id))
        };
        fits(it.owner_id, "repository_owner_id") && fits(it.repository_id, "repository_id")
    };
    let plain = |it: &Subject<'_>| (it.owner.to_owned(), it.repository.to_owned(), it.rest.to_owned());
    plain(&pin_parts) == plain(&said_parts) && is_own(&pin_parts) && is_own(&said_parts)
}

fn parse(text: &str) -> Option<Subject<'_>> {
    let (repository, rest) = text.strip_prefix("repo:")?.split_once(':')?;
    let (owner, repository) = repository.split_once('/')?;
    let (owner, owner_id) = with_id(owner);
    let (repository, repository_id) = with_id(repository);
    Some(Subject { owner, owner_id, repository, repository_id, rest })
}

/// A name and its id; what is no number after an `@` belongs to the name.
fn with_id(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once('@') {
        Some((name, id)) if !id.is_empty() && id.bytes().all(|it| it.is_ascii_digit()) => (name, Some(id)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "repo:supa/reports:ref:refs/heads/main";
    const WITH_IDS: &str = "repo:supa@11/reports@22:ref:refs/heads/main";

    fn same(pin: &str, said: &str) -> bool {
        let claims = [("repository_owner_id", "11"), ("repository_id", "22")];
        let claims = claims.iter().map(|(claim, id)| ((*claim).to_owned(), (*id).to_owned())).collect();
        is_same_subject(pin, said, &claims)
    }

    #[test]
    fn both_forms_mean_the_same() {
        for pin in [PLAIN, WITH_IDS] {
            for said in [PLAIN, WITH_IDS] {
                assert!(same(pin, said), "{pin}, {said}");
            }
        }
    }

    #[test]
    fn another_id_name_or_rest_is_another_job() {
        for other in [
            "repo:supa@12/reports@22:ref:refs/heads/main",
            "repo:supa@11/reports@23:ref:refs/heads/main",
            "repo:other/reports:ref:refs/heads/main",
            "repo:supa/reports:pull_request",
            "repo:supa/reports:ref:refs/heads/main:x",
            "repo:supa/reports",
        ] {
            assert!(!same(PLAIN, other) && !same(WITH_IDS, other), "{other}");
            assert!(!same(other, PLAIN) && !same(other, WITH_IDS), "{other}");
        }
    }

    #[test]
    fn a_subject_of_an_own_form_is_compared_as_it_is() {
        assert!(same("environment:production", "environment:production"));
        assert!(!same("environment:production", "environment:staging"));
    }

    proptest::proptest! {
        /// Whatever stands in a pin and in a token: they mean the same only where owner, name and what follows
        /// do, ids aside.
        #[test]
        fn what_is_the_same_reads_the_same(
            pin in "repo:[ab@12]{1,4}/[ab@12]{1,4}:[a:]{0,2}",
            said in "repo:[ab@12]{1,4}/[ab@12]{1,4}:[a:]{0,2}",
        ) {
            let plain = |text: &str| parse(text).map(|it| format!("{}/{}:{}", it.owner, it.repository, it.rest));
            if same(&pin, &said) {
                proptest::prop_assert_eq!(plain(&pin), plain(&said));
            }
            proptest::prop_assert_eq!(same(&pin, &said), same(&said, &pin));
        }
    }
}
