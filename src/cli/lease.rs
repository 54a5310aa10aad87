//! `portctl lease`

use std::{collections::BTreeMap, fmt::Write as _};

use clap::Subcommand;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    Context, DONE, RoleArgs, Table,
    output::{note, write_bytes},
    printable,
};
use crate::{
    base::{Name, Problem, Result},
    client::{Lease, Lent},
};

/// Credentials of your own that end by themselves: `APPLICATION/ENVIRONMENT/ROLE`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Have credentials made, and write them as variables or as JSON.
    Create {
        #[command(flatten)]
        role: RoleArgs,
        /// For how long, such as 30m; an hour where nothing is said.
        #[arg(long = "for", value_name = "SPAN")]
        length: Option<String>,
    },
    /// List your leases, those of a person, or everybody's.
    List {
        /// Her id or e-mail address, or `all`.
        #[arg(long)]
        person: Option<String>,
        /// Also those that are over.
        #[arg(long)]
        ended: bool,
    },
    /// Show how a lease stands.
    Show {
        /// Its id, as `lease list` shows it.
        lease: String,
    },
    /// Have a lease last longer.
    Renew {
        /// Its id, as `lease list` shows it.
        lease: String,
        /// For how long from now, such as 30m.
        #[arg(long = "for", value_name = "SPAN", default_value = "1h")]
        length: String,
    },
    /// Give a lease back; with the right to manage people, anybody's.
    Revoke {
        /// Its id, as `lease list` shows it.
        lease: String,
    },
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client()?;
        match self {
            Self::Create { role, length } => {
                let at = role.resolve(context).await?;
                let lent = client.create_lease(&at, length.as_deref()).await?;
                if context.output.is_json() {
                    write_json(&lent)?;
                } else {
                    write_variables(&at.role, &lent)?;
                }
                let id = printable(&lent.lease.id);
                note(&format!(
                    "until {}; give it back: portctl lease revoke {id}",
                    printable(&lent.lease.ends_at)
                ));
            }
            Self::List { person, ended } => {
                context.output.show(&client.leases(person.as_deref(), ended).await?, |all| table(all))?;
            }
            Self::Show { lease } => context.output.tell(&client.lease(&lease).await?, text)?,
            Self::Renew { lease, length } => {
                context.output.tell(&client.renew_lease(&lease, &length).await?, text)?;
            }
            Self::Revoke { lease } => context.output.tell(&client.revoke_lease(&lease).await?, text)?,
        }
        Ok(DONE)
    }
}

/// What a part of a role's credentials is called as a variable: `READER_USERNAME`.
pub(super) fn variable(role: &Name, name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let text: String = format!("{role}_{name}").chars().map(plain).collect();
    // No variable begins with a digit.
    if text.starts_with(|c: char| c.is_ascii_digit()) { format!("_{text}") } else { text }
}

/// Lines that a shell reads: quoted, so that nothing in a value is anything but the value.
fn write_variables(role: &Name, lent: &Lent) -> Result<()> {
    let mut lines = Zeroizing::new(String::new());
    for credential in &lent.credentials {
        let name = variable(role, &credential.name);
        let value = credential.value.expose_text().filter(|text| !text.contains('\0')).ok_or_else(|| {
            Problem::invalid(format!("{name} is binary and cannot be a variable"))
                .remedy("Say --output json.")
        })?;
        let _ = writeln!(lines, "{name}='{}'", Zeroizing::new(value.replace('\'', "'\\''")).as_str());
    }
    write_bytes(lines.as_bytes())
}

/// One of the two places where a value becomes JSON: its holder asked for it in that form.
fn write_json(lent: &Lent) -> Result<()> {
    let texts: Vec<(&str, Zeroizing<String>)> = lent
        .credentials
        .iter()
        .map(|it| {
            let binary = || data_encoding::BASE64.encode(it.value.expose());
            let text = it.value.expose_text().map_or_else(binary, str::to_owned);
            (it.name.as_str(), Zeroizing::new(text))
        })
        .collect();
    let credentials = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let told = Told { lease: &lent.lease, credentials };
    let mut line = Zeroizing::new(serde_json::to_vec(&told).map_err(|e| Problem::internal(e.to_string()))?);
    line.push(b'\n');
    write_bytes(&line)
}

/// Borrowed on purpose: what serde_json owns is not wiped.
#[derive(Serialize)]
struct Told<'a> {
    lease: &'a Lease,
    credentials: BTreeMap<&'a str, &'a str>,
}

fn dash(text: Option<&String>) -> String {
    text.cloned().unwrap_or_else(|| "-".to_owned())
}

fn table(leases: &[Lease]) -> Table {
    Table::new(&["LEASE", "ROLE", "HOLDER", "STATE", "ENDS", "BECAUSE"]).with(leases.iter().map(|it| {
        let ends = it.ended_at.as_ref().unwrap_or(&it.ends_at).clone();
        vec![
            it.id.clone(),
            it.at.clone(),
            it.holder.clone(),
            it.state.clone(),
            ends,
            dash(it.because.as_ref()),
        ]
    }))
}

fn text(lease: &Lease) -> String {
    let because = lease.because.as_ref().map_or_else(String::new, |it| format!(" ({})", printable(it)));
    let mut out = format!("{}: {}{because}\n", printable(&lease.id), printable(&lease.state));
    for (name, value) in [
        ("role", Some(&lease.at)),
        ("holder", Some(&lease.holder)),
        ("trust scope", lease.scope.as_ref()),
        ("grant", lease.grant.as_ref()),
        ("issued", lease.issued_at.as_ref()),
        ("ends", Some(&lease.ends_at)),
        ("renewable until", Some(&lease.renewable_until)),
        ("being taken back since", lease.revoking_since.as_ref()),
        ("waits for", lease.waits_for.as_ref()),
        ("ended", lease.ended_at.as_ref()),
    ] {
        if let Some(value) = value {
            let _ = writeln!(out, "{name}: {}", printable(value));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_has_a_variable_of_its_role() {
        let name = |role: &str, name: &str| variable(&role.parse().unwrap(), name);
        assert_eq!(name("reader", "username"), "READER_USERNAME");
        assert_eq!(name("read-only", "private.key"), "READ_ONLY_PRIVATE_KEY");
        assert_eq!(name("1st", "a"), "_1ST_A");
    }
}
