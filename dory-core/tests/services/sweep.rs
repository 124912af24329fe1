//! Every port call of a run fails once, loses its answer once, and fails once for good: whatever fails when, what ran
//! runs again or is named, nothing is left behind, nothing that was there is lost, and the next run succeeds.
//!
//! A good run is counted first, so that no list here can fall behind the services.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dory_core::domain::backup::PointChoice;
use dory_core::domain::container::ContainerState;
use dory_core::domain::id::PointId;
use dory_core::domain::keys::Encryption;
use dory_core::ports::{BackupEngine, CatalogStore, ContainerRuntime};
use dory_core::services::{BackupRequest, Cancel, Dory, RestoreChoice, RunEvent, RunEvents};
use dory_core::{Error, ErrorKind, Result};
use dory_testkit::World;
use dory_testkit::faults::{Faulty, FaultyPort};
use dory_testkit::fixtures::{Aspects, Tree, diff_trees};

use super::bench::restore_of;

/// Who is there, and what each must be doing in the end.
const CONTAINERS: [(&str, ContainerState); 4] = [
    ("db", ContainerState::Running),
    ("reader", ContainerState::Running),
    ("frozen", ContainerState::Paused),
    ("idle", ContainerState::Exited),
];

/// Calls that change something, so that it matters when only their answer is lost.
const CHANGES: [&str; 16] = [
    "catalog create",
    "catalog replace",
    "engine open",
    "engine warm",
    "engine freeze",
    "engine backup",
    "engine restore",
    "runtime create_volume",
    "runtime remove_volume",
    "runtime stop",
    "runtime start",
    "runtime pause",
    "runtime unpause",
    "runtime ensure_helper_image",
    "runtime launch_helper",
    "runtime remove_helper",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    FirstBackup,
    SecondBackup,
    RestoreInPlace,
    RestoreWithoutSafety,
}

/// One port call of a good run.
#[derive(Clone, Debug)]
struct Target {
    /// `runtime stop`.
    call: String,
    /// Which of the calls of this method, from 1.
    nth: usize,
    /// Whether nothing was stopped before it.
    before_the_window: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Just once.
    Fails,
    /// Just once, and what was asked happens.
    LosesItsAnswer,
    /// As every later call of the same method.
    FailsForGood,
}

impl How {
    const ALL: [Self; 3] = [Self::Fails, Self::LosesItsAnswer, Self::FailsForGood];
}

/// A host with a backup's worth of containers, and what was there before the run.
struct Stage {
    world: World,
    task: Task,
    point: Option<PointId>,
    /// The volume at the time of the first backup, and right before the run.
    held: Tree,
    before: Tree,
}

impl Stage {
    async fn set(task: Task) -> Self {
        let world = World::new();
        world.database("db");
        world.runtime.container("reader").read_only_volume("db-data", "/data").refers_to("db").running();
        world.runtime.container("frozen").volume("db-data", "/data").paused();
        world.runtime.container("idle").volume("db-data", "/data").stopped();
        let held = world.files("db-data");
        let mut point = None;
        if task != Task::FirstBackup {
            point = Some(back_up(&dory(&world), &RunEvents::ignored()).await.unwrap().0);
            world.wreck("db-data");
        }
        world.journal.clear();
        let before = world.files("db-data");
        Self { world, task, point, held, before }
    }

    /// Does the task with a Dory that knows nothing yet; tells the error of containers that stayed down.
    async fn run(&self) -> Result<Option<Error>> {
        self.run_telling(&RunEvents::ignored()).await
    }

    async fn run_telling(&self, events: &RunEvents) -> Result<Option<Error>> {
        let dory = dory(&self.world);
        let safety = match self.task {
            Task::FirstBackup | Task::SecondBackup => return back_up(&dory, events).await.map(|(_, down)| down),
            Task::RestoreInPlace => true,
            Task::RestoreWithoutSafety => false,
        };
        let point = PointChoice::Named(self.point.unwrap().to_string());
        let choice = RestoreChoice { point, safety, ..restore_of("db") };
        dory.run_restore(&choice, &Cancel::new(), events).await.map(|outcome| outcome.containers_down)
    }

    /// How often each method was called, of every port that a run uses.
    fn counts(&self) -> Vec<(String, usize)> {
        let faults = &self.world.faults;
        let runtime = <dyn ContainerRuntime>::METHODS.iter().map(|name| ("runtime", name, faults.runtime.calls(name)));
        let catalog = <dyn CatalogStore>::METHODS.iter().map(|name| ("catalog", name, faults.catalog.calls(name)));
        let engine = <dyn BackupEngine>::METHODS.iter().map(|name| ("engine", name, faults.restic.calls(name)));
        runtime.chain(catalog).chain(engine).map(|(port, name, calls)| (format!("{port} {name}"), calls)).collect()
    }

