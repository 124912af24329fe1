//! The host's side: an engine that works in a helper.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Mutex, MutexGuard, watch};

use super::inflow::{self, Sent};
use super::protocol::{Asked, Frame, PROTOCOL, Reply, Request, read_frame, write_message};
use crate::domain::entry_path::EntryPath;
use crate::domain::id::{MountKey, SnapshotId};
use crate::domain::policy::EngineKind;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{
    BackupEngine, Capabilities, DumpRequest, EngineEvent, Events, FileEntry, FreezeReport, Helper, OpenMode,
    PruneReport, Repository, RepositorySpec, RepositoryStats, RestoreReport, RestoreRequest, Snapshot, SnapshotReport,
    SnapshotRequest, UndoRequest, VerifyDepth, VerifyReport, WarmReport,
};

/// How much of a helper's standard error is kept, to tell why it ended.
const STDERR_KEPT: usize = 8 << 10;

/// How long the end of standard error is waited for, once standard output has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

type Reader = Box<dyn AsyncRead + Send + Unpin>;
type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// The line to one agent. It closes when dropped, and the agent ends.
pub struct AgentConnection {
    line: Mutex<Line>,
    stderr: Arc<SyncMutex<VecDeque<u8>>>,
    stderr_ended: watch::Receiver<bool>,
}

struct Line {
    reader: Reader,
    writer: Writer,
    /// Set while an answer is under way: a call that was dropped in between leaves the line unusable.
    in_use: bool,
}

impl AgentConnection {
    /// Takes over a helper's pipes and waits for the agent's first word.
    ///
    /// # Errors
    /// `Unsupported` if the agent speaks another version; `Unavailable` if it ends without a word, with what it wrote
    /// to standard error as the cause.
    pub async fn connect(helper: Helper) -> Result<Arc<Self>> {
        let stderr = Arc::new(SyncMutex::new(VecDeque::new()));
        let (ended, stderr_ended) = watch::channel(false);
        let (pipe, tail) = (helper.stderr, Arc::clone(&stderr));
        tokio::spawn(async move {
            keep_tail(pipe, tail).await;
            ended.send_replace(true);
        });
        let line = Line { reader: helper.stdout, writer: helper.stdin, in_use: false };
        let connection = Arc::new(Self { line: Mutex::new(line), stderr, stderr_ended });
        let hello = {
            let mut line = connection.line.lock().await;
            connection.next_frame(&mut line.reader).await?.parse::<Reply>()?
        };
        match hello {
            Reply::Hello { protocol: PROTOCOL, .. } => Ok(connection),
            Reply::Hello { version, .. } => Err(Error::new(
                ErrorKind::Unsupported,
                "talk to the helper",
                "",
                format!("it runs Dory {version}, which is not this one"),
            )
            .with_hint("use the same version of Dory for the helper image")),
            _ => Err(unexpected()),
        }
    }

