//! People arriving and leaving, on a database of their own and a clock that stands still.

mod again;
mod bench;
mod logout;
mod oidc;
mod people;
mod removal;
mod workloads;
