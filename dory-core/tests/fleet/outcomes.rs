//! What came of a command says all that a run of its own would have said.

use std::sync::{Arc, Mutex};

use dory_core::ErrorKind;
use dory_core::domain::command::{BackupHow, CommandOutcome, CommandState, FleetCommand, Order, Shortfall};
use dory_core::domain::policy::{PolicyOverrides, StopMode};
use dory_core::domain::restore_point::Consistency;
use dory_core::services::Dory;
use dory_testkit::World;
use dory_testkit::fakes::{ExecReply, ExecScript};

use super::bench::Running;

struct Scene {
    world: World,
    server: Running,
    asker: Dory,
}

impl Scene {
    async fn begin(world: World) -> Self {
        let server = Running::with_passphrase(&world);
        server.tells(&world, "serving", 1).await;
        let asker = world.dory();
        Self { world, server, asker }
    }

    async fn outcome_of(&self, order: Order) -> CommandOutcome {
        let over = self.server.news().iter().filter(|told| told.starts_with("over")).count();
        let command: FleetCommand = self.asker.send_command(self.asker.server(), order, "ada").await.unwrap();
        self.server.tells(&self.world, "over", over + 1).await;
        match self.asker.look_after(&command).await.unwrap().state {
            CommandState::Over(outcome) => outcome,
            other => panic!("it is not over: {other:?}"),
        }
    }

    async fn back_up(&self, how: BackupHow) -> CommandOutcome {
        let (container, how) = ("db".to_owned(), Box::new(how));
        self.outcome_of(Order::Backup { container, name: None, description: None, how }).await
    }
}

fn with_a_database() -> World {
    let world = World::new();
    world.database("db");
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_whose_source_shrank_is_no_success() {
    let scene = Scene::begin(with_a_database()).await;
    let first = scene.back_up(BackupHow::default()).await;
    assert_eq!((first.shortfalls.as_slice(), first.error), (&[][..], None));
    std::fs::remove_dir_all(scene.world.folder("db-data").join("base")).unwrap();
    let second = scene.back_up(BackupHow::default()).await;
    assert_eq!(second.shortfalls, [Shortfall::Suspect]);
    assert!(second.run.is_some_and(|run| Some(run) != first.run));
    scene.server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_failed_is_told_and_one_that_was_to_be_left_out_is() {
    let world = World::new();
    let labels = [("dory.post", "thaw"), ("dory.post.on-error", "fail")];
    let builder = world.runtime.container("db").volume("db-data", "/data");
    labels.into_iter().fold(builder, |builder, (name, value)| builder.label(name, value)).running();
    world.write("db-data", "rows", "one two three");
    world.runtime.on_exec("db", ExecScript::new(|_| ExecReply::failed(3, "it is frozen")));
    let scene = Scene::begin(world).await;
    let outcome = scene.back_up(BackupHow::default()).await;
    assert!(matches!(outcome.shortfalls.as_slice(), [Shortfall::HookFailed { .. }]), "{outcome:?}");
    let without = scene.back_up(BackupHow { no_hooks: true, ..BackupHow::default() }).await;
    assert_eq!((without.shortfalls.as_slice(), without.error), (&[][..], None));
    scene.server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_to_be_different_is() {
    let scene = Scene::begin(with_a_database()).await;
    let policy = PolicyOverrides {
        stop: Some(StopMode::None),
        exclude: Some(vec!["base/**".into()]),
        ..PolicyOverrides::default()
    };
    scene.back_up(BackupHow { policy, ..BackupHow::default() }).await;
    let backup = scene.asker.find_backup("db").await.unwrap();
    let point = backup.latest().unwrap();
    assert_eq!((point.consistency, point.exclude.as_slice()), (Consistency::Live, &["base/**".to_owned()][..]));
    scene.server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_takes_away_what_was_shown_or_nothing() {
    let scene = Scene::begin(with_a_database()).await;
    for _ in 0..2 {
        scene.back_up(BackupHow::default()).await;
    }
    let found = scene.asker.find_backup("db").await.unwrap();
    let (backup, [first, second]) = (found.id.clone(), [0, 1].map(|nth| found.points[nth].id));
    let differs = scene.outcome_of(Order::DeleteBackup { backup: backup.clone(), expected: vec![first] }).await;
    assert_eq!(differs.error.unwrap().kind, ErrorKind::Conflict);
    assert_eq!(scene.asker.find_backup("db").await.unwrap().points.len(), 2);
    let one = Order::DeletePoint { backup: backup.clone(), point: first, expected: vec![first] };
    assert_eq!(scene.outcome_of(one).await.error, None);
    let whole = Order::DeleteBackup { backup, expected: vec![second] };
    assert_eq!(scene.outcome_of(whole).await.error, None);
    assert_eq!(scene.asker.find_backup("db").await.unwrap_err().kind(), ErrorKind::NotFound);
    scene.server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_is_loaded_from_afar_and_no_volume_is_touched() {
    let world = World::new();
    let container = world.runtime.container("db").volume("db-data", "/data");
    container.label("dory.dump", r#"["dump"]"#).label("dory.dump.restore", r#"["load"]"#).running();
    world.write("db-data", "rows", "one two three");
    let loaded: Arc<Mutex<Vec<u8>>> = Arc::default();
    let its = Arc::clone(&loaded);
    let script = ExecScript::reading(move |request, input| match request.command[0].as_str() {
        "dump" => ExecReply::ok("insert into accounts"),
        _ => {
            *its.lock().unwrap() = input.to_vec();
            ExecReply::ok("loaded")
        }
    });
    world.runtime.on_exec("db", script);
    let scene = Scene::begin(world).await;
    scene.back_up(BackupHow::default()).await;
    let found = scene.asker.find_backup("db").await.unwrap();
    let (backup, point) = (found.id.clone(), found.points[0].id);
    scene.world.journal.clear();
    let load = Order::LoadDump { backup, point, name: None, into: None, safety: false };
    let outcome = scene.outcome_of(load).await;
    assert_eq!((outcome.error, outcome.point), (None, Some(point)));
    assert_eq!(*loaded.lock().unwrap(), b"insert into accounts");
    assert!(scene.world.journal.only(&["runtime stop", "engine restore"]).is_empty());
    scene.server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_checked_from_afar_and_damage_is_told() {
    let scene = Scene::begin(with_a_database()).await;
    scene.back_up(BackupHow::default()).await;
    let backup = scene.asker.find_backup("db").await.unwrap().id.clone();
    let verify = || Order::Verify { backup: backup.clone(), read_data: true };
    let well = scene.outcome_of(verify()).await;
    assert_eq!(well.error, None, "{well:?}");
    let verified = scene.asker.find_backup("db").await.unwrap().verified.clone().unwrap();
    assert!(verified.read_data && verified.faults.is_empty(), "{verified:?}");
    scene.world.faults.restic.fail_next("check_restorable", ErrorKind::Corrupt);
    let damaged = scene.outcome_of(verify()).await;
    assert_eq!(damaged.error.unwrap().kind, ErrorKind::Corrupt);
    assert_eq!(scene.asker.find_backup("db").await.unwrap().verified.clone().unwrap().faults.len(), 1);
    scene.server.end().await.unwrap();
}