    /// Whether the agent's process has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        *self.stderr_ended.borrow()
    }

    async fn call<T: DeserializeOwned>(&self, asked: &Asked, answer: Answer<'_>) -> Result<T> {
        let mut line = self.begin(asked).await?;
        let Line { reader, in_use, .. } = &mut *line;
        self.hear(reader, in_use, answer).await
    }

    /// As [`call`](Self::call), with a stream that the agent reads meanwhile. Replies are heard all the time, so that
    /// neither side waits for the other to take what it writes.
    async fn call_with<T: DeserializeOwned>(
        &self,
        asked: &Asked,
        content: &mut (dyn AsyncRead + Send + Unpin),
        answer: Answer<'_>,
    ) -> Result<T> {
        let mut line = self.begin(asked).await?;
        let Line { reader, writer, in_use } = &mut *line;
        let (told, answered) = watch::channel(false);
        let hearing = async {
            let result = self.hear(reader, in_use, answer).await;
            told.send_replace(true);
            result
        };
        let (heard, sent) = tokio::join!(hearing, inflow::send(content, writer, answered, asked.repository));
        match sent {
            Ok(Sent::Broken(error)) => Err(error),
            // What the agent says, its last words included, tells more than that its pipe broke.
            Ok(Sent::Whole) | Err(_) => heard,
        }
    }

    async fn begin(&self, asked: &Asked) -> Result<MutexGuard<'_, Line>> {
        let mut line = self.line.lock().await;
        if std::mem::replace(&mut line.in_use, true) {
            let reason = "an earlier call was abandoned, so the line cannot be used";
            return Err(Error::new(ErrorKind::Cancelled, "talk to the helper", "", reason));
        }
        write_message(&mut line.writer, asked).await.map_err(|error| self.with_last_words(error))?;
        Ok(line)
    }

    /// Hears one answer to its end.
    async fn hear<T: DeserializeOwned>(
        &self,
        reader: &mut Reader,
        in_use: &mut bool,
        mut answer: Answer<'_>,
    ) -> Result<T> {
        loop {
            let frame = self.next_frame(reader).await?;
            if let Frame::Bytes(bytes) = frame {
                let Some(out) = answer.bytes.as_deref_mut() else { return Err(unexpected()) };
                out.write_all(&bytes).await.map_err(|error| {
                    Error::new(ErrorKind::Unavailable, "pass a file on", "", "its receiver refused it")
                        .with_source(error)
                })?;
                continue;
            }
            match frame.parse::<Reply>()? {
                Reply::Hello { .. } => return Err(unexpected()),
                Reply::Event(EngineEvent::Progress(progress)) => answer.events.progress(progress),
                Reply::Event(EngineEvent::Warning(warning)) => answer.events.warn(warning),
                Reply::Entries(entries) => match answer.entries.as_deref_mut() {
                    Some(all) => all.extend(entries),
                    None => return Err(unexpected()),
                },
                Reply::Done(report) => {
                    *in_use = false;
                    return serde_json::from_value(report).map_err(|error| unexpected().with_source(error));
                }
                Reply::Failed(record) => {
                    *in_use = false;
                    return Err(record.into());
                }
            }
        }
    }

    async fn next_frame(&self, reader: &mut Reader) -> Result<Frame> {
        match read_frame(reader).await {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => {
                // Its last words may still be on their way.
                let mut ended = self.stderr_ended.clone();
                let _ = tokio::time::timeout(LAST_WORDS, ended.wait_for(|ended| *ended)).await;
                let error =
                    Error::new(ErrorKind::Unavailable, "talk to the helper", "", "it ended in the middle of its work");
                Err(self.with_last_words(error))
            }
            Err(error) => Err(self.with_last_words(error)),
        }
    }

    fn with_last_words(&self, error: Error) -> Error {
        let stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = stderr.iter().copied().collect();
        let words = String::from_utf8_lossy(&bytes);
        if words.trim().is_empty() { error } else { error.with_source(words.trim().to_owned()) }
    }
}

impl Debug for AgentConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgentConnection")
    }
}

/// Where the parts of an answer go.
struct Answer<'a> {
    events: &'a Events,
    entries: Option<&'a mut Vec<FileEntry>>,
    bytes: Option<&'a mut (dyn AsyncWrite + Send + Unpin)>,
}

impl<'a> Answer<'a> {
    fn events(events: &'a Events) -> Self {
        Self { events, entries: None, bytes: None }
    }
}

fn unexpected() -> Error {
    Error::new(ErrorKind::Corrupt, "talk to the helper", "", "it answered something that was not asked")
}

async fn keep_tail(mut stderr: Reader, tail: Arc<SyncMutex<VecDeque<u8>>>) {
    let mut chunk = [0; 1024];
    while let Ok(read @ 1..) = stderr.read(&mut chunk).await {
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend(&chunk[..read]);
        let surplus = tail.len().saturating_sub(STDERR_KEPT);
        tail.drain(..surplus);
    }
}

/// An engine that works at the other end of an [`AgentConnection`].
#[derive(Debug)]
pub struct RemoteEngine {
    here: Arc<dyn BackupEngine>,
    connection: Arc<AgentConnection>,
}

impl RemoteEngine {
    /// The engine like `here`, in the helper behind `connection`.
    #[must_use]
    pub fn new(here: Arc<dyn BackupEngine>, connection: Arc<AgentConnection>) -> Self {
        Self { here, connection }
    }
}

#[async_trait]
impl BackupEngine for RemoteEngine {
    fn kind(&self) -> EngineKind {
        self.here.kind()
    }

