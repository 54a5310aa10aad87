//! A real cluster, by its API server.
//!
//! Secrets go over the wire as JSON that we write and wipe ourselves; kube is asked for connection,
//! credentials and watches. Nothing of kube's errors is shown that could hold what a Secret holds.

mod reviews;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, Shared},
    stream::BoxStream,
};
use http::{Method, Request};
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    core::v1::Secret,
};
use kube::{
    Api, Client, Config,
    api::PostParams,
    client::AuthError,
    config::{KubeConfigOptions, Kubeconfig},
    core::{PartialObjectMeta, Status},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use tokio::runtime::Handle;

use super::{
    desired::SELECTOR,
    manifest,
    target::{CheckFinding, CheckLevel, Found, Manifest, Mode, Reader, Seen, Spot, Target, TargetError},
};
use crate::base::{Name, config::Access};

/// How long one request to an API server may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);
/// What the Role in each allowed namespace has to hold.
const VERBS: [&str; 6] = ["get", "list", "watch", "create", "update", "delete"];

/// A cluster that is reached by kubeconfig or by the identity of our pod. Connects when first asked,
/// so that a cluster that is down keeps nobody from starting.
#[derive(Clone)]
pub struct Kubernetes {
    connection: Arc<Connection>,
}

/// A connection being made, waited for by whoever needs it. Credential plugins run meanwhile, one at a
/// time however long they take.
type Connecting = Shared<BoxFuture<'static, Result<Client, TargetError>>>;

struct Connection {
    access: Access,
    held: Mutex<Option<Connecting>>,
}

impl Connection {
    async fn client(&self) -> Result<Client, TargetError> {
        let connecting = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.get_or_insert_with(|| begin(self.access.clone())).clone()
        };
        let late = || TargetError::Unreachable(format!("no credentials within {} s", PATIENCE.as_secs()));
        let connected = tokio::time::timeout(PATIENCE, connecting).await.map_err(|_| late())?;
        if connected.is_err() {
            self.forget();
        }
        connected
    }

    /// Reads the kubeconfig again when next asked: its credentials are of no use any more.
    fn forget(&self) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Where it holds nobody up: kube waits for credential plugins without letting go of its thread.
fn begin(access: Access) -> Connecting {
    let connecting = tokio::task::spawn_blocking(move || Handle::current().block_on(connect(&access)));
    let broken = |_| Err(TargetError::Unreachable("connecting was broken off".to_owned()));
    connecting.map(move |joined| joined.unwrap_or_else(broken)).boxed().shared()
}

impl Kubernetes {
    /// The cluster that `access` leads to: `Kubeconfig` or `InCluster`.
    #[must_use]
    pub fn new(access: Access) -> Self {
        Self { connection: Arc::new(Connection { access, held: Mutex::default() }) }
    }

    /// A client that is signed in.
    pub(super) async fn client(&self) -> Result<Client, TargetError> {
        self.connection.client().await
    }

    /// Asks for something that holds no values: the answer, or the status and why.
    pub(super) async fn ask(
        &self,
        method: Method,
        uri: String,
        body: Vec<u8>,
    ) -> Result<String, (Option<u16>, String)> {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|_| (None, "this can be no name there".to_owned()))?;
        let client = self.connection.client().await.map_err(|error| (None, error.to_string()))?;
        let late = |_| (None, format!("no answer within {} s", PATIENCE.as_secs()));
        let answer = tokio::time::timeout(PATIENCE, client.request_text(request)).await.map_err(late)?;
        answer.map_err(|error| match &error {
            kube::Error::Api(status) => {
                if status.code == 401 {
                    self.connection.forget();
                }
                (Some(status.code), status.message.clone())
            }
            other => (None, plain(other)),
        })
    }

    async fn send(&self, verb: &'static str, spot: &Spot, request: Call<'_>) -> Result<String, TargetError> {
        let request = request.build(spot)?;
        let client = self.connection.client().await?;
        let answer = tokio::time::timeout(PATIENCE, client.request_text(request)).await;
        let answer = answer
            .map_err(|_| TargetError::Unreachable(format!("no answer within {} s", PATIENCE.as_secs())))?;
        answer.map_err(|error| {
            if is_unauthorized(&error) {
                self.connection.forget();
            }
            told(&error, verb, &spot.namespace)
        })
    }
}

/// One request.
struct Call<'c> {
    method: Method,
    /// Whether it addresses the Secret itself, not the namespace's collection.
    item: bool,
    mode: Mode,
    body: &'c [u8],
}

