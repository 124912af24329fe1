//! A fleet in a box: one of each double, sharing a clock and a journal.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dory_core::domain::container::Container;
use dory_core::domain::id::ServerName;
use dory_core::domain::keys::Encryption;
use dory_core::domain::policy::EngineKind;
use dory_core::domain::secret::Secret;
use dory_core::domain::store_url::{StoreAccess, StoreCredentials};
use dory_core::ports::{BackupEngine, CatalogStore, ContainerRuntime, HelperNetwork, Notifier};
use dory_core::services::{Dory, DoryConfig, HelperConfig};
use jiff::tz::TimeZone;

use crate::fakes::{
    ContainerBuilder, FakeChannels, FakeClock, FakeDoorbell, FakeEngine, FakeNotifier, FakeRuntime, Journal,
    MemoryCatalog,
};
use crate::faults::Faulty;
use crate::fixtures::{Aspects, Tree, diff_trees, snapshot_tree};

/// The passphrase of a [`World`]'s Dorys.
pub const PASSPHRASE: &str = "correct horse battery staple";

/// Where a [`World::database`] sees its volume.
pub const DATABASE_FOLDER: &str = "/var/lib/db";

/// One of each double, sharing a clock and a journal; helpers of the runtime run Dory's agent with the engines.
///
/// Hand the ports of [`faults`](Self::faults) to the code under test, script and look at the doubles themselves.
#[derive(Clone, Debug)]
pub struct World {
    /// The time.
    pub clock: FakeClock,
    /// Every call of every double, in order.
    pub journal: Journal,
    /// The containers of one host.
    pub runtime: FakeRuntime,
    /// The catalog. Its store also holds the repositories of both engines.
    pub catalog: MemoryCatalog,
    /// Stands in for the restic engine: snapshots can go alone.
    pub restic: FakeEngine,
    /// Stands in for the duplicity engine: chains of three snapshots, it needs a helper, reads in one pass, and takes the
    /// option `volsize`.
    pub duplicity: FakeEngine,
    /// Who is told by mail.
    pub notifier: FakeNotifier,
    /// Who is told by webhooks.
    pub webhooks: FakeNotifier,
    /// The ways out to both, and pings.
    pub channels: FakeChannels,
    /// Who is woken.
    pub doorbell: FakeDoorbell,
    /// The ports, each wrapped so that it can be made to fail.
    pub faults: Faults,
}

/// The ports of a [`World`], each wrapped so that it can be made to fail.
#[derive(Clone, Debug)]
pub struct Faults {
    /// The containers.
    pub runtime: Faulty<dyn ContainerRuntime>,
    /// The catalog.
    pub catalog: Faulty<dyn CatalogStore>,
    /// The engine that stands in for restic, in helpers too.
    pub restic: Faulty<dyn BackupEngine>,
    /// The engine that stands in for duplicity, in helpers too.
    pub duplicity: Faulty<dyn BackupEngine>,
    /// Who is told.
    pub notifier: Faulty<dyn Notifier>,
}

impl World {
    /// A host without containers and an empty store.
    #[must_use]
    pub fn new() -> Self {
        let clock = FakeClock::new();
        let journal = Journal::new(&clock);
        let runtime = FakeRuntime::with(&clock, &journal);
        let catalog = MemoryCatalog::with(&clock, &journal);
        let restic = FakeEngine::with(EngineKind::Restic, &journal);
        let duplicity = FakeEngine::with(EngineKind::Duplicity, &journal);
        let duplicity = duplicity.with_chains_of(3).needing_a_helper().without_freezing().with_options(&["volsize"]);
        let (notifier, webhooks) = (FakeNotifier::with(&journal), FakeNotifier::with(&journal));
        let doorbell = FakeDoorbell::with(&clock, &journal);
        catalog.shares_its_store_with(&restic);
        catalog.shares_its_store_with(&duplicity);
        let faults = Faults {
            runtime: Faulty::new(runtime.port()),
            catalog: Faulty::new(catalog.port()),
            restic: Faulty::new(restic.port()),
            duplicity: Faulty::new(duplicity.port()),
            notifier: Faulty::new(notifier.port()),
        };
        let channels = FakeChannels::to(faults.notifier.port(), webhooks.port(), &journal);
        runtime.run_agents_with(faults.engines());
        Self { clock, journal, runtime, catalog, restic, duplicity, notifier, webhooks, channels, doorbell, faults }
    }

    /// The store's address: a bucket, which only the engines know.
    #[must_use]
    pub fn store(&self) -> StoreAccess {
        let url = "gs://fleet/dory".parse().expect("a store's address");
        StoreAccess { url, credentials: StoreCredentials::Ambient, endpoint: None, region: None }
    }

    /// A Dory on this host and store. It sees the ports of [`faults`](Self::faults), and what others did through them.
    #[must_use]
    pub fn dory(&self) -> Dory {
        self.dory_with(Some(Encryption::Passphrase(Secret::new(PASSPHRASE))))
    }

    /// As [`dory`](Self::dory), with another word about encryption, or with none.
    #[must_use]
    pub fn dory_with(&self, encryption: Option<Encryption>) -> Dory {
        self.dory_called("server-1", encryption)
    }

