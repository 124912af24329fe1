//! What Dory writes, restic itself reads; what restic writes, Dory reads.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use dory_core::domain::entry_path::EntryPath;
use dory_core::domain::id::DumpName;
use dory_core::ports::{BackupEngine, DumpRequest, Events, OpenMode, RepositorySpec, VerifyDepth};
use dory_testkit::fixtures::{Aspects, diff_trees, make_every_inode, noise, snapshot_tree};
use dory_testkit::live::or_skip;
use rustix::fs::lremovexattr;

use super::{PASSWORD, Place, engine, listening, reading, writing};

/// restic keeps no sockets, and before version 0.15 no holes.
const RESTICS: Aspects = Aspects { holes: false, sockets: false, ..Aspects::ALL };

/// Every inode, but for what older versions of restic keep no better: a link's own attributes, and targets of links that
/// are not UTF-8.
fn make_inodes_that_restic_keeps(at: &Path) {
    make_every_inode(at);
    let links = at.join("links");
    let time = fs::metadata(&links).unwrap().modified().unwrap();
    fs::remove_file(links.join("odd-target")).unwrap();
    // Only root has made it.
    let _ = lremovexattr(links.join("absolute"), "trusted.on-a-link");
    fs::File::open(&links).unwrap().set_modified(time).unwrap();
}

struct Restic<'a> {
    place: &'a Place,
}

impl<'a> Restic<'a> {
    fn on(place: &'a Place) -> Option<Self> {
        let found = Command::new("restic").arg("version").output().is_ok_and(|output| output.status.success());
        or_skip("restic", found.then_some(Self { place }))
    }

