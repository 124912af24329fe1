//! The agent: answers one host over a pair of pipes, and ends when its input does.

use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::{Mutex, mpsc};

use super::inflow::{Incoming, Inflow};
use super::protocol::{
    Asked, ENTRIES_PER_REPLY, Frame, PROTOCOL, Reply, Request, read_frame, write_bytes, write_message,
};
use crate::domain::entry_path::EntryPath;
use crate::domain::event::Progress;
use crate::domain::id::SnapshotId;
use crate::domain::policy::EngineKind;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{BackupEngine, Clock, EngineEvent, Events, MountFolder, Repository, SnapshotRequest};

/// How often a working agent says how far it is, even if its engine has nothing new to say.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// How soon it says so first: whoever watches sees that something goes on.
const FIRST_PROGRESS: Duration = Duration::from_millis(100);

/// How much of a file goes into one frame, in bytes.
const FILE_CHUNK: usize = 256 << 10;

/// How many replies may wait for the host before an engine's next one waits too.
const REPLIES_QUEUED: usize = 64;

/// What an agent works with.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// The engines it has.
    pub engines: Vec<Arc<dyn BackupEngine>>,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// The folder that the host's paths are below: `/` in a real helper, a temporary folder in tests.
    pub root: PathBuf,
}

/// Answers requests from `input` on `output` until `input` ends.
///
/// When it ends in the middle of a request, this returns at once; the caller then ends the process, for an engine's
/// threads may still be working.
///
/// # Errors
/// `Corrupt` if the host does not speak the protocol; `Unavailable` if `output` breaks.
pub async fn serve(
    mut input: impl AsyncRead + Send + Unpin + 'static,
    mut output: impl AsyncWrite + Send + Unpin,
    options: AgentOptions,
) -> Result<()> {
    let (arrived, incoming) = mpsc::channel(1);
    let reader = tokio::spawn(async move {
        while let Some(frame) = read_frame(&mut input).await? {
            let frame = match frame {
                Frame::Bytes(bytes) => Incoming::Bytes(bytes),
                Frame::Message(_) => Incoming::Asked(Box::new(frame.parse()?)),
            };
            if arrived.send(frame).await.is_err() {
                break;
            }
        }
        Ok::<_, Error>(())
    });

    let hello = Reply::Hello { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned() };
    write_message(&mut output, &hello).await?;

    let (replies, mut outgoing) = mpsc::channel(REPLIES_QUEUED);
    let work = async move {
        let mut session = Session { options, repositories: Vec::new(), replies, incoming: Mutex::new(incoming) };
        while let Some(asked) = session.next().await {
            session.answer(asked).await;
        }
    };
    let write = async {
        while let Some(out) = outgoing.recv().await {
            match out {
                Out::Reply(reply) => write_message(&mut output, &reply).await?,
                Out::Bytes(bytes) => write_bytes(&mut output, &bytes).await?,
            }
        }
        Ok::<_, Error>(())
    };
    // The reader ends first when the host closes the pipe: whatever is under way is then nobody's business any more.
    tokio::select! {
        read = reader => read.unwrap_or_else(|error| {
            Err(Error::new(ErrorKind::Internal, "read requests", "", "the reader ended").with_source(error))
        }),
        (_, written) = async { tokio::join!(work, write) } => written,
    }
}

enum Out {
    Reply(Reply),
    Bytes(Vec<u8>),
}

struct Session {
    options: AgentOptions,
    repositories: Vec<Arc<dyn Repository>>,
    replies: mpsc::Sender<Out>,
    incoming: Mutex<mpsc::Receiver<Incoming>>,
}

enum Answer {
    Opened(Arc<dyn Repository>),
    Report(serde_json::Value),
}

impl Session {
    /// The next request. What is left of a stream that the engine did not want to its end is passed over.
    async fn next(&self) -> Option<Asked> {
        let mut incoming = self.incoming.lock().await;
        loop {
            match incoming.recv().await? {
                Incoming::Asked(asked) if asked.request != Request::BreakOff => return Some(*asked),
                Incoming::Asked(_) | Incoming::Bytes(_) => {}
            }
        }
    }

    /// Answers one request; what the engine tells meanwhile goes out before the end of the answer.
    async fn answer(&mut self, asked: Asked) {
        let latest = Arc::new(SyncMutex::new(Progress::default()));
        let (warnings, mut warned) = mpsc::unbounded_channel();
        let events = {
            let latest = Arc::clone(&latest);
            Events::new(move |event| match event {
                EngineEvent::Progress(progress) => *latest.lock().unwrap_or_else(PoisonError::into_inner) = progress,
                EngineEvent::Warning(_) => drop(warnings.send(event)),
            })
        };
        let answer = {
            let work = self.work(asked, events);
            tokio::pin!(work);
            let mut wait = FIRST_PROGRESS;
            loop {
                let event = tokio::select! {
                    answer = &mut work => break answer,
                    Some(event) = warned.recv() => event,
                    () = self.options.clock.sleep(wait) => {
                        wait = PROGRESS_INTERVAL;
                        EngineEvent::Progress(*latest.lock().unwrap_or_else(PoisonError::into_inner))
                    }
                };
                self.reply(Reply::Event(event)).await;
            }
        };
        while let Ok(event) = warned.try_recv() {
            self.reply(Reply::Event(event)).await;
        }
        match answer {
            Ok(Answer::Report(report)) => self.reply(Reply::Done(report)).await,
            Ok(Answer::Opened(repository)) => {
                self.repositories.push(repository);
                self.reply(Reply::Done((self.repositories.len() - 1).into())).await;
            }
            Err(error) => self.reply(Reply::Failed(error.to_record())).await,
        }
    }

