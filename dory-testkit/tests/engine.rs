//! What the fake engine adds to its port: damage, chains, and complaints about misuse.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dory_core::ErrorKind;
use dory_core::domain::id::MountKey;
use dory_core::domain::policy::EngineKind;
use dory_core::ports::{
    BackupEngine, EngineEvent, Events, MountFolder, OpenMode, Repository, RepositorySpec, RestoreRequest,
    SnapshotReport, SnapshotRequest, VerifyDepth,
};
use dory_testkit::World;
use dory_testkit::fakes::FakeEngine;
use futures_util::FutureExt;
use jiff::Timestamp;

fn spec() -> RepositorySpec {
    RepositorySpec {
        store: World::new().store(),
        path: "data/x/fake".to_owned(),
        password: None,
        options: BTreeMap::new(),
    }
}

async fn open(engine: &FakeEngine) -> Arc<dyn Repository> {
    engine.open(&spec(), OpenMode::CreateIfMissing).await.unwrap()
}

fn folders(path: &Path) -> Vec<MountFolder> {
    vec![MountFolder { key: MountKey::parse("data").unwrap(), path: path.to_path_buf() }]
}

fn request(path: &Path) -> SnapshotRequest {
    SnapshotRequest {
        sources: folders(path),
        exclude: Vec::new(),
        taken_at: Timestamp::UNIX_EPOCH,
        host: "host".to_owned(),
        tags: Vec::new(),
        parent: None,
        scratch: None,
    }
}

async fn backup(repository: &dyn Repository, path: &Path) -> SnapshotReport {
    repository.backup(&request(path), &Events::ignored()).await.unwrap()
}

#[tokio::test]
async fn damage_is_found_and_told_by_a_restore() {
    let (engine, folder) = (FakeEngine::new(EngineKind::Restic), tempfile::tempdir().unwrap());
    fs::write(folder.path().join("file"), "contents").unwrap();
    let repository = open(&engine).await;
    let report = backup(repository.as_ref(), folder.path()).await;
    engine.damage(&spec());

    assert!(repository.verify(VerifyDepth::Structure).await.unwrap().faults.is_empty());
    assert_eq!(repository.verify(VerifyDepth::Data).await.unwrap().faults.len(), 1);
    let restore = RestoreRequest {
        snapshot: report.snapshot,
        targets: folders(folder.path()),
        delete_extra: true,
        keep: Vec::new(),
    };
    fs::write(folder.path().join("file"), "newer").unwrap();
    let lost = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&lost);
    let events = Events::new(move |event| {
        let loses = matches!(event, EngineEvent::Warning(warning) if warning.kind.loses_data());
        seen.fetch_add(loses.into(), Ordering::Relaxed);
    });
    repository.restore(&restore, &events).await.unwrap();
    assert_eq!(lost.load(Ordering::Relaxed), 1);
    assert_eq!(fs::read_to_string(folder.path().join("file")).unwrap(), "newer");
}

#[tokio::test]
async fn a_chain_goes_as_a_whole_and_the_next_one_stays() {
    let engine = FakeEngine::new(EngineKind::Duplicity).with_chains_of(2);
    let folder = tempfile::tempdir().unwrap();
    let repository = open(&engine).await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(backup(repository.as_ref(), folder.path()).await.snapshot);
    }
    assert_eq!(repository.forget(&made[1..]).await.unwrap_err().kind(), ErrorKind::Unsupported);
    repository.forget(&made[..2]).await.unwrap();
    let left = repository.list_snapshots().await.unwrap();
    assert_eq!(left.iter().map(|snapshot| &snapshot.id).collect::<Vec<_>>(), [&made[2]]);
}

#[tokio::test]
async fn overlapping_calls_are_refused_and_not_forgotten() {
    let (engine, folder) = (FakeEngine::new(EngineKind::Restic), tempfile::tempdir().unwrap());
    fs::write(folder.path().join("file"), "contents").unwrap();
    let repository = open(&engine).await;
    let (the_request, events) = (request(folder.path()), Events::ignored());
    let mut first = repository.backup(&the_request, &events);
    assert!((&mut first).now_or_never().is_none(), "it lets others act between two files");
    assert_eq!(repository.prune().await.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(engine.journal().take_complaints().len(), 1);
    first.await.unwrap();
    repository.prune().await.unwrap();
    engine.journal().assert_no_complaints();
}

#[tokio::test]
async fn a_dropped_backup_makes_no_snapshot() {
    let (engine, folder) = (FakeEngine::new(EngineKind::Restic), tempfile::tempdir().unwrap());
    fs::write(folder.path().join("file"), "contents").unwrap();
    let repository = open(&engine).await;
    assert!(repository.backup(&request(folder.path()), &Events::ignored()).now_or_never().is_none());
    assert!(repository.list_snapshots().await.unwrap().is_empty());
    assert_eq!(backup(repository.as_ref(), folder.path()).await.files, 2);
}
