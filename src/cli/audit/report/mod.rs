//! `portctl audit report`

mod archive;
mod controls;
mod populations;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;

use self::{
    archive::{Archive, Page},
    populations::{Populations, Said, Table},
};
use super::{end_of, verify::known_keys};
use crate::{
    audit::{
        Checkpoint, VerifierKey,
        archive::ArchivedRange,
        opened::LeafV1,
        tile::{WIDTH, unbundle},
        verify::{ExportCheck, published::Piece},
    },
    base::{Problem, ProblemKind, Result, Timestamp},
    cli::{
        Context, DONE,
        names::Names,
        output::{note, progress_of},
    },
    client::Client,
};

/// Longest line of a bundle, in bytes.
const LONGEST_LINE: usize = 1024 * 1024;

/// Write the evidence of a period into one archive (ZIP): a page to read, a table for each population, and the
/// entries that they are told from, which anybody can verify. Nothing is written of a log that was altered.
#[derive(Debug, Args)]
pub struct Command {
    /// The first moment: 2026-01-31 or 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: String,
    /// The end; a day alone means its end.
    #[arg(long, value_name = "TIME")]
    to: String,
    /// The file; only you can read it. One that is there is not touched. Else `audit-FROM-TO.zip`.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The key that signs the log, from somewhere that you trust; else the one that was seen first.
    #[arg(long = "key", visible_alias = "vkey", value_name = "VKEY")]
    vkeys: Vec<String>,
}

/// What was written.
#[derive(Debug, Serialize)]
struct Written {
    file: String,
    entries: u64,
    size: u64,
    tables: Vec<(String, usize)>,
}

/// From when to when, and which entries those are.
#[derive(Clone, Copy, Debug)]
struct Period {
    from: Timestamp,
    to: Timestamp,
    first: u64,
    end: u64,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let (from, to): (Timestamp, Timestamp) =
            (self.from.parse().map_err(Problem::invalid)?, end_of(&self.to)?);
        if from >= to {
            return Err(Problem::invalid(format!("the time from {from} to {to} ends before it begins"))
                .remedy("Turn the two round."));
        }
        let given: Vec<VerifierKey> =
            self.vkeys.iter().map(|text| text.parse().map_err(Problem::invalid)).collect::<Result<_>>()?;
        let keys = known_keys(context, given).await?;
        let client = context.client()?;
        let period = period(&client, from, to, &keys).await?;
        let path = self.file.unwrap_or_else(|| {
            let day = |time: Timestamp| time.to_string()[..10].to_owned();
            format!("audit-{}-{}.zip", day(from), day(Timestamp::from_millis(to.as_millis() - 1))).into()
        });
        // Half a report is none.
        let written = write(&client, &path, period, &keys).await.inspect_err(|problem| {
            if !problem.is(ProblemKind::AlreadyExists) {
                drop(fs::remove_file(&path));
            }
        })?;
        context.output.tell(&written, |written| {
            let lines: Vec<String> =
                written.tables.iter().map(|(table, rows)| format!("  {table}: {rows}")).collect();
            format!("{} entries of {}, verified\n{}\n", written.entries, written.size, lines.join("\n"))
        })?;
        note(&format!("{}: unpack it and open index.html", path.display()));
        Ok(DONE)
    }
}

/// Which entries lie in the period, of those that were signed.
async fn period(client: &Client, from: Timestamp, to: Timestamp, keys: &[VerifierKey]) -> Result<Period> {
    let signed = Checkpoint::open_any(&client.audit_checkpoint().await?, keys)?.size;
    let before = async |time: Timestamp| -> Result<u64> {
        let text = time.to_string();
        let page = client.audit_entries(&[("until", &text), ("limit", "1")]).await?;
        let mut end = page.items.first().map_or(0, |entry| entry.index + 1);
        for range in &page.archived {
            let up_to =
                if range.newest < time { range.to } else { archived_before(client, range, time).await? };
            end = end.max(up_to);
        }
        Ok(end.min(signed))
    };
    Ok(Period { from, to, first: before(from).await?, end: before(to).await? })
}

/// Where the entries of an archived range end that are older than a time: entries, and so tiles, are in the order of
/// their times.
async fn archived_before(client: &Client, range: &ArchivedRange, time: Timestamp) -> Result<u64> {
    let (mut low, mut high) = (range.from / WIDTH, range.to / WIDTH);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        let begins_before = times(client, middle).await?.first().is_some_and(|first| *first < time);
        (low, high) = if begins_before { (middle, high) } else { (low, middle) };
    }
    let older = times(client, low).await?.into_iter().take_while(|it| *it < time).count();
    Ok(low * WIDTH + older as u64)
}

