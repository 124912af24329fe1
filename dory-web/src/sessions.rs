//! Who is signed in: kept in this process, by the hash of what the browser shows.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use data_encoding::HEXLOWER;
use dory_core::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};

/// How long nothing may be heard of a browser: eight hours.
const IDLE: Duration = Duration::from_secs(8 * 3600);

/// How long a session lasts at most: a week.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// How many there may be; the one that was idle longest goes first.
const MOST: usize = 10_000;

/// Everybody who is signed in.
#[derive(Debug)]
pub(crate) struct Sessions {
    all: Mutex<HashMap<String, Session>>,
    /// What tokens of those who come through a proxy are drawn from.
    secret: String,
}

/// One browser that is signed in.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// Whose it is.
    pub(crate) user: String,
    /// What every form of it carries.
    pub(crate) csrf: String,
    begun: Duration,
    seen: Duration,
}

impl Sessions {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { all: Mutex::default(), secret: random()? })
    }

    /// Signs somebody in, and gives what the browser is to show.
    pub(crate) fn begin(&self, user: &str, now: Duration) -> Result<String> {
        let (shown, csrf) = (random()?, random()?);
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, session| session.counts(now));
        if all.len() >= MOST
            && let Some(oldest) = all.iter().min_by_key(|(_, session)| session.seen).map(|(key, _)| key.clone())
        {
            all.remove(&oldest);
        }
        all.insert(hash(&shown), Session { user: user.to_owned(), csrf, begun: now, seen: now });
        Ok(shown)
    }

    /// The session of a browser that shows this.
    pub(crate) fn find(&self, shown: &str, now: Duration) -> Option<Session> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let session = all.get_mut(&hash(shown)).filter(|session| session.counts(now))?;
        session.seen = now;
        Some(session.clone())
    }

    /// Signs a browser out.
    pub(crate) fn end(&self, shown: &str) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash(shown));
    }

    /// Signs somebody out everywhere, but in the browser that shows `but`.
    pub(crate) fn end_all_of(&self, user: &str, but: Option<&str>) {
        let but = but.map(hash);
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|key, session| session.user != user || Some(key) == but.as_ref());
    }

    /// What every form carries of somebody who has no session, for a proxy names them.
    pub(crate) fn csrf_of(&self, user: &str) -> String {
        hash(&format!("{}\n{user}\n{}", self.secret, self.secret))
    }
}

impl Session {
    fn counts(&self, now: Duration) -> bool {
        now.saturating_sub(self.seen) < IDLE && now.saturating_sub(self.begun) < LONGEST
    }
}

/// 256 random bits in hex.
pub(crate) fn random() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::new(ErrorKind::Internal, "make a secret", "", "the system has no randomness").with_source(error)
    })?;
    Ok(HEXLOWER.encode(&bytes))
}

/// Whether two secrets are the same, however much of them is.
pub(crate) fn same(a: &str, b: &str) -> bool {
    hash(a) == hash(b) && !a.is_empty()
}

fn hash(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_idle_when_old_and_when_told() {
        let sessions = Sessions::new().unwrap();
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let shown = sessions.begin("ada", hours(0)).unwrap();
        assert!(sessions.find(&shown, hours(7)).is_some(), "and it was seen now");
        assert!(sessions.find(&shown, hours(14)).is_some());
        assert!(sessions.find(&shown, hours(22)).is_none(), "idle for eight hours");
        let shown = sessions.begin("ada", hours(0)).unwrap();
        assert!((1..34).all(|turn| sessions.find(&shown, hours(turn * 5)).is_some()));
        assert!(sessions.find(&shown, hours(24 * 7)).is_none(), "a week old");
        let (one, other) = (sessions.begin("ada", hours(0)).unwrap(), sessions.begin("ada", hours(0)).unwrap());
        sessions.end_all_of("ada", Some(&other));
        assert!(sessions.find(&one, hours(0)).is_none() && sessions.find(&other, hours(0)).is_some());
        sessions.end(&other);
        assert!(sessions.find(&other, hours(0)).is_none());
        assert!(sessions.find("a guess", hours(0)).is_none());
    }

    #[test]
    fn no_two_people_share_a_form() {
        let sessions = Sessions::new().unwrap();
        assert_ne!(sessions.csrf_of("ada"), sessions.csrf_of("bob"));
        assert_ne!(sessions.csrf_of("ada"), Sessions::new().unwrap().csrf_of("ada"));
    }
}
