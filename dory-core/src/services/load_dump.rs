//! Loading a dump: streamed out of a point into a command in the running container. Nothing is stopped.

use std::sync::Arc;

use jiff::SignedDuration;
use serde::Serialize;
use tokio::sync::oneshot;

use super::backup::point_of;
use super::cancel::{Cancel, CancelOnDrop};
use super::dumps::{Dumping, WholeStream, until_done};
use super::helper::{HelperPurpose, RunningHelper};
use super::hook_command::{Ended, Pipes, Task, words};
use super::load_dump_plan::{DumpChoice, DumpLoadPlan, PlannedLoad};
use super::passes::ReadReport;
use super::run_events::{Phase, RunEvents};
use super::run_record::RunStart;
use super::{Dory, noise};
use crate::domain::backup::Backup;
use crate::domain::dump::{folder_key, path_of};
use crate::domain::entry_path::EntryPath;
use crate::domain::id::PointId;
use crate::domain::restore_point::{PointOrigin, RestorePoint};
use crate::domain::run::RunKind;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Events, OpenMode, Repository, SnapshotRequest};

/// How much waits between the engine and a command, in bytes.
const PIPE: usize = 256 << 10;

/// What loading a dump did.
#[derive(Debug, Serialize)]
pub struct DumpLoadOutcome {
    /// What was planned.
    pub plan: DumpLoadPlan,
    /// How many bytes were loaded.
    pub bytes: u64,
    /// The point that holds a dump of what was there before.
    pub safety_point: Option<PointId>,
    /// From plan to end.
    pub elapsed: SignedDuration,
}

impl DumpLoadOutcome {
    /// The command that loads what was there before, where a safety point holds it.
    #[must_use]
    pub fn undo_command(&self) -> Option<String> {
        self.plan.undo_command(self.safety_point?)
    }
}

impl Dory {
    /// Loads a dump into the running container, after a dump of what is there now was kept as a safety point.
    ///
    /// A load that fails half-way leaves what it had changed: only what runs in the container knows how to go back. The
    /// error names the command that loads the safety dump.
    ///
    /// Dropping this future cancels the run, which then ends by itself, in order.
    ///
    /// # Errors
    /// As for [`plan_load_dump`](Self::plan_load_dump); `HookFailed` with the last words of the command that dumps or
    /// loads; `Cancelled`; the engine's.
    pub async fn run_load_dump(
        &self,
        choice: &DumpChoice,
        cancel: &Cancel,
        events: &RunEvents,
    ) -> Result<DumpLoadOutcome> {
        let (dory, choice, events) = (self.clone(), choice.clone(), events.clone());
        let guard = CancelOnDrop::new(cancel.clone());
        let its_cancel = cancel.clone();
        let run = tokio::spawn(async move { dory.load_to_the_end(&choice, &its_cancel, &events).await });
        let result = run.await.unwrap_or_else(|error| Err(Error::from_panic("load dump", error)));
        guard.disarm();
        result
    }

    async fn load_to_the_end(
        &self,
        choice: &DumpChoice,
        cancel: &Cancel,
        events: &RunEvents,
    ) -> Result<DumpLoadOutcome> {
        let run = self.begin_run(RunKind::Restore)?;
        let events = &run.listening(events);
        events.phase(Phase::Prepare);
        let prepare = async {
            self.open_fleet().await?;
            let planned = self.plan_load_in_full(choice).await?;
            self.helper_image().await?;
            Ok(planned)
        };
        let planned = cancel.or(prepare).await?;
        let purpose = HelperPurpose {
            kind: Some(run.kind),
            holds: Some(&planned.target.holds),
            scratch: choice.safety,
            ..HelperPurpose::reading(&planned.plan.home, run.id)
        };
        // Not to be abandoned half-way: a helper that is about to be there would be left.
        let result = match self.launch_helper(purpose, &[]).await {
            Ok(helper) => {
                let result = self.keep_and_load(&planned, &helper, &run, cancel, events).await;
                helper.close().await;
                result
            }
            Err(error) => Err(error),
        };
        let complete = result.is_ok();
        self.end_run(&run, &planned.backup.id, Some(planned.point.id), complete, result.as_ref().err()).await;
        let (bytes, safety_point) = result?;
        Ok(DumpLoadOutcome { plan: planned.plan, bytes, safety_point, elapsed: self.elapsed(&run) })
    }

    async fn keep_and_load(
        &self,
        planned: &PlannedLoad,
        helper: &RunningHelper,
        run: &RunStart,
        cancel: &Cancel,
        events: &RunEvents,
    ) -> Result<(u64, Option<PointId>)> {
        let PlannedLoad { plan, backup, point, target, .. } = planned;
        let (snapshot, path) = (&point.snapshot, EntryPath::new(path_of(&plan.dump.name)));
        let opened = async {
            let options = &backup.options_of(point.engine);
            let source = self.open_in_helper(helper, &backup.id, point.engine, options, OpenMode::Existing).await?;
            source.check_restorable(snapshot, &[folder_key()]).await?;
            source.list_files(snapshot, &path, false).await?;
            if plan.safety.is_none() {
                return Ok((source, None));
            }
            let policy = &target.plan.policy;
            let home = self.open_in_helper(
                helper,
                &plan.home,
                policy.engine,
                &policy.engine_options,
                OpenMode::CreateIfMissing,
            );
            let home = home.await?;
            self.register(target, run.started_at).await?;
            Ok((source, Some(home)))
        };
        let (source, home) = cancel.or(opened).await?;
        let kept = match home {
            Some(home) => Some(self.keep_dump(planned, &home, run, cancel, events).await?),
            None => None,
        };
        events.phase(Phase::Load);
        let loaded = self.feed_dump(planned, source.as_ref(), run, cancel).await;
        let hint = match kept.and_then(|kept| plan.undo_command(kept)) {
            Some(undo) => format!("run `{undo}` to go back, or load the dump again"),
            None => "load the dump again".to_owned(),
        };
        let bytes = loaded.map_err(|error| error.with_hint(hint))?;
        Ok((bytes, kept))
    }

