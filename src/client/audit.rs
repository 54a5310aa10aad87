//! The log: asking it, and fetching what it takes to verify it.

use std::time::Duration;

use reqwest::{Method, Response};
use serde::{Deserialize, Serialize};

use super::Client;
use crate::{
    audit::{
        Checkpoint, VerifierKey,
        archive::ArchivedRange,
        read::Entry,
        retention::Hold,
        verify::published::{Piece, PublishedCheck, no_piece},
    },
    base::{ProblemKind, Result},
};

/// How many people the server names at once.
const NAMES_AT_ONCE: usize = 100;
/// How long an export may take in all.
const ONE_EXPORT: Duration = Duration::from_hours(1);

/// A page of entries, the newest first.
#[derive(Clone, Debug, Deserialize)]
pub struct AuditPage {
    /// They.
    pub items: Vec<Entry>,
    /// Where the next page begins.
    #[serde(default)]
    pub next: Option<String>,
    /// Entries that were not searched because they lie in an archive.
    #[serde(default)]
    pub archived: Vec<ArchivedRange>,
    /// Names that were asked for and that nothing in the log has.
    #[serde(default)]
    pub unknown: Vec<UnknownName>,
}

/// A name that nothing in the log has.
#[derive(Clone, Debug, Deserialize)]
pub struct UnknownName {
    /// `action`, `application`, `secret` or `scope`.
    pub what: String,
    /// It.
    pub name: String,
    /// Names that are alike and are in the log, the nearest first.
    #[serde(default)]
    pub nearest: Vec<String>,
}

/// What a person is called now.
#[derive(Clone, Debug, Deserialize)]
pub struct PersonName {
    /// Her id.
    pub id: String,
    /// Her name.
    pub display_name: String,
    /// Her e-mail address; may be empty.
    #[serde(default)]
    pub email: String,
}

/// Entries that fit, and those that were not searched.
#[derive(Clone, Debug, Default)]
pub struct AuditFound {
    /// They, the oldest first.
    pub items: Vec<Entry>,
    /// Ranges that lie in an archive.
    pub archived: Vec<ArchivedRange>,
}

/// How far forgetting a person has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditForgotten {
    /// What her entries call her from now on.
    pub pseudonym: String,
    /// From how many entries something was taken.
    pub entries: u64,
    /// How many openings were destroyed.
    pub openings: u64,
    /// Where to go on; nothing once she is forgotten.
    pub next: Option<u64>,
}

/// A hold that was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditHeld {
    /// Its id.
    pub hold: String,
}

/// An export under way.
#[derive(Debug)]
pub struct AuditExport<'c> {
    client: &'c Client,
    response: Response,
}

impl AuditExport<'_> {
    /// The next piece; nothing after the last.
    ///
    /// # Errors
    /// `server-unavailable` where it breaks off.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let chunk = self.response.chunk().await.map_err(|e| self.client.unavailable(e))?;
        Ok(chunk.map(|bytes| bytes.to_vec()))
    }
}

impl Client {
    /// A page of entries.
    ///
    /// # Errors
    /// `denied`, `invalid-request`, `log-altered`.
    pub async fn audit_entries(&self, query: &[(&str, &str)]) -> Result<AuditPage> {
        let url = self.server().audit(&["v1", "entries"], query);
        self.read(self.send(self.request_to(Method::GET, url)).await?).await
    }

    /// What these people are called; whoever is not known is left out.
    ///
    /// # Errors
    /// `denied`.
    pub async fn audit_names(&self, ids: &[String]) -> Result<Vec<PersonName>> {
        #[derive(Deserialize)]
        struct Names {
            items: Vec<PersonName>,
        }
        let mut found = Vec::with_capacity(ids.len());
        for some in ids.chunks(NAMES_AT_ONCE) {
            let url = self.server().audit(&["v1", "names"], &[("ids", &some.join(","))]);
            let names: Names = self.read(self.send(self.request_to(Method::GET, url)).await?).await?;
            found.extend(names.items);
        }
        Ok(found)
    }

    /// All entries that fit, but for those that were archived.
    ///
    /// # Errors
    /// As [`Self::audit_entries`].
    pub async fn audit_all(&self, query: &[(&str, &str)]) -> Result<AuditFound> {
        let (mut found, mut cursor) = (AuditFound::default(), None::<String>);
        loop {
            let mut query = query.to_vec();
            query.push(("limit", "500"));
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page = self.audit_entries(&query).await?;
            found.items.extend(page.items);
            let news = page.archived.into_iter().filter(|range| !found.archived.contains(range));
            let news: Vec<ArchivedRange> = news.collect();
            found.archived.extend(news);
            cursor = page.next;
            if cursor.is_none() {
                found.items.reverse();
                return Ok(found);
            }
        }
    }

