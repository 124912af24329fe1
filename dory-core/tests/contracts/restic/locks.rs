//! restic's locks: neither takes away under the other's hands what the other relies on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use dory_core::error::ErrorKind;
use dory_core::ports::{BackupEngine, EngineEvent, Events, OpenMode, VerifyDepth};
use dory_testkit::fixtures::noise;
use dory_testkit::live::or_skip;

use super::damage::files_below;
use super::side_by_side::unreadable;
use super::{PASSWORD, Place, engine, mount, reading, writing};

fn restic(place: &Place, arguments: &[&str]) -> Output {
    let mut restic = Command::new("restic");
    restic.args(arguments).current_dir(place.dir.path()).arg("--no-cache");
    restic.env("RESTIC_REPOSITORY", place.files()).env("RESTIC_PASSWORD", PASSWORD).output().unwrap()
}

fn has_restic() -> bool {
    let found = Command::new("restic").arg("version").output().is_ok_and(|output| output.status.success());
    or_skip("restic", found.then_some(())).is_some()
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

fn locks(place: &Place) -> Vec<PathBuf> {
    let folder = place.files().join("locks");
    if folder.exists() { files_below(&folder) } else { Vec::new() }
}

/// A backup that is held in its middle, with all locks taken, until it is let go.
struct Held {
    release: mpsc::Sender<()>,
    backup: tokio::task::JoinHandle<dory_core::Result<dory_core::ports::SnapshotReport>>,
}

/// Backs up `source`, and stops where it warns of a file that it cannot read.
async fn hold(place: &Place, source: &Path) -> Option<Held> {
    let unreadable = or_skip("a file that cannot be read", unreadable(place))?;
    let (arrived, wait_until_arrived) = mpsc::channel();
    let (release, wait_until_released) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(wait_until_released);
    let events = Events::new(move |event| {
        if matches!(event, EngineEvent::Warning(_)) && arrived.send(()).is_ok() {
            let _ = gate.lock().unwrap().recv_timeout(Duration::from_secs(60));
        }
    });
    let mut request = reading(source);
    request.sources.push(mount("unreadable", &unreadable));
    let repository = engine().open(&place.spec, OpenMode::Existing).await.unwrap();
    let backup = tokio::spawn(async move { repository.backup(&request, &events).await });
    let arrived = move || wait_until_arrived.recv_timeout(Duration::from_secs(60)).unwrap();
    tokio::task::spawn_blocking(arrived).await.unwrap();
    Some(Held { release, backup })
}

impl Held {
    async fn let_go(self) -> dory_core::Result<dory_core::ports::SnapshotReport> {
        let _ = self.release.send(());
        self.backup.await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restic_prunes_nothing_while_dory_backs_up() {
    if !has_restic() {
        return;
    }
    let place = Place::new().await;
    let source = place.folder("source");
    fs::write(source.join("large"), noise(3 << 20, 1)).unwrap();
    let first = place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();
    let Some(held) = hold(&place, &source).await else { return };
    // What the backup under way relies on belongs to no snapshot any more.
    let forgotten = restic(&place, &["forget", first.snapshot.as_str(), "--prune"]);
    assert!(!forgotten.status.success() && said(&forgotten).contains("locked"), "{}", said(&forgotten));
    assert!(said(&forgotten).contains("dory"), "who holds it: {}", said(&forgotten));
    held.let_go().await.unwrap();

    assert!(locks(&place).is_empty(), "the lock is gone");
    let pruned = restic(&place, &["forget", first.snapshot.as_str(), "--prune"]);
    assert!(pruned.status.success(), "{}", said(&pruned));
    assert!(place.repository.verify(VerifyDepth::Data).await.unwrap().faults.is_empty());
}

/// As [`restic_prunes_nothing_while_dory_backs_up`], but by somebody who heeds no lock: then the backup must not say
/// that all is well.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_whose_data_was_removed_beside_it_fails_and_the_next_is_whole() {
    let place = Place::new().await;
    let source = place.folder("source");
    fs::write(source.join("large"), noise(3 << 20, 1)).unwrap();
    place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();
    let Some(held) = hold(&place, &source).await else { return };
    for pack in files_below(&place.files().join("data")) {
        fs::remove_file(pack).unwrap();
    }
    let error = held.let_go().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    assert!(error.hint().is_some());
    assert_eq!(place.repository.list_snapshots().await.unwrap().len(), 1, "no snapshot of what is not there");
    is_whole_again(&place, &source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_before_is_stored_anew() {
    for cut_short in [false, true] {
        let place = Place::new().await;
        let source = place.folder("source");
        fs::write(source.join("large"), noise(3 << 20, 1)).unwrap();
        place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();
        for pack in files_below(&place.files().join("data")) {
            match cut_short {
                true => fs::File::options().write(true).open(pack).unwrap().set_len(100).unwrap(),
                false => fs::remove_file(pack).unwrap(),
            }
        }
        is_whole_again(&place, &source).await;
    }
}

async fn is_whole_again(place: &Place, source: &Path) {
    let snapshots = place.repository.list_snapshots().await.unwrap();
    let mut request = reading(source);
    request.parent = snapshots.last().map(|snapshot| snapshot.id.clone());
    let again = place.repository.backup(&request, &Events::ignored()).await.unwrap();
    assert!(again.stored_bytes > 3 << 20, "{again:?}");
    let target = place.folder("target");
    place.repository.restore(&writing(&again.snapshot, &target), &Events::ignored()).await.unwrap();
    assert_eq!(fs::read(target.join("large")).unwrap(), noise(3 << 20, 1));
}

/// Lets restic prune until it has its lock, and kills it: restic waits a moment after locking.
fn lock_of_a_killed_prune(place: &Place) -> PathBuf {
    let mut prune = Command::new("restic")
        .args(["--no-cache", "prune"])
        .env("RESTIC_REPOSITORY", place.files())
        .env("RESTIC_PASSWORD", PASSWORD)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let lock = loop {
        // Before it has its whole name, it is not there yet.
        if let Some(lock) = locks(place).into_iter().find(|lock| lock.file_name().is_some_and(|name| name.len() == 64))
        {
            break lock;
        }
        assert!(prune.try_wait().unwrap().is_none(), "restic was done before it was seen");
        thread::sleep(Duration::from_millis(5));
    };
    prune.kill().unwrap();
    prune.wait().unwrap();
    assert!(lock.exists(), "restic removed it");
    lock
}

#[tokio::test(flavor = "multi_thread")]
async fn dory_gives_way_to_who_has_the_repository_for_themselves() {
    if !has_restic() {
        return;
    }
    let place = Place::new().await;
    let source = place.folder("source");
    fs::write(source.join("file"), "x").unwrap();
    let first = place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();

    let lock = lock_of_a_killed_prune(&place);
    let events = Events::ignored();
    for refused in [
        place.repository.backup(&reading(&source), &events).await.map(drop),
        place.repository.restore(&writing(&first.snapshot, &place.folder("target")), &events).await.map(drop),
        engine().open(&place.spec, OpenMode::CreateIfMissing).await.map(drop),
        place.repository.prune().await.map(drop),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
        assert!(error.hint().unwrap().contains("restic unlock"), "{error:?}");
    }
    assert_eq!(locks(&place), std::slice::from_ref(&lock), "only theirs is left");
    place.repository.list_snapshots().await.unwrap();
    fs::remove_file(lock).unwrap();
    place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();
}
