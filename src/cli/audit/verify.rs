//! `portctl audit verify`

use std::{
    fs::File,
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
        output::{note, progress},
    },
    client::Client,
};

/// Longest line of an export, in bytes.
const LONGEST_LINE: u64 = 1024 * 1024;

/// Recompute the log from its entries and hold it against its signed checkpoint; exits with 10 where it
/// was altered, with 11 where something is not there.
#[derive(Debug, Args)]
pub struct Command {
    /// Verify an export instead of what the server answers; needs no server where --key is given.
    #[arg(long, value_name = "EXPORT")]
    file: Option<PathBuf>,
    /// The key that signs the log, from somewhere that you trust; else the one that was seen first.
    #[arg(long, value_name = "VKEY")]
    key: Option<String>,
    #[command(flatten)]
    witnesses: WitnessArgs,
}

/// What was verified of an export.
#[derive(Debug, Serialize)]
struct VerifiedExport {
    #[serde(flatten)]
    report: Report,
    /// Who cosigned the checkpoint that it is bound to, of those that were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    witnessed: Option<Witnessed>,
}

/// What was verified of a server's log.
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
        let given: Option<VerifierKey> =
            self.key.as_deref().map(|text| text.parse().map_err(Problem::invalid)).transpose()?;
        let policy = self.witnesses.policy()?;
        if let Some(file) = self.file {
            let key = match given {
                Some(key) => key,
                None => known_key(context).await?,
            };
            let (verified, filtered) = verify_file(&file, &key, policy.as_ref())?;
            context.output.tell(&verified, |verified| say_export(verified, filtered))?;
            want(verified.witnessed.as_ref())?;
        } else {
            let verified = verify_server(context, given, policy).await?;
            context.output.tell(&verified, say_server)?;
            want(verified.witnessed.as_ref())?;
        }
        Ok(DONE)
    }
}

fn say_export(verified: &VerifiedExport, filtered: bool) -> String {
    let Report { size, root, present, forgotten, .. } = &verified.report;
    let witnessed = say(verified.witnessed.as_ref());
    let whole = if filtered {
        "each is in the signed log; others were left out by the filter"
    } else {
        "whole: they are the log as it was signed"
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

/// The key that was seen first, or the one that the server names.
async fn known_key(context: &Context) -> Result<VerifierKey> {
    if let Some(pin) = Pin::read(context, &context.server()?)? {
        return Ok(pin.open()?.0);
    }
    named_key(&client(context)?).await
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
    given: Option<VerifierKey>,
    policy: Option<WitnessPolicy>,
) -> Result<Verified> {
    let (server, client) = (context.server()?, client(context)?);
    let seen = Pin::read(context, &server)?.map(|pin| pin.open()).transpose()?;
    let key = match (given, &seen) {
        (Some(key), _) => key,
        (None, Some((key, _))) => key.clone(),
        (None, None) => named_key(&client).await?,
    };
    // Asked for first: so the newest one is not smaller.
    let (cosigned, witnessed) = witnessed(&client, &key, policy).await?;
    let note = client.audit_checkpoint().await?;
    let checkpoint = Checkpoint::open(&note, &key)?;
    // A checkpoint that another key signed says nothing about this one's log.
    let before = seen.filter(|(old, _)| *old == key).map(|(_, checkpoint)| checkpoint);
    let seen_before = before.as_ref().map(|it| it.size);
    let waypoints = before.into_iter().chain(cosigned).collect();
    let bar = progress("verifying the log".to_owned());
    let counted = |entries| bar.set_message(format!("verifying the log: {entries} entries"));
    let recounted = client.audit_recount(checkpoint.clone(), waypoints, counted).await;
    bar.finish_and_clear();
    recounted?;
    Pin { key: key.to_string(), checkpoint: note }.keep(context, &server)?;
    let Checkpoint { origin, size, root } = checkpoint;
    Ok(Verified { origin, size, root: hex::encode(&root), seen_before, key: key.to_string(), witnessed })
}

/// The newest checkpoint that witnesses cosigned, which the log has to meet, and who did.
async fn witnessed(
    client: &Client,
    key: &VerifierKey,
    policy: Option<WitnessPolicy>,
) -> Result<(Option<Checkpoint>, Option<Witnessed>)> {
    let Some(policy) = policy else { return Ok((None, None)) };
    let note = client.audit_witnessed_checkpoint().await?;
    let checkpoint = Checkpoint::open(&note, key)?;
    Ok((Some(checkpoint), Some(policy.judge(&note)?)))
}

/// Verifies an export line by line, and whether it is filtered.
fn verify_file(
    path: &Path,
    key: &VerifierKey,
    policy: Option<&WitnessPolicy>,
) -> Result<(VerifiedExport, bool)> {
    let unreadable =
        |error: std::io::Error| Problem::invalid(format!("{} cannot be read: {error}", path.display()));
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
    let mut check = ExportCheck::new(&first, key)?;
    while let Some(line) = next()? {
        check.line(&line)?;
    }
    let filtered = check.is_filtered();
    let report = check.finish()?;
    let witnessed = policy.map(|policy| judge_export(policy, &first)).transpose()?;
    Ok((VerifiedExport { report, witnessed }, filtered))
}

#[cfg(test)]
mod tests;
