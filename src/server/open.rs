//! From a configuration to rooms that know each other.

use std::{collections::BTreeMap, sync::Arc};

use tokio_util::sync::CancellationToken;

use super::address_book::Addresses;
use crate::{
    access::{DeclaredProtected, Expiry, Gate, GateParts, Movers, MoversParts, Requests, RowsOfNow},
    api::App,
    audit::{
        Log, Signer,
        archive::{Archive, Archivist, ArchivistParts, Entries},
        forward::{Forwarder, ForwarderParts},
        witness::Witnesses,
    },
    base::{
        Ambient, Name, Problem, ProblemKind, Result, Timestamp,
        config::{ArchiveConfig, Config, EngineConfig, MasterKeySource, WebhookConfig},
    },
    broker::{self, Broker, Reviewers, Surroundings},
    catalog::Catalog,
    identity::{
        self, Identity, WorkloadParts,
        scim::{Scim, ScimParts},
    },
    keys::{Keys, MasterKey},
    notify::{Mail, Outbox, Sender, Webhook},
    policy::{OwnServices, Policies, ServicePermits},
    revocation::{Revocation, Rotation, RotationParts},
    secrets::{self, LeaseParts, Leases, RemoteEngine, Secrets, StaticRoles, Vault, leases::LeaseEngine},
    store::{Database, sql},
};

/// The name of the mark that `dev` leaves in its database.
const MADE_BY: &str = "made-by";
/// Its value.
const DEV: &str = "dev";

/// For whom a server is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// For people: a database that `dev` made is refused, and so is one that is not migrated.
    Serve,
    /// To recover a database that was set back: its pin is not held against it.
    Recover,
    /// For the embedded default: its database is migrated and marked.
    Dev,
}

/// All rooms of a server, open and not yet running.
pub struct Server {
    /// What answers requests.
    pub app: Arc<App>,
    pub(super) loops: Loops,
    pub(super) permits: Arc<dyn ServicePermits>,
}

/// What goes on by itself while the server runs.
pub(super) struct Loops {
    pub(super) identity: Identity,
    pub(super) expiry: Expiry,
    pub(super) movers: Movers,
    pub(super) revocation: Revocation,
    pub(super) rotation: Rotation,
    pub(super) broker: Broker,
    pub(super) sender: Sender,
    pub(super) secrets: Secrets,
    pub(super) leases: Leases,
    pub(super) signer: Signer,
    pub(super) witnesses: Witnesses,
    pub(super) forwarder: Forwarder,
    pub(super) archivist: Option<Archivist>,
    pub(super) vault: Option<Arc<Vault>>,
}

