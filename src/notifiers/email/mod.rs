//! E-mail through an SMTP server: one message per notification, to all recipients.
//!
//! One bad address must not keep the alert from the others: each recipient is accepted or refused
//! for itself, and those that the server put off are tried again alone. A connection that breaks
//! after the message went out leaves open whether it arrived; it is sent again with the same
//! `Message-ID`. Connections are not kept: alerts are rare, and a parked one is usually dead.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use lettre::Address;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;

use super::{COMMON, NotifierSpec};
use crate::base::document::{Table, Text};
use crate::base::keys::{KeySpec, Shape, join};
use crate::base::{Diagnostic, Diagnostics, Secret, Secrets, Timestamp, secret};
use crate::delivery::{Notification, Notifier, Outcome, http};

mod message;

/// This notifier's entry in the family.
pub(super) const SPEC: NotifierSpec = NotifierSpec {
    kind: "email",
    summary: "E-mail through an SMTP server.",
    example: r#"
[notifiers.soc.email]
server       = "smtp.example.com"
tls          = "starttls"                  # the default; or "tls", or "none" to this machine
port         = 587                         # by default 587, 465 or 25
username     = "hark"
password     = { env = "HARK_SMTP_PASSWORD" }
from         = "Hark <hark@example.com>"
to           = ["soc@example.com", "On call <oncall@example.com>"]
min_severity = "high"
resolved     = true
timeout      = "60s"
"#,
    keys: &join::<{ OWN.len() + COMMON.len() }>(&[OWN, COMMON]),
    build,
};

const OWN: &[KeySpec] = &[
    KeySpec::required("server", Shape::Text, "The name of the SMTP server."),
    KeySpec::optional(
        "tls",
        Shape::Word(&["starttls", "tls", "none"]),
        "starttls",
        "`starttls` begins in the clear and must be upgraded; `none` only to this machine.",
    ),
    KeySpec::optional("port", Shape::Count, "587; 465 for tls, 25 for none", "The port."),
    http::CA,
    http::INSECURE,
    KeySpec::optional("username", Shape::Text, "", "Together with `password`."),
    KeySpec::optional("password", secret::SHAPE, "", "Together with `username`."),
    KeySpec::required("from", Shape::Text, "The sender: `Hark <hark@example.com>`."),
    KeySpec::required("to", Shape::Texts, "The recipients, from 1 to 100."),
    KeySpec::optional("timeout", Shape::Duration, "1m", "How long an attempt may take."),
];

/// Recipients of one notifier.
const RECIPIENTS_MAX: usize = 100;
/// Notifications of which some recipients are still to be told.
const PARTLY_TOLD_MAX: usize = 1000;

/// How the connection is protected.
enum Tls {
    None,
    /// Begins in the clear and must be upgraded.
    Upgraded(TlsParameters),
    /// TLS from the first byte.
    Whole(TlsParameters),
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Upgraded(_) => "Upgraded",
            Self::Whole(_) => "Whole",
        })
    }
}

#[derive(Debug)]
struct Email {
    server: String,
    port: u16,
    tls: Tls,
    credentials: Option<Secret<Credentials>>,
    from: Mailbox,
    to: Vec<Mailbox>,
    /// For a whole attempt: SMTP is many small steps, and each could take for ever.
    timeout: Duration,
    /// By notification id, who is still to be told when others were told already. It is only
    /// memory: after a restart all are told again.
    partly_told: Mutex<BTreeMap<String, Vec<Address>>>,
}

fn build(
    mut table: Table<'_>,
    found: &mut Diagnostics,
    secrets: &dyn Secrets,
) -> Option<Arc<dyn Notifier>> {
    http::install_crypto();
    for key in ["from", "to"] {
        table.require(key, found);
    }
    let server = table.required_text("server", found);
    let tls = server.as_ref().and_then(|server| read_tls(&mut table, server, found, secrets));
    let port = read_port(&mut table, found).or(match &tls {
        Some(Tls::None) => Some(25),
        Some(Tls::Upgraded(_)) => Some(587),
        Some(Tls::Whole(_)) => Some(465),
        None => None,
    });
    let credentials = read_credentials(&mut table, found, secrets);
    let from = table.text("from", found).and_then(|text| read_mailbox(&text, found));
    let to_span = table.key_span("to").unwrap_or_default();
    let to: Option<Vec<_>> = table
        .texts("to", found)
        .map(|texts| texts.iter().filter_map(|text| read_mailbox(text, found)).collect());
    if to.as_ref().is_some_and(|to| to.is_empty() || to.len() > RECIPIENTS_MAX) {
        let message = format!("expected 1 to {RECIPIENTS_MAX} addresses");
        found.push(Diagnostic::error("bad-address", to_span, message));
    }
    let timeout = table.duration("timeout", found).map_or(Duration::from_mins(1), |d| d.value);
    // They were read with `tls`, unless there is no server to talk about.
    table.allow(&["tls", "ca", "insecure"]);
    table.finish(found);
    Some(Arc::new(Email {
        server: server?.value,
        port: port?,
        tls: tls?,
        credentials,
        from: from?,
        to: to?,
        timeout,
        partly_told: Mutex::default(),
    }))
}

