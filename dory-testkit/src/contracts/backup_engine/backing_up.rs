//! Promises about what a snapshot holds.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use dory_core::domain::entry_path::EntryPath;
use dory_core::domain::event::WarningKind;
use dory_core::error::ErrorKind;

use super::Subject;
use super::scene::{Scene, paths, rewrite};
use crate::fixtures::{make_every_inode, noise};

/// Every kind of inode comes back as it was, the folder itself included, as far as the engine keeps it.
pub async fn a_restored_tree_equals_its_source(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    make_every_inode(&source);
    let report = scene.backup(&[("data", &source)]).await;
    let lost: Vec<_> = scene.warnings().into_iter().filter(|warning| warning.kind.loses_data()).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(report.files > 60 && report.bytes > 40 << 20, "{report:?}");

    let target = scene.folder("target");
    let restored = scene.restore(&report, &[("data", &target)]).await;
    assert!(scene.warnings().is_empty(), "{:?}", scene.warnings());
    assert!(restored.files > 60, "{restored:?}");
    scene.assert_same(&source, &target);
}

/// Nothing new costs next to nothing: in the store, and in files that count as changed.
pub async fn an_unchanged_tree_adds_little(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    fs::write(source.join("big"), noise(6 << 20, 1)).unwrap();
    fs::write(source.join("small"), noise(10, 2)).unwrap();
    let first = scene.backup(&[("data", &source)]).await;
    assert!(first.stored_bytes >= 6 << 20, "{first:?}");
    assert_eq!(first.files_changed, 2, "{first:?}");

    let second = scene.backup_on(&first, &[("data", &source)]).await;
    assert!(second.stored_bytes < 100_000, "{second:?}");
    assert_eq!((second.files, second.bytes), (first.files, first.bytes));
    assert_ne!(second.snapshot, first.snapshot, "a snapshot is made all the same");
}

/// How much each mount holds is told, the mount itself not counted.
pub async fn a_snapshot_tells_what_each_mount_holds(subject: Subject) {
    let scene = Scene::open(subject).await;
    let (full, empty) = (scene.folder("full"), scene.folder("empty"));
    fs::create_dir(full.join("folder")).unwrap();
    fs::write(full.join("folder/file"), noise(1000, 1)).unwrap();
    fs::write(full.join("another"), noise(24, 2)).unwrap();
    let report = scene.backup(&[("full", &full), ("void", &empty)]).await;
    let mut told: Vec<_> = report.mounts.iter().map(|size| (size.key.as_str(), size.files, size.bytes)).collect();
    told.sort_unstable();
    assert_eq!(told, [("full", 3, 1024), ("void", 0, 0)]);
    let again = scene.backup_on(&report, &[("full", &full), ("void", &empty)]).await;
    assert_eq!(again.mounts, report.mounts, "what did not change is there all the same");
}

/// A file whose contents changed is read again, although its size is the same.
pub async fn a_change_of_the_same_size_is_seen(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    rewrite(&source.join("file"), b"before");
    let first = scene.backup(&[("data", &source)]).await;
    rewrite(&source.join("file"), b"after!");
    let second = scene.backup_on(&first, &[("data", &source)]).await;
    assert_eq!(second.files_changed, 1, "{second:?}");

    let path = EntryPath::new("data/file");
    assert_eq!(scene.read(&first, &path).await, b"before");
    assert_eq!(scene.read(&second, &path).await, b"after!");
}

/// What cannot be read is named, and everything else is kept.
pub async fn an_unreadable_file_is_a_warning_and_the_rest_is_kept(subject: Subject) {
    let scene = Scene::open(subject).await;
    let good = scene.folder("good");
    fs::write(good.join("file"), "kept").unwrap();
    let Some((folder, name)) = unreadable(&scene) else {
        return;
    };
    let report = scene.backup(&[("bad", &folder), ("good", &good)]).await;

    let path = EntryPath::new(PathBuf::from("bad").join(&name));
    let warnings = scene.warnings();
    assert!(
        warnings.iter().any(|warning| warning.path == path && warning.kind == WarningKind::Unreadable),
        "{path:?} is not among {warnings:?}"
    );
    assert_eq!(scene.read(&report, &EntryPath::new("good/file")).await, b"kept");
    assert!(scene.list(&report, "bad", false).await.len() > 1, "its siblings are kept");
}

/// A folder with a file of this name that nobody here may read, and with other files that can be read.
fn unreadable(scene: &Scene) -> Option<(PathBuf, String)> {
    let folder = scene.folder("bad");
    fs::write(folder.join("file"), "readable").unwrap();
    fs::write(folder.join("other"), "readable").unwrap();
    fs::write(folder.join("closed"), "x").unwrap();
    fs::set_permissions(folder.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(folder.join("closed")).is_err() {
        return Some((folder, "closed".to_owned()));
    }
    // Root may read everything but what the kernel itself only lets be written.
    let kernel = PathBuf::from("/proc/sys/net/ipv4/route");
    let found = kernel.join("flush").exists() && fs::read(kernel.join("flush")).is_err();
    crate::live::or_skip("a file that root cannot read", found.then(|| (kernel, "flush".to_owned())))
}

/// Patterns are relative to each mount, in gitignore's syntax.
pub async fn excluded_paths_are_left_out(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    for path in ["cache/a", "cache/deep/b", "keep/cache/c", "keep/log.tmp", "keep/log.txt", "top.tmp", "only/here"] {
        fs::create_dir_all(source.join(path).parent().unwrap()).unwrap();
        fs::write(source.join(path), path).unwrap();
    }
    let other = scene.folder("other");
    fs::create_dir_all(other.join("cache")).unwrap();
    fs::write(other.join("cache/d"), "d").unwrap();

    let mut request = scene.request(&[("data", &source), ("more", &other)]);
    request.exclude = vec!["/cache/".to_owned(), "*.tmp".to_owned(), "only/here".to_owned()];
    let report = scene.try_backup(&request).await.unwrap();
    assert_eq!(
        paths(&scene.list(&report, "", true).await),
        ["data", "data/keep", "data/keep/cache", "data/keep/cache/c", "data/keep/log.txt", "data/only", "more"]
    );
}

/// A source that is not there is the caller's mistake, and no snapshot comes of it.
pub async fn a_source_that_is_not_there_is_invalid(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    let request = scene.request(&[("data", &source), ("gone", &scene.nowhere("gone"))]);
    let error = scene.try_backup(&request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
    assert!(error.to_string().contains("gone"), "{error}");
    assert!(scene.repository.list_snapshots().await.unwrap().is_empty());
}

/// Progress never goes back, and ends at all there was to do.
pub async fn progress_reaches_the_whole(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    for name in ["a", "b", "c"] {
        fs::write(source.join(name), noise(1 << 20, 7)).unwrap();
    }
    let report = scene.backup(&[("data", &source)]).await;
    assert_complete(&scene, 3 << 20);

    let target = scene.folder("target");
    scene.restore(&report, &[("data", &target)]).await;
    assert_complete(&scene, 3 << 20);
}

fn assert_complete(scene: &Scene, bytes: u64) {
    let told = scene.progress();
    assert!(told.is_sorted_by_key(|progress| (progress.bytes, progress.files)), "it went back: {told:?}");
    let last = told.last().expect("some progress");
    assert_eq!(last.bytes, bytes, "{last:?}");
    assert!(last.bytes_total.is_none_or(|total| total == bytes), "{last:?}");
}
