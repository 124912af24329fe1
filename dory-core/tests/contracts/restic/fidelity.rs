//! What is rare and must come back all the same, and what must not happen on the way.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::Duration;

use dory_core::domain::entry_path::EntryPath;
use dory_core::domain::event::WarningKind;
use dory_core::ports::{Clock, Events, SnapshotRequest, SystemClock};
use dory_testkit::fixtures::{Aspects, diff_trees, make_every_inode, noise, snapshot_tree};
use dory_testkit::live::or_skip;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags, lsetxattr, utimensat};

use super::{Place, TemporaryMount, listening, reading, writing};

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_in_the_target_becomes_what_was_in_the_source() {
    let place = Place::new().await;
    let (source, target) = (place.folder("source"), place.folder("target"));
    make_every_inode(&source);
    let report = place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();

    // Everything is there already, and wrong in its metadata, its kind, its attributes, its links.
    make_every_inode(&target);
    for name in ["plain.txt", "linked", "big", "empty-folder"] {
        let path = target.join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o711)).unwrap();
        lsetxattr(&path, "user.extra", b"goes", XattrFlags::empty()).unwrap();
    }
    fs::remove_file(target.join("linked/one")).unwrap();
    fs::write(target.join("linked/one"), "no longer the same file").unwrap();
    fs::remove_file(target.join("pipe")).unwrap();
    fs::create_dir(target.join("pipe")).unwrap();
    fs::write(target.join("text"), noise(2_900_000, 3)).unwrap();
    symlink("plain.txt", target.join("sticky/extra")).unwrap();

    let (events, warnings) = listening();
    place.repository.restore(&writing(&report.snapshot, &target), &events).await.unwrap();
    assert!(warnings.lock().unwrap().is_empty(), "{warnings:?}");
    let differences = diff_trees(&snapshot_tree(&source), &snapshot_tree(&target), Aspects::ALL);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_right_already_is_not_written_again() {
    let place = Place::new().await;
    let (source, target) = (place.folder("source"), place.folder("target"));
    fs::write(source.join("same"), noise(3 << 20, 1)).unwrap();
    fs::write(source.join("other"), noise(1 << 20, 2)).unwrap();
    let report = place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();
    let restore = writing(&report.snapshot, &target);
    let first = place.repository.restore(&restore, &Events::ignored()).await.unwrap();
    assert_eq!((first.bytes, first.files), (4 << 20, 3));

    let inode = fs::metadata(target.join("same")).unwrap().ino();
    let mut bytes = fs::read(target.join("other")).unwrap();
    let time = fs::metadata(target.join("other")).unwrap().modified().unwrap();
    bytes[1000] ^= 1;
    fs::write(target.join("other"), bytes).unwrap();
    // Neither its size nor its time tells.
    fs::File::options().write(true).open(target.join("other")).unwrap().set_modified(time).unwrap();
    let second = place.repository.restore(&restore, &Events::ignored()).await.unwrap();
    assert_eq!((second.bytes, second.files, second.removed), (1 << 20, 3, 0));
    assert_eq!(fs::metadata(target.join("same")).unwrap().ino(), inode);
    let differences = diff_trees(&snapshot_tree(&source), &snapshot_tree(&target), Aspects::ALL);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn times_before_the_epoch_and_far_ahead_come_back() {
    let place = Place::new().await;
    let (source, target) = (place.folder("source"), place.folder("target"));
    for (name, seconds) in [("before", -100_000_001), ("just-before", -1), ("ahead", 4_000_000_000)] {
        fs::write(source.join(name), name).unwrap();
        let time = Timespec { tv_sec: seconds, tv_nsec: 999_999_999 };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(CWD, source.join(name), &times, AtFlags::empty()).unwrap();
    }
    let report = place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();
    place.repository.restore(&writing(&report.snapshot, &target), &Events::ignored()).await.unwrap();
    let differences = diff_trees(&snapshot_tree(&source), &snapshot_tree(&target), Aspects::ALL);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_seen_although_size_and_time_are_the_same() {
    let place = Place::new().await;
    let source = place.folder("source");
    let file = source.join("file");
    fs::write(&file, "before").unwrap();
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    let first = place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();

    fs::write(&file, "after!").unwrap();
    fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    let mut request = reading(&source);
    request.parent = Some(first.snapshot);
    let second = place.repository.backup(&request, &Events::ignored()).await.unwrap();
    let mut contents = Vec::new();
    place.repository.read_file(&second.snapshot, &EntryPath::new("data/file"), &mut contents).await.unwrap();
    assert_eq!(contents, b"after!");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_settled_is_not_read_again() {
    let place = Place::new().await;
    let source = place.folder("source");
    let file = source.join("file");
    fs::write(&file, "contents").unwrap();
    // A file's times are trusted once the clock has moved on from them.
    let changed = fs::metadata(&file).unwrap().ctime();
    let clock = SystemClock::new();
    while clock.now().as_second() < changed + 3 {
        clock.sleep(Duration::from_millis(100)).await;
    }
    let first = place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();
    assert_eq!(first.files_changed, 1);
    let mut request = reading(&source);
    request.parent = Some(first.snapshot);
    let second = place.repository.backup(&request, &Events::ignored()).await.unwrap();
    assert_eq!((second.files_changed, second.bytes), (0, first.bytes));

    // A parent that is gone is no reason to fail, only to read.
    place.repository.forget(&[request.parent.clone().unwrap()]).await.unwrap();
    let third = place.repository.backup(&request, &Events::ignored()).await.unwrap();
    assert_eq!(third.files_changed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mounted_inside_is_told_and_left_out() {
    let place = Place::new().await;
    let source = place.folder("source");
    fs::create_dir(source.join("inner")).unwrap();
    fs::write(source.join("file"), "x").unwrap();
    let mounted = TemporaryMount::on(&source.join("inner"), "tmpfs", "size=1m");
    let Some(mounted) = or_skip("the right to mount", mounted) else { return };
    fs::write(source.join("inner/of-another-mount"), "x").unwrap();

    let (events, warnings) = listening();
    let report = place.repository.backup(&reading(&source), &events).await.unwrap();
    let told: Vec<_> = warnings.lock().unwrap().iter().map(|w| (w.kind, w.path.to_string())).collect();
    assert_eq!(told, [(WarningKind::OtherMount, "data/inner".to_owned())]);
    assert!(WarningKind::OtherMount.loses_data(), "the container sees it, and the point does not hold it");
    let listed = place.repository.list_files(&report.snapshot, &EntryPath::new("data"), true).await.unwrap();
    assert_eq!(listed.len(), 2, "{listed:?}");

    // Nor does a restore touch what is mounted inside its target.
    // What was left out by a pattern is no loss.
    let (events, warnings) = listening();
    let request = SnapshotRequest { exclude: vec!["/inner".to_owned()], ..reading(&source) };
    place.repository.backup(&request, &events).await.unwrap();
    assert!(warnings.lock().unwrap().is_empty(), "{warnings:?}");

    let (events, warnings) = listening();
    place.repository.restore(&writing(&report.snapshot, &source), &events).await.unwrap();
    assert!(source.join("inner/of-another-mount").exists());
    let told: Vec<_> = warnings.lock().unwrap().iter().map(|w| (w.kind, w.path.to_string())).collect();
    assert_eq!(told, [(WarningKind::NotKept, "data/inner".to_owned())]);

    let empty = place.repository.backup(&reading(&place.folder("empty")), &Events::ignored()).await.unwrap();
    let (events, warnings) = listening();
    place.repository.restore(&writing(&empty.snapshot, &source), &events).await.unwrap();
    assert!(source.join("inner/of-another-mount").exists() && !source.join("file").exists());
    assert_eq!(warnings.lock().unwrap().len(), 1, "{warnings:?}");
    drop(mounted);
}