impl Call<'_> {
    fn build(self, spot: &Spot) -> Result<Request<Vec<u8>>, TargetError> {
        let mut uri = format!("/api/v1/namespaces/{}/secrets", spot.namespace);
        if self.item {
            uri = format!("{uri}/{}", spot.secret);
        }
        if self.mode == Mode::Try {
            uri.push_str("?dryRun=All");
        }
        Request::builder()
            .method(self.method)
            .uri(uri)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(self.body.to_vec())
            .map_err(|_| TargetError::Refused(format!("'{spot}' is no name of a Secret")))
    }
}

async fn connect(access: &Access) -> Result<Client, TargetError> {
    let mut plugin = None;
    let mut config = match access {
        Access::InCluster => Config::incluster().map_err(|error| {
            TargetError::Unreachable(format!("this is no pod of a cluster with a ServiceAccount: {error}"))
        })?,
        Access::Kubeconfig { path, context } => {
            let shown = path.display();
            let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
            let file = Kubeconfig::read_from(path)
                .map_err(|_| TargetError::Unreachable(format!("the kubeconfig {shown} cannot be read")))?;
            plugin = plugin_of(&file, context.as_deref());
            plugin.as_deref().map_or(Ok(()), name_missing_plugin)?;
            Config::from_custom_kubeconfig(file, &options).await.map_err(|_| {
                let context = context.as_deref().unwrap_or("its current one");
                TargetError::Unreachable(format!("the kubeconfig {shown} has no usable context ({context})"))
            })?
        }
        Access::Directory(_) => return Err(TargetError::Refused("a folder is no cluster".to_owned())),
    };
    // Trying again is the reconciler's: it says meanwhile what is wrong.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| {
        let named = plugin.map(|it| format!(" of its credential plugin '{it}'")).unwrap_or_default();
        TargetError::Unreachable(format!("the credentials{named} cannot be had: {}", plain(&error)))
    })
}

/// The program that a kubeconfig gets its credentials from.
fn plugin_of(file: &Kubeconfig, context: Option<&str>) -> Option<String> {
    let context = context.or(file.current_context.as_deref());
    let by_name = file.contexts.iter().find(|it| Some(it.name.as_str()) == context)?;
    let user = by_name.context.as_ref()?.user.as_ref()?;
    let auth = file.auth_infos.iter().find(|it| it.name == *user)?.auth_info.as_ref()?;
    auth.exec.as_ref()?.command.clone()
}

/// A credential plugin that is not installed is the usual reason why a kubeconfig works elsewhere only.
fn name_missing_plugin(command: &str) -> Result<(), TargetError> {
    let there = if command.contains('/') {
        std::path::Path::new(command).exists()
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(command).exists())
    };
    if there {
        return Ok(());
    }
    Err(TargetError::Unreachable(format!(
        "its kubeconfig wants the credential plugin '{command}', which is not installed here"
    )))
}

fn is_unauthorized(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 401)
}

/// Whether a watch ended because our credentials are not taken.
fn is_refused(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(it)
        | watcher::Error::WatchStartFailed(it)
        | watcher::Error::WatchFailed(it) => is_unauthorized(it),
        watcher::Error::WatchError(status) => status.code == 401,
        watcher::Error::NoResourceVersion => false,
    }
}

/// What went wrong, without any text that could hold a value.
fn told(error: &kube::Error, verb: &'static str, namespace: &Name) -> TargetError {
    match error {
        kube::Error::Api(status) => match status.code {
            403 => denied(status, verb, namespace),
            401 => TargetError::Unreachable(
                "it does not take our credentials (401); renew those in its kubeconfig".to_owned(),
            ),
            404 if verb == "create" => TargetError::Refused(format!(
                "there is no namespace '{namespace}' in it; make it, or deliver to another one"
            )),
            413 => TargetError::Refused("the Secret is larger than it takes".to_owned()),
            // What is gone meanwhile is a conflict like what has changed meanwhile.
            404 | 409 => TargetError::Conflict,
            0..=399 => TargetError::Unreachable("it answers what no API server answers".to_owned()),
            429 | 500..=599 => TargetError::Unreachable(format!("it answers {}", status.code)),
            code => TargetError::Refused(format!("it refuses to {verb} the Secret ({code})")),
        },
        other => TargetError::Unreachable(plain(other)),
    }
}

/// A no that may have other reasons than missing rights. The message is looked at and never shown: an
/// admission plugin may have put into it what it was given.
fn denied(status: &Status, verb: &'static str, namespace: &Name) -> TargetError {
    let causes = status.details.iter().flat_map(|it| &it.causes);
    if causes.into_iter().any(|it| it.reason == "NamespaceTerminating") {
        return TargetError::Refused(format!(
            "the namespace '{namespace}' is being deleted; once it is gone, make it anew, or deliver to another one"
        ));
    }
    if status.message.contains("exceeded quota") {
        return TargetError::Refused(format!(
            "the quota of the namespace '{namespace}' is used up; raise it, or remove what nobody needs there"
        ));
    }
    if status.message.contains(&format!(" cannot {verb} resource ")) {
        return TargetError::Forbidden { verb, namespace: namespace.clone() };
    }
    TargetError::Refused(format!(
        "a rule of it does not let us {verb} Secrets in the namespace '{namespace}' (403)"
    ))
}

