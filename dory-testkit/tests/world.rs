//! The parts of a world fit together: an agent in a fake helper backs up and restores a fake container's volume.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use dory_core::agent::{AgentConnection, RemoteEngine};
use dory_core::domain::container::Container;
use dory_core::domain::event::WarningKind;
use dory_core::domain::id::{ContainerName, MountKey};
use dory_core::ports::{
    BackupEngine, Clock, EngineEvent, Events, Helper, HelperMount, HelperNetwork, HelperRole, HelperSource, HelperSpec,
    MountFolder, OpenMode, Repository, RepositorySpec, RestoreRequest, SnapshotReport, SnapshotRequest,
};
use dory_core::{ErrorKind, Result};
use dory_testkit::World;

const KEY: &str = "data";

fn folders() -> Vec<MountFolder> {
    vec![MountFolder { key: MountKey::parse(KEY).unwrap(), path: PathBuf::from("/backup/data") }]
}

async fn launch(world: &World, container: &Container, writable: bool, network: HelperNetwork) -> Helper {
    let image = world.faults.runtime.port().ensure_helper_image().await.unwrap();
    let source = HelperSource::Volume(container.mounts[0].volume().unwrap().clone());
    let spec = HelperSpec {
        name: ContainerName::parse("dory-test").unwrap(),
        role: HelperRole::Engine,
        image,
        arguments: vec!["agent".to_owned()],
        mounts: vec![HelperMount { source, target: PathBuf::from("/backup/data"), writable }],
        network,
        capabilities: Vec::new(),
        labels: BTreeMap::new(),
    };
    world.faults.runtime.port().launch_helper(&spec).await.unwrap()
}

async fn open(world: &World, helper: Helper) -> Result<Arc<dyn Repository>> {
    let connection = AgentConnection::connect(helper).await?;
    let spec = RepositorySpec {
        store: world.store(),
        path: "data/db/restic".to_owned(),
        password: None,
        options: BTreeMap::new(),
    };
    RemoteEngine::new(world.restic.port(), connection).open(&spec, OpenMode::CreateIfMissing).await
}

async fn backup(world: &World, repository: &dyn Repository, events: &Events) -> Result<SnapshotReport> {
    let request = SnapshotRequest {
        sources: folders(),
        exclude: Vec::new(),
        taken_at: world.clock.now(),
        host: "host".to_owned(),
        tags: Vec::new(),
        parent: None,
        scratch: None,
    };
    repository.backup(&request, events).await
}

async fn restore(repository: &dyn Repository, report: &SnapshotReport) -> Result<()> {
    let request =
        RestoreRequest { snapshot: report.snapshot.clone(), targets: folders(), delete_extra: true, keep: Vec::new() };
    repository.restore(&request, &Events::ignored()).await.map(drop)
}

#[tokio::test]
async fn a_wrecked_volume_comes_back_through_an_agent() {
    let world = World::new();
    let db = world.database("db");
    let before = world.files("db-data");
    let helper = launch(&world, &db, true, HelperNetwork::Bridge).await;
    let id = helper.id.clone();
    let repository = open(&world, helper).await.unwrap();
    let report = backup(&world, repository.as_ref(), &Events::ignored()).await.unwrap();

    world.wreck("db-data");
    restore(repository.as_ref(), &report).await.unwrap();
    world.assert_files("db-data", &before);

    world.runtime.port().remove_helper(&id).await.unwrap();
    world.assert_tidy();
    let wanted = ["runtime launch_helper", "engine backup", "engine restore", "runtime remove_helper"];
    assert_eq!(
        world.journal.only(&wanted),
        [
            "runtime launch_helper dory-test",
            "engine backup data/db/restic (data)",
            "engine restore data/db/restic (data)",
            "runtime remove_helper dory-test",
        ]
    );
}

