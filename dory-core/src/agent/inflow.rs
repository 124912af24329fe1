//! A stream from the host to the agent: frames of bytes, of which an empty one is the end.
//!
//! Memory stays bounded on both sides because neither takes more than it passes on: the agent reads the next frame when
//! the engine has taken the one before, so the pipe fills, and the host's next write waits.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, watch};

use super::protocol::{Asked, Request, write_bytes, write_end_of_bytes, write_message};
use crate::error::{Error, Result};

/// How much of a stream goes into one frame, in bytes.
const PIECE: usize = 256 << 10;

/// What comes from the host.
#[derive(Debug)]
pub(super) enum Incoming {
    Asked(Box<Asked>),
    Bytes(Bytes),
}

/// The agent's side: a stream as it comes.
pub(super) struct Inflow<'a> {
    frames: &'a mut mpsc::Receiver<Incoming>,
    rest: Bytes,
    ended: bool,
}

impl<'a> Inflow<'a> {
    pub(super) fn new(frames: &'a mut mpsc::Receiver<Incoming>) -> Self {
        Self { frames, rest: Bytes::new(), ended: false }
    }
}

impl AsyncRead for Inflow<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() && !self.ended {
            match ready!(self.frames.poll_recv(cx)) {
                Some(Incoming::Bytes(bytes)) => {
                    self.ended = bytes.is_empty();
                    self.rest = bytes;
                }
                // Broken off, or the host is gone.
                Some(Incoming::Asked(_)) | None => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the host broke it off")));
                }
            }
        }
        let length = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest.split_to(length));
        Poll::Ready(Ok(()))
    }
}

/// How a stream ended on the host's side.
pub(super) enum Sent {
    Whole,
    /// Its source gave an error, and the agent was told that there is no more.
    Broken(Error),
}

/// The host's side: sends `content` to its end, or until the agent `answered` before that. Whatever happens, the agent is
/// told where the stream ends, unless its pipe broke.
pub(super) async fn send(
    content: &mut (dyn AsyncRead + Send + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    mut answered: watch::Receiver<bool>,
    repository: usize,
) -> Result<Sent> {
    let mut piece = BytesMut::with_capacity(PIECE);
    loop {
        piece.clear();
        piece.reserve(PIECE);
        // A frame is never left half written: only the wait for more of the stream is given up.
        let answer = async { drop(answered.wait_for(|answered| *answered).await) };
        let read = tokio::select! {
            read = content.read_buf(&mut piece) => Some(read),
            () = answer => None,
        };
        let Some(read) = read else {
            break_off(writer, repository).await?;
            return Ok(Sent::Whole);
        };
        match read {
            Ok(0) => return write_end_of_bytes(writer).await.map(|()| Sent::Whole),
            Ok(_) => write_bytes(writer, &piece).await?,
            Err(error) => {
                break_off(writer, repository).await?;
                return Ok(Sent::Broken(Error::broken_stream(error)));
            }
        }
    }
}

async fn break_off(writer: &mut (impl AsyncWrite + Unpin), repository: usize) -> Result<()> {
    write_message(writer, &Asked { repository, request: Request::BreakOff }).await
}
