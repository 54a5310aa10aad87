//! PATCH (RFC 7644, section 3.5.2), as the standard has it and as Okta and Entra send it.

use scim_v2::filter::{AttrExp, AttrPath, CompValue, CompareOp, PatchPath, ValFilter};
use serde_json::{Map, Value};

use super::{
    filter::LONGEST,
    refuse,
    schema::{Attribute, Place, Schema, Writable, named, truth},
};
use crate::base::Result;

/// How many operations one request may hold.
const MOST_OPERATIONS: usize = 1000;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Adds to what is there.
    Add,
    /// Takes the place of what is there.
    Replace,
    /// Takes away.
    Remove,
}

/// One operation: what it does, where, and with which value.
#[derive(Clone, Debug)]
pub struct Operation {
    /// What it does.
    pub verb: Verb,
    /// To what.
    pub target: Target,
    /// With which value; null where there is none.
    pub value: Value,
}

/// What an operation is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// An attribute, or a part of it.
    Path(PatchPath),
    /// The whole extension of that URN.
    Extension(&'static str),
}

impl Target {
    /// The attribute that it is about.
    #[must_use]
    pub fn attribute(&self) -> Option<&AttrPath> {
        match self {
            Self::Path(PatchPath::Attr(path)) => Some(path),
            Self::Path(PatchPath::Value(path)) => Some(&path.attr),
            Self::Extension(_) => None,
        }
    }

    /// Whether it is about the attribute of that name of the resource itself.
    #[must_use]
    pub fn is(&self, schema: &Schema, name: &str) -> bool {
        self.attribute().is_some_and(|path| {
            path.name.eq_ignore_ascii_case(name)
                && path.uri.as_ref().is_none_or(|uri| uri.eq_ignore_ascii_case(schema.urn))
        })
    }
}

/// The operations of a request's body, each about one attribute.
///
/// # Errors
/// `invalidSyntax`, `invalidPath`, `noTarget`.
pub fn read(schema: &Schema, body: &Map<String, Value>) -> Result<Vec<Operation>> {
    read_each(schema, body)?.into_iter().collect()
}

/// The same, each with what is wrong with it: what can be read of a request that takes somebody away counts,
/// whatever else is in it.
///
/// # Errors
/// `invalidSyntax` where there are no operations, or too many.
pub fn read_each(schema: &Schema, body: &Map<String, Value>) -> Result<Vec<Result<Operation>>> {
    let operations = member(body, "Operations").and_then(Value::as_array);
    let operations =
        operations.ok_or_else(|| refuse("invalidSyntax", "the body has no list of Operations"))?;
    if operations.is_empty() || operations.len() > MOST_OPERATIONS {
        return Err(refuse("invalidSyntax", format!("1 to {MOST_OPERATIONS} operations are taken at once")));
    }
    let mut read = Vec::with_capacity(operations.len());
    for operation in operations {
        let outcome = match operation.as_object() {
            Some(operation) => one(schema, operation, &mut read),
            None => Err(refuse("invalidSyntax", "an operation is no object")),
        };
        read.extend(outcome.err().map(Err));
    }
    Ok(read)
}

/// A member of an object, whatever the case of its name.
#[must_use]
pub fn member<'v>(of: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    of.get(name).or_else(|| of.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

fn one(schema: &Schema, operation: &Map<String, Value>, into: &mut Vec<Result<Operation>>) -> Result<()> {
    let verb = member(operation, "op").and_then(Value::as_str).unwrap_or_default();
    let verb = match verb.to_ascii_lowercase().as_str() {
        "add" => Verb::Add,
        "replace" => Verb::Replace,
        "remove" => Verb::Remove,
        _ => return Err(refuse("invalidSyntax", "an operation is neither add nor replace nor remove")),
    };
    let value = member(operation, "value").cloned().unwrap_or(Value::Null);
    match member(operation, "path") {
        None | Some(Value::Null) => without_path(schema, verb, value, into),
        Some(Value::String(path)) if path.trim().is_empty() => without_path(schema, verb, value, into),
        Some(Value::String(path)) => match target(schema, path)? {
            // The schema of the resource itself is the resource.
            None => without_path(schema, verb, value, into),
            Some(target) => {
                into.push(Ok(Operation { verb, target, value }));
                Ok(())
            }
        },
        Some(_) => Err(refuse("invalidPath", "a path is no text")),
    }
}

