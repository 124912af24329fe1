//! The client library's own suite, over our signer and against our stand-in: each vouches for the other.
//!
//! `get_opts` is left out: it ends by reading an overwritten generation, which only a bucket with versioning gives.

use std::sync::Arc;

use dory_core::adapters::object_store::connect;
use dory_testkit::gcs::GcsServer;
use object_store::{ObjectStore, integration};

/// A client below a prefix, and the server that must outlive it.
fn client() -> (Arc<dyn ObjectStore>, GcsServer) {
    let server = GcsServer::start();
    (connect(&server.access("fleet/data")).unwrap(), server)
}

macro_rules! suite {
    ($($case:ident $(($argument:expr))?),+ $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            let (client, server) = client();
            integration::$case(&client $(, $argument)?).await;
            assert!(server.keys("dory").iter().all(|key| key.starts_with("fleet/data/")));
        }
    )+};
}

suite!(
    put_get_delete_list,
    put_get_attributes,
    put_opts(true),
    stream_get,
    list_uses_directories_correctly,
    list_with_delimiter,
    list_with_offset_exclusivity,
    rename_and_copy,
    copy_if_not_exists,
    copy_rename_nonexistent_object,
    multipart_race_condition(true),
    multipart_out_of_order,
);
