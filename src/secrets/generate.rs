//! Values that nobody has seen.

use zeroize::Zeroizing;

use crate::base::{Ambient, Problem, Result, SecretValue};

/// Letters and digits: they need no quoting anywhere.
const DEFAULT_ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const DEFAULT_LENGTH: u32 = 32;
const LONGEST: u32 = 4096;
/// Fewest bits of chance in a generated value.
const FEWEST_BITS: f64 = 80.0;

/// How a value is made.
#[derive(Clone, Debug)]
pub struct Recipe {
    length: u32,
    alphabet: Vec<char>,
}

impl Recipe {
    /// `length` characters (32 where nothing is said) of `alphabet` (letters and digits).
    ///
    /// # Errors
    /// `invalid-request` for a length beyond 4096, an alphabet with a character twice or with control
    /// characters, or where the value could be guessed: below 80 bits.
    pub fn new(length: Option<u32>, alphabet: Option<&str>) -> Result<Self> {
        let length = length.unwrap_or(DEFAULT_LENGTH);
        let alphabet: Vec<char> = alphabet.unwrap_or(DEFAULT_ALPHABET).chars().collect();
        let mut sorted = alphabet.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() != alphabet.len() || alphabet.iter().any(|c| c.is_control()) || alphabet.len() > 256 {
            return Err(Problem::invalid("an alphabet is up to 256 printable characters, each once"));
        }
        if length > LONGEST {
            return Err(Problem::invalid(format!("a generated value has {LONGEST} characters at most")));
        }
        #[expect(clippy::cast_precision_loss, reason = "256 at most")]
        let bits = f64::from(length) * (alphabet.len().max(1) as f64).log2();
        if bits < FEWEST_BITS {
            return Err(Problem::invalid(format!(
                "{length} of {} characters could be guessed: that is {bits:.0} bits, and {FEWEST_BITS} are the least",
                alphabet.len()
            ))
            .remedy("Ask for more characters: `--length N`."));
        }
        Ok(Self { length, alphabet })
    }

    /// Makes a value: each character is as likely as the others.
    #[must_use]
    pub fn make(&self, ambient: &Ambient) -> SecretValue {
        let mut text = Zeroizing::new(String::with_capacity(self.length as usize * 4));
        let size = self.alphabet.len();
        // What is left beyond the last whole multiple would make some characters likelier.
        let limit = 256 - 256 % size;
        let mut made = 0;
        while made < self.length {
            for byte in Zeroizing::new(ambient.bytes::<64>()).iter() {
                if usize::from(*byte) < limit && made < self.length {
                    text.push(self.alphabet[usize::from(*byte) % size]);
                    made += 1;
                }
            }
        }
        SecretValue::new(text.as_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;

    #[test]
    fn a_value_has_the_length_and_the_characters_that_were_asked_for() {
        let ambient = Ambient::system(Timestamp::EPOCH);
        let value = Recipe::new(Some(100), Some("äb-")).unwrap().make(&ambient);
        let text = value.expose_text().unwrap();
        assert_eq!(text.chars().count(), 100);
        assert!(text.chars().all(|c| "äb-".contains(c)));
        assert_eq!(Recipe::new(None, None).unwrap().make(&ambient).len(), 32);
    }

    #[test]
    fn what_could_be_guessed_is_refused() {
        for (length, alphabet) in
            [(Some(8), None), (Some(100), Some("a")), (Some(0), None), (Some(50), Some(""))]
        {
            assert!(Recipe::new(length, alphabet).is_err(), "{length:?} {alphabet:?}");
        }
        assert!(Recipe::new(None, Some("aa")).is_err());
        assert!(Recipe::new(Some(5000), None).is_err());
    }

    #[test]
    fn no_character_is_likelier_than_another() {
        let ambient = Ambient::system(Timestamp::EPOCH);
        let value = Recipe::new(Some(4096), Some("abc")).unwrap().make(&ambient);
        for c in "abc".chars() {
            let count = value.expose_text().unwrap().matches(c).count();
            assert!((1200..1540).contains(&count), "{c}: {count}");
        }
    }
}
