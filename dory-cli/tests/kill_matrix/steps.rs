//! The steps at which somebody dies: one table, from which the tests and the docs are made.

use dory_core::services::{MountState, Phase};

use self::At::{After, Before, Packs, Told};
use self::Task::{Backup, BareRestore, DeleteBackup, DeletePoint, Prune, Restore, Serve};

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Backup,
    /// With a safety point.
    Restore,
    /// Without one.
    BareRestore,
    DeletePoint,
    DeleteBackup,
    /// By rules that keep the newest point.
    Prune,
    /// Own the server's name, and back up by a schedule.
    Serve,
}

/// Who dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    Dory,
    Helper,
    Guardian,
    Dockerd,
}

/// What becomes of the containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// All do what they did before.
    Back,
    /// The data is half restored: all stay down, and somebody says so.
    KeptDown,
    /// Nobody guards them yet, or any more, and nothing of Dory's stopped them: a killed engine starts those again that
    /// it was told to.
    LeftToEngine,
}

/// A death at a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Death {
    pub(crate) victim: Victim,
    pub(crate) then: Then,
    /// Whether the ordinary test run has it too.
    pub(crate) sampled: bool,
}

impl Death {
    const fn of(victim: Victim) -> Self {
        Self { victim, then: Then::Back, sampled: false }
    }

    const fn keeps_down(self) -> Self {
        Self { then: Then::KeptDown, ..self }
    }

    const fn leaves_to_engine(self) -> Self {
        Self { then: Then::LeftToEngine, ..self }
    }

    const fn sampled(self) -> Self {
        Self { sampled: true, ..self }
    }
}

/// The moment of a step: around the nth call of a port's method, when a run tells something for the nth time, or as soon
/// as there are more or fewer packs in the store than there were before: in the middle of what has no steps.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At {
    Before(Port, &'static str, usize),
    After(Port, &'static str, usize),
    Told(Telling, usize),
    Packs(Change),
}

/// What becomes of the packs in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Come,
    Go,
}

/// Who is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    Runtime,
    Catalog,
    Engine,
    /// The store, as the engine sees it: `put` and `delete`, with the folder of the repository: `put index`.
    Objects,
}

/// What a run tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    /// A part begins.
    Begins(Phase),
    /// How far it is within that part.
    Works(Phase),
    /// The next container is being stopped.
    Stops,
    /// One more does again what it did.
    Runs,
    /// A mount has got as far as that.
    Mount(MountState),
}

/// A step of a run, and who dies there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) task: Task,
    pub(crate) name: &'static str,
    pub(crate) at: At,
    pub(crate) deaths: &'static [Death],
}

const DORY: Death = Death::of(Victim::Dory);
const HELPER: Death = Death::of(Victim::Helper);
const GUARDIAN: Death = Death::of(Victim::Guardian);
const DOCKERD: Death = Death::of(Victim::Dockerd);
const ALL: &[Death] = &[DORY, HELPER, GUARDIAN, DOCKERD];
const HALF_RESTORED: &[Death] = &[DORY.keeps_down(), HELPER, GUARDIAN, DOCKERD.keeps_down()];

const fn step(task: Task, name: &'static str, at: At, deaths: &'static [Death]) -> Step {
    Step { task, name, at, deaths }
}

