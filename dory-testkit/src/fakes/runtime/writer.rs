//! What changes a container's files while it runs.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Why a writer must end its turn at once: its container was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Killed;

type Step = dyn FnMut(&WriterTurn) -> Result<(), Killed> + Send;

/// What a container's program does, over and over, and what it does when it is asked to end.
#[derive(Clone)]
pub(super) struct WriterProgram {
    pub(super) step: Arc<Mutex<Step>>,
    pub(super) shutdown: Option<Arc<Mutex<Step>>>,
}

/// One turn of a writer: a transaction, if you will. A stop lets it end. A pause and a kill come at the worst moment: if
/// turns have a [`pause_point`](Self::pause_point), the writer is frozen or ended there, with half of its turn done.
///
/// Between turns the writer rests for a moment. It must not call the runtime: that would wait for the writer.
#[derive(Debug)]
pub struct WriterTurn {
    number: u64,
    mounts: BTreeMap<PathBuf, (PathBuf, bool)>,
    gate: Arc<Gate>,
}

impl WriterTurn {
    /// Counts a container's turns from 1, across restarts.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Where a path inside the container really is.
    ///
    /// # Panics
    /// If no mount of the container holds it, or one that is read-only does.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        let inside = Path::new(inside);
        let plain = inside.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        let mount = inside.ancestors().find_map(|ancestor| Some((ancestor, self.mounts.get(ancestor)?)));
        let Some((destination, (real, writable))) = mount.filter(|_| plain) else {
            panic!("no mount of the container holds `{}`", inside.display());
        };
        assert!(writable, "`{}` is mounted read-only", destination.display());
        let rest = inside.strip_prefix(destination).expect("an ancestor");
        if rest.as_os_str().is_empty() { real.clone() } else { real.join(rest) }
    }

    /// A moment at which a pause may freeze the writer and a kill may end it.
    ///
    /// # Errors
    /// If it was killed.
    pub fn pause_point(&self) -> Result<(), Killed> {
        self.gate.pause_point()
    }
}

/// What the container wants of its writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Run,
    Freeze,
    Finish,
    Kill,
}

#[derive(Debug)]
struct Phase {
    wanted: Wanted,
    /// The thread stands still: it will change nothing before `wanted` changes.
    at_rest: bool,
    ended: bool,
    turns: u64,
    /// Whether the last turn came by a pause point; the first is trusted to.
    has_pause_points: bool,
}

#[derive(Debug)]
struct Gate {
    phase: Mutex<Phase>,
    changed: Condvar,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pause_point(&self) -> Result<(), Killed> {
        let mut phase = self.lock();
        phase.has_pause_points = true;
        phase = self.rest_while_frozen(phase);
        if phase.wanted == Wanted::Kill { Err(Killed) } else { Ok(()) }
    }

    /// Whether another turn may begin. One does although the writer is to freeze or to be killed, if that can happen in
    /// the middle of it.
    fn next_turn(&self) -> bool {
        let mut phase = self.lock();
        let worse_later = std::mem::take(&mut phase.has_pause_points);
        if worse_later && matches!(phase.wanted, Wanted::Freeze | Wanted::Kill) {
            return true;
        }
        self.rest_while_frozen(phase).wanted == Wanted::Run
    }

    fn rest_while_frozen<'a>(&self, mut phase: MutexGuard<'a, Phase>) -> MutexGuard<'a, Phase> {
        while phase.wanted == Wanted::Freeze {
            phase.at_rest = true;
            self.changed.notify_all();
            phase = self.changed.wait(phase).unwrap_or_else(PoisonError::into_inner);
        }
        phase.at_rest = false;
        phase
    }

    fn want(&self, wanted: Wanted) {
        let mut phase = self.lock();
        phase.wanted = wanted;
        self.changed.notify_all();
        while !(phase.ended || phase.at_rest && wanted == Wanted::Freeze || wanted == Wanted::Run) {
            phase = self.changed.wait(phase).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The turns that a container's writer has ended.
#[derive(Debug)]
pub(super) struct Turns {
    gate: Option<Arc<Gate>>,
    before: u64,
}

impl Turns {
    /// Those of a container whose writer does not run.
    pub(super) fn at_rest(before: u64) -> Self {
        Self { gate: None, before }
    }

    pub(super) fn count(&self) -> u64 {
        self.gate.as_ref().map_or(self.before, |gate| gate.lock().turns)
    }

    pub(super) fn wait_for_more(&self, more: u64) {
        let gate = self.gate.as_ref().expect("the container has no running writer");
        let phase = gate.lock();
        let goal = phase.turns + more;
        let waited =
            gate.changed.wait_timeout_while(phase, Duration::from_secs(10), |phase| phase.turns < goal && !phase.ended);
        let (phase, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(phase.turns >= goal, "the writer came to turn {} and not {goal}", phase.turns);
    }
}

/// A writer's thread. It ends, killed, when dropped.
pub(super) struct Writer {
    gate: Arc<Gate>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts writing, with turns counted from after `turns`.
    pub(super) fn start(
        program: &WriterProgram,
        mounts: BTreeMap<PathBuf, (PathBuf, bool)>,
        turns: u64,
        name: &str,
    ) -> Self {
        let phase = Phase { wanted: Wanted::Run, at_rest: false, ended: false, turns, has_pause_points: true };
        let gate = Arc::new(Gate { phase: Mutex::new(phase), changed: Condvar::new() });
        let (program, thread_gate) = (program.clone(), Arc::clone(&gate));
        let thread = std::thread::Builder::new()
            .name(format!("writer of {name}"))
            .spawn(move || run(&program, WriterTurn { number: turns, mounts, gate: thread_gate }))
            .expect("a thread for a writer");
        Self { gate, thread: Some(thread) }
    }

    /// Lets the turn under way come to its end, and what the program does at shutdown; returns when it has ended.
    pub(super) fn finish(self) {
        self.gate.want(Wanted::Finish);
    }

    /// Makes it stand still, perhaps in the middle of a turn; returns when it does.
    pub(super) fn freeze(&self) {
        self.gate.want(Wanted::Freeze);
    }

    /// Lets it go on.
    pub(super) fn thaw(&self) {
        self.gate.want(Wanted::Run);
    }

    pub(super) fn turns(&self) -> Turns {
        Turns { gate: Some(Arc::clone(&self.gate)), before: 0 }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.gate.want(Wanted::Kill);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("a writer panicked, see above");
        }
    }
}

/// Says that the thread has ended, even if it panicked.
struct End(Arc<Gate>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

fn run(program: &WriterProgram, mut turn: WriterTurn) {
    let _end = End(Arc::clone(&turn.gate));
    let mut step = program.step.lock().unwrap_or_else(PoisonError::into_inner);
    while turn.gate.next_turn() {
        turn.number += 1;
        if step(&turn).is_err() {
            return;
        }
        let mut phase = turn.gate.lock();
        phase.turns = turn.number;
        turn.gate.changed.notify_all();
        // A moment's rest, so that writers leave the processor to those who are tested; a wish ends it.
        let rest = Duration::from_micros(300);
        drop(turn.gate.changed.wait_timeout_while(phase, rest, |phase| phase.wanted == Wanted::Run));
    }
    if let Some(shutdown) = &program.shutdown
        && turn.gate.lock().wanted == Wanted::Finish
    {
        // Killed in the middle of its shutdown, it has still ended.
        let _ = shutdown.lock().unwrap_or_else(PoisonError::into_inner)(&turn);
    }
}
