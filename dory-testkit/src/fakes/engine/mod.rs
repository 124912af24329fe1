//! A backup engine that keeps everything in memory.

mod dumps;
mod frozen;
mod node;
mod reading;
mod repository;
mod vault;
mod writing;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use dory_core::domain::policy::EngineKind;
use dory_core::ports::{BackupEngine, Capabilities, OpenMode, Repository, RepositorySpec};
use dory_core::{Error, ErrorKind, Result};

use self::repository::FakeRepository;
use self::vault::Vault;
use super::{FakeClock, Journal};

pub(crate) const PORT: &str = "engine";

type Hook = Arc<dyn Fn(&Path) + Send + Sync>;

/// A [`BackupEngine`] whose repositories are in memory, known by store and path. Clones share them, so what one
/// opening wrote, here or in a fake helper, every other sees.
///
/// It keeps whole inodes, and gives up what its capabilities say it cannot keep. It complains (see
/// [`Journal::assert_no_complaints`]) when calls of one open repository overlap that may not.
#[derive(Clone)]
pub struct FakeEngine {
    kind: EngineKind,
    capabilities: Capabilities,
    /// How many snapshots make a chain, where they cannot go alone.
    chain_length: usize,
    options: BTreeSet<String>,
    freezes: bool,
    shared: Arc<Shared>,
}

struct Shared {
    vaults: Mutex<BTreeMap<String, Vault>>,
    before_reading: Mutex<Option<Hook>>,
    read_only: AtomicBool,
    journal: Journal,
}

impl FakeEngine {
    /// An engine that keeps everything and whose snapshots can go alone, with a journal of its own.
    #[must_use]
    pub fn new(kind: EngineKind) -> Self {
        Self::with(kind, &Journal::new(&FakeClock::new()))
    }

    /// An engine that writes its calls into `journal`.
    #[must_use]
    pub fn with(kind: EngineKind, journal: &Journal) -> Self {
        let capabilities = Capabilities {
            self_contained: true,
            forgets_single_snapshots: true,
            keeps_hard_links: true,
            keeps_extended_attributes: true,
            keeps_holes: true,
        };
        let shared = Shared {
            vaults: Mutex::default(),
            before_reading: Mutex::default(),
            read_only: AtomicBool::new(false),
            journal: journal.clone(),
        };
        let shared = Arc::new(shared);
        Self { kind, capabilities, chain_length: 0, options: BTreeSet::new(), freezes: true, shared }
    }

    /// Lets it keep no more than `capabilities` say. Chains, where needed, are seven snapshots long.
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        if capabilities.forgets_single_snapshots { self } else { self.with_chains_of(7) }
    }

    /// Lets snapshots go only as whole chains, of this many each.
    #[must_use]
    pub fn with_chains_of(mut self, snapshots: usize) -> Self {
        self.capabilities.forgets_single_snapshots = false;
        self.chain_length = snapshots;
        self
    }

    /// Lets it need a program that only helpers have.
    #[must_use]
    pub fn needing_a_helper(mut self) -> Self {
        self.capabilities.self_contained = false;
        self
    }

    /// Lets it know these options; it knows none otherwise.
    #[must_use]
    pub fn with_options(mut self, names: &[&str]) -> Self {
        self.options = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Lets it have no hot and cold passes.
    #[must_use]
    pub fn without_freezing(mut self) -> Self {
        self.freezes = false;
        self
    }

    /// This engine as the port.
    #[must_use]
    pub fn port(&self) -> Arc<dyn BackupEngine> {
        Arc::new(self.clone())
    }

    /// Its journal.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// Calls `hook` with each path after a backup looked at it and before it reads it: the moment to look around, or to
    /// change or remove the path under the engine's eyes.
    pub fn before_reading(&self, hook: impl Fn(&Path) + Send + Sync + 'static) {
        *lock(&self.shared.before_reading) = Some(Arc::new(hook));
    }

    /// Flips a byte of the largest thing in a repository, as a failing disk does.
    ///
    /// # Panics
    /// If there is no such repository, or nothing in it.
    pub fn damage(&self, spec: &RepositorySpec) {
        let mut vaults = lock(&self.shared.vaults);
        vaults.get_mut(&place(spec)).expect("a repository to damage").damage();
    }

    /// Loses the largest thing in a repository, as somebody does who deletes an object.
    ///
    /// # Panics
    /// If there is no such repository, or nothing in it.
    pub fn lose(&self, spec: &RepositorySpec) {
        let mut vaults = lock(&self.shared.vaults);
        vaults.get_mut(&place(spec)).expect("a repository to lose from").lose();
    }

    /// Lets nothing be written to its repositories any more, or again.
    pub fn set_read_only(&self, on: bool) {
        self.shared.read_only.store(on, Ordering::Relaxed);
    }

    /// Removes the repositories whose paths are below `folder`, as somebody does who deletes their objects; tells how
    /// many objects that were.
    pub fn delete_below(&self, folder: &str) -> u64 {
        let mut objects = 0;
        lock(&self.shared.vaults).retain(|_, vault| {
            let goes = Path::new(&vault.path).starts_with(folder);
            objects += if goes { vault.stats().objects + 1 } else { 0 };
            !goes
        });
        objects
    }

    /// Where repositories are: store and path of each, sorted.
    #[must_use]
    pub fn repositories(&self) -> Vec<String> {
        lock(&self.shared.vaults).keys().cloned().collect()
    }
}

