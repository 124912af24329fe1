//! Several who work on one repository at once, and some who stop in the middle.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use dory_core::ports::{BackupEngine, EngineEvent, Events, OpenMode, VerifyDepth};
use dory_testkit::fixtures::{Aspects, diff_trees, noise, snapshot_tree};
use dory_testkit::live::or_skip;

use super::{Place, engine, folder_store, listening, mount, reading, spec, writing};

/// Whoever loses the race to make a repository, and dies before taking their key back, locks nobody out.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_astray_is_passed_over_and_taken_away() {
    let place = Place::new().await;
    let source = place.folder("source");
    let report = place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();
    let elsewhere = place.folder("elsewhere");
    let other = spec(folder_store(&elsewhere));
    engine().open(&other, OpenMode::CreateIfMissing).await.unwrap();
    // With this name it is tried before the right key.
    let keys = elsewhere.join("store").join(&other.path).join("keys");
    for entry in fs::read_dir(keys).unwrap() {
        let entry = entry.unwrap();
        let (mut name, bytes) = (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
        name.replace_range(..8, "00000000");
        fs::write(place.files().join("keys").join(&name), &bytes).unwrap();
    }

    let again = engine().open(&place.spec, OpenMode::Existing).await.unwrap();
    assert_eq!(again.list_snapshots().await.unwrap()[0].id, report.snapshot);
    assert!(fs::read_dir(place.files().join("keys")).unwrap().count() == 1, "restic would stumble over it");
}

/// A prune that knows nothing yet of a snapshot being made marks its data; the backup notices and saves it.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_survives_a_prune_beside_it() {
    let place = Place::new().await;
    let Some(unreadable) = or_skip("a file that cannot be read", unreadable(&place)) else { return };
    let source = place.folder("source");
    fs::write(source.join("large"), noise(3 << 20, 1)).unwrap();
    let first = place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();

    // It warns of a file, and is held until it may go on: by then it has seen which data is there.
    let (arrived, wait_until_arrived) = mpsc::channel();
    let (release, wait_until_released) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(wait_until_released);
    let held = Events::new(move |event| {
        if matches!(event, EngineEvent::Warning(_)) {
            arrived.send(()).unwrap();
            gate.lock().unwrap().recv_timeout(Duration::from_secs(60)).unwrap();
        }
    });
    let mut request = reading(&source);
    request.sources.push(mount("unreadable", &unreadable));
    let slow = engine().open(&place.spec, OpenMode::Existing).await.unwrap();
    let backup = tokio::spawn(async move { slow.backup(&request, &held).await });
    tokio::task::spawn_blocking(move || wait_until_arrived.recv_timeout(Duration::from_secs(60)).unwrap())
        .await
        .unwrap();

    place.repository.forget(&[first.snapshot]).await.unwrap();
    let pruned = place.repository.prune().await.unwrap();
    assert!(pruned.marked_bytes > 3 << 20, "nothing was at stake: {pruned:?}");
    release.send(()).unwrap();
    let second = backup.await.unwrap().unwrap();
    assert!(second.stored_bytes < 1 << 20, "nothing was at stake: {second:?}");

    assert!(place.repository.verify(VerifyDepth::Data).await.unwrap().faults.is_empty());
    let target = place.folder("target");
    place.repository.restore(&writing(&second.snapshot, &target), &Events::ignored()).await.unwrap();
    let differences = diff_trees(&snapshot_tree(&source), &snapshot_tree(&target), Aspects::ALL);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// A folder with one file in it that nobody here may read.
pub(super) fn unreadable(place: &Place) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let file = place.folder("unreadable").join("closed");
    fs::write(&file, "x").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&file).is_err() {
        return Some(place.folder("unreadable"));
    }
    // Root may read everything but what the kernel itself only lets be written.
    let kernel = PathBuf::from("/proc/sys/net/ipv4/route");
    (kernel.join("flush").exists() && fs::read(kernel.join("flush")).is_err()).then_some(kernel)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_backups_at_once_are_both_whole() {
    let place = Place::new().await;
    let (one, two) = (place.folder("one"), place.folder("two"));
    for number in 0..8 {
        let shared = noise(1 << 20, number);
        fs::write(one.join(number.to_string()), &shared).unwrap();
        fs::write(two.join(format!("other-{number}")), &shared).unwrap();
    }
    let other = engine().open(&place.spec, OpenMode::Existing).await.unwrap();
    let (requests, events) = ((reading(&one), reading(&two)), Events::ignored());
    let (first, second) =
        tokio::join!(place.repository.backup(&requests.0, &events), other.backup(&requests.1, &events));
    assert!(place.repository.verify(VerifyDepth::Data).await.unwrap().faults.is_empty());
    for (report, source) in [(first.unwrap(), &one), (second.unwrap(), &two)] {
        let target = place.folder("target");
        place.repository.restore(&writing(&report.snapshot, &target), &Events::ignored()).await.unwrap();
        let differences = diff_trees(&snapshot_tree(source), &snapshot_tree(&target), Aspects::ALL);
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }
}

/// Whoever stops waiting for a backup leaves a repository that is as it was, and can be written on.
#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_backup_leaves_no_snapshot() {
    let place = Place::new().await;
    let source = place.folder("source");
    for number in 0..64 {
        fs::write(source.join(number.to_string()), noise(1 << 20, number)).unwrap();
    }
    let files = place.files();
    let (request, events) = (reading(&source), Events::ignored());
    {
        let backup = place.repository.backup(&request, &events);
        tokio::pin!(backup);
        loop {
            tokio::select! {
                report = &mut backup => panic!("it was done before it could be abandoned: {report:?}"),
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
            // The first pack is there: it is in the middle.
            if fs::read_dir(files.join("data")).is_ok_and(|mut entries| entries.next().is_some()) {
                break;
            }
        }
    }
    // It goes on in the background until its next write; that must not become a snapshot.
    let (events, warnings) = listening();
    let report = place.repository.backup(&request, &events).await.unwrap();
    assert!(warnings.lock().unwrap().is_empty(), "{warnings:?}");
    let snapshots = place.repository.list_snapshots().await.unwrap();
    assert_eq!(snapshots.iter().map(|snapshot| &snapshot.id).collect::<Vec<_>>(), [&report.snapshot]);
    assert!(place.repository.verify(VerifyDepth::Data).await.unwrap().faults.is_empty());
}
