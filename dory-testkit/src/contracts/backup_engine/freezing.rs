//! Promises about hot and cold passes: the point holds what was there at the freeze, whatever happened before or after.

use std::fs::{self, FileTimes, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dory_core::domain::entry_path::EntryPath;
use dory_core::error::ErrorKind;
use dory_core::ports::{FreezeReport, OpenMode, SnapshotReport, SnapshotRequest, VerifyDepth, WarmReport};

use super::Subject;
use super::scene::Scene;
use crate::fixtures::{make_every_inode, noise};

/// A file of many blocks, of which one byte is about to change.
const LARGE: usize = (3 << 20) + 123;

/// One run: a scene with a folder, and what the engine is asked to do with it.
struct Run {
    scene: Scene,
    request: SnapshotRequest,
}

impl Run {
    /// `None` for an engine that has no such passes, and says so.
    async fn begin(subject: Subject) -> Option<Self> {
        let freezes = subject.engine.freezes(&subject.repository.options);
        let scene = Scene::open(subject).await;
        let request = Self::request(&scene);
        if !freezes {
            let error = scene.repository.warm(&request, &scene.events()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
            return None;
        }
        Some(Self { scene, request })
    }

    fn request(scene: &Scene) -> SnapshotRequest {
        let mut request = scene.request(&[("data", &scene.folder("source"))]);
        request.scratch = Some(scene.folder("scratch"));
        request
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scene.folder("source").join(name)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), contents).unwrap();
    }

    async fn warm(&self) -> WarmReport {
        self.scene.repository.warm(&self.request, &self.scene.events()).await.unwrap()
    }

    /// Freezes, and keeps a copy of what is there at that moment.
    async fn freeze(&self) -> FreezeReport {
        let report = self.scene.repository.freeze(&self.scene.events()).await.unwrap();
        let lost: Vec<_> = self.scene.warnings().into_iter().filter(|warning| warning.kind.loses_data()).collect();
        assert!(lost.is_empty(), "{lost:?}");
        let copy = self.scene.folder("copy");
        fs::remove_dir_all(&copy).unwrap();
        let done = std::process::Command::new("cp").arg("-a").arg(self.path("")).arg(&copy).status().unwrap();
        assert!(done.success());
        report
    }

    /// Makes the snapshot and fails unless it is what was frozen.
    async fn finish(&self) -> SnapshotReport {
        let report = self.scene.try_backup(&self.request).await.unwrap();
        let target = self.scene.folder("target");
        self.scene.restore(&report, &[("data", &target)]).await;
        self.scene.assert_same(&self.scene.folder("copy"), &target);
        let verified = self.scene.repository.verify(VerifyDepth::Data).await.unwrap();
        assert_eq!(verified.faults, Vec::<String>::new());
        report
    }
}

/// A hot pass stores, makes no snapshot, and leaves a sound repository, whoever opens it next.
pub async fn a_hot_pass_alone_leaves_no_snapshot(subject: Subject) {
    let Some(run) = Run::begin(subject).await else { return };
    run.write("file", noise(LARGE, 1));
    let report = run.warm().await;
    assert!(report.stored_bytes >= LARGE as u64, "{report:?}");
    let Scene { subject, repository, .. } = &run.scene;
    let opened = subject.engine.open(&subject.repository, OpenMode::Existing).await.unwrap();
    for repository in [repository, &opened] {
        assert!(repository.list_snapshots().await.unwrap().is_empty());
        assert_eq!(repository.verify(VerifyDepth::Data).await.unwrap().faults, Vec::<String>::new());
    }
}

/// Every kind of inode comes back from a freeze as from any backup.
pub async fn a_frozen_tree_equals_its_source(subject: Subject) {
    let Some(run) = Run::begin(subject).await else { return };
    make_every_inode(&run.path(""));
    run.warm().await;
    run.scene.repository.freeze(&run.scene.events()).await.unwrap();
    let report = run.scene.try_backup(&run.request).await.unwrap();
    let target = run.scene.folder("target");
    run.scene.restore(&report, &[("data", &target)]).await;
    run.scene.assert_same(&run.path(""), &target);
    assert_eq!(run.scene.repository.list_snapshots().await.unwrap().len(), 1);
}