impl Shared {
    fn read_hook(&self) -> Option<Hook> {
        lock(&self.before_reading).clone()
    }

    fn check_writable(&self, place: &str) -> Result<()> {
        if !self.read_only.load(Ordering::Relaxed) {
            return Ok(());
        }
        let reason = "the test lets nothing be written";
        Err(Error::new(ErrorKind::PermissionDenied, "write to repository", place, reason))
    }

    /// Does something to one repository.
    fn with_vault<T>(&self, place: &str, act: impl FnOnce(&mut Vault) -> Result<T>) -> Result<T> {
        match lock(&self.vaults).get_mut(place) {
            Some(vault) => act(vault),
            None => Err(no_repository(place)),
        }
    }
}

impl Debug for FakeEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeEngine").field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BackupEngine for FakeEngine {
    fn kind(&self) -> EngineKind {
        self.kind
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn check_options(&self, options: &BTreeMap<String, String>) -> Result<()> {
        match options.keys().find(|name| !self.options.contains(*name)) {
            None => Ok(()),
            Some(name) => {
                let known: Vec<_> = self.options.iter().map(|name| format!("`{name}`")).collect();
                let allowed = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Err(Error::invalid("engine option", name, format!("the {} engine knows {allowed}", self.kind)))
            }
        }
    }

    fn freezes(&self, _options: &BTreeMap<String, String>) -> bool {
        self.freezes
    }

    async fn open(&self, spec: &RepositorySpec, mode: OpenMode) -> Result<Arc<dyn Repository>> {
        let call = self.shared.journal.begin(PORT, "open", &spec.path, "");
        if let Err(error) = self.check_options(&spec.options) {
            return call.end(Err(error));
        }
        let place = place(spec);
        let mut vaults = lock(&self.shared.vaults);
        let locked_out = vaults.get(&place).is_some_and(|vault| !vault.opens_with(spec.password.as_ref()));
        if mode == OpenMode::CreateIfMissing
            && !locked_out
            && let Err(error) = self.shared.check_writable(&place)
        {
            return call.end(Err(error));
        }
        if mode == OpenMode::CreateIfMissing && !vaults.contains_key(&place) {
            vaults.insert(place.clone(), Vault::new(spec, self.chain_length));
        }
        call.end(match vaults.get(&place) {
            None => Err(no_repository(&place)),
            Some(vault) if !vault.opens_with(spec.password.as_ref()) => {
                let reason = "the password does not fit";
                Err(Error::new(ErrorKind::WrongKey, "open repository", place, reason))
            }
            Some(_) => {
                let shared = Arc::clone(&self.shared);
                let repository = FakeRepository::new(shared, place, spec.path.clone(), self.capabilities);
                Ok(Arc::new(if self.freezes { repository } else { repository.without_freezing() })
                    as Arc<dyn Repository>)
            }
        })
    }
}

/// What tells repositories apart.
fn place(spec: &RepositorySpec) -> String {
    format!("{}/{}", spec.store.url, spec.path)
}

fn no_repository(place: &str) -> Error {
    Error::new(ErrorKind::NotFound, "open repository", place, "there is none")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