/// Why there are no credentials. What a plugin printed is not shown: it may hold half a token.
fn without_credentials(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { out, .. } => format!("the program ended with {}", out.status),
        AuthError::AuthExecStart(error) => format!("the program cannot be started: {error}"),
        AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed => {
            "the program answered no credential".to_owned()
        }
        AuthError::ReadTokenFile(error, path) => {
            format!("the token file {} cannot be read: {error}", path.display())
        }
        _ => "its kubeconfig gives none that can be used".to_owned(),
    }
}

/// The kind of trouble with the connection.
pub(super) fn plain(error: &kube::Error) -> String {
    match error {
        kube::Error::Auth(it) => without_credentials(it),
        kube::Error::Service(it) => {
            let mut deepest: &dyn std::error::Error = it.as_ref();
            while let Some(source) = deepest.source() {
                if let Some(it) = deepest.downcast_ref::<AuthError>() {
                    return format!("its credentials cannot be had: {}", without_credentials(it));
                }
                deepest = source;
            }
            match deepest.downcast_ref::<AuthError>() {
                Some(it) => format!("its credentials cannot be had: {}", without_credentials(it)),
                None => format!("it is not reached: {deepest}"),
            }
        }
        kube::Error::HyperError(_) => "the connection broke".to_owned(),
        _ => "it answers what no API server answers".to_owned(),
    }
}

#[async_trait]
impl Target for Kubernetes {
    async fn read(&self, spot: &Spot) -> Result<Option<Found>, TargetError> {
        let call = Call { method: Method::GET, item: true, mode: Mode::Do, body: &[] };
        match self.send("get", spot, call).await {
            // A read that finds nothing is told apart from a write that does.
            Err(TargetError::Conflict) => Ok(None),
            Err(error) => Err(error),
            Ok(text) => manifest::read(text.into_bytes())
                .map(Some)
                .ok_or_else(|| TargetError::Unreachable("it answers what no API server answers".to_owned())),
        }
    }

    async fn create(&self, spot: &Spot, manifest: &Manifest, mode: Mode) -> Result<(), TargetError> {
        let body = manifest::write(spot, manifest, None);
        let call = Call { method: Method::POST, item: false, mode, body: &body };
        self.send("create", spot, call).await.map(wipe)
    }

    async fn replace(
        &self,
        spot: &Spot,
        seen: &Seen,
        manifest: &Manifest,
        mode: Mode,
    ) -> Result<(), TargetError> {
        let body = manifest::write(spot, manifest, Some(seen));
        let call = Call { method: Method::PUT, item: true, mode, body: &body };
        self.send("update", spot, call).await.map(wipe)
    }

    async fn delete(&self, spot: &Spot, seen: &Seen, mode: Mode) -> Result<(), TargetError> {
        let body = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": { "uid": seen.uid, "resourceVersion": seen.resource_version },
        })
        .to_string();
        let call = Call { method: Method::DELETE, item: true, mode, body: body.as_bytes() };
        self.send("delete", spot, call).await.map(wipe)
    }

    fn changes(&self, namespace: &Name) -> BoxStream<'static, Spot> {
        let (connection, namespace) = (Arc::clone(&self.connection), namespace.clone());
        let opened = futures::stream::unfold(false, move |again| {
            let connection = Arc::clone(&connection);
            async move {
                if again {
                    tokio::time::sleep(PATIENCE).await;
                }
                loop {
                    match connection.client().await {
                        Ok(client) => return Some((client, true)),
                        Err(_) => tokio::time::sleep(PATIENCE).await,
                    }
                }
            }
        });
        opened.flat_map(move |client| watch(client, namespace.clone())).boxed()
    }

    async fn check(&self, namespaces: &[Name]) -> Vec<CheckFinding> {
        match self.connection.client().await {
            Ok(client) => rights(&client, namespaces).await,
            Err(error) => vec![failure(error.to_string(), "See [clusters] in the server's configuration.")],
        }
    }

    fn knows_people(&self) -> bool {
        true
    }

    async fn may_read(&self, spot: &Spot, reader: &Reader) -> Result<bool, TargetError> {
        let outcome = reviews::may_read(&self.connection.client().await?, spot, reader).await;
        outcome.map_err(|error| match error {
            reviews::Failed::Late => {
                TargetError::Unreachable(format!("no answer within {} s", PATIENCE.as_secs()))
            }
            reviews::Failed::Told(error) => {
                if is_unauthorized(&error) {
                    self.connection.forget();
                }
                reviews::told(&error, &spot.namespace)
            }
        })
    }

    async fn check_readers(&self, namespaces: &[Name]) -> Vec<CheckFinding> {
        match self.connection.client().await {
            Ok(client) => reviews::check(&client, namespaces).await,
            // That it is not reached is said already.
            Err(_) => Vec::new(),
        }
    }
}

