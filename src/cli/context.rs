//! What a command works with.

use std::{sync::Arc, time::Duration};

use super::{
    confirm::InBrowser,
    credentials::{Credentials, Kept},
    output::{Format, Output},
    settings::{Settings, Surroundings},
};
use crate::{
    base::{Ambient, Problem, ProblemKind, Result, SecretValue, Timestamp},
    client::{Client, ServerUrl},
};

/// What a command works with: settings, output, time and chance; the server, once it is asked for.
pub struct Context {
    /// Where answers go.
    pub output: Output,
    /// Time and chance.
    pub ambient: Ambient,
    settings: Settings,
}

impl Context {
    /// The context of one run.
    #[must_use]
    pub fn new(server: Option<String>, format: Format, surroundings: Surroundings) -> Self {
        Self {
            output: Output::new(format),
            ambient: Ambient::system(Timestamp::EPOCH),
            settings: Settings::new(server, surroundings),
        }
    }

    /// Flags, variables and `portctl.toml` together.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where tokens are kept.
    ///
    /// # Errors
    /// `invalid-configuration` where there is no home.
    pub fn credentials(&self) -> Result<Credentials> {
        Ok(Credentials::in_folder(self.settings.config_folder()?))
    }

    /// The server that is meant.
    ///
    /// # Errors
    /// `invalid-request` where nothing names one.
    pub fn server(&self) -> Result<ServerUrl> {
        if let Some(server) = self.settings.server()? {
            return Ok(server);
        }
        let last = self.credentials()?.last_server()?;
        last.and_then(|text| text.parse().ok()).ok_or_else(|| {
            Problem::invalid("no server is named").remedy(
                "Say --server URL, set PORTCTL_SERVER, or write `server = \"URL\"` into portctl.toml.",
            )
        })
    }

    /// A client that is signed in: as whoever signed in last, or, where nobody did, as the CI job or pod that
    /// this runs in, whose token is kept nowhere.
    ///
    /// # Errors
    /// `unauthenticated` where no token is kept for the server.
    pub fn client(&self) -> Result<Client> {
        let server = self.server()?;
        if let Some(token) = self.settings.token() {
            // Somebody's script, where nobody looks at a browser.
            return Client::new(server, Some(token), self.ambient.clone());
        }
        let job = self.settings.job();
        let kept = match job.token()? {
            None => self.kept(&server)?,
            // There may be no home in a job, and then nothing is kept.
            Some(own) => {
                let Ok(Some(kept)) = self.kept(&server) else {
                    let client = Client::new(server, None, self.ambient.clone())?;
                    return Ok(client.as_job(own, job.workload.clone()));
                };
                Some(kept)
            }
        };
        let token = kept.ok_or_else(|| not_signed_in(&server))?.token;
        Ok(Client::new(server, Some(token), self.ambient.clone())?.confirming(Arc::new(InBrowser)))
    }

    /// A client that is nobody, with the usual limit of time.
    ///
    /// # Errors
    /// As [`Self::server`].
    pub fn anonymous(&self) -> Result<Client> {
        Client::new(self.server()?, None, self.ambient.clone())
    }

    /// A client that is nobody and gives up soon.
    ///
    /// # Errors
    /// As [`Self::server`].
    pub fn hasty(&self, limit: Duration) -> Result<Client> {
        Client::with_time_limit(self.server()?, None, self.ambient.clone(), limit)
    }

    fn kept(&self, server: &ServerUrl) -> Result<Option<Kept>> {
        self.credentials()?.get(server)
    }

    /// The token that would be used for `server`, where there is one.
    ///
    /// # Errors
    /// Where the file of credentials cannot be read or is open to others.
    pub fn token(&self, server: &ServerUrl) -> Result<Option<SecretValue>> {
        match self.settings.token() {
            Some(token) => Ok(Some(token)),
            None => Ok(self.kept(server)?.map(|kept| kept.token)),
        }
    }
}

fn not_signed_in(server: &ServerUrl) -> Problem {
    Problem::new(ProblemKind::Unauthenticated, format!("nobody is signed in to {server}"))
        .remedy(format!("Sign in: `portctl login --server {server}`."))
}
