//! The shipped source: without comments, and without what is compiled for tests alone.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

/// One file that is shipped.
pub struct File {
    /// From the root of the repository: `src/audit/log.rs`.
    pub path: String,
    /// What is left of its lines, with their numbers.
    pub lines: Vec<(usize, String)>,
}

impl File {
    /// Its lines in one.
    pub fn text(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(|(_, line)| line.as_str()).collect();
        lines.join("\n")
    }
}

/// All of them.
pub fn shipped() -> Result<Vec<File>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut files, mut for_tests) = (Vec::new(), BTreeSet::new());
    let mut paths = Vec::new();
    collect(&root.join("src"), &mut paths)?;
    for path in paths {
        let (lines, modules) = strip(&fs::read_to_string(&path)?);
        for_tests.extend(modules.iter().map(|module| folder_of(&path).join(module)));
        files.push((path, lines));
    }
    let is_shipped = |path: &Path| {
        !for_tests.iter().any(|module| path.with_extension("") == *module || path.starts_with(module))
    };
    Ok(files
        .into_iter()
        .filter(|(path, _)| is_shipped(path))
        .map(|(path, lines)| File {
            path: path.strip_prefix(root).unwrap_or(&path).display().to_string(),
            lines,
        })
        .collect())
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, into)?;
        } else if path.extension().is_some_and(|it| it == "rs") {
            into.push(path);
        }
    }
    into.sort();
    Ok(())
}

/// Where the modules lie that a file declares.
fn folder_of(path: &Path) -> PathBuf {
    let name = path.file_stem().unwrap_or_default();
    let parent = path.parent().unwrap_or(Path::new(""));
    if ["mod", "lib", "main"].iter().any(|it| name == *it) { parent.to_owned() } else { parent.join(name) }
}

/// The lines that are shipped, and the modules in files of their own that are not.
fn strip(text: &str) -> (Vec<(usize, String)>, Vec<String>) {
    let (mut kept, mut modules) = (Vec::new(), Vec::new());
    let mut lines = text.lines().enumerate().map(|(n, line)| (n + 1, line)).peekable();
    while let Some((number, line)) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            let indent = line.len() - line.trim_start().len();
            let ends = |line: &str| {
                let own = line.len() - line.trim_start().len() == indent;
                own && (line.trim_start().starts_with('}') || line.ends_with(';'))
            };
            for (_, line) in lines.by_ref() {
                if let Some(module) = line.trim().strip_suffix(';').and_then(|it| it.split("mod ").nth(1)) {
                    modules.push(module.to_owned());
                }
                if ends(line) {
                    break;
                }
            }
            continue;
        }
        if !line.trim_start().starts_with("//") {
            kept.push((number, line.to_owned()));
        }
    }
    (kept, modules)
}
