//! Stores that fail, fill up or hold damage: nothing is lost silently, and nothing half made is taken for whole.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use dory_core::adapters::object_store::{ConnectOptions, connect_with};
use dory_core::adapters::restic::ResticEngine;
use dory_core::domain::event::WarningKind;
use dory_core::error::ErrorKind;
use dory_core::ports::{BackupEngine, Events, OpenMode, VerifyDepth};
use dory_testkit::fixtures::noise;
use dory_testkit::gcs::{Fault, FaultRule, GcsServer};
use dory_testkit::live::or_skip;
use object_store::RetryConfig;
use rustix::fs::{XattrFlags, setxattr};

use super::{Place, TemporaryMount, engine, listening, reading, spec, writing};

/// An engine whose client tries nothing again, so that what is tried again is the engine's doing.
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
    let repository = impatient_engine().open(&spec, OpenMode::CreateIfMissing).await.unwrap();

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
    let server = GcsServer::start();
    let spec = spec(server.access("fleet"));
    let rule = |fault| FaultRule { path: Some("/config".to_owned()), ..FaultRule::next(1, "PUT", fault) };
    server.inject(rule(Fault::FailAfterwards(503)));
    // This client tries again by itself, and hears that the object is there already.
    engine().open(&spec, OpenMode::CreateIfMissing).await.unwrap();
    assert!(!server.has_faults());
    engine().open(&spec, OpenMode::Existing).await.unwrap();
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
    assert!(!target.join("lost").exists(), "a part of it could be taken for the whole");
    assert_eq!(report.files, 2);
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

fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
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
