//! restic's locks: how those who use a repository tell each other.
//!
//! restic's own prune deletes what no snapshot needs, at once; a snapshot that is being made counts for nothing there.
//! So whoever makes or restores one holds a lock that keeps restic's prune away, and waits while restic holds one that
//! keeps all others away. Among themselves, Dorys need no locks: what they prune goes a day later, and whoever needs it
//! meanwhile says so.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use data_encoding::HEXLOWER;
use futures_util::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use rustic_core::Id;
use rustic_core::repofile::MasterKey;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::backend::StoreBackend;
use super::open::missing;
use super::repository::Session;
use super::seal::{seal, unseal};
use crate::error::{Error, ErrorKind, Result};

/// How often a lock is written anew, as restic does: who sees it knows that its holder lives.
const REFRESH: Duration = Duration::from_mins(5);

/// From what age on restic takes a lock for one whose holder died.
const STALE: SignedDuration = SignedDuration::from_mins(30);

/// How long somebody else's lock is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(250);

/// What Dory's locks say of their user: the mark by which Dorys know each other.
const OURS: &str = "dory";

/// Who else may use the repository meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// All but those who want it for themselves.
    WithOthers,
    /// Nobody but other Dorys.
    Alone,
}

/// A lock as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    time: Timestamp,
    exclusive: bool,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    pid: i64,
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    keeper: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Lock {
    /// Takes a lock, and waits a little for others to let go of theirs.
    ///
    /// # Errors
    /// `Conflict` where they do not; `NotFound` without a repository; the store's errors.
    pub(super) fn take(session: &Session, share: Share) -> Result<Self> {
        if !session.backend.has_config()? {
            return Err(missing(session.backend.name()));
        }
        let locks = Locks::of(&session.backend, &session.key);
        let name = locks.write(share)?;
        // Whoever writes theirs later sees ours; whoever wrote theirs before is seen now.
        if let Err(error) = locks.wait_for_turn(share) {
            locks.remove(&name);
            return Err(error);
        }
        let (stop, stopped) = mpsc::channel();
        let keeper = thread::spawn(move || locks.keep(name, share, &stopped));
        Ok(Self { keeper: Some((stop, keeper)) })
    }

    /// As [`take`](Self::take), for who only reads: where nothing can be written, nobody can be told.
    pub(super) fn take_if_allowed(session: &Session) -> Result<Option<Self>> {
        match Self::take(session, Share::WithOthers) {
            Ok(lock) => Ok(Some(lock)),
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Full) => {
                tracing::debug!(%error, "reading without a lock");
                Locks::of(&session.backend, &session.key).wait_for_turn(Share::WithOthers).map(|()| None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some((stop, keeper)) = self.keeper.take() {
            drop(stop);
            // It only removes the lock, and says itself where it cannot.
            let _ = keeper.join();
        }
    }
}

/// Waits a little for whoever wants the repository for themselves.
///
/// # Errors
/// `Conflict` where they do not let go of it; the store's errors.
pub(super) fn wait_for_turn(backend: &StoreBackend, key: &MasterKey) -> Result<()> {
    Locks::of(backend, key).wait_for_turn(Share::WithOthers)
}

/// The locks of one repository.
struct Locks {
    backend: Arc<StoreBackend>,
    key: MasterKey,
}

impl Locks {
    /// A lock must be removed although nobody waits for the work any more that it was for.
    fn of(backend: &StoreBackend, key: &MasterKey) -> Self {
        Self { backend: Arc::new(backend.for_others()), key: key.clone() }
    }

    fn wait_for_turn(&self, share: Share) -> Result<()> {
        let mut waited = Duration::ZERO;
        loop {
            let Some(other) = self.others()?.into_iter().find(|other| share == Share::Alone || other.exclusive) else {
                return Ok(());
            };
            if waited >= PATIENCE || is_stale(&other) {
                return Err(taken(self.backend.name(), &other));
            }
            thread::sleep(LOOK);
            waited += LOOK;
        }
    }

    /// Locks that are none of Dory's. Those of Dorys that died go.
    fn others(&self) -> Result<Vec<Record>> {
        let mut others = Vec::new();
        for name in self.names()? {
            let Some(record) = self.read(&name)? else { continue };
            if record.username != OURS {
                others.push(record);
            } else if is_stale(&record) {
                self.remove(&name);
            }
        }
        Ok(others)
    }

    fn write(&self, share: Share) -> Result<String> {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let record = Record {
            time: now(),
            exclusive: share == Share::Alone,
            // On a host of that name, restic would look for the process.
            hostname: format!("dory@{}", host.trim()),
            username: OURS.to_owned(),
            pid: std::process::id().into(),
        };
        let bytes = seal(&self.key, &record)?;
        let name = HEXLOWER.encode(&Sha256::digest(&bytes));
        let path = self.path(&name);
        self.backend.ask("write", path.as_ref(), self.backend.at.store.put(&path, bytes.into()))?;
        Ok(name)
    }

    /// The names of what is stored as a lock; what is not named as one is none of restic's.
    fn names(&self) -> Result<Vec<String>> {
        let folder = self.backend.at.root.clone().join("locks");
        let list = self.backend.at.store.list(Some(&folder));
        let objects: Vec<_> = self.backend.ask("list", folder.as_ref(), list.try_collect())?;
        let names = objects.iter().filter_map(|object| object.location.filename());
        Ok(names.filter(|name| name.parse::<Id>().is_ok()).map(str::to_owned).collect())
    }

    /// A lock; `None` where it was removed meanwhile, or half written by somebody who died.
    fn read(&self, name: &str) -> Result<Option<Record>> {
        let path = self.path(name);
        let bytes = async { self.backend.at.store.get(&path).await?.bytes().await };
        match self.backend.ask("read", path.as_ref(), bytes) {
            Ok(bytes) => Ok(unseal(&self.key, &bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn path(&self, name: &str) -> Path {
        self.backend.at.root.clone().join("locks").join(name)
    }

    fn remove(&self, name: &str) {
        let path = self.path(name);
        if let Err(error) = self.backend.ask("delete", path.as_ref(), self.backend.at.store.delete(&path))
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, "a lock stays in the repository: `restic unlock` removes it");
        }
    }

    /// Writes the lock anew from time to time, and removes it in the end.
    fn keep(&self, mut name: String, share: Share, stopped: &mpsc::Receiver<()>) {
        while stopped.recv_timeout(REFRESH) == Err(RecvTimeoutError::Timeout) {
            match self.write(share) {
                Ok(fresh) => {
                    self.remove(&name);
                    name = fresh;
                }
                Err(error) => tracing::warn!(%error, "a lock of the repository could not be refreshed"),
            }
        }
        self.remove(&name);
    }
}

fn is_stale(lock: &Record) -> bool {
    now().duration_since(lock.time) > STALE
}

/// The system's time: what others compare a lock's with is their own system's.
fn now() -> Timestamp {
    let now = clock_gettime(ClockId::Realtime);
    Timestamp::new(now.tv_sec, i32::try_from(now.tv_nsec).unwrap_or_default()).unwrap_or_default()
}

fn taken(name: &str, other: &Record) -> Error {
    let Record { time, hostname, username, pid, .. } = other;
    let error =
        |reason: String, hint: &str| Error::new(ErrorKind::Conflict, "use repository", name, reason).with_hint(hint);
    if is_stale(other) {
        let reason = format!("process {pid} of {username} on {hostname} locked it at {time}, and seems to have died");
        return error(reason, "run `restic unlock` on it: `dory key` prints what restic needs");
    }
    let reason =
        format!("process {pid} of {username} on {hostname} locked it at {time}, for a restic prune or the like");
    error(reason, "wait for its end; if nothing runs there, `restic unlock` on it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(age: SignedDuration) -> Record {
        let (hostname, username) = ("laptop".to_owned(), "ada".to_owned());
        Record { time: now() - age, exclusive: true, hostname, username, pid: 7 }
    }

    #[test]
    fn a_lock_whose_holder_died_names_what_removes_it() {
        let fresh = taken("store", &lock(SignedDuration::from_mins(29)));
        let stale = taken("store", &lock(SignedDuration::from_mins(31)));
        assert!(fresh.hint().unwrap().starts_with("wait"), "{fresh:?}");
        assert!(stale.hint().unwrap().starts_with("run `restic unlock`"), "{stale:?}");
        assert!(stale.to_string().contains("process 7 of ada on laptop"), "{stale}");
    }

    #[test]
    fn a_lock_is_written_as_restic_reads_it() {
        let text = r#"{"time":"2026-01-02T03:04:05.123456789+01:00","exclusive":false,"hostname":"h","username":"u","pid":9,"uid":1}"#;
        let record: Record = serde_json::from_str(text).unwrap();
        assert_eq!((record.pid, record.exclusive), (9, false));
        let written = serde_json::to_value(&record).unwrap();
        assert_eq!(written["time"], "2026-01-02T02:04:05.123456789Z");
    }
}