    /// Begins an export.
    ///
    /// # Errors
    /// `denied`, `invalid-request`.
    pub async fn audit_export(&self, query: &[(&str, &str)]) -> Result<AuditExport<'_>> {
        let url = self.server().audit(&["v1", "export"], query);
        let request = self.request_to(Method::GET, url).timeout(ONE_EXPORT);
        Ok(AuditExport { client: self, response: self.send(request).await? })
    }

    /// Forgets a person, from the index `from` on, as far as the server walks at once.
    ///
    /// # Errors
    /// `denied`, `not-found`, `conflict`.
    pub async fn audit_forget(&self, person: &str, reason: &str, from: u64) -> Result<AuditForgotten> {
        let body = serde_json::json!({ "reason": reason, "from": from });
        self.post_audit(&["v1", "people", person, "forget"], &body).await
    }

    /// Makes a hold over a person, or over `all`.
    ///
    /// # Errors
    /// `denied`, `not-found`.
    pub async fn audit_hold(&self, person: &str, reason: &str) -> Result<AuditHeld> {
        let body = serde_json::json!({ "person": person, "reason": reason });
        self.post_audit(&["v1", "holds"], &body).await
    }

    /// Holds that stand.
    ///
    /// # Errors
    /// `denied`.
    pub async fn audit_holds(&self) -> Result<Vec<Hold>> {
        #[derive(Deserialize)]
        struct Holds {
            items: Vec<Hold>,
        }
        let url = self.server().audit(&["v1", "holds"], &[]);
        let holds: Holds = self.read(self.send(self.request_to(Method::GET, url)).await?).await?;
        Ok(holds.items)
    }

    /// Releases a hold.
    ///
    /// # Errors
    /// `denied`, `not-found`, `conflict` where it was released before.
    pub async fn audit_release(&self, hold: &str, reason: &str) -> Result<()> {
        self.post_audit(&["v1", "holds", hold, "release"], &serde_json::json!({ "reason": reason })).await
    }

    /// The keys that the log says it is signed with. To be compared with what one knows from elsewhere.
    ///
    /// # Errors
    /// `server-unavailable`.
    pub async fn audit_keys(&self) -> Result<Vec<VerifierKey>> {
        let text = self.audit_text(&["v1", "vkeys"]).await?;
        text.lines().map(|line| line.parse().map_err(|_| self.nonsense("named no key of its log"))).collect()
    }

    /// The newest checkpoint, as its signed note.
    ///
    /// # Errors
    /// `conflict` where nothing was signed yet.
    pub async fn audit_checkpoint(&self) -> Result<String> {
        self.audit_text(&["log", "checkpoint"]).await
    }

    /// The newest checkpoint that enough witnesses cosigned, as its signed note.
    ///
    /// # Errors
    /// `conflict` where there is none.
    pub async fn audit_witnessed_checkpoint(&self) -> Result<String> {
        self.audit_text(&["log", "witnessed-checkpoint"]).await
    }

    /// Begins a bundle of the entries from `from` to before `to`, else to the newest that was signed.
    ///
    /// # Errors
    /// `denied`, `invalid-request`.
    pub async fn audit_bundle(&self, from: u64, to: Option<u64>) -> Result<AuditExport<'_>> {
        let (from, to) = (from.to_string(), to.map(|to| to.to_string()));
        let mut query = vec![("from", from.as_str())];
        query.extend(to.as_deref().map(|to| ("to", to)));
        let url = self.server().audit(&["v1", "bundle"], &query);
        let request = self.request_to(Method::GET, url).timeout(ONE_EXPORT);
        Ok(AuditExport { client: self, response: self.send(request).await? })
    }

    /// That an entry is in the log, as text (C2SP tlog-proof).
    ///
    /// # Errors
    /// `not-found` beyond the end of what was signed.
    pub async fn audit_proof(&self, index: u64) -> Result<String> {
        self.audit_text(&["v1", "entries", &index.to_string(), "proof"]).await
    }

    /// A file of the log as it is published.
    ///
    /// # Errors
    /// `log-incomplete` where it is not there.
    pub async fn audit_piece(&self, piece: &Piece) -> Result<Vec<u8>> {
        let path = piece.path();
        let segments: Vec<&str> = std::iter::once("log").chain(path.split('/')).collect();
        let answer = self.send(self.request_to(Method::GET, self.server().audit(&segments, &[]))).await;
        match answer {
            Err(problem) if problem.is(ProblemKind::NotFound) => Err(no_piece(&path)),
            answer => Ok(self.bytes(answer?).await?.to_vec()),
        }
    }

    /// Fetches every entry and every tile below `checkpoint` and recomputes the tree; `seen` are
    /// checkpoints of before, which it has to have grown out of. `counted` hears how many entries there are
    /// so far.
    ///
    /// # Errors
    /// `log-altered`, `log-incomplete`.
    pub async fn audit_recount(
        &self,
        checkpoint: Checkpoint,
        seen: Vec<Checkpoint>,
        counted: impl Fn(u64),
    ) -> Result<()> {
        let mut check = PublishedCheck::new(checkpoint, seen)?;
        while let Some(piece) = check.wanted() {
            check.take(&self.audit_piece(&piece).await?)?;
            counted(check.size());
        }
        check.finish().map(drop)
    }

    async fn audit_text(&self, segments: &[&str]) -> Result<String> {
        let url = self.server().audit(segments, &[]);
        let bytes = self.bytes(self.send(self.request_to(Method::GET, url)).await?).await?;
        String::from_utf8(bytes.to_vec()).map_err(|_| self.nonsense("answered something that is no text"))
    }
}
