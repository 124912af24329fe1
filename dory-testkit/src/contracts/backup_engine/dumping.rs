//! Promises about dumps: streams that become files of the next snapshot, whole or not at all.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use dory_core::domain::entry_path::EntryPath;
use dory_core::error::ErrorKind;
use dory_core::ports::{SnapshotReport, VerifyDepth};
use tokio::io::{AsyncRead, ReadBuf};

use super::Subject;
use super::scene::{Scene, paths};
use crate::fixtures::noise;

/// A dump of several chunks.
const LARGE: usize = (6 << 20) + 12_345;

/// A scene with two mounts, one on each side of the dumps by name.
struct Dumped {
    scene: Scene,
    mounts: Vec<(&'static str, PathBuf)>,
}

impl Dumped {
    async fn open(subject: Subject) -> Self {
        let scene = Scene::open(subject).await;
        let mounts = ["alpha", "zeta"].map(|key| (key, scene.folder(key)));
        for (key, folder) in &mounts {
            fs::write(folder.join("file"), format!("of {key}")).unwrap();
        }
        Self { scene, mounts: mounts.into() }
    }

    fn request(&self) -> dory_core::ports::SnapshotRequest {
        let mounts: Vec<_> = self.mounts.iter().map(|(key, path)| (*key, path.as_path())).collect();
        let mut request = self.scene.request(&mounts);
        // What is asked for by itself is not left out by a pattern.
        request.exclude = vec!["*.sql".to_owned(), "postgres*".to_owned()];
        request.scratch = Some(self.scene.folder("scratch"));
        request
    }

    async fn dump(&self, name: &str, contents: &[u8]) {
        let length = self.scene.try_dump(name, &mut &*contents).await.unwrap();
        assert_eq!(length, contents.len() as u64);
    }

