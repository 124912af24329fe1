//! Dumps: duplicity reads folders alone, so a stream is written to one in the scratch folder, which is one more source.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use rustix::fs::fstatvfs;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::repository::DuplicityRepository;
use super::session::blocking;
use crate::domain::dump;
use crate::domain::event::Progress;
use crate::domain::id::DumpName;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{DumpRequest, Events, MountFolder, SnapshotRequest};

/// What is left to others of the file system's free space, in bytes.
const LEFT_TO_OTHERS: u64 = 64 << 20;

/// How much is written at once, in bytes.
const GULP: usize = 1 << 20;

/// How much is written between two looks at the free space, in bytes.
const LOOK_EVERY: u64 = 16 << 20;

/// The folder that holds whole dumps. It goes when this is dropped.
#[derive(Debug)]
pub(super) struct DumpFolder(PathBuf);

impl DumpFolder {
    fn make(scratch: &Path) -> Result<Self> {
        let folder = Self(scratch.join(dump::FOLDER));
        let _ = fs::remove_dir_all(&folder.0);
        fs::DirBuilder::new().mode(0o700).create(&folder.0).map_err(|error| failed(&folder.0, &error))?;
        Ok(folder)
    }
}

impl Drop for DumpFolder {
    fn drop(&mut self) {
        // Whoever made the scratch folder removes what is left.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A dump that is being written. Unless it is [kept](Self::keep), it goes.
struct Half {
    file: Option<File>,
    at: PathBuf,
    until_look: u64,
}

impl Half {
    fn begin(scratch: &Path, name: &DumpName) -> Result<Self> {
        let at = scratch.join(format!("{name}.half"));
        let _ = fs::remove_file(&at);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&at);
        Ok(Self { file: Some(file.map_err(|error| failed(&at, &error))?), at, until_look: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Self { file: Some(file), at, until_look } = self else { return Ok(()) };
        if *until_look < bytes.len() as u64 {
            check_room(file, at)?;
            *until_look = LOOK_EVERY;
        }
        *until_look = until_look.saturating_sub(bytes.len() as u64);
        file.write_all(bytes).map_err(|error| failed(at, &error))
    }

    fn keep(mut self, folder: &DumpFolder, name: &DumpName) -> Result<()> {
        drop(self.file.take());
        fs::rename(&self.at, folder.0.join(name.as_str())).map_err(|error| failed(&self.at, &error))
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        // One that was kept has another name by now.
        let _ = fs::remove_file(&self.at);
    }
}

impl DuplicityRepository {
    pub(super) async fn write_dump(
        &self,
        request: &DumpRequest,
        content: &mut (dyn AsyncRead + Send + Unpin),
        events: &Events,
    ) -> Result<u64> {
        let missing = || Error::invalid("scratch folder", "", "none was named, and duplicity reads folders alone");
        let scratch = request.scratch.clone().ok_or_else(missing)?;
        let name = request.name.clone();
        let mut half = {
            let (scratch, name) = (scratch.clone(), name.clone());
            blocking(move || Half::begin(&scratch, &name)).await?
        };
        let (mut length, mut piece) = (0, BytesMut::with_capacity(GULP));
        loop {
            let read = content.read_buf(&mut piece).await;
            let ended = read.map_err(Error::broken_stream)? == 0;
            if ended || piece.len() >= GULP / 2 {
                let full = std::mem::replace(&mut piece, BytesMut::with_capacity(GULP)).freeze();
                length += full.len() as u64;
                half = blocking(move || half.write(&full).map(|()| half)).await?;
                events.progress(Progress { bytes: length, ..Progress::default() });
            }
            if ended {
                break;
            }
        }
        let before = self.take_dumps();
        let folder = blocking(move || {
            let folder = before.map_or_else(|| DumpFolder::make(&scratch), Ok)?;
            half.keep(&folder, &name).map(|()| folder)
        });
        *self.dumps() = Some(folder.await?);
        Ok(length)
    }

    /// The request, with the dumps as one more source.
    pub(super) fn with_dumps(&self, mut request: SnapshotRequest) -> SnapshotRequest {
        if let Some(folder) = self.dumps().as_ref() {
            request.sources.push(MountFolder { key: dump::folder_key(), path: folder.0.clone() });
        }
        request
    }

    pub(super) fn take_dumps(&self) -> Option<DumpFolder> {
        self.dumps().take()
    }

    fn dumps(&self) -> std::sync::MutexGuard<'_, Option<DumpFolder>> {
        self.dumps.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn check_room(file: &File, at: &Path) -> Result<()> {
    let room = fstatvfs(file).map_err(|error| failed(at, &error.into()))?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if free >= LEFT_TO_OTHERS + LOOK_EVERY {
        return Ok(());
    }
    let reason = format!("{} MiB are free there, and more of the dump is to come", free >> 20);
    Err(full(at, &reason))
}

fn full(at: &Path, reason: &str) -> Error {
    Error::new(ErrorKind::Full, "keep a dump in", at.display().to_string(), reason).with_hint(
        "free space on the file system of Docker's data, or use the restic engine, which stores a dump as it comes; \
         nothing was stopped",
    )
}

fn failed(at: &Path, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => full(at, "there is no space left for it"),
        kind => {
            let kind = if kind == io::ErrorKind::NotFound { ErrorKind::InvalidInput } else { ErrorKind::Unavailable };
            Error::new(kind, "keep a dump in", at.display().to_string(), "the system refuses")
                .with_source(error.to_string())
        }
    }
}