fn read_tls(
    table: &mut Table<'_>,
    server: &Text,
    found: &mut Diagnostics,
    secrets: &dyn Secrets,
) -> Option<Tls> {
    let insecure = http::read_insecure(table, found);
    let ca = http::read_ca(table, found, secrets);
    let mode = table.text("tls", found);
    let wrap = match mode.as_ref().map_or("starttls", |mode| mode.value.as_str()) {
        "starttls" => Tls::Upgraded,
        "tls" => Tls::Whole,
        "none" => {
            if !insecure && !http::is_loopback(&server.value) {
                found.push(
                    Diagnostic::error(
                        "plain-smtp",
                        mode.map(|mode| mode.span).unwrap_or_default(),
                        format!("mail to `{}` would go unencrypted", server.value),
                    )
                    .help("use \"starttls\" or \"tls\"; `insecure = true` allows it all the same"),
                );
                return None;
            }
            return Some(Tls::None);
        }
        other => {
            let message = format!("expected one of starttls, tls, none, found `{other}`");
            let span = mode.as_ref().map(|mode| mode.span.clone()).unwrap_or_default();
            found.push(Diagnostic::error("bad-tls", span, message));
            return None;
        }
    };
    let mut parameters =
        TlsParameters::builder(server.value.clone()).dangerous_accept_invalid_certs(insecure);
    if let Some((text, pem)) = ca {
        match Certificate::from_pem(pem.as_bytes()) {
            Ok(certificate) if pem.contains("BEGIN CERTIFICATE") => {
                parameters = parameters.add_root_certificate(certificate);
            }
            _ => found.push(http::bad_ca(&text)),
        }
    }
    match parameters.build() {
        Ok(parameters) => Some(wrap(parameters)),
        Err(error) => {
            found.push(Diagnostic::error("bad-tls", server.span.clone(), error.to_string()));
            None
        }
    }
}

fn read_port(table: &mut Table<'_>, found: &mut Diagnostics) -> Option<u16> {
    let port = table.count("port", found)?;
    let number = u16::try_from(port.value).ok();
    if number.is_none() {
        let message = format!("expected a port from 1 to 65535, found `{}`", port.value);
        found.push(Diagnostic::error("out-of-range", port.span, message));
    }
    number
}

fn read_credentials(
    table: &mut Table<'_>,
    found: &mut Diagnostics,
    secrets: &dyn Secrets,
) -> Option<Secret<Credentials>> {
    let user = table.text("username", found);
    let password = secret::read(table, "password", found, secrets);
    for (there, missing) in [("username", "password"), ("password", "username")] {
        if table.has(there) && !table.has(missing) {
            table.require(missing, found);
        }
    }
    Some(Secret::new(Credentials::new(user?.value, password?.expose().clone())))
}

fn read_mailbox(text: &Text, found: &mut Diagnostics) -> Option<Mailbox> {
    let mailbox = text.value.parse().ok();
    if mailbox.is_none() {
        found.push(Diagnostic::error(
            "bad-address",
            text.span.clone(),
            format!("expected an address such as `SOC <soc@example.com>`, found `{}`", text.value),
        ));
    }
    mailbox
}

impl Notifier for Email {
    fn send<'a>(
        &'a self,
        notification: &'a Notification,
        _now: Timestamp,
    ) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let mail = match message::compose(notification, &self.from, &self.to) {
                Ok(mail) => mail,
                Err(error) => return Outcome::rejected(format!("cannot be composed: {error}")),
            };
            let told = tokio::time::timeout(self.timeout, self.transmit(notification, &mail));
            match told.await {
                Ok(Ok(())) => Outcome::Delivered,
                Ok(Err(outcome)) => outcome,
                Err(_) => Outcome::retry("no answer in time"),
            }
        })
    }
}