/// An object in place of a path: each of its members is one, also where it is written as a path.
fn without_path(schema: &Schema, verb: Verb, value: Value, into: &mut Vec<Result<Operation>>) -> Result<()> {
    let Value::Object(members) = value else {
        return Err(refuse("noTarget", "an operation says neither by a path nor by names what it is about"));
    };
    for (path, value) in members {
        if path.eq_ignore_ascii_case("schemas") {
            continue;
        }
        into.push(match target(schema, &path) {
            Ok(Some(target)) => Ok(Operation { verb, target, value }),
            Ok(None) => Err(refuse("invalidPath", "a schema cannot stand within itself")),
            Err(problem) => Err(problem),
        });
    }
    Ok(())
}

/// What a path is about; nothing for the resource itself.
fn target(schema: &Schema, path: &str) -> Result<Option<Target>> {
    let path = path.trim();
    if path.len() > LONGEST {
        return Err(refuse("invalidPath", "a path is too long"));
    }
    if path.eq_ignore_ascii_case(schema.urn) {
        return Ok(None);
    }
    if let Some(urn) = schema.extension(path) {
        return Ok(Some(Target::Extension(urn)));
    }
    let parsed: PatchPath = path.parse().map_err(|_| {
        let shown: String = path.chars().take(80).collect();
        refuse("invalidPath", format!("'{}' is no path", shown.escape_debug()))
    })?;
    Ok(Some(Target::Path(parsed)))
}

/// Does one operation to a resource. What the schema does not know is passed over.
///
/// # Errors
/// `invalidPath`, `invalidValue`, `mutability`, `noTarget`.
pub fn apply(schema: &Schema, resource: &mut Map<String, Value>, operation: &Operation) -> Result<()> {
    match &operation.target {
        Target::Extension(urn) => extension(schema, resource, urn, operation),
        Target::Path(path) => {
            let (PatchPath::Attr(attribute)
            | PatchPath::Value(scim_v2::filter::PatchValuePath { attr: attribute, .. })) = path;
            let Some(place) = schema.find(attribute.uri.as_deref(), &attribute.name) else { return Ok(()) };
            if place.attribute.writable == Writable::Never {
                return Err(refuse("mutability", format!("{} cannot be written", place.attribute.name)));
            }
            within(resource, place, |holder| at(holder, place.attribute, path, operation))
        }
    }
}

/// Does something to the object that a place's attribute stands in.
fn within(
    resource: &mut Map<String, Value>,
    place: Place,
    act: impl FnOnce(&mut Map<String, Value>) -> Result<()>,
) -> Result<()> {
    let Some(urn) = place.within else { return act(resource) };
    let mut holder = match resource.remove(urn) {
        Some(Value::Object(holder)) => holder,
        _ => Map::new(),
    };
    let outcome = act(&mut holder);
    if !holder.is_empty() {
        resource.insert(urn.to_owned(), Value::Object(holder));
    }
    outcome
}

fn extension(
    schema: &Schema,
    resource: &mut Map<String, Value>,
    urn: &'static str,
    operation: &Operation,
) -> Result<()> {
    if operation.verb == Verb::Remove {
        resource.remove(urn);
        return Ok(());
    }
    let Value::Object(members) = &operation.value else {
        return Err(refuse("invalidValue", "an extension has to be an object"));
    };
    for (name, value) in members {
        let path = PatchPath::Attr(AttrPath { uri: Some(urn.to_owned()), ..AttrPath::with_name(name) });
        let inner = Operation { verb: operation.verb, target: Target::Path(path), value: value.clone() };
        apply(schema, resource, &inner)?;
    }
    Ok(())
}

fn at(
    holder: &mut Map<String, Value>,
    attribute: &'static Attribute,
    path: &PatchPath,
    operation: &Operation,
) -> Result<()> {
    match path {
        PatchPath::Attr(path) => match path.sub_attr.as_deref() {
            None if attribute.many => list(holder, attribute, operation),
            None => single(holder, attribute, operation),
            Some(part) => {
                let part = part_of(attribute, part)?;
                if attribute.many {
                    each(holder, attribute, None, Some(part), operation)
                } else {
                    in_object(holder, attribute, part, operation)
                }
            }
        },
        PatchPath::Value(path) => {
            let part = path.sub_attr.as_deref().map(|part| part_of(attribute, part)).transpose()?;
            if !attribute.many {
                return Err(refuse("invalidPath", format!("{} is no list", attribute.name)));
            }
            each(holder, attribute, Some(&path.filter), part, operation)
        }
    }
}

