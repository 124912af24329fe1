//! The pipes of an attached container or command, made from the engine's one multiplexed connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bollard::container::LogOutput;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

/// How many frames wait in a pipe before the other side is held back. The engine's frames have at most 32 KiB.
const FRAMES_IN_FLIGHT: usize = 32;

/// What bollard gives for an attached connection: frames of standard output and standard error, mixed.
pub(super) type Frames = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;

/// Splits `frames` into standard output and standard error.
///
/// Whoever reads slowly holds the other side back, as with a real pipe; since both come over one connection, a pipe
/// that nobody reads holds back the other one too. A pipe that was dropped holds back nothing: what comes for it is
/// thrown away. Once both were dropped, the reading half of the connection closes.
pub(super) fn split(mut frames: Frames) -> (Output, Output, Drain) {
    let (to_stdout, stdout) = mpsc::channel(FRAMES_IN_FLIGHT);
    let (to_stderr, stderr) = mpsc::channel(FRAMES_IN_FLIGHT);
    let (drain, mut drained) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            () = distribute(&mut frames, &to_stdout, &to_stderr) => return,
            () = both_closed(&to_stdout, &to_stderr) => return,
            () = asked_for(&mut drained) => {}
        }
        drop((to_stdout, to_stderr));
        while let Some(Ok(_)) = frames.next().await {}
    });
    (Output::new(stdout), Output::new(stderr), Drain(drain))
}

type Sender = mpsc::Sender<io::Result<Bytes>>;

async fn distribute(frames: &mut Frames, to_stdout: &Sender, to_stderr: &Sender) {
    while let Some(frame) = frames.next().await {
        // A send fails only where the reader is gone, who then does not want it.
        match frame {
            Ok(LogOutput::StdOut { message }) => drop(to_stdout.send(Ok(message)).await),
            // The engine's own words come in frames of neither kind.
            Ok(LogOutput::StdErr { message } | LogOutput::Console { message }) => {
                drop(to_stderr.send(Ok(message)).await);
            }
            Ok(LogOutput::StdIn { .. }) => {}
            Err(error) => {
                let broken = || io::Error::new(io::ErrorKind::ConnectionReset, error.to_string());
                drop(to_stdout.send(Err(broken())).await);
                drop(to_stderr.send(Err(broken())).await);
                return;
            }
        }
    }
}

async fn both_closed(one: &Sender, other: &Sender) {
    one.closed().await;
    other.closed().await;
}

async fn asked_for(drained: &mut watch::Receiver<bool>) {
    if drained.wait_for(|asked| *asked).await.is_err() {
        // The handle is gone: nobody will ask.
        std::future::pending::<()>().await;
    }
}

/// Lets go of a connection whose pipes somebody holds and does not read.
///
/// The engine waits for its output to be taken before it knows a process as ended: whoever ends one must see to that.
#[derive(Debug)]
pub(super) struct Drain(watch::Sender<bool>);

impl Drain {
    /// Ends both pipes where they are; what still comes is thrown away.
    pub(super) fn open(&self) {
        self.0.send_replace(true);
    }

    /// Whether the connection has ended.
    pub(super) fn is_dry(&self) -> bool {
        self.0.is_closed()
    }
}

/// Standard output or standard error: ends when the other side closed it, fails when the connection broke.
#[derive(Debug)]
pub(super) struct Output {
    frames: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

impl Output {
    fn new(frames: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { frames, rest: Bytes::new() }
    }
}

impl AsyncRead for Output {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(self.frames.poll_recv(cx)) {
                Some(frame) => self.rest = frame?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest.split_to(length));
        Poll::Ready(Ok(()))
    }
}

/// Standard input. Closing it, or dropping it, is the other side's end of file.
///
/// Both halves of an attached connection share one socket, so dropping the writing half alone would close nothing.
pub(super) struct Input {
    connection: Option<Pin<Box<dyn AsyncWrite + Send>>>,
    runtime: Handle,
}

