//! Webhooks keep the promises of a notifier; they and pings go nowhere else than told.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use dory_core::ErrorKind;
use dory_core::adapters::webhook::{WebClient, Webhook, ping};
use dory_core::domain::secret::Secret;
use dory_core::ports::{Clock, Notice, Notifier, Severity, SystemClock, WebhookEndpoint};
use dory_testkit::contracts::notifier::Subject;
use dory_testkit::servers::WebReceiver;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

fn webhook(server: &WebReceiver, secret: Option<&str>) -> Webhook {
    let url = format!("{}/hook?team=ops", server.address()).parse().unwrap();
    let endpoint = WebhookEndpoint { url, secret: secret.map(Secret::new) };
    Webhook::new(endpoint, WebClient::new(true).unwrap(), clock())
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

dory_testkit::notifier_contract!(webhooks, async {
    let server = WebReceiver::start().await;
    Some(Subject::new(Arc::new(webhook(&server, Some("whsec_c2VjcmV0"))), Arc::new(server)))
});

fn notice() -> Notice {
    Notice {
        id: "news-0123.01K9".into(),
        severity: Severity::Alarm,
        subject: "containers are down".into(),
        text: "db\n".into(),
        html: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_can_check_who_wrote_and_when() {
    let server = WebReceiver::start().await;
    webhook(&server, Some("whsec_c2VjcmV0")).send(&notice()).await.unwrap();
    let request = server.requests().remove(0);
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook?team=ops"));
    let header = |name: &str| request.headers[name].clone();
    assert_eq!(
        (header("webhook-id").as_str(), header("content-type").as_str()),
        ("news-0123.01K9", "application/json")
    );
    // As a receiver does it: the secret that both know, and what came.
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(b"secret").unwrap();
    mac.update(format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), request.body).as_bytes());
    assert_eq!(header("webhook-signature"), format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes())));
    let sent: i64 = header("webhook-timestamp").parse().unwrap();
    assert!((clock().now().as_second() - sent).abs() < 60);
    webhook(&server, None).send(&notice()).await.unwrap();
    assert!(!server.requests()[1].headers.contains_key("webhook-signature"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_tried_again_and_what_will_not_is_not() {
    let server = WebReceiver::start().await;
    server.answer_next(503, None);
    server.answer_next(429, None);
    webhook(&server, None).send(&notice()).await.unwrap();
    assert_eq!(server.requests().len(), 3);
    server.answer_next(404, None);
    let error = webhook(&server, None).send(&notice()).await.unwrap_err();
    assert_eq!((error.kind(), server.requests().len()), (ErrorKind::InvalidInput, 4));
    assert!(error.reason().contains("404") && !error.to_string().contains("/hook"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_elsewhere_than_the_settings_say() {
    let (server, elsewhere) = (WebReceiver::start().await, WebReceiver::start().await);
    server.answer_next(307, Some(&format!("{}/", elsewhere.address())));
    let error = webhook(&server, None).send(&notice()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_answer_is_given_up() {
    let server = WebReceiver::start().await;
    server.fall_silent();
    let hook = webhook(&server, None).waiting(Duration::from_millis(100));
    let error = hook.send(&notice()).await.unwrap_err();
    assert_eq!((error.kind(), server.requests().len()), (ErrorKind::Unavailable, 3));
    assert!(error.reason().contains("did not answer in time"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn private_networks_are_not_reached_by_any_spelling() {
    let server = WebReceiver::start().await;
    let port = server.address().rsplit(':').next().unwrap();
    let client = WebClient::new(false).unwrap();
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0"] {
        let url = format!("http://{host}:{port}/").parse().unwrap();
        let error = ping(&client, clock().as_ref(), &url, "").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{host}: {error:?}");
        assert!(error.hint().unwrap().contains("DORY_PRIVATE_TARGETS"), "{error:?}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_without_words_is_a_get_and_one_with_words_a_post() {
    let server = WebReceiver::start().await;
    let client = WebClient::new(true).unwrap();
    let url = format!("{}/uuid/fail", server.address()).parse().unwrap();
    ping(&client, clock().as_ref(), &url, "").await.unwrap();
    ping(&client, clock().as_ref(), &url, &"ü".repeat(9_000)).await.unwrap();
    let requests = server.requests();
    assert_eq!((requests[0].method.as_str(), requests[0].body.as_str()), ("GET", ""));
    assert_eq!((requests[1].method.as_str(), requests[1].body.len()), ("POST", 10_000));
}
