//! What only folders do: locks, leftovers, disks that are full or read-only.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use dory_core::ErrorKind;
use dory_core::adapters::object_store::{FolderCatalogStore, connect};
use dory_core::domain::store_url::{StoreAccess, StoreCredentials, StoreUrl};
use dory_core::ports::{CatalogStore, SystemClock};
use dory_testkit::live::or_skip;

use super::key;

fn open(folder: &Path) -> Arc<dyn CatalogStore> {
    Arc::new(FolderCatalogStore::open(folder.to_owned(), Arc::new(SystemClock::new())).unwrap())
}

#[tokio::test]
async fn leftovers_of_a_crash_are_neither_seen_nor_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    std::fs::write(folder.path().join(".catalog-draft"), "half a docum").unwrap();
    std::fs::create_dir(folder.path().join("servers")).unwrap();
    std::fs::write(folder.path().join("servers/.hidden"), "").unwrap();
    assert!(store.list(&key("servers")).await.unwrap().is_empty());
    let version = store.create(&key("servers/a.json"), Bytes::from("1")).await.unwrap();
    store.replace(&key("servers/a.json"), Bytes::from("2"), &version).await.unwrap();
    assert!(!folder.path().join(".catalog-draft").exists());
    assert_eq!(store.list(&key("servers")).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_was_killed_leaves_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let lock = folder.path().join(".catalog-lock");
    // It says when it holds the lock, then sits on it.
    let script = format!("exec 9>>'{}' && flock 9 && echo held && exec sleep 1000", lock.display());
    let mut holder = Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = [0; 5];
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut said).unwrap();

    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.create(&key("servers/a.json"), Bytes::from("1")).await }
    });
    // Reads do not wait for writers.
    assert!(store.get(&key("servers/a.json")).await.unwrap().is_none());
    assert!(!waiting.is_finished());
    holder.kill().unwrap();
    holder.wait().unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_store_that_vanished_is_not_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join(""));
    std::fs::remove_dir_all(folder.path()).unwrap();
    for error in [
        store.get(&key("servers/a.json")).await.unwrap_err(),
        store.list(&key("servers")).await.unwrap_err(),
        store.create(&key("servers/a.json"), Bytes::from("1")).await.unwrap_err(),
        store.delete(&key("servers/a.json")).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.hint()), (ErrorKind::NotFound, Some("run `dory init`")), "{error:?}");
    }
}

/// Even root may not make files there.
#[tokio::test]
async fn a_folder_that_cannot_be_written_to_says_so() {
    let store = open(Path::new("/sys/kernel"));
    let error = store.create(&key("servers/a.json"), Bytes::from("1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
    assert!(error.to_string().contains("/sys/kernel/.catalog-lock"), "{error}");
}

#[tokio::test]
async fn documents_and_folders_do_not_take_each_others_place() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.create(&key("servers/a"), Bytes::from("1")).await.unwrap();
    assert!(store.get(&key("servers")).await.unwrap().is_none());
    assert!(store.get(&key("servers/a/b")).await.unwrap().is_none());
    store.delete(&key("servers/a/b")).await.unwrap();
    for (document, kind) in [("servers", ErrorKind::AlreadyExists), ("servers/a/b", ErrorKind::InvalidInput)] {
        let error = store.create(&key(document), Bytes::from("2")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
    }
}

/// A file system of a few pages, unmounted on drop.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=128k", "tmpfs"]).arg(folder.path()).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_with_its_path_and_leaves_what_was_there() {
    let Some(disk) = or_skip("mount", SmallDisk::mount()) else { return };
    let folder = disk.0.path();
    let store = open(folder);
    let document = key("servers/a.json");
    let version = store.create(&document, Bytes::from("1")).await.unwrap();
    let error = store.replace(&document, Bytes::from(vec![b'x'; 1 << 20]), &version).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
    assert!(error.to_string().contains(&folder.display().to_string()), "{error}");
    assert_eq!(store.get(&document).await.unwrap().unwrap().bytes, "1");
    // The failed attempt keeps no space.
    store.replace(&document, Bytes::from(vec![b'x'; 64 << 10]), &version).await.unwrap();
}

#[test]
fn data_in_a_missing_folder_is_refused_before_anything_is_written() {
    let parent = tempfile::tempdir().unwrap();
    let url = StoreUrl::folder(&parent.path().join("missing")).unwrap();
    let access = StoreAccess { url, credentials: StoreCredentials::Ambient, endpoint: None, region: None };
    let error = connect(&access).unwrap_err();
    assert_eq!((error.kind(), error.hint()), (ErrorKind::NotFound, Some("run `dory init`")), "{error:?}");
    assert!(!parent.path().join("missing").exists());
}
