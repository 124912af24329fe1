//! The frames between Dory and the agent in a helper.
//!
//! A frame is a 4-byte length (big endian, of what follows the kind), a 1-byte kind, and the payload: kind 0 is one JSON
//! message, kind 1 raw bytes of a file. The agent speaks first, with [`Reply::Hello`]. Then the host sends one
//! [`Asked`] at a time; the agent answers with any number of events, entries and byte frames, and ends the answer
//! with [`Reply::Done`] or [`Reply::Failed`]. After a [`Request::TakeDump`] the host sends byte frames too, an empty one at
//! the end of the stream, or [`Request::BreakOff`] instead; an agent that answers before passes over the rest up to there.
//! Closing the agent's input ends it, in the middle of anything.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::domain::entry_path::EntryPath;
use crate::domain::id::{MountKey, SnapshotId};
use crate::domain::policy::EngineKind;
use crate::error::{Error, ErrorKind, ErrorRecord, Result};
use crate::ports::{
    DumpRequest, EngineEvent, FileEntry, OpenMode, RepositorySpec, RestoreRequest, SnapshotRequest, UndoRequest,
    VerifyDepth,
};

/// The version of everything in this file. Both sides must have the same.
pub const PROTOCOL: u32 = 4;

/// The longest payload that is accepted, in bytes. Longer answers come in several frames.
pub const MAX_PAYLOAD: usize = 16 << 20;

/// How many entries one [`Reply::Entries`] holds at most: with the longest paths and links that Linux allows, it stays
/// below [`MAX_PAYLOAD`].
pub(super) const ENTRIES_PER_REPLY: usize = 300;

const KIND_MESSAGE: u8 = 0;
const KIND_BYTES: u8 = 1;

/// One request, and which repository it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The number that [`Request::Open`] gave; no matter for that request itself.
    pub repository: usize,
    /// What is asked.
    pub request: Request,
}

/// What the host asks. Secrets are in [`Request::Open`] and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "op")]
pub enum Request {
    /// Opens one more repository; its report is the number by which later requests name it.
    Open {
        /// Which engine.
        engine: EngineKind,
        /// Which repository.
        spec: RepositorySpec,
        /// Whether it may be made.
        mode: OpenMode,
    },
    /// See [`Repository::warm`](crate::ports::Repository::warm).
    Warm(SnapshotRequest),
    /// See [`Repository::freeze`](crate::ports::Repository::freeze).
    Freeze,
    /// See [`Repository::take_dump`](crate::ports::Repository::take_dump). The stream follows.
    TakeDump(DumpRequest),
    /// Ends a stream that is not to be kept. It has no answer of its own.
    BreakOff,
    /// See [`Repository::backup`](crate::ports::Repository::backup).
    Backup(SnapshotRequest),
    /// See [`Repository::restore`](crate::ports::Repository::restore).
    Restore(RestoreRequest),
    /// See [`Repository::check_restorable`](crate::ports::Repository::check_restorable).
    CheckRestorable {
        /// Which snapshot.
        snapshot: SnapshotId,
        /// Which of its folders.
        mounts: Vec<MountKey>,
    },
    /// See [`Repository::prove_undo`](crate::ports::Repository::prove_undo).
    ProveUndo(UndoRequest),
    /// See [`Repository::list_snapshots`](crate::ports::Repository::list_snapshots).
    ListSnapshots,
    /// See [`Repository::list_files`](crate::ports::Repository::list_files).
    ListFiles {
        /// In which snapshot.
        snapshot: SnapshotId,
        /// In which folder.
        folder: EntryPath,
        /// Whether to go below it.
        recursive: bool,
    },
    /// See [`Repository::read_file`](crate::ports::Repository::read_file).
    ReadFile {
        /// In which snapshot.
        snapshot: SnapshotId,
        /// Which file.
        path: EntryPath,
    },
    /// See [`Repository::forget`](crate::ports::Repository::forget).
    Forget {
        /// Which snapshots.
        snapshots: Vec<SnapshotId>,
    },
    /// See [`Repository::prune`](crate::ports::Repository::prune).
    Prune,
    /// See [`Repository::verify`](crate::ports::Repository::verify).
    Verify {
        /// How deep.
        depth: VerifyDepth,
    },
    /// See [`Repository::stats`](crate::ports::Repository::stats).
    Stats,
}

/// What the agent answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "reply", content = "body")]
pub enum Reply {
    /// The first word.
    Hello {
        /// The agent's [`PROTOCOL`].
        protocol: u32,
        /// The agent's version, for people.
        version: String,
    },
    /// Progress or a warning.
    Event(EngineEvent),
    /// Some of the entries of a [`Request::ListFiles`], in order.
    Entries(Vec<FileEntry>),
    /// The request succeeded; its report, `null` where it has none.
    Done(serde_json::Value),
    /// The request failed.
    Failed(ErrorRecord),
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A JSON message.
    Message(Bytes),
    /// Bytes of a file.
    Bytes(Bytes),
}

impl Frame {
    /// Reads the message inside.
    ///
    /// # Errors
    /// `Corrupt` if it is not the expected message.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        match self {
            Self::Message(json) => {
                serde_json::from_slice(json).map_err(|error| broken("a message is not understood").with_source(error))
            }
            Self::Bytes(_) => Err(broken("bytes came where a message was expected")),
        }
    }
}

