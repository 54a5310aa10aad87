//! E-mail: what waits in the outbox, as plain text to those whom it is for.
//!
//! A message is written once, for e-mail as for each webhook. When its time comes it is handed out: one row
//! for each recipient, so that an address that is refused holds nobody else's message up, and nobody sees
//! who else got it.

mod letter;
mod recipients;
mod text;

#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor,
    message::Mailbox,
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
    },
};

pub use recipients::{AddressBook, NoAddresses};

use crate::base::{
    Problem, ProblemKind, Result, Timestamp,
    config::{MailConfig, MailTls},
};

/// What rows for e-mail are found by in the outbox.
pub(super) const CHANNEL: &str = "mail";

/// A way to send e-mail. Prints as its host alone.
#[derive(Clone)]
pub struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    host: String,
    from: Mailbox,
    administrators: Vec<String>,
    book: Arc<dyn AddressBook>,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mail({})", self.host)
    }
}

impl Mail {
    /// Sends as `config` says, to the addresses that `book` has. Talks to nobody yet.
    ///
    /// # Errors
    /// `invalid-configuration` for an address, a certificate or a password that cannot be used.
    pub fn new(config: &MailConfig, book: Arc<dyn AddressBook>, patience: Duration) -> Result<Self> {
        let tls = tls(config)?;
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(config.port)
            .timeout(Some(patience))
            .tls(match config.tls {
                MailTls::Implicit => Tls::Wrapper(tls),
                // Never in the clear: a server that does not offer it gets no message.
                MailTls::StartTls => Tls::Required(tls),
            });
        if let Some((user, password)) = &config.credentials {
            let password = password.read()?;
            let text = password.expose_text().ok_or_else(|| refused("its password is not text"))?;
            builder = builder.credentials(Credentials::new(user.clone(), text.trim_end().to_owned()));
        }
        Ok(Self {
            transport: builder.build(),
            host: config.host.clone(),
            from: config.from.parse().map_err(|_| refused("'from' is no address"))?,
            administrators: config.administrators.clone(),
            book,
        })
    }

    /// To whom a message is sent.
    ///
    /// # Errors
    /// A problem of the address book.
    pub(super) async fn recipients(&self, body: &str) -> Result<Vec<String>> {
        recipients::of(body, self.book.as_ref(), &self.administrators).await
    }

    /// Sends one message to one address. What went wrong, without the address.
    pub(super) async fn send(
        &self,
        id: &str,
        body: &str,
        recipient: &str,
        now: Timestamp,
    ) -> Result<(), String> {
        let letter = letter::write(&self.from, recipient, id, body, now)?;
        self.transport.send(letter).await.map(|_| ()).map_err(|error| said_by(&error))
    }

    /// Whether a message could be sent: it is connected, safely, greeted and signed in to, and nothing is sent.
    ///
    /// # Errors
    /// `invalid-configuration`, with what went wrong.
    pub async fn check(&self) -> Result<()> {
        let why = match self.transport.test_connection().await {
            Ok(true) => return Ok(()),
            Ok(false) => "it ended the connection".to_owned(),
            Err(error) => said_by(&error),
        };
        Err(refused(&format!("{}: {why}", self.host)))
    }

    /// Where it is sent to, as logs name it.
    pub(super) fn host(&self) -> &str {
        &self.host
    }
}

/// A server's own words may quote the address; they are cut to what it is about.
fn said_by(error: &lettre::transport::smtp::Error) -> String {
    if let Some(code) = error.status() {
        return format!("it answered {code}");
    }
    let what = if error.is_timeout() {
        "it did not answer in time"
    } else if error.is_tls() || is_of_tls(error) {
        "no safe connection could be made"
    } else {
        "it cannot be reached, or does not speak SMTP"
    };
    what.to_owned()
}

/// Whether anything that led to it was a certificate or a handshake.
fn is_of_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(it) = cause {
        let within = it.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if it.is::<rustls::Error>()
            || within.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
        {
            return true;
        }
        cause = it.source();
    }
    false
}

fn tls(config: &MailConfig) -> Result<TlsParameters> {
    let mut builder = TlsParameters::builder(config.host.clone());
    if let Some(path) = &config.ca_file {
        let pem = std::fs::read(path)
            .map_err(|error| refused(&format!("{} cannot be read: {error}", path.display())))?;
        let unread = |_| refused(&format!("{} holds no certificate", path.display()));
        let certificate = Certificate::from_pem(&pem).map_err(unread)?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(|error| refused(&format!("no TLS can be made: {error}")))
}

fn refused(why: &str) -> Problem {
    Problem::new(ProblemKind::InvalidConfiguration, format!("e-mail cannot be sent: {why}"))
        .remedy("Correct [mail] in the server's configuration.")
}
