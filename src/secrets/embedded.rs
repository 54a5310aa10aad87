//! The embedded engine: each value under a key of its own (AES-256-GCM), that key wrapped under a
//! wrapping key, both bound to where the value belongs.

use zeroize::Zeroizing;

use crate::{
    base::{Ambient, Problem, Result, SecretRef, SecretValue},
    keys::{Keys, Wrapped},
};

use super::rows::VersionRow;

/// A value as it lies in the database.
pub(super) struct SealedValue {
    pub(super) sealed: Vec<u8>,
    pub(super) wrapped: Wrapped,
}

/// Seals a value as version `number` of the secret `at`.
pub(super) fn seal(
    keys: &Keys,
    ambient: &Ambient,
    at: &SecretRef,
    number: i64,
    value: &SecretValue,
) -> SealedValue {
    let key = Zeroizing::new(ambient.bytes::<32>());
    let bound = bound_to(at, number);
    SealedValue { sealed: keys.seal_under(&key, &bound, value.expose()), wrapped: keys.wrap(&bound, &key) }
}

/// Opens a version that [`seal`] made for the same place and number.
pub(super) async fn open(keys: &Keys, at: &SecretRef, version: &VersionRow) -> Result<SecretValue> {
    let missing = || Problem::internal(format!("version {} of '{at}' has lost its value", version.number));
    let bound = bound_to(at, version.number);
    let wrapped = Wrapped {
        bytes: version.wrapped_key.clone().ok_or_else(missing)?,
        under: version.master_key.clone().ok_or_else(missing)?,
    };
    let key = keys.unwrap(&bound, &wrapped).await?;
    let sealed = version.sealed.as_deref().ok_or_else(missing)?;
    let mut opened = keys.unseal_under(&key, &bound, sealed)?;
    Ok(SecretValue::new(std::mem::take(&mut *opened)))
}

/// Associated data: none of its parts can hold a zero byte, so that no two places run into each other.
pub(super) fn bound_to(at: &SecretRef, number: i64) -> Vec<u8> {
    let here = &at.environment;
    format!(
        "port-control/secret/1\0{}\0{}\0{}\0{}\0{number}",
        here.application,
        here.environment,
        here.team_column(),
        at.name
    )
    .into_bytes()
}
