//! What holds after every death, and is asserted of every point.

use std::io::{BufRead, BufReader};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::scene::{BEFORE, KNOWN, NEW, OLD, Ran, Scene};
use crate::steps::{Point, Task, Then, Victim};
use crate::victim::{DOOMED, GOOD, RULES};

/// How long a process that lost somebody may go on: it tries again, waits, rolls back.
const ENDING: Duration = Duration::from_secs(120);

/// Within how many seconds a guardian notices at the latest that Dory is gone: five beats, and what is left of a sixth.
const NOTICING: Duration = Duration::from_secs(6);

/// Within how many seconds of that everything runs again.
const BRINGING_BACK: Duration = Duration::from_secs(10);

/// How long a helper may go on after its Dory died.
const HELPERS_END: Duration = Duration::from_secs(20);

/// For how long a helper that ended is left to the Dory that may have launched it.
const LEFT_TO_ITS_DORY: Duration = Duration::from_secs(6);

/// What was measured at a point whose promises were all kept.
#[derive(Debug)]
pub(crate) struct Measured {
    /// From the death, or the engine's return, to the moment that everybody did again what they did before.
    pub(crate) back: Duration,
    /// To the moment that no helper ran any more.
    pub(crate) quiet: Duration,
}

/// Kills at `point`, and checks every promise. `None` where this machine has not what it takes.
///
/// # Panics
/// If a promise is broken.
pub(crate) fn keeps_its_promises(point: Point) -> Option<Measured> {
    let mut scene = Scene::set(point)?;
    let (task, then) = (point.step.task, point.death.then);
    assert_eq!(scene.states(), BEFORE);

    let ran = ends(&scene, point);
    assert!(scene.mark().exists(), "the step was never reached: {ran:#?}");
    assert_eq!(
        ran.code.is_none(),
        point.death.victim == Victim::Dory,
        "who was killed is gone, all others end: {ran:#?}"
    );
    scene.restart_engine();

    let over = Instant::now();
    if then == Then::LeftToEngine {
        // It starts what it always restarts; the others are as without any Dory.
        scene.start_by_hand();
    }
    let as_promised = |states: &[String]| match then {
        Then::KeptDown => states.iter().all(|state| state == "exited"),
        Then::Back | Then::LeftToEngine => states == BEFORE,
    };
    let back = within(
        NOTICING + BRINGING_BACK,
        over,
        || as_promised(&scene.states()),
        || format!("{:?} although they were to be {}: {ran:#?}", scene.states(), then.as_str()),
    );
    let quiet = within(HELPERS_END, over, || !scene.helpers_work(), || "a helper still runs".to_owned());
    assert!(as_promised(&scene.states()), "whoever was last did it wrong: {:?}", scene.states());

    settles(&scene, point, &ran);
    points_are_there(&scene, task);
    assert!(as_promised(&scene.states()), "settling did it wrong: {:?}", scene.states());
    if then != Then::KeptDown {
        let whole = [&scene.new, if task.restores() { &scene.old } else { &scene.new }];
        assert!(whole.contains(&&scene.contents()), "they run on data that is neither old nor new: {ran:#?}");
    }
    if then == Then::KeptDown {
        let again = ["restore", scene.name(), "--at", GOOD, "--no-safety", "--yes"];
        scene.dory(&again).succeeded();
        scene.start_by_hand();
        assert_eq!(scene.contents(), scene.old);
    }
    goes_on(&scene, task);
    assert_eq!(scene.states(), BEFORE);
    nothing_is_left(&scene);
    Some(Measured { back, quiet })
}

/// Runs the victim to its end.
fn ends(scene: &Scene, point: Point) -> Ran {
    let mut child = scene.start_victim(point);
    let end = Instant::now() + ENDING;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
            panic!("it does not end: {:#?}", Ran::of(&child.wait_with_output().unwrap()));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ran::of(&child.wait_with_output().unwrap())
}

/// Waits until something holds, and tells how long after `since` it did.
fn within(limit: Duration, since: Instant, holds: impl Fn() -> bool, otherwise: impl Fn() -> String) -> Duration {
    loop {
        if holds() {
            return since.elapsed();
        }
        assert!(since.elapsed() < limit, "{}", otherwise());
        thread::sleep(Duration::from_millis(50));
    }
}