/// Where nothing changed, nothing is copied.
pub async fn a_freeze_without_a_change_copies_nothing(subject: Subject) {
    let Some(run) = Run::begin(subject).await else { return };
    run.write("large", noise(LARGE, 1));
    run.write("small", "small");
    run.warm().await;
    let report = run.freeze().await;
    assert_eq!((report.copied_bytes, report.files), (0, 3), "{report:?}");
    let report = run.finish().await;
    assert_eq!((report.files, report.files_changed, report.bytes), (3, 2, LARGE as u64 + 5), "{report:?}");
}

/// What is written after the freeze is not in the point, however it is written.
pub async fn what_happens_after_a_freeze_is_not_in_it(subject: Subject) {
    let Some(run) = Run::begin(subject).await else { return };
    for name in ["written", "truncated", "renamed", "deleted", "closed", "replaced", "folder/inside", "grown", "kept"] {
        run.write(name, noise(LARGE, name.len() as u64));
    }
    symlink("written", run.path("link")).unwrap();
    run.warm().await;
    // One byte of each, so that most of each is read again from where it was.
    for name in ["written", "truncated", "renamed", "deleted", "closed", "replaced", "folder/inside", "grown"] {
        let file = fs::File::options().write(true).open(run.path(name)).unwrap();
        file.write_all_at(b"!", (LARGE / 2) as u64).unwrap();
    }
    run.freeze().await;
    run.write("written", noise(LARGE, 99));
    fs::File::options().write(true).open(run.path("truncated")).unwrap().set_len(1000).unwrap();
    fs::rename(run.path("renamed"), run.path("moved")).unwrap();
    fs::remove_file(run.path("deleted")).unwrap();
    fs::set_permissions(run.path("closed"), Permissions::from_mode(0o400)).unwrap();
    run.write("new", noise(LARGE, 98));
    fs::rename(run.path("new"), run.path("replaced")).unwrap();
    fs::remove_dir_all(run.path("folder")).unwrap();
    run.write("folder", "a file now");
    let grown = fs::File::options().write(true).open(run.path("grown")).unwrap();
    grown.write_all_at(&noise(5000, 97), LARGE as u64).unwrap();
    fs::remove_file(run.path("link")).unwrap();
    symlink("/etc/passwd", run.path("link")).unwrap();
    run.finish().await;
}

