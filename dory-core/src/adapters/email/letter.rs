//! A notice as a letter.

use std::time::SystemTime;

use jiff::Timestamp;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};

use crate::domain::contact::MailAddress;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{MailAccount, Notice, Severity};

/// The letter that `notice` makes; the same whenever it is written again, but for its date and boundary.
pub(super) fn written(account: &MailAccount, notice: &Notice, now: Timestamp) -> Result<Message> {
    let cannot = |error: lettre::error::Error| {
        Error::new(ErrorKind::InvalidInput, "write mail", &notice.subject, "it makes no letter").with_source(error)
    };
    if account.to.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "write mail", &notice.subject, "nobody is to get it")
            .with_hint("run `dory settings set mail.to ada@example.org`"));
    }
    let host = account.from.as_str().rsplit('@').next().unwrap_or("localhost");
    let mut letter = Message::builder()
        .from(Mailbox::new(Some("Dory".to_owned()), address(&account.from)?))
        .subject(on_one_line(&notice.subject))
        .date(SystemTime::from(now))
        .message_id(Some(format!("<{}@{host}>", local_part(&notice.id))))
        .header(SeverityHeader(notice.severity))
        .header(AutoSubmitted);
    for to in &account.to {
        letter = letter.to(Mailbox::new(None, address(to)?));
    }
    let plain = SinglePart::plain(notice.text.clone());
    match &notice.html {
        // Within a part, a text ends where it ends; a letter's own end gets lines of the protocol's.
        None => letter.multipart(MultiPart::mixed().singlepart(plain)),
        Some(html) => {
            // The best form comes last.
            letter.multipart(MultiPart::alternative().singlepart(plain).singlepart(SinglePart::html(html.clone())))
        }
    }
    .map_err(cannot)
}

fn address(address: &MailAddress) -> Result<Address> {
    address.as_str().parse().map_err(|error: lettre::address::AddressError| {
        Error::invalid("mail address", address.as_str(), "mail servers would not take it").with_source(error)
    })
}

fn on_one_line(subject: &str) -> String {
    subject.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// What may stand before the `@` of a Message-ID.
fn local_part(id: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    id.chars().map(|letter| if fits(letter) { letter } else { '_' }).collect()
}

/// How much it matters, for filters.
#[derive(Clone, Debug)]
struct SeverityHeader(Severity);

impl Header for SeverityHeader {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("X-Dory-Severity")
    }

    fn parse(_: &str) -> std::result::Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Err("letters are only written".into())
    }

    fn display(&self) -> HeaderValue {
        let word = match self.0 {
            Severity::Report => "report",
            Severity::Warning => "warning",
            Severity::Alarm => "alarm",
        };
        HeaderValue::new(Self::name(), word.to_owned())
    }
}

/// Nobody's holiday note is to answer (RFC 3834).
#[derive(Clone, Debug)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> std::result::Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Err("letters are only written".into())
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(notice: &Notice) -> String {
        let account = MailAccount {
            smtp: "smtp://mail.example.org".parse().unwrap(),
            password: None,
            from: "dory@example.org".parse().unwrap(),
            to: vec!["ada@example.org".parse().unwrap()],
        };
        let now = "2026-11-26T03:00:12Z".parse().unwrap();
        String::from_utf8(written(&account, notice, now).unwrap().formatted()).unwrap()
    }

    #[test]
    fn a_letter_is_named_after_its_notice_and_breaks_no_header() {
        let notice = Notice {
            id: "digest-20261126T070000Z.fleet <x>\r\n".into(),
            severity: Severity::Alarm,
            subject: "one\r\nBcc: eve@example.org".into(),
            text: "text".into(),
            html: None,
        };
        let letter = letter(&notice);
        let head = letter.split("\r\n\r\n").next().unwrap();
        assert!(head.contains("Message-ID: <digest-20261126T070000Z.fleet__x___@example.org>"), "{head}");
        assert!(head.contains("Date: Thu, 26 Nov 2026 03:00:12 +0000"), "{head}");
        assert!(head.contains("X-Dory-Severity: alarm") && head.contains("Auto-Submitted: auto-generated"), "{head}");
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
    }
}
