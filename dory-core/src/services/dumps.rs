//! Dumps: output of a command in a container that becomes a file of the point, streamed, with everything up.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use jiff::SignedDuration;
use tokio::io::{AsyncRead, DuplexStream, ReadBuf};
use tokio::sync::oneshot;

use super::Dory;
use super::backup::Planned;
use super::cancel::Cancel;
use super::helper::SCRATCH;
use super::hook_command::{Ended, Pipes, Task, words};
use super::run_events::{Phase, RunEvent, RunEvents};
use super::run_record::RunStart;
use crate::domain::container::Container;
use crate::domain::dump::{DumpSpec, path_of};
use crate::domain::entry_path::EntryPath;
use crate::domain::event::{Warning, WarningKind};
use crate::domain::hook::OnError;
use crate::domain::restore_point::PointDump;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{DumpRequest, Repository};

/// How much waits between a command and the engine, in bytes.
const PIPE: usize = 256 << 10;

/// What came of a point's dumps.
#[derive(Debug, Default)]
pub(super) struct Dumped {
    pub(super) dumps: Vec<PointDump>,
    /// Those that failed although the run goes on.
    pub(super) missing: Vec<Warning>,
}

/// Whose dump is taken, and for which run.
#[derive(Clone, Copy)]
pub(super) struct Dumping<'a> {
    pub(super) spec: &'a DumpSpec,
    pub(super) container: &'a Container,
    pub(super) planned: &'a Planned,
    pub(super) run: &'a RunStart,
    pub(super) events: &'a RunEvents,
}

impl Dory {
    /// Takes what `planned` says, into what the repository's next snapshot will hold.
    ///
    /// # Errors
    /// `HookFailed` with the command's last words, unless the run is to go on; `Cancelled`, with the command ended; the
    /// engine's.
    pub(super) async fn take_dumps(
        &self,
        planned: &Planned,
        repository: &dyn Repository,
        run: &RunStart,
        cancel: &Cancel,
        events: &RunEvents,
    ) -> Result<Dumped> {
        let Some(spec) = &planned.plan.policy.hooks.dump else { return Ok(Dumped::default()) };
        events.phase(Phase::Dump);
        let dumping = Dumping { spec, container: &planned.container, planned, run, events };
        let taken = self.take_dump(dumping, repository, cancel).await;
        // What was broken off by the user is not ended well, but it is not the dump that failed.
        cancel.or(async { Ok(()) }).await?;
        // Without a mount and without a dump there is nothing to make a point of.
        let may_go_on = spec.on_error == OnError::Continue && !planned.plan.mounts.is_empty();
        match taken {
            Ok(dump) => Ok(Dumped { dumps: vec![dump], missing: Vec::new() }),
            Err(error) if may_go_on && error.kind() == ErrorKind::HookFailed => {
                let path = EntryPath::new(path_of(&spec.name));
                let warning = Warning { kind: WarningKind::NotDumped, path, detail: words(&error) };
                events.send(RunEvent::Warning(warning.clone()));
                Ok(Dumped { dumps: Vec::new(), missing: vec![warning] })
            }
            Err(error) => Err(error),
        }
    }

