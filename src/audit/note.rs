//! Signed notes (C2SP signed-note): a text, and lines by which others vouch for it.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::digest::{Context, SHA256};
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::keys::LogSigner;

/// The byte that says Ed25519 in key ids and keys.
const ED25519_KIND: u8 = 1;
/// What a signature line begins with: an em dash and a space.
const MARK: &str = "\u{2014} ";
/// Longest note that is read, in bytes.
const LONGEST: usize = 64 * 1024;
/// Most signature lines that are read.
const MOST_SIGNATURES: usize = 32;

/// What signatures of one signer are verified with, as text `NAME+ID+KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

impl VerifierKey {
    /// The key of this name.
    ///
    /// # Errors
    /// Where the name could not stand in a note.
    pub fn new(name: &str, public: [u8; 32]) -> Result<Self, String> {
        if !is_name(name) {
            return Err(format!("'{}' is no name of a key: no spaces, no '+'", name.escape_debug()));
        }
        Ok(Self { name: name.to_owned(), public })
    }

    /// Its name: the origin of the log that it signs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its id, eight hexadecimal digits: what stands between the two `+` of its text.
    #[must_use]
    pub fn id_text(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.id()))
    }

    fn id(&self) -> [u8; 4] {
        key_id(&self.name, &self.public)
    }
}

/// SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key), its first four bytes.
fn key_id(name: &str, public: &[u8; 32]) -> [u8; 4] {
    let mut context = Context::new(&SHA256);
    context.update(name.as_bytes());
    context.update(&[b'\n', ED25519_KIND]);
    context.update(public);
    let digest = context.finish();
    let mut id = [0; 4];
    id.copy_from_slice(&digest.as_ref()[..4]);
    id
}

pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519_KIND];
        key.extend_from_slice(&self.public);
        write!(f, "{}+{}+{}", self.name, self.id_text(), STANDARD.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "this is no verifier key; one looks like NAME+0123abcd+BASE64".to_owned();
        // Base64 may hold a '+', names and ids may not.
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong());
        };
        let key = STANDARD.decode(key).map_err(|_| wrong())?;
        let (&ED25519_KIND, public) = key.split_first().ok_or_else(wrong)? else { return Err(wrong()) };
        let key = Self::new(name, public.try_into().map_err(|_| wrong())?)?;
        if key.id_text() != id {
            return Err("this verifier key was mistyped: its id does not fit".to_owned());
        }
        Ok(key)
    }
}

/// `text`, which ends in a newline, with the signature of `name` by each of these keys.
#[must_use]
pub fn sign(text: &str, name: &str, signers: &[LogSigner]) -> String {
    let mut note = format!("{text}\n");
    for signer in signers {
        let mut signature = key_id(name, &signer.public_key()).to_vec();
        signature.extend_from_slice(&signer.sign(text.as_bytes()));
        note.extend([MARK, name, " ", &STANDARD.encode(signature), "\n"]);
    }
    note
}

/// The text of a note that `key` signed. Signatures of others are passed over.
///
/// # Errors
/// Says whether it is no note, not signed by that key, or wrongly so.
pub fn open<'n>(note: &'n str, key: &VerifierKey) -> Result<&'n str, String> {
    open_any(note, std::slice::from_ref(key))
}

/// The text of a note that at least one of `keys` signed, and none of them wrongly. Signatures of others
/// are passed over.
///
/// # Errors
/// As [`open`].
pub fn open_any<'n>(note: &'n str, keys: &[VerifierKey]) -> Result<&'n str, String> {
    if note.len() > LONGEST {
        return Err(format!("the note is longer than {LONGEST} bytes"));
    }
    if note.contains(|c: char| c.is_control() && c != '\n') {
        return Err("the note holds control characters".to_owned());
    }
    let (text, signatures) =
        note.rsplit_once("\n\n").ok_or("the note has no empty line before its signatures")?;
    let text = &note[..=text.len()];
    let lines: Vec<&str> =
        signatures.strip_suffix('\n').ok_or("the note does not end in a newline")?.split('\n').collect();
    if lines.len() > MOST_SIGNATURES {
        return Err(format!("the note has more than {MOST_SIGNATURES} signatures"));
    }
    let mut is_signed = false;
    for line in lines {
        let (name, signature) = signature_of(line)?;
        let (id, signature) = signature.split_at(4);
        let Some(key) = keys.iter().find(|key| name == key.name && id == key.id()) else { continue };
        UnparsedPublicKey::new(&ED25519, key.public)
            .verify(text.as_bytes(), signature)
            .map_err(|_| format!("the signature of '{name}' is wrong"))?;
        is_signed = true;
    }
    if is_signed { Ok(text) } else { Err(format!("the note is not signed by {}", named(keys))) }
}