impl Server {
    /// Opens the database, the keys and the log, and puts the rooms together. Talks to no identity
    /// provider and to no cluster yet.
    ///
    /// # Errors
    /// `invalid-configuration`, also where an identity provider is called like a connection;
    /// `database-unavailable`; a database that was made by `dev`, that is not
    /// migrated, whose log is altered or whose master key is another.
    #[expect(
        clippy::too_many_lines,
        reason = "one room after another; apart, each would be handed all the others"
    )]
    pub async fn open(config: Config, opening: Opening) -> Result<Self> {
        let (database, ambient) = open_database(&config, opening).await?;
        let keys = open_keys(&config, &database, &ambient).await?;
        let log = Log::open(database.clone(), ambient.clone(), Arc::new(RowsOfNow)).await?;
        let policies = Arc::new(Policies::built_in()?.with_contact(&config.contact));
        let permits: Arc<dyn ServicePermits> =
            Arc::new(OwnServices::new(Arc::clone(&policies), ambient.clone()));
        let catalog = Catalog::new(database.clone(), config.administrators.clone())
            .with_workload_issuers(&config.workload_issuers);
        let webhooks = webhooks(&config.webhooks)?;
        let outbox = Outbox::new(&webhooks).with_mail(config.mail.is_some());
        let identity = Identity::new(identity::Parts {
            database: database.clone(),
            log: log.clone(),
            keys: Arc::new(keys.clone()),
            ambient: ambient.clone(),
            permits: Arc::clone(&permits),
            public_url: config.public_url.clone(),
            administrators: config.administrators.clone(),
            providers: config.providers.clone(),
            workloads: WorkloadParts {
                issuers: config.workload_issuers.clone(),
                reviews: Arc::new(Reviewers::new(&config.clusters)),
            },
            sessions: config.sessions,
            outbox: outbox.clone(),
        })?;
        let gate = Gate::new(GateParts {
            database: database.clone(),
            log: log.clone(),
            identity: identity.clone(),
            catalog: catalog.clone(),
            policies: Arc::clone(&policies),
            ambient: ambient.clone(),
        });
        let scim = Scim::new(ScimParts {
            database: database.clone(),
            log: log.clone(),
            ambient: ambient.clone(),
            policies: Arc::clone(&policies),
            removals: identity.removals().clone(),
            outbox: outbox.clone(),
            providers: config.providers.clone(),
            public_url: config.public_url.clone(),
            protected: Arc::new(DeclaredProtected::new(catalog.clone())),
        });
        if opening != Opening::Recover {
            scim.check_names().await?;
        }
        let vault = vault(&config.engine, &ambient)?;
        let secrets = Secrets::new(secrets::Parts {
            database: database.clone(),
            log: log.clone(),
            catalog: catalog.clone(),
            keys: keys.clone(),
            ambient: ambient.clone(),
            remote: vault.clone().map(|vault| vault as Arc<dyn RemoteEngine>),
            permits: Arc::clone(&permits),
        });
        let leases = Leases::new(LeaseParts {
            database: database.clone(),
            log: log.clone(),
            catalog: catalog.clone(),
            ambient: ambient.clone(),
            engine: vault.clone().map(|vault| vault as Arc<dyn LeaseEngine>),
            permits: Arc::clone(&permits),
        });
        let broker = Broker::new(Surroundings {
            database: database.clone(),
            log: log.clone(),
            ambient: ambient.clone(),
            catalog: catalog.clone(),
            values: Arc::new(secrets.clone()),
            mac: Arc::new(keys.clone()),
            permits: Arc::clone(&permits),
            targets: broker::targets(&config.clusters, &ambient),
        });
        let requests = Requests::new(
            database.clone(),
            log.clone(),
            catalog.clone(),
            Arc::clone(&policies),
            ambient.clone(),
            outbox.clone(),
            config.public_url.as_str(),
        );
        let revocation = Revocation::new(
            database.clone(),
            log.clone(),
            catalog.clone(),
            Arc::clone(&permits),
            ambient.clone(),
            outbox.clone(),
        );
        let rotators = rotators(&config)?;
        let rotation = Rotation::new(RotationParts {
            database: database.clone(),
            log: log.clone(),
            catalog: catalog.clone(),
            ambient: ambient.clone(),
            keys: keys.clone(),
            secrets: secrets.clone(),
            permits: Arc::clone(&permits),
            roles: vault.clone().map(|vault| vault as Arc<dyn StaticRoles>),
            outbox: outbox.clone(),
            rotators: rotators
                .iter()
                .map(|(name, it)| (name.clone(), Outbox::new(std::slice::from_ref(it))))
                .collect(),
        });
        let (archivist, entries) = archive(&config, &database, &log, &ambient, &permits, &keys)?;
        let (witnesses, forwarder) = outward(&config, &database, &log, &ambient, &permits)?;
        if opening != Opening::Recover {
            witnesses.check_pins().await?;
        }
        let witness_policy = witnesses.policy();
        let loops = Loops {
            identity: identity.clone(),
            expiry: Expiry::new(
                database.clone(),
                log.clone(),
                identity.clone(),
                catalog.clone(),
                Arc::clone(&permits),
                ambient.clone(),
            ),
            movers: Movers::new(MoversParts {
                database: database.clone(),
                log: log.clone(),
                catalog: catalog.clone(),
                policies,
                permits: Arc::clone(&permits),
                ambient: ambient.clone(),
                outbox,
            }),
            revocation: revocation.clone(),
            broker: broker.clone(),
            rotation: rotation.clone(),
            sender: {
                let webhooks = webhooks.into_iter().chain(rotators.into_values()).collect();
                sender(&config, &database, &ambient, &catalog, webhooks)?
            },
            secrets: secrets.clone(),
            leases: leases.clone(),
            signer: signer(&config, opening, &database, &ambient, &keys).await?,
            witnesses,
            forwarder: forwarder.with_entries(entries.clone()),
            archivist: archivist.clone(),
            vault,
        };
        let app = App {
            gate,
            identity,
            scim,
            catalog,
            requests,
            revocation,
            rotation,
            broker,
            secrets,
            leases,
            keys,
            log,
            entries,
            archivist,
            witness_policy,
            database,
            ambient,
            config: Arc::new(config),
            stop: CancellationToken::new(),
        };
        Ok(Self { app: Arc::new(app), loops, permits })
    }
}

