//! The use cases: `plan_*` computes and touches nothing, `run_*` does.
//!
//! [`Dory`] holds the ports and the settings; each file adds the methods of one use case.

mod adoption;
mod audit;
mod backup;
mod cancel;
mod catalog;
mod claim;
mod commands;
mod delete;
mod document;
mod doorbell;
mod dumps;
mod edit;
mod find;
mod fleet_settings;
mod guard;
mod half_restored;
mod helper;
mod hook_command;
mod hooks;
mod inbox;
mod init;
mod intact;
mod inventory;
mod keys;
mod load_dump;
mod load_dump_plan;
mod lookout;
mod metrics;
mod mount_state;
mod needs;
mod own_backups;
mod passes;
mod pings;
mod policy_sources;
mod prune;
mod pulse;
mod read;
mod reporting;
mod restore;
mod restore_plan;
mod restore_prepare;
mod run_events;
mod run_log;
mod run_record;
mod run_tally;
mod runs;
mod schedules;
mod seen;
mod settle;
mod settled;
mod starting;
mod stock;
mod stop_window;
mod survey;
mod suspect;
mod timetable;
mod users;
mod verify;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::OnceCell;

use crate::domain::fleet::{Fleet, FleetEncryption};
use crate::domain::id::{BackupId, ServerName};
use crate::domain::keys::{Encryption, MasterKey};
use crate::domain::policy::EngineKind;
use crate::domain::stillness::Stillness;
use crate::domain::store_url::StoreAccess;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{
    BackupEngine, CatalogStore, Channels, Clock, ContainerRuntime, Doorbell, HelperMount, HelperNetwork, NoChannels,
    RepositorySpec,
};

pub use adoption::AdoptionPlan;
pub use backup::{BackupReport, BackupRequest, History};
pub use cancel::Cancel;
pub(crate) use catalog::FoundDocument;
pub use catalog::{BackupList, Catalog};
pub use commands::CommandStatus;
pub(crate) use commands::Part;
pub use delete::{DeletePlan, DeleteReport, DoomedPoint, Frozen};
pub use document::FORMAT;
pub use doorbell::CatalogDoorbell;
pub use edit::{BackupEdit, PointEdit, PolicyPart};
pub use fleet_settings::SettingChange;
pub use guard::Guarding;
pub use hooks::{HookOutcome, HookReport};
pub use init::{InitReport, init, recovery_sheet};
pub use inventory::{ContainerOverview, Marked};
pub use keys::RepositoryKey;
pub use load_dump::DumpLoadOutcome;
pub use load_dump_plan::{DumpChoice, DumpLoadPlan, LoadedBy};
pub use mount_state::MountState;
pub(crate) use needs::RunNeeds;
pub use policy_sources::{PolicyOverview, PolicySource, PolicyValue};
pub use prune::{PointVerdict, PrunePlan};
pub use pulse::Pulse;
pub use read::PointReader;
pub(crate) use reporting::{Target, digest_notice, id_of, report_state_key};
pub use restore::RestoreOutcome;
pub use restore_plan::{MapTarget, MountMap, MountRestore, RestoreChoice, RestorePlan};
pub use run_events::{Phase, RunEvent, RunEvents};
pub(crate) use run_log::lines_of;
pub use run_tally::RunTally;
pub use runs::{RunFilter, RunList, RunTrace};
pub use schedules::{ScheduleChange, ScheduleOverview, ScheduleSource};
pub(crate) use stock::SharedStock;
pub use settled::{Settled, SettledContainer, Standing};
pub(crate) use survey::{RunsSeen, Survey};
pub use timetable::{Timetable, TimetableEntry};
pub use verify::{VerifyChoice, VerifyOutcome, VerifyPlan};

/// One Dory: one server of a fleet, with one container runtime and one store.
///
/// Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Dory {
    runtime: Arc<Result<Arc<dyn ContainerRuntime>>>,
    engines: Vec<Arc<dyn BackupEngine>>,
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
    config: Arc<DoryConfig>,
    fleet: Arc<OnceCell<(Fleet, Option<MasterKey>)>>,
    doorbell: Arc<dyn Doorbell>,
    channels: Arc<dyn Channels>,
    tally: RunTally,
    pulse: Pulse,
    stillness: Arc<Mutex<Stillness>>,
}

