//! Stores that cannot be used: said before anything is stopped, with the store's name and what to do.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use dory_testkit::gcs::GcsServer;

use crate::bench::Bench;

fn untouched(bench: &Bench, steps: impl FnOnce(&Bench)) {
    let before = bench.started_at();
    steps(bench);
    assert_eq!(bench.started_at(), before, "the container was stopped");
    assert!(bench.runs());
    bench.wait_until_helpers_are_gone();
}

/// The variables of a store in Google Cloud Storage's stand-in.
fn gcs<'a>(endpoint: &'a str, store: &'a str) -> [(&'static str, &'a str); 4] {
    [
        ("DORY_STORE", store),
        ("DORY_STORE_ENDPOINT", endpoint),
        ("GS_ACCESS_KEY", "GOOGDORYTESTKEY"),
        ("GS_SECRET_ACCESS_KEY", "dory/test+secret"),
    ]
}

#[test]
fn a_store_that_cannot_be_reached() {
    let Some(bench) = Bench::start() else { return };
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{closed}");
    untouched(&bench, |bench| {
        let ran = bench.dory_with(&gcs(&endpoint, "gs://dory/x"), &["backup", &bench.name]);
        ran.was_refused(8, &[&closed.to_string(), "cannot be reached"]);
    });
}

#[test]
fn a_bucket_that_is_not_there() {
    let Some(bench) = Bench::start() else { return };
    let server = GcsServer::start();
    untouched(&bench, |bench| {
        let ran = bench.dory_with(&gcs(&server.url(), "gs://elsewhere/x"), &["backup", &bench.name]);
        ran.was_refused(4, &["gs://elsewhere/x", "the bucket does not exist", "hint:", "dory init"]);
    });
}

#[test]
fn a_bucket_that_may_only_be_read() {
    let Some(bench) = Bench::start() else { return };
    let server = GcsServer::start();
    let (url, store) = (server.url(), "gs://dory/x");
    server.set_read_only(true);
    untouched(&bench, |bench| {
        let ran = bench.dory_with(&gcs(&url, store), &["backup", &bench.name]);
        ran.was_refused(6, &[store, "hint:", "GS_ACCESS_KEY"]);
    });
    // It may change under a backup that is there.
    server.set_read_only(false);
    bench.dory_with(&gcs(&url, store), &["backup", &bench.name]).succeeded();
    server.set_read_only(true);
    untouched(&bench, |bench| {
        bench.dory_with(&gcs(&url, store), &["backup", &bench.name]).was_refused(6, &[store, "hint:", "GS_ACCESS_KEY"]);
    });
}

#[test]
fn a_folder_that_may_only_be_read() {
    let Some(bench) = Bench::start() else { return };
    let Some(disk) = Disk::mount(bench.store()) else { return };
    bench.dory(&["backup", &bench.name]).succeeded();
    disk.remount("ro");
    untouched(&bench, |bench| {
        bench.dory(&["backup", &bench.name]).was_refused(6, &["hint:"]);
        assert_eq!(bench.points().len(), 1, "reading goes on");
        let doctor = bench.dory(&["doctor"]);
        assert_eq!(doctor.code, Some(6), "{doctor:#?}");
        assert!(doctor.stdout.contains("FAILED  writing") && doctor.stdout.contains("read-only"), "{doctor:#?}");
        bench.dory(&["restore", &bench.name, "--yes"]).was_refused(6, &["hint:", "--no-safety"]);
    });
    bench.dory(&["restore", &bench.name, "--yes", "--no-safety"]).succeeded();
}

/// The catalog can be written to, and says nothing of the data beside it.
#[test]
fn a_data_folder_that_may_only_be_read() {
    let Some(bench) = Bench::start() else { return };
    let Some(disk) = Disk::mount(bench.store().join("data")) else { return };
    for points in 0..2 {
        disk.remount("ro");
        untouched(&bench, |bench| {
            bench.dory(&["backup", &bench.name]).was_refused(6, &["read-only", "hint:"]);
        });
        disk.remount("rw");
        bench.dory(&["backup", &bench.name]).succeeded();
        assert_eq!(bench.points().len(), points + 1);
    }
}

#[test]
fn a_disk_that_is_full() {
    let Some(bench) = Bench::start() else { return };
    let Some(disk) = Disk::mount(bench.store()) else { return };
    bench.dory(&["backup", &bench.name]).succeeded();
    disk.fill();
    untouched(&bench, |bench| {
        bench.dory(&["backup", &bench.name]).was_refused(10, &["space", "hint:"]);
        assert_eq!(bench.points().len(), 1, "reading goes on");
    });
}

#[test]
fn a_damaged_document_is_named_and_the_others_work() {
    let Some(bench) = Bench::start() else { return };
    bench.dory(&["backup", &bench.name]).succeeded();
    let damaged = bench.store().join("backups/broken-0123456789ab.json");
    assert!(damaged.parent().unwrap().is_dir(), "the store is laid out otherwise");
    std::fs::write(&damaged, "{ no").unwrap();
    let ran = bench.dory(&["list"]).was_refused(9, &["broken-0123456789ab", "damaged", "hint:"]);
    assert!(ran.stdout.contains(&bench.name), "{ran:#?}");
    bench.dory(&["show", &bench.name]).succeeded();
    bench.dory(&["backup", &bench.name]).succeeded();
    assert_eq!(bench.points().len(), 2);
}

/// A small disk of its own, in memory.
struct Disk(PathBuf);

impl Disk {
    /// `None` where this user may not mount.
    fn mount(place: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&place).unwrap();
        let mounted = mount(&["-t", "tmpfs", "-o", "size=4m", "dory-test"], &place);
        dory_testkit::live::or_skip("mount", mounted.then(|| Self(place)))
    }

    fn remount(&self, option: &str) {
        assert!(mount(&["-o", &format!("remount,{option}")], &self.0));
    }

    /// Leaves not a byte.
    fn fill(&self) {
        let error = std::fs::write(self.0.join("filler"), vec![1; 8 << 20]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

fn mount(arguments: &[&str], place: &Path) -> bool {
    Command::new("mount").args(arguments).arg(place).output().is_ok_and(|output| output.status.success())
}
