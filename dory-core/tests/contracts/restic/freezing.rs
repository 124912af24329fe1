//! Freezes on file systems of several kinds, and without room or store.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use dory_core::ErrorKind;
use dory_core::ports::{Events, FreezeReport, SnapshotRequest};
use dory_testkit::fixtures::{Aspects, diff_trees, make_every_inode, noise, snapshot_tree};
use dory_testkit::live::or_skip;

use super::{Place, TemporaryMount, listening, reading, writing};

const LARGE: usize = 5 << 20;

/// A request that reads `source` and keeps things aside in `scratch`.
fn freezing(source: &Path, scratch: &Path) -> SnapshotRequest {
    SnapshotRequest { scratch: Some(scratch.to_path_buf()), ..reading(source) }
}

fn change_a_byte(path: &Path) {
    fs::File::options().write(true).open(path).unwrap().write_all_at(b"!", 1 << 20).unwrap();
}

/// Reads ahead, changes a byte of the file `large` and freezes; then spoils the file, stores, restores and compares.
async fn there_and_back(place: &Place, source: &Path, scratch: &Path) -> FreezeReport {
    let request = freezing(source, scratch);
    place.repository.warm(&request, &Events::ignored()).await.unwrap();
    change_a_byte(&source.join("large"));
    fs::write(source.join("new"), noise(LARGE, 9)).unwrap();
    let (events, warnings) = listening();
    let report = place.repository.freeze(&events).await.unwrap();
    assert!(warnings.lock().unwrap().is_empty(), "{warnings:?}");
    let frozen = snapshot_tree(source);
    fs::write(source.join("large"), noise(LARGE, 10)).unwrap();
    fs::remove_file(source.join("new")).unwrap();
    let made = place.repository.backup(&request, &Events::ignored()).await.unwrap();
    let target = place.folder("target");
    place.repository.restore(&writing(&made.snapshot, &target), &Events::ignored()).await.unwrap();
    let differences = diff_trees(&frozen, &snapshot_tree(&target), Aspects::ALL);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    report
}

/// A file system of this kind in a file, mounted on `folder`; `None` where that cannot be done here.
fn loop_mount(place: &Place, kind: &str, folder: &Path) -> Option<TemporaryMount> {
    let image = place.folder("images").join(kind);
    let file = fs::File::create(&image).unwrap();
    file.set_len(512 << 20).unwrap();
    let made = Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image).output();
    let mounted = made.is_ok_and(|made| made.status.success())
        && Command::new("mount")
            .args(["-o", "loop"])
            .arg(&image)
            .arg(folder)
            .output()
            .is_ok_and(|done| done.status.success());
    or_skip("mount", mounted.then(|| TemporaryMount(folder.to_path_buf())))
}

#[tokio::test(flavor = "multi_thread")]
async fn where_files_can_be_cloned_nothing_is_copied() {
    for kind in ["xfs", "btrfs"] {
        let place = Place::new().await;
        let mounted = place.folder("mounted");
        let Some(_mount) = loop_mount(&place, kind, &mounted) else { return };
        let (source, scratch) = (mounted.join("source"), mounted.join("scratch"));
        fs::create_dir(&source).unwrap();
        fs::create_dir(&scratch).unwrap();
        make_every_inode(&source);
        fs::write(source.join("large"), noise(LARGE, 1)).unwrap();
        let report = there_and_back(&place, &source, &scratch).await;
        assert!(report.cloned_bytes >= 2 * LARGE as u64, "{kind}: {report:?}");
        assert!(report.copied_bytes < 1 << 20, "{kind}: small files at most: {report:?}");
        drop(place.repository);
        assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "{kind}: what was kept aside goes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_files_cannot_be_cloned_what_changed_is_copied() {
    let place = Place::new().await;
    let source = place.folder("source");
    fs::write(source.join("large"), noise(LARGE, 1)).unwrap();
    let Some(_mount) = or_skip("mount", TemporaryMount::on(&place.folder("scratch"), "tmpfs", "size=200m")) else {
        return;
    };
    let report = there_and_back(&place, &source, &place.folder("scratch")).await;
    assert_eq!(report.copied_bytes, LARGE as u64 + (16 << 10), "the new file and one block: {report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_times_do_not_tell_everything_is_read_again() {
    let place = Place::new().await;
    let source = place.folder("source");
    let Some(_mount) = or_skip("mount", TemporaryMount::on(&source, "tmpfs", "size=200m")) else { return };
    fs::write(source.join("large"), noise(LARGE, 1)).unwrap();
    fs::write(source.join("quiet"), noise(LARGE, 2)).unwrap();
    // Longer ago than what is too recent for any file system.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let report = there_and_back(&place, &source, &place.folder("scratch")).await;
    assert_eq!(report.read_bytes, 3 * LARGE as u64, "{report:?}");
    assert_eq!(report.copied_bytes, LARGE as u64 + (16 << 10), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_the_pass_is_not_read_again() {
    let place = Place::new().await;
    let source = place.folder("source");
    fs::write(source.join("large"), noise(LARGE, 1)).unwrap();
    fs::write(source.join("quiet"), noise(LARGE, 2)).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(3));
    let report = there_and_back(&place, &source, &place.folder("scratch")).await;
    assert_eq!(report.files_changed, 2, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_needs_no_store() {
    let place = Place::new().await;
    let (source, scratch) = (place.folder("source"), place.folder("scratch"));
    fs::write(source.join("large"), noise(LARGE, 1)).unwrap();
    let request = freezing(&source, &scratch);
    place.repository.warm(&request, &Events::ignored()).await.unwrap();
    change_a_byte(&source.join("large"));
    let (store, away) = (place.files(), PathBuf::from(format!("{}-away", place.files().display())));
    fs::rename(&store, &away).unwrap();
    place.repository.freeze(&Events::ignored()).await.unwrap();
    let error = place.repository.backup(&request, &Events::ignored()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    fs::rename(&away, &store).unwrap();
    // What was frozen is still there for another try.
    fs::write(source.join("large"), "later").unwrap();
    let report = place.repository.backup(&request, &Events::ignored()).await.unwrap();
    assert_eq!(report.bytes, LARGE as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_for_changes_the_hot_pass_refuses() {
    let place = Place::new().await;
    let (source, scratch) = (place.folder("source"), place.folder("scratch"));
    let Some(_mount) = or_skip("mount", TemporaryMount::on(&scratch, "tmpfs", "size=10m")) else { return };
    fs::write(source.join("large"), noise(LARGE, 1)).unwrap();
    let error = place.repository.warm(&freezing(&source, &scratch), &Events::ignored()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
    assert!(error.to_string().contains("MiB are needed") && error.hint().is_some(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn room_that_runs_out_ends_the_freeze() {
    let place = Place::new().await;
    let (source, scratch) = (place.folder("source"), place.folder("scratch"));
    let Some(_mount) = or_skip("mount", TemporaryMount::on(&scratch, "tmpfs", "size=80m")) else { return };
    fs::write(source.join("small"), "x").unwrap();
    place.repository.warm(&freezing(&source, &scratch), &Events::ignored()).await.unwrap();
    fs::write(source.join("unexpected"), noise(100 << 20, 1)).unwrap();
    let error = place.repository.freeze(&Events::ignored()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
    assert!(place.repository.list_snapshots().await.unwrap().is_empty());
    // It holds files in what is about to be unmounted.
    drop(place.repository);
}
