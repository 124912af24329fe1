//! What a walk makes of folders that change beneath it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use proptest::prelude::*;
use rustic_core::{ReadSource, ReadSourceEntry, ReadSourceOpen};

use super::*;
use crate::adapters::restic::progress::Tally;
use crate::domain::event::WarningKind;
use crate::domain::id::MountKey;
use crate::ports::{EngineEvent, Events, MountFolder, SnapshotRequest};

type Told = Arc<Mutex<Vec<(WarningKind, String)>>>;

/// A walk over one folder as the mount `m`, and what it warns of.
struct Walked {
    source: VolumeSource,
    ledger: Ledger,
    told: Told,
}

fn walk(path: &Path) -> Walked {
    let told = Told::default();
    let seen = Arc::clone(&told);
    let events = Events::new(move |event| {
        if let EngineEvent::Warning(warning) = event {
            seen.lock().unwrap().push((warning.kind, warning.path.to_string()));
        }
    });
    let ledger = Ledger::new(Tally::new(), events);
    let request = SnapshotRequest {
        sources: vec![MountFolder { key: MountKey::parse("m").unwrap(), path: path.to_path_buf() }],
        exclude: Vec::new(),
        taken_at: Timestamp::UNIX_EPOCH,
        host: String::new(),
        tags: Vec::new(),
        parent: None,
        scratch: None,
    };
    let source = VolumeSource::new(Mounts::new(&request).unwrap(), ledger.clone(), Arc::new(|| false));
    Walked { source, ledger, told }
}

impl Walked {
    fn entries(&self) -> BTreeMap<PathBuf, ReadSourceEntry<Opener>> {
        self.source.entries().map(|entry| entry.unwrap()).map(|entry| (entry.path.clone(), entry)).collect()
    }

    fn told(&self) -> Vec<(WarningKind, String)> {
        self.told.lock().unwrap().clone()
    }
}

fn read(entry: ReadSourceEntry<Opener>) -> RusticResult<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.open.unwrap().open()?.read_to_end(&mut bytes).unwrap();
    Ok(bytes)
}

#[test]
fn paths_are_logical_and_folders_come_before_what_is_in_them() {
    let dir = tempfile::tempdir().unwrap();
    for path in ["b/x", "b-", "a"] {
        fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
        fs::write(dir.path().join(path), "").unwrap();
    }
    // By way of a link: whoever names a source means what is there.
    let link = dir.path().with_extension("link");
    symlink(dir.path(), &link).unwrap();
    let paths: Vec<_> = walk(&link).source.entries().map(|entry| entry.unwrap().path).collect();
    fs::remove_file(link).unwrap();
    assert_eq!(
        paths,
        ["/backup", "/backup/m", "/backup/m/a", "/backup/m/b", "/backup/m/b/x", "/backup/m/b-"].map(PathBuf::from)
    );
}

#[test]
fn a_file_that_goes_before_its_turn_is_told_and_not_counted() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("goes"), "x").unwrap();
    fs::write(dir.path().join("stays"), "y").unwrap();
    let walked = walk(dir.path());
    let mut entries = walked.entries();
    let before = walked.ledger.kept();
    fs::remove_file(dir.path().join("goes")).unwrap();
    assert!(read(entries.remove(Path::new("/backup/m/goes")).unwrap()).is_err());
    assert_eq!(read(entries.remove(Path::new("/backup/m/stays")).unwrap()).unwrap(), b"y");
    assert_eq!(walked.told(), [(WarningKind::Vanished, "m/goes".to_owned())]);
    assert_eq!(walked.ledger.kept(), before - 1);
}

#[test]
fn a_file_that_became_a_link_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let walked = walk(dir.path());
    let mut entries = walked.entries();
    fs::remove_file(&file).unwrap();
    symlink("/etc/passwd", &file).unwrap();
    assert!(read(entries.remove(Path::new("/backup/m/file")).unwrap()).is_err());
    assert_eq!(walked.told(), [(WarningKind::Unreadable, "m/file".to_owned())]);
}

#[test]
fn a_folder_that_is_swapped_for_a_link_leads_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let (real, elsewhere) = (dir.path().join("tree/folder"), dir.path().join("elsewhere"));
    for folder in [&real, &elsewhere] {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("file"), folder.to_str().unwrap()).unwrap();
    }
    let walked = walk(&dir.path().join("tree"));
    let mut entries = walked.entries();
    fs::rename(&real, dir.path().join("moved")).unwrap();
    symlink(&elsewhere, &real).unwrap();
    let bytes = read(entries.remove(Path::new("/backup/m/folder/file")).unwrap()).unwrap();
    assert_eq!(bytes, real.to_str().unwrap().as_bytes());
}