    /// Dumps what is there now into a safety point, and records it.
    async fn keep_dump(
        &self,
        planned: &PlannedLoad,
        home: &Arc<dyn Repository>,
        run: &RunStart,
        cancel: &Cancel,
        events: &RunEvents,
    ) -> Result<PointId> {
        let PlannedLoad { plan, target, spec, .. } = planned;
        events.phase(Phase::Safeguard);
        let (id, taken_at) = (PointId::new(run.started_at, noise()?), self.clock.now());
        let dumping = Dumping { spec, container: &target.container, planned: target, run, events };
        let without = |error: Error| match error.kind() {
            ErrorKind::HookFailed => error.with_hint("`--no-safety` loads without keeping what is there now"),
            _ => error,
        };
        let dump = self.take_dump(dumping, home.as_ref(), cancel).await.map_err(without)?;
        let request = SnapshotRequest {
            sources: Vec::new(),
            exclude: Vec::new(),
            taken_at,
            host: self.config.server.to_string(),
            tags: vec![format!("dory:{id}"), plan.target.to_string()],
            parent: None,
            scratch: None,
        };
        let snapshot = cancel.or(home.backup(&request, &Events::ignored())).await?;
        let read = ReadReport { snapshot, frozen: None, gathered: Default::default() };
        let point = RestorePoint {
            origin: PointOrigin::Safety,
            elapsed: self.elapsed(run),
            dumps: vec![dump],
            ..point_of(target, run, id, taken_at, read)
        };
        let add = |backup: &mut Backup| {
            backup.add_point(point.clone());
            Ok(())
        };
        self.catalog.update_backup(&plan.home, add).await?;
        Ok(id)
    }

    /// Streams the dump into what loads it. Tells how many bytes that were.
    async fn feed_dump(
        &self,
        planned: &PlannedLoad,
        source: &dyn Repository,
        run: &RunStart,
        cancel: &Cancel,
    ) -> Result<u64> {
        let PlannedLoad { plan, point, target, spec, command, .. } = planned;
        let failed = |reason: &str| {
            let operation = format!("load into container {} the dump", plan.target);
            Error::new(ErrorKind::HookFailed, operation, plan.dump.name.as_str(), reason)
        };
        cancel.or(async { Ok(()) }).await?;
        let id = self.running(&target.container).await.map_err(|reason| failed(&reason))?;
        let (mut output, input) = tokio::io::duplex(PIPE);
        let (tell, ended_well) = oneshot::channel();
        let run = run.id.to_string();
        let environment = [("DORY_DUMP", plan.dump.name.as_str()), ("DORY_RUN", run.as_str())];
        let task = Task { command, user: spec.user.as_ref(), environment: &environment };
        let pipes = Pipes { input: Some(Box::new(WholeStream::new(input, ended_well))), ..Pipes::default() };
        let process = self.start_command(&id, task, pipes).await;
        let process = process.map_err(|error| failed("its command cannot be run").with_source(words(&error)))?;

        let stop = Cancel::new();
        let path = EntryPath::new(path_of(&plan.dump.name));
        let reading = async {
            let read = source.read_file(&point.snapshot, &path, &mut output).await;
            // A dump that is not whole must not look like one that is: its input then stays open, and it is ended.
            let _ = tell.send(read.is_ok());
            drop(output);
            if read.is_err() {
                stop.cancel();
            }
            read
        };
        let running = process.run(spec.timeout.get(), &stop);
        let (read, (ended, said)) = until_done(cancel, &stop, until_ended(reading, running)).await;
        cancel.or(async { Ok(()) }).await?;
        let told = |reason: String| {
            let error = failed(&format!("{reason}; what it had loaded by then is there"));
            if said.is_empty() { error } else { error.with_source(said.clone()) }
        };
        match (read, &ended) {
            (Some(Ok(bytes)), Ended::ByItself(Ok(0))) => Ok(bytes),
            (_, Ended::ByItself(Ok(0))) => Err(told("its command ended before it had read all of it".to_owned())),
            // The command was ended because there was nothing more to give it.
            (Some(Err(error)), Ended::Cancelled { .. }) => Err(error),
            (_, ended) => Err(told(format!("its command {}", ended.trouble().unwrap_or_default()))),
        }
    }
}

/// Gives a command its input until it has ended. What it did not read by then, it never will: there is no answer then.
async fn until_ended<R, E>(reading: impl Future<Output = R>, running: impl Future<Output = E>) -> (Option<R>, E) {
    tokio::pin!(reading, running);
    let mut read = None;
    loop {
        tokio::select! {
            biased;
            all = &mut reading, if read.is_none() => read = Some(all),
            ended = &mut running => return (read, ended),
        }
    }
}
