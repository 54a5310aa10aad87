//! Asking the API server what others may read.
//!
//! By LocalSubjectAccessReview: the right to ask about one namespace comes with the Role there, and never
//! takes a ClusterRole. Whoever may list Secrets reads them, too, by name or not.

use k8s_openapi::api::authorization::v1::{
    LocalSubjectAccessReview, ResourceAttributes, SubjectAccessReviewSpec,
};
use kube::{Api, Client, api::PostParams};

use super::{PATIENCE, may_of_group, plain};
use crate::{
    base::Name,
    broker::target::{CheckFinding, CheckLevel, Reader, Spot, TargetError},
};

const GROUP: &str = "authorization.k8s.io";
const REVIEWS: &str = "localsubjectaccessreviews";

/// Why there is no answer.
pub(super) enum Failed {
    /// None came in time.
    Late,
    /// The API server says so.
    Told(kube::Error),
}

/// Whether somebody may get this Secret, or list those of its namespace.
pub(super) async fn may_read(client: &Client, spot: &Spot, reader: &Reader) -> Result<bool, Failed> {
    Ok(may(client, spot, reader, "get").await? || may(client, spot, reader, "list").await?)
}

async fn may(client: &Client, spot: &Spot, reader: &Reader, verb: &str) -> Result<bool, Failed> {
    let api: Api<LocalSubjectAccessReview> = Api::namespaced(client.clone(), spot.namespace.as_str());
    let (parameters, review) = (PostParams::default(), review(spot, reader, verb));
    let asked = tokio::time::timeout(PATIENCE, api.create(&parameters, &review)).await;
    let answer = asked.map_err(|_| Failed::Late)?.map_err(Failed::Told)?;
    Ok(answer.status.is_some_and(|it| it.allowed))
}

fn review(spot: &Spot, reader: &Reader, verb: &str) -> LocalSubjectAccessReview {
    let attributes = ResourceAttributes {
        namespace: Some(spot.namespace.to_string()),
        verb: Some(verb.to_owned()),
        resource: Some("secrets".to_owned()),
        name: (verb == "get").then(|| spot.secret.clone()),
        ..ResourceAttributes::default()
    };
    let mut review = LocalSubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            user: (!reader.user.is_empty()).then(|| reader.user.clone()),
            groups: Some(reader.groups.clone()),
            ..SubjectAccessReviewSpec::default()
        },
        ..LocalSubjectAccessReview::default()
    };
    review.metadata.namespace = Some(spot.namespace.to_string());
    review
}

/// What went wrong; nothing that is asked holds a value.
pub(super) fn told(error: &kube::Error, namespace: &Name) -> TargetError {
    match error {
        kube::Error::Api(status) if status.code == 403 => TargetError::Refused(format!(
            "we may not ask the cluster who can read Secrets in the namespace '{namespace}': {}",
            rule(namespace)
        )),
        kube::Error::Api(status) if status.code == 401 => TargetError::Unreachable(
            "it does not take our credentials (401); renew those in its kubeconfig".to_owned(),
        ),
        kube::Error::Api(status) => {
            TargetError::Refused(format!("it does not say who can read Secrets ({})", status.code))
        }
        other => TargetError::Unreachable(plain(other)),
    }
}

/// Where the right to ask is missing: deliveries work all the same.
pub(super) async fn check(client: &Client, namespaces: &[Name]) -> Vec<CheckFinding> {
    let mut findings = Vec::new();
    for namespace in namespaces {
        if may_of_group(client, Some(namespace), "create", (GROUP, REVIEWS)).await == Ok(false) {
            findings.push(CheckFinding {
                level: CheckLevel::Warning,
                message: format!(
                    "no right to ask who can read Secrets in the namespace '{namespace}': whom deliveries there \
                     expose to values is unknown"
                ),
                remedy: Some(format!("For that, {}.", rule(namespace))),
            });
        }
    }
    findings
}

/// The rule that the Role in `namespace` lacks.
fn rule(namespace: &Name) -> String {
    format!(
        "add the rule {{apiGroups: [{GROUP}], resources: [{REVIEWS}], verbs: [create]}} to the account's Role in \
         '{namespace}'"
    )
}
