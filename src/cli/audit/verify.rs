//! `portctl audit verify`

mod ahead;
mod archive;
mod published;

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;

use super::{
    pin::Pin,
    witness::{WitnessArgs, say, want},
};
use crate::{
    audit::{
        Checkpoint, VerifierKey,
        verify::{ExportCheck, Report},
        witness::{WitnessPolicy, Witnessed, policy::judge_export},
    },
    base::{Problem, ProblemKind, Result, hex},
    cli::{
        Context, DONE,
        output::{note, progress_of},
    },
    client::{Client, ServerUrl},
};

/// Longest line of an export, in bytes.
const LONGEST_LINE: u64 = 1024 * 1024;

/// Recompute the log from its entries and hold it against its signed checkpoint; exits with 10 where it
/// was altered, with 11 where something is not there.
#[derive(Debug, Args)]
pub struct Command {
    /// The log of another server, or one that is published at this address: only its checkpoint, tiles and
    /// entries are read.
    #[arg(long, value_name = "URL", group = "what")]
    url: Option<ServerUrl>,
    /// The same files in a folder, as a mirror has them; or an archive, which is verified range by range.
    #[arg(long, value_name = "FOLDER", group = "what")]
    dir: Option<PathBuf>,
    /// A bundle: a range of the log in one file.
    #[arg(long, value_name = "BUNDLE", group = "what")]
    bundle: Option<PathBuf>,
    /// An export; needs no server where --key is given.
    #[arg(long, value_name = "EXPORT", group = "what")]
    file: Option<PathBuf>,
    /// The key that signs the log, from somewhere that you trust; else the one that was seen first. Repeat
    /// it for a log whose key was changed.
    #[arg(long = "key", visible_alias = "vkey", value_name = "VKEY")]
    vkeys: Vec<String>,
    /// A file with a checkpoint that you kept: the log has to have grown out of it.
    #[arg(long, value_name = "CHECKPOINT")]
    since: Option<PathBuf>,
    #[command(flatten)]
    witnesses: WitnessArgs,
}

/// What was verified of an export or a bundle.
#[derive(Debug, Serialize)]
struct VerifiedExport {
    #[serde(flatten)]
    report: Report,
    /// Who cosigned the checkpoint that it is bound to, of those that were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    witnessed: Option<Witnessed>,
}

/// What was verified of a published log.
#[derive(Debug, Serialize)]
struct Verified {
    /// The log's name.
    origin: String,
    /// Number of entries.
    size: u64,
    /// Root of the tree over them.
    root: String,
    /// How large it was when it was last verified here.
    seen_before: Option<u64>,
    /// What its signatures were verified with.
    key: String,
    /// Who cosigned its newest witnessed checkpoint, of those that were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    witnessed: Option<Witnessed>,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let given: Vec<VerifierKey> =
            self.vkeys.iter().map(|text| text.parse().map_err(Problem::invalid)).collect::<Result<_>>()?;
        let policy = self.witnesses.policy()?;
        let since = self.since.as_deref();
        if let Some(file) = self.bundle.as_ref().or(self.file.as_ref()) {
            let keys = known_keys(context, given).await?;
            let since = since.map(|path| checkpoint_file(path, &keys)).transpose()?;
            let (verified, range) = verify_file(file, &keys, since, policy.as_ref())?;
            context.output.tell(&verified, |verified| say_export(verified, range))?;
            want(verified.witnessed.as_ref())?;
        } else if let Some(archive) = self.dir.as_deref().map(archive::Folder::open).transpose()?.flatten() {
            if since.is_some() || policy.is_some() {
                return Err(Problem::invalid(
                    "an archive shows neither a checkpoint that you kept nor witnesses",
                )
                .remedy("Leave --since and --witness out; verify the log itself for these, with --url."));
            }
            let verified = archive.verify(&known_keys(context, given).await?)?;
            context.output.tell(&verified, archive::say)?;
        } else {
            let verified = match published::At::new(context, self.url, self.dir)? {
                None => verify_server(context, given, since, policy).await?,
                Some(at) => {
                    let keys = known_keys(context, given).await?;
                    let since = since.map(|path| checkpoint_file(path, &keys)).transpose()?;
                    published::verify(&at, &keys, since, policy).await?
                }
            };
            context.output.tell(&verified, say_server)?;
            want(verified.witnessed.as_ref())?;
        }
        Ok(DONE)
    }
}

/// What the first of several keys that fits makes of it; else what the last one says.
fn by_any<T>(keys: &[VerifierKey], open: impl Fn(&VerifierKey) -> Result<T>) -> Result<T> {
    let mut outcome = Err(Problem::invalid("no key is known").remedy("Say one: --key VKEY."));
    for key in keys {
        outcome = open(key);
        if outcome.is_ok() {
            break;
        }
    }
    outcome.map_err(|problem| {
        if problem.remedy.is_some() {
            return problem;
        }
        problem.remedy(
            "Where another key has taken over, the log's newest entry `log.key-added` names it: compare it with what \
             you know from elsewhere, and say it with --key.",
        )
    })
}

/// A checkpoint that was kept in a file, signed by one of these keys.
fn checkpoint_file(path: &Path, keys: &[VerifierKey]) -> Result<Checkpoint> {
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    by_any(keys, |key| Checkpoint::open(&text, key))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::invalid(format!("{} cannot be read: {error}", path.display()))
}

fn say_export(verified: &VerifiedExport, range: Option<(u64, u64)>) -> String {
    let Report { size, root, present, forgotten, .. } = &verified.report;
    let witnessed = say(verified.witnessed.as_ref());
    let whole = match range {
        None => "each is in the signed log; others were left out by the filter".to_owned(),
        Some((from, to)) => format!("whole: {from} to {to} of the log as it was signed, none left out"),
    };
    format!(
        "{size} entries, {whole}\nroot {root}\n{present} openings fit, {forgotten} were forgotten\n{witnessed}"
    )
}

