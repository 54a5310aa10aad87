//! `portctl scim connection`

use std::fmt::Write as _;

use clap::{Args, Subcommand};

use crate::{
    base::{Problem, Result},
    cli::{Context, DONE, Table, output::note, printable},
    client::{
        ConnectionChange, ConnectionChecked, ConnectionDetails, ConnectionLine, ConnectionToken,
        NewConnection,
    },
};

/// Connections by which identity providers say who works here.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make one; its token is printed this once.
    Create(Create),
    /// Change what is set for one; what is not named stays as it is.
    Set(Set),
    /// Make another token; the one before it goes on until `retire`, or until the next `rotate`.
    Rotate {
        /// The connection.
        connection: String,
    },
    /// End all tokens but the newest.
    Retire {
        /// The connection.
        connection: String,
    },
    /// Show one: when it last spoke, what it has, what was refused to it and why.
    Show {
        /// The connection.
        connection: String,
    },
    /// List them.
    List,
    /// Try whether its people are those who sign in.
    Check {
        /// The connection.
        connection: String,
    },
    /// Take it out of use, for good.
    Disable {
        /// The connection.
        connection: String,
        /// Why; stands in the log.
        #[arg(long)]
        reason: String,
    },
}

/// What is set for a new connection.
#[derive(Debug, Args)]
pub struct Create {
    /// Its name; also the `provider` of the groups that files declare.
    name: String,
    /// By which identity provider of the configuration its people sign in.
    #[arg(long)]
    provider: String,
    /// Which attribute equals which claim: externalId=sub, at Entra externalId=oid.
    #[arg(long)]
    link: String,
    /// Signing in by that provider creates nobody any more.
    #[arg(long)]
    authoritative: bool,
    /// It may bring back whom it deactivated.
    #[arg(long)]
    may_reactivate: bool,
    /// A group that it may write, by name or external id; `*` stands for any text. Several can be given.
    #[arg(long = "group", value_name = "PATTERN")]
    groups: Vec<String>,
    #[command(flatten)]
    limit: Limit,
}

/// How many people a connection may remove.
#[derive(Debug, Args)]
struct Limit {
    /// How many people it may remove before somebody is asked.
    #[arg(long, value_name = "NUMBER")]
    removals: Option<i64>,
    /// The same as a share of its people; whichever is more counts.
    #[arg(long, value_name = "PERCENT")]
    removals_share: Option<i64>,
    /// In which time, such as 1h.
    #[arg(long, value_name = "TIME")]
    removals_within: Option<String>,
}

/// What is to be set for a connection.
#[derive(Debug, Args)]
pub struct Set {
    /// The connection.
    connection: String,
    /// By which identity provider its people sign in; only while nobody is linked.
    #[arg(long)]
    provider: Option<String>,
    /// Which attribute equals which claim; only while nobody is linked.
    #[arg(long)]
    link: Option<String>,
    /// Whether signing in by that provider creates nobody.
    #[arg(long, value_name = "TRUE-OR-FALSE")]
    authoritative: Option<bool>,
    /// Whether it may bring back whom it deactivated.
    #[arg(long, value_name = "TRUE-OR-FALSE")]
    may_reactivate: Option<bool>,
    /// A group that it may write, in place of those of before; `*` stands for any text. Several can be given.
    #[arg(long = "group", value_name = "PATTERN")]
    groups: Vec<String>,
    #[command(flatten)]
    limit: Limit,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client()?;
        match self {
            Self::Create(it) => it.run(context).await?,
            Self::Set(it) => it.run(context).await?,
            Self::Rotate { connection } => tell(context, &client.rotate_connection(&connection).await?)?,
            Self::Retire { connection } => {
                let retired = client.retire_connection(&connection).await?;
                context.output.tell(&retired, |it| format!("{} tokens have ended\n", it.ended))?;
            }
            Self::Show { connection } => {
                context.output.tell(&client.connection(&connection).await?, text)?;
            }
            Self::List => context.output.show(&client.connections().await?, |all| table(all))?,
            Self::Check { connection } => {
                context.output.tell(&client.check_connection(&connection).await?, checked)?;
            }
            Self::Disable { connection, reason } => {
                client.disable_connection(&connection, &reason).await?;
                note(&format!("{} is disabled", printable(&connection)));
            }
        }
        Ok(DONE)
    }
}

