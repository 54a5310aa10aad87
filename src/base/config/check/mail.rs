//! How e-mail is sent.

use lettre::message::Mailbox;

use super::Check;
use crate::base::config::{MailConfig, MailTls, raw::RawMail};

impl Check<'_> {
    /// `[mail]`, where there is one.
    pub(super) fn mail(&mut self, raw: Option<RawMail>) -> Option<MailConfig> {
        let raw = raw?;
        let tls = raw.tls.unwrap_or(MailTls::StartTls);
        let credentials = match raw.username {
            Some(user) => self
                .credential(&["mail"], "password", raw.password, raw.password_file)
                .map(|password| (user, password)),
            None => None,
        };
        self.address(&["mail", "from"], &raw.from);
        if raw.administrators.is_empty() {
            self.wrong(
                &["mail", "administrators"],
                "nobody would be told of what only administrators can see to",
                "Name one address at least, such as it@example.com.",
            );
        }
        for (index, address) in raw.administrators.iter().enumerate() {
            self.address(&["mail", "administrators", &index.to_string()], address);
        }
        Some(MailConfig {
            host: raw.host,
            port: raw.port.unwrap_or(if tls == MailTls::Implicit { 465 } else { 587 }),
            tls,
            ca_file: raw.ca_file.map(|path| self.path(path)),
            from: raw.from,
            administrators: raw.administrators,
            credentials,
        })
    }

    fn address(&mut self, path: &[&str], text: &str) {
        if text.parse::<Mailbox>().is_err() {
            self.wrong(path, "this is no e-mail address", "Write for example it@example.com.");
        }
    }
}