    fn capabilities(&self) -> Capabilities {
        self.here.capabilities()
    }

    fn check_options(&self, options: &BTreeMap<String, String>) -> Result<()> {
        self.here.check_options(options)
    }

    fn freezes(&self, options: &BTreeMap<String, String>) -> bool {
        self.here.freezes(options)
    }

    /// Opens a repository in the helper. It stays open as long as the connection does.
    async fn open(&self, spec: &RepositorySpec, mode: OpenMode) -> Result<Arc<dyn Repository>> {
        let request = Request::Open { engine: self.kind(), spec: spec.clone(), mode };
        let asked = Asked { repository: 0, request };
        let number = self.connection.call(&asked, Answer::events(&Events::ignored())).await?;
        Ok(Arc::new(RemoteRepository { connection: Arc::clone(&self.connection), number }))
    }
}

#[derive(Debug)]
struct RemoteRepository {
    connection: Arc<AgentConnection>,
    /// What the agent knows it by.
    number: usize,
}

impl RemoteRepository {
    async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T> {
        self.call(request, Answer::events(&Events::ignored())).await
    }

    async fn call<T: DeserializeOwned>(&self, request: Request, answer: Answer<'_>) -> Result<T> {
        self.connection.call(&Asked { repository: self.number, request }, answer).await
    }
}

#[async_trait]
impl Repository for RemoteRepository {
    async fn warm(&self, request: &SnapshotRequest, events: &Events) -> Result<WarmReport> {
        self.call(Request::Warm(request.clone()), Answer::events(events)).await
    }

    async fn freeze(&self, events: &Events) -> Result<FreezeReport> {
        self.call(Request::Freeze, Answer::events(events)).await
    }

    async fn take_dump(
        &self,
        request: &DumpRequest,
        content: &mut (dyn AsyncRead + Send + Unpin),
        events: &Events,
    ) -> Result<u64> {
        let asked = Asked { repository: self.number, request: Request::TakeDump(request.clone()) };
        self.connection.call_with(&asked, content, Answer::events(events)).await
    }

    async fn backup(&self, request: &SnapshotRequest, events: &Events) -> Result<SnapshotReport> {
        self.call(Request::Backup(request.clone()), Answer::events(events)).await
    }

    async fn restore(&self, request: &RestoreRequest, events: &Events) -> Result<RestoreReport> {
        self.call(Request::Restore(request.clone()), Answer::events(events)).await
    }

    async fn check_restorable(&self, snapshot: &SnapshotId, mounts: &[MountKey]) -> Result<()> {
        self.ask(Request::CheckRestorable { snapshot: snapshot.clone(), mounts: mounts.to_vec() }).await
    }

    async fn prove_undo(&self, request: &UndoRequest) -> Result<()> {
        self.ask(Request::ProveUndo(request.clone())).await
    }

    async fn list_snapshots(&self) -> Result<Vec<Snapshot>> {
        self.ask(Request::ListSnapshots).await
    }

    async fn list_files(&self, snapshot: &SnapshotId, folder: &EntryPath, recursive: bool) -> Result<Vec<FileEntry>> {
        let request = Request::ListFiles { snapshot: snapshot.clone(), folder: folder.clone(), recursive };
        let mut entries = Vec::new();
        let answer = Answer { events: &Events::ignored(), entries: Some(&mut entries), bytes: None };
        let () = self.call(request, answer).await?;
        Ok(entries)
    }

    async fn read_file(
        &self,
        snapshot: &SnapshotId,
        path: &EntryPath,
        out: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<u64> {
        let request = Request::ReadFile { snapshot: snapshot.clone(), path: path.clone() };
        let answer = Answer { events: &Events::ignored(), entries: None, bytes: Some(out) };
        self.call(request, answer).await
    }

    async fn forget(&self, snapshots: &[SnapshotId]) -> Result<()> {
        self.ask(Request::Forget { snapshots: snapshots.to_vec() }).await
    }

    async fn prune(&self) -> Result<PruneReport> {
        self.ask(Request::Prune).await
    }

    async fn verify(&self, depth: VerifyDepth) -> Result<VerifyReport> {
        self.ask(Request::Verify { depth }).await
    }

    async fn stats(&self) -> Result<RepositoryStats> {
        self.ask(Request::Stats).await
    }
}
