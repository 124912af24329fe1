//! Dumps: streams that are cut and stored as they come, and files of the next snapshot once all of it is there.
//!
//! A stream's length is known at its end, and `rustic_core` wants it before. So a dump is first stored as a file of a
//! snapshot that nobody keeps, with a length of none; what the next snapshot is compared with is a tree of our own
//! (`graft`), in which the same contents have their length.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, Bytes};
use jiff::Timestamp;
use rustic_core::repofile::{Metadata, Node, NodeType};
use rustic_core::{Id, ReadSource, ReadSourceEntry, RusticResult};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

use super::backend::StoreBackend;
use super::backup::{Reading, archive, index_files};
use super::go_mode;
use super::lock::{Lock, Share};
use super::open::indexed;
use super::progress::Tally;
use super::repository::Session;
use super::soundness::Soundness;
use super::source::{ROOT, mount_path, top};
use super::translate::from_rustic;
use crate::domain::dump::FOLDER;
use crate::domain::id::DumpName;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Events, SnapshotRequest};
use crate::source::Moment;

/// How much of a stream is passed on at once, in bytes.
const GULP: usize = 256 << 10;

/// How many such pieces wait for the thread that stores them.
const PIECES: usize = 4;

/// One dump that is stored, and in no snapshot yet.
#[derive(Clone)]
pub(super) struct Dump {
    /// The file it will be.
    pub(super) node: Node,
    pub(super) stored_bytes: u64,
    /// Every index file that was there before or after.
    pub(super) index_files: BTreeSet<Id>,
}

impl Dump {
    pub(super) fn name(&self) -> String {
        self.node.name().to_string_lossy().into_owned()
    }
}

/// A part of a stream on its way from the task that reads to the thread that stores.
pub(super) enum Piece {
    Bytes(Bytes),
    /// There is no more, and all is well. Without it the stream has broken off, whoever dropped the other side.
    End,
    Broken(Error),
}

pub(super) fn pieces() -> (mpsc::Sender<Piece>, mpsc::Receiver<Piece>) {
    mpsc::channel(PIECES)
}

/// Passes a stream on to its end, or until nobody wants the rest.
pub(super) async fn pass_on(content: &mut (dyn AsyncRead + Send + Unpin), pieces: mpsc::Sender<Piece>) {
    loop {
        let mut piece = bytes::BytesMut::with_capacity(GULP);
        let read = tokio::select! {
            read = content.read_buf(&mut piece) => read,
            () = pieces.closed() => return,
        };
        let (piece, more) = match read {
            Ok(0) => (Piece::End, false),
            Ok(_) => (Piece::Bytes(piece.freeze()), true),
            Err(error) => (Piece::Broken(Error::broken_stream(error)), false),
        };
        if pieces.send(piece).await.is_err() || !more {
            return;
        }
    }
}

/// Stores a stream.
pub(super) fn take(
    session: &Session,
    name: &DumpName,
    pieces: mpsc::Receiver<Piece>,
    events: &Events,
) -> Result<(Dump, u64)> {
    let _lock = Lock::take(session, Share::WithOthers)?;
    let mut known_index = index_files(session)?;
    Soundness::begin(session)?;
    let tally = Tally::new();
    let length = Arc::new(AtomicU64::new(0));
    let reader = StreamReader {
        pieces,
        piece: Bytes::new(),
        ended: false,
        length: Arc::clone(&length),
        backend: Arc::clone(&session.backend),
    };
    // As a file system dates a file; no two dumps have one time, so none is taken for an older one.
    let now = Moment::now();
    let now = i32::try_from(now.nanoseconds).ok().and_then(|part| Timestamp::new(now.seconds, part).ok());
    let meta = Metadata { mode: Some(go_mode::to_go(0o100_600)), links: 1, ..dated(now) };
    let node = Node::new_node(OsStr::new(name.as_str()), NodeType::File, meta);
    let source = StreamSource { node: node.clone(), reader: std::sync::Mutex::new(Some(reader)) };
    session.backend.hold_snapshots();
    let reading = Reading { request: &no_sources(), parents: &[], has_dumps: false };
    let snapshot = tally.told_to(events, || archive(session, &tally, &reading, &source))?;
    tally.tell_end(events);

    let path = mount_path(FOLDER).join(name.as_str());
    let stored = indexed(&session.backend, &session.key)?.node_from_path(snapshot.tree, &path);
    let stored = stored.map_err(|error| from_rustic(&error, ErrorKind::Internal, "take dump", name.as_str()))?;
    known_index.extend(index_files(session)?);
    let length = length.load(Ordering::Relaxed);
    let meta = Metadata { size: length, ..node.meta };
    let node = Node { meta, content: stored.content, ..stored };
    Ok((Dump { node, stored_bytes: session.backend.written(), index_files: known_index }, length))
}

fn no_sources() -> SnapshotRequest {
    SnapshotRequest {
        sources: Vec::new(),
        exclude: Vec::new(),
        taken_at: Timestamp::UNIX_EPOCH,
        host: String::new(),
        tags: Vec::new(),
        parent: None,
        scratch: None,
    }
}

/// What is root's, and has one time for all.
pub(super) fn dated(at: Option<Timestamp>) -> Metadata {
    Metadata { mtime: at, atime: at, ctime: at, uid: Some(0), gid: Some(0), ..Metadata::default() }
}

/// The folder that holds the dumps: always the same.
pub(super) fn folder() -> Node {
    let meta = Metadata { mode: Some(go_mode::to_go(0o040_700)), ..dated(Some(Timestamp::UNIX_EPOCH)) };
    Node::new_node(OsStr::new(FOLDER), NodeType::Dir, meta)
}

/// One stream, as the only file there is.
struct StreamSource {
    node: Node,
    reader: std::sync::Mutex<Option<StreamReader>>,
}

impl ReadSource for StreamSource {
    type Open = StreamReader;
    type Iter = std::vec::IntoIter<RusticResult<ReadSourceEntry<StreamReader>>>;

    fn size(&self) -> RusticResult<Option<u64>> {
        Ok(None)
    }

    fn entries(&self) -> Self::Iter {
        let entry = |path: PathBuf, node: Node, open| Ok(ReadSourceEntry { path, node, open });
        let reader = self.reader.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let path = mount_path(FOLDER);
        let file = path.join(self.node.name());
        let all = [
            entry(PathBuf::from(ROOT), top(), None),
            entry(path, folder(), None),
            entry(file, self.node.clone(), reader),
        ];
        Vec::from(all).into_iter()
    }
}

/// A stream, read on a thread. `rustic_core` would leave out what cannot be read; so nothing more may be written then.
struct StreamReader {
    pieces: mpsc::Receiver<Piece>,
    piece: Bytes,
    ended: bool,
    length: Arc<AtomicU64>,
    backend: Arc<StoreBackend>,
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !self.ended && !buffer.is_empty() {
            let error = match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => {
                    self.piece = bytes;
                    continue;
                }
                Some(Piece::End) => {
                    self.ended = true;
                    continue;
                }
                Some(Piece::Broken(error)) => error,
                None => Error::broken_stream(io::ErrorKind::UnexpectedEof.into()),
            };
            self.backend.give_up(&error);
            return Err(io::Error::other(error));
        }
        let count = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        self.length.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
