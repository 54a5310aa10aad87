//! Ids of our own, each a type of its own, so that a grant's id cannot stand where a person's is wanted.
//!
//! As text an id is a prefix and a UUID in 32 hexadecimal digits: `per_0199f3…`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::Uuid;

/// What all ids share; [`crate::base::Ambient::id`] makes new ones.
pub trait Id: Copy + fmt::Display + FromStr<Err = String> {
    /// The id that holds `uuid`.
    fn from_uuid(uuid: Uuid) -> Self;
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl Id for $name {
            fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.as_simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                text.strip_prefix(concat!($prefix, "_"))
                    .filter(|hex| hex.len() == 32 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
                    .and_then(|hex| Uuid::try_parse(hex).ok())
                    .map(Self)
                    .ok_or_else(|| format!(concat!("'{}' is no id of this kind; one begins with ", $prefix, "_"), text.escape_debug()))
            }
        }

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
    )*};
}

ids! {
    /// A human.
    PersonId "per";
    /// A browser session or a CLI token.
    SessionId "ses";
    /// A sign-in of `portctl` that waits for a click in the browser.
    LoginId "log";
    /// A request for a trust scope.
    RequestId "req";
    /// A trust scope held for a while.
    GrantId "grt";
    /// A named secret.
    SecretId "sec";
    /// One immutable version of a secret.
    VersionId "ver";
    /// That a principal came to know a value.
    ExposureId "exp";
    /// Work that is open while a value that a leaver knows is still good for something.
    RotationTaskId "rot";
    /// That a rotation task may wait.
    WaiverId "wvr";
    /// What is about to be done outside the database.
    IntentId "int";
    /// A dynamic credential that its engine can take back.
    LeaseId "lea";
    /// Units of work that were committed together.
    BatchId "bat";
    /// What keeps openings from being forgotten.
    HoldId "hld";
    /// What a person gained and lost at once.
    MoveId "mov";
    /// A message in the outbox.
    MessageId "msg";
    /// That a connection removed somebody.
    RemovalId "rem";
    /// Removals that were held together.
    RemovalBatchId "rmb";
    /// Removals that were announced.
    ExpectationId "xpt";
    /// A token of a workload.
    WorkloadTokenId "wkt";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Ambient, Timestamp};

    #[test]
    fn an_id_is_read_as_it_is_written_and_only_as_its_own_kind() {
        let id: PersonId = Ambient::system(Timestamp::EPOCH).id();
        assert_eq!(id.to_string().parse::<PersonId>().unwrap(), id);
        assert!(id.to_string().parse::<GrantId>().is_err());
        assert!(id.to_string().to_uppercase().parse::<PersonId>().is_err());
    }
}