    /// Takes one dump.
    ///
    /// # Errors
    /// As for [`take_dumps`](Self::take_dumps).
    pub(super) async fn take_dump(
        &self,
        dumping: Dumping<'_>,
        repository: &dyn Repository,
        cancel: &Cancel,
    ) -> Result<PointDump> {
        let Dumping { spec, container, planned, run, events } = dumping;
        let started = self.clock.monotonic();
        let id = self.running(container).await.map_err(|reason| failed(dumping, &reason))?;
        let (name, how) = (spec.name.clone(), spec.method.to_string());
        events.send(RunEvent::DumpStarted { container: container.name.clone(), name: name.clone(), how });
        let (output, reader) = tokio::io::duplex(PIPE);
        let (tell, ended_well) = oneshot::channel();
        let stream = WholeStream::new(reader, ended_well);
        let run = run.id.to_string();
        let environment =
            [("DORY_DUMP", name.as_str()), ("DORY_BACKUP", planned.plan.backup.as_str()), ("DORY_RUN", run.as_str())];
        let command = spec.command();
        let task = Task { command: &command, user: spec.user.as_ref(), environment: &environment };
        let pipes = Pipes { output: Some(Box::new(output)), ..Pipes::default() };
        let process = self.start_command(&id, task, pipes).await;
        let process =
            process.map_err(|error| failed(dumping, "its command cannot be run").with_source(words(&error)))?;

        let stop = Cancel::new();
        let running = async {
            let (ended, said) = process.run(spec.timeout.get(), &stop).await;
            // Only now it is known that what came out of it is whole; nobody waits for the word if the engine gave up.
            let _ = tell.send(matches!(ended, Ended::ByItself(Ok(0))));
            (ended, said)
        };
        let taking = async {
            let request = DumpRequest { name: name.clone(), scratch: Some(SCRATCH.into()) };
            let mut stream = stream;
            let taken = repository.take_dump(&request, &mut stream, &events.for_engine(|_| ())).await;
            // Before the command is ended: one whose output nobody takes cannot end.
            drop(stream);
            if taken.is_err() {
                stop.cancel();
            }
            taken
        };
        let (taken, (ended, said)) = until_done(cancel, &stop, async { tokio::join!(taking, running) }).await;
        match (taken, ended.trouble()) {
            (Ok(bytes), None) => {
                let elapsed = self.clock.monotonic().saturating_sub(started);
                let elapsed = SignedDuration::try_from(elapsed).unwrap_or(SignedDuration::MAX);
                let dump = PointDump { name, bytes, preset: spec.method.preset(), elapsed };
                events.send(RunEvent::DumpTaken(dump.clone()));
                Ok(dump)
            }
            // The engine gave up, and the command was ended for that.
            (Err(error), _) if error.kind() != ErrorKind::Cancelled => Err(error),
            (_, trouble) => {
                let trouble = trouble.unwrap_or_else(|| "was not stored to its end".to_owned());
                let error = failed(dumping, &format!("its command {trouble}"));
                Err(if said.is_empty() { error } else { error.with_source(said) })
            }
        }
    }
}

fn failed(Dumping { spec, container, .. }: Dumping<'_>, reason: &str) -> Error {
    let operation = format!("take from container {} the dump", container.name);
    Error::new(ErrorKind::HookFailed, operation, spec.name.as_str(), reason)
        .with_hint("`--no-dump` goes without, `dory.dump.on-error=continue` past it")
}

/// Does `work` to its end. If the user wishes to end before that, `stop` is wished for, which `work` heeds.
pub(super) async fn until_done<T>(cancel: &Cancel, stop: &Cancel, work: impl Future<Output = T>) -> T {
    let wish = async {
        let _ = cancel.or(std::future::pending::<Result<()>>()).await;
        stop.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        done = work => done,
        () = wish => unreachable!("it never ends"),
    }
}

/// A stream whose end counts only once somebody says that what gave it ended well. If they say otherwise it ends in an
/// error, at once: what gave it may never close it.
pub(super) struct WholeStream {
    stream: DuplexStream,
    ending: Ending,
}

enum Ending {
    Unknown(oneshot::Receiver<bool>),
    Well,
    Broken,
}

impl WholeStream {
    pub(super) fn new(stream: DuplexStream, ended_well: oneshot::Receiver<bool>) -> Self {
        Self { stream, ending: Ending::Unknown(ended_well) }
    }
}

impl AsyncRead for WholeStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Ending::Unknown(word) = &mut self.ending
            && let Poll::Ready(word) = Pin::new(word).poll(cx)
        {
            self.ending = if word == Ok(true) { Ending::Well } else { Ending::Broken };
        }
        if matches!(self.ending, Ending::Broken) {
            return Poll::Ready(Err(io::Error::other("what gave it did not end well")));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let is_end = buf.filled().len() == before && buf.remaining() > 0;
        // Whoever says how it ended wakes the reader.
        if is_end && matches!(self.ending, Ending::Unknown(_)) { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn an_end_counts_once_it_is_said_to_be_one() {
        for word in [Some(true), Some(false), None] {
            let (mut write, read) = tokio::io::duplex(64);
            let (tell, told) = oneshot::channel();
            write.write_all(b"all").await.unwrap();
            drop(write);
            match word {
                Some(word) => tell.send(word).unwrap(),
                None => drop(tell),
            }
            let (mut stream, mut all) = (WholeStream::new(read, told), String::new());
            assert_eq!(stream.read_to_string(&mut all).await.is_ok(), word == Some(true));
        }
    }

    #[tokio::test]
    async fn what_is_never_closed_can_be_called_broken() {
        let (mut write, read) = tokio::io::duplex(64);
        let (tell, told) = oneshot::channel();
        write.write_all(b"half").await.unwrap();
        let (mut stream, mut all) = (WholeStream::new(read, told), String::new());
        let (read, ()) = tokio::join!(stream.read_to_string(&mut all), async { tell.send(false).unwrap() });
        assert!(read.is_err() && stream.read(&mut [0; 8]).await.is_err());
        drop(write);
    }
}
