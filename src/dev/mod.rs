//! The embedded default: what `port-control dev` has and nothing else can switch on.

pub mod browser;
pub mod idp;
