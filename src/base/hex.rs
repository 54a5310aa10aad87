//! Lower-case hexadecimal, where a digest or a token has to be text.

use data_encoding::HEXLOWER;

/// `bytes` as lower-case hexadecimal.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// The bytes that `text` stands for, or nothing where it is not lower-case hexadecimal.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    HEXLOWER.decode(text.as_bytes()).ok()
}
