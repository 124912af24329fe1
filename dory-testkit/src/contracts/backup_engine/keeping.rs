//! Promises about the snapshots of a repository over time: listing, forgetting, pruning, checking.

use std::fs;

use dory_core::domain::entry_path::EntryPath;
use dory_core::domain::id::{MountKey, SnapshotId};
use dory_core::error::ErrorKind;
use dory_core::ports::{OpenMode, SnapshotReport, VerifyDepth};

use super::Subject;
use super::scene::{Scene, rewrite};
use crate::fixtures::noise;

/// Three snapshots of one folder with a file `n` that holds `1`, `2`, `3`, and a large file that changes with it.
async fn three_snapshots(scene: &Scene) -> Vec<SnapshotReport> {
    let source = scene.folder("source");
    let mut reports: Vec<SnapshotReport> = Vec::new();
    for number in 1..=3_u8 {
        rewrite(&source.join("n"), number.to_string().as_bytes());
        rewrite(&source.join("large"), &noise(3 << 20, number.into()));
        let report = match reports.last() {
            None => scene.backup(&[("data", &source)]).await,
            Some(parent) => scene.backup_on(parent, &[("data", &source)]).await,
        };
        reports.push(report);
    }
    reports
}

async fn ids(scene: &Scene) -> Vec<SnapshotId> {
    scene.repository.list_snapshots().await.unwrap().into_iter().map(|snapshot| snapshot.id).collect()
}

/// Snapshots come oldest first, with the moment, the mounts and the words they were made with.
pub async fn snapshots_are_listed_oldest_first(subject: Subject) {
    let scene = Scene::open(subject).await;
    assert!(scene.repository.list_snapshots().await.unwrap().is_empty());
    let (one, two) = (scene.folder("one"), scene.folder("two"));
    let sources = [("one", one.as_path()), ("two", two.as_path())];
    let requests = [scene.request(&sources), scene.request(&sources), scene.request(&sources)];
    let mut made = Vec::new();
    for request in &requests {
        made.push(scene.try_backup(request).await.unwrap().snapshot);
    }
    assert_eq!(ids(&scene).await, made);

    for (snapshot, request) in scene.repository.list_snapshots().await.unwrap().iter().zip(&requests) {
        assert_eq!(snapshot.taken_at, request.taken_at);
        assert_eq!(snapshot.tags, request.tags);
        assert_eq!(snapshot.mounts, ["one", "two"].map(|key| MountKey::parse(key).unwrap()));
    }
    let again = scene.subject.engine.open(&scene.subject.repository, OpenMode::Existing).await.unwrap();
    assert_eq!(again.list_snapshots().await.unwrap(), scene.repository.list_snapshots().await.unwrap());
}

