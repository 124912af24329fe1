//! Runs that are broken off: nothing stays behind, and the next run works.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dory_core::ports::{EngineEvent, Events, Repository, VerifyDepth};
use dory_testkit::fixtures::noise;

use super::{Stage, files, write};

/// Starts a backup in volumes of a megabyte, and drops it once a few are stored.
async fn break_off(stage: &Stage, repository: &dyn Repository) {
    let volumes = |stage: &Stage| {
        stage.stored_names().iter().filter(|name| name.starts_with("duplicity-") && name.contains(".vol")).count()
    };
    let before = volumes(stage);
    let request = stage.request();
    let events = Events::ignored();
    tokio::select! {
        result = repository.backup(&request, &events) => panic!("it was to be broken off: {result:?}"),
        () = async {
            while volumes(stage) < before + 3 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        } => {}
    }
}

/// Processes whose command line or environment's home is below `folder`.
fn processes_of(folder: &Path) -> String {
    let listed = Command::new("ps").args(["axeww", "-o", "stat=,args="]).output().unwrap().stdout;
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let ours = listed.lines().filter(|line| line.contains(&*folder.to_string_lossy()) && !line.starts_with('Z'));
    ours.collect::<Vec<_>>().join("\n")
}

async fn nothing_runs_of(folder: &Path) {
    for _ in 0..200 {
        if processes_of(folder).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("still running:\n{}", processes_of(folder));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_dropped_dies_with_all_it_started_and_the_next_holds_one_moment() {
    let Some(mut stage) = Stage::in_a_folder() else { return };
    stage.spec.options.insert("volsize".into(), "1".into());
    let repository = stage.open().await;
    let source = stage.source();
    write(&source.join("a"), "before");
    let first = stage.backup(&*repository).await;

    fs::write(source.join("big"), noise(40 << 20, 1)).unwrap();
    write(&source.join("a"), "never");
    break_off(&stage, &*repository).await;
    nothing_runs_of(&stage.dir.path().join("scratch")).await;
    let left: Vec<_> = fs::read_dir(stage.dir.path().join("scratch")).unwrap().map(|one| one.unwrap().path()).collect();
    assert_eq!(left, [stage.dir.path().join("scratch/archive")], "run folders are gone");

    let listed = repository.list_snapshots().await.unwrap();
    assert_eq!(listed.len(), 1, "what broke off is no snapshot: {listed:?}");
    assert_eq!(stage.restored(&*repository, &first.snapshot).await, files(&[("a", "before")]));
    // duplicity itself would go on where the other stopped, and keep what that one had read.
    write(&source.join("a"), "after");
    fs::remove_file(source.join("big")).unwrap();
    let second = stage.backup(&*repository).await;
    assert_eq!(stage.restored(&*repository, &second.snapshot).await, files(&[("a", "after")]));
    assert!(repository.verify(VerifyDepth::Data).await.unwrap().faults.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_are_kept_while_somebody_may_be_at_work_on_them() {
    let Some(mut stage) = Stage::in_a_folder() else { return };
    stage.spec.options.insert("volsize".into(), "1".into());
    let repository = stage.open().await;
    fs::write(stage.source().join("big"), noise(40 << 20, 1)).unwrap();
    break_off(&stage, &*repository).await;
    let young = repository.prune().await.unwrap();
    assert!(young.removed_bytes == 0 && young.marked_bytes > 2 << 20, "{young:?}");

    for name in stage.stored_names().iter().filter(|name| name.starts_with("duplicity-full.")) {
        let old = format!("duplicity-full.20200101T000000Z{}", &name["duplicity-full.20200101T000000Z".len()..]);
        fs::rename(stage.stored().join(name), stage.stored().join(old)).unwrap();
    }
    let old = repository.prune().await.unwrap();
    assert!(old.removed_bytes == young.marked_bytes && old.marked_bytes == 0, "{old:?}");
    assert!(stage.stored_names().iter().all(|name| name.starts_with("dory-")), "{:?}", stage.stored_names());
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_book_does_not_lock_anybody_out() {
    let Some(stage) = Stage::in_a_folder() else { return };
    let repository = stage.open().await;
    write(&stage.source().join("a"), "1");
    let report = stage.backup(&*repository).await;
    // As if a writer had been killed between a volume and the manifest.
    let volume =
        stage.stored_names().into_iter().find(|name| name.starts_with("dory-") && name.contains(".vol")).unwrap();
    let later = format!("dory-duplicity-full.29990101T000000Z.{}", volume.splitn(3, '.').nth(2).unwrap());
    fs::copy(stage.stored().join(&volume), stage.stored().join(later)).unwrap();
    let again = stage.open().await;
    let listed = again.list_snapshots().await.unwrap();
    assert_eq!((&listed[0].id, &*listed[0].tags), (&report.snapshot, &["point-1".to_owned()][..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_dropped_leaves_the_target_as_it_was() {
    let Some(stage) = Stage::in_a_folder() else { return };
    let repository = stage.open().await;
    fs::write(stage.source().join("big"), noise(30 << 20, 1)).unwrap();
    let report = stage.backup(&*repository).await;
    fs::create_dir(stage.target()).unwrap();
    write(&stage.target().join("mine"), "x");
    let is_staged = || fs::read_dir(stage.target()).unwrap().count() > 1;
    tokio::select! {
        result = stage.restore(&*repository, &report.snapshot) => panic!("it was to be broken off: {result:?}"),
        () = async { while !is_staged() { tokio::time::sleep(Duration::from_millis(1)).await } } => {}
    }
    nothing_runs_of(&stage.dir.path().join("scratch")).await;
    assert_eq!(super::contents(&stage.target()), files(&[("mine", "x")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_comes_at_least_each_second_and_counts_up() {
    let Some(stage) = Stage::in_a_folder() else { return };
    let repository = stage.open().await;
    fs::write(stage.source().join("big"), noise(60 << 20, 1)).unwrap();
    let told = Arc::new(AtomicBool::new(false));
    let sink = Arc::clone(&told);
    let events = Events::new(move |event| {
        if matches!(event, EngineEvent::Progress(_)) {
            sink.store(true, Ordering::Relaxed);
        }
    });
    let request = stage.request();
    let silent_seconds = async {
        let mut silent = 0;
        loop {
            tokio::time::sleep(Duration::from_secs(2)).await;
            silent += u32::from(!told.swap(false, Ordering::Relaxed));
            assert_eq!(silent, 0, "two seconds without a word");
        }
    };
    tokio::select! {
        report = repository.backup(&request, &events) => assert_eq!(report.unwrap().bytes, 60 << 20),
        () = silent_seconds => {}
    }
}
