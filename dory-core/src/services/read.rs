//! Looking into restore points: their files, and what is in them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::AsyncWrite;

use super::helper::{HelperPurpose, RunningHelper};
use super::{Dory, noise};
use crate::domain::backup::{Backup, PointChoice};
use crate::domain::dump::{FOLDER, path_of};
use crate::domain::entry_path::EntryPath;
use crate::domain::id::RunId;
use crate::domain::policy::EngineKind;
use crate::domain::restore_point::{PointDump, RestorePoint};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{FileEntry, FileKind, OpenMode, Repository};

/// An open repository that needs no volumes, and the helper it may need.
pub(super) struct Reader {
    repository: Arc<dyn Repository>,
    helper: Option<RunningHelper>,
}

impl Reader {
    pub(super) fn repository(&self) -> &dyn Repository {
        self.repository.as_ref()
    }

    pub(super) async fn close(self) {
        if let Some(helper) = self.helper {
            helper.close().await;
        }
    }
}

/// An open point. Whoever opened it [closes](Self::close) it.
pub struct PointReader {
    reader: Reader,
    point: RestorePoint,
}

impl PointReader {
    /// The point.
    #[must_use]
    pub fn point(&self) -> &RestorePoint {
        &self.point
    }

    /// What is in a folder of the point, by the paths that the container saw: `/var/lib/postgresql/data`. The path `/`
    /// lists the point's mounts and dumps; a dump is `dumps/postgres.sql`, which is no path of a container's.
    ///
    /// # Errors
    /// `NotFound` for the path; the engine's.
    pub async fn list(&self, path: &Path, recursive: bool) -> Result<Vec<FileEntry>> {
        let point = &self.point;
        if path == Path::new("/") && !recursive {
            return Ok(top_of(point));
        }
        let folder = if path == Path::new("/") { EntryPath::default() } else { in_snapshot(point, path)? };
        let entries = self.reader.repository().list_files(&point.snapshot, &folder, recursive).await;
        let mut entries = entries.map_err(|error| as_asked(error, point, path, &folder))?;
        for entry in &mut entries {
            entry.path = EntryPath::new(in_container(point, entry.path.as_path()));
        }
        Ok(entries)
    }

    /// Writes the contents of one file to `out`, and tells their length in bytes.
    ///
    /// # Errors
    /// `NotFound` for the path; `InvalidInput` if it is no regular file; the engine's; what `out` gives.
    pub async fn read(&self, path: &Path, out: &mut (dyn AsyncWrite + Send + Unpin)) -> Result<u64> {
        let file = in_snapshot(&self.point, path)?;
        let length = self.reader.repository().read_file(&self.point.snapshot, &file, out).await;
        length.map_err(|error| as_asked(error, &self.point, path, &file))
    }

    /// Ends what it took to read the point.
    pub async fn close(self) {
        self.reader.close().await;
    }
}

impl fmt::Debug for PointReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PointReader").field("point", &self.point.id).finish_non_exhaustive()
    }
}

impl Dory {
    /// What is in a folder of a point: see [`PointReader::list`]. The path `/` lists the point's mounts and dumps without
    /// opening anything.
    ///
    /// # Errors
    /// `NotFound` for the backup, the point, or the path; the store's and the engine's.
    pub async fn list_files(
        &self,
        reference: &str,
        choice: &PointChoice,
        path: &Path,
        recursive: bool,
    ) -> Result<Vec<FileEntry>> {
        let backup = self.find_backup(reference).await?;
        let point = backup.find_whole_point(choice)?;
        if path == Path::new("/") && !recursive {
            return Ok(top_of(point));
        }
        if path != Path::new("/") {
            in_snapshot(point, path)?;
        }
        let reader = self.open_point(reference, choice).await?;
        let entries = reader.list(path, recursive).await;
        reader.close().await;
        entries
    }