/// Reads one frame; `None` at a clean end between frames.
///
/// # Errors
/// `Corrupt` for an oversized or unknown frame or an end inside one; `Unavailable` if the pipe fails.
pub async fn read_frame(reader: &mut (impl AsyncRead + Unpin)) -> Result<Option<Frame>> {
    let mut header = [0_u8; 5];
    let mut filled = 0;
    while filled < header.len() {
        match reader.read(&mut header[filled..]).await.map_err(pipe_failed)? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(broken("it ended inside a frame")),
            read => filled += read,
        }
    }
    let [a, b, c, d, kind] = header;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length > MAX_PAYLOAD {
        return Err(broken("a frame is longer than allowed"));
    }
    let mut payload = vec![0; length];
    reader.read_exact(&mut payload).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => broken("it ended inside a frame"),
        _ => pipe_failed(error),
    })?;
    match kind {
        KIND_MESSAGE => Ok(Some(Frame::Message(payload.into()))),
        KIND_BYTES => Ok(Some(Frame::Bytes(payload.into()))),
        _ => Err(broken("a frame has an unknown kind")),
    }
}

/// Writes one message and flushes it.
///
/// # Errors
/// `Unavailable` if the pipe fails; `Internal` for a message over [`MAX_PAYLOAD`].
pub async fn write_message<T: Serialize + Sync>(writer: &mut (impl AsyncWrite + Unpin), message: &T) -> Result<()> {
    let json = serde_json::to_vec(message).map_err(|error| broken("a message cannot be written").with_source(error))?;
    write_frame(writer, KIND_MESSAGE, &json).await
}

/// Writes bytes of a file, in as many frames as they need, and flushes them.
///
/// # Errors
/// `Unavailable` if the pipe fails.
pub async fn write_bytes(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<()> {
    for chunk in bytes.chunks(MAX_PAYLOAD) {
        write_frame(writer, KIND_BYTES, chunk).await?;
    }
    Ok(())
}

/// Writes the frame that ends a stream, and flushes it.
///
/// # Errors
/// `Unavailable` if the pipe fails.
pub async fn write_end_of_bytes(writer: &mut (impl AsyncWrite + Unpin)) -> Result<()> {
    write_frame(writer, KIND_BYTES, &[]).await
}

async fn write_frame(writer: &mut (impl AsyncWrite + Unpin), kind: u8, payload: &[u8]) -> Result<()> {
    let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= MAX_PAYLOAD);
    let length =
        length.ok_or_else(|| Error::new(ErrorKind::Internal, "talk to the helper", "", "a message is too long"))?;
    let mut frame = Vec::with_capacity(payload.len() + 5);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.push(kind);
    frame.extend_from_slice(payload);
    writer.write_all(&frame).await.map_err(pipe_failed)?;
    writer.flush().await.map_err(pipe_failed)
}

fn broken(reason: &str) -> Error {
    Error::new(ErrorKind::Corrupt, "talk to the helper", "", reason)
}

fn pipe_failed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "talk to the helper", "", "its pipe broke").with_source(error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn a_message_comes_back_as_it_went() {
        run(async {
            let mut pipe = Vec::new();
            write_message(&mut pipe, &Request::Forget { snapshots: vec![SnapshotId::parse("abc").unwrap()] })
                .await
                .unwrap();
            write_bytes(&mut pipe, b"contents").await.unwrap();
            write_end_of_bytes(&mut pipe).await.unwrap();
            let mut reader = pipe.as_slice();
            let first = read_frame(&mut reader).await.unwrap().unwrap();
            assert!(matches!(first.parse::<Request>().unwrap(), Request::Forget { snapshots } if snapshots.len() == 1));
            assert_eq!(read_frame(&mut reader).await.unwrap(), Some(Frame::Bytes(Bytes::from_static(b"contents"))));
            assert_eq!(read_frame(&mut reader).await.unwrap(), Some(Frame::Bytes(Bytes::new())));
            assert_eq!(read_frame(&mut reader).await.unwrap(), None);
        });
    }

    #[test]
    fn the_longest_entries_fit_a_frame() {
        let entry = FileEntry {
            // Every byte of the longest path and link that Linux allows, each escaped to four characters and
            // its backslash once more by JSON.
            path: EntryPath::new(std::ffi::OsString::from("\u{1}".repeat(4096))),
            link_target: Some(EntryPath::new(std::ffi::OsString::from("\u{1}".repeat(4096)))),
            kind: crate::ports::FileKind::Symlink,
            bytes: Some(u64::MAX),
            mode: Some(u32::MAX),
            owner: Some((u32::MAX, u32::MAX)),
            modified: Some(jiff::Timestamp::MAX),
        };
        let one = serde_json::to_vec(&entry).unwrap().len();
        assert!((one + 1) * ENTRIES_PER_REPLY + 100 < MAX_PAYLOAD, "an entry has {one} bytes");
    }

    #[test]
    fn an_oversized_length_is_refused_before_it_is_allocated() {
        let error = run(read_frame(&mut [0xff, 0xff, 0xff, 0xff, 0].as_slice())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn an_end_inside_a_frame_is_not_a_clean_end() {
        for bytes in [&[0_u8, 0][..], &[0, 0, 0, 9, 0, b'{'][..]] {
            assert_eq!(run(read_frame(&mut &*bytes)).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }

    proptest! {
        #[test]
        fn junk_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            run(async {
                let mut reader = bytes.as_slice();
                while let Ok(Some(frame)) = read_frame(&mut reader).await {
                    let _ = frame.parse::<Request>();
                    let _ = frame.parse::<Asked>();
                    let _ = frame.parse::<Reply>();
                }
            });
        }
    }
}
