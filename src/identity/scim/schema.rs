//! Which attributes are kept (RFC 7643), how they are read, and how they are described.

use serde_json::{Map, Value, json};

use super::refuse;
use crate::base::Result;

/// Of people, by RFC 7643, section 4.1.
pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// What companies add to people, section 4.3.
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// Of groups, section 4.2.
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// Longest text that is kept, in bytes.
const LONGEST: usize = 2048;
/// How many values one attribute may have.
const MOST_VALUES: usize = 100;

/// What an attribute holds.
#[derive(Clone, Copy)]
pub enum Holds {
    /// Text.
    Text,
    /// The address of something.
    Reference(&'static [&'static str]),
    /// True or false.
    Bool,
    /// Attributes of its own.
    Parts(&'static [Attribute]),
}

/// Who may write an attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Writable {
    /// Whoever provisions.
    Freely,
    /// Whoever provisions, once: as a value of a list it comes and goes, and does not change.
    Once,
    /// Nobody: it follows from something else.
    Never,
}

/// One attribute.
#[derive(Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a characteristic of its own in RFC 7643, section 2.2"
)]
pub struct Attribute {
    /// Its name, compared without case.
    pub name: &'static str,
    /// What it holds.
    pub holds: Holds,
    /// Whether it is a list.
    pub many: bool,
    /// Who may write it.
    pub writable: Writable,
    /// Whether two that differ in case are two.
    pub case_exact: bool,
    required: bool,
    unique: bool,
    /// The only values that it has, where these are few.
    values: &'static [&'static str],
    about: &'static str,
}

const fn of(name: &'static str, holds: Holds, about: &'static str) -> Attribute {
    Attribute {
        name,
        holds,
        many: false,
        writable: Writable::Freely,
        case_exact: false,
        required: false,
        unique: false,
        values: &[],
        about,
    }
}

const fn text(name: &'static str, about: &'static str) -> Attribute {
    of(name, Holds::Text, about)
}

const fn list(name: &'static str, parts: &'static [Attribute], about: &'static str) -> Attribute {
    Attribute { many: true, ..of(name, Holds::Parts(parts), about) }
}

const VALUE: Attribute = text("value", "The value itself.");
const KIND: Attribute = text("type", "What it is for, such as 'work'.");
const DISPLAY: Attribute = text("display", "For display.");
const PRIMARY: Attribute = of("primary", Holds::Bool, "Whether it is the preferred one.");
const VALUED: &[Attribute] = &[VALUE, KIND, DISPLAY, PRIMARY];

const NAME: &[Attribute] = &[
    text("formatted", "The whole name, for display."),
    text("familyName", "Family name."),
    text("givenName", "Given name."),
    text("middleName", "Middle names."),
    text("honorificPrefix", "Title before the name."),
    text("honorificSuffix", "What stands after the name."),
];

const ADDRESS: &[Attribute] = &[
    text("formatted", "The whole address, for display."),
    text("streetAddress", "Street and number."),
    text("locality", "City."),
    text("region", "State or region."),
    text("postalCode", "Postal code."),
    text("country", "Country."),
    KIND,
    PRIMARY,
];

const MANAGER: &[Attribute] = &[
    text("value", "Her id."),
    of("$ref", Holds::Reference(&["User"]), "Her address here."),
    Attribute { writable: Writable::Never, ..text("displayName", "Her name, for display.") },
];

const GROUPS: &[Attribute] = &[
    Attribute { writable: Writable::Never, ..text("value", "The group's id.") },
    Attribute {
        writable: Writable::Never,
        ..of("$ref", Holds::Reference(&["Group"]), "The group's address here.")
    },
    Attribute { writable: Writable::Never, ..text("display", "The group's name, for display.") },
];

const MEMBER: &[Attribute] = &[
    Attribute { writable: Writable::Once, case_exact: true, ..text("value", "The member's id.") },
    Attribute {
        writable: Writable::Once,
        ..of("$ref", Holds::Reference(&["User"]), "The member's address here.")
    },
    Attribute {
        writable: Writable::Once,
        values: &["User"],
        ..text("type", "Always 'User': groups are no members here.")
    },
];

/// What every resource has beside its own.
const EXTERNAL_ID: Attribute =
    Attribute { case_exact: true, ..text("externalId", "The id that the identity provider has for it.") };