/// Everything. Four containers stand still. A backup stops three, for the one that is paused stands still already; a
/// restore stops all of them, and pauses that one again when it has started it.
pub(crate) const STEPS: &[Step] = &[
    step(Backup, "its scratch volume is made", After(Port::Runtime, "create_volume", 1), &[DORY]),
    step(
        Backup,
        "its helper runs",
        After(Port::Runtime, "launch_helper", 1),
        &[DORY, HELPER, DOCKERD.leaves_to_engine()],
    ),
    step(Backup, "the catalog knows that it began", After(Port::Catalog, "replace", 1), &[DORY]),
    step(Backup, "it begins to read ahead", Told(Telling::Begins(Phase::Warm), 1), &[DORY, HELPER]),
    step(Backup, "it reads ahead, and stored a first pack", Packs(Change::Come), &[DORY.sampled(), HELPER]),
    step(Backup, "its guardian runs, not armed yet", After(Port::Runtime, "launch_helper", 2), &[DORY, GUARDIAN]),
    step(Backup, "the guardian is armed, nothing is stopped", Told(Telling::Stops, 1), ALL),
    step(Backup, "half of the containers are stopped", After(Port::Runtime, "stop", 2), ALL),
    step(
        Backup,
        "all stand still, nothing is kept aside",
        Told(Telling::Begins(Phase::Freeze), 1),
        &[DORY.sampled(), HELPER.sampled(), GUARDIAN.sampled(), DOCKERD],
    ),
    step(Backup, "changes are kept aside, nothing is started", Before(Port::Runtime, "start", 1), ALL),
    step(Backup, "half of the containers are started", After(Port::Runtime, "start", 2), ALL),
    step(Backup, "all run again, the guardian is armed", Told(Telling::Runs, 4), ALL),
    step(
        Backup,
        "it begins to store what was kept aside",
        Told(Telling::Begins(Phase::Store), 1),
        &[DORY, HELPER, DOCKERD.leaves_to_engine()],
    ),
    step(Backup, "the point is not in the catalog yet", Told(Telling::Begins(Phase::Record), 1), &[DORY, HELPER]),
    step(Backup, "the point is in the catalog", After(Port::Catalog, "replace", 2), &[DORY]),
    step(Backup, "its helper is about to go", Before(Port::Runtime, "remove_helper", 2), &[DORY, HELPER]),
    step(Backup, "the run's record is written", After(Port::Catalog, "create", 1), &[DORY]),
    step(Restore, "its helper runs", After(Port::Runtime, "launch_helper", 1), &[DORY, HELPER]),
    step(Restore, "it begins to read ahead what is there", Told(Telling::Begins(Phase::Warm), 1), &[DORY, HELPER]),
    step(Restore, "its guardian runs, not armed yet", After(Port::Runtime, "launch_helper", 2), &[DORY, GUARDIAN]),
    step(Restore, "the guardian is armed, nothing is stopped", Told(Telling::Stops, 1), ALL),
    step(Restore, "half of the containers are stopped", After(Port::Runtime, "stop", 2), &[DORY, GUARDIAN]),
    step(Restore, "all stand still, no safety point is made", Told(Telling::Begins(Phase::Safeguard), 1), ALL),
    step(Restore, "the catalog knows that it is about to write", After(Port::Catalog, "replace", 2), &[DORY]),
    step(Restore, "the safety point is in the catalog", After(Port::Catalog, "replace", 3), ALL),
    step(
        Restore,
        "the guardian noted that data is half written",
        Told(Telling::Begins(Phase::Write), 1),
        HALF_RESTORED,
    ),
    step(
        Restore,
        "it writes",
        Told(Telling::Works(Phase::Write), 1),
        &[DORY.keeps_down().sampled(), HELPER.sampled(), GUARDIAN, DOCKERD.keeps_down().sampled()],
    ),
    step(
        Restore,
        "all is written, the guardian does not know it",
        Told(Telling::Mount(MountState::Restored), 1),
        HALF_RESTORED,
    ),
    step(
        Restore,
        "the guardian noted that data is whole, nothing is started",
        Before(Port::Runtime, "start", 1),
        &[DORY, GUARDIAN, DOCKERD],
    ),
    step(Restore, "half of the containers are started", After(Port::Runtime, "start", 2), &[DORY, GUARDIAN, DOCKERD]),
    step(
        Restore,
        "what was paused runs, and is not paused again",
        Before(Port::Runtime, "pause", 1),
        &[DORY, GUARDIAN, DOCKERD],
    ),
    step(Restore, "all run again, the guardian is armed", Told(Telling::Runs, 4), &[DORY, GUARDIAN]),
    step(Restore, "the run's record is written", After(Port::Catalog, "create", 1), &[DORY]),
    // That a helper died before it wrote is found out when it was told to, and then nobody knows whether it did.
    step(
        BareRestore,
        "all stand still, nothing is written",
        After(Port::Runtime, "stop", 4),
        &[DORY, HELPER.keeps_down(), GUARDIAN, DOCKERD],
    ),
    step(
        BareRestore,
        "it writes",
        Told(Telling::Works(Phase::Write), 1),
        &[DORY.keeps_down(), HELPER.keeps_down(), GUARDIAN.keeps_down(), DOCKERD.keeps_down()],
    ),
    step(
        BareRestore,
        "all is written, the guardian does not know it",
        Told(Telling::Mount(MountState::Restored), 1),
        &[DORY.keeps_down(), GUARDIAN],
    ),
    step(BareRestore, "half of the containers are started", After(Port::Runtime, "start", 2), &[DORY, GUARDIAN]),
    step(DeletePoint, "the point is marked", After(Port::Catalog, "replace", 1), &[DORY, DOCKERD.leaves_to_engine()]),
    step(DeletePoint, "its snapshot is about to go", Before(Port::Engine, "forget", 1), &[DORY]),
    step(DeletePoint, "its snapshot is gone, nothing is pruned", Before(Port::Engine, "prune", 1), &[DORY]),
    step(DeletePoint, "pruning wrote its index, the old one is there", After(Port::Objects, "put index", 1), &[DORY]),
    step(
        DeletePoint,
        "pruning is about to remove the old index",
        Before(Port::Objects, "delete index", 1),
        &[DORY.sampled()],
    ),
    step(DeletePoint, "all is pruned, the record is there", After(Port::Engine, "prune", 1), &[DORY]),
    step(DeletePoint, "the record is gone", After(Port::Catalog, "replace", 2), &[DORY]),
    step(DeleteBackup, "the backup is marked", After(Port::Catalog, "replace", 1), &[DORY, DOCKERD.leaves_to_engine()]),
    step(DeleteBackup, "its data is about to go", Before(Port::Catalog, "delete_tree", 1), &[DORY]),
    step(DeleteBackup, "its data goes", Packs(Change::Go), &[DORY]),
    step(DeleteBackup, "its data is gone, the record is there", After(Port::Catalog, "delete_tree", 1), &[DORY]),
    step(DeleteBackup, "the record is gone", After(Port::Catalog, "delete", 1), &[DORY]),
    // Its engine works in Dory itself, so there is no helper to kill.
    step(Prune, "what goes is chosen, nothing is marked", Before(Port::Catalog, "replace", 1), &[DORY]),
    step(
        Prune,
        "the points that go are marked",
        After(Port::Catalog, "replace", 1),
        &[DORY, DOCKERD.leaves_to_engine()],
    ),
    step(Prune, "their snapshots are about to go", Before(Port::Engine, "forget", 1), &[DORY]),
    step(Prune, "one of their snapshots is gone", After(Port::Objects, "delete snapshots", 1), &[DORY]),
    step(Prune, "their snapshots are gone, their data is there", Before(Port::Engine, "prune", 1), &[DORY]),
    step(Prune, "it wrote its index, the old one is there", After(Port::Objects, "put index", 1), &[DORY]),
    step(Prune, "it is about to remove the old index", Before(Port::Objects, "delete index", 1), &[DORY.sampled()]),
    step(Prune, "all is pruned, the records are there", After(Port::Engine, "prune", 1), &[DORY]),
    step(Prune, "the records are gone", After(Port::Catalog, "replace", 2), &[DORY]),
    step(Prune, "the run's record is written", After(Port::Catalog, "create", 1), &[DORY]),
    step(Serve, "it owns its name", After(Port::Catalog, "create", 1), &[DORY]),
    step(Serve, "its backup has begun, nothing is stopped", After(Port::Runtime, "launch_helper", 1), &[DORY]),
    step(Serve, "its backup stopped half of the containers", After(Port::Runtime, "stop", 2), &[DORY]),
];

