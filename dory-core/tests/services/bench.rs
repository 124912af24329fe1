//! One Dory on fakes, with a container like a database's.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use dory_core::Result;
use dory_core::domain::backup::PointChoice;
use dory_core::domain::container::Container;
use dory_core::domain::id::ServerName;
use dory_core::domain::keys::Encryption;
use dory_core::domain::policy::EngineKind;
use dory_core::domain::secret::Secret;
use dory_core::domain::store_url::{StoreAccess, StoreCredentials};
use dory_core::ports::{BackupEngine, CatalogStore, ContainerRuntime, HelperNetwork};
use dory_core::services::{
    BackupReport, BackupRequest, Cancel, Dory, DoryConfig, HelperConfig, MountMap, RestoreChoice, RestoreOutcome,
    RunEvents,
};
use dory_testkit::fakes::{FakeClock, FakeEngine, FakeRuntime, Journal, MemoryCatalog};

/// One Dory on fakes.
pub(super) struct Bench {
    pub(super) runtime: FakeRuntime,
    pub(super) engine: FakeEngine,
    pub(super) catalog: MemoryCatalog,
    pub(super) journal: Journal,
    pub(super) dory: Dory,
    clock: FakeClock,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::wired(|runtime| runtime, |engine| engine, |catalog| catalog)
    }

    /// As [`new`](Self::new), with something between Dory and its ports.
    pub(super) fn wired(
        runtime_port: impl FnOnce(Arc<dyn ContainerRuntime>) -> Arc<dyn ContainerRuntime>,
        engine_port: impl FnOnce(Arc<dyn BackupEngine>) -> Arc<dyn BackupEngine>,
        catalog_port: impl FnOnce(Arc<dyn CatalogStore>) -> Arc<dyn CatalogStore>,
    ) -> Self {
        let clock = FakeClock::new();
        let journal = Journal::new(&clock);
        let runtime = FakeRuntime::with(&clock, &journal);
        let engine = FakeEngine::with(EngineKind::Restic, &journal);
        let catalog = MemoryCatalog::with(&clock, &journal);
        catalog.shares_its_store_with(&engine);
        let engines = vec![engine_port(engine.port())];
        runtime.run_agents_with(engines.clone());
        let dory = Dory::new(
            config(Some("correct horse")),
            Ok(runtime_port(runtime.port())),
            engines,
            catalog_port(catalog.port()),
            clock.port(),
        );
        Self { runtime, engine, catalog, journal, dory, clock }
    }

    /// Another Dory on the same host and store, with this passphrase.
    pub(super) fn with_passphrase(&self, passphrase: Option<&str>) -> Dory {
        let engines = vec![self.engine.port()];
        Dory::new(config(passphrase), Ok(self.runtime.port()), engines, self.catalog.port(), self.clock.port())
    }

    /// A running container with a volume that holds one file.
    pub(super) fn database(&self, name: &str) -> Container {
        let container = self.runtime.container(name).volume(&format!("{name}-data"), "/var/lib/db").running();
        fs::write(self.file(name, "rows"), "one two three").unwrap();
        container
    }

    /// Where a file of a database's volume really is.
    pub(super) fn file(&self, name: &str, file: &str) -> PathBuf {
        self.runtime.volume(&format!("{name}-data")).join(file)
    }

    pub(super) async fn back_up(&self, container: &str) -> Result<BackupReport> {
        let request = BackupRequest { container: container.to_owned(), ..BackupRequest::default() };
        self.dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await
    }

    pub(super) async fn restore(&self, choice: &RestoreChoice) -> Result<RestoreOutcome> {
        self.dory.run_restore(choice, &Cancel::new(), &RunEvents::ignored()).await
    }

    /// The calls of the journal from the first stop (or pause) to the last start (or thaw), as text.
    pub(super) fn inside_the_window(&self) -> Vec<String> {
        let calls = self.journal.calls();
        let opens = ["runtime stop", "runtime pause"];
        let closes = ["runtime start", "runtime unpause"];
        let first = calls.iter().position(|call| opens.iter().any(|word| call.is(word))).unwrap();
        let last = calls.iter().rposition(|call| closes.iter().any(|word| call.is(word))).unwrap();
        calls[first..=last].iter().map(ToString::to_string).collect()
    }
}

pub(super) fn restore_of(backup: &str) -> RestoreChoice {
    RestoreChoice {
        backup: backup.to_owned(),
        point: PointChoice::Latest,
        into: None,
        maps: Vec::<MountMap>::new(),
        safety: true,
        delete_extra_from_binds: false,
    }
}

fn config(passphrase: Option<&str>) -> DoryConfig {
    let store = StoreAccess {
        url: "gs://bucket/dory".parse().unwrap(),
        credentials: StoreCredentials::Ambient,
        endpoint: None,
        region: None,
    };
    DoryConfig {
        server: ServerName::parse("server-1").unwrap(),
        store: store.clone(),
        encryption: passphrase.map(|text| Encryption::Passphrase(Secret::new(text))),
        helper: HelperConfig { store, store_mount: None, network: HelperNetwork::Bridge },
    }
}
