//! How much room there is to write to.

/// Below this share of all there is, in percent, room is short.
const SHORT: u64 = 10;
/// And below so many bytes, whatever the share: a log of some hundred thousand entries.
const LEAST: u64 = 256 << 20;
/// No share of a large disk makes more than this short.
const PLENTY: u64 = 20 << 30;

/// Room, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What the database takes.
    pub used: u64,
    /// What is left; nothing where nobody says.
    pub free: Option<u64>,
}

impl Room {
    /// Whether it will not do for long.
    #[must_use]
    pub fn is_short(&self) -> bool {
        let Some(free) = self.free else { return false };
        let whole = self.used.saturating_add(free);
        free < LEAST || (free < PLENTY && free < whole / 100 * SHORT)
    }
}

/// A number of bytes for people.
#[must_use]
pub fn shown(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let power = (bytes.max(1).ilog2() / 10).min(4);
    format!("{} {}", bytes >> (10 * power), units[power as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_short_before_it_is_gone() {
        let room = |used: u64, free: u64| Room { used: used << 20, free: Some(free << 20) };
        assert!(room(1, 100).is_short());
        assert!(room(100_000, 5000).is_short());
        assert!(!room(100_000, 15_000).is_short());
        assert!(!room(10_000_000, 30_000).is_short(), "there is plenty on a large disk");
        assert!(!Room { used: u64::MAX, free: None }.is_short(), "nobody says");
    }

    #[test]
    fn bytes_are_shown_for_people() {
        for (bytes, text) in [(0, "0 bytes"), (1023, "1023 bytes"), (5 << 30, "5 GiB"), (3 << 50, "3072 TiB")]
        {
            assert_eq!(shown(bytes), text);
        }
    }
}
