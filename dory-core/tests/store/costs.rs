//! What operations cost, in the requests that a cloud charges for.

use bytes::Bytes;
use dory_testkit::gcs::GcsServer;
use futures_util::{StreamExt, stream};

use super::{key, open};

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_is_one_request() {
    let server = GcsServer::start();
    let store = open(&server.access("fleet"));
    let document = key("servers/a.json");
    let version = store.create(&document, Bytes::from("1")).await.unwrap();
    store.replace(&document, Bytes::from("2"), &version).await.unwrap();
    store.get(&document).await.unwrap();
    store.get(&key("servers/none.json")).await.unwrap();
    store.delete(&document).await.unwrap();
    let counts = server.counts();
    assert_eq!((counts.class_a, counts.class_b, counts.free), (2, 2, 1), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_one_request_per_thousand_documents_and_reads_none() {
    let server = GcsServer::start();
    let store = open(&server.access("fleet"));
    stream::iter(0..1_500)
        .for_each_concurrent(16, |index| {
            let store = &store;
            async move {
                store.create(&key(&format!("backups/{index}.json")), Bytes::from("1")).await.unwrap();
            }
        })
        .await;
    server.reset_counts();
    assert_eq!(store.list(&key("backups")).await.unwrap().len(), 1_500);
    let counts = server.counts();
    assert_eq!((counts.of("list objects"), counts.class_a, counts.class_b), (2, 2, 0), "{counts:?}");
}
