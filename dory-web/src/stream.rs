//! Contents of restore points on their way to a browser: files as they are, folders as tar.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dory_core::domain::backup::PointChoice;
use dory_core::ports::{FileEntry, FileKind};
use dory_core::services::{Dory, PointReader};
use dory_core::{Error, ErrorKind, Result};
use futures_util::StreamExt;
use futures_util::stream::unfold;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// How many pieces wait for a slow browser: the repository is read no faster than it takes them.
const AHEAD: usize = 8;

/// The block that tar is made of, in bytes.
const BLOCK: u64 = 512;

/// Where contents go: into pieces that a body is made of.
struct Pieces(mpsc::Sender<std::io::Result<Bytes>>, Option<Sending>);

type Sending = Pin<Box<dyn Future<Output = bool> + Send>>;

impl AsyncWrite for Pieces {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<std::io::Result<usize>> {
        if let Some(sending) = &mut self.1 {
            let Poll::Ready(sent) = sending.as_mut().poll(cx) else { return Poll::Pending };
            self.1 = None;
            if !sent {
                return Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()));
            }
        }
        let (to, piece) = (self.0.clone(), Bytes::copy_from_slice(data));
        self.1 = Some(Box::pin(async move { to.send(Ok(piece)).await.is_ok() }));
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let Some(sending) = &mut self.1 else { return Poll::Ready(Ok(())) };
        let Poll::Ready(sent) = sending.as_mut().poll(cx) else { return Poll::Pending };
        self.1 = None;
        Poll::Ready(if sent { Ok(()) } else { Err(std::io::ErrorKind::BrokenPipe.into()) })
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.poll_flush(cx)
    }
}

/// What of a point is sent.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) backup: String,
    pub(crate) point: PointChoice,
    pub(crate) path: PathBuf,
}

/// A file, to be saved and never shown: what is in it is somebody's data, and may be a page that does harm.
///
/// # Errors
/// What goes wrong before its first byte; what comes later breaks the answer off.
pub(crate) async fn file(dory: &Dory, wanted: Wanted) -> Result<Response> {
    let name = wanted.path.file_name().map_or_else(|| "file".to_owned(), |name| name.to_string_lossy().into_owned());
    let (pieces, task) = begin(dory.clone(), wanted, |reader, path, mut out| {
        Box::pin(async move {
            reader.read(&path, &mut out).await?;
            out.flush().await.map_err(gone)
        })
    });
    saved(pieces, task, &name, "application/octet-stream").await
}

/// A folder with all below it, as tar.
///
/// # Errors
/// As for [`file`].
pub(crate) async fn folder(dory: &Dory, wanted: Wanted) -> Result<Response> {
    let name =
        wanted.path.file_name().map_or_else(|| wanted.backup.clone(), |name| name.to_string_lossy().into_owned());
    let (pieces, task) = begin(dory.clone(), wanted, |reader, path, out| Box::pin(write_tar(reader, path, out)));
    saved(pieces, task, &format!("{name}.tar"), "application/x-tar").await
}

/// The first bytes of a file, for a look.
///
/// # Errors
/// As for reading it.
pub(crate) async fn beginning(dory: &Dory, wanted: Wanted, most: usize) -> Result<(Vec<u8>, bool)> {
    let (mut pieces, task) = begin(dory.clone(), wanted, |reader, path, mut out| {
        Box::pin(async move {
            reader.read(&path, &mut out).await?;
            out.flush().await.map_err(gone)
        })
    });
    let mut bytes = Vec::new();
    while bytes.len() <= most
        && let Some(Ok(piece)) = pieces.recv().await
    {
        bytes.extend_from_slice(&piece);
    }
    let is_cut = bytes.len() > most;
    bytes.truncate(most);
    // Nobody takes the rest: the reader ends by itself.
    drop(pieces);
    match task.await {
        Ok(Err(error)) if !is_cut => Err(error),
        _ => Ok((bytes, is_cut)),
    }
}

type Receiver = mpsc::Receiver<std::io::Result<Bytes>>;
type Task = tokio::task::JoinHandle<Result<()>>;
type Writing<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

fn begin(
    dory: Dory,
    wanted: Wanted,
    write: impl for<'a> FnOnce(&'a PointReader, PathBuf, Pieces) -> Writing<'a> + Send + 'static,
) -> (Receiver, Task) {
    let (to, from) = mpsc::channel(AHEAD);
    let task = tokio::spawn(async move {
        let reader = dory.open_point(&wanted.backup, &wanted.point).await?;
        let broken = to.clone();
        let written = write(&reader, wanted.path, Pieces(to, None)).await;
        reader.close().await;
        if let Err(error) = &written {
            // A body that just ended would look whole.
            let _ = broken.send(Err(std::io::Error::other(error.to_string()))).await;
        }
        written
    });
    (from, task)
}

