//! Chains of sets: restoring each of them, starting new ones, forgetting them, and what plain duplicity makes of it.

use std::fs;
use std::process::Command;

use dory_core::domain::event::WarningKind;
use dory_core::domain::id::SnapshotId;
use dory_core::ports::{Events, OpenMode};
use dory_testkit::live;

use super::{Stage, contents, files, mount, now, warnings, write};

#[tokio::test]
async fn each_set_of_a_chain_brings_back_its_own_moment() {
    let Some(stage) = Stage::in_a_folder() else { return };
    let repository = stage.open().await;
    let source = stage.source();
    write(&source.join("changes"), "1");
    write(&source.join("goes"), "x");
    let first = stage.backup(&*repository).await;
    write(&source.join("changes"), "2");
    fs::remove_file(source.join("goes")).unwrap();
    let second = stage.backup(&*repository).await;
    write(&source.join("comes"), "y");
    let third = stage.backup(&*repository).await;

    let fulls = stage.stored_names().iter().filter(|name| name.starts_with("duplicity-full.")).count();
    assert_eq!(fulls, 2, "one full set, of a volume and a manifest");
    for (report, expected) in [
        (&first, files(&[("changes", "1"), ("goes", "x")])),
        (&second, files(&[("changes", "2")])),
        (&third, files(&[("changes", "2"), ("comes", "y")])),
    ] {
        assert_eq!(stage.restored(&*repository, &report.snapshot).await, expected);
    }
}

