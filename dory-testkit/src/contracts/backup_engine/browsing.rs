//! Promises about looking into a snapshot.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use dory_core::domain::entry_path::EntryPath;
use dory_core::domain::id::SnapshotId;
use dory_core::error::ErrorKind;
use dory_core::ports::FileKind;

use super::Subject;
use super::scene::{Scene, paths};
use crate::fixtures::noise;

/// The empty path lists the mounts, a mount of one file among them.
pub async fn the_empty_path_lists_the_mounts(subject: Subject) {
    let scene = Scene::open(subject).await;
    let (one, two) = (scene.folder("one"), scene.folder("two"));
    fs::write(two.join("file"), "12345").unwrap();
    let report = scene.backup(&[("b-folder", &one), ("a.conf", &two.join("file"))]).await;

    let mounts = scene.list(&report, "", false).await;
    assert_eq!(paths(&mounts), ["a.conf", "b-folder"]);
    assert_eq!(mounts[0].kind, FileKind::File);
    assert!(mounts[0].bytes.is_none_or(|bytes| bytes == 5), "{mounts:?}");
    assert_eq!(mounts[1].kind, FileKind::Folder);
}

/// A folder lists its children, or everything below it; what is no folder lists itself.
pub async fn a_folder_lists_what_is_in_it(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    fs::create_dir_all(source.join("sub/deep")).unwrap();
    fs::write(source.join("sub/deep/file"), "123").unwrap();
    fs::write(source.join("sub/file"), "1234").unwrap();
    fs::write(source.join("sub-way"), "1").unwrap();
    symlink("sub/file", source.join("link")).unwrap();
    fs::set_permissions(source.join("sub/file"), fs::Permissions::from_mode(0o640)).unwrap();
    let report = scene.backup(&[("data", &source)]).await;

    assert_eq!(paths(&scene.list(&report, "data", false).await), ["data/link", "data/sub", "data/sub-way"]);
    assert_eq!(
        paths(&scene.list(&report, "data/sub", true).await),
        ["data/sub/deep", "data/sub/deep/file", "data/sub/file"]
    );
    let all = scene.list(&report, "", true).await;
    assert_eq!(all.len(), 7);
    assert!(all.is_sorted_by(|a, b| a.path < b.path), "not in order: {:?}", paths(&all));

    let file = scene.list(&report, "data/sub/file", true).await;
    assert_eq!(paths(&file), ["data/sub/file"]);
    assert_eq!(file[0].kind, FileKind::File);
    assert!(file[0].bytes.is_none_or(|bytes| bytes == 4), "{file:?}");
    assert!(file[0].mode.is_none_or(|mode| mode == 0o640), "{file:?}");
    let meta = fs::metadata(source.join("sub/file")).unwrap();
    assert!(file[0].owner.is_none_or(|owner| owner == (meta.uid(), meta.gid())), "{file:?}");
    assert!(file[0].modified.is_none_or(|time| time.as_second() == meta.mtime()), "{file:?}");

    let link = scene.list(&report, "data/link", false).await;
    assert_eq!(link[0].kind, FileKind::Symlink);
    let leads_to = link[0].link_target.as_ref();
    assert!(leads_to.is_none_or(|target| target.as_path() == Path::new("sub/file")), "{link:?}");
}

/// Names that are not UTF-8, or break lines, are listed as they are and lead to their file.
pub async fn odd_names_survive_listing_and_reading(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    let names: [&[u8]; 7] = [b"caf\xe9", b"new\nline", b"back\\slash", b"\"quote'd\"", b" a b ", b"-rf", b"*[x]?"];
    for name in names {
        fs::create_dir(source.join(OsStr::from_bytes(name))).unwrap();
        fs::write(source.join(OsStr::from_bytes(name)).join(OsStr::from_bytes(name)), name).unwrap();
    }
    let report = scene.backup(&[("data", &source)]).await;

    assert_eq!(scene.list(&report, "data", true).await.len(), 2 * names.len());
    for name in names {
        let folder = PathBuf::from("data").join(OsStr::from_bytes(name));
        let path = EntryPath::new(folder.join(OsStr::from_bytes(name)));
        let listed = scene.repository.list_files(&report.snapshot, &EntryPath::new(&folder), false).await.unwrap();
        assert_eq!(listed.iter().map(|entry| &entry.path).collect::<Vec<_>>(), [&path]);
        assert_eq!(scene.read(&report, &path).await, name);
    }
}

/// A file's contents arrive whole and in order, be it empty or larger than any buffer.
pub async fn a_file_is_read_whole(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    let big = noise(21 << 20, 9);
    fs::write(source.join("big"), &big).unwrap();
    fs::write(source.join("empty"), "").unwrap();
    let report = scene.backup(&[("data", &source)]).await;
    assert!(scene.read(&report, &EntryPath::new("data/big")).await == big, "the contents differ");
    assert!(scene.read(&report, &EntryPath::new("data/empty")).await.is_empty());
}

/// Paths and snapshots that are not there are `NotFound`; a folder has no contents to read.
pub async fn what_is_not_there_is_not_found(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    fs::create_dir(source.join("folder")).unwrap();
    fs::write(source.join("file"), "x").unwrap();
    let report = scene.backup(&[("data", &source)]).await;

    let unknown = SnapshotId::parse("0".repeat(64)).unwrap();
    let mut nothing = tokio::io::sink();
    for (snapshot, path) in [
        (&report.snapshot, "data/missing"),
        (&report.snapshot, "other"),
        (&report.snapshot, "data/file/below"),
        (&report.snapshot, "data/../data/file"),
        (&unknown, "data/file"),
    ] {
        let path = EntryPath::new(path);
        let error = scene.repository.list_files(snapshot, &path, false).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{path:?}: {error:?}");
        let error = scene.repository.read_file(snapshot, &path, &mut nothing).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{path:?}: {error:?}");
    }
    for path in ["data/folder", "data", ""] {
        let error =
            scene.repository.read_file(&report.snapshot, &EntryPath::new(path), &mut nothing).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path:?}: {error:?}");
    }
}
