//! Reading leaves while verifying, of which there are many: one that is spelled plainly is looked over where
//! it lies, without being taken apart.

use crate::audit::opened::LeafV1;

/// The time of a leaf that is spelled as it has to be.
///
/// # Errors
/// Says what is wrong with it.
pub(super) fn time_of(leaf: &[u8]) -> Result<i64, String> {
    match plain(leaf) {
        Some(time) => Ok(time),
        None => LeafV1::read(leaf).map(|leaf| leaf.time),
    }
}

/// The time of a leaf that is canonical and holds nothing that would have to be unescaped. Where it is
/// nothing, nothing is said of the leaf.
fn plain(leaf: &[u8]) -> Option<i64> {
    let mut rest = Rest(leaf);
    rest.skip(b"{\"action\":")?;
    rest.text()?;
    rest.skip(b",\"commitments\":{")?;
    rest.commitments()?;
    rest.skip(b",\"decision\":")?;
    rest.text()?;
    rest.skip(b",\"kind\":")?;
    let kind = rest.text()?;
    let is_known = [b"act".as_slice(), b"denial", b"intent", b"outcome"].contains(&kind);
    rest.skip(b",\"time\":")?;
    let time = rest.number()?;
    rest.skip(b",\"v\":1}")?;
    (is_known && rest.0.is_empty()).then_some(time)
}

/// What is left of a leaf.
struct Rest<'l>(&'l [u8]);

impl<'l> Rest<'l> {
    fn skip(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// A text of plain characters.
    fn text(&mut self) -> Option<&'l [u8]> {
        let rest = self.0.strip_prefix(b"\"")?;
        let end = rest.iter().position(|byte| *byte == b'"')?;
        let (text, rest) = rest.split_at(end);
        self.0 = &rest[1..];
        text.iter().all(|byte| (0x20..0x7f).contains(byte) && *byte != b'\\').then_some(text)
    }

    /// Texts by name, in the order of the names, up to the brace.
    fn commitments(&mut self) -> Option<()> {
        let mut last: Option<&[u8]> = None;
        while self.0.first() != Some(&b'}') {
            if last.is_some() {
                self.skip(b",")?;
            }
            let name = self.text()?;
            self.skip(b":")?;
            self.text()?;
            if last.is_some_and(|last| last >= name) {
                return None;
            }
            last = Some(name);
        }
        self.skip(b"}")
    }

    /// A number without a needless zero.
    fn number(&mut self) -> Option<i64> {
        let end = self.0.iter().position(|byte| *byte == b',')?;
        let (digits, rest) = self.0.split_at(end);
        self.0 = rest;
        let of_one_spelling = matches!(digits, [b'0'] | [b'1'..=b'9', ..] | [b'-', b'1'..=b'9', ..]);
        let text = std::str::from_utf8(digits).ok().filter(|_| of_one_spelling)?;
        text.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_map, prelude::*};

    use super::*;
    use crate::audit::EntryKind;

    const LEAF: &str = r#"{"action":"a.b","commitments":{"a":"00","b":"11"},"decision":"allow","kind":"act","time":7,"v":1}"#;

    #[test]
    fn what_has_another_spelling_is_not_plain() {
        assert_eq!(plain(LEAF.as_bytes()), Some(7));
        let empty = LEAF.replace(r#""a":"00","b":"11""#, "");
        assert_eq!(plain(empty.as_bytes()), Some(7));
        for (part, other) in [
            ("\"a\":\"00\",\"b\":\"11\"", "\"b\":\"11\",\"a\":\"00\""),
            ("\"b\":\"11\"", "\"a\":\"11\""),
            ("\"b\":\"11\"", "\"b\":\"11\","),
            ("\"act\"", "\"acts\""),
            (":7", ":07"),
            (":7", ":-0"),
            (":7", ":+7"),
            (":7", ": 7"),
            (":7", ":7.0"),
            (":7", ":99999999999999999999"),
            ("\"v\":1}", "\"v\":1} "),
            ("\"v\":1", "\"v\":2"),
            ("a.b", "a\\u002eb"),
            ("{\"action\"", "{ \"action\""),
        ] {
            let changed = LEAF.replace(part, other);
            assert_ne!(changed, LEAF);
            assert_eq!(plain(changed.as_bytes()), None, "{changed}");
            assert!(time_of(changed.as_bytes()).is_err(), "{changed}");
        }
    }

    proptest! {
        #[test]
        fn every_leaf_is_read_with_its_time(
            action in ".{0,12}", decision in "[a-z]{1,5}|.{0,3}", time: i64,
            commitments in btree_map("[a-z]{1,7}|.{0,2}", "[0-9a-f]{64}", 0..6),
        ) {
            let leaf = LeafV1 { action, commitments, decision, kind: EntryKind::Denial, time, v: 1 };
            let bytes = serde_json::to_vec(&leaf).unwrap();
            prop_assert_eq!(time_of(&bytes), Ok(time));
            prop_assert!(plain(&bytes).is_none_or(|it| it == time));
        }

        #[test]
        fn what_is_plain_is_read_the_long_way_just_so(at in 0usize..110, byte: u8, cut in 0usize..4) {
            let mut bytes = LEAF.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.drain(at..(at + cut).min(bytes.len()));
            if let Some(time) = plain(&bytes) {
                prop_assert_eq!(LeafV1::read(&bytes).map(|leaf| leaf.time), Ok(time));
            }
        }
    }
}
