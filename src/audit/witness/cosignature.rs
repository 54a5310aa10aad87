//! Cosignatures by Ed25519 (C2SP tlog-cosignature, "Ed25519 signed message").

use ring::signature::{ED25519, UnparsedPublicKey};

use super::WitnessKey;
use crate::{audit::note::signature_of, base::Timestamp};

/// A cosignature that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// The line, as it stands below the note, without its newline.
    pub line: String,
    /// When the witness says that it signed.
    pub time: Timestamp,
}

/// The cosignature of `key` among these signature lines, verified over the body of the checkpoint. Lines
/// of others are passed over.
///
/// # Errors
/// Says which line is malformed or wrong.
pub fn find(lines: &str, body: &str, key: &WitnessKey) -> Result<Option<Cosignature>, String> {
    for line in lines.lines() {
        let (name, signature) = signature_of(line)?;
        let (id, signature) = signature.split_at(4);
        if name != key.name() || id != key.id() {
            continue;
        }
        let time = verify(signature, body, key)?;
        return Ok(Some(Cosignature { line: line.to_owned(), time }));
    }
    Ok(None)
}

/// Eight bytes of time, then the signature.
fn verify(signature: &[u8], body: &str, key: &WitnessKey) -> Result<Timestamp, String> {
    let wrong = |why: &str| format!("the cosignature of '{}' is wrong: {why}", key.name());
    let (seconds, signature) = signature.split_first_chunk::<8>().ok_or_else(|| wrong("it is cut off"))?;
    let seconds = u64::from_be_bytes(*seconds);
    let message = format!("cosignature/v1\ntime {seconds}\n{body}");
    UnparsedPublicKey::new(&ED25519, key.public())
        .verify(message.as_bytes(), signature)
        .map_err(|_| wrong("it does not verify"))?;
    let millis = i64::try_from(seconds).ok().and_then(|it| it.checked_mul(1000));
    match millis {
        Some(millis @ 1..) => Ok(Timestamp::from_millis(millis)),
        Some(_) => Err(wrong("it says no time")),
        None => Err(wrong("its time is beyond all times")),
    }
}

/// A note's body and its signature lines.
pub(super) fn parts(note: &str) -> Option<(&str, &str)> {
    let (text, lines) = note.rsplit_once("\n\n")?;
    Some((&note[..=text.len()], lines))
}
