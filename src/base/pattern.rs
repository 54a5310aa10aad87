//! Patterns that people write for names.

/// Whether `text` fits `pattern`, in which `*` stands for any text.
#[must_use]
pub fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(found) = text.find(part) else { return false };
        text = &text[found + part.len()..];
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    #[test]
    fn patterns_stand_for_any_text() {
        for (pattern, text, fits) in [
            ("*", "anything", true),
            ("eng-*", "eng-supa", true),
            ("eng-*", "leads", false),
            ("*-team", "supa-team", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
        ] {
            assert_eq!(super::fits(pattern, text), fits, "{pattern} {text}");
        }
    }
}
