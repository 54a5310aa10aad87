//! What the entry about a forgotten person says: which fields of which entries have no opening any more,
//! and by which pseudonym she goes on. An opening may be gone only where such an entry names it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Draft,
    opened::{Opened, entry_altered},
};
use crate::base::{Problem, Result};

/// What the entry about forgotten openings is called.
pub const FORGOT: &str = "log.forgot";
/// What every pseudonym begins with; no id of a person does.
pub const PSEUDONYM: &str = "per_forgotten_";

/// Indices in growing order, as text `3,7-9`: whoever did much in a row is named briefly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Spans(Vec<(u64, u64)>);

impl Spans {
    /// Takes in an index that is larger than all before it; one that is not is not taken in.
    pub fn push(&mut self, index: u64) {
        match self.0.last_mut() {
            Some((_, end)) if index == *end + 1 => *end = index,
            Some((_, end)) if index <= *end => {}
            _ => self.0.push((index, index)),
        }
    }

    /// With all from `first` to before `end` besides, wherever they stand.
    #[must_use]
    pub fn with(mut self, first: u64, end: u64) -> Self {
        let Some(mut last) = end.checked_sub(1).filter(|last| *last >= first) else { return self };
        let mut low = first;
        // Those that it meets or touches become one with it.
        self.0.retain(|(from, to)| {
            let meets = *from <= last.saturating_add(1) && low <= to.saturating_add(1);
            if meets {
                (low, last) = (low.min(*from), last.max(*to));
            }
            !meets
        });
        let at = self.0.partition_point(|(from, _)| *from < low);
        self.0.insert(at, (low, last));
        self
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first index of these that `others` lacks.
    #[must_use]
    pub fn first_beyond(&self, others: &Self) -> Option<u64> {
        let lacks = |(first, last): &(u64, u64)| {
            let after = others.0.partition_point(|(start, _)| start <= first);
            let end = after.checked_sub(1).map(|at| others.0[at].1).filter(|end| end >= first);
            match end {
                None => Some(*first),
                Some(end) if end < *last => Some(end + 1),
                Some(_) => None,
            }
        };
        self.0.iter().find_map(lacks)
    }

    fn first(&self) -> u64 {
        self.0.first().map_or(0, |(first, _)| *first)
    }
}

impl From<Spans> for String {
    fn from(spans: Spans) -> Self {
        let one = |(first, last): &(u64, u64)| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        };
        spans.0.iter().map(one).collect::<Vec<_>>().join(",")
    }
}

impl TryFrom<String> for Spans {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut spans: Vec<(u64, u64)> = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.parse::<u64>().map_err(|_| format!("'{part}' is no span"));
            let (first, last) = (number(first)?, number(last)?);
            if last < first || spans.last().is_some_and(|(_, end)| first <= *end) {
                return Err("the spans do not grow".to_owned());
            }
            spans.push((first, last));
        }
        Ok(Self(spans))
    }
}

/// What one entry says was forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// What she is called from now on.
    pub pseudonym: String,
    /// By field, in which entries.
    pub fields: BTreeMap<String, Spans>,
}

impl Forgotten {
    /// The entry that says it.
    pub(super) fn draft(&self, reason: &str) -> Result<Draft> {
        let said = serde_json::to_value(self).map_err(|e| Problem::internal(e.to_string()))?;
        let Value::Object(said) = said else {
            return Err(Problem::internal("what was forgotten is no object"));
        };
        let draft = Draft::act(FORGOT).resource(&self.pseudonym).reason(reason);
        Ok(said.into_iter().fold(draft, |draft, (name, value)| draft.with(&name, value)))
    }

    /// What an entry says, where it is of this kind and its payload is there.
    #[must_use]
    pub fn said_by(opened: &Opened) -> Option<Self> {
        if opened.leaf.action != FORGOT {
            return None;
        }
        let payload: Map<String, Value> = opened.payload().ok()?;
        serde_json::from_value(Value::Object(payload)).ok()
    }
}

/// What entries claim of later ones: that those name what they lack. Memory is bounded by what was
/// forgotten, a few numbers for each run of entries.
#[derive(Default)]
pub(super) struct Claims(BTreeMap<u64, Claim>);

