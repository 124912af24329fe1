//! A look at the folders to back up: what there is, what is left out, and the folder of links that duplicity reads.

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::stage::STAGE_PREFIX;
use crate::domain::dump;
use crate::domain::restore_point::MountSize;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{MountFolder, SnapshotRequest};

/// What a scan found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Files, folders and other inodes that duplicity is to keep.
    pub(super) entries: u64,
    /// Bytes of regular files among them.
    pub(super) bytes: u64,
    /// Paths of folders, relative to the folder of links: duplicity's log does not tell files from folders.
    pub(super) folders: HashSet<Vec<u8>>,
    /// How much each source holds.
    pub(super) mounts: Vec<MountSize>,
    /// Paths to leave out, below the folder of links.
    pub(super) excluded: Vec<PathBuf>,
}

/// Makes the folder `root` with one link a source, and scans what they lead to. It blocks.
///
/// # Errors
/// `InvalidInput` for a source that is not there or a pattern that cannot be read.
pub(super) fn scan(root: &Path, request: &SnapshotRequest) -> Result<Scan> {
    let patterns = patterns(&request.exclude)?;
    for source in &request.sources {
        fs::metadata(&source.path).map_err(|error| {
            Error::invalid("source", source.path.display().to_string(), "it is not there").with_source(error)
        })?;
    }
    link(root, &request.sources).map_err(|error| {
        Error::new(ErrorKind::Internal, "prepare folder", root.display().to_string(), "it cannot be made")
            .with_source(error)
    })?;
    let mut found = Scan::default();
    let nothing = Gitignore::empty();
    for source in &request.sources {
        let before = (found.entries, found.bytes);
        // Patterns are about the container's paths, and a dump is asked for by itself.
        let is_dumps = source.key.as_str() == dump::FOLDER;
        scan_source(root, source, if is_dumps { &nothing } else { &patterns }, &mut found);
        if is_dumps {
            continue;
        }
        found.mounts.push(MountSize {
            key: source.key.clone(),
            // The source itself does not count.
            files: (found.entries - before.0).saturating_sub(1),
            bytes: found.bytes - before.1,
        });
    }
    Ok(found)
}

fn link(root: &Path, sources: &[MountFolder]) -> std::io::Result<()> {
    fs::create_dir(root)?;
    for source in sources {
        symlink(std::path::absolute(&source.path)?, root.join(source.key.as_str()))?;
    }
    Ok(())
}

pub(super) fn patterns(exclude: &[String]) -> Result<Gitignore> {
    let invalid = |pattern: &str, error: ignore::Error| {
        Error::invalid("exclude pattern", pattern, "it is no pattern of gitignore's").with_source(error)
    };
    let mut builder = GitignoreBuilder::new("");
    for pattern in exclude {
        builder.add_line(None, pattern).map_err(|error| invalid(pattern, error))?;
    }
    builder.build().map_err(|error| invalid(&exclude.join(" "), error))
}

fn scan_source(root: &Path, source: &MountFolder, patterns: &Gitignore, found: &mut Scan) {
    let key = Path::new(source.key.as_str());
    let Ok(meta) = fs::metadata(&source.path) else { return };
    found.entries += 1;
    if !meta.is_dir() {
        found.bytes += meta.len();
        return;
    }
    found.folders.insert(key.as_os_str().as_bytes().to_vec());
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        // What cannot be read or is gone, duplicity will meet and tell.
        let Ok(entries) = fs::read_dir(source.path.join(&folder)) else { continue };
        for entry in entries.flatten() {
            let path = folder.join(entry.file_name());
            let Ok(kind) = entry.file_type() else { continue };
            let staged = folder.as_os_str().is_empty() && entry.file_name().as_bytes().starts_with(STAGE_PREFIX);
            if staged || patterns.matched(&path, kind.is_dir()).is_ignore() {
                found.excluded.push(root.join(key).join(&path));
                continue;
            }
            if kind.is_socket() {
                continue;
            }
            found.entries += 1;
            if kind.is_dir() {
                found.folders.insert(key.join(&path).into_os_string().as_bytes().to_vec());
                folders.push(path);
            } else if kind.is_file() {
                found.bytes += entry.metadata().map_or(0, |meta| meta.len());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::id::MountKey;

    fn request(sources: &[(&str, &Path)], exclude: &[&str]) -> SnapshotRequest {
        let source =
            |(key, path): &(&str, &Path)| MountFolder { key: MountKey::parse(*key).unwrap(), path: path.to_path_buf() };
        SnapshotRequest {
            sources: sources.iter().map(source).collect(),
            exclude: exclude.iter().map(|pattern| (*pattern).to_owned()).collect(),
            taken_at: Timestamp::UNIX_EPOCH,
            host: String::new(),
            tags: Vec::new(),
            parent: None,
            scratch: None,
        }
    }

    #[test]
    fn patterns_leave_out_what_gitignore_would() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        for path in ["cache/a", "keep/cache/b", "keep/x.tmp", "keep/important.tmp", ".dory-restore-1/x"] {
            fs::create_dir_all(source.join(path).parent().unwrap()).unwrap();
            fs::write(source.join(path), "12345").unwrap();
        }
        let root = dir.path().join("root");
        let exclude = ["/cache/", "*.tmp", "!important.tmp"];
        let mut found = scan(&root, &request(&[("data", &source)], &exclude)).unwrap();
        found.excluded.sort();
        assert_eq!(found.excluded, [".dory-restore-1", "cache", "keep/x.tmp"].map(|path| root.join("data").join(path)));
        // The mount, `keep`, `keep/cache` and two files.
        assert_eq!((found.entries, found.bytes, found.folders.len()), (5, 10, 3));
        assert_eq!(fs::read_link(root.join("data")).unwrap(), source);
    }

    #[test]
    fn a_missing_source_is_named_before_anything_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let error = scan(&root, &request(&[("data", &dir.path().join("gone"))], &[])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("gone") && !root.exists());
    }
}
