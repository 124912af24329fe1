//! A container engine in a temporary folder.

mod builder;
mod exec;
mod helper;
mod lifecycle;
mod mounted;
mod port;
mod state;
mod wait;
mod writer;

use std::fmt::{self, Debug};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use builder::ContainerBuilder;
use dory_core::domain::container::{Container, ContainerState, Health, Volume};
use dory_core::domain::id::{ImageRef, NetworkName, VolumeName};
use dory_core::ports::{BackupEngine, ContainerRuntime, HelperRole};
pub use exec::{ExecReply, ExecScript};
pub use helper::{HelperIo, HelperProgram, HelperView};
use tempfile::TempDir;
use tokio::sync::watch;
pub use writer::{Killed, WriterTurn};

use self::state::State;
use super::{Call, FakeClock, Journal};
use crate::faults::FaultyPort;

pub(crate) const PORT: &str = "runtime";

/// A [`ContainerRuntime`] whose volumes are folders, whose containers are records, and whose helpers run in this
/// process. Clones share one engine.
///
/// It keeps every promise of the port, and complains (see [`Journal::assert_no_complaints`]) about what a real engine
/// would put up with: stopping a helper, removing what is in use, cutting off a container that lives in another's
/// network, overlapping mounts of a helper. Its host is this machine: `HostPath` mounts are real paths.
///
/// A running container may have a writer: a closure that keeps changing its volumes, and really stands still when
/// `stop` or `pause` has returned. See [`ContainerBuilder::writer`].
#[derive(Clone)]
pub struct FakeRuntime {
    shared: Arc<Shared>,
}

struct Shared {
    // Dropped first: it ends the writers, which work in the folder.
    state: Mutex<State>,
    folder: TempDir,
    clock: FakeClock,
    journal: Journal,
    /// Counts changes of any container's state, for those who wait for one.
    changes: watch::Sender<u64>,
}

impl FakeRuntime {
    /// An engine without containers, with a clock and a journal of its own.
    #[must_use]
    pub fn new() -> Self {
        let clock = FakeClock::new();
        Self::with(&clock, &Journal::new(&clock))
    }

