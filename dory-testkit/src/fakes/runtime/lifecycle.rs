//! How the fake's containers change: the rules of an engine, one function a change.

use std::time::Duration;

use dory_core::domain::container::{Container, ContainerState, Health};
use dory_core::domain::id::{ContainerId, ContainerName};
use dory_core::ports::{Clock, ContainerAction};
use dory_core::{Error, ErrorKind, Result};

use super::state::{HealthScript, Record, State};
use super::writer::Writer;

/// The exit code of what was killed.
const KILLED: i64 = 137;

impl State {
    /// Adds a container in `state`; a running one runs from now on.
    pub(super) fn add(&mut self, record: Record, state: ContainerState) -> Container {
        let name = record.container.name.clone();
        let taken = self.containers.iter().any(|known| known.container.name == name);
        assert!(!taken, "the test adds container `{name}` twice");
        self.containers.push(record);
        let at = self.containers.len() - 1;
        self.tell(&self.containers[at].container.clone(), ContainerAction::Created);
        match state {
            ContainerState::Created => {}
            ContainerState::Running => self.run(at),
            ContainerState::Paused => {
                self.run(at);
                self.freeze(at);
            }
            ContainerState::Exited => {
                self.run(at);
                self.end_at(at, false);
            }
            other => self.containers[at].container.state = other,
        }
        self.containers[at].container.clone()
    }

    /// Stops a container; tells how long that took.
    pub(super) fn stop(&mut self, id: &ContainerId, grace: Option<Duration>) -> Result<Duration> {
        let at = self.position(id, "stop container")?;
        let record = &self.containers[at];
        let name = record.container.name.clone();
        let takes = match record.container.state {
            ContainerState::Created | ContainerState::Exited | ContainerState::Dead => return Ok(Duration::ZERO),
            ContainerState::Running => record.script.stop_takes,
            // Frozen processes hear no signal, and what restarts or is removed has none.
            _ => Duration::MAX,
        };
        let grace = grace.or(record.container.stop_grace).unwrap_or(Duration::from_secs(10));
        let killed = takes > grace;
        if killed && record.script.survives_kill {
            let reason = "it still runs although it was killed";
            return Err(Error::new(ErrorKind::TimedOut, "stop container", name.as_str(), reason));
        }
        let took = takes.min(grace);
        self.end_after(at, killed, took);
        Ok(took)
    }

    /// Starts a container; tells how long that took.
    pub(super) fn start(&mut self, id: &ContainerId) -> Result<Duration> {
        let at = self.position(id, "start container")?;
        let container = &self.containers[at].container;
        let name = container.name.clone();
        let refused = |reason: &str| Error::new(ErrorKind::ContainerDown, "start container", name.as_str(), reason);
        match container.state {
            ContainerState::Running | ContainerState::Restarting => return Ok(Duration::ZERO),
            ContainerState::Paused => {
                self.journal.complain(format!("`start` was called for container `{name}`, which is paused"));
                return Err(Error::new(ErrorKind::Conflict, "start container", name.as_str(), "it is paused"));
            }
            ContainerState::Removing | ContainerState::Dead => return Err(refused("it is being removed")),
            ContainerState::Created | ContainerState::Exited => {}
        }
        if let Some(words) = &self.containers[at].script.start_refusal {
            return Err(refused("the engine could not start it").with_source(words.clone()));
        }
        if let Some(host) = self.network_host(at)
            && !matches!(self.containers[host].container.state, ContainerState::Running | ContainerState::Paused)
        {
            let words =
                format!("cannot join network of a non running container: {}", self.containers[host].container.id);
            return Err(refused("the engine could not start it").with_source(words));
        }
        self.run(at);
        Ok(self.containers[at].script.start_takes)
    }

    pub(super) fn pause(&mut self, id: &ContainerId) -> Result<()> {
        let at = self.position(id, "pause container")?;
        let container = &self.containers[at].container;
        match container.state {
            ContainerState::Paused => {}
            ContainerState::Running => self.freeze(at),
            other => {
                let reason = format!("it is {}", other.as_str());
                return Err(Error::new(ErrorKind::Conflict, "pause container", container.name.as_str(), reason));
            }
        }
        Ok(())
    }

    pub(super) fn unpause(&mut self, id: &ContainerId) -> Result<()> {
        let at = self.position(id, "unpause container")?;
        let record = &mut self.containers[at];
        if record.container.state == ContainerState::Paused {
            record.container.state = ContainerState::Running;
            if let Some(writer) = &record.writer {
                writer.thaw();
            }
        }
        Ok(())
    }

    /// Ends the container that the test names: `killed` in the middle of what it does, or in order.
    pub(super) fn end(&mut self, name: &str, killed: bool) {
        let id = self.named(name).container.id.clone();
        let at = self.position(&id, "end container").expect("just found");
        self.end_at(at, killed);
    }