fn part_of(attribute: &'static Attribute, name: &str) -> Result<&'static Attribute> {
    named(attribute.parts(), name)
        .ok_or_else(|| refuse("invalidPath", format!("{} has no such part", attribute.name)))
}

fn single(
    holder: &mut Map<String, Value>,
    attribute: &'static Attribute,
    operation: &Operation,
) -> Result<()> {
    let value = if operation.verb == Verb::Remove { None } else { attribute.one(&operation.value)? };
    match (value, holder.get_mut(attribute.name)) {
        (None, _) => {
            holder.remove(attribute.name);
        }
        // Parts that are not said stay as they were.
        (Some(Value::Object(said)), Some(Value::Object(before))) => before.extend(said),
        (Some(value), _) => {
            holder.insert(attribute.name.to_owned(), value);
        }
    }
    Ok(())
}

fn in_object(
    holder: &mut Map<String, Value>,
    attribute: &'static Attribute,
    part: &'static Attribute,
    operation: &Operation,
) -> Result<()> {
    if part.writable == Writable::Never {
        return Err(refuse("mutability", format!("{}.{} cannot be written", attribute.name, part.name)));
    }
    let mut object = match holder.remove(attribute.name) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    };
    let outcome = single(&mut object, part, operation);
    if !object.is_empty() {
        holder.insert(attribute.name.to_owned(), Value::Object(object));
    }
    outcome
}