    /// An engine without containers that lives by `clock` and writes its calls into `journal`.
    #[must_use]
    pub fn with(clock: &FakeClock, journal: &Journal) -> Self {
        let folder = tempfile::Builder::new().prefix("dory-fake-").tempdir().expect("a temporary folder");
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State::new(folder.path(), clock, journal)),
                folder,
                clock: clock.clone(),
                journal: journal.clone(),
                changes: watch::Sender::new(0),
            }),
        }
    }

    /// This engine as the port.
    #[must_use]
    pub fn port(&self) -> Arc<dyn ContainerRuntime> {
        Arc::new(self.clone())
    }

    /// The clock it lives by.
    #[must_use]
    pub fn clock(&self) -> &FakeClock {
        &self.shared.clock
    }

    /// What was asked of it so far, in order.
    #[must_use]
    pub fn journal(&self) -> Vec<Call> {
        self.shared.journal.of(PORT)
    }

    /// The journal that it writes into, which may hold other ports' calls too.
    #[must_use]
    pub fn shared_journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// Begins a container; [`ContainerBuilder::running`] and its like add it to the host.
    pub fn container(&self, name: &str) -> ContainerBuilder {
        ContainerBuilder::new(self.clone(), name)
    }

    /// A volume's folder; the volume is made if it is missing.
    pub fn volume(&self, name: &str) -> PathBuf {
        let name = VolumeName::parse(name).expect("a volume's name");
        self.lock().ensure_volume(&name)
    }

    /// A folder of the fake's host to bind-mount, `srv/shop` say; it is made if it is missing.
    #[must_use]
    pub fn host_folder(&self, path: &str) -> PathBuf {
        let folder = self.shared.folder.path().join("host").join(path.trim_start_matches('/'));
        std::fs::create_dir_all(&folder).expect("a folder of the fake's host");
        folder
    }

    /// Puts an image on the host.
    pub fn image(&self, tag: &str) -> ImageRef {
        self.lock().ensure_image(tag)
    }

    /// Adds a network.
    pub fn network(&self, name: &str) {
        self.lock().networks.insert(NetworkName::parse(name).expect("a network's name"));
    }

    /// Makes helpers run Dory's agent with `engines`, and guardians guard this engine's containers, in this process.
    pub fn run_agents_with(&self, engines: Vec<Arc<dyn BackupEngine>>) {
        // The program is part of the engine, which must not hold itself.
        let shared = Arc::downgrade(&self.shared);
        let socket = move || Some(Self { shared: shared.upgrade()? }.port());
        self.run_helpers_with(mounted::dory_program(engines, self.shared.clock.port(), Arc::new(socket)));
    }

    /// Makes helpers run `program`.
    pub fn run_helpers_with(&self, program: HelperProgram) {
        self.lock().program = Some(program);
    }

    /// Answers what is executed inside a container by `script`. Without one, every command ends with 127.
    pub fn on_exec(&self, container: &str, script: ExecScript) {
        self.lock().named(container).script.exec = Some(script);
    }

    /// Says which container the code under test runs in.
    pub fn runs_dory_in(&self, container: &str) {
        let mut state = self.lock();
        let id = state.named(container).container.id.clone();
        state.own_container = Some(id);
    }

    /// Makes every call fail with `Unavailable`, and event streams break, until [`reconnect`](Self::reconnect).
    pub fn disconnect(&self) {
        let mut state = self.lock();
        state.reachable = false;
        state.break_events();
    }

    /// Ends what [`disconnect`](Self::disconnect) began.
    pub fn reconnect(&self) {
        self.lock().reachable = true;
    }

    /// Ends a running container as a crash does: at once, its writer in the middle of what it did.
    pub fn crash(&self, container: &str) {
        self.change(|state| state.end(container, true));
    }

    /// Changes a container's health check's mind.
    pub fn set_health(&self, container: &str, health: Health) {
        self.change(|state| state.set_health(container, health));
    }

    /// Removes a container, running or not, as `docker rm --force` does.
    pub fn remove_container(&self, container: &str) {
        self.change(|state| state.remove(container));
    }

    /// Renames a container.
    pub fn rename_container(&self, container: &str, name: &str) {
        self.change(|state| state.rename(container, name));
    }

    /// Removes a container and makes it anew from the same settings, under another id, as compose does after a change.
    pub fn recreate(&self, container: &str) -> Container {
        self.change(|state| state.recreate(container))
    }

    /// A container as it is now, without the journal noting it.
    ///
    /// # Panics
    /// If there is none of that name.
    #[must_use]
    pub fn peek(&self, container: &str) -> Container {
        let mut state = self.lock();
        state.settle();
        let record = state.named(container);
        record.container.clone()
    }

    /// A container's state now, without the journal noting it.
    ///
    /// # Panics
    /// If there is none of that name.
    #[must_use]
    pub fn state_of(&self, container: &str) -> ContainerState {
        self.peek(container).state
    }

    /// Waits until a container's writer has ended `more` further turns.
    ///
    /// # Panics
    /// If it has no running writer, or does not get so far within ten seconds.
    pub fn wait_for_turns(&self, container: &str, more: u64) {
        let watch = self.lock().named(container).turns();
        watch.wait_for_more(more);
    }

    /// How many turns a container's writer has ended; none if it has no writer.
    #[must_use]
    pub fn turns(&self, container: &str) -> u64 {
        self.lock().named(container).turns().count()
    }

    /// Ends every running helper that works on volumes now, as a kill does. They stay on the host, not running.
    pub fn kill_helpers(&self) {
        self.lock().kill_helpers(HelperRole::Engine);
    }

    /// Ends every running guardian now, as a kill does. Those that are kept start again at once.
    pub fn kill_guardians(&self) {
        self.lock().kill_helpers(HelperRole::Guardian);
    }

    /// Ends every guardian for good, as `docker stop` does. They stay on the host, not running.
    pub fn end_guardians(&self) {
        self.lock().end_guardians();
    }

    /// Ends every helper and every container, as a host does that loses its power, and starts again what is kept.
    pub fn restart_host(&self) {
        self.change(State::lose_power);
    }

    /// Ends the next helper that is launched once it has written `bytes` to its standard output.
    pub fn kill_next_helper_after(&self, bytes: u64) {
        self.lock().kill_after_output = Some(bytes);
    }

    /// Ends every running helper when `method` (`stop`, `start`, …) is called next, before that call is answered.
    ///
    /// # Panics
    /// If the port has no such method.
    pub fn kill_helpers_on(&self, method: &str) {
        let methods = <dyn ContainerRuntime as FaultyPort>::METHODS;
        let known = methods.iter().find(|known| **known == method);
        let known = known.unwrap_or_else(|| panic!("the port has no method `{method}`, but {methods:?}"));
        self.lock().kill_on = Some(known);
    }

    /// Fails unless the code under test left the host as it should: no helper is left, nothing was misused, and nobody
    /// lives in the network of a container that was stopped under it.
    ///
    /// # Panics
    /// If it did not.
    pub fn assert_tidy(&self) {
        let state = self.lock();
        let helpers: Vec<_> = state.helpers.iter().map(|helper| helper.name().to_string()).collect();
        assert!(helpers.is_empty(), "helpers were left behind: {}", helpers.join(", "));
        let of_helpers = |volume: &&Volume| volume.labels.keys().any(|label| label.starts_with("dory.helper."));
        let volumes: Vec<_> = state.volumes.values().filter(of_helpers).map(|volume| volume.name.to_string()).collect();
        assert!(volumes.is_empty(), "volumes of helpers were left behind: {}", volumes.join(", "));
        let cut_off: Vec<_> =
            state.containers.iter().filter(|c| c.cut_off).map(|c| c.container.name.to_string()).collect();
        assert!(cut_off.is_empty(), "containers run without their network: {}", cut_off.join(", "));
        drop(state);
        self.shared.journal.assert_no_complaints();
    }

    /// Lets `duration` pass: the engine was busy for so long.
    fn pass(&self, duration: Duration) {
        if !duration.is_zero() {
            self.shared.clock.advance(duration);
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = {
            let mut state = self.lock();
            state.settle();
            let changed = change(&mut state);
            state.reap();
            changed
        };
        self.announce();
        changed
    }

    /// Wakes those who wait for a change of any container's state.
    fn announce(&self) {
        self.shared.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for FakeRuntime {
    fn default() -> Self {
        Self::new()
    }
}

impl Debug for FakeRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeRuntime").field("folder", &self.shared.folder.path()).finish_non_exhaustive()
    }
}
