//! `portctl person`

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Context, DONE, Table, moves::moves_table, output::note, printable};
use crate::{
    base::Result,
    client::{Move, Person, PersonAct, Unlinked},
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
    /// Show one, with what she gained and lost when her groups changed.
    Show {
        /// Her id or e-mail address.
        person: String,
    },
    /// Who gained and lost what when groups changed: you and your teams, or somebody.
    Moves {
        /// Her id or e-mail address.
        person: Option<String>,
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
                let client = context.client()?;
                let person = client.person(&person).await?;
                let moves = client.moves(Some(&person.id)).await?;
                context.output.tell(&Shown { person, moves }, text)?;
                Ok(DONE)
            }
            Self::Moves { person } => {
                let moves = context.client()?.moves(person.as_deref()).await?;
                context.output.show(&moves, |moves| moves_table(moves))?;
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

/// A person with her moves.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    person: Person,
    moves: Vec<Move>,
}

fn text(shown: &Shown) -> String {
    let person = table(std::slice::from_ref(&shown.person));
    if shown.moves.is_empty() {
        person.to_string()
    } else {
        format!("{person}\n{}", moves_table(&shown.moves))
    }
}

fn table(people: &[Person]) -> Table {
    Table::new(&["PERSON", "NAME", "E-MAIL", "STATUS"]).with(
        people
            .iter()
            .map(|it| vec![it.id.as_str(), &it.display_name, it.email.as_deref().unwrap_or("-"), &it.status]),
    )
}