/// What signs the log, once that has grown out of its pin.
async fn signer(
    config: &Config,
    opening: Opening,
    database: &Database,
    ambient: &Ambient,
    keys: &Keys,
) -> Result<Signer> {
    let signer = Signer::with_keys(database.clone(), ambient.clone(), keys.clone(), &config.log.origin)
        .await?
        .pinned(super::pin::open(config)?);
    if opening != Opening::Recover {
        signer.check_pin().await?;
    }
    Ok(signer)
}

/// Who moves old entries of the log to its archive, where there is one; and the way to all entries.
fn archive(
    config: &Config,
    database: &Database,
    log: &Log,
    ambient: &Ambient,
    permits: &Arc<dyn ServicePermits>,
    keys: &Keys,
) -> Result<(Option<Archivist>, Entries)> {
    let Some(ArchiveConfig { to, after }) = &config.outward.archive else {
        return Ok((None, Entries::new(database.clone(), None)));
    };
    let archive = Archive::open(to)?;
    let entries = Entries::new(database.clone(), Some(archive.clone()));
    let archivist = Archivist::new(ArchivistParts {
        database: database.clone(),
        log: log.clone(),
        ambient: ambient.clone(),
        permits: Arc::clone(permits),
        keys: keys.clone(),
        origin: config.log.origin.clone(),
        archive,
        after: *after,
    });
    Ok((Some(archivist), entries))
}

/// Whoever hears of the log from outside.
fn outward(
    config: &Config,
    database: &Database,
    log: &Log,
    ambient: &Ambient,
    permits: &Arc<dyn ServicePermits>,
) -> Result<(Witnesses, Forwarder)> {
    let outward = &config.outward;
    let witnesses = Witnesses::new(database.clone(), ambient.clone(), &outward.witnesses, outward.quorum)?;
    let forwarder = Forwarder::new(ForwarderParts {
        database: database.clone(),
        log: log.clone(),
        ambient: ambient.clone(),
        permits: Arc::clone(permits),
        origin: config.log.origin.clone(),
        config: &outward.forward,
    })?;
    Ok((witnesses, forwarder))
}

async fn open_database(config: &Config, opening: Opening) -> Result<(Database, Ambient)> {
    let url = config.database.read()?;
    let url = url
        .expose_text()
        .ok_or_else(|| Problem::new(ProblemKind::InvalidConfiguration, "the database's URL is not text"))?;
    let database = Database::open(url).await?;
    match opening {
        Opening::Dev => database.migrate().await?,
        Opening::Serve | Opening::Recover => refuse_pending(&database).await?,
    }
    settle_mark(&database, opening).await?;
    // A machine whose clock stands before the newest entry would write a log that goes back in time.
    let newest: Option<(i64,)> =
        database.fetch_optional(sql("SELECT time FROM log_head WHERE id = 1")).await?;
    let floor = newest.map_or(Timestamp::EPOCH, |(time,)| Timestamp::from_millis(time));
    Ok((database, Ambient::system(floor)))
}

