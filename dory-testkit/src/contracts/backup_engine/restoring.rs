//! Promises about what a restore writes, and what it leaves alone.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use dory_core::domain::id::{MountKey, SnapshotId};
use dory_core::error::ErrorKind;
use dory_core::ports::{SnapshotReport, UndoMount, UndoRequest};

use super::Subject;
use super::scene::{Scene, rewrite};
use crate::fixtures::noise;

/// With `delete_extra`, what the snapshot does not hold is removed and counted; without it, it stays.
pub async fn what_the_snapshot_does_not_hold_is_removed_if_asked(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    fs::create_dir(source.join("folder")).unwrap();
    fs::write(source.join("folder/file"), "kept").unwrap();
    fs::write(source.join("changed"), "as it was").unwrap();
    let report = scene.backup(&[("data", &source)]).await;

    let target = scene.folder("target");
    fs::create_dir_all(target.join("extra/deep/er")).unwrap();
    fs::write(target.join("extra/deep/er/file"), "x").unwrap();
    fs::create_dir(target.join("folder")).unwrap();
    fs::write(target.join("folder/extra"), "x").unwrap();
    fs::write(target.join("changed"), "something else, and longer").unwrap();

    scene.try_restore(&report.snapshot, &[("data", &target)], false).await.unwrap();
    assert_eq!(fs::read_to_string(target.join("changed")).unwrap(), "as it was");
    assert!(target.join("extra/deep/er/file").exists() && target.join("folder/extra").exists());

    let restored = scene.restore(&report, &[("data", &target)]).await;
    assert_eq!(restored.removed, 5, "{restored:?}");
    scene.assert_same(&source, &target);
}

/// What was left out of a snapshot is not in it, and stays when extra files go, wherever it is.
pub async fn what_was_left_out_stays_when_extra_files_go(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    for path in ["uploads/only-copy", "app/cache/warm", "app/code"] {
        fs::create_dir_all(source.join(path).parent().unwrap()).unwrap();
        fs::write(source.join(path), path).unwrap();
    }
    let mut request = scene.request(&[("data", &source)]);
    request.exclude = vec!["uploads/".to_owned(), "cache/".to_owned()];
    let report = scene.try_backup(&request).await.unwrap();

    for path in ["new/cache/warm", "new/junk", "junk"] {
        fs::create_dir_all(source.join(path).parent().unwrap()).unwrap();
        fs::write(source.join(path), path).unwrap();
    }
    scene.restore_but(&report, &[("data", &source)], &["uploads/", "cache/"]).await;
    for path in ["uploads/only-copy", "app/cache/warm", "app/code", "new/cache/warm"] {
        assert_eq!(fs::read_to_string(source.join(path)).unwrap(), path);
    }
    assert!(!source.join("new/junk").exists() && !source.join("junk").exists());
}

/// A restore that meets damage fails or says of which file, and leaves what has its name as it was.
pub async fn a_restore_that_meets_damage_leaves_the_old_file(subject: Subject) {
    let scene = Scene::open(subject).await;
    let (source, target) = (scene.folder("source"), scene.folder("target"));
    fs::write(source.join("table"), noise(2 << 20, 1)).unwrap();
    let report = scene.backup(&[("data", &source)]).await;
    if scene.flip_a_byte().await.is_none() {
        return;
    }
    fs::write(target.join("table"), "rows that were written since").unwrap();
    let restored = scene.try_restore(&report.snapshot, &[("data", &target)], true).await;
    let told = scene.warnings().iter().any(|warning| warning.kind.loses_data());
    assert!(restored.is_err() || told, "{restored:?}");
    assert_eq!(fs::read_to_string(target.join("table")).unwrap(), "rows that were written since");
    assert_eq!(fs::read_dir(&target).unwrap().count(), 1, "something was left beside it");
}

