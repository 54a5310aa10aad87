//! The README's blocks for a terminal: what stands there is run, so that it stays true.

use anyhow::{Result, ensure};

/// A command of the README.
pub struct Command {
    /// As it stands there, without the prompt and the remark.
    pub line: String,
    /// As a shell takes it apart, the program first.
    pub words: Vec<String>,
    /// The file that stands behind `<`.
    pub input: Option<String>,
}

impl Command {
    fn new(line: &str) -> Self {
        let line = line.split(" #").next().unwrap_or_default().trim_end();
        let (command, input) = match line.split_once(" < ") {
            Some((command, file)) => (command, Some(file.trim().to_owned())),
            None => (line, None),
        };
        Self { line: line.to_owned(), words: words(command), input }
    }

    /// Whether it begins so.
    pub fn begins(&self, words: &str) -> bool {
        self.line.strip_prefix(words).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    }

    /// The same with `from` replaced by `to`, where it is a word.
    pub fn with(mut self, from: &str, to: &str) -> Self {
        self.words.iter_mut().filter(|word| *word == from).for_each(|word| to.clone_into(word));
        self
    }

    /// Whether it says this.
    pub fn says(&self, word: &str) -> bool {
        self.words.iter().any(|it| it == word)
    }

    /// What the program is given.
    pub fn arguments(&self) -> Vec<&str> {
        self.words.iter().skip(1).map(String::as_str).collect()
    }
}

fn part(heading: &str) -> &'static str {
    let readme = include_str!("../../README.md");
    readme.split("\n## ").find(|part| part.starts_with(heading)).unwrap_or_default()
}

/// The first block of a language in the part whose heading begins so.
pub fn block(heading: &str, language: &str) -> Result<&'static str> {
    let (_, block) = part(heading).split_once(&format!("```{language}\n")).unwrap_or_default();
    let (block, _) = block.split_once("```").unwrap_or_default();
    ensure!(!block.is_empty(), "the README's part '{heading}' has no block of {language}");
    Ok(block)
}

/// Every command in the blocks of the part whose heading begins so; `at_least` of them are there.
pub fn commands(heading: &str, at_least: usize) -> Result<Vec<Command>> {
    let commands: Vec<Command> =
        part(heading).lines().filter_map(|line| line.strip_prefix("$ ")).map(Command::new).collect();
    ensure!(
        commands.len() >= at_least,
        "the README's part '{heading}' has {} commands, {at_least} are expected",
        commands.len()
    );
    Ok(commands)
}

/// As a shell takes them apart.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (n, part) in command.split('"').enumerate() {
        if n % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}
