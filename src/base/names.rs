//! Names that people give things, and the one spelling of a secret: `APPLICATION/ENVIRONMENT[@TEAM][/NAME]`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $check:ident, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                if $check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    // Escaped: a name may hold right-to-left marks or terminal sequences.
                    let shown: String = text.chars().take(80).collect();
                    Err(format!(concat!("'{}' is no name here: ", $rule), shown.escape_debug()))
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 62
        && bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_secret_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 128
        && bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

text_type!(
    /// The name of a team, application, environment, trust scope, group alias, cluster or delivery.
    Name, is_name,
    "lower-case letters, digits and hyphens, beginning with a letter or digit, 62 at most"
);

text_type!(
    /// The name of a secret within an environment; usually an environment variable's.
    SecretName, is_secret_name,
    "letters, digits, '_', '.' and '-', beginning with a letter or '_', 128 at most"
);

/// One environment of one application: `reports/production`, or a team's own copy
/// `reports/sandbox@supa-team`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvironmentRef {
    /// The application.
    pub application: Name,
    /// The environment.
    pub environment: Name,
    /// Whose copy it is; nothing where the environment is shared.
    pub team: Option<Name>,
}

impl EnvironmentRef {
    /// How the team is stored: the empty text where the environment is shared.
    #[must_use]
    pub fn team_column(&self) -> &str {
        self.team.as_ref().map_or("", Name::as_str)
    }
}

impl fmt::Display for EnvironmentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.application, self.environment)?;
        self.team.as_ref().map_or(Ok(()), |team| write!(f, "@{team}"))
    }
}

impl FromStr for EnvironmentRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (application, rest) = text
            .split_once('/')
            .ok_or_else(|| format!("'{}' wants the form APPLICATION/ENVIRONMENT", text.escape_debug()))?;
        let (environment, team) = match rest.split_once('@') {
            Some((environment, team)) => (environment, Some(team.parse()?)),
            None => (rest, None),
        };
        Ok(Self { application: application.parse()?, environment: environment.parse()?, team })
    }
}

/// One secret: `reports/production/DATABASE_URL`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretRef {
    /// Where it belongs.
    pub environment: EnvironmentRef,
    /// What it is called there.
    pub name: SecretName,
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.environment, self.name)
    }
}

impl FromStr for SecretRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (environment, name) = text.rsplit_once('/').ok_or_else(|| {
            format!("'{}' wants the form APPLICATION/ENVIRONMENT/NAME", text.escape_debug())
        })?;
        Ok(Self { environment: environment.parse()?, name: name.parse()? })
    }
}

/// One role whose credentials can be leased: `reports/production/reader`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseRef {
    /// Where it belongs.
    pub environment: EnvironmentRef,
    /// What it is called there.
    pub role: Name,
}

impl fmt::Display for LeaseRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.environment, self.role)
    }
}

impl FromStr for LeaseRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (environment, role) = text.rsplit_once('/').ok_or_else(|| {
            format!("'{}' wants the form APPLICATION/ENVIRONMENT/ROLE", text.escape_debug())
        })?;
        Ok(Self { environment: environment.parse()?, role: role.parse()? })
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

as_text!(EnvironmentRef);
as_text!(SecretRef);
as_text!(LeaseRef);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_35_names_that_are_paths_or_look_alikes_are_refused() {
        let long = "a".repeat(300);
        for bad in ["", "..", "a/b", "a\0", "-a", "A", "а", "a\u{202e}b", long.as_str(), "a b", "a_b"] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
        for bad in ["", "..", ".A", "A/B", "A\0", "1A", "Ａ", "A\u{202e}", long.as_str(), "A B", "A=B"] {
            assert!(bad.parse::<SecretName>().is_err(), "{bad:?}");
        }
        for good in ["reports", "a", "0", "supa-team"] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
    }

    #[test]
    fn a_secret_is_read_as_it_is_written() {
        for text in ["reports/production/DATABASE_URL", "reports/sandbox@supa-team/a.b-c"] {
            assert_eq!(text.parse::<SecretRef>().unwrap().to_string(), text);
        }
        for bad in ["reports", "reports/production", "a/b/c/d", "/b/C", "a//C", "a/b@/C", "a/b@c@d/E"] {
            assert!(bad.parse::<SecretRef>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_role_is_read_as_it_is_written() {
        for text in ["reports/production/reader", "reports/sandbox@supa-team/db-1"] {
            assert_eq!(text.parse::<LeaseRef>().unwrap().to_string(), text);
        }
        for bad in ["reader", "reports/reader", "a/b/READER", "a/b/c/d", "a/b/../d", "a/b/"] {
            assert!(bad.parse::<LeaseRef>().is_err(), "{bad}");
        }
    }
}
