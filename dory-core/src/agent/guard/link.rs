//! Dory's side: the line to its guardian.

use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, BufReader};
use tokio::sync::{mpsc, oneshot, watch};

use super::protocol::{BEAT, Order, PROTOCOL, Word, read_line, write_line};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Clock, Helper};

/// How long a guardian may take to arm itself.
const ARMING: Duration = Duration::from_secs(30);

/// How long a guardian may take to answer an order.
const ANSWER: Duration = Duration::from_secs(10);

/// How much of a guardian's standard error is kept, in bytes, and how long it is waited for, to tell why it ended.
const LAST_WORDS: u64 = 8 << 10;
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(2);

type Asked = (Order, oneshot::Sender<Result<()>>);

/// The line to one armed guardian. When it is dropped, the guardian acts.
pub struct GuardLink {
    orders: mpsc::Sender<Asked>,
    lost: watch::Receiver<Option<String>>,
    clock: Arc<dyn Clock>,
}

impl GuardLink {
    /// Takes over a guardian's pipes, proves by `nonce` who made it, and waits until it is armed. From then on a task of
    /// its own shows the guardian that Dory lives.
    ///
    /// # Errors
    /// What the guardian says against it; `Unavailable` if it ends without a word; `TimedOut`.
    pub async fn arm(helper: Helper, nonce: String, clock: Arc<dyn Clock>) -> Result<Self> {
        let Helper { mut stdin, stdout, stderr, .. } = helper;
        write_line(&mut stdin, &Order::Hello { protocol: PROTOCOL, nonce }).await?;
        let mut words = read_words(stdout);
        let first = tokio::select! {
            word = words.recv() => word,
            () = clock.sleep(ARMING) => {
                return Err(Error::new(ErrorKind::TimedOut, "arm the guardian", "", "it does not answer"));
            }
        };
        match first {
            Some(Word::Armed) => {}
            Some(Word::Refused(record)) => return Err(record.into()),
            Some(_) => return Err(Error::new(ErrorKind::Corrupt, "arm the guardian", "", "it said something else")),
            None => return Err(ended(stderr).await),
        }
        let (orders, asked) = mpsc::channel(4);
        let (fate, lost) = watch::channel(None);
        tokio::spawn(tend(stdin, words, asked, fate, Arc::clone(&clock)));
        Ok(Self { orders, lost, clock })
    }

    /// Why the guardian does not guard any more; `None` while it does.
    #[must_use]
    pub fn lost(&self) -> Option<String> {
        self.lost.borrow().clone()
    }

    /// Gives an order, and waits until it was followed.
    ///
    /// # Errors
    /// What the guardian says against it; `Unavailable` once it does not guard any more; `TimedOut`.
    pub async fn order(&self, order: Order) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        let gone = |_| {
            let reason = self.lost().unwrap_or_else(|| "it is gone".to_owned());
            Error::new(ErrorKind::Unavailable, "talk to the guardian", "", reason)
        };
        self.orders.send((order, answer)).await.map_err(|_| gone(()))?;
        tokio::select! {
            biased;
            answer = answered => answer.unwrap_or_else(|_| Err(gone(()))),
            () = self.clock.sleep(ANSWER) => {
                Err(Error::new(ErrorKind::TimedOut, "talk to the guardian", "", "it does not answer"))
            }
        }
    }
}

impl Debug for GuardLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardLink").field("lost", &self.lost()).finish_non_exhaustive()
    }
}

/// Shows the guardian that Dory lives, passes orders and answers on, and notices its end. It ends, and with it the line,
/// when the link is dropped.
async fn tend(
    mut stdin: Box<dyn AsyncWrite + Send + Unpin>,
    mut words: mpsc::Receiver<Word>,
    mut asked: mpsc::Receiver<Asked>,
    fate: watch::Sender<Option<String>>,
    clock: Arc<dyn Clock>,
) {
    let mut unanswered: VecDeque<oneshot::Sender<Result<()>>> = VecDeque::new();
    let why = loop {
        let order = tokio::select! {
            biased;
            word = words.recv() => {
                let answer = match word {
                    Some(Word::Done) => Ok(()),
                    Some(Word::Refused(record)) => Err(record.into()),
                    Some(Word::Acting(trigger)) => break format!("the guardian acted: {trigger}"),
                    Some(Word::Armed) => continue,
                    None => break "the guardian ended".to_owned(),
                };
                if let Some(waiting) = unanswered.pop_front() {
                    // Whoever asked may have given up.
                    let _ = waiting.send(answer);
                }
                continue;
            }
            asked = asked.recv() => match asked {
                Some((order, answer)) => {
                    unanswered.push_back(answer);
                    order
                }
                None => return,
            },
            () = clock.sleep(BEAT) => Order::Beat,
        };
        if let Err(error) = write_line(&mut stdin, &order).await {
            break format!("the line to the guardian broke: {}", error.causes().join(": "));
        }
    };
    fate.send_replace(Some(why));
}

/// Reads a guardian's words in a task of its own; the channel ends with its output.
fn read_words(stdout: Box<dyn AsyncRead + Send + Unpin>) -> mpsc::Receiver<Word> {
    let (words, received) = mpsc::channel(16);
    tokio::spawn(async move {
        let mut stdout = BufReader::new(stdout);
        while let Ok(Some(word)) = read_line(&mut stdout).await {
            if words.send(word).await.is_err() {
                return;
            }
        }
    });
    received
}

/// What a guardian that ended before it was armed wrote to its standard error.
async fn ended(stderr: Box<dyn AsyncRead + Send + Unpin>) -> Error {
    let error = Error::new(ErrorKind::Unavailable, "arm the guardian", "", "it ended without a word");
    let mut words = Vec::new();
    let read = async { stderr.take(LAST_WORDS).read_to_end(&mut words).await };
    // What came until then is told, however it ended.
    let _ = tokio::time::timeout(LAST_WORDS_WITHIN, read).await;
    match String::from_utf8_lossy(&words).trim() {
        "" => error,
        words => error.with_source(words.to_owned()),
    }
}