const PERSON: &[Attribute] = &[
    Attribute {
        required: true,
        unique: true,
        ..text("userName", "What she is called by when she signs in.")
    },
    of("name", Holds::Parts(NAME), "Her name in parts."),
    text("displayName", "Her name, for display."),
    text("nickName", "What she likes to be called."),
    text("title", "Her title in the company."),
    text("userType", "How she belongs to the company."),
    text("preferredLanguage", "Her languages."),
    text("locale", "How dates and numbers are written for her."),
    text("timezone", "Where she lives, by the clock."),
    // It cannot be removed, and so it is required; who leaves it out says true of somebody new.
    Attribute { required: true, ..of("active", Holds::Bool, "Whether anything works for her.") },
    list("emails", VALUED, "E-mail addresses; for display only, they never join people."),
    list("phoneNumbers", VALUED, "Telephone numbers."),
    list("addresses", ADDRESS, "Addresses."),
    Attribute { writable: Writable::Never, ..list("groups", GROUPS, "The groups that she is in.") },
];

const EMPLOYEE: &[Attribute] = &[
    text("employeeNumber", "Her number in the company."),
    text("costCenter", "Her cost centre."),
    text("organization", "Her organization."),
    text("division", "Her division."),
    text("department", "Her department."),
    of("manager", Holds::Parts(MANAGER), "Whom she reports to."),
];

const TEAM: &[Attribute] = &[
    Attribute { required: true, ..text("displayName", "Its name, for display; it decides nothing.") },
    list("members", MEMBER, "The people who are in it."),
];

/// A resource's schema with its extension.
#[derive(Clone, Copy)]
pub struct Schema {
    /// Its URN.
    pub urn: &'static str,
    attributes: &'static [Attribute],
    extension: Option<(&'static str, &'static [Attribute])>,
}

/// Of people.
pub const PEOPLE: Schema = Schema { urn: USER, attributes: PERSON, extension: Some((ENTERPRISE, EMPLOYEE)) };
/// Of groups.
pub const TEAMS: Schema = Schema { urn: GROUP, attributes: TEAM, extension: None };

/// Where an attribute stands: in the resource itself, or in its extension.
#[derive(Clone, Copy)]
pub struct Place {
    /// The extension's URN, where it stands in one.
    pub within: Option<&'static str>,
    /// Which it is.
    pub attribute: &'static Attribute,
}

/// The one of that name, compared without case.
pub fn named(attributes: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    attributes.iter().find(|it| it.name.eq_ignore_ascii_case(name))
}

impl Schema {
    /// An attribute by its name, and by the URN before it where there is one.
    #[must_use]
    pub fn find(&self, urn: Option<&str>, name: &str) -> Option<Place> {
        let own = || {
            let attribute =
                named(self.attributes, name).or_else(|| named(std::slice::from_ref(&EXTERNAL_ID), name))?;
            Some(Place { within: None, attribute })
        };
        match (urn, self.extension) {
            (None, _) => own(),
            (Some(urn), _) if urn.eq_ignore_ascii_case(self.urn) => own(),
            (Some(urn), Some((within, attributes))) if urn.eq_ignore_ascii_case(within) => {
                Some(Place { within: Some(within), attribute: named(attributes, name)? })
            }
            _ => None,
        }
    }

    /// The URN of its extension, where `text` is that.
    #[must_use]
    pub fn extension(&self, text: &str) -> Option<&'static str> {
        self.extension.map(|(urn, _)| urn).filter(|urn| urn.eq_ignore_ascii_case(text))
    }

    /// What is kept of a resource that somebody sends: what the schema knows, in its spelling, without
    /// what nobody may write. The rest is passed over, as the standard has it.
    ///
    /// # Errors
    /// `invalidValue` for one of another type.
    pub fn read(&self, said: &Map<String, Value>) -> Result<Map<String, Value>> {
        let mut kept = Map::new();
        for (name, value) in said {
            if let Some(urn) = self.extension(name) {
                let Value::Object(inner) = value else { continue };
                let mut extended = Map::new();
                for (name, value) in inner {
                    self.keep(Some(urn), name, value, &mut extended)?;
                }
                if !extended.is_empty() {
                    kept.insert(urn.to_owned(), Value::Object(extended));
                }
            } else {
                self.keep(None, name, value, &mut kept)?;
            }
        }
        Ok(kept)
    }

    fn keep(
        &self,
        urn: Option<&str>,
        name: &str,
        value: &Value,
        into: &mut Map<String, Value>,
    ) -> Result<()> {
        let Some(Place { attribute, .. }) = self.find(urn, name) else { return Ok(()) };
        if attribute.writable == Writable::Never {
            return Ok(());
        }
        if let Some(value) = attribute.read(value)? {
            into.insert(attribute.name.to_owned(), value);
        }
        Ok(())
    }

    /// As `/Schemas` describes it.
    #[must_use]
    pub fn described(&self) -> Vec<Value> {
        let (name, about) =
            if self.urn == USER { ("User", "People.") } else { ("Group", "Groups of people.") };
        let mut all = vec![json!({
            "id": self.urn,
            "name": name,
            "description": about,
            "attributes": self.attributes.iter().map(Attribute::described).collect::<Vec<_>>(),
        })];
        all.extend(self.extension.map(|(urn, attributes)| {
            json!({
                "id": urn,
                "name": "EnterpriseUser",
                "description": "What companies add to people.",
                "attributes": attributes.iter().map(Attribute::described).collect::<Vec<_>>(),
            })
        }));
        all
    }
}

