//! Moves as tables: `portctl person moves`, and beside `portctl person show` and `portctl whoami`.

use super::Table;
use crate::client::Move;

/// Who gained and lost what.
pub(super) fn moves_table(moves: &[Move]) -> Table {
    Table::new(&["AT", "WHO", "GAINED", "LOST", "ENDED", "ENTRY"]).with(moves.iter().map(|it| {
        let scopes = |names: &[String]| names.iter().map(|it| format!("scope {it}")).collect::<Vec<_>>();
        let teams = |names: &[String]| names.iter().map(|it| format!("team {it}")).collect::<Vec<_>>();
        let all = |parts: [Vec<String>; 2]| {
            let all = parts.concat();
            if all.is_empty() { "-".to_owned() } else { all.join(", ") }
        };
        vec![
            it.at.clone(),
            it.person.display_name.clone(),
            all([teams(&it.teams_gained), scopes(&it.scopes_gained)]),
            all([teams(&it.teams_lost), scopes(&it.scopes_lost)]),
            all([it.grants_ended.clone(), it.requests_withdrawn.clone()]),
            it.entry.to_string(),
        ]
    }))
}