#[test]
fn a_file_that_grows_is_read_to_the_size_it_had_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log");
    fs::write(&file, vec![b'a'; 300_000]).unwrap();
    let walked = walk(dir.path());
    let mut reader = walked.entries().remove(Path::new("/backup/m/log")).unwrap().open.unwrap().open().unwrap();
    let mut bytes = vec![0; 10];
    reader.read_exact(&mut bytes).unwrap();
    fs::File::options().append(true).open(&file).unwrap().write_all(b"more").unwrap();
    reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, vec![b'a'; 300_000]);
    assert_eq!(walked.told(), [(WarningKind::ChangedWhileRead, "m/log".to_owned())]);
}

#[test]
fn a_file_that_shrinks_ends_early_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log");
    fs::write(&file, vec![b'a'; 600_000]).unwrap();
    let walked = walk(dir.path());
    let mut reader = walked.entries().remove(Path::new("/backup/m/log")).unwrap().open.unwrap().open().unwrap();
    let mut bytes = vec![0; 10];
    reader.read_exact(&mut bytes).unwrap();
    fs::File::options().write(true).open(&file).unwrap().set_len(400_000).unwrap();
    reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), 400_000);
    assert_eq!(walked.told(), [(WarningKind::ChangedWhileRead, "m/log".to_owned())]);
}

#[test]
fn a_file_that_was_replaced_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "old").unwrap();
    let walked = walk(dir.path());
    let mut entries = walked.entries();
    fs::write(dir.path().join("new"), "new").unwrap();
    fs::rename(dir.path().join("new"), &file).unwrap();
    assert_eq!(read(entries.remove(Path::new("/backup/m/file")).unwrap()).unwrap(), b"new");
    assert_eq!(walked.told(), [(WarningKind::ChangedWhileRead, "m/file".to_owned())]);
}

#[test]
fn reading_leaves_the_access_time_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    // Older than the last change: the system would renew it.
    let old = std::time::SystemTime::UNIX_EPOCH;
    fs::File::open(&file).unwrap().set_times(fs::FileTimes::new().set_accessed(old)).unwrap();
    let mut entries = walk(dir.path()).entries();
    read(entries.remove(Path::new("/backup/m/file")).unwrap()).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().accessed().unwrap(), old);
}

#[test]
fn what_changed_a_moment_ago_is_read_again_next_time() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("new"), "x").unwrap();
    let node = |path: &str| walk(dir.path()).entries().remove(Path::new(path)).unwrap().node;
    let new = node("/backup/m/new");
    assert!(new.meta.ctime < Some(Timestamp::UNIX_EPOCH), "no file has such a time, so none is equal to it");
    assert!(new.meta.mtime > Some(Timestamp::UNIX_EPOCH), "what is restored is never falsified");
    let settled = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let old = walk(&settled).entries().remove(Path::new("/backup/m")).unwrap().node;
    let changed = fs::metadata(settled).unwrap().ctime();
    assert_eq!(old.meta.ctime.unwrap().as_second(), changed, "what is older is trusted");
}

#[test]
fn a_folder_that_cannot_be_read_is_kept_as_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::write(closed.join("inside"), "x").unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let hidden = fs::read_dir(&closed).is_err();
    let walked = walk(dir.path());
    let entries = walked.entries();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(entries.contains_key(Path::new("/backup/m/closed")));
    // Root reads it all the same.
    assert_eq!(entries.contains_key(Path::new("/backup/m/closed/inside")), !hidden);
    assert_eq!(walked.told().is_empty(), !hidden);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn holes_read_as_zeros_wherever_they_are(
        stretches in proptest::collection::vec((1_usize..40_000, any::<bool>()), 0..8),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sparse");
        let mut file = fs::File::create(&path).unwrap();
        let mut expected = Vec::new();
        for (length, data) in stretches {
            // Whole blocks, or there is no hole.
            let length = if data { length } else { length * 8 };
            if data {
                file.write_all(&vec![7; length]).unwrap();
            } else {
                file.seek(SeekFrom::Current(length as i64)).unwrap();
            }
            expected.extend(vec![if data { 7 } else { 0 }; length]);
        }
        file.set_len(expected.len() as u64).unwrap();
        let walked = walk(dir.path());
        prop_assert_eq!(read(walked.entries().remove(Path::new("/backup/m/sparse")).unwrap()).unwrap(), expected);
        prop_assert_eq!(walked.told(), []);
    }
}