    /// Runs restic in the place's folder, fails if it fails, and gives what it printed.
    fn run(&self, arguments: &[impl AsRef<OsStr>]) -> String {
        let output = Command::new("restic")
            .args(arguments)
            .current_dir(self.place.dir.path())
            .env("RESTIC_REPOSITORY", self.place.files())
            .env("RESTIC_PASSWORD", PASSWORD)
            .env("RESTIC_CACHE_DIR", self.place.folder("cache"))
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(output.status.success(), "{}\n{}", text[0], text[1]);
        text[0].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restic_lists_checks_and_restores_what_dory_wrote() {
    let place = Place::new().await;
    let Some(restic) = Restic::on(&place) else { return };
    let source = place.folder("source");
    make_inodes_that_restic_keeps(&source);
    let first = place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();
    fs::write(source.join("plain.txt"), "changed").unwrap();
    let mut again = reading(&source);
    again.parent = Some(first.snapshot.clone());
    let second = place.repository.backup(&again, &Events::ignored()).await.unwrap();

    let listed: serde_json::Value = serde_json::from_str(&restic.run(&["snapshots", "--json"])).unwrap();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 2, "{listed:?}");
    let newest = listed.iter().find(|snapshot| snapshot["id"] == second.snapshot.as_str()).unwrap();
    assert_eq!(newest["hostname"], "host-1");
    assert_eq!(newest["tags"], serde_json::json!(["point-1", "shop, db"]));
    assert_eq!(newest["paths"], serde_json::json!(["/backup/data"]));
    assert_eq!(newest["parent"], first.snapshot.as_str());
    assert!(newest["time"].as_str().unwrap().starts_with("2025-02-19T21:20:00"), "{newest}");

    restic.run(&["check", "--read-data"]);
    restic.run(&["restore", second.snapshot.as_str(), "--target", "restored"]);
    let (before, after) = (snapshot_tree(&source), snapshot_tree(&place.dir.path().join("restored/backup/data")));
    let differences = diff_trees(&before, &after, RESTICS);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// A probe proves that the repository can be written to. It goes at once, and disturbs nobody where it cannot.
#[tokio::test(flavor = "multi_thread")]
async fn restic_passes_over_what_proves_that_a_store_can_be_written_to() {
    let place = Place::new().await;
    let Some(restic) = Restic::on(&place) else { return };
    engine().open(&place.spec, OpenMode::CreateIfMissing).await.unwrap();
    let locks = place.files().join("locks");
    assert_eq!(fs::read_dir(&locks).unwrap().count(), 0, "the probe is gone");

    let probe = locks.join("dory-probe");
    fs::write(&probe, "left behind").unwrap();
    let source = place.folder("source");
    fs::write(source.join("file"), "x").unwrap();
    restic.run(&["backup", "source"]);
    restic.run(&["check", "--read-data"]);
    restic.run(&["forget", "--keep-last", "1", "--prune"]);
    restic.run(&["unlock"]);
    assert!(restic.run(&["list", "locks"]).trim().is_empty());
    assert!(probe.exists(), "it was there all the time");
    assert_eq!(place.repository.list_snapshots().await.unwrap().len(), 1);
    engine().open(&place.spec, OpenMode::CreateIfMissing).await.unwrap();
    assert!(!probe.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn restic_checks_prunes_and_restores_dumps() {
    let place = Place::new().await;
    let Some(restic) = Restic::on(&place) else { return };
    let source = place.folder("source");
    fs::write(source.join("file"), "x").unwrap();
    let contents = noise(5 << 20, 1);
    let request = DumpRequest { name: DumpName::parse("shop.sql").unwrap(), scratch: None };
    place.repository.take_dump(&request, &mut contents.as_slice(), &Events::ignored()).await.unwrap();
    place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();
    assert!(restic.run(&["ls", "-l", "latest"]).contains(&format!("{}", contents.len())), "it has its length");
    restic.run(&["check", "--read-data"]);
    // What was stored on the way to it, and no snapshot needs, goes; it stays.
    restic.run(&["prune"]);
    restic.run(&["check", "--read-data"]);
    restic.run(&["restore", "latest", "--target", "restored"]);
    let restored = fs::read(place.dir.path().join("restored/backup/dumps/shop.sql")).unwrap();
    assert!(restored == contents, "{} bytes came back", restored.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn dory_restores_what_restic_wrote() {
    let place = Place::new().await;
    let Some(restic) = Restic::on(&place) else { return };
    fs::remove_dir_all(place.files()).unwrap();
    restic.run(&["init", "--repository-version", "2"]);
    let source = place.folder("backup/data");
    make_inodes_that_restic_keeps(&source);
    restic.run(&["backup", "backup/data", "--tag", "by-restic"]);

    let repository = engine().open(&place.spec, OpenMode::Existing).await.unwrap();
    let snapshots = repository.list_snapshots().await.unwrap();
    assert_eq!(snapshots[0].tags, ["by-restic"]);
    let target = place.folder("target");
    let (events, warnings) = listening();
    repository.restore(&writing(&snapshots[0].id, &target), &events).await.unwrap();
    assert!(warnings.lock().unwrap().is_empty(), "{warnings:?}");
    let differences = diff_trees(&snapshot_tree(&source), &snapshot_tree(&target), RESTICS);
    assert!(differences.is_empty(), "{}", differences.join("\n"));

    let mut contents = Vec::new();
    let path = EntryPath::new("data/plain.txt");
    repository.read_file(&snapshots[0].id, &path, &mut contents).await.unwrap();
    assert_eq!(contents, b"hello\n");
    assert!(repository.verify(VerifyDepth::Data).await.unwrap().faults.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn both_share_a_repository_and_its_data() {
    let place = Place::new().await;
    let Some(restic) = Restic::on(&place) else { return };
    let source = place.folder("backup/data");
    fs::write(source.join("large"), noise(5 << 20, 1)).unwrap();
    place.repository.backup(&reading(&source), &Events::ignored()).await.unwrap();
    let before = bytes_in(&place.files());
    restic.run(&["backup", "backup/data"]);
    assert!(bytes_in(&place.files()) - before < 100_000, "restic cut the same contents otherwise");

    let forgotten = place.repository.list_snapshots().await.unwrap();
    place.repository.forget(&[forgotten[0].id.clone()]).await.unwrap();
    place.repository.prune().await.unwrap();
    restic.run(&["check", "--read-data"]);
    restic.run(&["prune", "--max-unused", "0"]);
    let report = place.repository.verify(VerifyDepth::Data).await.unwrap();
    assert!(report.faults.is_empty(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_password_that_restic_added_opens_it_too() {
    let place = Place::new().await;
    let Some(restic) = Restic::on(&place) else { return };
    fs::write(place.dir.path().join("new-password"), "another").unwrap();
    restic.run(&["key", "add", "--new-password-file", "new-password"]);
    let mut spec = place.spec.clone();
    spec.password = Some(dory_core::domain::secret::Secret::new("another"));
    engine().open(&spec, OpenMode::Existing).await.unwrap();
    engine().open(&place.spec, OpenMode::Existing).await.unwrap();
    assert_eq!(fs::read_dir(place.files().join("keys")).unwrap().count(), 2, "no key may be lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn restic_opens_without_a_password_what_was_made_without_one() {
    let place = Place::new().await;
    let Some(restic) = Restic::on(&place) else { return };
    let able = restic.run(&["backup", "--help"]).contains("--insecure-no-password");
    if or_skip("restic 0.17", able.then_some(())).is_none() {
        return;
    }
    fs::remove_dir_all(place.files()).unwrap();
    let spec = RepositorySpec { password: None, ..place.spec.clone() };
    let repository = engine().open(&spec, OpenMode::CreateIfMissing).await.unwrap();
    let source = place.folder("source");
    fs::write(source.join("file"), "in the clear").unwrap();
    let report = repository.backup(&reading(&source), &Events::ignored()).await.unwrap();

    let read = Command::new("restic")
        .args(["--insecure-no-password", "--no-cache", "dump", report.snapshot.as_str(), "/backup/data/file"])
        .env_remove("RESTIC_PASSWORD")
        .env("RESTIC_REPOSITORY", place.files())
        .output()
        .unwrap();
    assert_eq!(read.stdout, b"in the clear", "{}", String::from_utf8_lossy(&read.stderr));
}

fn bytes_in(folder: &Path) -> u64 {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => bytes_in(&entry.path()),
            false => entry.metadata().unwrap().len(),
        })
        .sum()
}
