//! The port itself: each call is noted, then done by the rules of the other files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use dory_core::domain::container::{Container, ContainerState, Image, Volume};
use dory_core::domain::id::{ContainerId, ImageRef, NetworkName, VolumeName};
use dory_core::domain::server::DiskSpace;
use dory_core::ports::{
    Clock, ContainerRuntime, EventStream, ExecRequest, ExecSession, Helper, HelperInfo, HelperMount, HelperRole,
    HelperSource, HelperSpec, RuntimeInfo, WaitCondition,
};
use dory_core::{Error, ErrorKind, Result};
use futures_util::stream;
use tokio::sync::mpsc;

use super::exec::{ExecScript, FakeExec};
use super::helper::{HelperRecord, HelperView, Launch, RealMount};
use super::state::{HELPER_IMAGE, State, unreachable_engine};
use super::{FakeRuntime, PORT};
use crate::fakes::journal::Pending;

/// The label by which this runtime knows its helpers.
const HELPER_LABEL: &str = "dory.helper";

impl FakeRuntime {
    /// Notes a call; fails while the engine cannot be reached; does what a test wants done at this call.
    fn begin(&self, method: &'static str, subject: impl Into<String>, detail: impl Into<String>) -> Result<Pending> {
        let call = self.shared.journal.begin(PORT, method, subject, detail);
        let mut state = self.lock();
        if !state.reachable {
            return call.end(Err(unreachable_engine()));
        }
        if state.kill_on.take_if(|wanted| *wanted == method).is_some() {
            state.kill_helpers(HelperRole::Engine);
        }
        state.settle();
        drop(state);
        Ok(call)
    }

