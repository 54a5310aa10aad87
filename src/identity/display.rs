//! What identity providers say of people that is only shown.

/// Longest name of a group, or of a person, in characters.
pub(super) const LONGEST_NAME: usize = 256;

/// A name without what could disturb a terminal or a page: control characters and marks that turn the
/// direction of writing.
pub(super) fn shown(name: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let kept: String = name.chars().filter(|c| !c.is_control() && !turns(*c)).take(LONGEST_NAME).collect();
    kept.trim().to_owned()
}

/// An e-mail address of one of these domains, in lower case; nothing where whoever says it may not speak
/// for its domain.
pub(super) fn owned_address(address: &str, domains: &[String]) -> Option<String> {
    let address = address.to_lowercase();
    let (local, domain) = address.rsplit_once('@')?;
    let may_speak = domains.iter().any(|own| own.eq_ignore_ascii_case(domain));
    let plain = address.len() <= 254
        && !local.is_empty()
        && address.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '"' | ',' | ';'));
    (may_speak && plain).then_some(address)
}