/// What a [`Dory`] needs to know.
#[derive(Clone, Debug)]
pub struct DoryConfig {
    /// This server's name.
    pub server: ServerName,
    /// The store, as this process reaches it.
    pub store: StoreAccess,
    /// The fleet's passphrase, or the word that there is none; `None` where the user said nothing.
    pub encryption: Option<Encryption>,
    /// How helpers reach the store.
    pub helper: HelperConfig,
    /// Where days begin, and what clock schedules go by that name no zone.
    pub zone: TimeZone,
    /// For how many days the store charges for an object, whether it is still there or not.
    pub minimum_stay_days: Option<u32>,
}

/// How helpers reach the store.
#[derive(Clone, Debug)]
pub struct HelperConfig {
    /// The store, as a helper reaches it.
    pub store: StoreAccess,
    /// What a helper must see for that: the folder, where the store is one.
    pub store_mount: Option<HelperMount>,
    /// What a helper must be able to reach for that.
    pub network: HelperNetwork,
}

impl Dory {
    /// Brings the parts together. [`bootstrap`](crate::bootstrap) does it with the real ones.
    ///
    /// Where the container runtime cannot be reached, its error goes here instead: what needs no containers works, and
    /// everything else gives that error.
    #[must_use]
    pub fn new(
        config: DoryConfig,
        runtime: Result<Arc<dyn ContainerRuntime>>,
        engines: Vec<Arc<dyn BackupEngine>>,
        store: Arc<dyn CatalogStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let catalog = Arc::new(Catalog::new(store, Arc::clone(&clock)));
        let doorbell = Arc::new(CatalogDoorbell::new(Arc::clone(&catalog), Arc::clone(&clock)));
        let (runtime, config, fleet) = (Arc::new(runtime), Arc::new(config), Arc::default());
        let (tally, pulse) = (RunTally::default(), Pulse::new(Arc::clone(&clock)));
        let (channels, stillness) = (Arc::new(NoChannels), Arc::default());
        Self { runtime, engines, catalog, clock, config, fleet, doorbell, channels, tally, pulse, stillness }
    }

    /// The same, with ways out to people and to what watches for them.
    #[must_use]
    pub fn with_channels(self, channels: Arc<dyn Channels>) -> Self {
        Self { channels, ..self }
    }

    /// The same, with another way to wake servers than the store itself.
    #[must_use]
    pub fn with_doorbell(self, doorbell: Arc<dyn Doorbell>) -> Self {
        Self { doorbell, ..self }
    }

    /// This server's name.
    #[must_use]
    pub fn server(&self) -> &ServerName {
        &self.config.server
    }

    /// The catalog, for reading what no use case covers.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The container runtime.
    ///
    /// # Errors
    /// Why it cannot be reached.
    pub fn runtime(&self) -> Result<Arc<dyn ContainerRuntime>> {
        match self.runtime.as_ref() {
            Ok(runtime) => Ok(Arc::clone(runtime)),
            Err(error) => Err(error.to_record().into()),
        }
    }