fn named(keys: &[VerifierKey]) -> String {
    let keys: Vec<String> = keys.iter().map(VerifierKey::to_string).collect();
    if keys.is_empty() { "anybody who is known".to_owned() } else { keys.join(" or ") }
}

pub(super) fn signature_of(line: &str) -> Result<(&str, Vec<u8>), String> {
    let wrong = || "a signature line of the note is malformed".to_owned();
    let (name, signature) =
        line.strip_prefix(MARK).and_then(|rest| rest.split_once(' ')).ok_or_else(wrong)?;
    let signature = STANDARD.decode(signature).map_err(|_| wrong())?;
    if !is_name(name) || signature.len() < 5 {
        return Err(wrong());
    }
    Ok((name, signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> LogSigner {
        LogSigner::from_seed(&[7; 32])
    }

    fn key() -> VerifierKey {
        VerifierKey::new("example.com/log", signer().public_key()).unwrap()
    }

    #[test]
    fn a_note_is_opened_as_it_was_signed() {
        let note = sign("one\n\ntwo\n", "example.com/log", &[signer()]);
        assert_eq!(open(&note, &key()).unwrap(), "one\n\ntwo\n");
        assert_eq!(key().to_string().parse::<VerifierKey>().unwrap(), key());
    }

    #[test]
    fn signatures_of_others_are_passed_over_and_are_not_enough() {
        let other = LogSigner::from_seed(&[8; 32]);
        let note = sign("text\n", "example.com/log", &[signer()]);
        let theirs = sign("text\n", "witness", std::slice::from_ref(&other));
        let line = theirs.rsplit_once("\n\n").unwrap().1;
        assert_eq!(open(&format!("{note}{line}"), &key()).unwrap(), "text\n");
        assert!(open(&theirs, &key()).is_err());
        assert!(open(&sign("text\n", "example.com/log", std::slice::from_ref(&other)), &key()).is_err());
    }

    #[test]
    fn one_known_key_is_enough_and_a_wrong_signature_of_any_is_too_much() {
        let next = LogSigner::from_seed(&[8; 32]);
        let keys = [key(), VerifierKey::new("example.com/log", next.public_key()).unwrap()];
        for signer in [signer(), next] {
            assert_eq!(open_any(&sign("text\n", "example.com/log", &[signer]), &keys).unwrap(), "text\n");
        }
        let note = sign("text\n", "example.com/log", &[signer()]);
        let wrong = sign("other\n", "example.com/log", &[LogSigner::from_seed(&[8; 32])]);
        let line = wrong.rsplit_once("\n\n").unwrap().1;
        assert!(open(&format!("{note}{line}"), &keys[0]).is_ok());
        assert!(open_any(&format!("{note}{line}"), &keys).is_err());
        assert!(open_any(&note, &[]).is_err());
    }

    #[test]
    fn one_changed_byte_of_a_note_is_found() {
        let note = sign("text\n", "example.com/log", &[signer()]);
        for at in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(altered) = String::from_utf8(bytes) {
                assert!(open(&altered, &key()).is_err(), "{altered:?}");
            }
        }
    }

    #[test]
    fn a_key_with_a_wrong_id_or_kind_is_refused() {
        let text = key().to_string();
        assert!(text.replacen('+', "+0", 1).parse::<VerifierKey>().is_err());
        assert!("name+00000000+AAAA".parse::<VerifierKey>().is_err());
        assert!("name".parse::<VerifierKey>().is_err());
        assert!(VerifierKey::new("a b", [0; 32]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_refused_without_a_panic(text in ".{0,200}") {
            proptest::prop_assert!(open(&text, &key()).is_err());
            proptest::prop_assert!(text.parse::<VerifierKey>().is_err());
        }
    }
}
