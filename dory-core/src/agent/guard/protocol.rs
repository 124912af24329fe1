//! The lines between Dory and its guardian: one JSON value each, `Order`s down, `Word`s up.
//!
//! Dory speaks first, with [`Order::Hello`]; the guardian answers with [`Word::Armed`] or [`Word::Refused`]. From then
//! on Dory sends [`Order::Beat`] each second; every other order is answered, in order. The guardian says
//! [`Word::Acting`] unasked, and is then deaf.

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::error::{Error, ErrorKind, ErrorRecord, Result};

/// The version of everything in this file. Both sides must have the same.
pub const PROTOCOL: u32 = 1;

/// How often Dory shows that it lives.
pub(super) const BEAT: Duration = Duration::from_secs(1);

/// How many beats in a row may be missed.
pub(super) const BEATS_MISSED: u32 = 5;

/// The longest line that is accepted, in bytes.
const LONGEST_LINE: u64 = 64 << 10;

/// What Dory tells its guardian.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The first order: who this is.
    Hello {
        /// Dory's [`PROTOCOL`].
        protocol: u32,
        /// What proves that it is the creator.
        nonce: String,
    },
    /// Dory lives.
    Beat,
    /// From now on the data is half restored.
    Writing,
    /// The data is whole again.
    Written,
    /// Everything is as it was before: go.
    Disarm,
}

/// What a guardian says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// It reached the engine, and sees every container it guards.
    Armed,
    /// It cannot do what was ordered.
    Refused(ErrorRecord),
    /// It did what was ordered.
    Done,
    /// It brings containers back now.
    Acting(Trigger),
}

/// Why a guardian acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// Its input ended.
    Closed,
    /// Nobody showed that Dory lives.
    Silence,
    /// Containers stood still for longer than they may.
    TooLong,
    /// It was started again, so its engine or its host was, or it was killed.
    Restarted,
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "its line to Dory was cut",
            Self::Silence => "Dory was silent for too long",
            Self::TooLong => "containers stood still for longer than they may",
            Self::Restarted => "it was started again",
        })
    }
}

/// Reads one line; `None` at the end, also in the middle of a line.
///
/// # Errors
/// `Corrupt` for a line that is too long or not understood; `Unavailable` if the pipe fails.
pub async fn read_line<T: DeserializeOwned>(reader: &mut (impl AsyncBufRead + Send + Unpin)) -> Result<Option<T>> {
    let mut line = Vec::new();
    reader.take(LONGEST_LINE).read_until(b'\n', &mut line).await.map_err(pipe_failed)?;
    if line.last() != Some(&b'\n') {
        return if line.len() as u64 == LONGEST_LINE { Err(broken("a line is longer than allowed")) } else { Ok(None) };
    }
    serde_json::from_slice(&line).map(Some).map_err(|error| broken("a line is not understood").with_source(error))
}

/// Writes one line and flushes it.
///
/// # Errors
/// `Unavailable` if the pipe fails.
pub async fn write_line<T: Serialize + Sync>(writer: &mut (impl AsyncWrite + Send + Unpin), line: &T) -> Result<()> {
    let mut json = serde_json::to_vec(line).map_err(|error| broken("a line cannot be written").with_source(error))?;
    json.push(b'\n');
    writer.write_all(&json).await.map_err(pipe_failed)?;
    writer.flush().await.map_err(pipe_failed)
}

fn broken(reason: &str) -> Error {
    Error::new(ErrorKind::Corrupt, "talk to the guardian", "", reason)
}

fn pipe_failed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "talk to the guardian", "", "its pipe broke").with_source(error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn lines_come_back_as_they_went() {
        run(async {
            let mut pipe = Vec::new();
            let orders = [Order::Hello { protocol: PROTOCOL, nonce: "a\nb".into() }, Order::Beat, Order::Disarm];
            for order in &orders {
                write_line(&mut pipe, order).await.unwrap();
            }
            let mut reader = pipe.as_slice();
            for order in &orders {
                assert_eq!(read_line::<Order>(&mut reader).await.unwrap().as_ref(), Some(order));
            }
            assert_eq!(read_line::<Order>(&mut reader).await.unwrap(), None);
        });
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_memory() {
        let endless = vec![b'x'; 1 << 20];
        let error = run(read_line::<Order>(&mut endless.as_slice())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        // Cut off in the middle is no order, and no damage either.
        assert_eq!(run(read_line::<Order>(&mut br#""dis"#.as_slice())).unwrap(), None);
    }

    proptest! {
        #[test]
        fn junk_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            run(async {
                let mut reader = bytes.as_slice();
                while let Ok(Some(_)) = read_line::<Order>(&mut reader).await {}
                let mut reader = bytes.as_slice();
                while let Ok(Some(_)) = read_line::<Word>(&mut reader).await {}
            });
        }
    }
}
