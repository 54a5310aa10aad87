//! One exchange with a witness (C2SP tlog-witness, "add-checkpoint").

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{Client, Response, StatusCode, header::CONTENT_TYPE};
use url::Url;

use super::{Cosignature, WitnessKey, cosignature};
use crate::{
    audit::{
        Hash,
        outward::{said_by, text_of},
    },
    base::Timestamp,
};

/// How far the clock of a witness may be ahead of ours.
const AHEAD: Duration = Duration::from_mins(5);

/// A witness: its key, and where it takes checkpoints.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    /// What its cosignatures are verified with.
    pub(super) key: WitnessKey,
    /// Its submission prefix.
    pub(super) url: Url,
    /// Whether it is believed where it knows more of the log than is here.
    pub(super) pins: bool,
}

/// What a witness said.
#[derive(Debug)]
pub(super) enum Answer {
    /// It cosigned; the cosignature was verified.
    Cosigned(Cosignature),
    /// It has cosigned a log of so many entries, and wants a proof from there.
    Has(u64),
}

/// Why there is no cosignature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// Whether the same again would be refused again.
    pub(super) is_final: bool,
    /// In a sentence without a stop.
    pub(super) why: String,
    /// What to do about it.
    pub(super) remedy: Option<&'static str>,
    /// Whether what it knows of this log is more than is here, or something else.
    pub(super) contradicts: bool,
}

impl Failure {
    pub(super) fn passing(why: impl Into<String>) -> Self {
        Self { is_final: false, why: why.into(), remedy: None, contradicts: false }
    }

    /// It knows of another log than the one that is here.
    pub(super) fn contradicting(self) -> Self {
        Self { contradicts: true, ..self }
    }

    pub(super) fn lasting(why: impl Into<String>, remedy: &'static str) -> Self {
        Self { is_final: true, why: why.into(), remedy: Some(remedy), contradicts: false }
    }
}

/// The body of a request: the old size, the proof from there, an empty line, the checkpoint.
pub(super) fn request(old: u64, proof: &[Hash], note: &str) -> String {
    let proof: String = proof.iter().map(|hash| STANDARD.encode(hash) + "\n").collect();
    format!("old {old}\n{proof}\n{note}")
}

/// Asks a witness to cosign the checkpoint of this body.
pub(super) async fn offer(
    client: &Client,
    witness: &Witness,
    request: String,
    body: &str,
    now: Timestamp,
) -> Result<Answer, Failure> {
    let url = format!("{}/add-checkpoint", witness.url.as_str().trim_end_matches('/'));
    let answer = client
        .post(url)
        .header(CONTENT_TYPE, "text/plain; charset=utf-8")
        .body(request)
        .send()
        .await
        .map_err(|error| Failure::passing(said_by(error)))?;
    match answer.status() {
        StatusCode::OK => {
            let lines = text_of(answer).await.map_err(Failure::passing)?;
            cosigned(&lines, body, &witness.key, now).map(Answer::Cosigned)
        }
        StatusCode::CONFLICT => size_of(answer).await.map(Answer::Has),
        status => Err(refused(status)),
    }
}

fn cosigned(lines: &str, body: &str, key: &WitnessKey, now: Timestamp) -> Result<Cosignature, Failure> {
    let found = cosignature::find(lines, body, key)
        .map_err(|why| Failure::passing(format!("what it answered is not kept: {why}")))?;
    let found = found.ok_or_else(|| {
        Failure::passing(
            "what it answered is not kept: no line of it is by the key that the configuration names",
        )
    })?;
    if found.time > now.after(AHEAD) {
        return Err(Failure::passing("what it answered is not kept: it was signed in the future"));
    }
    Ok(found)
}

async fn size_of(answer: Response) -> Result<u64, Failure> {
    let kind = answer.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    if kind != "text/x.tlog.size" {
        return Err(Failure::passing("it answered 409 without saying which size it knows"));
    }
    let text = text_of(answer).await.map_err(Failure::passing)?;
    let digits = text.strip_suffix('\n').unwrap_or(&text);
    let size = digits.parse::<u64>().ok().filter(|size| size.to_string() == digits);
    size.ok_or_else(|| Failure::passing("it answered 409 with something that is no size"))
}

fn refused(status: StatusCode) -> Failure {
    let with =
        |why: &str, remedy: &'static str| Failure::lasting(format!("{why} (it answered {status})"), remedy);
    match status.as_u16() {
        400 => with(
            "it cannot read what is offered",
            "Check that its address in [[log.witnesses]] is the submission prefix of a C2SP witness.",
        ),
        403 => with(
            "it does not know the key that signs this log",
            "Give its operator the log's key: `/audit/v1/vkeys` has it.",
        ),
        404 => with(
            "it does not know this log",
            "Give its operator the log's origin and key: `/audit/v1/vkeys` has both.",
        ),
        422 => with(
            "it does not believe that this log grew out of the one that it has seen",
            "Find out why before anything else: verify the log with `portctl audit verify`, and ask whether \
             its database was set back.",
        )
        .contradicting(),
        _ => Failure::passing(format!("it answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_spelled_as_the_specification_has_it() {
        let note = "example.com/log\n2\nAAAA\n\n— example.com/log AAAA\n";
        assert_eq!(request(0, &[], note), format!("old 0\n\n{note}"));
        let hash = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=";
        let proof = STANDARD.decode(hash).unwrap().try_into().unwrap();
        assert_eq!(request(1, &[proof], note), format!("old 1\n{hash}\n\n{note}"));
    }

    #[test]
    fn what_is_refused_for_good_is_told_from_what_may_pass() {
        for status in [400, 403, 404, 422] {
            assert!(refused(StatusCode::from_u16(status).unwrap()).is_final, "{status}");
        }
        for status in [301, 302, 429, 500, 502, 503] {
            assert!(!refused(StatusCode::from_u16(status).unwrap()).is_final, "{status}");
        }
    }
}
