//! From files to declarations: what each document declares, and everything that is not right in it alone.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    declare::{Kind, Object},
    yaml,
};
use crate::base::{
    Name,
    located::{Finding, Node, Place, Reader, Value, nearest},
};

/// Longest file, in bytes.
pub const LONGEST_FILE: usize = 1024 * 1024;
/// Most files of a source.
pub const MOST_FILES: usize = 500;
/// All files of a source together, in bytes.
pub const LONGEST_SOURCE: usize = 8 * 1024 * 1024;

/// One file of declarations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The path that findings name, relative to the folder that was given.
    pub file: String,
    /// YAML, several documents perhaps.
    pub text: String,
}

/// One declared thing and where it stands.
#[derive(Clone)]
pub(super) struct Declaration {
    pub(super) object: Object,
    pub(super) node: Node,
}

/// What a set of files declares.
#[derive(Clone, Default)]
pub(super) struct Declared {
    pub(super) source: Option<Name>,
    pub(super) declarations: Vec<Declaration>,
    pub(super) findings: Vec<Finding>,
    /// What could not be read, but whose name could: it is not missing.
    pub(super) unread: BTreeSet<(Kind, String)>,
    /// Whether something could not even be named: then nothing can be said of what is missing.
    pub(super) is_partial: bool,
}

/// `kind: Source`: what the set of files is called.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    name: Name,
}

/// Reads all files. The order in which they come changes nothing.
pub(super) fn read(source: Option<&Name>, documents: &[Document]) -> Declared {
    let mut found = Declared { source: source.cloned(), ..Declared::default() };
    let mut sorted: Vec<&Document> = documents.iter().collect();
    sorted.sort_by(|a, b| a.file.cmp(&b.file));
    if !found.is_bounded(&sorted) {
        return found;
    }
    for document in sorted {
        match yaml::parse(&document.file, &document.text) {
            Ok(nodes) => nodes.into_iter().for_each(|node| found.take(node)),
            Err(finding) => found.miss(finding),
        }
    }
    found.refuse_repeated();
    if found.source.is_none() && !found.is_partial {
        let file = documents.first().map_or("", |it| it.file.as_str());
        found.miss(whole(file).finding(
            "these files do not say what their source is called",
            "Add a document with 'kind: Source' and 'name', or say --source NAME.",
        ));
    }
    found
}

/// A file as a whole.
fn whole(file: &str) -> Place {
    Place { file: file.into(), line: 0, column: 0 }
}

impl Declared {
    /// Notes something of which not even the name is known.
    fn miss(&mut self, finding: Finding) {
        self.findings.push(finding);
        self.is_partial = true;
    }

    fn is_bounded(&mut self, documents: &[&Document]) -> bool {
        let total: usize = documents.iter().map(|it| it.text.len()).sum();
        if documents.len() > MOST_FILES || total > LONGEST_SOURCE {
            self.findings.push(whole("").finding(
                format!("{} files of {total} bytes are more than one source may be", documents.len()),
                format!("Split them into sources of at most {MOST_FILES} files and {LONGEST_SOURCE} bytes."),
            ));
            return false;
        }
        let mut names = BTreeSet::new();
        for document in documents {
            if document.text.len() > LONGEST_FILE {
                let remedy = format!("Split it into files of at most {LONGEST_FILE} bytes.");
                self.findings.push(whole(&document.file).finding("the file is too long", remedy));
            }
            if !names.insert(&document.file) {
                self.findings.push(whole(&document.file).finding("the file came twice", "Send it once."));
            }
        }
        self.is_partial = !self.findings.is_empty();
        !self.is_partial
    }

    fn take(&mut self, mut node: Node) {
        node.take_repeated(&mut self.findings);
        let Some(kind) = node.get("kind").cloned() else {
            self.miss(node.place.finding(
                "this document does not say what it declares",
                format!("Add 'kind:' with one of {}.", kinds().join(", ")),
            ));
            return;
        };
        if let Value::Map(entries) = &mut node.value {
            entries.retain(|it| it.key != "kind");
        }
        match kind.text() {
            Some("Source") => self.take_source(&node),
            text => match text.and_then(Kind::from_text) {
                Some(kind) => self.take_object(kind, node),
                None => self.miss(unknown_kind(&kind)),
            },
        }
    }

    fn take_source(&mut self, node: &Node) {
        match node.read(|reader| Source::deserialize(reader)) {
            Err(findings) => {
                self.findings.extend(findings);
                self.is_partial = true;
            }
            Ok(source) => match &self.source {
                Some(known) if *known != source.name => self.findings.push(node.place_of(&["name"]).finding(
                    format!("the source is called '{}' here and '{known}' elsewhere", source.name),
                    "A set of files has one source name: keep one of the two.",
                )),
                _ => self.source = Some(source.name),
            },
        }
    }

    fn take_object(&mut self, kind: Kind, node: Node) {
        match node.read(|reader: Reader<'_>| Object::read(kind, reader)) {
            Ok(object) => self.declarations.push(Declaration { object, node }),
            Err(findings) => {
                self.findings.extend(findings.into_iter().map(in_words));
                match node.get("name").and_then(Node::text) {
                    Some(name) => drop(self.unread.insert((kind, name.to_owned()))),
                    None => self.is_partial = true,
                }
            }
        }
    }

    fn refuse_repeated(&mut self) {
        self.declarations.sort_by(|a, b| {
            let key = |it: &Declaration| (it.object.kind(), it.object.name().clone());
            key(a).cmp(&key(b))
        });
        for pair in self.declarations.windows(2) {
            let [first, second] = pair else { continue };
            if first.object.kind() == second.object.kind() && first.object.name() == second.object.name() {
                let at = &first.node.place;
                self.findings.push(second.node.place_of(&["name"]).finding(
                    format!("{} '{}' is declared twice", second.object.kind(), second.object.name()),
                    format!("Keep one of the two; the first is in {}, line {}.", at.file, at.line),
                ));
            }
        }
    }
}

fn kinds() -> Vec<&'static str> {
    std::iter::once("Source").chain(Kind::ALL.iter().map(|kind| kind.as_str())).collect()
}

fn unknown_kind(kind: &Node) -> Finding {
    let word: String = kind.text().unwrap_or_default().chars().take(80).collect();
    let remedy = match nearest(&word, kinds()) {
        Some(meant) => format!("Did you mean '{meant}'?"),
        None => format!("There are: {}.", kinds().join(", ")),
    };
    kind.place.finding(format!("there is no kind '{}'", word.escape_debug()), remedy)
}

/// Says what serde cannot: which words an untagged place takes.
fn in_words(mut finding: Finding) -> Finding {
    if finding.message.ends_with("enum Applications") {
        "'applications' is none of the forms it can have".clone_into(&mut finding.message);
        "Write own-teams, all, or a list of names.".clone_into(&mut finding.remedy);
    } else if finding.message.ends_with("enum Environments") {
        "'environments' is none of the forms it can have".clone_into(&mut finding.message);
        "Write all, or a list of names.".clone_into(&mut finding.remedy);
    } else if finding.message.ends_with("enum Pin") {
        "this pin is none of the forms it can have".clone_into(&mut finding.message);
        "Write a text, or a list of texts.".clone_into(&mut finding.remedy);
    }
    finding
}