    pub(super) fn set_health(&mut self, name: &str, health: Health) {
        let record = self.named(name);
        let has_check = record.script.health.is_some();
        assert!(has_check, "container `{name}` has no health check: give it one with `healthy_after`");
        assert_ne!(health, Health::Starting, "a health check starts with the container and at no other time");
        record.container.health = health;
        let container = record.container.clone();
        self.tell(&container, ContainerAction::HealthChanged);
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.end(name, true);
        let at = self.containers.iter().position(|record| record.container.name.as_str() == name);
        let record = self.containers.remove(at.expect("just ended"));
        self.tell(&record.container, ContainerAction::Removed);
    }

    pub(super) fn rename(&mut self, name: &str, new: &str) {
        let record = self.named(name);
        record.container.name = ContainerName::parse(new).expect("a container's name");
        let container = record.container.clone();
        self.tell(&container, ContainerAction::Renamed);
    }

    pub(super) fn recreate(&mut self, name: &str) -> Container {
        let record = self.named(name);
        let (mut container, script, state) = (record.container.clone(), record.script.clone(), record.container.state);
        self.remove(name);
        container.id = self.new_id(name);
        container.created_at = self.clock.now();
        container.started_at = None;
        container.state = ContainerState::Created;
        container.health = Health::None;
        self.add(Record::new(container, script), state)
    }

    /// Lets the scripts do what is due by now: containers that end by themselves, health checks that answer.
    pub(super) fn settle(&mut self) {
        let now = self.clock.monotonic();
        for at in 0..self.containers.len() {
            while let Some(due) = self.containers[at].next_change().filter(|due| *due <= now) {
                let record = &mut self.containers[at];
                if record.script.ends_after.is_some_and(|after| record.started + after == due) {
                    let code = record.script.exit_code;
                    self.end_at(at, true);
                    self.containers[at].container.exit_code = Some(code);
                } else if let Some(HealthScript::After(_, verdict)) = record.script.health {
                    record.container.health = verdict;
                    let container = record.container.clone();
                    self.tell(&container, ContainerAction::HealthChanged);
                }
            }
        }
        self.reap();
    }

    /// Removes what ended and was to be removed then.
    pub(super) fn reap(&mut self) {
        let goes =
            |record: &Record| record.container.removed_when_ended && record.container.state == ContainerState::Exited;
        while let Some(at) = self.containers.iter().position(goes) {
            let record = self.containers.remove(at);
            self.tell(&record.container, ContainerAction::Removed);
        }
    }

    fn run(&mut self, at: usize) {
        let record = &mut self.containers[at];
        record.container.state = ContainerState::Running;
        record.container.exit_code = None;
        record.container.health = record.script.health.map_or(Health::None, |_| Health::Starting);
        record.container.started_at = Some(self.clock.now());
        record.started = self.clock.monotonic();
        record.cut_off = false;
        let folders = Self::folders_of(&record.container);
        let name = record.container.name.as_str();
        let turns = record.turns_before;
        record.writer = record.script.writer.as_ref().map(|program| Writer::start(program, folders, turns, name));
        let container = record.container.clone();
        self.tell(&container, ContainerAction::Started);
    }

    fn freeze(&mut self, at: usize) {
        let record = &mut self.containers[at];
        if let Some(writer) = &record.writer {
            writer.freeze();
        }
        record.container.state = ContainerState::Paused;
    }

    /// Returns only when the container's writer stands still for good.
    pub(super) fn end_at(&mut self, at: usize, killed: bool) {
        self.end_after(at, killed, Duration::ZERO);
    }

    /// As [`end_at`](Self::end_at), for one that has taken its time when the clock is moved on by `took`.
    fn end_after(&mut self, at: usize, killed: bool, took: Duration) {
        let record = &mut self.containers[at];
        let ran = matches!(
            record.container.state,
            ContainerState::Running | ContainerState::Paused | ContainerState::Restarting | ContainerState::Removing
        );
        if let Some(writer) = record.writer.take() {
            let turns = writer.turns();
            if killed {
                drop(writer);
            } else {
                writer.finish();
            }
            record.turns_before = turns.count();
        }
        if !ran {
            return;
        }
        record.container.state = ContainerState::Exited;
        record.container.exit_code = Some(if killed { KILLED } else { 0 });
        if record.script.health.is_some() {
            record.container.health = Health::Starting;
        }
        let container = record.container.clone();
        self.tell_after(&container, ContainerAction::Ended, took);
        for guest in 0..self.containers.len() {
            if self.network_host(guest) == Some(at) && self.containers[guest].container.state.is_active() {
                self.containers[guest].cut_off = true;
            }
        }
    }

    /// The position of the container in whose network the one at `at` lives.
    fn network_host(&self, at: usize) -> Option<usize> {
        let reference = self.containers[at].container.network_of.as_deref()?;
        self.containers.iter().position(|record| record.container.answers_to(reference))
    }
}

impl Record {
    pub(super) fn new(container: Container, script: super::state::Script) -> Self {
        Self { container, script, writer: None, turns_before: 0, started: Duration::ZERO, cut_off: false }
    }
}
