//! The process that is about to lose somebody: a real Dory, whose ports carry out a death at one step.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::Mutex;

use dory_cli::exit::Exit;
use dory_core::adapters::docker::{DockerAddress, DockerRuntime, DockerSettings};
use dory_core::adapters::object_store::{connect, open_catalog};
use dory_core::adapters::restic::ResticEngine;
use dory_core::config::Settings;
use dory_core::domain::backup::PointChoice;
use dory_core::domain::store_url::{StoreAccess, StoreScheme, StoreUrl};
use dory_core::fleet::{Server, ServerOptions};
use dory_core::ports::{BackupEngine, Clock, ContainerRuntime, HelperMount, HelperNetwork, HelperSource, SystemClock};
use dory_core::services::{
    BackupRequest, Cancel, Dory, DoryConfig, HelperConfig, Phase, RestoreChoice, RunEvent, RunEvents,
};
use dory_core::{Error, Result};
use dory_testkit::faults::Faulty;

use crate::assassin::Assassin;
use crate::objects::{Watched, when_packs};
use crate::steps::{At, Point, Port, Task, Telling};

/// Which point it is about: a [name](Point::name).
pub(crate) const POINT: &str = "KILL_MATRIX_POINT";
/// The container whose data it is about.
pub(crate) const CONTAINER: &str = "KILL_MATRIX_CONTAINER";
/// The file that is there once somebody was killed.
pub(crate) const MARK: &str = "KILL_MATRIX_MARK";
/// The process id of the engine, where that is who dies.
pub(crate) const DOCKERD: &str = "KILL_MATRIX_DOCKERD";

/// The restore point that restores bring back.
pub(crate) const GOOD: &str = "good";
/// The restore point that is deleted.
pub(crate) const DOOMED: &str = "doomed";

/// What pruning keeps.
pub(crate) const RULES: &str = "last=1";

/// Where its helpers see the store.
const STORE_IN_HELPER: &str = "/store";

/// Runs the task of the point that the environment names, and ends as `dory` does.
pub(crate) fn main() -> ExitCode {
    let variable = |name: &str| env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    let point = Point::named(&variable(POINT)).expect("a point of the table");
    let assassin = Arc::new(Assassin {
        victim: point.death.victim,
        server: variable("DORY_SERVER"),
        docker_host: env::var("DOCKER_HOST").ok(),
        daemon: env::var(DOCKERD).ok(),
        mark: PathBuf::from(variable(MARK)),
    });
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let done = tokio.block_on(run(point, &variable(CONTAINER), assassin));
    tokio.shutdown_background();
    match done {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("{error}");
            error.causes().iter().for_each(|cause| eprintln!("  cause: {cause}"));
            Exit::of(error.kind()).into()
        }
    }
}

async fn run(point: Point, container: &str, assassin: Arc<Assassin>) -> Result<Exit> {
    let (dory, events) = armed_dory(point.step.at, &assassin).await?;
    let cancel = Cancel::new();
    let restore = |safety| RestoreChoice {
        point: PointChoice::Named(GOOD.to_owned()),
        safety,
        ..RestoreChoice::newest_of(container)
    };
    let whole = match point.step.task {
        Task::Backup => {
            let request = BackupRequest { container: container.to_owned(), ..BackupRequest::default() };
            dory.run_backup(&request, &cancel, &events).await?.is_complete()
        }
        Task::Restore => dory.run_restore(&restore(true), &cancel, &events).await?.is_complete(),
        Task::BareRestore => dory.run_restore(&restore(false), &cancel, &events).await?.is_complete(),
        Task::DeletePoint => {
            let doomed = PointChoice::Named(DOOMED.to_owned());
            dory.run_delete(&dory.plan_delete(container, Some(&doomed)).await?).await?;
            true
        }
        Task::DeleteBackup => {
            dory.run_delete(&dory.plan_delete(container, None).await?).await?;
            true
        }
        Task::Serve => {
            Server::new(dory, ServerOptions::default(), |_| ()).run(&cancel).await?;
            true
        }
        Task::Prune => {
            let rules = RULES.parse()?;
            for plan in dory.plan_prune(Some(container), Some(&rules)).await? {
                dory.run_prune(&plan).await?;
            }
            true
        }
    };
    Ok(if whole { Exit::Success } else { Exit::Incomplete })
}