    /// A call about one container, which the journal names.
    fn begin_for(&self, method: &'static str, id: &ContainerId, detail: impl Into<String>) -> Result<Pending> {
        let name = self.lock().name_of(id);
        self.begin(method, name, detail)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ContainerRuntime for FakeRuntime {
    async fn info(&self) -> Result<RuntimeInfo> {
        let call = self.begin("info", "", "")?;
        let state = self.lock();
        call.end(Ok(RuntimeInfo {
            name: "fake 1.0".to_owned(),
            api_version: "1.41".to_owned(),
            host: "fakehost".to_owned(),
            data_root: state.data_root(),
            own_container: state.own_container.clone(),
            is_local: true,
            disk: Some(DiskSpace { free_bytes: 40 << 30, total_bytes: 100 << 30 }),
        }))
    }

    async fn list_containers(&self) -> Result<Vec<Container>> {
        let call = self.begin("list_containers", "", "")?;
        let mut containers: Vec<_> = self.lock().containers.iter().map(|record| record.container.clone()).collect();
        containers.sort_by(|a, b| a.name.cmp(&b.name));
        call.end(Ok(containers))
    }

    async fn inspect_container(&self, reference: &str) -> Result<Container> {
        let call = self.begin("inspect_container", reference, "")?;
        let found = self.lock().resolve(reference).cloned();
        call.end(found)
    }

    async fn stop(&self, id: &ContainerId, grace: Option<Duration>) -> Result<()> {
        let detail = grace.map_or_else(String::new, |grace| format!("(grace {grace:?})"));
        let call = self.begin_for("stop", id, detail)?;
        let stopped = self.change(|state| state.stop(id, grace));
        call.end(stopped.map(|took| self.pass(took)))
    }

    async fn start(&self, id: &ContainerId) -> Result<()> {
        let call = self.begin_for("start", id, "")?;
        let started = self.change(|state| state.start(id));
        call.end(started.map(|took| self.pass(took)))
    }

    async fn pause(&self, id: &ContainerId) -> Result<()> {
        let call = self.begin_for("pause", id, "")?;
        call.end(self.change(|state| state.pause(id)))
    }

    async fn unpause(&self, id: &ContainerId) -> Result<()> {
        let call = self.begin_for("unpause", id, "")?;
        call.end(self.change(|state| state.unpause(id)))
    }

    async fn wait_until(&self, id: &ContainerId, condition: WaitCondition, timeout: Duration) -> Result<()> {
        let call = self.begin_for("wait_until", id, format!("{condition:?}").to_lowercase())?;
        call.end(self.wait_for(id, condition, timeout).await)
    }

    async fn exec(&self, id: &ContainerId, request: ExecRequest) -> Result<Box<dyn ExecSession>> {
        let call = self.begin_for("exec", id, request.command.join(" "))?;
        let script = {
            let state = self.lock();
            state.position(id, "run a command in container").and_then(|at| {
                let record = &state.containers[at];
                if record.container.state == ContainerState::Running {
                    return Ok(record.script.exec.clone().unwrap_or_else(ExecScript::unknown));
                }
                let (name, reason) = (record.container.name.as_str(), record.container.state.as_str());
                Err(Error::new(ErrorKind::Conflict, "run a command in container", name, format!("it is {reason}")))
            })
        };
        call.end(script.map(|script| Box::new(FakeExec::start(script, request)) as Box<dyn ExecSession>))
    }

    async fn events(&self) -> Result<EventStream> {
        let call = self.begin("events", "", "")?;
        let (sender, receiver) = mpsc::unbounded_channel();
        self.lock().listeners.push(sender);
        let events = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
        call.end(Ok(Box::pin(events)))
    }

    async fn inspect_image(&self, reference: &ImageRef) -> Result<Option<Image>> {
        let call = self.begin("inspect_image", reference.as_str(), "")?;
        let found = self.lock().find_image(reference.as_str()).cloned();
        call.end(Ok(found))
    }

    async fn remove_image(&self, reference: &ImageRef) -> Result<()> {
        let call = self.begin("remove_image", reference.as_str(), "")?;
        call.end(self.lock().remove_image(reference))
    }

    async fn list_volumes(&self) -> Result<Vec<Volume>> {
        let call = self.begin("list_volumes", "", "")?;
        let volumes = self.lock().volumes.values().cloned().collect();
        call.end(Ok(volumes))
    }

    async fn inspect_volume(&self, name: &VolumeName) -> Result<Option<Volume>> {
        let call = self.begin("inspect_volume", name.as_str(), "")?;
        let found = self.lock().volumes.get(name).cloned();
        call.end(Ok(found))
    }

    async fn create_volume(&self, name: &VolumeName, labels: &BTreeMap<String, String>) -> Result<Volume> {
        let call = self.begin("create_volume", name.as_str(), "")?;
        let mut state = self.lock();
        if state.volumes.contains_key(name) {
            let reason = "a volume of that name is there already";
            return call.end(Err(Error::new(ErrorKind::AlreadyExists, "create volume", name.as_str(), reason)));
        }
        call.end(Ok(state.add_volume(name, labels.clone())))
    }

    async fn remove_volume(&self, name: &VolumeName) -> Result<()> {
        let call = self.begin("remove_volume", name.as_str(), "")?;
        call.end(self.lock().remove_volume(name))
    }

    async fn list_networks(&self) -> Result<Vec<NetworkName>> {
        let call = self.begin("list_networks", "", "")?;
        let networks = self.lock().networks.iter().cloned().collect();
        call.end(Ok(networks))
    }

    async fn ensure_helper_image(&self) -> Result<ImageRef> {
        let call = self.begin("ensure_helper_image", "", "")?;
        self.lock().ensure_image(HELPER_IMAGE);
        call.end(ImageRef::parse(HELPER_IMAGE))
    }

    async fn launch_helper(&self, spec: &HelperSpec) -> Result<Helper> {
        let call = self.begin("launch_helper", spec.name.as_str(), "")?;
        call.end(self.lock().launch_helper(spec))
    }

    async fn list_helpers(&self) -> Result<Vec<HelperInfo>> {
        let call = self.begin("list_helpers", "", "")?;
        let helpers = self.lock().helpers.iter().map(HelperRecord::info).collect();
        call.end(Ok(helpers))
    }

    async fn keep_helper(&self, id: &ContainerId, keep: bool) -> Result<()> {
        let name = self.lock().helper_name(id);
        let call = self.begin("keep_helper", name.as_str(), if keep { "" } else { "no more" })?;
        let state = self.lock();
        let kept = state.refuse_what_is_no_helper(id, "keep_helper").and_then(|()| {
            let helper = state.helpers.iter().find(|helper| helper.id == *id);
            let gone = || Error::new(ErrorKind::NotFound, "keep helper", name, "no such helper");
            helper.ok_or_else(gone).map(|helper| helper.keep(keep))
        });
        call.end(kept)
    }

    async fn remove_helper(&self, id: &ContainerId) -> Result<()> {
        let name = self.lock().helper_name(id);
        let call = self.begin("remove_helper", name, "")?;
        let ended = {
            let state = self.lock();
            if let Err(refused) = state.refuse_what_is_no_helper(id, "remove_helper") {
                return call.end(Err(refused));
            }
            state.helpers.iter().find(|helper| helper.id == *id).map(|helper| {
                helper.end();
                helper.ended()
            })
        };
        if let Some(ended) = ended {
            ended.await;
            self.lock().helpers.retain(|helper| helper.id != *id);
        }
        call.end(Ok(()))
    }
}

impl State {
    fn remove_image(&mut self, reference: &ImageRef) -> Result<()> {
        let Some(image) = self.find_image(reference.as_str()) else { return Ok(()) };
        let id = image.id.clone();
        let user = self.containers.iter().find(|record| record.container.image_id == id);
        if let Some(record) = user {
            let reason = format!("container `{}` uses it", record.container.name);
            return Err(Error::new(ErrorKind::Conflict, "remove image", reference.as_str(), reason));
        }
        if self.helpers.iter().any(|helper| helper.runs_from(reference.as_str())) {
            let reason = "a helper uses it";
            return Err(Error::new(ErrorKind::Conflict, "remove image", reference.as_str(), reason));
        }
        self.images.retain(|image| image.id != id);
        Ok(())
    }

    fn remove_volume(&mut self, name: &VolumeName) -> Result<()> {
        let users = self.users_of(name);
        if !users.is_empty() {
            let reason = format!("{} uses it", users.join(", "));
            return Err(Error::new(ErrorKind::Conflict, "remove volume", name.as_str(), reason));
        }
        if let Some(volume) = self.volumes.remove(name) {
            std::fs::remove_dir_all(volume.mountpoint).expect("a volume's folder");
        }
        Ok(())
    }

    fn refuse_what_is_no_helper(&self, id: &ContainerId, method: &str) -> Result<()> {
        if self.containers.iter().any(|record| record.container.id == *id) {
            let name = self.name_of(id);
            self.journal.complain(format!("`{method}` was called for container `{name}`, which is none"));
            return Err(Error::new(ErrorKind::InvalidInput, method.replace('_', " "), name, "it is not a helper"));
        }
        Ok(())
    }

    fn launch_helper(&mut self, spec: &HelperSpec) -> Result<Helper> {
        let refused = |kind, subject: String, reason: &str| Error::new(kind, "launch helper", subject, reason);
        if self.helpers.iter().any(|helper| helper.is_named(&spec.name) && helper.info().running) {
            return Err(refused(ErrorKind::Conflict, spec.name.to_string(), "a helper of that name runs"));
        }
        if self.find_image(spec.image.as_str()).is_none() {
            return Err(refused(ErrorKind::NotFound, spec.image.to_string(), "no such image"));
        }
        let mounts = spec.mounts.iter().map(|mount| self.real_mount(mount)).collect::<Result<Vec<_>>>()?;
        for (at, mount) in mounts.iter().enumerate() {
            let nested = mounts[..at].iter().any(|other| other.target.starts_with(&mount.target));
            if nested || !mount.target.is_absolute() {
                let target = mount.target.display().to_string();
                self.journal.complain(format!("a helper's mount `{target}` is relative, or hides one before it"));
                return Err(refused(ErrorKind::InvalidInput, target, "it is relative, or hides a mount before it"));
            }
        }
        let Some(program) = self.program() else {
            panic!("the test launches a helper, but said nowhere what helpers run: see `run_agents_with`");
        };
        let id = self.new_id(spec.name.as_str());
        let mut labels = spec.labels.clone();
        labels.insert(HELPER_LABEL.to_owned(), "true".to_owned());
        let info = HelperInfo {
            id: id.clone(),
            role: spec.role,
            created_at: self.clock.now(),
            running: true,
            ended_at: None,
            exit_code: None,
            labels,
        };
        let own_folder = self.data_root().join("helpers").join(id.as_str());
        std::fs::create_dir_all(&own_folder).expect("a helper's folder");
        let (record, pipes) = HelperRecord::launch(Launch {
            info,
            spec,
            program,
            view: HelperView::new(spec, own_folder, mounts),
            die_after: self.kill_after_output.take(),
            clock: self.clock.clone(),
            threads: self.threads.clone(),
        });
        self.helpers.retain(|helper| !helper.is_named(&spec.name));
        self.helpers.push(record);
        Ok(Helper { id, stdin: Box::new(pipes.stdin), stdout: Box::new(pipes.stdout), stderr: Box::new(pipes.stderr) })
    }

    /// What people call a helper: its name, or where it is gone the short form of its id.
    fn helper_name(&self, id: &ContainerId) -> String {
        let found = self.helpers.iter().find(|helper| helper.id == *id);
        found.map_or_else(|| id.short().to_owned(), |helper| helper.name().to_string())
    }

    fn real_mount(&self, mount: &HelperMount) -> Result<RealMount> {
        let missing = |subject: String, reason: &str| Error::new(ErrorKind::NotFound, "launch helper", subject, reason);
        let real: PathBuf = match &mount.source {
            HelperSource::Volume(name) => match self.volumes.get(name) {
                Some(volume) => volume.mountpoint.clone(),
                None => return Err(missing(name.to_string(), "no such volume")),
            },
            HelperSource::HostPath(path) if path.exists() => path.clone(),
            HelperSource::HostPath(path) => return Err(missing(path.display().to_string(), "no such path")),
        };
        Ok(RealMount { target: mount.target.clone(), real, writable: mount.writable })
    }
}