/// The next command clears up, and tells what it has to.
fn settles(scene: &Scene, point: Point, ran: &Ran) {
    let left = !scene.helpers().is_empty();
    if left {
        thread::sleep(LEFT_TO_ITS_DORY);
    }
    let told = scene.dory(&["containers"]).succeeded();
    let words = format!("{}{}", told.stderr, ran.stderr);
    if point.death.then == Then::KeptDown {
        let alarm = ["must not run on it", "so it was not started again"];
        assert!(alarm.iter().any(|alarm| words.contains(alarm)), "nobody told: {words}");
    }
    if left && ran.code.is_none() {
        assert!(told.stderr.contains("Dory died"), "nobody told: {told:#?}");
    }
    assert_eq!(scene.helpers(), [""; 0], "a helper is left: {told:#?}");
    // A volume may be about to be mounted for a minute; the next run of the same backup knows better.
    if left {
        assert_eq!(scene.volumes(), [""; 0], "a volume is left: {told:#?}");
    }
    let again = scene.dory(&["containers"]).succeeded();
    assert!(!again.stderr.contains("Dory died"), "it is told twice: {again:#?}");
}

/// Every point that the catalog tells of can be read; the one that was there before is there, unless it was to go.
fn points_are_there(scene: &Scene, task: Task) {
    let Some(points) = scene.points() else {
        return assert_eq!(task, Task::DeleteBackup, "the backup is gone");
    };
    if task == Task::DeleteBackup {
        return;
    }
    assert!(points.iter().any(|point| point["name"] == GOOD), "a point is lost: {points:?}");
    if task == Task::Prune {
        let kept = points.iter().any(|point| point["name"].is_null() && point["deleting"] != true);
        assert!(kept, "the rules keep the newest: {points:?}");
    }
    for point in points.iter().filter(|point| point["deleting"] != true) {
        can_be_read(scene, point);
    }
}

fn can_be_read(scene: &Scene, point: &Value) {
    let read = scene.dory(&["cat", scene.name(), KNOWN, "--at", point["id"].as_str().unwrap()]).succeeded();
    assert_eq!(read.stdout, if point["name"] == GOOD { OLD } else { NEW }, "{point}");
}

/// The same again succeeds; what was half deleted is deleted to the end.
fn goes_on(scene: &Scene, task: Task) {
    let name = scene.name();
    match task {
        Task::Backup => {}
        Task::Serve => another_serves(scene),
        Task::Restore | Task::BareRestore => {
            let safety: &[&str] = if task == Task::Restore { &[] } else { &["--no-safety"] };
            scene.dory(&[&["restore", name, "--at", GOOD, "--yes"], safety].concat()).succeeded();
            assert_eq!(scene.contents(), scene.old);
        }
        Task::DeletePoint => {
            let doomed = || scene.points().unwrap().iter().any(|point| point["name"] == DOOMED);
            if doomed() {
                scene.dory(&["delete", name, "--at", DOOMED, "--yes"]).succeeded();
            }
            assert!(!doomed(), "it cannot be deleted to the end");
            points_are_there(scene, task);
        }
        Task::Prune => {
            let unnamed =
                || scene.points().unwrap().into_iter().filter(|point| point["name"].is_null()).collect::<Vec<_>>();
            let newest = unnamed().pop().expect("the newest stays");
            scene.dory(&["prune", name, "--keep", RULES, "--yes"]).succeeded();
            assert_eq!(unnamed(), [newest], "it cannot be pruned to the end");
            points_are_there(scene, task);
        }
        Task::DeleteBackup => {
            if scene.points().is_some() {
                scene.dory(&["delete", name, "--yes"]).succeeded();
            }
            assert!(scene.points().is_none(), "it cannot be deleted to the end");
        }
    }
    if matches!(task, Task::Backup | Task::Serve) || task.deletes() {
        scene.dory(&["backup", name, "--name", "next"]).succeeded();
        assert!(scene.holds_bulk("next"), "what the next run stored cannot be read");
    }
}

/// The name that a dead server held belongs to the next one, once it stood still for its term; that one gives it back.
fn another_serves(scene: &Scene) {
    let mut server = scene.serve();
    let mut said = BufReader::new(server.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.contains("serving as")), "nobody else can have its name");
    assert!(Command::new("kill").arg(server.id().to_string()).status().unwrap().success());
    // What it still says must not fill the pipe.
    said.for_each(drop);
    assert!(server.wait().unwrap().success());
    assert_eq!(scene.server()["body"]["lease"]["released"], true, "a lease is left");
}

fn nothing_is_left(scene: &Scene) {
    assert_eq!(scene.helpers(), [""; 0], "a helper is left");
    assert_eq!(scene.volumes(), [""; 0], "a volume is left");
}