fn say_server(verified: &Verified) -> String {
    let Verified { origin, size, root, seen_before, key, witnessed } = verified;
    let witnessed = say(witnessed.as_ref());
    let before = match seen_before {
        Some(before) => format!("it grew out of the {before} entries verified here before"),
        None => "it is verified here for the first time".to_owned(),
    };
    format!("{origin}: {size} entries, whole\nroot {root}\n{before}\nkey {key}\n{witnessed}")
}

/// A client, signed in where a token is kept: a public log needs none.
fn client(context: &Context) -> Result<Client> {
    let server = context.server()?;
    let token = context.token(&server)?;
    Client::new(server, token, context.ambient.clone())
}

/// The keys that were given, else the one that was seen first, else the one that the server names.
pub(super) async fn known_keys(context: &Context, given: Vec<VerifierKey>) -> Result<Vec<VerifierKey>> {
    if !given.is_empty() {
        return Ok(given);
    }
    if let Some(pin) = Pin::read(context, &context.server()?)? {
        return Ok(vec![pin.open()?.0]);
    }
    Ok(vec![named_key(&client(context)?).await?])
}

async fn named_key(client: &Client) -> Result<VerifierKey> {
    let keys = client.audit_keys().await?;
    let key = keys
        .into_iter()
        .next()
        .ok_or_else(|| Problem::new(ProblemKind::ServerUnavailable, "the server names no key of its log"))?;
    note(&format!("The server names its key itself: {key}"));
    note("Compare it with what you know from elsewhere, or say it with --key.");
    Ok(key)
}

async fn verify_server(
    context: &Context,
    given: Vec<VerifierKey>,
    since: Option<&Path>,
    policy: Option<WitnessPolicy>,
) -> Result<Verified> {
    let (server, client) = (context.server()?, client(context)?);
    let seen = Pin::read(context, &server)?;
    let keys = match &seen {
        _ if !given.is_empty() => given,
        Some(pin) => vec![pin.open()?.0],
        None => vec![named_key(&client).await?],
    };
    // Asked for first: so the newest one is not smaller.
    let (cosigned, witnessed) = witnessed(&client, &keys, policy).await?;
    let note = client.audit_checkpoint().await?;
    let (checkpoint, key) =
        by_any(&keys, |key| Checkpoint::open(&note, key).map(|checkpoint| (checkpoint, key.clone())))?;
    // A checkpoint that only another key signed says nothing about this one's log. One of the time when a
    // key took over is signed by both.
    let before = seen.and_then(|pin| Checkpoint::open_any(&pin.checkpoint, &keys).ok());
    let seen_before = before.as_ref().map(|it| it.size);
    let since = since.map(|path| checkpoint_file(path, &keys)).transpose()?;
    let bar = progress_of("verifying the log".to_owned(), checkpoint.size);
    let older = before.into_iter().chain(cosigned).chain(since).collect();
    let recounted =
        client.audit_recount(checkpoint.clone(), older, |entries| bar.set_position(entries)).await;
    bar.finish_and_clear();
    recounted?;
    Pin { key: key.to_string(), checkpoint: note }.keep(context, &server)?;
    Ok(Verified::new(checkpoint, seen_before, &key, witnessed))
}

impl Verified {
    fn new(
        checkpoint: Checkpoint,
        seen_before: Option<u64>,
        key: &VerifierKey,
        witnessed: Option<Witnessed>,
    ) -> Self {
        let Checkpoint { origin, size, root } = checkpoint;
        Self { origin, size, root: hex::encode(&root), seen_before, key: key.to_string(), witnessed }
    }
}

/// The newest checkpoint that witnesses cosigned, which the log has to meet, and who did.
async fn witnessed(
    client: &Client,
    keys: &[VerifierKey],
    policy: Option<WitnessPolicy>,
) -> Result<(Option<Checkpoint>, Option<Witnessed>)> {
    let Some(policy) = policy else { return Ok((None, None)) };
    let note = client.audit_witnessed_checkpoint().await?;
    let checkpoint = by_any(keys, |key| Checkpoint::open(&note, key))?;
    Ok((Some(checkpoint), Some(policy.judge(&note)?)))
}

/// Verifies an export or a bundle line by line; of which range it holds every entry, where it is not
/// filtered.
fn verify_file(
    path: &Path,
    keys: &[VerifierKey],
    since: Option<Checkpoint>,
    policy: Option<&WitnessPolicy>,
) -> Result<(VerifiedExport, Option<(u64, u64)>)> {
    let unreadable = |error: std::io::Error| unreadable(path, &error);
    let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut next = || -> Result<Option<String>> {
        let mut line = Vec::new();
        file.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(unreadable)?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.pop_if(|byte| *byte == b'\n').is_none() {
            return Err(Problem::new(
                ProblemKind::LogIncomplete,
                "the export is cut off in the middle of a line",
            ));
        }
        String::from_utf8(line)
            .map(Some)
            .map_err(|_| Problem::new(ProblemKind::LogAltered, "the export holds something that is no text"))
    };
    let first = next()?.unwrap_or_default();
    let mut check = by_any(keys, |key| ExportCheck::new(&first, key))?;
    since.map_or(Ok(()), |since| check.since(since))?;
    while let Some(line) = next()? {
        check.line(&line)?;
    }
    let range = (!check.is_filtered()).then(|| check.range());
    let report = check.finish()?;
    let witnessed = policy.map(|policy| judge_export(policy, &first)).transpose()?;
    Ok((VerifiedExport { report, witnessed }, range))
}

#[cfg(test)]
mod tests;