/// A death at a step: one test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) step: &'static Step,
    pub(crate) death: &'static Death,
}

impl Point {
    /// Every point, in the table's order.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        STEPS.iter().flat_map(|step| step.deaths.iter().map(move |death| Self { step, death }))
    }

    /// The point of that [name](Self::name).
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::all().find(|point| point.name() == name)
    }

    /// Its test's name: `backup::half_of_the_containers_are_stopped::dory`.
    pub(crate) fn name(&self) -> String {
        let words = |text: &str| text.replace(',', "").replace([' ', '-'], "_").to_lowercase();
        let step = words(&self.step.name.replace('\'', ""));
        format!("{}::{step}::{}", words(self.step.task.as_str()), words(self.death.victim.as_str()))
    }
}

impl Task {
    pub(crate) const ALL: [Self; 7] = [Backup, Restore, BareRestore, DeletePoint, DeleteBackup, Prune, Serve];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Backup => "backup",
            Restore => "restore",
            BareRestore => "restore without a safety point",
            DeletePoint => "delete a point",
            DeleteBackup => "delete a backup",
            Prune => "prune",
            Serve => "serve",
        }
    }

    pub(crate) fn restores(self) -> bool {
        matches!(self, Restore | BareRestore)
    }

    pub(crate) fn deletes(self) -> bool {
        matches!(self, DeletePoint | DeleteBackup | Prune)
    }
}

impl Victim {
    pub(crate) const ALL: [Self; 4] = [Self::Dory, Self::Helper, Self::Guardian, Self::Dockerd];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Dory => "Dory",
            Self::Helper => "helper",
            Self::Guardian => "guardian",
            Self::Dockerd => "dockerd",
        }
    }
}

impl Then {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Back => "back",
            Self::KeptDown => "down, told",
            Self::LeftToEngine => "left to dockerd",
        }
    }
}
