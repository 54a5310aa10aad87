//! Reading the declaring files below a folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    base::{Problem, Result},
    catalog::{Document, DocumentSet, LONGEST_FILE, MOST_FILES},
};

/// Deepest folder that is looked into; deeper ones are a mistake or a loop.
const DEEPEST: usize = 16;

/// All `*.yaml` and `*.yml` files below a folder, or one file. Folders that begin with a dot are left
/// out.
///
/// # Errors
/// `invalid-request` where there is none, or one cannot be read.
pub fn read(path: &Path) -> Result<DocumentSet> {
    let mut files = Vec::new();
    if path.is_dir() {
        collect(path, DEEPEST, &mut files)?;
    } else {
        files.push(path.to_owned());
    }
    if files.is_empty() {
        return Err(Problem::invalid(format!("there is no .yaml file below {}", path.display()))
            .remedy("Name the folder that holds them: -f DIR."));
    }
    files.sort();
    let documents = files.iter().map(|file| document(path, file)).collect::<Result<_>>()?;
    Ok(DocumentSet { source: None, documents })
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|e| unreadable(folder, &e))? {
        let path = entry.map_err(|e| unreadable(folder, &e))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.is_dir() {
            if !hidden && depth > 0 {
                collect(&path, depth - 1, files)?;
            }
        } else if path.extension().is_some_and(|it| it == "yaml" || it == "yml") {
            files.push(path);
        }
        if files.len() > MOST_FILES {
            return Err(Problem::invalid(format!(
                "there are more than {MOST_FILES} files below {}",
                folder.display()
            )));
        }
    }
    Ok(())
}

fn document(root: &Path, path: &Path) -> Result<Document> {
    let size = fs::metadata(path).map_err(|e| unreadable(path, &e))?.len();
    if size > LONGEST_FILE as u64 {
        return Err(Problem::invalid(format!("{} is longer than {LONGEST_FILE} bytes", path.display())));
    }
    let text = fs::read_to_string(path).map_err(|e| unreadable(path, &e))?;
    let name = path.strip_prefix(root).ok().filter(|name| !name.as_os_str().is_empty()).unwrap_or(path);
    Ok(Document { file: name.to_string_lossy().into_owned(), text })
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem::invalid(format!("{} cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_yaml_file_below_is_read_and_named_from_there() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("b")).unwrap();
        fs::create_dir_all(folder.path().join(".git")).unwrap();
        for file in ["a.yaml", "b/c.yml", "b/notes.txt", ".git/x.yaml"] {
            fs::write(folder.path().join(file), file).unwrap();
        }
        let set = read(folder.path()).unwrap();
        let names: Vec<&str> = set.documents.iter().map(|it| it.file.as_str()).collect();
        assert_eq!(names, ["a.yaml", "b/c.yml"]);
        assert!(read(&folder.path().join("b/none")).is_err());
    }
}
