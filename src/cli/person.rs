//! `portctl person`

use clap::{Args, Subcommand};

use super::{Context, DONE, Table, output::note, printable};
use crate::{
    base::Result,
    client::{Person, PersonAct, Unlinked},
};

/// People.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List people.
    List {
        /// A piece of a name or address.
        query: Option<String>,
        /// Those whom a connection provisioned and no account is known for, so that they cannot sign in.
        #[arg(long, conflicts_with = "query")]
        unlinked: bool,
    },
    /// Show one.
    Show {
        /// Her id or e-mail address.
        person: String,
    },
    /// Take everything away: sessions, grants, requests; what she knows becomes rotation work.
    Deactivate(Act),
    /// Let nothing work, and take nothing away.
    Suspend(Act),
    /// Undo a suspension.
    Resume(Act),
    /// Bring back who was deactivated: the person, and nothing that she held.
    Reactivate(Act),
    /// End all sessions.
    SignOut(Act),
}

/// To whom, and why.
#[derive(Debug, Args)]
pub struct Act {
    /// Her id or e-mail address.
    person: String,
    /// Why; stands in the log.
    #[arg(long)]
    reason: String,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        match self {
            Self::List { unlinked: true, .. } => {
                let people = context.client()?.unlinked_people().await?;
                context.output.show(&people, |people| unlinked(people))?;
                Ok(DONE)
            }
            Self::List { query, .. } => {
                let people = context.client()?.people(query.as_deref()).await?;
                context.output.show(&people, |people| table(people))?;
                Ok(DONE)
            }
            Self::Show { person } => {
                let person = context.client()?.person(&person).await?;
                context.output.show(&person, |person| table(std::slice::from_ref(person)))?;
                Ok(DONE)
            }
            Self::Deactivate(it) => it.run(context, PersonAct::Deactivate).await,
            Self::Suspend(it) => it.run(context, PersonAct::Suspend).await,
            Self::Resume(it) => it.run(context, PersonAct::Resume).await,
            Self::Reactivate(it) => it.run(context, PersonAct::Reactivate).await,
            Self::SignOut(it) => it.run(context, PersonAct::SignOut).await,
        }
    }
}

impl Act {
    async fn run(self, context: &Context, act: PersonAct) -> Result<u8> {
        let answer = context.client()?.act_on_person(&self.person, act, &self.reason).await?;
        let who = printable(&self.person);
        context.output.tell(&answer, |_| match act {
            PersonAct::Deactivate => format!("{who} is deactivated\n"),
            PersonAct::Suspend => format!("{who} is suspended\n"),
            PersonAct::Resume => format!("{who} is active again\n"),
            PersonAct::Reactivate => format!("{who} is active again, and holds nothing\n"),
            PersonAct::SignOut => format!("{who} is signed out everywhere\n"),
        })?;
        if act == PersonAct::Deactivate {
            note(&format!("what is still to be rotated: portctl leaver show {who}"));
        }
        Ok(DONE)
    }
}

fn unlinked(people: &[Unlinked]) -> Table {
    Table::new(&["CONNECTION", "USER NAME", "EXTERNAL ID", "WHAT TO DO"]).with(people.iter().map(|it| {
        vec![it.connection.as_str(), &it.user_name, it.external_id.as_deref().unwrap_or("-"), &it.remedy]
    }))
}

fn table(people: &[Person]) -> Table {
    Table::new(&["PERSON", "NAME", "E-MAIL", "STATUS"]).with(
        people
            .iter()
            .map(|it| vec![it.id.as_str(), &it.display_name, it.email.as_deref().unwrap_or("-"), &it.status]),
    )
}