    async fn reply(&self, reply: Reply) {
        // Nobody receives once the pipe broke; `serve` is then about to return that.
        let _ = self.replies.send(Out::Reply(reply)).await;
    }

    async fn work(&self, Asked { repository, request }: Asked, events: Events) -> Result<Answer> {
        if let Request::Open { engine, spec, mode } = request {
            return self.engine(engine)?.open(&spec, mode).await.map(Answer::Opened);
        }
        let repository = self.repositories.get(repository).ok_or_else(|| {
            Error::new(ErrorKind::Internal, "answer a request", "", "no such repository was opened before")
        })?;
        match request {
            Request::Open { .. } | Request::BreakOff => unreachable!("taken care of before"),
            Request::TakeDump(mut request) => {
                if let Some(scratch) = &mut request.scratch {
                    *scratch = self.local(scratch)?;
                }
                let mut incoming = self.incoming.lock().await;
                report(repository.take_dump(&request, &mut Inflow::new(&mut incoming), &events).await?)
            }
            Request::Warm(mut request) => {
                self.localise_request(&mut request)?;
                report(repository.warm(&request, &events).await?)
            }
            Request::Freeze => report(repository.freeze(&events).await?),
            Request::Backup(mut request) => {
                self.localise_request(&mut request)?;
                report(repository.backup(&request, &events).await?)
            }
            Request::Restore(mut request) => {
                self.localise(&mut request.targets)?;
                report(repository.restore(&request, &events).await?)
            }
            Request::CheckRestorable { snapshot, mounts } => {
                report(repository.check_restorable(&snapshot, &mounts).await?)
            }
            Request::ProveUndo(request) => report(repository.prove_undo(&request).await?),
            Request::ListSnapshots => report(repository.list_snapshots().await?),
            Request::ListFiles { snapshot, folder, recursive } => {
                for chunk in repository.list_files(&snapshot, &folder, recursive).await?.chunks(ENTRIES_PER_REPLY) {
                    self.reply(Reply::Entries(chunk.to_vec())).await;
                }
                report(())
            }
            Request::ReadFile { snapshot, path } => self.read_file(repository.as_ref(), &snapshot, &path).await,
            Request::Forget { snapshots } => report(repository.forget(&snapshots).await?),
            Request::Prune => report(repository.prune().await?),
            Request::Verify { depth } => report(repository.verify(depth).await?),
            Request::Stats => report(repository.stats().await?),
        }
    }

    async fn read_file(&self, repository: &dyn Repository, snapshot: &SnapshotId, path: &EntryPath) -> Result<Answer> {
        let (mut sink, mut source) = tokio::io::duplex(FILE_CHUNK);
        let read = async move {
            let length = repository.read_file(snapshot, path, &mut sink).await;
            drop(sink);
            length
        };
        let forward = async {
            let mut chunk = vec![0; FILE_CHUNK];
            while let Ok(length @ 1..) = source.read(&mut chunk).await {
                let _ = self.replies.send(Out::Bytes(chunk[..length].to_vec())).await;
            }
        };
        let (length, ()) = tokio::join!(read, forward);
        report(length?)
    }

    fn engine(&self, kind: EngineKind) -> Result<&Arc<dyn BackupEngine>> {
        self.options.engines.iter().find(|engine| engine.kind() == kind).ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                "open repository",
                kind.as_str(),
                "this Dory was built without that engine",
            )
        })
    }

    fn localise_request(&self, request: &mut SnapshotRequest) -> Result<()> {
        self.localise(&mut request.sources)?;
        if let Some(scratch) = &mut request.scratch {
            *scratch = self.local(scratch)?;
        }
        Ok(())
    }

    fn localise(&self, folders: &mut [MountFolder]) -> Result<()> {
        for folder in folders {
            folder.path = self.local(&folder.path)?;
        }
        Ok(())
    }

    /// Puts one of the host's absolute paths below this agent's root.
    fn local(&self, path: &Path) -> Result<PathBuf> {
        let relative = path
            .strip_prefix("/")
            .ok()
            .filter(|path| path.components().all(|part| matches!(part, Component::Normal(_))));
        let Some(relative) = relative else {
            let path = path.display().to_string();
            return Err(Error::invalid("mount folder", path, "an absolute path without `..` is expected"));
        };
        Ok(below(&self.options.root, relative))
    }
}

fn below(root: &Path, relative: &Path) -> PathBuf {
    if relative.as_os_str().is_empty() { root.to_path_buf() } else { root.join(relative) }
}

fn report(value: impl Serialize) -> Result<Answer> {
    serde_json::to_value(value).map(Answer::Report).map_err(|error| {
        Error::new(ErrorKind::Internal, "answer a request", "", "the report cannot be written").with_source(error)
    })
}
