//! Looking into a set: its list of files, and the contents of one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use tokio::fs::File;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::collection::Collection;
use super::exit::Phase;
use super::log::{Level, Record};
use super::look::listing;
use super::names::SetTime;
use super::repository::DuplicityRepository;
use super::session::{Cache, Outcome};
use crate::domain::entry_path::EntryPath;
use crate::domain::id::SnapshotId;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{FileEntry, FileKind};

impl DuplicityRepository {
    pub(super) async fn files_in(
        &self,
        snapshot: &SnapshotId,
        folder: &EntryPath,
        recursive: bool,
    ) -> Result<Vec<FileEntry>> {
        let time = self.set_time(snapshot)?;
        let wanted = folder.as_path();
        let mut itself = None;
        let mut found = BTreeMap::new();
        self.walk(&time, |entry| {
            let path = entry.path.as_path();
            if path == wanted {
                itself = Some(entry);
            } else if let Ok(below) = path.strip_prefix(wanted)
                && (recursive || below.components().count() == 1)
            {
                found.insert(entry.path.clone(), entry);
            }
            ControlFlow::Continue(())
        })
        .await?;
        match itself {
            Some(itself) if itself.kind != FileKind::Folder => Ok(vec![itself]),
            None if !wanted.as_os_str().is_empty() => Err(no_such_path(folder, &time)),
            _ => Ok(found.into_values().collect()),
        }
    }

    pub(super) async fn contents_of(
        &self,
        snapshot: &SnapshotId,
        path: &EntryPath,
        out: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<u64> {
        let time = self.set_time(snapshot)?;
        let mut kind = path.as_path().as_os_str().is_empty().then_some(FileKind::Folder);
        self.walk(&time, |entry| {
            if entry.path == *path {
                kind = Some(entry.kind);
            }
            if kind.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .await?;
        match kind {
            Some(FileKind::File) => {}
            Some(_) => return Err(Error::invalid("path", path.to_string(), "it is no regular file")),
            None => return Err(no_such_path(path, &time)),
        }
        let _cache = self.session.cache.lock().await;
        let run = self.session.run_folder().await?;
        let to = run.join("file");
        let mut invocation = self.session.invocation(&run, "restore", Cache::Kept, Phase::Working);
        invocation.option("--metadata-sync-mode", "partial").option("--restore-time", time.as_str());
        invocation.argument("--no-restore-ownership").option("--path-to-restore", path.as_path());
        invocation.argument(&self.session.target.url).argument(&to);
        match self.session.run(&invocation, |_| ControlFlow::Continue(())).await? {
            Outcome::Done | Outcome::Stopped => {}
            Outcome::Failed(failure) => {
                return Err(failure.into_error("read file", &path.to_string(), Phase::Working));
            }
        }
        copy(&to, out).await.map_err(|error| {
            Error::new(ErrorKind::Unavailable, "write file", path.to_string(), "its reader is gone").with_source(error)
        })
    }

    /// Shows `visit` every inode of a set, in duplicity's order, until it breaks.
    ///
    /// # Errors
    /// `NotFound` where there is no such set; duplicity itself would list the nearest set before.
    async fn walk(&self, time: &SetTime, mut visit: impl FnMut(FileEntry) -> ControlFlow<()> + Send) -> Result<()> {
        let _cache = self.session.cache.lock().await;
        let run = self.session.run_folder().await?;
        let mut invocation = self.session.invocation(&run, "list-current-files", Cache::Kept, Phase::Working);
        invocation.argument("-v9").option("--metadata-sync-mode", "partial");
        invocation.option("--restore-time", time.as_str()).argument(&self.session.target.url);
        // Which sets there are comes before the files of the one.
        let mut is_there = None;
        let outcome = self
            .session
            .run(&invocation, |record| {
                if is_there.is_none() {
                    let names = listing(record);
                    let collection = names.map(|names| Collection::from_names("", names.iter().map(String::as_str)));
                    is_there = collection.map(|collection| collection.holds(time));
                }
                if is_there == Some(false) {
                    return ControlFlow::Break(());
                }
                entry(record).map_or(ControlFlow::Continue(()), &mut visit)
            })
            .await?;
        match (is_there, outcome) {
            (Some(false), _) => Err(self.no_such_set(time.as_str())),
            (_, Outcome::Failed(failure)) => {
                Err(failure.into_error("list files in", &self.session.location, Phase::Working))
            }
            (_, Outcome::Done | Outcome::Stopped) => Ok(()),
        }
    }
}

async fn copy(from: &Path, out: &mut (dyn AsyncWrite + Send + Unpin)) -> io::Result<u64> {
    let mut file = File::open(from).await?;
    let bytes = tokio::io::copy(&mut file, out).await?;
    out.flush().await?;
    Ok(bytes)
}

fn no_such_path(path: &EntryPath, time: &SetTime) -> Error {
    Error::new(ErrorKind::NotFound, "find path", path.to_string(), format!("snapshot `{time}` does not hold it"))
}

/// The inode that a record of the list tells of. The list tells no sizes, modes and owners.
fn entry(record: &Record) -> Option<FileEntry> {
    if (record.level, record.code) != (Level::Info, 10) {
        return None;
    }
    let [modified, path, kind] = <[Vec<u8>; 3]>::try_from(record.words()).ok()?;
    let kind = match kind.as_slice() {
        b"reg" => FileKind::File,
        b"dir" => FileKind::Folder,
        b"sym" => FileKind::Symlink,
        b"fifo" => FileKind::Fifo,
        b"sock" => FileKind::Socket,
        b"chr" | b"blk" => FileKind::Device,
        _ => return None,
    };
    let path = PathBuf::from(OsString::from_vec(path));
    if path == Path::new(".") {
        return None;
    }
    let modified = SetTime::parse(std::str::from_utf8(&modified).ok()?).map(|time| time.to_timestamp());
    Some(FileEntry {
        path: EntryPath::new(path),
        kind,
        bytes: None,
        mode: None,
        owner: None,
        modified,
        link_target: None,
    })
}