    /// Writes the contents of one file of a point to `out`, and tells their length in bytes.
    ///
    /// # Errors
    /// As for [`list_files`](Self::list_files); `InvalidInput` if it is no regular file; what `out` gives.
    pub async fn read_file(
        &self,
        reference: &str,
        choice: &PointChoice,
        path: &Path,
        out: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<u64> {
        let backup = self.find_backup(reference).await?;
        in_snapshot(backup.find_whole_point(choice)?, path)?;
        let reader = self.open_point(reference, choice).await?;
        let length = reader.read(path, out).await;
        reader.close().await;
        length
    }

    /// Opens a point to look into it more than once.
    ///
    /// # Errors
    /// `NotFound` for the backup or the point; the store's and the engine's.
    pub async fn open_point(&self, reference: &str, choice: &PointChoice) -> Result<PointReader> {
        let backup = self.find_backup(reference).await?;
        let point = backup.find_whole_point(choice)?.clone();
        let reader = self.open_reader(&backup, point.engine).await?;
        Ok(PointReader { reader, point })
    }

    /// Opens a backup's repository where no volumes are needed: right here if the engine can, else in a helper.
    pub(super) async fn open_reader(&self, backup: &Backup, engine: EngineKind) -> Result<Reader> {
        let here = self.engine(engine)?;
        let options = &backup.options_of(engine);
        if here.capabilities().self_contained {
            let spec = self.repository_spec(&self.config.store, &backup.id, engine, options).await?;
            return Ok(Reader { repository: here.open(&spec, OpenMode::Existing).await?, helper: None });
        }
        let run = RunId::new(self.clock.now(), noise()?);
        let helper = self.launch_helper(HelperPurpose::reading(&backup.id, run), &[]).await?;
        match self.open_in_helper(&helper, &backup.id, engine, options, OpenMode::Existing).await {
            Ok(repository) => Ok(Reader { repository, helper: Some(helper) }),
            Err(error) => {
                helper.close().await;
                Err(error)
            }
        }
    }
}

/// What a point's top holds: its mounts and dumps.
fn top_of(point: &RestorePoint) -> Vec<FileEntry> {
    let mounts = point.mounts.iter().map(|mount| mount_entry(&mount.destination));
    mounts.chain(point.dumps.iter().map(dump_entry)).collect()
}

fn mount_entry(destination: &Path) -> FileEntry {
    FileEntry {
        path: EntryPath::new(destination),
        kind: FileKind::Folder,
        bytes: None,
        mode: None,
        owner: None,
        modified: None,
        link_target: None,
    }
}

fn dump_entry(dump: &PointDump) -> FileEntry {
    FileEntry {
        path: EntryPath::new(path_of(&dump.name)),
        kind: FileKind::File,
        bytes: Some(dump.bytes),
        ..mount_entry(Path::new(""))
    }
}

/// Where a path of the container is in the snapshot: in the mount whose destination is the longest that holds it.
fn in_snapshot(point: &RestorePoint, path: &Path) -> Result<EntryPath> {
    if path.starts_with(FOLDER) && !point.dumps.is_empty() {
        return Ok(EntryPath::new(path));
    }
    let holding = point.mounts.iter().filter(|mount| path.starts_with(&mount.destination));
    let Some(mount) = holding.max_by_key(|mount| mount.destination.components().count()) else {
        let mounts = point.mounts.iter().map(|mount| mount.destination.clone());
        let all = mounts.chain(point.dumps.iter().map(|dump| path_of(&dump.name)));
        let mounts: Vec<_> = all.map(|place| format!("`{}`", place.display())).collect();
        let reason = "no mount of the restore point holds it";
        return Err(Error::new(ErrorKind::NotFound, "find path", path.display().to_string(), reason)
            .with_hint(format!("the point holds {}", mounts.join(", "))));
    };
    let rest = path.strip_prefix(&mount.destination).unwrap_or(Path::new(""));
    Ok(EntryPath::new(if rest.as_os_str().is_empty() {
        PathBuf::from(mount.key.as_str())
    } else {
        Path::new(mount.key.as_str()).join(rest)
    }))
}

/// An engine's error about a path, in the words of whoever asked: they know the container's paths, and no snapshots.
fn as_asked(error: Error, point: &RestorePoint, path: &Path, in_snapshot: &EntryPath) -> Error {
    if in_snapshot.as_path().as_os_str().is_empty() || error.subject() != in_snapshot.to_string() {
        return error;
    }
    let shown = EntryPath::new(path).to_string();
    match error.kind() {
        ErrorKind::NotFound => {
            let above = path.parent().unwrap_or(Path::new("/")).display();
            Error::new(error.kind(), "find", shown, format!("restore point `{}` does not hold it", point.id))
                .with_hint(format!("`dory ls` shows what is in `{above}`"))
        }
        ErrorKind::InvalidInput => Error::new(error.kind(), error.operation(), shown, error.reason()),
        _ => error,
    }
}

fn in_container(point: &RestorePoint, path: &Path) -> PathBuf {
    let mount = point.mounts.iter().find(|mount| path.starts_with(mount.key.as_str()));
    match mount.and_then(|mount| Some((mount, path.strip_prefix(mount.key.as_str()).ok()?))) {
        Some((mount, rest)) if rest.as_os_str().is_empty() => mount.destination.clone(),
        Some((mount, rest)) => mount.destination.join(rest),
        None => path.to_path_buf(),
    }
}
