//! The server's configuration.

/// A group whose people are administrators: `PROVIDER/GROUP-ID` in the server's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdministratorGroup {
    /// The provider's name.
    pub provider: String,
    /// The group as the provider names it.
    pub id: String,
}

impl std::str::FromStr for AdministratorGroup {
    type Err = String;

    /// Ids may hold `/`: the provider's name ends at the first.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((provider, id)) if !provider.is_empty() && !id.is_empty() => {
                Ok(Self { provider: provider.to_owned(), id: id.to_owned() })
            }
            _ => Err(format!("'{}' wants the form PROVIDER/GROUP-ID", text.escape_debug())),
        }
    }
}