#[tokio::test]
async fn options_reach_the_program_and_a_chain_that_is_old_enough_is_followed_by_a_new_one() {
    let Some(mut stage) = Stage::in_a_folder() else { return };
    stage.spec.options = [("full-if-older-than", "1s"), ("volsize", "1"), ("no-compression", "true")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let repository = stage.open().await;
    fs::write(stage.source().join("zeros"), vec![0; 2_500_000]).unwrap();
    let first = stage.backup(&*repository).await;
    let names = stage.stored_names();
    let volumes = names.iter().filter(|name| name.starts_with("duplicity-full.") && name.contains(".vol")).count();
    assert_eq!(volumes, 3, "of a megabyte each: {names:?}");
    let second = stage.backup(&*repository).await;

    let listed = repository.list_snapshots().await.unwrap();
    assert!(listed.iter().all(|snapshot| snapshot.tied_to.is_empty()), "two chains of one set each: {listed:?}");
    repository.forget(std::slice::from_ref(&first.snapshot)).await.unwrap();
    let left: Vec<SnapshotId> = repository.list_snapshots().await.unwrap().into_iter().map(|one| one.id).collect();
    assert_eq!(left, [second.snapshot]);
}

#[tokio::test]
async fn the_newest_of_a_chain_can_go_alone_and_the_chain_goes_on() {
    let Some(stage) = Stage::in_a_folder() else { return };
    let repository = stage.open().await;
    let source = stage.source();
    write(&source.join("file"), "1");
    let first = stage.backup(&*repository).await;
    write(&source.join("file"), "2");
    let second = stage.backup(&*repository).await;
    repository.forget(&[second.snapshot]).await.unwrap();
    write(&source.join("file"), "3");
    let third = stage.backup(&*repository).await;
    assert_eq!(stage.restored(&*repository, &third.snapshot).await, files(&[("file", "3")]));
    assert_eq!(stage.restored(&*repository, &first.snapshot).await, files(&[("file", "1")]));
}

#[tokio::test]
async fn two_backups_in_a_row_are_two_sets_and_what_changes_right_after_one_is_in_the_next() {
    let Some(stage) = Stage::in_a_folder() else { return };
    let repository = stage.open().await;
    let file = stage.source().join("file");
    fs::write(&file, "1").unwrap();
    let first = stage.backup(&*repository).await;
    // Same size, and the time is the system's own: nothing but the second tells it from before.
    fs::write(&file, "2").unwrap();
    let second = stage.backup(&*repository).await;
    assert_ne!(first.snapshot, second.snapshot);
    assert_eq!(stage.restored(&*repository, &second.snapshot).await, files(&[("file", "2")]));
}

#[tokio::test]
async fn plain_duplicity_restores_what_dory_backed_up() {
    let Some(stage) = Stage::in_a_folder() else { return };
    let repository = stage.open().await;
    write(&stage.source().join("file"), "1");
    stage.backup(&*repository).await;
    let (home, to) = (stage.dir.path().join("home"), stage.dir.path().join("plain"));
    fs::create_dir(&home).unwrap();
    let status = Command::new(live::duplicity().unwrap())
        .args(["restore", "--path-to-restore", "data"])
        .arg(format!("file://{}", stage.stored().display()))
        .arg(&to)
        .env("PASSPHRASE", "correct horse battery staple")
        .env("HOME", &home)
        .env_remove("GNUPGHOME")
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    assert_eq!(contents(&to), files(&[("file", "1")]));
}

#[tokio::test]
async fn what_plain_duplicity_backed_up_is_opened_listed_and_gone_on_with() {
    let Some(stage) = Stage::in_a_folder() else { return };
    let home = stage.dir.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::create_dir_all(stage.stored()).unwrap();
    let root = stage.dir.path().join("root");
    fs::create_dir_all(root.join("data")).unwrap();
    write(&root.join("data/file"), "by hand");
    let made = Command::new(live::duplicity().unwrap())
        .arg("full")
        .arg(&root)
        .arg(format!("file://{}", stage.stored().display()))
        .env("PASSPHRASE", "correct horse battery staple")
        .env("HOME", &home)
        .env_remove("GNUPGHOME")
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let existing = stage.engine.open(&stage.spec, OpenMode::Existing).await.unwrap();
    let listed = existing.list_snapshots().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(stage.restored(&*existing, &listed[0].id).await, files(&[("file", "by hand")]));
    let repository = stage.open().await;
    write(&stage.source().join("file"), "by dory");
    let next = stage.backup(&*repository).await;
    let listed = repository.list_snapshots().await.unwrap();
    assert_eq!((listed.len(), listed[0].tied_to.clone()), (2, vec![next.snapshot]));
    assert_eq!(listed[1].tags, ["point-1"]);
}

#[tokio::test]
async fn a_socket_is_told_of_and_two_sources_of_one_root_are_kept_apart() {
    let Some(stage) = Stage::in_a_folder() else { return };
    let repository = stage.open().await;
    let _socket = std::os::unix::net::UnixListener::bind(stage.source().join("s")).unwrap();
    let (events, told) = warnings();
    let mut request = stage.request();
    request.sources.extend(mount("again", &stage.source()));
    repository.backup(&request, &events).await.unwrap();
    let mut told: Vec<_> =
        told.lock().unwrap().iter().map(|warning| (warning.kind, warning.path.to_string())).collect();
    told.sort_by(|a, b| a.1.cmp(&b.1));
    assert_eq!(told, ["again/s", "data/s"].map(|path| (WarningKind::NotKept, path.to_owned())));
}

#[tokio::test]
async fn a_set_from_the_future_is_a_conflict_and_not_a_point_that_nobody_finds() {
    let Some(stage) = Stage::in_a_folder() else { return };
    let repository = stage.open().await;
    write(&stage.source().join("file"), "1");
    let report = stage.backup(&*repository).await;
    let tomorrow = (now() + std::time::Duration::from_hours(24)).strftime("%Y%m%dT%H%M%SZ").to_string();
    for name in stage.stored_names().iter().filter(|name| name.starts_with("duplicity-")) {
        let later = name.replace(report.snapshot.as_str(), &tomorrow);
        fs::rename(stage.stored().join(name), stage.stored().join(later)).unwrap();
    }
    let again = stage.open().await;
    let error = again.backup(&stage.request(), &Events::ignored()).await.unwrap_err();
    assert_eq!(error.kind(), dory_core::ErrorKind::Conflict, "{error:?}");
    assert!(error.hint().unwrap().contains("clock"), "{error:?}");
}