/// What changes between the passes is in the point as it was at the freeze.
pub async fn what_happens_between_the_passes_is_in_it(subject: Subject) {
    let Some(run) = Run::begin(subject).await else { return };
    for name in ["changed", "shrunk", "grown", "gone", "replaced", "moved", "dir/inside", "other-mode"] {
        run.write(name, noise(LARGE, name.len() as u64));
    }
    run.write("small", "before");
    fs::hard_link(run.path("changed"), run.path("same")).unwrap();
    run.warm().await;
    let open = |name: &str| fs::File::options().write(true).open(run.path(name)).unwrap();
    open("changed").write_all_at(b"one byte", 1 << 20).unwrap();
    open("shrunk").set_len(100_000).unwrap();
    open("grown").write_all_at(b"end", LARGE as u64 + 100_000).unwrap();
    fs::remove_file(run.path("gone")).unwrap();
    run.write("new", noise(LARGE, 50));
    fs::rename(run.path("new"), run.path("replaced")).unwrap();
    fs::rename(run.path("moved"), run.path("elsewhere")).unwrap();
    fs::rename(run.path("dir"), run.path("renamed-dir")).unwrap();
    run.write("new-dir/deep/file", "new");
    run.write("small", "after!");
    fs::set_permissions(run.path("other-mode"), Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(run.path("small"), run.path("small-again")).unwrap();
    let sparse = fs::File::create(run.path("sparse")).unwrap();
    sparse.set_len(8 << 20).unwrap();
    sparse.write_all_at(b"in the middle", 4 << 20).unwrap();
    if run.scene.subject.aspects.extended_attributes {
        rustix::fs::setxattr(run.path("grown"), "user.dory", b"set", rustix::fs::XattrFlags::empty()).unwrap();
    }
    let report = run.freeze().await;
    assert!(report.copied_bytes + report.cloned_bytes > 0, "{report:?}");
    run.finish().await;
}

/// A change that leaves size and time of writing as they were is found all the same.
pub async fn a_change_behind_restored_times_is_found(subject: Subject) {
    let Some(run) = Run::begin(subject).await else { return };
    for name in ["large", "small"] {
        run.write(name, noise(if name == "large" { LARGE } else { 10 }, 1));
    }
    run.warm().await;
    for name in ["large", "small"] {
        let before = fs::metadata(run.path(name)).unwrap();
        let file = fs::File::options().write(true).open(run.path(name)).unwrap();
        file.write_all_at(b"x", 5).unwrap();
        let times = FileTimes::new().set_modified(before.modified().unwrap()).set_accessed(before.accessed().unwrap());
        file.set_times(times).unwrap();
        assert_eq!(fs::metadata(run.path(name)).unwrap().mtime(), before.mtime());
    }
    run.freeze().await;
    run.finish().await;
}

/// Passes may be repeated; each sees what the one before did not, and the last freeze counts.
pub async fn passes_may_be_repeated(subject: Subject) {
    let Some(run) = Run::begin(subject).await else { return };
    for round in 0..3_u64 {
        run.write("large", noise(LARGE, round));
        run.write(&format!("round-{round}"), noise(100, round));
        run.warm().await;
    }
    run.write("large", noise(LARGE, 10));
    run.freeze().await;
    run.write("large", noise(LARGE, 11));
    run.freeze().await;
    run.write("large", noise(LARGE, 12));
    let first = run.finish().await;

    // And so the next run, compared with this one.
    let mut next = Run { request: Run::request(&run.scene), scene: run.scene };
    next.request.parent = Some(first.snapshot.clone());
    next.warm().await;
    next.write("round-0", "changed");
    next.freeze().await;
    let second = next.finish().await;
    assert!(second.files_changed >= 2, "{second:?}");
    let large = next.scene.read(&first, &EntryPath::new("data/large")).await;
    assert!(large == noise(LARGE, 11), "the first point is what it was");
}

/// What is written while a hot pass reads it is right at the freeze.
pub async fn a_file_that_changes_during_a_hot_pass_is_right(subject: Subject) {
    let Some(run) = Run::begin(subject).await else { return };
    let names: Vec<_> = (0..20).map(|number| format!("file-{number}")).collect();
    for name in &names {
        run.write(name, noise(LARGE, 1));
    }
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (done, paths) = (Arc::clone(&done), names.iter().map(|name| run.path(name)).collect::<Vec<_>>());
        std::thread::spawn(move || {
            let mut byte = 0_u8;
            while !done.load(Ordering::Relaxed) {
                for path in &paths {
                    byte = byte.wrapping_add(1);
                    scribble(path, byte);
                }
            }
        })
    };
    run.warm().await;
    run.warm().await;
    done.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    run.freeze().await;
    for name in &names {
        scribble(&run.path(name), 255);
    }
    run.finish().await;
}

fn scribble(path: &Path, byte: u8) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(&[byte; 100], u64::from(byte) * 10_000).unwrap();
}

/// A freeze needs a hot pass before it, and a snapshot needs the same sources.
pub async fn a_freeze_is_of_what_was_read_ahead(subject: Subject) {
    let Some(run) = Run::begin(subject).await else { return };
    run.write("file", "x");
    let error = run.scene.repository.freeze(&run.scene.events()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
    let homeless = SnapshotRequest { scratch: None, ..run.request.clone() };
    let error = run.scene.repository.warm(&homeless, &run.scene.events()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
    run.warm().await;
    run.freeze().await;
    let other = run.scene.request(&[("other", &run.path(""))]);
    let error = run.scene.try_backup(&other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
    run.finish().await;
    run.write("file", "y");
    let plain = run.scene.try_backup(&run.request).await.unwrap();
    let read = run.scene.read(&plain, &EntryPath::new("data/file")).await;
    assert_eq!(read, b"y", "what was frozen is let go once it is stored");
}