impl Input {
    /// Must be called within a tokio runtime.
    pub(super) fn new(connection: Pin<Box<dyn AsyncWrite + Send>>) -> Self {
        Self { connection: Some(connection), runtime: Handle::current() }
    }

    fn open(&mut self) -> io::Result<Pin<&mut (dyn AsyncWrite + Send + 'static)>> {
        self.connection.as_mut().map(Pin::as_mut).ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl AsyncWrite for Input {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.open()?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.connection.as_mut() {
            Some(connection) => connection.as_mut().poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(connection) = self.connection.as_mut() else { return Poll::Ready(Ok(())) };
        let result = ready!(connection.as_mut().poll_shutdown(cx));
        self.connection = None;
        Poll::Ready(match result {
            // The other side hung up first: it needs no end of file any more.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            other => other,
        })
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            self.runtime.spawn(async move { connection.shutdown().await });
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::io::AsyncReadExt;

    use super::*;

    fn frames(frames: Vec<Result<LogOutput, bollard::errors::Error>>) -> Frames {
        Box::pin(stream::iter(frames))
    }

    fn out(text: &'static str) -> Result<LogOutput, bollard::errors::Error> {
        Ok(LogOutput::StdOut { message: Bytes::from_static(text.as_bytes()) })
    }

    fn err(text: &'static str) -> Result<LogOutput, bollard::errors::Error> {
        Ok(LogOutput::StdErr { message: Bytes::from_static(text.as_bytes()) })
    }

    #[tokio::test]
    async fn frames_are_told_apart_and_joined() {
        let (mut stdout, mut stderr, _drain) = split(frames(vec![out("one "), err("oh"), out(""), out("two")]));
        let (mut said, mut complained) = (String::new(), String::new());
        stdout.read_to_string(&mut said).await.unwrap();
        stderr.read_to_string(&mut complained).await.unwrap();
        assert_eq!((said.as_str(), complained.as_str()), ("one two", "oh"));
    }

    #[tokio::test]
    async fn a_dropped_pipe_holds_nothing_back() {
        let many = (0..FRAMES_IN_FLIGHT * 4).flat_map(|_| [err("noise"), out("x")]).collect();
        let (mut stdout, stderr, _drain) = split(frames(many));
        drop(stderr);
        let mut said = String::new();
        stdout.read_to_string(&mut said).await.unwrap();
        assert_eq!(said.len(), FRAMES_IN_FLIGHT * 4);
    }

    #[tokio::test]
    async fn a_drained_connection_is_read_to_its_end() {
        let (to_pipes, from_engine) = mpsc::channel::<Result<LogOutput, bollard::errors::Error>>(1);
        let engine = stream::unfold(from_engine, |mut frames| async move { Some((frames.recv().await?, frames)) });
        let (mut stdout, _stderr, drain) = split(Box::pin(engine));
        // As many as fit until somebody reads.
        while tokio::time::timeout(std::time::Duration::from_millis(50), to_pipes.send(out("x"))).await.is_ok() {}
        drain.open();
        for _ in 0..FRAMES_IN_FLIGHT * 4 {
            to_pipes.send(out("y")).await.unwrap();
        }
        drop(to_pipes);
        let mut said = String::new();
        stdout.read_to_string(&mut said).await.unwrap();
        assert!(!said.is_empty() && !said.contains('y'), "{said}");
    }

    #[tokio::test]
    async fn a_broken_connection_is_no_end_of_file() {
        let broken = bollard::errors::Error::IOError { err: io::ErrorKind::UnexpectedEof.into() };
        let (mut stdout, _stderr, _drain) = split(frames(vec![out("half"), Err(broken)]));
        let mut said = String::new();
        assert_eq!(stdout.read_to_string(&mut said).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn dropping_the_input_is_the_other_sides_end_of_file() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let (_reading_half, writing_half) = tokio::io::split(ours);
        let mut input = Input::new(Box::pin(writing_half));
        input.write_all(b"last words").await.unwrap();
        drop(input);
        let mut heard = String::new();
        theirs.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "last words");
    }
}