/// The answer to a write repeats the Secret.
fn wipe(mut answer: String) {
    zeroize::Zeroize::zeroize(&mut answer);
}

/// Metadata alone is watched: who watches needs no values. The first list takes what the API server has
/// at hand (`resourceVersion=0`): a consistent one would wait for etcd. Ends where the credentials are not
/// taken any more: others may be had by then.
fn watch(client: Client, namespace: Name) -> BoxStream<'static, Spot> {
    let api: Api<PartialObjectMeta<Secret>> = Api::namespaced(client, namespace.as_str());
    let config = watcher::Config {
        // Where pages are asked for, kube asks for a consistent list after all.
        page_size: None,
        ..watcher::Config::default().labels(SELECTOR).any_semantic()
    };
    watcher(api, config)
        .default_backoff()
        .take_while(|event| std::future::ready(!event.as_ref().is_err_and(is_refused)))
        .filter_map(move |event| {
            let spot =
                |name: Option<String>| name.map(|secret| Spot { namespace: namespace.clone(), secret });
            std::future::ready(match event {
                Ok(
                    watcher::Event::Apply(it) | watcher::Event::Delete(it) | watcher::Event::InitApply(it),
                ) => spot(it.metadata.name),
                Ok(_) => None,
                Err(_) => {
                    tracing::debug!(%namespace, "the watch of a namespace broke off");
                    None
                }
            })
        })
        .boxed()
}

fn failure(message: String, remedy: impl Into<String>) -> CheckFinding {
    CheckFinding { level: CheckLevel::Failure, message, remedy: Some(remedy.into()) }
}

async fn rights(client: &Client, namespaces: &[Name]) -> Vec<CheckFinding> {
    let mut findings = Vec::new();
    for namespace in namespaces {
        for verb in VERBS {
            match may(client, Some(namespace), verb, "secrets").await {
                Ok(true) => {}
                Ok(false) => findings.push(failure(
                    format!("no right to {verb} Secrets in the namespace '{namespace}'"),
                    role_rule(namespace),
                )),
                Err(message) => return vec![failure(message, "See whether the API server is up.")],
            }
        }
    }
    findings.extend(excess(client).await);
    if findings.is_empty() {
        let message = "reached, with the rights that are needed and no more".to_owned();
        findings.push(CheckFinding { level: CheckLevel::Fine, message, remedy: None });
    }
    findings
}

/// Rights that a broker of single namespaces does not need.
async fn excess(client: &Client) -> Vec<CheckFinding> {
    let mut findings = Vec::new();
    let beyond =
        [("get", "secrets"), ("list", "secrets"), ("create", "secrets"), ("create", "pods"), ("*", "*")];
    for (verb, resource) in beyond {
        if may(client, None, verb, resource).await == Ok(true) {
            findings.push(CheckFinding {
                level: CheckLevel::Warning,
                message: format!("it may {verb} {resource} in every namespace, which it does not need"),
                remedy: Some("Give it a Role in each allowed namespace, and no ClusterRole.".to_owned()),
            });
        }
    }
    findings
}

async fn may(client: &Client, namespace: Option<&Name>, verb: &str, resource: &str) -> Result<bool, String> {
    let group = if resource == "*" { "*" } else { "" };
    may_of_group(client, namespace, verb, (group, resource)).await
}

/// The same for a resource of any API group.
async fn may_of_group(
    client: &Client,
    namespace: Option<&Name>,
    verb: &str,
    (group, resource): (&str, &str),
) -> Result<bool, String> {
    let attributes = ResourceAttributes {
        namespace: namespace.map(ToString::to_string),
        verb: Some(verb.to_owned()),
        resource: Some(resource.to_owned()),
        group: Some(group.to_owned()),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let parameters = PostParams::default();
    let asked = tokio::time::timeout(PATIENCE, api.create(&parameters, &review)).await;
    let answer = asked.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?;
    Ok(answer.map_err(|error| plain(&error))?.status.is_some_and(|it| it.allowed))
}

/// The rule that a Role in `namespace` has to have.
pub(super) fn role_rule(namespace: &Name) -> String {
    format!(
        "Give its account a Role in '{namespace}' with the rule \
         {{apiGroups: [\"\"], resources: [secrets], verbs: [{}]}} and bind it; make the namespace first where \
         there is none.",
        VERBS.join(", ")
    )
}