type Error = lettre::transport::smtp::Error;

impl Email {
    /// One SMTP dialogue. An error is what became of the attempt.
    async fn transmit(&self, notification: &Notification, mail: &[u8]) -> Result<(), Outcome> {
        let mut connection = self.connect().await?;
        let sender = Mail::new(Some(self.from.email.clone()), vec![]);
        connection.command(sender).await.map_err(|e| about_us("sender", &e))?;

        let recipients = self.still_to_tell(&notification.id);
        let (mut accepted, mut refused, mut put_off) = (0, Vec::new(), Vec::new());
        for address in &recipients {
            match connection.command(Rcpt::new(address.clone(), vec![])).await {
                Ok(_) => accepted += 1,
                Err(error) if error.is_permanent() => refused.push(explain("recipient", &error)),
                Err(error) if error.is_transient() => {
                    put_off.push((address.clone(), explain("recipient", &error)));
                }
                Err(error) => return Err(Outcome::retry(explain("recipient", &error))),
            }
        }
        if accepted > 0 {
            connection.command(Data).await.map_err(|e| about_the_mail(&e))?;
            connection.message(mail).await.map_err(|e| about_the_mail(&e))?;
            for reason in &refused {
                tracing::warn!(notification = notification.id, reason, "recipient refused");
            }
        }
        // What was accepted stays so, whatever they make of our good-bye.
        let _said_good_bye = connection.quit().await.is_ok();

        let reason = put_off.first().map(|(_, reason)| reason.clone());
        let mut partly_told = self.partly_told.lock().unwrap_or_else(PoisonError::into_inner);
        partly_told.remove(&notification.id);
        match reason {
            Some(reason) => {
                if partly_told.len() >= PARTLY_TOLD_MAX {
                    partly_told.pop_first();
                }
                let rest = put_off.into_iter().map(|(address, _)| address).collect();
                partly_told.insert(notification.id.clone(), rest);
                Err(Outcome::retry(reason))
            }
            None if accepted == 0 && recipients.len() == self.to.len() => {
                Err(Outcome::rejected(refused.first().cloned().unwrap_or_default()))
            }
            None => Ok(()),
        }
    }

    fn still_to_tell(&self, id: &str) -> Vec<Address> {
        let partly_told = self.partly_told.lock().unwrap_or_else(PoisonError::into_inner);
        match partly_told.get(id) {
            Some(rest) => rest.clone(),
            None => self.to.iter().map(|mailbox| mailbox.email.clone()).collect(),
        }
    }

    /// A connection that is protected and authenticated as the settings say.
    async fn connect(&self) -> Result<AsyncSmtpConnection, Outcome> {
        let name = ClientId::default();
        let address = (self.server.as_str(), self.port);
        let wrapped = match &self.tls {
            Tls::Whole(parameters) => Some(parameters.clone()),
            Tls::None | Tls::Upgraded(_) => None,
        };
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, Some(self.timeout), &name, wrapped, None)
                .await
                .map_err(|e| about_us("connection", &e))?;
        if let Tls::Upgraded(parameters) = &self.tls {
            let upgraded = connection.starttls(parameters.clone(), &name).await;
            upgraded.map_err(|e| about_us("STARTTLS", &e))?;
        }
        if let Some(credentials) = &self.credentials {
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            let authenticated = connection.auth(&mechanisms, credentials.expose()).await;
            authenticated.map_err(|e| about_us("authentication", &e))?;
        }
        Ok(connection)
    }
}

/// A failure before the mail itself is spoken of: a refusal is about our settings.
fn about_us(step: &str, error: &Error) -> Outcome {
    if error.is_permanent() || error.is_client() {
        Outcome::blocked(explain(step, error))
    } else {
        Outcome::retry(explain(step, error))
    }
}

/// A failure when the mail itself is handed over; without an answer it may have arrived.
fn about_the_mail(error: &Error) -> Outcome {
    if error.is_permanent() {
        Outcome::rejected(explain("message", error))
    } else {
        Outcome::retry(explain("message", error))
    }
}

fn explain(step: &str, error: &Error) -> String {
    let text = error.to_string();
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    let text: String = text.chars().chain(cause.unwrap_or_default().chars()).collect();
    format!("{step}: {}", message::clean(&text, 300))
}
