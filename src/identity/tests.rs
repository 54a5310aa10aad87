//! People arriving and leaving, on a database of their own and a clock that stands still.

mod bench;
mod oidc;

mod people;
