//! The letters that the fleet writes: one server does, and nothing is told twice but under the same Message-ID.

use std::collections::BTreeMap;
use std::process::Command;

use dory_core::domain::contact::SmtpSecurity;
use dory_testkit::live::{LiveNetwork, or_skip};
use dory_testkit::servers::{Letter, SmtpServer, smtp_at};

use crate::bench::Ran;

/// A mail server on the fleet's network, with STARTTLS and a login.
pub(super) struct Post {
    server: SmtpServer,
}

impl Post {
    pub(super) fn start(network: &LiveNetwork) -> Option<Self> {
        let server = or_skip("smtp", smtp_at(&network.host(), SmtpSecurity::StartTls))?;
        Some(Self { server })
    }

    /// What every host of the fleet knows: whom to trust.
    pub(super) fn variables(&self) -> Vec<(String, String)> {
        vec![("SSL_CERT_FILE".to_owned(), self.server.authority_file().display().to_string())]
    }

    /// Tells the fleet to write by it; `dory` gives the command with these words.
    pub(super) fn let_it_write(&self, dory: impl Fn(&[&str]) -> Command) {
        let account = self.server.account();
        let set = |key: &str, value: &str| {
            Ran::of(&dory(&["settings", "set", key, value]).output().unwrap()).succeeded();
        };
        set("mail.smtp", account.smtp.as_str());
        set("mail.from", "dory@example.org");
        set("mail.to", "ada@example.org");
        // A secret is read from a file, never from the command line.
        let password = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(password.path(), account.password.unwrap().expose()).unwrap();
        let mut command = dory(&["settings", "set", "mail.password"]);
        command.stdin(password.reopen().unwrap());
        Ran::of(&command.output().unwrap()).succeeded();
    }

    /// The letters that tell that a backup is `topic` (`failing`, `recovered`).
    pub(super) fn tells(&self, topic: &str, backup: &str) -> Vec<Letter> {
        let line = format!("{topic}: {backup} on ");
        self.server.letters().into_iter().filter(|letter| letter.text.contains(&line)).collect()
    }

    /// A notice may come again, as it was; what it tells must not come under another name.
    pub(super) fn told_everything_once(&self) {
        let mut notices: BTreeMap<String, Letter> = BTreeMap::new();
        let mut troubles: BTreeMap<String, &str> = BTreeMap::new();
        for letter in self.server.letters() {
            if let Some(first) = notices.get(&letter.message_id) {
                let words = |letter: &Letter| (letter.subject.clone(), letter.text.clone());
                assert_eq!(words(first), words(&letter), "one Message-ID, two letters");
                continue;
            }
            for line in letter.text.lines() {
                // What goes wrong is told once, until it was told to be well again.
                let Some((topic, backup)) = line.split_once(": ").filter(|_| !line.starts_with(' ')) else { continue };
                let Some(topic) = ["failing", "recovered"].into_iter().find(|known| *known == topic) else { continue };
                let before = troubles.insert(backup.to_owned(), topic).unwrap_or("recovered");
                assert!(before != topic || before == "down", "{backup}: told twice to be {topic}: {letter:?}");
            }
            notices.insert(letter.message_id.clone(), letter);
        }
        assert!(!notices.is_empty(), "nobody wrote anything");
    }
}
