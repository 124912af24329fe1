//! Notices as mail, over SMTP.

mod failure;
mod letter;

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use crate::domain::contact::SmtpSecurity;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Clock, MailAccount, Notice, Notifier};

/// How long a mail server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends notices as mail: HTML with plain text beside it, a Message-ID that is the notice's own, a connection each.
pub struct Mailer {
    account: MailAccount,
    clock: Arc<dyn Clock>,
    /// Whom to trust instead of the system's authorities, in PEM.
    authorities: Option<Vec<u8>>,
}

impl Mailer {
    /// Sends by `account`.
    #[must_use]
    pub fn new(account: MailAccount, clock: Arc<dyn Clock>) -> Self {
        Self { account, clock, authorities: None }
    }

    /// Trusts these authorities alone, in PEM, instead of the system's.
    #[must_use]
    pub fn trusting(self, authorities: Vec<u8>) -> Self {
        Self { authorities: Some(authorities), ..self }
    }

    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>> {
        let smtp = &self.account.smtp;
        let domain = self.account.from.as_str().rsplit('@').next().unwrap_or("localhost").to_owned();
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.host)
            .port(smtp.port)
            .hello_name(ClientId::Domain(domain))
            .timeout(Some(PATIENCE))
            .tls(self.tls()?);
        match (&smtp.user, &self.account.password) {
            (Some(user), Some(password)) => {
                builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
            }
            (Some(user), None) => {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    "log in to mail server as",
                    user,
                    "no password is set",
                )
                .with_hint("hand it to `dory settings set mail.password` on standard input"));
            }
            (None, _) => {}
        }
        Ok(builder.build())
    }

    fn tls(&self) -> Result<Tls> {
        let smtp = &self.account.smtp;
        let cannot = |error| {
            Error::new(ErrorKind::Internal, "speak TLS to mail server", &smtp.host, "it cannot be set up")
                .with_source(error)
        };
        let mut builder = TlsParameters::builder(smtp.host.clone());
        if let Some(authorities) = &self.authorities {
            builder = builder.certificate_store(CertificateStore::None);
            builder = builder.add_root_certificate(Certificate::from_pem(authorities).map_err(cannot)?);
        }
        Ok(match smtp.security {
            SmtpSecurity::Tls => Tls::Wrapper(builder.build_rustls().map_err(cannot)?),
            SmtpSecurity::StartTls => Tls::Required(builder.build_rustls().map_err(cannot)?),
            // Nobody else is on this host's loopback, and hardly a mail server there has a certificate that fits.
            SmtpSecurity::IfOffered => {
                Tls::Opportunistic(builder.dangerous_accept_invalid_certs(true).build_rustls().map_err(cannot)?)
            }
        })
    }
}

#[async_trait]
impl Notifier for Mailer {
    async fn send(&self, notice: &Notice) -> Result<()> {
        let letter = letter::written(&self.account, notice, self.clock.now())?;
        let sent = self.transport()?.send(letter).await;
        sent.map(drop).map_err(|error| failure::of(&error, &self.account.smtp))
    }
}

impl Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").field("account", &self.account).finish_non_exhaustive()
    }
}
