//! The auditor finds every step, and proves that nothing was altered.

use super::{Broken, Cast, Member, Story, ensure, refused, until};
use crate::{
    audit::{Checkpoint, VerifierKey, verify::ExportCheck},
    base::{Problem, ProblemKind, Result},
};

const CHAPTER: &str = "Prove";

/// What has happened by now, each at least once.
const STEPS: &[&str] = &[
    "catalog.applied",
    "person.joined",
    "session.began",
    "secret.set",
    "secret.generated",
    "secret.rolled-back",
    "secret.revealed",
    "secret.run",
    "request.created",
    "request.approved",
    "grant.began",
    "grant.ended",
    "delivery.written",
    "person.deactivated",
    "leaver.opened",
    "rotation.opened",
    "rotation.closed",
];

impl Story<'_> {
    pub(super) async fn prove(&self, cast: &Cast) -> Result<(), Broken> {
        let aya = &cast.aya;
        self.step(CHAPTER, "Aya finds every step, and the reasons", self.finds(aya)).await?;
        self.step(CHAPTER, "nobody else reads the log", self.closed_to_others(cast)).await?;
        self.step(CHAPTER, "the entries are those that were signed", self.recounts(aya)).await?;
        self.step(CHAPTER, "an export proves itself; with one byte changed, it does not", self.exports(aya))
            .await
    }

    async fn finds(&self, aya: &Member) -> Result<()> {
        for step in STEPS {
            let page = aya.client.audit_entries(&[("action", step), ("limit", "1")]).await?;
            ensure(!page.items.is_empty(), &format!("the log holds '{step}'"))?;
        }
        let denied = aya.client.audit_entries(&[("decision", "deny"), ("application", "reports")]).await?;
        ensure(!denied.items.is_empty(), "what was denied is in the log, too")?;
        let left = aya.client.audit_entries(&[("action", "person.deactivated")]).await?;
        let why = left.items.first().and_then(|it| it.reason.as_deref());
        ensure(why == Some("left on Friday"), "the reason is with it")
    }

    async fn closed_to_others(&self, cast: &Cast) -> Result<()> {
        refused(cast.dana.client.audit_entries(&[]).await, &[ProblemKind::Denied]).map(drop)
    }

    async fn recounts(&self, aya: &Member) -> Result<()> {
        let key = key(aya).await?;
        // Signing follows the newest entry by a moment.
        until("a checkpoint is signed", || async {
            let note = aya.client.audit_checkpoint().await?;
            let checkpoint = Checkpoint::open(&note, &key)?;
            aya.client.audit_recount(checkpoint, Vec::new(), |_| ()).await.map(Some)
        })
        .await
    }

    async fn exports(&self, aya: &Member) -> Result<()> {
        let key = key(aya).await?;
        let mut export = aya.client.audit_export(&[]).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = export.next().await? {
            bytes.extend(piece);
        }
        let text = String::from_utf8(bytes).map_err(|_| Problem::conflict("the export is no text"))?;
        ensure(verify(&text, &key)? > 0, "the export holds entries")?;
        let altered = text.replacen("INC-123", "INC-124", 1);
        ensure(altered != text, "the export holds the reasons")?;
        refused(verify(&altered, &key), &[ProblemKind::LogAltered]).map(drop)
    }
}

async fn key(aya: &Member) -> Result<VerifierKey> {
    let keys = aya.client.audit_keys().await?;
    keys.into_iter().next().ok_or_else(|| Problem::conflict("the log names no key"))
}

/// Verifies an export; how many entries it holds.
fn verify(export: &str, key: &VerifierKey) -> Result<u64> {
    let mut lines = export.lines();
    let mut check = ExportCheck::new(lines.next().unwrap_or_default(), key)?;
    for line in lines {
        check.line(line)?;
    }
    Ok(check.finish()?.size)
}
