//! How much the database may grow.

use super::Check;

/// Units and the bytes that they stand for, as powers of two.
const UNITS: &[(&str, u32)] = &[("MiB", 20), ("GiB", 30), ("TiB", 40)];

impl Check<'_> {
    /// `[database] room`: `200GiB`.
    pub(super) fn room(&mut self, text: Option<&str>) -> Option<u64> {
        let text = text?;
        let found = bytes(text);
        if found.is_none() {
            let message = format!("'{}' is no number of bytes", text.escape_debug());
            self.wrong(&["database", "room"], message, "Write for example 200GiB.");
        }
        found
    }
}

fn bytes(text: &str) -> Option<u64> {
    let (number, power) = UNITS.iter().find_map(|(unit, power)| Some((text.strip_suffix(unit)?, *power)))?;
    let number: u64 = number.trim_end().parse().ok().filter(|it| *it > 0)?;
    number.checked_mul(1 << power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_said_in_binary_units() {
        assert_eq!(bytes("200GiB"), Some(200 << 30));
        assert_eq!(bytes("1 TiB"), Some(1 << 40));
        for bad in ["", "GiB", "0GiB", "-1GiB", "1GB", "200", "99999999999TiB"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }
}