    /// As [`dory_with`](Self::dory_with), under another name: another server of the fleet, on the same host.
    #[must_use]
    pub fn dory_called(&self, server: &str, encryption: Option<Encryption>) -> Dory {
        let helper = HelperConfig { store: self.store(), store_mount: None, network: HelperNetwork::Bridge };
        let server = ServerName::parse(server).expect("a valid name");
        Dory::new(
            DoryConfig {
                server,
                store: self.store(),
                encryption,
                helper,
                zone: TimeZone::UTC,
                minimum_stay_days: None,
            },
            Ok(self.faults.runtime.port()),
            self.faults.engines(),
            self.faults.catalog.port(),
            self.clock.port(),
        )
        .with_channels(self.channels.port())
    }

    /// Runs a container like a database: a volume `<name>-data` with files of several kinds, two seconds to shut down,
    /// a health check that is content three seconds after a start.
    pub fn database(&self, name: &str) -> Container {
        self.database_settings(name).running()
    }

    /// As [`database`](Self::database), but it keeps writing while it runs. [`is_whole`](Self::is_whole) tells whether
    /// files are from one moment of it.
    pub fn busy_database(&self, name: &str) -> Container {
        self.database_settings(name)
            .writer(|turn| {
                // Like a transaction over two files: only a stop lets both be written.
                let text = turn.number().to_string();
                fs::write(turn.path("/var/lib/db/debit"), &text).expect("a file of the volume");
                turn.pause_point()?;
                fs::write(turn.path("/var/lib/db/credit"), &text).expect("a file of the volume");
                Ok(())
            })
            .running()
    }

    fn database_settings(&self, name: &str) -> ContainerBuilder {
        let volume = format!("{name}-data");
        let folder = self.runtime.volume(&volume);
        fs::create_dir_all(folder.join("base/1")).expect("a folder of the volume");
        self.write(&volume, "VERSION", "17");
        self.write(&volume, "base/1/accounts", &"alice 100\nbob 200\n".repeat(500));
        self.write(&volume, "base/1/empty", "");
        std::os::unix::fs::symlink("base/1", folder.join("current")).expect("a link of the volume");
        self.runtime
            .container(name)
            .image("postgres:17")
            .volume(&volume, DATABASE_FOLDER)
            .stop_takes(Duration::from_secs(2))
            .healthy_after(Duration::from_secs(3))
    }

    /// Whether a busy database's files in `folder` are from one moment: no transaction is half done.
    ///
    /// # Panics
    /// If there are no such files.
    #[must_use]
    pub fn is_whole(&self, folder: &Path) -> bool {
        let read = |name| fs::read(folder.join(name)).expect("a file of a busy database");
        read("debit") == read("credit")
    }

    /// A volume's folder.
    #[must_use]
    pub fn folder(&self, volume: &str) -> PathBuf {
        self.runtime.volume(volume)
    }

    /// Writes a file into a volume, with the folders above it.
    pub fn write(&self, volume: &str, path: &str, contents: &str) {
        let path = self.folder(volume).join(path);
        fs::create_dir_all(path.parent().expect("a path in the volume")).expect("a folder of the volume");
        fs::write(path, contents).expect("a file of the volume");
    }

    /// A file of a volume; `None` where there is none.
    #[must_use]
    pub fn read(&self, volume: &str, path: &str) -> Option<String> {
        fs::read_to_string(self.folder(volume).join(path)).ok()
    }

    /// Does to a database's volume what users want backups for: a file is changed, one is gone, one is new.
    pub fn wreck(&self, volume: &str) {
        self.write(volume, "base/1/accounts", "mallory 999999\n");
        fs::remove_file(self.folder(volume).join("VERSION")).expect("a database's file");
        self.write(volume, "ransom/note.txt", "pay");
    }

    /// Everything in a volume.
    #[must_use]
    pub fn files(&self, volume: &str) -> Tree {
        snapshot_tree(&self.folder(volume))
    }

    /// Fails, and says where they differ, unless a volume holds exactly `expected`.
    ///
    /// # Panics
    /// If it does not.
    pub fn assert_files(&self, volume: &str, expected: &Tree) {
        let differences = diff_trees(expected, &self.files(volume), Aspects::ALL);
        assert!(differences.is_empty(), "volume `{volume}` is not as it should be:\n{}", differences.join("\n"));
    }

    /// Fails unless the code under test left everything as it should: no helper is left, no double was misused, and
    /// every fault that was queued was hit.
    ///
    /// # Panics
    /// If it did not.
    pub fn assert_tidy(&self) {
        self.runtime.assert_tidy();
        self.faults.assert_all_hit();
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl Faults {
    /// Both engines.
    #[must_use]
    pub fn engines(&self) -> Vec<Arc<dyn BackupEngine>> {
        vec![self.restic.port(), self.duplicity.port()]
    }

    /// Takes back every fault that was queued and not hit yet, and what fails always.
    pub fn heal(&self) {
        self.runtime.heal();
        self.catalog.heal();
        self.restic.heal();
        self.duplicity.heal();
        self.notifier.heal();
    }

    /// Fails unless every fault that was queued was hit.
    ///
    /// # Panics
    /// If one was not.
    pub fn assert_all_hit(&self) {
        self.runtime.assert_all_hit();
        self.catalog.assert_all_hit();
        self.restic.assert_all_hit();
        self.duplicity.assert_all_hit();
        self.notifier.assert_all_hit();
    }
}
