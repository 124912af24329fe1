//! The promises of [`Notifier`], one test each.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use dory_core::ErrorKind;
use dory_core::ports::{Notice, Notifier, Severity};
use futures_util::future::join_all;

/// What is on the other side of a notifier: a mail server with a letter box, a web server that keeps what it is told.
#[async_trait]
pub trait Receiver: Debug + Send + Sync {
    /// Every notice that was taken so far, repetitions included, in the order in which they came.
    async fn taken(&self) -> Vec<Notice>;

    /// Refuses every notice from now on, in the words that its protocol has for `kind`.
    async fn refuse(&self, kind: ErrorKind);

    /// Takes notices again.
    async fn accept(&self);
}

/// A notifier, and who is on the other side: nothing was sent yet.
#[derive(Debug)]
pub struct Subject {
    notifier: Arc<dyn Notifier>,
    receiver: Arc<dyn Receiver>,
    keep: Vec<Box<dyn Any + Send>>,
}

impl Subject {
    /// A notifier that sends to `receiver`.
    #[must_use]
    pub fn new(notifier: Arc<dyn Notifier>, receiver: Arc<dyn Receiver>) -> Self {
        Self { notifier, receiver, keep: Vec::new() }
    }

    /// Keeps something alive for as long as the test runs.
    #[must_use]
    pub fn keeping(mut self, thing: impl Any + Send) -> Self {
        self.keep.push(Box::new(thing));
        self
    }

    async fn send(&self, notice: &Notice) {
        self.notifier.send(notice).await.unwrap();
    }
}

fn notice(id: &str) -> Notice {
    Notice {
        id: id.to_owned(),
        severity: Severity::Warning,
        subject: "container `shop-db-1` was not backed up".to_owned(),
        text: "The store is full.\n\nFree space in it.\n".to_owned(),
        html: None,
    }
}

/// All of a notice arrives: its id, how much it matters, both forms of its text, whatever the letters.
pub async fn a_notice_arrives_whole(subject: Subject) {
    let rich = Notice {
        id: "run-1.alarm".to_owned(),
        severity: Severity::Alarm,
        subject: "Größe fällt: «база» 数据库 is down 🚨 — \"quoted\", 100 % & <more>".to_owned(),
        // A line that ends a mail, one that looks like a header, one that is longer than a mail's may be.
        text: format!("Grüße,\n.\nSubject: no header\n\n  {}\nпривет 🐳\n", "long ".repeat(400)),
        html: Some("<p>Grüße &amp; <b>«привет»</b></p>\n<p>100&nbsp;% 🐳</p>\n".to_owned()),
    };
    let plain = Notice { severity: Severity::Report, ..notice("run-2.report") };
    for notice in [&rich, &plain] {
        subject.send(notice).await;
    }
    assert_eq!(subject.receiver.taken().await, [rich, plain]);
}

/// What is sent twice is passed on under the same id, unchanged, so that the other side can tell.
pub async fn the_same_notice_twice_keeps_its_id(subject: Subject) {
    let notice = notice("run-1.warning");
    for _ in 0..2 {
        subject.send(&notice).await;
    }
    let taken = subject.receiver.taken().await;
    assert!(!taken.is_empty() && taken.iter().all(|taken| *taken == notice), "{taken:?}");
}

/// A refusal is an error that tells whether trying again may help, and names something; nothing arrives.
pub async fn a_refused_notice_is_an_error_of_its_kind(subject: Subject) {
    for kind in [ErrorKind::Unavailable, ErrorKind::PermissionDenied, ErrorKind::InvalidInput] {
        subject.receiver.refuse(kind).await;
        let error = subject.notifier.send(&notice("run-1.warning")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(!error.subject().is_empty(), "{error:?}");
    }
    assert_eq!(subject.receiver.taken().await, []);
}

/// What failed can be sent again, as if it had never been tried; others get through before and after.
pub async fn a_failed_attempt_can_be_repeated(subject: Subject) {
    let [before, refused, after] = ["run-1.report", "run-2.report", "run-3.report"].map(notice);
    subject.send(&before).await;
    subject.receiver.refuse(ErrorKind::Unavailable).await;
    assert!(subject.notifier.send(&refused).await.is_err());
    subject.receiver.accept().await;
    subject.send(&refused).await;
    subject.send(&after).await;
    assert_eq!(subject.receiver.taken().await, [before, refused, after]);
}

/// Notices that are sent at once all arrive, each whole.
pub async fn notices_sent_at_once_all_arrive(subject: Subject) {
    let notices: Vec<_> = (10..26)
        .map(|number| Notice { text: format!("This is number {number}.\n"), ..notice(&format!("run-{number}.report")) })
        .collect();
    let sends = notices.iter().cloned().map(|notice| {
        let notifier = Arc::clone(&subject.notifier);
        tokio::spawn(async move { notifier.send(&notice).await })
    });
    for sent in join_all(sends).await {
        sent.unwrap().unwrap();
    }
    let mut taken = subject.receiver.taken().await;
    taken.sort_by(|one, other| one.id.cmp(&other.id));
    assert_eq!(taken, notices);
}

/// Enrols a notifier: `notifier_contract!(name, async { Some(Subject::new(…)) })`.
#[macro_export]
macro_rules! notifier_contract {
    ($name:ident, $subject:expr) => {
        $crate::notifier_contract!(@tests $name, $subject,
            a_notice_arrives_whole, the_same_notice_twice_keeps_its_id, a_refused_notice_is_an_error_of_its_kind,
            a_failed_attempt_can_be_repeated, notices_sent_at_once_all_arrive
        );
    };
    (@tests $name:ident, $subject:expr, $($promise:ident),+) => {
        mod $name {
            #[allow(unused_imports, reason = "an enrolment may need nothing of its surroundings")]
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $promise() {
                    let subject: Option<$crate::contracts::notifier::Subject> = $subject.await;
                    if let Some(subject) = subject {
                        $crate::contracts::notifier::$promise(subject).await;
                    }
                }
            )+
        }
    };
}