    /// Where time comes from.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Where days begin.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.config.zone
    }

    /// How many runs of this process ended, and how.
    #[must_use]
    pub fn tally(&self) -> &RunTally {
        &self.tally
    }

    /// Whether the loops of the server in this process live.
    #[must_use]
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    pub(crate) fn doorbell(&self) -> Arc<dyn Doorbell> {
        Arc::clone(&self.doorbell)
    }

    pub(crate) fn shared_catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog)
    }

    /// A name that nobody else has.
    pub(crate) fn new_nonce(&self) -> Result<String> {
        Ok(format!("{:020x}", noise()? & ((1 << 80) - 1)))
    }

    /// The time, by this Dory's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn engine(&self, kind: EngineKind) -> Result<Arc<dyn BackupEngine>> {
        self.engines.iter().find(|engine| engine.kind() == kind).cloned().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "use engine", kind.as_str(), "this Dory was built without it")
        })
    }

    /// The fleet and its master key, proven to be the right one. The store is asked once.
    ///
    /// # Errors
    /// `NotFound` before `dory init`; `WrongKey`; `InvalidInput` where the user set no key; the store's.
    pub async fn open_fleet(&self) -> Result<&(Fleet, Option<MasterKey>)> {
        self.fleet
            .get_or_try_init(|| async {
                let fleet = self.catalog.fleet().await?.ok_or_else(|| {
                    Error::new(ErrorKind::NotFound, "open store", self.catalog.location(), "no Dory was set up in it")
                        .with_hint("run `dory init`")
                })?;
                let key = fleet.unlock(self.config.encryption.as_ref().ok_or_else(|| no_key_for(&fleet))?)?;
                Ok((fleet, key))
            })
            .await
    }

    /// Opens the fleet, or founds it where there is none yet and the user said whether and with what to encrypt: the
    /// first backup needs no `dory init`.
    ///
    /// # Errors
    /// As for [`open_fleet`](Self::open_fleet); the store's.
    pub async fn open_or_found_fleet(&self, events: &RunEvents) -> Result<()> {
        match self.open_fleet().await {
            Err(error) if error.kind() == ErrorKind::NotFound && self.catalog.fleet().await?.is_none() => {
                let encryption = self.config.encryption.as_ref().ok_or_else(no_key)?;
                init(&self.catalog, Some(encryption), None, self.clock.now()).await?;
                events.send(RunEvent::Founded { store: self.catalog.location() });
                self.open_fleet().await.map(drop)
            }
            opened => opened.map(drop),
        }
    }

    /// Checks that a key is set, and that it is the right one where the fleet is there already. Touches nothing.
    ///
    /// # Errors
    /// `InvalidInput` where none is set; `WrongKey`; the store's.
    pub async fn check_key(&self) -> Result<()> {
        match (self.catalog.fleet().await, &self.config.encryption) {
            (Ok(Some(fleet)), None) => Err(no_key_for(&fleet)),
            (_, None) => Err(no_key()),
            (fleet, Some(encryption)) => match fleet? {
                Some(fleet) => fleet.unlock(encryption).map(drop),
                None => Ok(()),
            },
        }
    }

    /// What opens a backup's repository, for an engine that reaches the store by `store`.
    async fn repository_spec(
        &self,
        store: &StoreAccess,
        backup: &BackupId,
        engine: EngineKind,
        options: &BTreeMap<String, String>,
    ) -> Result<RepositorySpec> {
        let (_, key) = self.open_fleet().await?;
        Ok(RepositorySpec {
            store: store.clone(),
            path: format!("data/{backup}/{engine}"),
            password: key.as_ref().map(|key| key.repository_password(backup, engine)),
            options: options.clone(),
        })
    }
}

fn no_key() -> Error {
    Error::invalid("encryption key", "", "none is set")
        .with_hint("set DORY_PASSPHRASE (`dory init` makes one), or set DORY_ENCRYPTION=none to go without")
}

/// As [`no_key`], for a store that has been set up: there is one way in.
fn no_key_for(fleet: &Fleet) -> Error {
    no_key().with_hint(match fleet.encryption {
        FleetEncryption::Passphrase { .. } => "set DORY_PASSPHRASE to the passphrase on the store's recovery sheet",
        FleetEncryption::None => "set DORY_ENCRYPTION=none: this store was made without encryption",
    })
}

/// 80 random bits, for ids.
fn noise() -> Result<u128> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::new(ErrorKind::Internal, "make an id", "", "the system has no randomness").with_source(error)
    })?;
    Ok(u128::from_le_bytes(bytes))
}

/// Does `step`, and once more where nobody answered: what failed may be a connection that was idle for too long. The
/// step must be one that can be repeated.
async fn insist<T, F: Future<Output = Result<T>>>(step: impl Fn() -> F) -> Result<T> {
    match step().await {
        Err(error) if error.kind() == ErrorKind::Unavailable => step().await,
        result => result,
    }
}
