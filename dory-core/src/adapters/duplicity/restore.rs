//! Writing a set's folders back.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use ignore::gitignore::Gitignore;

use super::command::RunFolder;
use super::exit::Phase;
use super::log::{Level, Record};
use super::names::SetTime;
use super::repository::DuplicityRepository;
use super::scan::patterns;
use super::session::{Cache, Outcome, blocking};
use super::stage::{Stage, Swapped, overwrite, swap};
use crate::domain::entry_path::EntryPath;
use crate::domain::event::{Progress, Warning, WarningKind};
use crate::domain::id::MountKey;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Events, MountFolder, RestoreReport, RestoreRequest};

/// One target, and where its tree is restored before it is put in place.
struct Staged<'a> {
    target: &'a MountFolder,
    tree: PathBuf,
    /// `None` for a target that is a file: its tree is in the run's folder.
    stage: Option<Stage>,
}

impl DuplicityRepository {
    /// Restores every target beside its contents first, so that nothing is touched where something cannot be had; then
    /// puts all in place. A target's file system needs room for both, old and new.
    pub(super) async fn write_back(&self, request: &RestoreRequest, events: &Events) -> Result<RestoreReport> {
        let keep = patterns(&request.keep)?;
        let (time, look) = self.find(&request.snapshot).await?;
        if let Some(note) = look.book.as_ref().and_then(|book| book.note(&time, &look.collection)) {
            let unknown = request.targets.iter().find(|target| !note.mounts.contains(&target.key));
            unknown.map_or(Ok(()), |target| Err(no_such_mount(&target.key, &time)))?;
        }
        let _cache = self.session.cache.lock().await;
        let run = self.session.run_folder().await?;
        let mut progress = Progress::default();
        let mut staged = Vec::new();
        for target in &request.targets {
            staged.push(self.stage(&run, &time, target, &mut progress, events).await?);
        }
        let mut report = RestoreReport::default();
        for staged in staged {
            let done = put_in_place(staged, request.delete_extra.then(|| keep.clone())).await?;
            done.warnings.into_iter().for_each(|warning| events.warn(warning));
            report.files += done.files;
            report.bytes += done.bytes;
            report.removed += done.removed;
            progress.bytes = report.bytes;
            events.progress(progress);
        }
        progress.files = progress.files.max(report.files);
        events.progress(Progress { files_total: Some(progress.files), bytes_total: Some(report.bytes), ..progress });
        Ok(report)
    }

    async fn stage<'a>(
        &self,
        run: &RunFolder,
        time: &SetTime,
        target: &'a MountFolder,
        progress: &mut Progress,
        events: &Events,
    ) -> Result<Staged<'a>> {
        let path = target.path.clone();
        let stage = blocking(move || make_stage(&path)).await?;
        let tree = stage.as_ref().map_or_else(|| run.join(format!("file-{}", target.key)), Stage::tree);
        let mut invocation = self.session.invocation(run, "restore", Cache::Kept, Phase::Working);
        // Names of owners are this machine's, numbers are the container's.
        invocation.argument("-v5").argument("--numeric-owner").option("--metadata-sync-mode", "partial");
        invocation.option("--restore-time", time.as_str()).option("--path-to-restore", target.key.as_str());
        invocation.argument(&self.session.target.url).argument(&tree);
        let key = Path::new(target.key.as_str());
        let outcome = self
            .session
            .run(&invocation, |record| {
                if (record.level, record.code) == (Level::Info, 7) {
                    progress.files += 1;
                    events.progress(*progress);
                } else if let Some(warning) = warning(record, key, &tree) {
                    events.warn(warning);
                }
                ControlFlow::Continue(())
            })
            .await?;
        match outcome {
            Outcome::Failed(failure) if failure.status.code() == Some(19) => Err(no_such_mount(&target.key, time)),
            Outcome::Failed(failure) => Err(failure.into_error("restore mount", target.key.as_str(), Phase::Working)),
            Outcome::Done | Outcome::Stopped => Ok(Staged { target, tree, stage }),
        }
    }
}

pub(super) fn no_such_mount(mount: &MountKey, time: &SetTime) -> Error {
    let reason = format!("snapshot `{time}` does not hold it");
    Error::new(ErrorKind::NotFound, "restore mount", mount.as_str(), reason)
}

fn warning(record: &Record, key: &Path, tree: &Path) -> Option<Warning> {
    use std::os::unix::ffi::OsStrExt;
    if record.level != Level::Warning || !matches!(record.code, 12 | 13) {
        return None;
    }
    let name = record.words().into_iter().next().unwrap_or_default();
    let path = Path::new(std::ffi::OsStr::from_bytes(&name));
    // Contents come before owner, mode and times: what is there fell short of those.
    let kind = if fs::symlink_metadata(tree.join(path)).is_ok() && record.code == 12 {
        WarningKind::MetadataNotRestored
    } else {
        WarningKind::NotRestored
    };
    Some(Warning { kind, path: EntryPath::new(key.join(path)), detail: record.text.clone() })
}

/// A stage inside the target, which is made if it is missing; `None` where the target is a file.
fn make_stage(target: &Path) -> Result<Option<Stage>> {
    let made = match fs::metadata(target) {
        Ok(meta) if !meta.is_dir() => return Ok(None),
        Ok(_) => Stage::new(target),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(target).and_then(|()| Stage::new(target))
        }
        Err(error) => Err(error),
    };
    made.map(Some).map_err(|error| write_error(target, error))
}

fn write_error(target: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::PermissionDenied,
        _ => ErrorKind::Internal,
    };
    Error::new(kind, "restore into", target.display().to_string(), "it cannot be written to").with_source(error)
}

async fn put_in_place(staged: Staged<'_>, delete_but: Option<Gitignore>) -> Result<Swapped> {
    let Staged { target, tree, stage } = staged;
    let (path, key) = (target.path.clone(), target.key.clone());
    blocking(move || {
        let is_folder = fs::symlink_metadata(&tree).is_ok_and(|meta| meta.is_dir());
        let key = Path::new(key.as_str());
        let done = match (stage, is_folder) {
            (Some(stage), true) => swap(stage, &path, key, delete_but.as_ref()),
            (None, false) => overwrite(&tree, &path, key),
            (stage, _) => {
                let (held, found) = if stage.is_some() { ("file", "folder") } else { ("folder", "file") };
                let reason = format!("the snapshot holds a {held}, and there is a {found}");
                return Err(Error::new(ErrorKind::InvalidInput, "restore into", path.display().to_string(), reason));
            }
        };
        done.map_err(|error| write_error(&path, error))
    })
    .await
}
