//! 1. Declare: files are planned, applied whole or not at all, and own what they declared.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use port_control::dev::story::World as _;

use super::Cast;
use crate::story::{people::Person, world::House};

pub fn plan_and_apply(house: &House, ada: &Person) -> Result<()> {
    let files = write_files(house, &ada.home)?;
    let at = files.display();
    refused_whole(ada, &files)?;

    let shown = ada.does(&format!("plan -f {at}"))?;
    ensure!(shown.contains("+ Application reports") || shown.contains("reports"), "{shown}");
    ada.fails(&format!("plan -f {at} --detailed-exitcode"), 12, "")?;
    ada.does(&format!("plan -f {at} --out first.plan"))?;
    ada.fails("apply first.plan", 2, "--yes")?;
    ada.does("apply first.plan --yes")?;
    ada.fails("apply first.plan --yes", 1, "")?;
    ensure!(ada.does(&format!("apply -f {at} --yes"))?.contains("nothing to change"), "a second apply");
    ada.does(&format!("plan -f {at} --detailed-exitcode"))?;
    removals(ada, &files)
}

/// What no file names any more is shown, and removed only where that is said.
fn removals(ada: &Person, files: &Path) -> Result<()> {
    let at = files.display();
    let more = files.join("more.yaml");
    fs::write(&more, "kind: Team\nname: visitors\ngroups: [audit]\n")?;
    ada.does(&format!("apply -f {at} --yes"))?;
    fs::remove_file(&more)?;
    ensure!(ada.does(&format!("plan -f {at}"))?.contains("1 to remove"), "a removal is shown");
    ada.fails(&format!("apply -f {at} --yes"), 1, "--allow-delete")?;
    ada.does(&format!("apply -f {at} --yes --allow-delete"))?;
    Ok(())
}

/// An unknown key, a duplicate, a dangling reference, a namespace that is not the team's: with file and
/// line, and nothing of the set is done.
fn refused_whole(ada: &Person, files: &Path) -> Result<()> {
    let bad = files.join("zz-bad.yaml");
    for (text, line, what) in [
        ("kind: Team\nname: visitors\ngroups: [audit]\ncolour: red\n", 4, "colour"),
        ("kind: Team\nname: supa-team\ngroups: [audit]\n", 2, "supa-team"),
        ("kind: Team\nname: visitors\ngroups: [nobody]\n", 3, "nobody"),
        (
            "kind: Team\nname: visitors\ngroups: [audit]\n---\nkind: Application\nname: theirs\nteam: visitors\n\
             environments:\n  - name: sandbox\n---\nkind: Delivery\nname: theirs\napplication: theirs\n\
             environment: sandbox\ncluster: main\nnamespace: NAMESPACE\nsecret: theirs-env\n",
            16,
            "visitors",
        ),
    ] {
        fs::write(&bad, text.replace("NAMESPACE", &namespace(files)?))?;
        let answer = ada.says(&format!("apply -f {} --yes", files.display()))?;
        ensure!(answer.code != 0, "it was applied: {text}");
        let place = format!("zz-bad.yaml:{line}");
        ensure!(answer.err.contains(&place) && answer.err.contains(what), "{place}, {what}: {}", answer.err);
    }
    fs::remove_file(&bad)?;
    ensure!(ada.reads("plan -f repository")?["base_version"] == 0, "nothing was done");
    Ok(())
}

fn namespace(files: &Path) -> Result<String> {
    let text = fs::read_to_string(files.join("deliveries.yaml"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("namespace: "));
    Ok(line.unwrap_or_default().to_owned())
}

fn write_files(house: &House, home: &Path) -> Result<PathBuf> {
    let folder = home.join("repository");
    fs::create_dir_all(&folder)?;
    for document in house.documents().documents {
        fs::write(folder.join(document.file), document.text)?;
    }
    Ok(folder)
}

/// Apply is an action of a trust scope.
pub fn only_administrators(cast: &Cast) -> Result<()> {
    let files = cast.ada.home.join("repository");
    cast.dana.fails(&format!("apply -f {} --yes", files.display()), 1, "administrators")
}