    fn inject(&self, target: &Target, how: How) {
        let (port, method) = target.call.split_once(' ').unwrap();
        let error = Error::new(ErrorKind::Unavailable, "reach", target.call.clone(), "the test broke the connection");
        let faults = &self.world.faults;
        match port {
            "runtime" => faults.runtime.break_call(method, target.nth, how, error),
            "catalog" => faults.catalog.break_call(method, target.nth, how, error),
            _ => faults.restic.break_call(method, target.nth, how, error),
        }
    }

    fn has(&self, tree: &Tree) -> bool {
        diff_trees(tree, &self.world.files("db-data"), Aspects::ALL).is_empty()
    }

    /// The points in the catalog, as somebody sees them who knows nothing yet.
    async fn points(&self) -> Result<Vec<PointId>, String> {
        let list = dory(&self.world).catalog().backups().await.map_err(|error| format!("no catalog: {error}"))?;
        match list.damaged.first() {
            Some(error) => Err(format!("a damaged catalog: {error}")),
            None => Ok(list.backups.iter().flat_map(|backup| &backup.points).map(|point| point.id).collect()),
        }
    }
}

/// A port whose calls go wrong in one of our ways.
trait Breakable {
    fn break_call(&self, method: &str, nth: usize, how: How, error: Error);
}

impl<T: ?Sized + FaultyPort> Breakable for Faulty<T> {
    fn break_call(&self, method: &str, nth: usize, how: How, error: Error) {
        match how {
            How::Fails => self.fail_nth(method, nth, error),
            How::LosesItsAnswer => self.lose_nth_answer(method, nth, error),
            How::FailsForGood => self.fail_from(method, nth, error),
        }
    }
}

fn dory(world: &World) -> Dory {
    world.dory_with(Some(Encryption::None))
}

async fn back_up(dory: &Dory, events: &RunEvents) -> Result<(PointId, Option<Error>)> {
    let request = BackupRequest { container: "db".to_owned(), ..BackupRequest::default() };
    let report = dory.run_backup(&request, &Cancel::new(), events).await?;
    Ok((report.point.id, report.containers_down))
}

/// Every port call of a good run of `task`.
async fn calls_of_a_good_run(task: Task) -> Vec<Target> {
    let stage = Arc::new(Stage::set(task).await);
    let counted = stage.counts();
    let (at_the_window, counting) = (Arc::new(OnceLock::new()), Arc::clone(&stage));
    let opened = Arc::clone(&at_the_window);
    let events = RunEvents::new(move |event| {
        if matches!(event, RunEvent::Quieting { .. }) {
            opened.get_or_init(|| counting.counts());
        }
    });
    let down = stage.run_telling(&events).await.unwrap();
    assert!(down.is_none(), "{down:?}");
    stage.world.assert_tidy();
    let mut targets = Vec::new();
    let at_the_window = at_the_window.get().unwrap();
    for (((call, before), (_, until_window)), (_, after)) in counted.into_iter().zip(at_the_window).zip(stage.counts())
    {
        for nth in 1..=after - before {
            targets.push(Target { call: call.clone(), nth, before_the_window: nth <= until_window - before });
        }
    }
    targets
}

/// What a run left in disorder after a call went wrong.
async fn disorder_after(task: Task, target: &Target, how: How) -> Vec<String> {
    let stage = Stage::set(task).await;
    let points_before = stage.points().await.unwrap();
    stage.world.journal.clear();
    stage.inject(target, how);
    let result = stage.run().await;
    stage.world.faults.assert_all_hit();
    stage.world.faults.heal();

    let mut disorder = Vec::new();
    let stopped = stage.world.journal.only(&["runtime stop", "runtime pause"]);
    if result.is_err() && target.before_the_window && !stopped.is_empty() {
        disorder.push(format!("it stopped something: {stopped:?}"));
    }
    let error = match &result {
        Ok(down) => down.as_ref(),
        Err(error) => Some(error),
    };
    disorder.extend(error.and_then(unclear));
    disorder.extend(not_as_before(&stage, how, error));
    disorder.extend(helpers_left(&stage, target, how).await);
    disorder.extend(lost_data(&stage, &result));
    match stage.points().await {
        Err(words) => disorder.push(words),
        Ok(points) => {
            if points_before.iter().any(|point| !points.contains(point)) {
                disorder.push("a restore point is lost".to_owned());
            }
            if matches!((task, &result), (Task::FirstBackup | Task::SecondBackup, Ok(_)))
                && points.len() != points_before.len() + 1
            {
                disorder.push(format!("it says that it made a point, and there are {}", points.len()));
            }
        }
    }
    disorder.extend(next_run(&stage).await);
    disorder.extend(stage.world.journal.take_complaints());
    disorder
}

/// Whether an error says too little.
fn unclear(error: &Error) -> Option<String> {
    let known = [ErrorKind::Unavailable, ErrorKind::ContainerDown].contains(&error.kind());
    let clear = known && !error.subject().is_empty();
    (!clear).then(|| format!("the error is unclear: {error:?}"))
}

