//! Mail keeps the promises of a notifier, by a real mail server.

use std::sync::Arc;

use dory_core::ErrorKind;
use dory_core::adapters::email::Mailer;
use dory_core::domain::contact::SmtpSecurity;
use dory_core::domain::secret::Secret;
use dory_core::ports::{MailAccount, Notice, Notifier, Severity, SystemClock};
use dory_testkit::contracts::notifier::Subject;
use dory_testkit::live;
use dory_testkit::servers::{SmtpServer, smtp};

fn server(security: SmtpSecurity) -> Option<SmtpServer> {
    live::or_skip("smtp", smtp(security))
}

fn mailer(account: MailAccount) -> Mailer {
    Mailer::new(account, Arc::new(SystemClock::new()))
}

dory_testkit::notifier_contract!(mail, async {
    let server = server(SmtpSecurity::IfOffered)?;
    Some(Subject::new(Arc::new(mailer(server.account())), Arc::new(server)))
});

dory_testkit::notifier_contract!(mail_by_starttls, async {
    let server = server(SmtpSecurity::StartTls)?;
    Some(Subject::new(Arc::new(mailer(server.account()).trusting(server.authority())), Arc::new(server)))
});

fn notice() -> Notice {
    Notice {
        id: "digest-20261126T070000Z.01K9".into(),
        severity: Severity::Report,
        subject: "Dory: all is well".into(),
        text: "all is well\n".into(),
        html: Some("<p>all is well</p>\n".into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_tls_it_logs_in_and_everybody_gets_both_forms() {
    for security in [SmtpSecurity::Tls, SmtpSecurity::StartTls] {
        let Some(server) = server(security) else { return };
        mailer(server.account()).trusting(server.authority()).send(&notice()).await.unwrap();
        let letter = server.letters().remove(0);
        assert!(letter.tls && letter.user.as_deref() == Some("ada"), "{letter:?}");
        assert_eq!(letter.kind, "multipart/alternative");
        assert_eq!(letter.message_id, "<digest-20261126T070000Z.01K9@example.org>");
        assert_eq!(letter.recipients, ["ada@example.org", "bob@example.org"]);
        assert_eq!((letter.from.as_str(), letter.hello.as_str()), ("Dory <dory@example.org>", "example.org"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_nobody_vouches_for_gets_neither_password_nor_letter() {
    for security in [SmtpSecurity::Tls, SmtpSecurity::StartTls] {
        let Some(server) = server(security) else { return };
        let error = mailer(server.account()).send(&notice()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
        assert!(error.reason().contains("TLS") && error.hint().is_some(), "{error:?}");
        assert!(server.letters().is_empty());
    }
    // One that offers no STARTTLS is told nothing in the clear.
    let Some(server) = server(SmtpSecurity::IfOffered) else { return };
    let mut account = server.account();
    account.smtp.security = SmtpSecurity::StartTls;
    let error = mailer(account).send(&notice()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
    assert!(error.hint().unwrap().contains("STARTTLS") && server.letters().is_empty(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_in_the_servers_words() {
    let Some(server) = server(SmtpSecurity::IfOffered) else { return };
    server.refuse_with("552 5.3.4 this letter is too long for us");
    let error = mailer(server.account()).send(&notice()).await.unwrap_err();
    assert!(error.to_string().contains("552 5.3.4 this letter is too long for us"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_no_secret_told() {
    let Some(server) = server(SmtpSecurity::StartTls) else { return };
    let account = MailAccount { password: Some(Secret::new("wrong-horse")), ..server.account() };
    let error = mailer(account).trusting(server.authority()).send(&notice()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
    assert!(error.reason().contains("535") && error.hint().unwrap().contains("mail.password"), "{error:?}");
    assert!(!format!("{error:?}").contains("wrong-horse"));
    let without = MailAccount { password: None, ..server.account() };
    let error = mailer(without).trusting(server.authority()).send(&notice()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidInput && error.hint().unwrap().contains("mail.password"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_listens_trying_later_may_help() {
    let Some(server) = server(SmtpSecurity::IfOffered) else { return };
    let account = server.account();
    drop(server);
    let error = mailer(account).send(&notice()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.subject().starts_with("localhost:"), "{error:?}");
}
