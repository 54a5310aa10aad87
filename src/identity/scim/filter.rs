//! Filters (RFC 7644, section 3.4.2.2): parsed by a library whose effort is bounded, and turned into SQL
//! over the columns that are indexed. No text of a filter gets into a query: what it compares with is an
//! argument.

use scim_v2::filter::{AttrExp, AttrPath, CompValue, CompareOp, Filter, ValFilter};

use super::{
    refuse,
    schema::{GROUP, USER},
};
use crate::{
    base::{Problem, Result, Timestamp},
    store::Arg,
};

/// Longest filter, in bytes.
pub const LONGEST: usize = 4096;
/// How many comparisons one filter may make.
const MOST_TERMS: usize = 100;

/// What is looked for: people or groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    /// People: the table `scim_users` as `u`, and her person as `p`.
    People,
    /// Groups: the table `scim_groups` as `u`.
    Groups,
}

/// How a column is compared.
#[derive(Clone, Copy, Debug)]
enum Column {
    /// Text as it is.
    Exact(&'static str),
    /// Text that is kept in lower case.
    Folded(&'static str),
    Time(&'static str),
    Bool(&'static str),
    /// The same for every resource of the kind.
    Fixed(&'static str),
    /// Rows of another table: `EXISTS (SELECT … AND …)`, and the column that stands for the value.
    Rows(Rows),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rows {
    Emails,
    Members,
}

/// Whether anything works for her: her person's status, else what the connection said.
pub const ACTIVE: &str = "(CASE WHEN p.status IS NULL THEN u.active ELSE p.status = 'active' END)";

/// A filter as a condition, and its arguments. `first` is the number of the first placeholder.
pub struct Compiled {
    /// The condition.
    pub text: String,
    /// Its arguments.
    pub args: Vec<Arg>,
}

/// Reads a filter.
///
/// # Errors
/// `invalidFilter`: one that is too long, too deep, or not one.
pub fn parse(text: &str) -> Result<Filter> {
    if text.len() > LONGEST {
        return Err(invalid(&format!("it is longer than {LONGEST} bytes")));
    }
    let filter: Filter =
        value_paths_closed(text).parse().map_err(|_| invalid("it is none, or is nested too deeply"))?;
    if terms(&filter) > MOST_TERMS {
        return Err(invalid(&format!("it makes more than {MOST_TERMS} comparisons")));
    }
    Ok(filter)
}

fn invalid(why: &str) -> Problem {
    refuse("invalidFilter", format!("the filter cannot be used: {why}"))
}

/// Entra asks for `emails[type eq "work"].value eq "…"`, for which the grammar of filters has no words:
/// the comparison moves into the brackets.
fn value_paths_closed(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(at) = closing_with_part(rest) {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        let Some(end) = comparison_end(after) else { break };
        let Some(open) = opening(before) else { break };
        out.push_str(&before[..=open]);
        out.push('(');
        out.push_str(&before[open + 1..]);
        out.push_str(") and ");
        out.push_str(&after[..end]);
        out.push(']');
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

/// Walks over what stands outside of texts.
fn outside(text: &str) -> impl Iterator<Item = (usize, char)> {
    let (mut within, mut escaped) = (false, false);
    text.char_indices().filter(move |(_, c)| {
        if within {
            within = escaped || *c != '"';
            escaped = !escaped && *c == '\\';
            return false;
        }
        within = *c == '"';
        !within
    })
}

/// Where `].` stands outside of a text.
fn closing_with_part(text: &str) -> Option<usize> {
    outside(text).find(|(at, c)| *c == ']' && text[at + 1..].starts_with('.')).map(|(at, _)| at)
}

/// The bracket that the end of `text` stands in.
fn opening(text: &str) -> Option<usize> {
    outside(text).filter(|(_, c)| *c == '[').last().map(|(at, _)| at)
}

/// Where a comparison, `value eq "x"` or `value pr`, ends.
fn comparison_end(text: &str) -> Option<usize> {
    let mut words = text.split(' ').scan(0, |at, word| {
        let begin = *at;
        *at += word.len() + 1;
        Some((begin, word))
    });
    let _name = words.next()?;
    let (begin, operator) = words.find(|(_, word)| !word.is_empty())?;
    let after = begin + operator.len();
    let trimmed = |it: &str| it.trim_end_matches(')').len();
    if operator[..trimmed(operator)].eq_ignore_ascii_case("pr") {
        return Some(begin + trimmed(operator));
    }
    let value = after + text.get(after..)?.len() - text.get(after..)?.trim_start().len();
    let rest = text.get(value..)?;
    if rest.starts_with('"') {
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|(_, c)| {
            let is_end = *c == '"' && !escaped;
            escaped = !escaped && *c == '\\';
            is_end
        })?;
        return Some(value + end.0 + 1);
    }
    let length = rest.find([' ', ')']).unwrap_or(rest.len());
    (length > 0).then_some(value + length)
}

fn terms(filter: &Filter) -> usize {
    match filter {
        Filter::Attr(_) => 1,
        Filter::ValuePath(path) => inner_terms(&path.filter),
        Filter::Not(inner) => terms(inner),
        Filter::And(all) | Filter::Or(all) => all.iter().map(terms).sum(),
    }
}

fn inner_terms(filter: &ValFilter) -> usize {
    match filter {
        ValFilter::Attr(_) => 1,
        ValFilter::Not(inner) => inner_terms(inner),
        ValFilter::And(all) | ValFilter::Or(all) => all.iter().map(inner_terms).sum(),
    }
}

/// Turns a filter into a condition. With `lenient`, what only the other kind of resource has is what none
/// of these has, as a search over all of them wants it.
///
/// # Errors
/// `invalidFilter` for an attribute by which nobody can look, or a comparison that it does not allow.
pub fn compile(filter: &Filter, among: Among, first: usize, lenient: bool) -> Result<Compiled> {
    let mut writer = Writer { among, lenient, next: first, args: Vec::new() };
    let text = writer.filter(filter)?;
    Ok(Compiled { text, args: writer.args })
}

/// The column by which resources are put in an order.
///
/// # Errors
/// `invalidValue` for one by which they are not.
pub fn order(among: Among, attribute: &str) -> Result<&'static str> {
    let path: AttrPath = match attribute.split_once('.') {
        Some((name, part)) => AttrPath::with_sub_attr(name, part),
        None => AttrPath::with_name(attribute),
    };
    match column(among, &path) {
        Some(Column::Exact(name) | Column::Folded(name) | Column::Time(name) | Column::Bool(name)) => {
            Ok(name)
        }
        _ => Err(refuse("invalidValue", "nothing is put in order by that attribute")),
    }
}

fn column(among: Among, path: &AttrPath) -> Option<Column> {
    let urn = if among == Among::People { USER } else { GROUP };
    if path.uri.as_ref().is_some_and(|uri| !uri.eq_ignore_ascii_case(urn)) {
        return None;
    }
    let name = path.name.to_ascii_lowercase();
    let part = path.sub_attr.as_deref().map(str::to_ascii_lowercase);
    Some(match (among, name.as_str(), part.as_deref()) {
        (_, "id", None) => Column::Exact("u.id"),
        (_, "externalid", None) => Column::Exact("u.external_id"),
        (_, "displayname", None) => Column::Folded("u.display_key"),
        (_, "meta", Some("created")) => Column::Time("u.created_at"),
        (_, "meta", Some("lastmodified")) => Column::Time("u.changed_at"),
        (Among::People, "meta", Some("resourcetype")) => Column::Fixed("User"),
        (Among::Groups, "meta", Some("resourcetype")) => Column::Fixed("Group"),
        (Among::People, "username", None) => Column::Folded("u.user_name_key"),
        (Among::People, "active", None) => Column::Bool(ACTIVE),
        (Among::People, "emails", None | Some("value" | "type" | "primary")) => Column::Rows(Rows::Emails),
        (Among::Groups, "members", None | Some("value")) => Column::Rows(Rows::Members),
        _ => return None,
    })
}

impl Rows {
    /// The column of one of its parts; without a part, of the value.
    fn column(self, part: Option<&str>) -> Option<Column> {
        let part = part.unwrap_or("value").to_ascii_lowercase();
        Some(match (self, part.as_str()) {
            (Self::Emails, "value") => Column::Folded("e.value_key"),
            (Self::Emails, "type") => Column::Folded("e.type_key"),
            (Self::Emails, "primary") => Column::Bool("e.is_primary"),
            (Self::Members, "value") => Column::Exact("e.user_id"),
            (Self::Members, "type") => Column::Fixed("User"),
            _ => return None,
        })
    }

    fn exists(self, condition: &str) -> String {
        let from = match self {
            Self::Emails => "scim_emails e WHERE e.user_id = u.id",
            Self::Members => "scim_members e WHERE e.group_id = u.id",
        };
        format!("EXISTS (SELECT 1 FROM {from} AND {condition})")
    }
}

struct Writer {
    among: Among,
    lenient: bool,
    next: usize,
    args: Vec<Arg>,
}

impl Writer {
    fn filter(&mut self, filter: &Filter) -> Result<String> {
        Ok(match filter {
            Filter::Attr(expression) => self.expression(expression)?,
            Filter::ValuePath(path) => {
                let Some(Column::Rows(rows)) = column(self.among, &path.attr) else {
                    return self.unknown(&path.attr);
                };
                let condition = self.inner(rows, &path.filter)?;
                rows.exists(&condition)
            }
            Filter::Not(inner) => format!("NOT ({})", self.filter(inner)?),
            Filter::And(all) => self.joined(all.iter(), " AND ", Self::filter)?,
            Filter::Or(all) => self.joined(all.iter(), " OR ", Self::filter)?,
        })
    }

    fn inner(&mut self, rows: Rows, filter: &ValFilter) -> Result<String> {
        Ok(match filter {
            ValFilter::Attr(expression) => {
                let (AttrExp::Present(path) | AttrExp::Comparison(path, ..)) = expression;
                let column = rows.column(Some(&path.name)).filter(|_| path.sub_attr.is_none());
                self.compare(column.ok_or_else(|| unknown(path))?, expression)?
            }
            ValFilter::Not(inner) => format!("NOT ({})", self.inner(rows, inner)?),
            ValFilter::And(all) => self.joined(all.iter(), " AND ", |it, one| it.inner(rows, one))?,
            ValFilter::Or(all) => self.joined(all.iter(), " OR ", |it, one| it.inner(rows, one))?,
        })
    }

    fn joined<'f, T: 'f>(
        &mut self,
        all: impl Iterator<Item = &'f T>,
        word: &str,
        write: impl Fn(&mut Self, &T) -> Result<String>,
    ) -> Result<String> {
        let parts: Vec<String> = all.map(|one| write(self, one)).collect::<Result<_>>()?;
        Ok(format!("({})", parts.join(word)))
    }

    fn expression(&mut self, expression: &AttrExp) -> Result<String> {
        let (AttrExp::Present(path) | AttrExp::Comparison(path, ..)) = expression;
        match column(self.among, path) {
            Some(Column::Rows(rows)) => {
                let column = rows.column(path.sub_attr.as_deref()).ok_or_else(|| unknown(path))?;
                // Not one of them, rather than one that is not it.
                if let AttrExp::Comparison(path, CompareOp::Ne, value) = expression {
                    let equal = AttrExp::Comparison(path.clone(), CompareOp::Eq, value.clone());
                    let condition = self.compare(column, &equal)?;
                    return Ok(format!("NOT {}", rows.exists(&condition)));
                }
                let condition = self.compare(column, expression)?;
                Ok(rows.exists(&condition))
            }
            Some(column) => self.compare(column, expression),
            None => self.unknown(path),
        }
    }

    fn unknown(&self, path: &AttrPath) -> Result<String> {
        let other = if self.among == Among::People { Among::Groups } else { Among::People };
        if self.lenient && column(other, path).is_some() {
            return Ok("1 = 0".to_owned());
        }
        Err(unknown(path))
    }

    fn compare(&mut self, column: Column, expression: &AttrExp) -> Result<String> {
        let AttrExp::Comparison(_, operator, value) = expression else {
            return Ok(match column {
                Column::Exact(name) | Column::Folded(name) => {
                    format!("({name} IS NOT NULL AND {name} <> '')")
                }
                Column::Time(_) | Column::Bool(_) | Column::Fixed(_) | Column::Rows(_) => "1 = 1".to_owned(),
            });
        };
        match (column, value) {
            (Column::Exact(name) | Column::Folded(name), CompValue::Null) => null(name, operator),
            (Column::Exact(name), CompValue::Str(text)) => Ok(self.text(name, operator, text.clone())),
            (Column::Folded(name), CompValue::Str(text)) => {
                Ok(self.text(name, operator, text.to_lowercase()))
            }
            (Column::Time(name), CompValue::Str(text)) => self.time(name, operator, text),
            (Column::Bool(name), value) => self.truth(name, operator, value),
            (Column::Fixed(fixed), CompValue::Str(text)) => constant(fixed, operator, text),
            _ => Err(invalid("an attribute is compared with a value of another type")),
        }
    }

    fn bind(&mut self, arg: impl Into<Arg>) -> String {
        self.args.push(arg.into());
        self.next += 1;
        format!("${}", self.next - 1)
    }

    /// Never NULL, so that NOT turns it round.
    fn text(&mut self, name: &str, operator: &CompareOp, text: String) -> String {
        if text.is_empty() && matches!(operator, CompareOp::Co | CompareOp::Sw | CompareOp::Ew) {
            return format!("({name} IS NOT NULL)");
        }
        let it = self.bind(text);
        let condition = match operator {
            CompareOp::Ne => return format!("({name} IS NULL OR {name} <> {it})"),
            CompareOp::Eq => format!("{name} = {it}"),
            CompareOp::Co => format!("replace({name}, {it}, '') <> {name}"),
            CompareOp::Sw => format!("substr({name}, 1, length({it})) = {it}"),
            CompareOp::Ew => format!("substr({name}, length({name}) - length({it}) + 1) = {it}"),
            CompareOp::Gt => format!("{name} > {it}"),
            CompareOp::Lt => format!("{name} < {it}"),
            CompareOp::Ge => format!("{name} >= {it}"),
            CompareOp::Le => format!("{name} <= {it}"),
        };
        format!("({name} IS NOT NULL AND {condition})")
    }

    fn time(&mut self, name: &str, operator: &CompareOp, text: &str) -> Result<String> {
        let at: Timestamp = text.parse().map_err(|_| invalid("a time is not written as one"))?;
        let sign = match operator {
            CompareOp::Eq => "=",
            CompareOp::Ne => "<>",
            CompareOp::Gt => ">",
            CompareOp::Lt => "<",
            CompareOp::Ge => ">=",
            CompareOp::Le => "<=",
            _ => return Err(invalid("times are compared as a whole")),
        };
        let it = self.bind(at);
        Ok(format!("{name} {sign} {it}"))
    }

    fn truth(&mut self, name: &str, operator: &CompareOp, value: &CompValue) -> Result<String> {
        let wanted = match value {
            CompValue::True => true,
            CompValue::False => false,
            // As Entra spells it.
            CompValue::Str(text) if text.eq_ignore_ascii_case("true") => true,
            CompValue::Str(text) if text.eq_ignore_ascii_case("false") => false,
            _ => return Err(invalid("what is true or false is compared with something else")),
        };
        let sign = match operator {
            CompareOp::Eq => "=",
            CompareOp::Ne => "<>",
            _ => return Err(invalid("what is true or false is only equal or not")),
        };
        let it = self.bind(wanted);
        Ok(format!("{name} {sign} {it}"))
    }
}

fn unknown(path: &AttrPath) -> Problem {
    let shown: String = path.to_string().chars().take(80).collect();
    invalid(&format!("nobody can look by the attribute '{}'", shown.escape_debug()))
}

fn null(name: &str, operator: &CompareOp) -> Result<String> {
    match operator {
        CompareOp::Eq => Ok(format!("({name} IS NULL)")),
        CompareOp::Ne => Ok(format!("({name} IS NOT NULL)")),
        _ => Err(invalid("null is only equal or not")),
    }
}

fn constant(fixed: &str, operator: &CompareOp, text: &str) -> Result<String> {
    let (fixed, text) = (fixed.to_lowercase(), text.to_lowercase());
    let holds = match operator {
        CompareOp::Eq => fixed == text,
        CompareOp::Ne => fixed != text,
        CompareOp::Co => fixed.contains(&text),
        CompareOp::Sw => fixed.starts_with(&text),
        CompareOp::Ew => fixed.ends_with(&text),
        _ => return Err(invalid("that attribute is only equal or not")),
    };
    Ok(if holds { "1 = 1" } else { "1 = 0" }.to_owned())
}