/// What can be restored passes the check; unknown snapshots and mounts are not found.
pub async fn what_can_be_restored_is_known_before(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    fs::write(source.join("file"), noise(1 << 20, 1)).unwrap();
    let report = scene.backup(&[("data", &source)]).await;
    scene.check_restorable(&report, &["data"]).await.unwrap();
    let error = scene.check_restorable(&report, &["other"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    let unknown = SnapshotReport { snapshot: SnapshotId::parse("0".repeat(64)).unwrap(), ..report };
    let error = scene.check_restorable(&unknown, &["data"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
}

/// What a snapshot of the present holds can be had again, whether it is new or shared with the one to be restored.
pub async fn an_undo_that_is_whole_is_proven(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    fs::write(source.join("same"), noise(1 << 20, 1)).unwrap();
    rewrite(&source.join("changes"), b"old");
    let older = scene.backup(&[("data", &source)]).await;
    rewrite(&source.join("changes"), b"new");
    let undo = scene.backup_on(&older, &[("data", &source)]).await;
    let key = MountKey::parse("data").unwrap();
    let mounts = vec![UndoMount { key: key.clone(), overwritten_by: key }];
    for overwriting in [Some(older.snapshot.clone()), None] {
        let request = UndoRequest { undo: undo.snapshot.clone(), overwriting, mounts: mounts.clone() };
        scene.repository.prove_undo(&request).await.unwrap();
    }
}

/// Of two mounts, one can be restored without touching the other.
pub async fn one_mount_of_two_is_restored_alone(subject: Subject) {
    let scene = Scene::open(subject).await;
    let (one, two) = (scene.folder("one"), scene.folder("two"));
    fs::write(one.join("file"), "of one").unwrap();
    fs::write(two.join("file"), "of two").unwrap();
    let report = scene.backup(&[("one", &one), ("two", &two)]).await;

    fs::write(one.join("file"), "changed").unwrap();
    fs::write(two.join("file"), "changed").unwrap();
    scene.restore(&report, &[("two", &two)]).await;
    assert_eq!(fs::read_to_string(one.join("file")).unwrap(), "changed");
    assert_eq!(fs::read_to_string(two.join("file")).unwrap(), "of two");

    scene.restore(&report, &[("one", &one), ("two", &two)]).await;
    assert_eq!(fs::read_to_string(one.join("file")).unwrap(), "of one");
}

/// A snapshot brings back its own moment, whatever came after it.
pub async fn an_older_snapshot_brings_back_its_own_moment(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    fs::write(source.join("stays"), "1").unwrap();
    rewrite(&source.join("changes"), b"old");
    fs::write(source.join("goes"), "1").unwrap();
    let first = scene.backup(&[("data", &source)]).await;
    let before = scene.folder("before");
    scene.restore(&first, &[("data", &before)]).await;

    rewrite(&source.join("changes"), b"new");
    fs::remove_file(source.join("goes")).unwrap();
    fs::write(source.join("comes"), "1").unwrap();
    let second = scene.backup_on(&first, &[("data", &source)]).await;

    let target = scene.folder("target");
    scene.restore(&second, &[("data", &target)]).await;
    scene.assert_same(&source, &target);
    scene.restore(&first, &[("data", &target)]).await;
    scene.assert_same(&before, &target);
}

/// Where a file was and a folder is, and the like, the snapshot's kind takes the place.
pub async fn inodes_of_another_kind_are_replaced(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    fs::create_dir(source.join("folder")).unwrap();
    fs::write(source.join("folder/file"), "x").unwrap();
    fs::write(source.join("file"), "x").unwrap();
    fs::write(source.join("file-2"), "x").unwrap();
    symlink("file", source.join("link")).unwrap();
    symlink("file", source.join("link-2")).unwrap();
    let report = scene.backup(&[("data", &source)]).await;

    let target = scene.folder("target");
    fs::write(target.join("folder"), "a file").unwrap();
    fs::create_dir_all(target.join("file/deep")).unwrap();
    fs::write(target.join("file/deep/x"), "x").unwrap();
    symlink("elsewhere", target.join("file-2")).unwrap();
    fs::write(target.join("link"), "a file").unwrap();
    fs::create_dir(target.join("link-2")).unwrap();
    scene.restore(&report, &[("data", &target)]).await;
    scene.assert_same(&source, &target);
}

/// Links that a target holds lead no write, no removal and no change of metadata outside it.
pub async fn no_link_in_a_target_is_followed(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    fs::create_dir_all(source.join("folder/below")).unwrap();
    fs::write(source.join("folder/below/file"), "new").unwrap();
    fs::write(source.join("file"), "new").unwrap();
    let report = scene.backup(&[("data", &source)]).await;

    let outside = scene.folder("outside");
    fs::create_dir(outside.join("below")).unwrap();
    fs::write(outside.join("below/file"), "precious").unwrap();
    fs::write(outside.join("file"), "precious").unwrap();
    let before = scene.folder("before");
    copy(&outside, &before);

    let target = scene.folder("target");
    symlink(&outside, target.join("folder")).unwrap();
    symlink(outside.join("file"), target.join("file")).unwrap();
    symlink(&outside, target.join("extra")).unwrap();
    scene.restore(&report, &[("data", &target)]).await;
    scene.assert_same(&source, &target);
    assert_eq!(fs::read_to_string(outside.join("below/file")).unwrap(), "precious");
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "precious");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), fs::read_dir(&before).unwrap().count());
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A file in the target that has another name elsewhere is replaced, not written into.
pub async fn other_names_of_a_targets_file_are_left_alone(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    fs::write(source.join("file"), "new").unwrap();
    let report = scene.backup(&[("data", &source)]).await;

    let (target, outside) = (scene.folder("target"), scene.folder("outside"));
    fs::write(outside.join("file"), "old").unwrap();
    fs::hard_link(outside.join("file"), target.join("file")).unwrap();
    let mode = fs::metadata(outside.join("file")).unwrap().mode();
    scene.restore(&report, &[("data", &target)]).await;
    assert_eq!(fs::read_to_string(target.join("file")).unwrap(), "new");
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "old");
    assert_eq!(fs::metadata(outside.join("file")).unwrap().mode(), mode);
}

/// A bind mount of one file is backed up and restored as that file, in place.
pub async fn a_mount_of_one_file_comes_back(subject: Subject) {
    let scene = Scene::open(subject).await;
    let (source, folder) = (scene.folder("source"), scene.folder("folder"));
    let file = source.join("app.conf");
    fs::write(&file, "port = 1\n").unwrap();
    fs::write(source.join("neighbour"), "not a part of it").unwrap();
    fs::write(folder.join("x"), "x").unwrap();
    let report = scene.backup(&[("etc-app.conf", &file), ("folder", &folder)]).await;
    let inode = fs::metadata(&file).unwrap().ino();

    fs::write(&file, "port = broken, and longer\n").unwrap();
    scene.restore(&report, &[("etc-app.conf", &file)]).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "port = 1\n");
    assert_eq!(fs::metadata(&file).unwrap().ino(), inode, "a mounted file cannot be replaced, only written");
    assert!(source.join("neighbour").exists());
}

/// Neither an unknown snapshot nor a mount that it does not hold can be restored; the target stays as it was.
pub async fn restoring_what_is_not_there_is_not_found(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    fs::write(source.join("file"), "x").unwrap();
    let report = scene.backup(&[("data", &source)]).await;

    let target = scene.folder("target");
    fs::write(target.join("mine"), "x").unwrap();
    for text in ["no-such-snapshot", &"0".repeat(64)] {
        let unknown = SnapshotId::parse(text).unwrap();
        let error = scene.try_restore(&unknown, &[("data", &target)], true).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    }
    let both = [("data", target.as_path()), ("other", target.as_path())];
    let error = scene.try_restore(&report.snapshot, &both, true).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    assert!(error.to_string().contains("other"), "{error}");
    assert!(target.join("mine").exists() && !target.join("file").exists());
}