    /// Fails unless the snapshot holds just these dumps beside the mounts, byte for byte, and is sound.
    async fn holds(&self, report: &SnapshotReport, dumps: &[(&str, &[u8])]) {
        let scene = &self.scene;
        let mut listed = paths(&scene.list(report, "", false).await);
        listed.retain(|path| path != "dumps");
        assert_eq!(listed, self.mounts.iter().map(|(key, _)| *key).collect::<Vec<_>>());
        if dumps.is_empty() {
            assert!(!paths(&scene.list(report, "", false).await).contains(&"dumps".to_owned()));
        } else {
            let entries = scene.list(report, "dumps", false).await;
            let expected: Vec<_> = dumps.iter().map(|(name, _)| format!("dumps/{name}")).collect();
            assert_eq!(paths(&entries), expected);
            for (entry, (name, contents)) in entries.iter().zip(dumps) {
                assert!(entry.bytes.is_none_or(|bytes| bytes == contents.len() as u64), "{name}: {entry:?}");
                let read = scene.read(report, &EntryPath::new(format!("dumps/{name}"))).await;
                assert!(read == *contents, "{name} came back otherwise, {} bytes", read.len());
            }
            scene.check_restorable(report, &["dumps"]).await.unwrap();
        }
        for (key, folder) in &self.mounts {
            let target = scene.nowhere("target");
            let _ = fs::remove_dir_all(&target);
            scene.restore(report, &[(key, &target)]).await;
            scene.assert_same(folder, &target);
        }
        let verified = scene.repository.verify(VerifyDepth::Data).await.unwrap();
        assert_eq!(verified.faults, Vec::<String>::new());
    }
}

/// Dumps are in the snapshot that follows, beside its mounts, and in none after it.
pub async fn dumps_are_files_of_the_next_snapshot_alone(subject: Subject) {
    let dumped = Dumped::open(subject).await;
    let (large, small) = (noise(LARGE, 1), b"select 1;".to_vec());
    dumped.dump("postgres.sql", &large).await;
    dumped.dump("empty", b"").await;
    dumped.dump("a.sql", &small).await;
    let first = dumped.scene.try_backup(&dumped.request()).await.unwrap();
    assert!(first.bytes > large.len() as u64 && first.stored_bytes > large.len() as u64, "{first:?}");
    assert!(first.mounts.iter().all(|size| size.key.as_str() != "dumps"), "it is no mount: {first:?}");
    dumped.holds(&first, &[("a.sql", &small), ("empty", b""), ("postgres.sql", &large)]).await;

    let mut request = dumped.request();
    request.parent = Some(first.snapshot.clone());
    let second = dumped.scene.try_backup(&request).await.unwrap();
    dumped.holds(&second, &[]).await;

    // Beside a parent, and beside one that is gone.
    dumped.dump("postgres.sql", &small).await;
    request.parent = Some(first.snapshot.clone());
    let third = dumped.scene.try_backup(&request).await.unwrap();
    dumped.holds(&third, &[("postgres.sql", &small)]).await;
    dumped.dump("postgres.sql", &large).await;
    request.parent = Some(dory_core::domain::id::SnapshotId::parse("ab".repeat(32)).unwrap());
    let fourth = dumped.scene.try_backup(&request).await.unwrap();
    dumped.holds(&fourth, &[("postgres.sql", &large)]).await;
}

/// Dumps are taken before anything is read ahead, and are in what was frozen after it.
pub async fn a_frozen_snapshot_holds_dumps_too(subject: Subject) {
    if !subject.engine.freezes(&subject.repository.options) {
        return;
    }
    let dumped = Dumped::open(subject).await;
    let contents = noise(LARGE / 4, 2);
    dumped.dump("postgres.sql", &contents).await;
    let (request, repository) = (dumped.request(), &dumped.scene.repository);
    repository.warm(&request, &dumped.scene.events()).await.unwrap();
    repository.warm(&request, &dumped.scene.events()).await.unwrap();
    repository.freeze(&dumped.scene.events()).await.unwrap();
    let report = dumped.scene.try_backup(&request).await.unwrap();
    dumped.holds(&report, &[("postgres.sql", &contents)]).await;
}

/// A container without data can have a dump.
pub async fn a_dump_needs_no_mounts(subject: Subject) {
    let dumped = Dumped { scene: Scene::open(subject).await, mounts: Vec::new() };
    dumped.dump("postgres.sql", b"all there is").await;
    let report = dumped.scene.try_backup(&dumped.request()).await.unwrap();
    dumped.holds(&report, &[("postgres.sql", b"all there is")]).await;
}

/// Some bytes, and then an error.
struct BreaksOff(Vec<u8>);

impl AsyncRead for BreaksOff {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.0.is_empty() {
            return Poll::Ready(Err(io::Error::other("the command failed")));
        }
        let length = buf.remaining().min(self.0.len());
        buf.put_slice(&self.0[..length]);
        self.0.drain(..length);
        Poll::Ready(Ok(()))
    }
}

/// A stream that gives an error never becomes part of a snapshot, and hurts nothing else.
pub async fn a_dump_that_breaks_off_is_in_no_snapshot(subject: Subject) {
    let dumped = Dumped::open(subject).await;
    dumped.dump("good", b"whole").await;
    for length in [0, 5, LARGE / 8] {
        let error = dumped.scene.try_dump("bad", &mut BreaksOff(noise(length, 3))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
    }
    let report = dumped.scene.try_backup(&dumped.request()).await.unwrap();
    dumped.holds(&report, &[("good", b"whole")]).await;
    assert_eq!(dumped.scene.repository.list_snapshots().await.unwrap().len(), 1);
}

/// Of two dumps of one name, the later is kept.
pub async fn a_later_dump_of_a_name_takes_its_place(subject: Subject) {
    let dumped = Dumped::open(subject).await;
    dumped.dump("postgres.sql", b"first, and longer").await;
    dumped.dump("postgres.sql", b"second").await;
    let report = dumped.scene.try_backup(&dumped.request()).await.unwrap();
    dumped.holds(&report, &[("postgres.sql", b"second")]).await;
}