#[derive(Default)]
struct Claim {
    fields: BTreeMap<String, Spans>,
    /// Search columns that hold a pseudonym instead, with the entry.
    instead: BTreeMap<String, u64>,
}

impl Claims {
    /// An entry lacks openings. `columns` are what its search columns hold instead, by field.
    pub(super) fn claim(&mut self, index: u64, opened: &Opened, columns: &[(&str, Option<&str>)]) {
        for (field, by) in &opened.forgotten {
            let claim = self.0.entry(*by).or_default();
            claim.fields.entry(field.clone()).or_default().push(index);
            if let Some((_, Some(instead))) = columns.iter().find(|(name, _)| name == field) {
                claim.instead.entry((*instead).to_owned()).or_insert(index);
            }
        }
    }

    /// Entries of which something was claimed that they were not heard of yet, the lowest first.
    pub(super) fn pending(&self) -> Vec<u64> {
        self.0.keys().copied().collect()
    }

    /// Holds what was claimed of the entry `by` against what it says.
    ///
    /// # Errors
    /// `log-altered` with the first entry that it does not name.
    pub(super) fn hear(&mut self, by: u64, opened: &Opened) -> Result<()> {
        let Some(claim) = self.0.remove(&by) else { return Ok(()) };
        let Some(said) = Forgotten::said_by(opened) else { return Err(claim.unsaid(by)) };
        for (field, claimed) in &claim.fields {
            let beyond = match said.fields.get(field) {
                Some(named) => claimed.first_beyond(named),
                None => Some(claimed.first()),
            };
            if let Some(index) = beyond {
                return Err(not_named(index, field, by));
            }
        }
        match claim.instead.iter().find(|(instead, _)| **instead != said.pseudonym) {
            None => Ok(()),
            Some((_, index)) => {
                Err(entry_altered(*index, &format!("it goes by another pseudonym than entry {by} gave it")))
            }
        }
    }

    /// After the last entry: every claim was heard.
    ///
    /// # Errors
    /// `log-altered` with the first entry of one that was not.
    pub(super) fn end(&self) -> Result<()> {
        self.0.iter().next().map_or(Ok(()), |(by, claim)| Err(claim.unsaid(*by)))
    }
}

impl Claim {
    fn unsaid(&self, by: u64) -> crate::base::Problem {
        let (field, spans) = self.fields.iter().next().map_or(("", 0), |(field, it)| (field, it.first()));
        not_named(spans, field, by)
    }
}

fn not_named(index: u64, field: &str, by: u64) -> crate::base::Problem {
    let field = field.escape_debug();
    entry_altered(index, &format!("entry {by} does not say that its opening of '{field}' was forgotten"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn spans_hold_exactly_what_was_pushed(indices: std::collections::BTreeSet<u8>, others: std::collections::BTreeSet<u8>) {
            let spans = |all: &std::collections::BTreeSet<u8>| {
                let mut spans = Spans::default();
                for index in all {
                    spans.push(u64::from(*index));
                }
                spans
            };
            let (one, other) = (spans(&indices), spans(&others));
            let expected = indices.difference(&others).next().map(|index| u64::from(*index));
            prop_assert_eq!(one.first_beyond(&other), expected);
            let one_by_one = indices.iter().fold(Spans::default(), |spans, index| {
                spans.with(u64::from(*index), u64::from(*index) + 1)
            });
            prop_assert_eq!(&one_by_one, &one);
            let (low, high) = (indices.first().copied().unwrap_or(0), others.last().copied().unwrap_or(0));
            let between: std::collections::BTreeSet<u8> = others.iter().copied().chain(low..high).collect();
            prop_assert_eq!(other.clone().with(u64::from(low), u64::from(high)), spans(&between));
            if !indices.is_empty() {
                prop_assert_eq!(Spans::try_from(String::from(one.clone())), Ok(one));
            }
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in ["", "x", "3-2", "5,4", "1,1", "1-", "-1", "1,,2"] {
            assert!(Spans::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