async fn refuse_pending(database: &Database) -> Result<()> {
    match database.pending_migrations().await? {
        0 => Ok(()),
        pending => Err(Problem::new(
            ProblemKind::InvalidConfiguration,
            format!("{pending} migrations of the database have not been made"),
        )
        .remedy("Make them: `port-control migrate --config FILE`.")),
    }
}

/// `dev` marks its database, and nothing else opens a marked one.
async fn settle_mark(database: &Database, opening: Opening) -> Result<()> {
    let mark: Option<(String,)> =
        database.fetch_optional(sql("SELECT value FROM marks WHERE name = $1").bind(MADE_BY)).await?;
    let used: Option<(i64,)> = database.fetch_optional(sql("SELECT size FROM log_head WHERE id = 1")).await?;
    let refused = |what: &str, remedy: &str| {
        Err(Problem::new(ProblemKind::InvalidConfiguration, what.to_owned()).remedy(remedy.to_owned()))
    };
    match (opening, mark, used) {
        (Opening::Serve | Opening::Recover, Some(_), _) => refused(
            "this database was made by `port-control dev`, whose sign-ins prove nothing",
            "Name another database: `[database] url`.",
        ),
        (Opening::Dev, None, Some(_)) => refused(
            "this database is in use and was not made by `port-control dev`",
            "Name another folder: `--data DIR`.",
        ),
        (Opening::Dev, None, None) => {
            let mark = sql("INSERT INTO marks (name, value) VALUES ($1, $2)").bind(MADE_BY).bind(DEV);
            database.write_unrecorded("marks", mark).await?;
            Ok(())
        }
        _ => Ok(()),
    }
}

pub(super) async fn open_keys(config: &Config, database: &Database, ambient: &Ambient) -> Result<Keys> {
    let master = match &config.master_key {
        MasterKeySource::File(path) => MasterKey::from_file(path)?,
        MasterKeySource::Passphrase(passphrase) => MasterKey::from_passphrase(passphrase.read()?),
    };
    Keys::open(database, master, ambient.clone()).await
}

pub(super) fn vault(config: &EngineConfig, ambient: &Ambient) -> Result<Option<Arc<Vault>>> {
    match config {
        EngineConfig::Embedded => Ok(None),
        EngineConfig::Vault(vault) => {
            Ok(Some(Arc::new(Vault::new(vault.as_ref().clone(), ambient.clone())?)))
        }
    }
}

/// Who sends what waits in the outbox: to webhooks, and by e-mail.
fn sender(
    config: &Config,
    database: &Database,
    ambient: &Ambient,
    catalog: &Catalog,
    webhooks: Vec<Webhook>,
) -> Result<Sender> {
    let sender = Sender::new(database.clone(), ambient.clone(), webhooks)?;
    let Some(mail) = &config.mail else { return Ok(sender) };
    let book = Arc::new(Addresses { database: database.clone(), catalog: catalog.clone() });
    Ok(sender.with_mail(Mail::new(mail, book, Sender::PATIENCE)?))
}

/// Who is asked for new values, by name.
fn rotators(config: &Config) -> Result<BTreeMap<Name, Webhook>> {
    let rotators = config.rotators.iter();
    rotators.map(|(name, it)| Ok((name.clone(), Webhook::new(it.url.clone(), &it.secret.read()?)?))).collect()
}

fn webhooks(config: &[WebhookConfig]) -> Result<Vec<Webhook>> {
    config.iter().map(|webhook| Webhook::new(webhook.url.clone(), &webhook.secret.read()?)).collect()
}