#[tokio::test]
async fn a_helper_writes_neither_into_a_read_only_mount_nor_without_a_network() {
    let world = World::new();
    let db = world.database("db");
    let helper = launch(&world, &db, false, HelperNetwork::Bridge).await;
    let id = helper.id.clone();
    let repository = open(&world, helper).await.unwrap();
    let report = backup(&world, repository.as_ref(), &Events::ignored()).await.unwrap();
    let error = restore(repository.as_ref(), &report).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    world.runtime.port().remove_helper(&id).await.unwrap();

    let helper = launch(&world, &db, false, HelperNetwork::None).await;
    assert_eq!(open(&world, helper).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_helper_killed_in_a_backup_ends_the_call_and_the_reading() {
    let world = World::new();
    let db = world.database("db");
    let helper = launch(&world, &db, false, HelperNetwork::Bridge).await;
    let repository = open(&world, helper).await.unwrap();
    let runtime = world.runtime.clone();
    world.restic.before_reading(move |path| {
        if path.ends_with("accounts") {
            runtime.kill_helpers();
        }
    });
    let error = backup(&world, repository.as_ref(), &Events::ignored()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert_eq!(world.restic.journal().only(&["engine backup"]), [""; 0]);
}

#[tokio::test]
async fn a_file_that_changes_or_goes_under_the_engines_eyes_is_told() {
    let world = World::new();
    let db = world.database("db");
    let volume = world.clone();
    world.restic.before_reading(move |path| {
        if path.ends_with("accounts") {
            volume.write("db-data", "base/1/accounts", "changed");
        } else if path.ends_with("VERSION") {
            std::fs::remove_file(path).unwrap();
        }
    });
    let warnings = Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = Arc::clone(&warnings);
    let events = Events::new(move |event| {
        if let EngineEvent::Warning(warning) = event {
            sink.lock().unwrap().push((warning.kind, warning.path.to_string()));
        }
    });
    let helper = launch(&world, &db, false, HelperNetwork::Bridge).await;
    let repository = open(&world, helper).await.unwrap();
    backup(&world, repository.as_ref(), &events).await.unwrap();
    let told = warnings.lock().unwrap().clone();
    let vanished = (WarningKind::Vanished, "data/VERSION".to_owned());
    assert_eq!(told, [vanished, (WarningKind::ChangedWhileRead, "data/base/1/accounts".to_owned())]);
}

#[tokio::test]
async fn files_of_a_busy_database_are_whole_only_after_a_stop() {
    let world = World::new();
    let db = world.busy_database("db");
    let repository = open(&world, launch(&world, &db, true, HelperNetwork::Bridge).await).await.unwrap();
    world.runtime.wait_for_turns("db", 3);
    world.runtime.port().pause(&db.id).await.unwrap();
    assert!(!world.is_whole(&world.folder("db-data")), "half a transaction is done");
    world.runtime.port().unpause(&db.id).await.unwrap();

    world.runtime.port().stop(&db.id, None).await.unwrap();
    let report = backup(&world, repository.as_ref(), &Events::ignored()).await.unwrap();
    world.runtime.port().start(&db.id).await.unwrap();
    world.runtime.wait_for_turns("db", 3);
    world.runtime.port().stop(&db.id, None).await.unwrap();
    restore(repository.as_ref(), &report).await.unwrap();
    assert!(world.is_whole(&world.folder("db-data")));
}

#[tokio::test]
async fn deleting_a_tree_of_the_store_takes_the_engines_data_with_it() {
    let world = World::new();
    let db = world.database("db");
    let repository = open(&world, launch(&world, &db, false, HelperNetwork::Bridge).await).await.unwrap();
    backup(&world, repository.as_ref(), &Events::ignored()).await.unwrap();
    let folder = dory_core::ports::DocumentKey::parse("data/db").unwrap();
    assert!(world.faults.catalog.port().delete_tree(&folder).await.unwrap() > 3);
    assert_eq!(repository.list_snapshots().await.unwrap_err().kind(), ErrorKind::NotFound);
}
