//! Stores that fail, fill up or hold damage: nothing is lost silently, and nothing half made is taken for whole.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use dory_core::adapters::object_store::{ConnectOptions, connect_with};
use dory_core::adapters::restic::ResticEngine;
use dory_core::domain::event::WarningKind;
use dory_core::domain::id::{MountKey, SnapshotId};
use dory_core::error::ErrorKind;
use dory_core::ports::{BackupEngine, Events, OpenMode, UndoMount, UndoRequest, VerifyDepth};
use dory_testkit::fixtures::noise;
use dory_testkit::gcs::{Fault, FaultRule, GcsServer};
use dory_testkit::live::or_skip;
use object_store::RetryConfig;
use rustix::fs::{XattrFlags, setxattr};

use super::{Place, TemporaryMount, engine, listening, mount, reading, spec, writing};

/// An engine whose client tries nothing again.
fn impatient_engine() -> ResticEngine {
    let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    let options = ConnectOptions { retry, ..ConnectOptions::default() };
    ResticEngine::new(Arc::new(move |access| connect_with(access, &options)))
}

#[tokio::test(flavor = "multi_thread")]
async fn passing_faults_of_the_store_are_outlived() {
    let server = GcsServer::start();
    let spec = spec(server.access("fleet"));
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), noise(3 << 20, 1)).unwrap();
    let repository = engine().open(&spec, OpenMode::CreateIfMissing).await.unwrap();

    for fault in [Fault::Status(503), Fault::LoseAnswer, Fault::FailAfterwards(500)] {
        server.inject(FaultRule::next(1, "PUT", fault));
    }
    let report = repository.backup(&reading(&source), &Events::ignored()).await.unwrap();
    assert!(!server.has_faults());
    for fault in [Fault::CutBody, Fault::DropRequest, Fault::Status(429)] {
        server.inject(FaultRule::next(1, "GET", fault));
    }
    repository.restore(&writing(&report.snapshot, &target), &Events::ignored()).await.unwrap();
    assert!(!server.has_faults());
    assert_eq!(fs::read(target.join("file")).unwrap(), fs::read(source.join("file")).unwrap());
    assert!(repository.verify(VerifyDepth::Data).await.unwrap().faults.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_making_the_repository_is_no_lost_race() {
    // One who tries again hears that the object is there already; one who does not hears nothing.
    for (engine, fault) in [(engine(), Fault::FailAfterwards(503)), (impatient_engine(), Fault::LoseAnswer)] {
        let server = GcsServer::start();
        let spec = spec(server.access("fleet"));
        server.inject(FaultRule { path: Some("/config".to_owned()), ..FaultRule::next(1, "PUT", fault) });
        engine.open(&spec, OpenMode::CreateIfMissing).await.unwrap();
        assert!(!server.has_faults());
        engine.open(&spec, OpenMode::Existing).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_writes_gets_no_snapshot_without_data() {
    let server = GcsServer::start();
    let spec = spec(server.access("fleet"));
    let dir = tempfile::tempdir().unwrap();
    for number in 0..40 {
        fs::write(dir.path().join(number.to_string()), noise(1 << 20, number)).unwrap();
    }
    let repository = engine().open(&spec, OpenMode::CreateIfMissing).await.unwrap();
    // The second of several packs, and the snapshot could be written again.
    server.inject(FaultRule { path: Some("/data/".to_owned()), ..FaultRule::next(1, "PUT", Fault::Slow(1)) });
    server.inject(FaultRule { path: Some("/data/".to_owned()), ..FaultRule::next(1, "PUT", Fault::Status(403)) });
    let error = repository.backup(&reading(dir.path()), &Events::ignored()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
    assert!(repository.list_snapshots().await.unwrap().is_empty());

    server.behave();
    repository.backup(&reading(dir.path()), &Events::ignored()).await.unwrap();
    assert!(repository.verify(VerifyDepth::Data).await.unwrap().faults.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_store_is_unavailable() {
    let server = GcsServer::start();
    let spec = spec(server.access("fleet"));
    drop(server);
    let error = impatient_engine().open(&spec, OpenMode::Existing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_pack_is_named_and_the_rest_comes_back() {
    let place = Place::new().await;
    let (source, target) = (place.folder("source"), place.folder("target"));
    fs::write(source.join("lost"), noise(2 << 20, 1)).unwrap();
    let first = place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();
    fs::write(source.join("kept"), noise(1 << 20, 2)).unwrap();
    let mut request = reading(&source);
    request.parent = Some(first.snapshot);
    let second = place.repository.backup(&request, &Events::ignored()).await.unwrap();
    let packs = packs_by_size(&place);
    fs::remove_file(&packs[0]).unwrap();

    for depth in [VerifyDepth::Structure, VerifyDepth::Data] {
        let report = place.repository.verify(depth).await.unwrap();
        assert!(!report.faults.is_empty(), "{depth:?}");
    }
    fs::write(target.join("lost"), "what was here before").unwrap();
    let (events, warnings) = listening();
    let report = place.repository.restore(&writing(&second.snapshot, &target), &events).await.unwrap();
    let told: Vec<_> = warnings.lock().unwrap().iter().map(|w| (w.kind, w.path.to_string())).collect();
    assert_eq!(told, [(WarningKind::NotRestored, "data/lost".to_owned())]);
    assert_eq!(fs::read(target.join("kept")).unwrap(), fs::read(source.join("kept")).unwrap());
    assert_eq!(fs::read_to_string(target.join("lost")).unwrap(), "what was here before");
    assert_eq!(report.files, 2);
}

/// As `a_missing_pack_is_named_and_the_rest_comes_back`, but where there is no room for a file beside the old one, and
/// for a mounted file, which can only be written to.
#[tokio::test(flavor = "multi_thread")]
async fn without_room_for_both_a_file_is_proven_before_the_old_one_goes() {
    let place = Place::new().await;
    let (source, target) = (place.folder("source"), place.folder("target"));
    fs::write(source.join("table"), noise(6 << 20, 1)).unwrap();
    let mounted = TemporaryMount::on(&target, "tmpfs", "size=10m");
    let Some(mounted) = or_skip("the right to mount", mounted) else { return };
    let mut request = reading(&source);
    request.sources.push(mount("file", &source.join("table")));
    let report = place.repository.backup(&request, &Events::ignored()).await.unwrap();
    let single = place.dir.path().join("single");
    let mut restore = writing(&report.snapshot, &target);
    restore.targets.push(mount("file", &single));

    fs::write(target.join("table"), noise(6 << 20, 2)).unwrap();
    fs::write(&single, "old").unwrap();
    place.repository.restore(&restore, &Events::ignored()).await.unwrap();
    let restored = [fs::read(target.join("table")).unwrap(), fs::read(&single).unwrap()];

    let newer = noise(6 << 20, 3);
    fs::write(target.join("table"), &newer).unwrap();
    fs::write(&single, "old").unwrap();
    let pack = &packs_by_size(&place)[0];
    let mut bytes = fs::read(pack).unwrap();
    bytes[1 << 19..(1 << 19) + 100].fill(0);
    fs::write(pack, bytes).unwrap();
    let (events, warnings) = listening();
    place.repository.restore(&restore, &events).await.unwrap();
    let left = [fs::read(target.join("table")).unwrap(), fs::read(&single).unwrap()];
    drop(mounted);
    assert!(restored.iter().all(|contents| *contents == noise(6 << 20, 1)));
    assert_eq!(warnings.lock().unwrap().iter().filter(|warning| warning.kind == WarningKind::NotRestored).count(), 2);
    assert!(left[0] == newer && left[1] == b"old");
}

/// What nobody would notice before it is too late: the snapshot of the present shares a damaged pack.
#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_shares_damage_is_not_proven() {
    let place = Place::new().await;
    let source = place.folder("source");
    fs::write(source.join("file"), "old").unwrap();
    let older = place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();
    fs::write(source.join("since"), noise(2 << 20, 1)).unwrap();
    place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();
    let again = engine().open(&place.spec, OpenMode::Existing).await.unwrap();
    fs::write(source.join("new"), noise(2 << 20, 2)).unwrap();
    let undo = again.backup(&reading(&source), &Events::ignored()).await.unwrap();
    let key = MountKey::parse("data").unwrap();
    let proof = |overwriting: &SnapshotId| UndoRequest {
        undo: undo.snapshot.clone(),
        overwriting: Some(overwriting.clone()),
        mounts: vec![UndoMount { key: key.clone(), overwritten_by: key.clone() }],
    };
    again.prove_undo(&proof(&older.snapshot)).await.unwrap();
    for pack in files_below(&place.files().join("data")) {
        let mut bytes = fs::read(&pack).unwrap();
        if bytes.len() > 1 << 20 {
            bytes[1 << 19] ^= 1;
            fs::write(pack, bytes).unwrap();
        }
    }
    let error = again.prove_undo(&proof(&older.snapshot)).await.unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::Corrupt, "data/since"), "{error:?}");
    // What is restored itself need not be had again.
    again.prove_undo(&proof(&undo.snapshot)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_or_cut_short_is_known_before_a_restore() {
    let place = Place::new().await;
    let (source, other) = (place.folder("source"), place.folder("other"));
    fs::write(source.join("large"), noise(3 << 20, 1)).unwrap();
    fs::write(other.join("small"), noise(1 << 20, 2)).unwrap();
    let key = [MountKey::parse("data").unwrap()];
    let whole = place.repository.backup(&reading(&other), &Events::ignored()).await.unwrap();
    let hurt = place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();
    let pack = &packs_by_size(&place)[0];
    let bytes = fs::read(pack).unwrap();
    for damaged in [Some(&bytes[..1000]), None] {
        match damaged {
            Some(bytes) => fs::write(pack, bytes).unwrap(),
            None => fs::remove_file(pack).unwrap(),
        }
        let error = place.repository.check_restorable(&hurt.snapshot, &key).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        assert!(error.to_string().contains("data/large"), "{error}");
        place.repository.check_restorable(&whole.snapshot, &key).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_anywhere_is_a_fault_and_not_a_crash() {
    let place = Place::new().await;
    let source = place.folder("source");
    fs::write(source.join("file"), noise(1 << 20, 1)).unwrap();
    place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();
    for folder in ["data", "index", "snapshots"] {
        for file in files_below(&place.files().join(folder)) {
            let whole = fs::read(&file).unwrap();
            let mut flipped = whole.clone();
            let middle = flipped.len() / 2;
            flipped[middle] ^= 1;
            for damaged in [flipped, whole[..whole.len() / 2].to_vec(), Vec::new()] {
                fs::write(&file, &damaged).unwrap();
                let report = place.repository.verify(VerifyDepth::Data).await.unwrap();
                assert!(!report.faults.is_empty(), "{} with {} bytes", file.display(), damaged.len());
                assert!(report.faults.iter().all(|fault| !fault.contains('\n')), "{report:?}");
            }
            fs::write(&file, whole).unwrap();
        }
    }
    assert!(place.repository.verify(VerifyDepth::Data).await.unwrap().faults.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_target_ends_the_restore_as_full() {
    let place = Place::new().await;
    let source = place.folder("source");
    fs::write(source.join("file"), noise(4 << 20, 1)).unwrap();
    let report = place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();
    let target = place.folder("target");
    let mounted = TemporaryMount::on(&target, "tmpfs", "size=1m");
    let Some(mounted) = or_skip("the right to mount", mounted) else { return };
    let result = place.repository.restore(&writing(&report.snapshot, &target), &Events::ignored()).await;
    drop(mounted);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_ends_the_backup_as_full() {
    let place = Place::new().await;
    let source = place.folder("source");
    fs::write(source.join("file"), noise(4 << 20, 1)).unwrap();
    let packs = place.folder("store").join(&place.spec.path).join("data");
    fs::create_dir_all(&packs).unwrap();
    let mounted = TemporaryMount::on(&packs, "tmpfs", "size=1m");
    let Some(mounted) = or_skip("the right to mount", mounted) else { return };
    let result = place.repository.backup(&reading(&source), &Events::ignored()).await;
    let left = files_below(&packs);
    drop(mounted);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
    assert!(left.is_empty(), "half a pack is left: {left:?}");
    assert!(place.repository.list_snapshots().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_cannot_keep_is_told_by_name() {
    let place = Place::new().await;
    let (source, target) = (place.folder("source"), place.folder("target"));
    fs::write(source.join("file"), "x").unwrap();
    fs::set_permissions(source.join("file"), fs::Permissions::from_mode(0o640)).unwrap();
    setxattr(source.join("file"), "user.colour", b"blue", XattrFlags::empty()).unwrap();
    let report = place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();

    let mounted = TemporaryMount::on(&target, "ramfs", "mode=755");
    let Some(mounted) = or_skip("the right to mount", mounted) else { return };
    let (events, warnings) = listening();
    let restored = place.repository.restore(&writing(&report.snapshot, &target), &events).await.unwrap();
    let mode = fs::metadata(target.join("file")).unwrap().permissions().mode() & 0o7777;
    let contents = fs::read_to_string(target.join("file")).unwrap();
    drop(mounted);
    let warnings = warnings.lock().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(
        (warnings[0].kind, warnings[0].path.to_string()),
        (WarningKind::MetadataNotRestored, "data/file".into())
    );
    assert!(warnings[0].detail.contains("user.colour"), "{warnings:?}");
    assert_eq!((mode, contents.as_str(), restored.files), (0o640, "x", 2), "the rest is as it was");
}

fn packs_by_size(place: &Place) -> Vec<std::path::PathBuf> {
    let mut packs = files_below(&place.files().join("data"));
    packs.sort_by_key(|pack| std::cmp::Reverse(fs::metadata(pack).unwrap().len()));
    packs
}

pub(super) fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_below(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}