/// Containers that are not what they were, unless they must stay down and the error names them; and false alarms.
fn not_as_before(stage: &Stage, how: How, error: Option<&Error>) -> Vec<String> {
    let alarm = error.filter(|error| error.kind() == ErrorKind::ContainerDown);
    // One call that fails keeps nothing down, unless it left half-restored data that nobody can put right.
    let may_be_down = how == How::FailsForGood || stage.task == Task::RestoreWithoutSafety;
    let is_named = |name: &str| alarm.is_some_and(|alarm| may_be_down && alarm.subject().contains(name));
    let is = |name: &str| stage.world.runtime.state_of(name);
    let down: Vec<_> = CONTAINERS.into_iter().filter(|(name, wanted)| is(name) != *wanted).collect();
    let unnamed = down.iter().filter(|(name, _)| !is_named(name));
    let mut found: Vec<_> = unnamed
        .map(|(name, _)| format!("container {name} is {}, and the error is {error:?}", is(name).as_str()))
        .collect();
    // Whether a container is healthy cannot be known where nobody answers.
    if down.is_empty() && how != How::FailsForGood {
        found.extend(alarm.map(|alarm| format!("a false alarm: {alarm:?}")));
    }
    found
}

async fn helpers_left(stage: &Stage, target: &Target, how: How) -> Option<String> {
    let runtime = stage.world.runtime.port();
    let cannot_be_removed = match (target.call.as_str(), how) {
        // Whoever launched it does not know it.
        ("runtime launch_helper", How::LosesItsAnswer) => true,
        ("runtime remove_helper", How::FailsForGood) => true,
        _ => false,
    };
    let mut helpers = runtime.list_helpers().await.unwrap();
    if cannot_be_removed {
        // It ends by itself, and the next run removes it.
        while helpers.iter().any(|helper| helper.running) {
            tokio::task::yield_now().await;
            helpers = runtime.list_helpers().await.unwrap();
        }
        return None;
    }
    (!helpers.is_empty()).then(|| "a helper is left".to_owned())
}

/// Whether a volume does not hold what it should, or an application runs on a mixture.
fn lost_data(stage: &Stage, result: &Result<Option<Error>>) -> Option<String> {
    let restores = matches!(stage.task, Task::RestoreInPlace | Task::RestoreWithoutSafety);
    let fits = match result {
        Ok(_) if restores => stage.has(&stage.held),
        Err(_) if restores => {
            let users_run = stage.world.runtime.state_of("db") == ContainerState::Running;
            stage.has(&stage.before) || stage.has(&stage.held) || !users_run
        }
        _ => stage.has(&stage.before),
    };
    (!fits).then(|| "the volume does not hold what it should".to_owned())
}

/// Starts what stayed down, as the error told its user to, and does the task again.
async fn next_run(stage: &Stage) -> Option<String> {
    let runtime = stage.world.runtime.port();
    // As the next command does, some time later.
    stage.world.clock.advance(Duration::from_secs(60));
    if let Err(error) = dory(&stage.world).settle().await {
        return Some(format!("what was left cannot be settled: {error:?}"));
    }
    for (name, wanted) in CONTAINERS {
        let container = runtime.inspect_container(name).await.unwrap();
        if container.state == wanted {
            continue;
        }
        if container.state == ContainerState::Exited {
            runtime.start(&container.id).await.unwrap();
        }
        match wanted {
            ContainerState::Paused => runtime.pause(&container.id).await.unwrap(),
            _ => runtime.unpause(&container.id).await.unwrap(),
        }
    }
    let complaint = match stage.run().await {
        Ok(None) => lost_data(stage, &Ok(None)),
        Ok(Some(down)) => Some(format!("the next run leaves containers down: {down:?}")),
        Err(error) => Some(format!("the next run fails: {error:?}")),
    };
    let helpers = runtime.list_helpers().await.unwrap();
    complaint.or_else(|| (!helpers.is_empty()).then(|| "a helper is left after the next run".to_owned()))
}

async fn sweep(task: Task) {
    let mut disorder = Vec::new();
    let targets = calls_of_a_good_run(task).await;
    assert!(targets.len() > 20, "{targets:#?}");
    for target in &targets {
        for how in How::ALL {
            if how == How::LosesItsAnswer && !CHANGES.contains(&target.call.as_str()) {
                continue;
            }
            for words in disorder_after(task, target, how).await {
                disorder.push(format!("{} no. {} {how:?}: {words}", target.call, target.nth));
            }
        }
    }
    assert!(disorder.is_empty(), "{task:?}:\n{}", disorder.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_backup_survives_every_fault() {
    sweep(Task::FirstBackup).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_backup_survives_every_fault() {
    sweep(Task::SecondBackup).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_in_place_survives_every_fault() {
    sweep(Task::RestoreInPlace).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_without_safety_survives_every_fault() {
    sweep(Task::RestoreWithoutSafety).await;
}