fn take_list(holder: &mut Map<String, Value>, name: &str) -> Vec<Value> {
    match holder.remove(name) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn list(holder: &mut Map<String, Value>, attribute: &'static Attribute, operation: &Operation) -> Result<()> {
    let said = match attribute.read(&operation.value)? {
        Some(Value::Array(said)) => said,
        _ => Vec::new(),
    };
    let mut items = match operation.verb {
        Verb::Replace => Vec::new(),
        Verb::Remove if operation.value.is_null() => Vec::new(),
        Verb::Add | Verb::Remove => take_list(holder, attribute.name),
    };
    if operation.verb == Verb::Remove {
        holder.remove(attribute.name);
        items.retain(|item| !said.iter().any(|gone| is_meant(gone, item)));
    } else {
        if said.iter().any(is_primary) {
            items.iter_mut().for_each(no_longer_primary);
        }
        for item in said {
            if !items.contains(&item) {
                items.push(item);
            }
        }
    }
    put(holder, attribute, items)
}

/// Keeps a list that is not empty and not too long.
fn put(holder: &mut Map<String, Value>, attribute: &'static Attribute, items: Vec<Value>) -> Result<()> {
    match attribute.read(&Value::Array(items))? {
        Some(items) => holder.insert(attribute.name.to_owned(), items),
        None => holder.remove(attribute.name),
    };
    Ok(())
}

/// Whether a value of a list is meant by what somebody says of it.
fn is_meant(said: &Value, item: &Value) -> bool {
    match (said.get("value"), item.get("value")) {
        (Some(said), Some(item)) => said == item,
        _ => said == item,
    }
}

fn is_primary(item: &Value) -> bool {
    item.get("primary").and_then(Value::as_bool) == Some(true)
}

fn no_longer_primary(item: &mut Value) {
    if is_primary(item) {
        item["primary"] = false.into();
    }
}

/// Does something to those values of a list that fit a filter, or to all of them.
fn each(
    holder: &mut Map<String, Value>,
    attribute: &'static Attribute,
    filter: Option<&ValFilter>,
    part: Option<&'static Attribute>,
    operation: &Operation,
) -> Result<()> {
    let mut items = take_list(holder, attribute.name);
    let fits: Vec<bool> = items
        .iter()
        .map(|item| filter.map_or(Ok(true), |filter| matches(attribute, filter, item)))
        .collect::<Result<_>>()?;
    if operation.verb == Verb::Remove {
        remove(&mut items, &fits, part);
        return put(holder, attribute, items);
    }
    let mut found = false;
    for (item, _) in items.iter_mut().zip(&fits).filter(|(_, fits)| **fits) {
        found = true;
        change(item, attribute, part, operation)?;
    }
    if !found {
        let mut item = Value::Object(filter.map_or_else(|| Ok(Map::new()), |it| made_for(attribute, it))?);
        change(&mut item, attribute, part, operation)?;
        items.push(item);
    }
    put(holder, attribute, items)
}

fn remove(items: &mut Vec<Value>, fits: &[bool], part: Option<&'static Attribute>) {
    let mut fits = fits.iter();
    match part {
        None => items.retain(|_| !fits.next().copied().unwrap_or_default()),
        Some(part) => {
            for item in items.iter_mut().filter(|_| fits.next().copied().unwrap_or_default()) {
                if let Some(item) = item.as_object_mut() {
                    item.remove(part.name);
                }
            }
        }
    }
}

fn change(
    item: &mut Value,
    attribute: &'static Attribute,
    part: Option<&'static Attribute>,
    operation: &Operation,
) -> Result<()> {
    let Value::Object(object) = item else { return Ok(()) };
    match part {
        Some(part) => single(object, part, operation),
        None => match attribute.one(&operation.value)? {
            Some(Value::Object(said)) if operation.verb == Verb::Replace => {
                *object = said;
                Ok(())
            }
            Some(Value::Object(said)) => {
                object.extend(said);
                Ok(())
            }
            _ => Err(refuse("invalidValue", format!("a value of {} has to be an object", attribute.name))),
        },
    }
}

/// The value of a list that a filter describes, where nothing fits it: Entra sets
/// `emails[type eq "work"].value` of people who have none.
fn made_for(attribute: &'static Attribute, filter: &ValFilter) -> Result<Map<String, Value>> {
    let none = || refuse("noTarget", format!("no value of {} fits the path", attribute.name));
    match filter {
        ValFilter::Attr(AttrExp::Comparison(path, CompareOp::Eq, value)) => {
            let part = named(attribute.parts(), &path.name).ok_or_else(none)?;
            let value = part.one(&json_of(value))?.ok_or_else(none)?;
            Ok(Map::from_iter([(part.name.to_owned(), value)]))
        }
        ValFilter::And(all) => {
            let mut made = Map::new();
            for one in all {
                made.extend(made_for(attribute, one)?);
            }
            Ok(made)
        }
        _ => Err(none()),
    }
}

fn json_of(value: &CompValue) -> Value {
    match value {
        CompValue::True => true.into(),
        CompValue::False => false.into(),
        CompValue::Null => Value::Null,
        CompValue::Number(number) => number.clone().into(),
        CompValue::Str(text) => text.as_str().into(),
    }
}

/// Whether one value of a list fits a filter.
fn matches(attribute: &'static Attribute, filter: &ValFilter, item: &Value) -> Result<bool> {
    Ok(match filter {
        ValFilter::Not(inner) => !matches(attribute, inner, item)?,
        ValFilter::And(all) => !outcomes(attribute, all, item)?.contains(&false),
        ValFilter::Or(all) => outcomes(attribute, all, item)?.contains(&true),
        ValFilter::Attr(expression) => {
            let (AttrExp::Present(path) | AttrExp::Comparison(path, ..)) = expression;
            let part = part_of(attribute, &path.name)?;
            let value = item.get(part.name);
            match expression {
                AttrExp::Present(_) => value.is_some(),
                AttrExp::Comparison(_, operator, wanted) => compare(part, value, operator, &json_of(wanted))?,
            }
        }
    })
}

fn outcomes(attribute: &'static Attribute, all: &[ValFilter], item: &Value) -> Result<Vec<bool>> {
    all.iter().map(|one| matches(attribute, one, item)).collect()
}

fn compare(part: &Attribute, value: Option<&Value>, operator: &CompareOp, wanted: &Value) -> Result<bool> {
    let folded = |value: &Value| match value {
        Value::String(text) if !part.case_exact => text.to_lowercase(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    // True and false, however they are spelt.
    let value = value.map_or(String::new(), folded);
    let wanted = match (part.holds, truth(wanted)) {
        (super::schema::Holds::Bool, Some(it)) => it.to_string(),
        _ if wanted.is_null() => String::new(),
        _ => folded(wanted),
    };
    Ok(match operator {
        CompareOp::Eq => value == wanted,
        CompareOp::Ne => value != wanted,
        CompareOp::Co => value.contains(&wanted),
        CompareOp::Sw => value.starts_with(&wanted),
        CompareOp::Ew => value.ends_with(&wanted),
        CompareOp::Gt | CompareOp::Lt | CompareOp::Ge | CompareOp::Le => {
            return Err(refuse("invalidFilter", "a path compares by order"));
        }
    })
}