/// A snapshot can be forgotten alone, or the engine says so beforehand and names those it is tied to.
pub async fn one_snapshot_goes_alone_or_names_what_is_tied_to_it(subject: Subject) {
    let alone = subject.engine.capabilities().forgets_single_snapshots;
    let scene = Scene::open(subject).await;
    let reports = three_snapshots(&scene).await;
    let oldest = reports[0].snapshot.clone();
    let tied = scene.repository.list_snapshots().await.unwrap()[0].tied_to.clone();
    if alone {
        assert!(tied.is_empty(), "{tied:?}");
        scene.repository.forget(std::slice::from_ref(&oldest)).await.unwrap();
    } else {
        assert_eq!(tied, [reports[1].snapshot.clone(), reports[2].snapshot.clone()]);
        let error = scene.repository.forget(std::slice::from_ref(&oldest)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
        let told = format!("{error} {}", error.hint().unwrap_or_default());
        assert!(tied.iter().all(|id| told.contains(id.as_str())), "it must name them: {told}");
        assert_eq!(ids(&scene).await.len(), 3, "nothing may be gone");

        let all: Vec<_> = reports.iter().map(|report| report.snapshot.clone()).collect();
        scene.repository.forget(&all).await.unwrap();
        assert!(ids(&scene).await.is_empty());
        return;
    }
    assert_eq!(ids(&scene).await, [reports[1].snapshot.clone(), reports[2].snapshot.clone()]);
    let error = scene.repository.list_files(&oldest, &EntryPath::default(), false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    assert_eq!(scene.read(&reports[1], &EntryPath::new("data/n")).await, b"2");
}

/// Forgetting twice, or what never was, succeeds.
pub async fn forgetting_what_is_gone_is_no_error(subject: Subject) {
    let scene = Scene::open(subject).await;
    let report = scene.backup(&[("data", &scene.folder("source"))]).await;
    let never = [SnapshotId::parse("0".repeat(64)).unwrap(), SnapshotId::parse("never-was").unwrap()];
    scene.repository.forget(&never).await.unwrap();
    assert_eq!(ids(&scene).await.len(), 1);
    for _ in 0..2 {
        scene.repository.forget(std::slice::from_ref(&report.snapshot)).await.unwrap();
        assert!(ids(&scene).await.is_empty());
    }
}

/// Pruning never takes what a remaining snapshot needs, and tells of what it took or will take.
pub async fn pruning_keeps_what_snapshots_need(subject: Subject) {
    let scene = Scene::open(subject).await;
    let reports = three_snapshots(&scene).await;
    scene.repository.prune().await.unwrap();
    let forgotten: Vec<_> = if scene.subject.engine.capabilities().forgets_single_snapshots {
        reports[..2].iter().map(|report| report.snapshot.clone()).collect()
    } else {
        Vec::new()
    };
    scene.repository.forget(&forgotten).await.unwrap();
    let pruned = scene.repository.prune().await.unwrap();
    if !forgotten.is_empty() {
        assert!(pruned.removed_bytes + pruned.marked_bytes > 5 << 20, "{pruned:?}");
    }
    scene.repository.prune().await.unwrap();

    let target = scene.folder("target");
    scene.restore(&reports[2], &[("data", &target)]).await;
    scene.assert_same(&scene.folder("source"), &target);
    let report = scene.repository.verify(VerifyDepth::Data).await.unwrap();
    assert!(report.faults.is_empty(), "{report:?}");
    // And what was marked can be needed again.
    let source = scene.folder("source");
    rewrite(&source.join("large"), &noise(3 << 20, 1));
    let again = scene.backup(&[("data", &source)]).await;
    scene.restore(&again, &[("data", &target)]).await;
    scene.assert_same(&source, &target);
}

/// A repository that nothing happened to has no faults, at either depth, empty or not.
pub async fn a_sound_repository_has_no_faults(subject: Subject) {
    let scene = Scene::open(subject).await;
    for _ in 0..2 {
        for depth in [VerifyDepth::Structure, VerifyDepth::Data] {
            let report = scene.repository.verify(depth).await.unwrap();
            assert!(report.faults.is_empty(), "{depth:?}: {report:?}");
        }
        three_snapshots(&scene).await;
    }
}

/// A single byte that changed in the store is found, and restoring what it belongs to does not pass for a success.
pub async fn a_flipped_byte_is_found(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    fs::write(source.join("large"), noise(3 << 20, 5)).unwrap();
    let report = scene.backup(&[("data", &source)]).await;
    let Some(()) = scene.flip_a_byte().await else { return };

    let again = scene.subject.engine.open(&scene.subject.repository, OpenMode::Existing).await.unwrap();
    let found = again.verify(VerifyDepth::Data).await.unwrap();
    assert!(!found.faults.is_empty());
    assert!(found.faults.iter().all(|fault| !fault.contains('\n')), "one line a fault: {found:?}");

    let target = scene.folder("target");
    let result = scene.try_restore(&report.snapshot, &[("data", &target)], true).await;
    let told = scene.warnings().iter().any(|warning| warning.kind.loses_data());
    match result {
        Ok(_) => assert!(told, "it must not pass for a success"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}"),
    }
}

/// What is stored is counted, and grows with what is added.
pub async fn stats_count_what_is_stored(subject: Subject) {
    let scene = Scene::open(subject).await;
    let before = scene.repository.stats().await.unwrap();
    assert_eq!(before.snapshots, 0);
    let report = scene.backup(&[("data", &scene.folder("empty"))]).await;
    let source = scene.folder("source");
    fs::write(source.join("file"), noise(2 << 20, 3)).unwrap();
    scene.backup_on(&report, &[("data", &source)]).await;
    let after = scene.repository.stats().await.unwrap();
    assert_eq!(after.snapshots, 2);
    assert!(after.objects > before.objects, "{after:?}");
    assert!(after.stored_bytes >= before.stored_bytes + (2 << 20), "{after:?}");
}