impl Create {
    async fn run(self, context: &Context) -> Result<()> {
        let new = NewConnection {
            name: self.name,
            provider: self.provider,
            link: self.link,
            authoritative: self.authoritative,
            may_reactivate: self.may_reactivate,
            groups: self.groups,
            removals_number: self.limit.removals,
            removals_share: self.limit.removals_share,
            removals_within: self.limit.removals_within,
        };
        tell(context, &context.client()?.create_connection(&new).await?)
    }
}

impl Set {
    async fn run(self, context: &Context) -> Result<()> {
        let change = ConnectionChange {
            provider: self.provider,
            link: self.link,
            authoritative: self.authoritative,
            may_reactivate: self.may_reactivate,
            groups: (!self.groups.is_empty()).then_some(self.groups),
            removals_number: self.limit.removals,
            removals_share: self.limit.removals_share,
            removals_within: self.limit.removals_within,
        };
        let now = context.client()?.set_connection(&self.connection, &change).await?;
        context.output.tell(&now, settings)
    }
}

/// The token is the one thing on standard output; where it goes is said beside.
fn tell(context: &Context, made: &ConnectionToken) -> Result<()> {
    let token = made.token.expose_text().ok_or_else(|| Problem::internal("the token is no text"))?;
    let shown = serde_json::json!({ "connection": made.connection, "url": made.url, "token": token });
    context.output.tell(&shown, |_| format!("{token}\n"))?;
    note(&format!(
        "give the identity provider this token, which is shown once, and {}",
        printable(&made.url)
    ));
    Ok(())
}

fn table(all: &[ConnectionLine]) -> Table {
    Table::new(&["CONNECTION", "PROVIDER", "LINK", "LAST HEARD", "STATE"]).with(all.iter().map(|it| {
        let heard = it.heard_at.as_deref().unwrap_or("never");
        let state = if it.disabled_at.is_some() { "disabled" } else { "enabled" };
        vec![it.name.as_str(), &it.provider, &it.link, heard, state]
    }))
}

fn text(it: &ConnectionDetails) -> String {
    let mut out = String::new();
    let line = &it.line;
    let heard = line.heard_at.as_deref().map_or("never heard of".to_owned(), |at| format!("last heard {at}"));
    let state =
        line.disabled_at.as_deref().map_or(String::new(), |at| format!(", disabled {}", printable(at)));
    let _ = writeln!(
        out,
        "{} for {}: {}{state}",
        printable(&line.name),
        printable(&line.provider),
        printable(&heard)
    );
    let _ = writeln!(out, "{} live tokens", it.tokens.len());
    out.push_str(&settings(line));
    let _ = writeln!(
        out,
        "{} people, {} of them linked; {} groups with {} members",
        it.people, it.linked, it.group_count, it.member_count
    );
    if !it.refused.is_empty() {
        let rows = it.refused.iter().map(|it| {
            vec![
                it.last_at.clone(),
                it.operation.clone(),
                it.resource.clone(),
                it.times.to_string(),
                it.because.clone(),
            ]
        });
        let _ = write!(out, "\n{}", Table::new(&["REFUSED", "WHAT", "WHOM", "TIMES", "BECAUSE"]).with(rows));
    }
    out
}

/// What is set for it, and can be set anew.
fn settings(it: &ConnectionLine) -> String {
    let yes = |it: bool| if it { "yes" } else { "no" };
    let groups: Vec<String> = it.groups.iter().map(|it| printable(it)).collect();
    format!(
        "people of {} are linked by {}; authoritative: {}; may reactivate: {}; groups: {}\n\
         removals within {} before somebody is asked: {}, or {} % of its people\n",
        printable(&it.provider),
        printable(&it.link),
        yes(it.authoritative),
        yes(it.may_reactivate),
        groups.join(", "),
        printable(&it.removals_within),
        it.removals_number,
        it.removals_share
    )
}

fn checked(it: &ConnectionChecked) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} people are linked, {} of them have signed in; {} are not linked; {} ambiguous",
        it.linked, it.signed_in, it.unlinked, it.ambiguous
    );
    for finding in &it.findings {
        let _ = writeln!(out, "- {}", printable(finding));
    }
    out
}
