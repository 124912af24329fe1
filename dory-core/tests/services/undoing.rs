//! Undoing a restore by the command it prints, and what is told of one that fails half-way.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use dory_core::ErrorKind;
use dory_core::domain::backup::PointChoice;
use dory_core::domain::container::ContainerState;
use dory_core::services::{Cancel, MountState, RestoreChoice, RestoreOutcome, RunEvent, RunEvents};
use dory_core::{Error, Result};
use dory_testkit::fixtures::{Aspects, diff_trees, snapshot_tree};

use super::bench::{Bench, restore_of};

/// Does what the command says, as the command line reads it.
async fn run(bench: &Bench, command: &str) -> Result<RestoreOutcome> {
    let mut words = command.split(' ');
    assert_eq!((words.next(), words.next()), (Some("dory"), Some("restore")));
    let mut choice = restore_of(words.next().unwrap());
    while let Some(word) = words.next() {
        match word {
            "--at" => choice.point = PointChoice::Named(words.next().unwrap().to_owned()),
            "--map" => choice.maps.push(words.next().unwrap().parse().unwrap()),
            "--delete-extra" => choice.delete_extra_from_binds = true,
            other => panic!("`{other}` in {command}"),
        }
    }
    bench.restore(&choice).await
}

/// Restores, undoes that by the printed command, and compares every one of `folders` before and after.
async fn undone(bench: &Bench, choice: &RestoreChoice, folders: &[&Path]) {
    let before: Vec<_> = folders.iter().map(|folder| snapshot_tree(folder)).collect();
    let outcome = bench.restore(choice).await.unwrap();
    let command = outcome.undo_command().unwrap();
    let changed = folders.iter().zip(&before);
    let changed = changed.filter(|(folder, tree)| !diff_trees(tree, &snapshot_tree(folder), Aspects::ALL).is_empty());
    assert_ne!(changed.count(), 0, "the restore changed nothing, so its undoing proves nothing");
    run(bench, &command).await.unwrap();
    for (folder, tree) in folders.iter().zip(&before) {
        let differences = diff_trees(tree, &snapshot_tree(folder), Aspects::ALL);
        assert!(differences.is_empty(), "after `{command}`, {}: {differences:#?}", folder.display());
    }
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_in_place_is_undone() {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    bench.wreck("db-data");
    undone(&bench, &restore_of("db"), &[&bench.folder("db-data")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_into_another_container_is_undone() {
    let bench = Bench::new();
    bench.database("db");
    bench.database("copy");
    bench.back_up("db").await.unwrap();
    bench.wreck("copy-data");
    let choice = RestoreChoice { into: Some("copy".into()), ..restore_of("db") };
    undone(&bench, &choice, &[&bench.folder("db-data"), &bench.folder("copy-data")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_into_a_volume_is_undone() {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    bench.write("spare", "folder/file", "kept for a rainy day");
    let choice = RestoreChoice { maps: vec!["/var/lib/db=spare".parse().unwrap()], ..restore_of("db") };
    undone(&bench, &choice, &[&bench.folder("db-data"), &bench.folder("spare")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restore_added_to_a_folder_of_the_host_goes_when_it_is_undone() {
    let bench = Bench::new();
    let folder = bench.runtime.host_folder("srv/app");
    fs::write(folder.join("old"), "old").unwrap();
    bench.runtime.container("app").bind(&folder, "/data").running();
    bench.back_up("app").await.unwrap();
    fs::remove_file(folder.join("old")).unwrap();
    fs::write(folder.join("new"), "new").unwrap();
    undone(&bench, &restore_of("app"), &[&folder]).await;
}

/// A container with three mounts, backed up and then changed in each.
async fn of_three_mounts() -> Bench {
    let bench = Bench::new();
    let app =
        bench.runtime.container("app").volume("first", "/first").volume("second", "/second").volume("third", "/third");
    app.running();
    let volumes = ["first", "second", "third"];
    volumes.iter().for_each(|volume| bench.write(volume, "file", "old"));
    bench.back_up("app").await.unwrap();
    volumes.iter().for_each(|volume| bench.write(volume, "file", "new"));
    bench
}

/// Restores; what became of each mount, in order, and the error.
async fn fail_to_restore(bench: &Bench, choice: &RestoreChoice) -> (Vec<(String, MountState)>, Error) {
    let told = Arc::<Mutex<Vec<(String, MountState)>>>::default();
    let heard = Arc::clone(&told);
    let events = RunEvents::new(move |event| {
        if let RunEvent::Mount { mount, state } = event {
            heard.lock().unwrap().push((mount.display().to_string(), state));
        }
    });
    let error = bench.dory.run_restore(choice, &Cancel::new(), &events).await.unwrap_err();
    let told = told.lock().unwrap().clone();
    (told, error)
}

fn broken() -> Error {
    Error::new(ErrorKind::Unavailable, "restore", "", "the test broke the connection")
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_touched_is_rolled_back_and_each_mount_is_accounted_for() {
    use MountState::{HalfWritten, Restored, RolledBack};
    let bench = of_three_mounts().await;
    bench.faults.restic.fail_nth("restore", 2, broken());
    let (told, error) = fail_to_restore(&bench, &restore_of("app")).await;
    let told: Vec<_> = told.iter().map(|(mount, state)| (mount.as_str(), *state)).collect();
    let expected = [
        ("/first", HalfWritten),
        ("/first", Restored),
        ("/second", HalfWritten),
        ("/first", HalfWritten),
        ("/first", RolledBack),
        ("/second", HalfWritten),
        ("/second", RolledBack),
    ];
    assert_eq!(told, expected);
    assert!(
        error.reason().contains("`/first` is as it was before, `/second` is as it was before, `/third` is untouched")
    );
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    for volume in ["first", "second", "third"] {
        assert_eq!(bench.read(volume, "file").as_deref(), Some("new"), "{volume}");
    }
    assert_eq!(bench.runtime.state_of("app"), ContainerState::Running);
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_rolled_back_stays_down_and_the_command_it_names_brings_it_back() {
    let bench = of_three_mounts().await;
    let calls = bench.faults.restic.calls("restore");
    bench.faults.restic.fail_nth("restore", calls + 2, broken());
    bench.faults.restic.fail_nth("restore", calls + 4, broken());
    let (_, error) = fail_to_restore(&bench, &restore_of("app")).await;
    assert_eq!((error.kind(), error.subject()), (ErrorKind::ContainerDown, "app"));
    let states = "`/first` is as it was before, `/second` is half written, `/third` is untouched";
    assert!(error.reason().contains(states), "{error}");
    assert_eq!(bench.runtime.state_of("app"), ContainerState::Exited);

    let command = error.hint().unwrap().split('`').nth(1).unwrap().to_owned();
    run(&bench, &command).await.unwrap();
    for volume in ["first", "second", "third"] {
        assert_eq!(bench.read(volume, "file").as_deref(), Some("new"), "{volume}, after `{command}`");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_safety_point_the_same_restore_is_the_way_on() {
    let bench = of_three_mounts().await;
    bench.faults.restic.fail_nth("restore", 1, broken());
    let choice = RestoreChoice { safety: false, ..restore_of("app") };
    let (_, error) = fail_to_restore(&bench, &choice).await;
    assert!(
        error.reason().contains("`/first` is half written, `/second` is untouched, `/third` is untouched"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("the same restore again"));
    bench.restore(&choice).await.unwrap();
    assert_eq!(bench.read("first", "file").as_deref(), Some("old"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_waits_until_another_run_is_out_of_its_way() {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    bench.wreck("db-data");
    let wrecked = bench.files("db-data");
    bench.faults.restic.fail_next("restore", ErrorKind::Corrupt);
    // The first helper is the engine's, the second the guardian.
    for launch in 3..6 {
        bench.faults.runtime.fail_nth("launch_helper", launch, ErrorKind::Conflict);
    }
    let _time = bench.clock.tick();
    let error = bench.restore(&restore_of("db")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
    bench.assert_files("db-data", &wrecked);
    bench.assert_tidy();
}
