//! Promises about removing everything below a folder: it is how the data of a deleted backup goes.

use futures_util::{StreamExt, stream};

use super::{Subject, document, key, keys_in};

/// An object that is no document: engines name theirs as they like.
const FOREIGN: &str = "data/db-1/duplicity/a full.20260101T000000Z.vol1+~.gpg";

/// Everything below goes, however deep and whatever it is called; how many objects that were is told.
pub async fn a_tree_goes_whole_and_is_counted(subject: Subject) {
    for name in ["data/db-1/a.json", "data/db-1/restic/keys/b"] {
        subject.store.create(&key(name), document(1)).await.unwrap();
    }
    let objects = subject.objects();
    for name in [FOREIGN, "data/db-1/restic/data/00/.hidden", "data/db-1/.dory-lock"] {
        objects.write(name, b"not JSON".to_vec()).await;
    }
    assert_eq!(objects.names("data/db-1").await.len(), 5);
    assert_eq!(subject.other.delete_tree(&key("data/db-1")).await.unwrap(), 5);
    assert!(objects.names("data/db-1").await.is_empty());
    assert!(keys_in(&subject.store, "data").await.is_empty());
}

/// What stands beside a folder stays: also what its name begins with the folder's, and a document of that very name.
pub async fn what_is_beside_a_tree_stays(subject: Subject) {
    let beside = ["data/db-1.json", "data/db-10/a", "data/db-1x", "data/a/db-1/b", "data/z", "db-1/c"];
    for name in beside {
        subject.store.create(&key(name), document(1)).await.unwrap();
    }
    let objects = subject.objects();
    objects.write("data/db-1 copy/d", b"x".to_vec()).await;
    subject.store.create(&key("data/db-1/gone"), document(1)).await.unwrap();
    assert_eq!(subject.store.delete_tree(&key("data/db-1")).await.unwrap(), 1);
    assert_eq!(subject.store.delete_tree(&key("data/z")).await.unwrap(), 0, "a document is not below itself");
    for name in beside {
        assert!(subject.other.get(&key(name)).await.unwrap().is_some(), "{name}");
    }
    assert_eq!(objects.names("data/db-1 copy").await, ["data/db-1 copy/d"]);
}

/// A folder that is not there has nothing to remove; so has one a second time, whose name can then be used again.
pub async fn removing_a_tree_is_repeatable(subject: Subject) {
    let folder = key("data/db-1");
    assert_eq!(subject.store.delete_tree(&folder).await.unwrap(), 0, "a folder that never was");
    for _ in 0..2 {
        subject.store.create(&key("data/db-1/a"), document(1)).await.unwrap();
        assert_eq!(subject.store.delete_tree(&folder).await.unwrap(), 1);
        assert_eq!(subject.other.delete_tree(&folder).await.unwrap(), 0);
    }
}

/// A tree of more objects than a page of the store, or one request, can take goes whole.
pub async fn a_tree_goes_past_a_page(subject: Subject) {
    let objects = subject.objects();
    stream::iter(0..1_100)
        .for_each_concurrent(16, |index| {
            let objects = &objects;
            async move { objects.write(&format!("data/db-1/restic/data/{index:04x}"), vec![1]).await }
        })
        .await;
    assert_eq!(subject.store.delete_tree(&key("data/db-1")).await.unwrap(), 1_100);
    assert!(objects.names("data").await.is_empty());
}
