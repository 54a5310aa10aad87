//! Names that nothing in the log has: what a slip of the finger looks like to whoever asks.

use std::fmt::Write as _;

use super::{archive::ranges, export::class_of, read::Filter};
use crate::{
    base::Result,
    store::{Arg, Database, Query},
};

/// Most names of a kind that are compared.
const COMPARED: usize = 5_000;
/// Most names that are told.
const TOLD: usize = 3;
/// From here on two names are alike (0 nothing in common, 1 equal).
const ALIKE: f64 = 0.75;

/// A name that was asked for and that nothing in the log has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    /// `action`, `application`, `secret` or `scope`.
    pub what: &'static str,
    /// It; of a secret as `APPLICATION/ENVIRONMENT/NAME`, as far as that was said.
    pub name: String,
    /// Names that are alike and are in the log, the nearest first; of secrets with where they are.
    pub nearest: Vec<String>,
}

/// Names that `filter` asks for and that no entry has. Where entries lie in an archive nothing is said: they
/// might have them. Nor is a word of those that entries can have once that has happened.
pub(super) async fn unknown(database: &Database, filter: &Filter) -> Result<Vec<UnknownName>> {
    if !ranges::all(database).await?.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for (what, name) in [
        ("action", filter.action.as_ref().filter(|it| class_of(it).is_none())),
        ("application", filter.application.as_ref()),
        ("scope", filter.scope.as_ref()),
    ] {
        let Some(name) = name else { continue };
        let there = names(database, what).await?;
        let is_it =
            |it: &String| it == name || what == "action" && name.ends_with('.') && it.starts_with(name);
        // More names than are compared: then whether this one is among them is not known.
        if there.len() < COMPARED && !there.iter().any(is_it) {
            found.push(UnknownName { what, name: name.clone(), nearest: alike(name, there) });
        }
    }
    if let Some(secret) = &filter.secret {
        found.extend(unknown_secret(database, filter, secret).await?);
    }
    Ok(found)
}

async fn unknown_secret(database: &Database, filter: &Filter, secret: &str) -> Result<Option<UnknownName>> {
    let place = [filter.application.as_ref(), filter.environment.as_ref()];
    if is_there(database, &at(secret, place)).await? {
        return Ok(None);
    }
    let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
    let is_placed = place.iter().any(Option::is_some);
    for name in alike(secret, names(database, "secret").await?) {
        if is_placed && is_there(database, &at(&name, place)).await? {
            here.push(path(place, &name));
        } else {
            elsewhere.push(first_place(database, &name).await?);
        }
    }
    here.append(&mut elsewhere);
    Ok(Some(UnknownName { what: "secret", name: path(place, secret), nearest: here }))
}

/// A condition and its arguments.
type Condition = (String, Vec<Arg>);

/// A secret of this name, as far as it was said where.
fn at(secret: &str, place: [Option<&String>; 2]) -> Condition {
    let (mut condition, mut args) = ("secret = $1".to_owned(), vec![secret.into()]);
    for (column, value) in ["application", "environment"].into_iter().zip(place) {
        if let Some(value) = value {
            args.push(value.into());
            let _ = write!(condition, " AND {column} = ${}", args.len());
        }
    }
    (condition, args)
}

async fn is_there(database: &Database, (condition, args): &Condition) -> Result<bool> {
    let text = format!("SELECT idx FROM entries WHERE {condition} LIMIT 1");
    let row: Option<(i64,)> = database.fetch_optional(Query::composed(text, args.clone())).await?;
    Ok(row.is_some())
}

/// Every name that a column has, without reading every entry: from one name to the next by the index.
async fn names(database: &Database, column: &str) -> Result<Vec<String>> {
    let text = format!(
        "WITH RECURSIVE names (name) AS (\
           SELECT MIN({column}) FROM entries WHERE {column} IS NOT NULL \
           UNION ALL \
           SELECT (SELECT MIN(e.{column}) FROM entries e WHERE e.{column} > n.name AND e.{column} IS NOT NULL) \
           FROM names n WHERE n.name IS NOT NULL) \
         SELECT name FROM names WHERE name IS NOT NULL LIMIT {COMPARED}"
    );
    let rows: Vec<(String,)> = database.fetch_all(Query::composed(text, Vec::new())).await?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

/// Where a secret of this name is.
async fn first_place(database: &Database, secret: &str) -> Result<String> {
    let text = "SELECT application, environment FROM entries WHERE secret = $1 AND application IS NOT NULL \
                AND environment IS NOT NULL LIMIT 1";
    let row: Option<(String, String)> =
        database.fetch_optional(Query::composed(text.to_owned(), vec![secret.into()])).await?;
    Ok(row.map_or_else(
        || secret.to_owned(),
        |(application, environment)| path([Some(&application), Some(&environment)], secret),
    ))
}

fn path(place: [Option<&String>; 2], secret: &str) -> String {
    let parts: Vec<&str> = place.into_iter().flatten().map(String::as_str).chain([secret]).collect();
    parts.join("/")
}

/// The names that are most like this one.
fn alike(name: &str, among: Vec<String>) -> Vec<String> {
    let mut rated: Vec<(f64, String)> = among
        .into_iter()
        .map(|it| (strsim::jaro_winkler(&name.to_lowercase(), &it.to_lowercase()), it))
        .filter(|(rate, _)| *rate >= ALIKE)
        .collect();
    rated.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    rated.into_iter().take(TOLD).map(|(_, it)| it).collect()
}

#[cfg(test)]
mod tests {
    use super::alike;

    #[test]
    fn the_nearest_names_come_first_and_others_not_at_all() {
        let names = ["secret.run", "secret.revealed", "session.began"].map(str::to_owned).to_vec();
        assert_eq!(alike("secrets.reveald", names)[0], "secret.revealed");
        assert!(alike("xyz", vec!["secret.run".to_owned()]).is_empty());
        assert_eq!(alike("database_url", vec!["DATABASE_URL".to_owned()]), ["DATABASE_URL"]);
    }
}
