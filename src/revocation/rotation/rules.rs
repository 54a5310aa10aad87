//! What trust scopes want of values that leavers came to know under them.

use crate::{
    catalog::Snapshot,
    policy::{AfterLeaving, ScopeRotation},
};

/// The scopes under which knowing a value asks for less than the usual, as arguments of queries: names
/// with a comma around each, so that `LIKE '%,' || scope || ',%'` finds one.
pub(in crate::revocation) struct Lenient {
    /// Those under which it opens no task.
    pub(in crate::revocation) ignoring: String,
    /// Those, and those under which a task holds nobody up.
    pub(in crate::revocation) not_requiring: String,
}

impl Lenient {
    /// By what files declare now.
    pub(in crate::revocation) fn of(declared: &Snapshot) -> Self {
        let names = |below: AfterLeaving| {
            let fit = declared.scopes.iter().filter(|it| it.rotation.after_leaving < below);
            fit.fold(",".to_owned(), |all, it| all + it.name.as_str() + ",")
        };
        Self { ignoring: names(AfterLeaving::Suggests), not_requiring: names(AfterLeaving::Requires) }
    }
}

/// The rule of a scope; the usual one for knowledge under none, or under one that is gone.
pub(super) fn rule_of(declared: &Snapshot, scope: Option<&str>) -> ScopeRotation {
    let found = scope.and_then(|name| declared.scopes.iter().find(|it| it.name.as_str() == name));
    found.map_or_else(ScopeRotation::default, |it| it.rotation)
}

/// The strictest of several rules: what follows, and by when among those that say so.
pub(super) fn strictest(rules: impl IntoIterator<Item = ScopeRotation>) -> ScopeRotation {
    let stricter = |a: ScopeRotation, b: ScopeRotation| {
        let key = |it: &ScopeRotation| (it.after_leaving, std::cmp::Reverse(it.within));
        if key(&b) > key(&a) { b } else { a }
    };
    rules.into_iter().reduce(stricter).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rule(after_leaving: AfterLeaving, hours: u64) -> ScopeRotation {
        ScopeRotation { after_leaving, within: Duration::from_hours(hours) }
    }

    #[test]
    fn the_strictest_rule_counts_and_the_soonest_of_those() {
        use AfterLeaving::{Ignores, Requires, Suggests};
        let all = [rule(Suggests, 1), rule(Requires, 9), rule(Ignores, 2), rule(Requires, 5)];
        assert_eq!(strictest(all), rule(Requires, 5));
        assert_eq!(strictest(all.into_iter().rev()), rule(Requires, 5));
        assert_eq!(strictest([rule(Ignores, 2), rule(Suggests, 8)]), rule(Suggests, 8));
        assert_eq!(strictest([]), ScopeRotation::default(), "knowing it under no scope at all");
    }
}