async fn saved(mut pieces: Receiver, task: Task, name: &str, kind: &'static str) -> Result<Response> {
    let first = pieces.recv().await;
    if matches!(first, None | Some(Err(_))) {
        // An empty file ends well without a piece.
        task.await.map_err(|error| defect().with_source(error))??;
    }
    let first = first.and_then(std::io::Result::ok).unwrap_or_default();
    let rest = unfold(pieces, |mut pieces| async move { Some((pieces.recv().await?, pieces)) });
    let body = futures_util::stream::once(async move { Ok(first) }).chain(rest);
    let mut response = Body::from_stream(body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_DISPOSITION, attachment(name));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    Ok(response)
}

/// The name under which a browser saves it, as RFC 6266 has it.
fn attachment(name: &str) -> HeaderValue {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_graphic() && !"\"\\%;".contains(c) { c } else { '_' }).collect();
    let exact = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    HeaderValue::from_str(&format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}"))
        .unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}

async fn write_tar(reader: &PointReader, folder: PathBuf, mut out: Pieces) -> Result<()> {
    let mut entries = reader.list(&folder, true).await?;
    entries.sort_by(|a, b| a.path.as_path().cmp(b.path.as_path()));
    for entry in &entries {
        let path = entry.path.to_path_buf();
        let name = path.strip_prefix(folder.parent().unwrap_or(Path::new("/"))).unwrap_or(&path);
        let name = name.strip_prefix("/").unwrap_or(name);
        let Some(header) = tar_header(entry, name)? else { continue };
        out.write_all(&header).await.map_err(gone)?;
        if entry.kind == FileKind::File {
            let length = reader.read(&path, &mut out).await?;
            if Some(length) != entry.bytes {
                let reason = "it is not as long as the point says";
                return Err(Error::new(ErrorKind::Corrupt, "read file", path.display().to_string(), reason));
            }
            let padding = usize::try_from(length.next_multiple_of(BLOCK) - length).unwrap_or_default();
            out.write_all(&vec![0; padding]).await.map_err(gone)?;
        }
    }
    let end = usize::try_from(2 * BLOCK).unwrap_or_default();
    out.write_all(&vec![0; end]).await.map_err(gone)?;
    out.flush().await.map_err(gone)
}

/// The header of one entry, with what comes before it for long names; `None` for what tar does not hold.
fn tar_header(entry: &FileEntry, name: &Path) -> Result<Option<Vec<u8>>> {
    if name.as_os_str().is_empty() {
        return Ok(None);
    }
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Internal, "write tar of", name.display().to_string(), "its header cannot be made")
            .with_source(error)
    };
    let mut header = tar::Header::new_gnu();
    header.set_mode(entry.mode.unwrap_or(0o644) & 0o7777);
    let (owner, group) = entry.owner.unwrap_or_default();
    header.set_uid(owner.into());
    header.set_gid(group.into());
    header.set_mtime(entry.modified.map_or(0, |at| u64::try_from(at.as_second()).unwrap_or_default()));
    header.set_size(0);
    let mut builder = tar::Builder::new(Vec::new());
    match (entry.kind, &entry.link_target) {
        (FileKind::File, _) => {
            let Some(bytes) = entry.bytes else { return Ok(None) };
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(bytes);
            builder.append_data(&mut header, name, std::io::empty()).map_err(failed)?;
        }
        (FileKind::Folder, _) => {
            header.set_entry_type(tar::EntryType::Directory);
            builder.append_data(&mut header, name, std::io::empty()).map_err(failed)?;
        }
        (FileKind::Symlink, Some(target)) => {
            header.set_entry_type(tar::EntryType::Symlink);
            builder.append_link(&mut header, name, target.as_path()).map_err(failed)?;
        }
        _ => return Ok(None),
    }
    Ok(Some(std::mem::take(builder.get_mut())))
}

fn gone(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Cancelled, "send contents", "", "nobody takes them any more").with_source(error)
}

fn defect() -> Error {
    Error::new(ErrorKind::Internal, "read point", "", "a defect in Dory ended it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_header() {
        let header = attachment("a\"; filename=evil\r\nSet-Cookie: x.html\u{fc}");
        let text = header.to_str().unwrap();
        assert!(text.starts_with("attachment; filename=\"a__") && !text.contains('\n'), "{text}");
        assert_eq!(text.matches('"').count(), 2);
    }
}
