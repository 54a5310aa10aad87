//! `portctl whoami`

use std::fmt::Write as _;

use clap::Args;

use super::{Context, DONE, Table, grant::grants_table, moves::moves_table, printable};
use crate::{
    base::Result,
    client::{HeldScope, Somebody, WhoAmI, WorkloadAmI},
};

/// Say who you are, what you may do, and why.
#[derive(Debug, Args)]
pub struct Command {}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let me = context.client()?.who_is_calling().await?;
        context.output.tell(&me, |me| match me {
            Somebody::Person(me) => text(me),
            Somebody::Workload(me) => workload_text(me),
        })?;
        Ok(DONE)
    }
}

fn workload_text(me: &WorkloadAmI) -> String {
    let mut out = format!(
        "workload {} ({} of {}), until {}\n",
        printable(&me.workload),
        printable(&me.subject),
        printable(&me.issuer),
        printable(&me.ends_at)
    );
    if let Some(scope) = &me.scope {
        let _ = writeln!(out, "in the trust scope {} alone", printable(scope));
    }
    let _ = write!(out, "\n{}", scopes_table(&me.scopes));
    if !me.scopes.iter().any(|it| it.within) {
        let contact = me.contact.as_deref().unwrap_or("an administrator");
        let _ = writeln!(out, "\nIt is in no trust scope; ask {}.", printable(contact));
    }
    out
}

fn scopes_table(scopes: &[HeldScope]) -> Table {
    let rows = scopes.iter().map(|it| {
        let why = it.because.as_deref().unwrap_or_default();
        vec![
            it.scope.as_str(),
            if it.within { "yes" } else { "no" },
            why,
            it.remedy.as_deref().unwrap_or_default(),
        ]
    });
    Table::new(&["TRUST SCOPE", "IN IT", "BECAUSE", "TO CHANGE THAT"]).with(rows)
}

fn text(me: &WhoAmI) -> String {
    let person = &me.person;
    let mut out = String::new();
    let mail = person.email.as_deref().unwrap_or("no address");
    let _ = writeln!(
        out,
        "{} ({}, {}), {}",
        printable(&person.display_name),
        printable(mail),
        printable(&person.id),
        printable(&person.status)
    );
    let teams: Vec<String> = me.teams.iter().map(|it| printable(it)).collect();
    let _ = writeln!(out, "teams: {}", if teams.is_empty() { "none".to_owned() } else { teams.join(", ") });
    let groups =
        me.groups.iter().map(|it| vec![it.source.as_str(), &it.id, it.alias.as_deref().unwrap_or("-")]);
    let _ = write!(out, "\n{}", Table::new(&["GROUP OF", "ID", "HERE"]).with(groups));
    let _ = write!(out, "\n{}", scopes_table(&me.scopes));
    if !me.grants.is_empty() {
        let _ = write!(out, "\n{}", grants_table(&me.grants));
    }
    if !me.moves.is_empty() {
        let _ = write!(out, "\n{}", moves_table(&me.moves));
    }
    if !me.scopes.iter().any(|it| it.within) {
        let contact = me.contact.as_deref().unwrap_or("an administrator");
        let _ = writeln!(
            out,
            "\nYou are in no trust scope. The groups above are all that we received; ask {}.",
            printable(contact)
        );
    }
    out
}
