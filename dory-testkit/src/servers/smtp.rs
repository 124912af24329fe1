//! A real mail server: `aiosmtpd`, on loopback or where a test wants it, with STARTTLS, with TLS from the start, or without.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use async_trait::async_trait;
use dory_core::ErrorKind;
use dory_core::domain::contact::SmtpSecurity;
use dory_core::domain::secret::Secret;
use dory_core::ports::{MailAccount, Notice, Severity};
use serde::Deserialize;
use tempfile::TempDir;

use super::tools::find_tool;
use crate::contracts::notifier::Receiver;

const PROGRAM: &str = include_str!("smtp.py");

/// An authority, and a certificate by it for `$1`.
const CERTIFICATES: &str = r#"
set -e
printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$1" > extensions
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca-key.pem -out ca.pem
openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key.pem -out request
openssl x509 -req -in request -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile extensions -out cert.pem
"#;

/// A running mail server with a letter box. It goes when it is dropped.
#[derive(Debug)]
pub struct SmtpServer {
    folder: TempDir,
    server: Child,
    host: String,
    port: u16,
    security: SmtpSecurity,
}

/// A letter as it arrived.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Letter {
    /// Its Message-ID, in angle brackets.
    pub message_id: String,
    severity: String,
    /// Its subject, decoded.
    pub subject: String,
    /// Who it says it is from.
    pub from: String,
    /// Who it says it is to.
    pub to: String,
    /// Who gets it.
    pub recipients: Vec<String>,
    /// Its plain text.
    pub text: String,
    html: Option<String>,
    /// Its content type.
    pub kind: String,
    /// Whether it came by a connection that was secured.
    pub tls: bool,
    /// Who logged in.
    pub user: Option<String>,
    /// What the sender called itself.
    pub hello: String,
    /// The address it came from.
    pub peer: String,
}

/// A mail server of that kind, where Python has `aiosmtpd`, and `openssl` is there.
#[must_use]
pub fn smtp(security: SmtpSecurity) -> Option<SmtpServer> {
    smtp_at("localhost", security)
}

/// The same at an address of this host's that others reach. Their clocks may be slow: its certificate is a day old.
#[must_use]
pub fn smtp_at(host: &str, security: SmtpSecurity) -> Option<SmtpServer> {
    let python = find_tool("python3")?;
    let has = Command::new(&python).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status().ok()?;
    if !has.success() {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("smtp.py"), PROGRAM).unwrap();
    let mode: &[&str] = match security {
        SmtpSecurity::IfOffered => &["plain"],
        SmtpSecurity::StartTls => &["starttls", "cert.pem", "key.pem"],
        SmtpSecurity::Tls => &["tls", "cert.pem", "key.pem"],
    };
    let (address, name, then): (_, _, &[&str]) = match host {
        "localhost" => ("127.0.0.1", "DNS:localhost".to_owned(), &[]),
        _ => (host, format!("IP:{host}"), &["faketime", "-f", "-1d"]),
    };
    if mode.len() > 1 {
        let words = [then, &["sh", "-c", CERTIFICATES, "sh", &name]].concat();
        let made = Command::new(words[0]).args(&words[1..]).current_dir(&folder).output().ok()?;
        if !made.status.success() {
            return None;
        }
    }
    let mut command = Command::new(python);
    command.args(["smtp.py", address]).args(mode).current_dir(&folder).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port = line.trim().parse().expect("the mail server says its port");
    Some(SmtpServer { folder, server, host: host.to_owned(), port, security })
}

impl SmtpServer {
    /// What it takes to send mail by it, as `smtp://…` or `smtps://…` says it.
    ///
    /// # Panics
    /// Never, but for a defect here.
    #[must_use]
    pub fn account(&self) -> MailAccount {
        let (scheme, user) = match self.security {
            SmtpSecurity::IfOffered => ("smtp", ""),
            SmtpSecurity::StartTls => ("smtp", "ada@"),
            SmtpSecurity::Tls => ("smtps", "ada@"),
        };
        let mut smtp: dory_core::domain::contact::SmtpUrl =
            format!("{scheme}://{user}{}:{}", self.host, self.port).parse().unwrap();
        // On loopback it would not be asked for.
        smtp.security = self.security;
        MailAccount {
            password: smtp.user.is_some().then(|| Secret::new("hunter2")),
            smtp,
            from: "dory@example.org".parse().unwrap(),
            to: vec!["ada@example.org".parse().unwrap(), "bob@example.org".parse().unwrap()],
        }
    }

    /// The authority whose certificate it has, in PEM.
    ///
    /// # Panics
    /// If it speaks no TLS.
    #[must_use]
    pub fn authority(&self) -> Vec<u8> {
        fs::read(self.file("ca.pem")).expect("a server with TLS")
    }

    /// The file that it is in.
    #[must_use]
    pub fn authority_file(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// Every letter that was taken, in order.
    ///
    /// # Panics
    /// If a letter lacks what every letter of Dory's has.
    #[must_use]
    pub fn letters(&self) -> Vec<Letter> {
        let letters = fs::read_to_string(self.file("letters")).unwrap_or_default();
        letters.lines().map(|line| serde_json::from_str(line).expect("a letter")).collect()
    }

    /// Refuses every letter with this reply.
    ///
    /// # Panics
    /// If its folder is gone.
    pub fn refuse_with(&self, reply: &str) {
        // In one step: it may be reading.
        let new = self.file("refusal.new");
        fs::write(&new, reply).unwrap();
        fs::rename(new, self.file("refusal")).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[async_trait]
impl Receiver for SmtpServer {
    async fn taken(&self) -> Vec<Notice> {
        let notice = |letter: Letter| Notice {
            id: letter.message_id.trim_start_matches('<').split('@').next().unwrap_or_default().to_owned(),
            severity: match letter.severity.as_str() {
                "report" => Severity::Report,
                "warning" => Severity::Warning,
                _ => Severity::Alarm,
            },
            subject: letter.subject,
            text: letter.text,
            html: letter.html,
        };
        self.letters().into_iter().map(notice).collect()
    }

    async fn refuse(&self, kind: ErrorKind) {
        self.refuse_with(match kind {
            ErrorKind::PermissionDenied => "550 5.7.1 you may not",
            ErrorKind::InvalidInput => "554 5.6.0 no such letters here",
            _ => "451 4.3.0 come again later",
        });
    }

    async fn accept(&self) {
        fs::remove_file(self.file("refusal")).unwrap();
    }
}