/// When the entries of a tile were made.
async fn times(client: &Client, number: u64) -> Result<Vec<Timestamp>> {
    let bytes = client.audit_piece(&Piece::Entries { number, width: WIDTH }).await?;
    let altered =
        |why: &str| Problem::new(ProblemKind::LogAltered, format!("tile {number} of the log: {why}"));
    let leaves = unbundle(&bytes).ok_or_else(|| altered("it cannot be taken apart"))?;
    let time = |leaf: &[u8]| LeafV1::read(leaf).map(|leaf| Timestamp::from_millis(leaf.time));
    leaves.into_iter().map(time).collect::<Result<_, _>>().map_err(|why| altered(&why))
}

/// Streams the bundle into the archive, verifies it line by line, and tells the tables from it.
async fn write(client: &Client, path: &Path, period: Period, keys: &[VerifierKey]) -> Result<Written> {
    let mut archive = Archive::create(path)?;
    let mut told = Told::default();
    let bar = progress_of("verifying the log".to_owned(), period.end - period.first);
    let mut bundle = client.audit_bundle(period.first, Some(period.end)).await?;
    archive.begin("bundle.ndjson")?;
    while let Some(piece) = bundle.next().await? {
        archive.write(&piece)?;
        told.piece(&piece, period, keys)?;
        bar.set_position(told.entries);
    }
    bar.finish_and_clear();
    let (checkpoint, note, entries, tables) = told.finish()?;
    let mut names = Names::default();
    names.learn(client, tables.iter().flat_map(Table::ids)).await?;
    let tables: Vec<Table> = tables.into_iter().map(|table| table.with_names(&names)).collect();
    archive.file("checkpoint.txt", note.as_bytes())?;
    let page = Page::new(client.server().as_text(), &period, &checkpoint, entries, keys, &tables);
    archive.tables(&tables)?;
    archive.pages(&page)?;
    archive.finish()?;
    Ok(Written {
        file: path.display().to_string(),
        entries,
        size: checkpoint.size,
        tables: tables.iter().map(|table| (table.file.to_owned(), table.rows.len())).collect(),
    })
}

/// What was read of a bundle.
#[derive(Default)]
struct Told {
    line: Vec<u8>,
    check: Option<(ExportCheck, String)>,
    populations: Option<Populations>,
    entries: u64,
}

impl Told {
    fn piece(&mut self, piece: &[u8], period: Period, keys: &[VerifierKey]) -> Result<()> {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.len() > LONGEST_LINE {
                return Err(broken("a line of it is too long"));
            }
            if self.line.pop_if(|byte| *byte == b'\n').is_some() {
                let line =
                    String::from_utf8(std::mem::take(&mut self.line)).map_err(|_| broken("it is no text"))?;
                self.line(line, period, keys)?;
            }
        }
        Ok(())
    }

    fn line(&mut self, line: String, period: Period, keys: &[VerifierKey]) -> Result<()> {
        let Some((check, _)) = &mut self.check else {
            let mut check = keys.iter().map(|key| ExportCheck::new(&line, key));
            let check = check.find_map(Result::ok).map_or_else(
                || {
                    keys.first()
                        .map_or_else(|| Err(broken("no key is known")), |key| ExportCheck::new(&line, key))
                },
                Ok,
            )?;
            if check.range() != (period.first, period.end) {
                return Err(broken("it is of other entries than were asked for"));
            }
            self.check = Some((check, line));
            return Ok(());
        };
        // Behind the range stands only what says that something in it was forgotten.
        if let Some((index, _, opened)) = check.line(&line)?
            && index < period.end
        {
            self.entries += 1;
            self.populations.get_or_insert_with(Populations::new).take(&Said::new(index, opened)?);
        }
        Ok(())
    }

    fn finish(self) -> Result<(Checkpoint, String, u64, Vec<Table>)> {
        let (check, header) = self.check.ok_or_else(|| broken("it is empty"))?;
        if !self.line.is_empty() {
            return Err(broken("it is cut off in the middle of a line"));
        }
        let checkpoint = check.checkpoint().clone();
        check.finish()?;
        let header: serde_json::Value = serde_json::from_str(&header).map_err(|e| broken(&e.to_string()))?;
        let note = header["checkpoint"].as_str().unwrap_or_default().to_owned();
        let tables = self.populations.unwrap_or_else(Populations::new).tables();
        Ok((checkpoint, note, self.entries, tables))
    }
}

fn broken(why: &str) -> Problem {
    Problem::new(ProblemKind::LogIncomplete, format!("the server's bundle cannot be believed: {why}"))
        .remedy("Verify the whole log: `portctl audit verify`.")
}
