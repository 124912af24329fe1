//! Who may come in: from the store, or from this process where the store cannot be trusted with it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dory_core::domain::password::PasswordHash;
use dory_core::domain::secret::Secret;
use dory_core::domain::user::{User, Users};
use dory_core::services::Dory;
use dory_core::{Error, ErrorKind, Result};
use tokio::sync::Semaphore;

/// For how long what was read counts: a role that is taken away elsewhere holds for as long.
const FRESH: Duration = Duration::from_secs(10);

/// How many passwords are hashed at once: each takes a processor and 19 MiB.
const AT_ONCE: usize = 2;

/// Who may come in.
#[derive(Debug)]
pub(crate) struct Accounts {
    dory: Dory,
    read: Mutex<Option<(Duration, Arc<Users>)>>,
    /// Those of a fleet without a passphrase: they are gone when this process ends.
    unkept: Mutex<Users>,
    hashing: Semaphore,
    /// What an unknown user's password is compared with, so that it takes as long.
    decoy: PasswordHash,
}

impl Accounts {
    pub(crate) fn new(dory: Dory) -> Result<Self> {
        let decoy = dory.hash_password(&Secret::new("nobody's password"))?;
        let (read, unkept, hashing) = (Mutex::default(), Mutex::default(), Semaphore::new(AT_ONCE));
        Ok(Self { dory, read, unkept, hashing, decoy })
    }

    /// Everybody. While the store cannot be reached, those who were read last.
    pub(crate) async fn users(&self) -> Result<Arc<Users>> {
        let now = self.dory.clock().monotonic();
        let known = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some((at, users)) if now.saturating_sub(at) < FRESH => Ok(users),
            known => match self.read_anew().await {
                Ok(users) => Ok(self.remember(users)),
                Err(error) if error.kind() == ErrorKind::Unavailable => known.map(|(_, users)| users).ok_or(error),
                Err(error) => Err(error),
            },
        }
    }

    /// Changes who may come in.
    pub(crate) async fn change(&self, mut change: impl FnMut(&mut Users) -> Result<()> + Send) -> Result<()> {
        let users = if self.dory.can_keep_users().await? {
            self.dory.change_users(change).await?
        } else {
            let mut unkept = self.unkept.lock().unwrap_or_else(PoisonError::into_inner);
            let mut users = unkept.clone();
            change(&mut users)?;
            unkept.clone_from(&users);
            users
        };
        self.remember(users);
        Ok(())
    }

    /// The user of that name, if the password is theirs. Takes as long for a name that nobody has.
    pub(crate) async fn check(&self, name: &str, password: Secret) -> Result<Option<User>> {
        let user = self.users().await?.find(name).cloned();
        let known = user.as_ref().and_then(|user| user.password.clone());
        let is_known = known.is_some();
        let hash = known.unwrap_or_else(|| self.decoy.clone());
        let fits = self.on_a_thread(move || hash.fits(&password)).await?;
        Ok(user.filter(|_| is_known && fits))
    }

    /// What is to be kept of a new password.
    pub(crate) async fn hash(&self, password: Secret) -> Result<PasswordHash> {
        let dory = self.dory.clone();
        self.on_a_thread(move || dory.hash_password(&password)).await
    }

    async fn on_a_thread<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let failed = || Error::new(ErrorKind::Internal, "check a password", "", "the server is ending");
        let _permit = self.hashing.acquire().await.map_err(|_| failed())?;
        tokio::task::spawn_blocking(work).await.map_err(|error| failed().with_source(error))?
    }

    async fn read_anew(&self) -> Result<Users> {
        if self.dory.can_keep_users().await? {
            return self.dory.users().await;
        }
        Ok(self.unkept.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn remember(&self, users: Users) -> Arc<Users> {
        let users = Arc::new(users);
        let now = self.dory.clock().monotonic();
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&users)));
        users
    }
}
