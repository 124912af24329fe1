//! The engine: finding, making and unlocking repositories.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::backup::write_book;
use super::book::Book;
use super::exit::Phase;
use super::log::Level;
use super::look::Look;
use super::options::CustomOptions;
use super::repository::DuplicityRepository;
use super::session::{Cache, Session, prepare_scratch};
use super::settings::DuplicitySettings;
use super::target::FilesAt;
use crate::domain::policy::EngineKind;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{BackupEngine, Capabilities, OpenMode, Repository, RepositorySpec};

/// Backs up by running the duplicity program.
#[derive(Debug)]
pub struct DuplicityEngine {
    settings: DuplicitySettings,
    /// One lock for each cache, by its name, and so for each repository.
    caches: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl DuplicityEngine {
    /// An engine that runs what `settings` names. Nothing is looked for yet.
    #[must_use]
    pub fn new(settings: DuplicitySettings) -> Self {
        Self { settings, caches: Mutex::default() }
    }

    fn cache_lock(&self, spec: &RepositorySpec) -> Arc<tokio::sync::Mutex<()>> {
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(caches.entry(Session::cache_name(spec)).or_default())
    }
}

#[async_trait]
impl BackupEngine for DuplicityEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::Duplicity
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            self_contained: false,
            forgets_single_snapshots: false,
            keeps_hard_links: false,
            keeps_extended_attributes: false,
            keeps_holes: false,
        }
    }

    fn check_options(&self, options: &BTreeMap<String, String>) -> Result<()> {
        CustomOptions::parse(options).map(drop)
    }

    fn freezes(&self, options: &BTreeMap<String, String>) -> bool {
        CustomOptions::parse(options).is_ok_and(|options| options.is_staged())
    }

    async fn open(&self, spec: &RepositorySpec, mode: OpenMode) -> Result<Arc<dyn Repository>> {
        let session = Session::new(&self.settings, spec, self.cache_lock(spec))?;
        prepare_scratch(&self.settings).await?;
        // Two who make a repository at once would write over each other's files within one second.
        let guard = Arc::clone(&session.cache);
        let _guard = guard.lock().await;
        let mut look = Look::at(&session, Phase::Opening).await?;
        let has_sets = look.collection.newest().is_some();
        if look.book.is_none() && has_sets {
            // Plain duplicity made it.
            prove_key(&session).await?;
        }
        match (mode, &look.book) {
            (OpenMode::Existing, None) if !has_sets => {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    "open repository",
                    &session.location,
                    "there is no duplicity repository",
                ));
            }
            (OpenMode::Existing, _) => {}
            (OpenMode::CreateIfMissing, _) => {
                prove_writable(&session, &look).await?;
                if look.book.is_none() {
                    look = make_book(&session, look).await?;
                }
            }
        }
        if mode == OpenMode::CreateIfMissing && look.collection.newest().is_some() {
            fetch_metadata(&session).await?;
        }
        Ok(Arc::new(DuplicityRepository::new(Arc::new(session), &look)))
    }
}

/// Makes an empty book and reads it back.
///
/// # Errors
/// `Conflict` where others at work on the same thing spoil it time and again.
async fn make_book(session: &Session, mut look: Look) -> Result<Look> {
    let book = Book { format: Book::FORMAT, notes: Vec::new() };
    for _ in 0..3 {
        write_book(session, &book, look.books.newest().map(|set| &set.time), Phase::Opening).await?;
        match Look::at(session, Phase::Opening).await {
            Ok(made) if made.book.is_some() => return Ok(made),
            Ok(unmade) => look = unmade,
            // Two wrote in one second, each over half of the other's files.
            Err(error) if error.kind() == ErrorKind::Corrupt => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::new(ErrorKind::Conflict, "make repository", &session.location, "somebody else is making it too"))
}

/// Proves that the repository can be written to: its folder, which is made if it is missing; a cloud by what a backup
/// will write, which is the book once more.
async fn prove_writable(session: &Session, look: &Look) -> Result<()> {
    match (&session.target.files, &look.book) {
        (FilesAt::Folder(folder), _) => session.try_folder(folder).await,
        (FilesAt::Remote(_), Some(book)) => {
            write_book(session, book, look.books.newest().map(|set| &set.time), Phase::Opening).await
        }
        // Making the book will prove it.
        (FilesAt::Remote(_), None) => Ok(()),
    }
}

/// Proves the key on backup sets, by decrypting what the newest ones are described by.
async fn prove_key(session: &Session) -> Result<()> {
    let run = session.run_folder().await?;
    let mut invocation = session.invocation(&run, "list-current-files", Cache::Fresh, Phase::Opening);
    invocation.option("--metadata-sync-mode", "partial").argument(&session.target.url);
    // The first name listed says that all was decrypted.
    session
        .must_run(&invocation, "open repository", Phase::Opening, |record| {
            if (record.level, record.code) == (Level::Info, 10) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .await
}

/// Brings the cache up to date: what the next backup compares with is here before anything is stopped for it.
async fn fetch_metadata(session: &Session) -> Result<()> {
    let run = session.run_folder().await?;
    // Without `--force`, this only looks; but it fetches first.
    let mut invocation = session.invocation(&run, "cleanup", Cache::Kept, Phase::Working);
    invocation.option("--metadata-sync-mode", "partial").argument(&session.target.url);
    session.must_run(&invocation, "fetch metadata of", Phase::Working, |_| ControlFlow::Continue(())).await
}
