//! How a value lies in a KV version, so that every byte comes back.
//!
//! Text is the field `value` as it is. What is no text, or what JSON would blow up beyond base64, is
//! base64 in `value`, and the field `encoding` beside it says `base64`.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

use crate::base::SecretValue;

/// The field of our own secrets.
pub(super) const FIELD: &str = "value";
/// The field beside it; absent for text.
pub(super) const ENCODING: &str = "encoding";
const BASE64: &str = "base64";

/// The fields of one version. Wiped when dropped.
#[derive(serde::Deserialize)]
#[serde(transparent)]
pub(super) struct Fields(Map<String, Value>);

impl Drop for Fields {
    fn drop(&mut self) {
        self.0.values_mut().for_each(wipe);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Fields {
    /// The value of one of our own secrets.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it.
    pub(super) fn ours(mut self) -> Result<SecretValue, String> {
        let encoding = self.0.get(ENCODING).map(|it| it.as_str().map(str::to_owned));
        let value = self.take(FIELD)?;
        match encoding {
            None => Ok(value),
            Some(Some(name)) if name == BASE64 => STANDARD
                .decode(value.expose())
                .map(SecretValue::new)
                .map_err(|_| format!("the field '{FIELD}' is not base64")),
            Some(_) => Err(format!("the field '{ENCODING}' is not '{BASE64}'")),
        }
    }

    /// The text of a field that somebody else made.
    ///
    /// # Errors
    /// As [`Self::ours`].
    pub(super) fn foreign(mut self, field: &str) -> Result<SecretValue, String> {
        self.take(field)
    }

    /// All of them as variables could hold them: text as it is, anything else but nothing as JSON.
    pub(super) fn all(mut self) -> BTreeMap<String, SecretValue> {
        let values = self.0.iter_mut().filter(|(_, value)| !value.is_null());
        values.map(|(name, value)| (name.clone(), value_of(value))).collect()
    }

    fn take(&mut self, field: &str) -> Result<SecretValue, String> {
        let shown = field.escape_debug();
        match self.0.get_mut(field) {
            Some(Value::String(text)) => Ok(std::mem::take(text).into()),
            Some(_) => Err(format!("the field '{shown}' is not text")),
            None => Err(format!("there is no field '{shown}'")),
        }
    }
}

fn value_of(value: &mut Value) -> SecretValue {
    match value {
        Value::String(text) => std::mem::take(text).into(),
        other => other.to_string().into(),
    }
}

/// The body of a write of one of our own secrets.
pub(super) fn write_ours(value: &SecretValue, expected: u64) -> Zeroizing<Vec<u8>> {
    match value.expose_text().filter(|text| is_best_as_text(text)) {
        Some(text) => body(expected, &[(FIELD, text)]),
        None => body(expected, &[(FIELD, &base64(value)), (ENCODING, BASE64)]),
    }
}

/// The body of a patch that sets one field and leaves the others. Nothing where the value is no text.
pub(super) fn patch_foreign(field: &str, value: &SecretValue, expected: u64) -> Option<Zeroizing<Vec<u8>>> {
    value.expose_text().map(|text| body(expected, &[(field, text)]))
}

fn base64(value: &SecretValue) -> Zeroizing<String> {
    Zeroizing::new(STANDARD.encode(value.expose()))
}

/// Vault stores JSON and escapes these to six bytes each; its storage takes 1 MiB.
fn is_best_as_text(text: &str) -> bool {
    let escaped = text.bytes().filter(|byte| *byte < 0x20 || b"<>&\"\\\x7f".contains(byte)).count();
    escaped * 5 <= text.len() / 3 + 64
}

fn body(expected: u64, fields: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    let length: usize = fields.iter().map(|(name, text)| json_length(name) + json_length(text) + 2).sum();
    // Room for all of it: growing would leave copies behind.
    let mut body = Zeroizing::new(Vec::with_capacity(length + 64));
    body.extend_from_slice(format!(r#"{{"options":{{"cas":{expected}}},"data":{{"#).as_bytes());
    for (index, (name, text)) in fields.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        push_text(&mut body, name);
        body.push(b':');
        push_text(&mut body, text);
    }
    body.extend_from_slice(b"}}");
    body
}

fn json_length(text: &str) -> usize {
    2 + text
        .bytes()
        .map(|byte| if byte < 0x20 || byte == b'"' || byte == b'\\' { 6 } else { 1 })
        .sum::<usize>()
}

fn push_text(body: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(body, text).expect("a text can be written to memory");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(body: &[u8]) -> Fields {
        let mut body: Value = serde_json::from_slice(body).unwrap();
        serde_json::from_value(body["data"].take()).unwrap()
    }

    fn comes_back(bytes: &[u8]) -> bool {
        let value = SecretValue::new(bytes.to_vec());
        let body = write_ours(&value, 3);
        let room = body.capacity();
        assert!(body.len() <= room);
        fields(&body).ours().unwrap() == value
    }

    proptest! {
        #[test]
        fn every_byte_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,80}") {
            prop_assert!(comes_back(&bytes));
            prop_assert!(comes_back(text.as_bytes()));
        }
    }

    #[test]
    fn text_stays_text_for_other_tools() {
        let body = write_ours(&"a\"b\n\u{e9}".to_owned().into(), 7);
        assert_eq!(
            &body[..],
            "{\"options\":{\"cas\":7},\"data\":{\"value\":\"a\\\"b\\n\u{e9}\"}}".as_bytes()
        );
    }

    #[test]
    fn what_json_would_blow_up_is_base64() {
        let body = write_ours(&SecretValue::new(vec![0; SecretValue::LONGEST]), 0);
        assert!(body.len() < 1024 * 1024, "{}", body.len());
        assert!(comes_back(&[b'<'; 4096]));
    }

    #[test]
    fn a_body_is_never_moved_while_it_grows() {
        for text in ["", "plain", "\u{1}\"\\\n\t<&", &"\"".repeat(500)] {
            let length = body(u64::MAX, &[("a\"field", text), ("b", text)]).len();
            let room = json_length("a\"field") + json_length("b") + 2 * json_length(text) + 4 + 64;
            assert!(length <= room, "{length} {room}");
        }
    }

    #[test]
    fn what_is_no_value_is_named_and_not_repeated() {
        let cases = [
            (r#"{"data":{}}"#, "there is no field 'value'"),
            (r#"{"data":{"value":{"a":"hunter2"}}}"#, "the field 'value' is not text"),
            (r#"{"data":{"value":"hunter2!","encoding":"base64"}}"#, "the field 'value' is not base64"),
            (r#"{"data":{"value":"hunter2","encoding":"rot13"}}"#, "the field 'encoding' is not 'base64'"),
            (r#"{"data":{"value":"hunter2","encoding":1}}"#, "the field 'encoding' is not 'base64'"),
        ];
        for (text, expected) in cases {
            assert_eq!(fields(text.as_bytes()).ours().unwrap_err(), expected);
        }
    }

    #[test]
    fn a_foreign_field_is_read_as_it_is() {
        let read = fields(br#"{"data":{"password":"x","encoding":"base64","port":5432}}"#);
        assert_eq!(read.foreign("password").unwrap().expose(), b"x");
        let read = fields(br#"{"data":{"port":5432}}"#);
        assert_eq!(read.foreign("port").unwrap_err(), "the field 'port' is not text");
    }

    #[test]
    fn a_foreign_place_takes_text_alone() {
        assert!(patch_foreign("a", &SecretValue::new(vec![0xff]), 1).is_none());
        let body = patch_foreign("pass\"word", &"x".to_owned().into(), 2).unwrap();
        assert_eq!(&body[..], br#"{"options":{"cas":2},"data":{"pass\"word":"x"}}"#);
    }
}