/// A Dory as the bootstrap makes it for a folder, in whose ports the assassin waits; and what listens to its runs.
async fn armed_dory(at: At, assassin: &Arc<Assassin>) -> Result<(Dory, RunEvents)> {
    let settings = Settings::resolve(|name| Ok(env::var(name).ok()), "kill-matrix")?;
    let mut docker = DockerSettings::default();
    if let Some(host) = &settings.docker.host {
        docker.address = DockerAddress::parse(host, None)?;
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let runtime = Faulty::new(Arc::new(DockerRuntime::connect(docker).await?) as Arc<dyn ContainerRuntime>);
    let catalog = Faulty::new(open_catalog(&settings.store)?);
    let strike = || {
        let assassin = Arc::clone(assassin);
        move || assassin.strike()
    };
    let watched = match at {
        At::Before(Port::Objects, call, nth) | At::After(Port::Objects, call, nth) => Some((call, nth, strike())),
        _ => None,
    };
    let watched = watched.map(|(call, nth, strike)| Watched::on(call, nth, matches!(at, At::Before(..)), strike));
    let connect = move |access: &StoreAccess| {
        let store = connect(access)?;
        Ok(watched.as_ref().map_or_else(|| Arc::clone(&store), |watched| watched.around(Arc::clone(&store))))
    };
    let engine = Faulty::new(Arc::new(ResticEngine::new(Arc::new(connect))) as Arc<dyn BackupEngine>);
    let mut events = RunEvents::ignored();
    match at {
        At::Before(Port::Runtime, call, nth) => runtime.act_before(call, nth, strike()),
        At::After(Port::Runtime, call, nth) => runtime.act_after(call, nth, strike()),
        At::Before(Port::Catalog, call, nth) => catalog.act_before(call, nth, strike()),
        At::After(Port::Catalog, call, nth) => catalog.act_after(call, nth, strike()),
        At::Before(Port::Engine, call, nth) => engine.act_before(call, nth, strike()),
        At::After(Port::Engine, call, nth) => engine.act_after(call, nth, strike()),
        At::Before(Port::Objects, ..) | At::After(Port::Objects, ..) => {}
        At::Told(telling, nth) => events = listening(telling, nth, strike()),
        At::Packs(change) => when_packs(change, &settings.store, strike()),
    }
    let helper = helper_config(&settings)?;
    let Settings { server, store, encryption, zone, minimum_stay_days, .. } = settings;
    let config = DoryConfig { server, store, encryption, helper, zone, minimum_stay_days };
    Ok((Dory::new(config, Ok(runtime.port()), vec![engine.port()], catalog.port(), clock), events))
}

/// How helpers reach a store that is a folder.
fn helper_config(settings: &Settings) -> Result<HelperConfig> {
    let folder = settings.store.url.as_folder().ok_or_else(|| Error::invalid("store", "", "a folder is needed"))?;
    let url = StoreUrl { scheme: StoreScheme::File, bucket: String::new(), path: STORE_IN_HELPER.to_owned() };
    let source = HelperSource::HostPath(folder);
    Ok(HelperConfig {
        store: StoreAccess { url, ..settings.store.clone() },
        store_mount: Some(HelperMount { source, target: STORE_IN_HELPER.into(), writable: true }),
        network: HelperNetwork::None,
    })
}

/// Strikes when a run tells `telling` for the `nth` time; its run stands still meanwhile.
fn listening(telling: Telling, nth: usize, strike: impl Fn() + Send + Sync + 'static) -> RunEvents {
    let heard = Mutex::new((None, 0));
    RunEvents::new(move |event| {
        let mut heard = heard.lock().unwrap();
        let (phase, count) = &mut *heard;
        if let RunEvent::Phase { phase: begun } = &event {
            *phase = Some(*begun);
        }
        if tells(&event, telling, *phase) {
            *count += 1;
            if *count == nth {
                strike();
            }
        }
    })
}

fn tells(event: &RunEvent, telling: Telling, phase: Option<Phase>) -> bool {
    match (event, telling) {
        (RunEvent::Phase { phase }, Telling::Begins(awaited)) => *phase == awaited,
        (RunEvent::Progress(_), Telling::Works(awaited)) => phase == Some(awaited),
        (RunEvent::Quieting { .. }, Telling::Stops) | (RunEvent::Resumed { .. }, Telling::Runs) => true,
        (RunEvent::Mount { state, .. }, Telling::Mount(awaited)) => *state == awaited,
        _ => false,
    }
}
