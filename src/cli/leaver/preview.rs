//! `portctl leaver preview`

use std::fmt::Write as _;

use crate::{
    base::Result,
    cli::{Context, DONE, Table, printable},
    client::LeaverPreview,
};

pub(super) async fn run(context: &Context, person: &str) -> Result<u8> {
    let preview = context.client()?.leaver_preview(person).await?;
    context.output.tell(&preview, text)?;
    Ok(DONE)
}

fn text(it: &LeaverPreview) -> String {
    if it.status == "deactivated" {
        return format!("{} has left already; what is left: portctl leaver show {0}\n", it.person);
    }
    let mut out = String::new();
    let _ = writeln!(out, "{} is {}; if she left now, this would end:", it.person, printable(&it.status));
    let _ = writeln!(
        out,
        "{} sessions, {} requests, {} grants, {} leases",
        it.sessions, it.requests, it.grants, it.leases
    );
    if !it.powers.is_empty() {
        let rows = it.powers.iter().map(|power| {
            vec![
                power.request.clone(),
                power.scope.clone(),
                power.at.clone(),
                power.person.clone(),
                power.others.to_string(),
            ]
        });
        let headings = ["SHE COULD APPROVE", "TRUST SCOPE", "AT", "ASKED BY", "OTHERS WHO COULD"];
        let _ = write!(out, "\n{}", Table::new(&headings).with(rows));
    }
    if !it.secrets.is_empty() {
        let rows = it.secrets.iter().map(|secret| vec![secret.clone()]);
        let _ = write!(out, "\n{}", Table::new(&["TO CHANGE, BECAUSE SHE KNOWS IT"]).with(rows));
    }
    out
}