impl Attribute {
    /// The attributes in it.
    #[must_use]
    pub fn parts(&self) -> &'static [Self] {
        match self.holds {
            Holds::Parts(parts) => parts,
            _ => &[],
        }
    }

    /// A value of it, in our spelling; nothing for one that says that there is none.
    ///
    /// # Errors
    /// `invalidValue`.
    pub fn read(&self, value: &Value) -> Result<Option<Value>> {
        if !self.many {
            return self.one(value);
        }
        let items = match value {
            Value::Null => return Ok(None),
            Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        if items.len() > MOST_VALUES && self.name != "members" {
            return Err(refuse("invalidValue", format!("{} has more than {MOST_VALUES} values", self.name)));
        }
        let read: Vec<Value> =
            items.iter().filter_map(|it| self.one(it).transpose()).collect::<Result<_>>()?;
        Ok((!read.is_empty()).then_some(Value::Array(read)))
    }

    /// One value of it.
    ///
    /// # Errors
    /// `invalidValue`.
    pub fn one(&self, value: &Value) -> Result<Option<Value>> {
        let wrong = |wants: &str| refuse("invalidValue", format!("{} has to be {wants}", self.name));
        Ok(match (self.holds, value) {
            (_, Value::Null) => None,
            (Holds::Text | Holds::Reference(_), Value::String(text)) => {
                if text.len() > LONGEST || text.contains('\0') {
                    return Err(wrong("text of at most 2048 bytes"));
                }
                Some(text.as_str().into())
            }
            // Some send numbers of employees as numbers.
            (Holds::Text, Value::Number(number)) => Some(number.to_string().into()),
            (Holds::Text | Holds::Reference(_), _) => return Err(wrong("text")),
            (Holds::Bool, said) => Some(truth(said).ok_or_else(|| wrong("true or false"))?.into()),
            (Holds::Parts(_), Value::Object(said)) => self.object(said)?,
            // A value by itself stands for its value.
            (Holds::Parts(parts), Value::String(_)) if named(parts, "value").is_some() => {
                self.object(&Map::from_iter([("value".to_owned(), value.clone())]))?
            }
            (Holds::Parts(_), _) => return Err(wrong("an object")),
        })
    }

    fn object(&self, said: &Map<String, Value>) -> Result<Option<Value>> {
        let mut kept = Map::new();
        for (name, value) in said {
            let Some(part) = named(self.parts(), name) else { continue };
            if part.writable != Writable::Never
                && let Some(value) = part.one(value)?
            {
                kept.insert(part.name.to_owned(), value);
            }
        }
        Ok((!kept.is_empty()).then_some(Value::Object(kept)))
    }

    fn described(&self) -> Value {
        let (kind, references) = match self.holds {
            Holds::Text => ("string", None),
            Holds::Reference(to) => ("reference", Some(to)),
            Holds::Bool => ("boolean", None),
            Holds::Parts(_) => ("complex", None),
        };
        let mut it = json!({
            "name": self.name,
            "type": kind,
            "multiValued": self.many,
            "description": self.about,
            "required": self.required,
            "mutability": match self.writable {
                Writable::Freely => "readWrite",
                Writable::Once => "immutable",
                Writable::Never => "readOnly",
            },
            "returned": "default",
        });
        if let Holds::Parts(parts) = self.holds {
            it["subAttributes"] = parts.iter().map(Self::described).collect();
        } else if !matches!(self.holds, Holds::Bool) {
            it["caseExact"] = (self.case_exact || references.is_some()).into();
            it["uniqueness"] = if self.unique { "server" } else { "none" }.into();
        }
        if !self.values.is_empty() {
            it["canonicalValues"] = json!(self.values);
        }
        if let Some(to) = references {
            it["referenceTypes"] = json!(to);
        }
        it
    }
}

/// True or false, also as Entra spells it.
#[must_use]
pub fn truth(said: &Value) -> Option<bool> {
    match said {
        Value::Bool(it) => Some(*it),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}
