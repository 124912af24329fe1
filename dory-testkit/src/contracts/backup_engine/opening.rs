//! Promises about finding, making and unlocking a repository.

use std::collections::BTreeMap;
use std::fs;

use dory_core::domain::entry_path::EntryPath;
use dory_core::domain::secret::Secret;
use dory_core::error::ErrorKind;
use dory_core::ports::{OpenMode, RepositorySpec};

use super::Subject;
use super::scene::Scene;

/// Without a repository there, opening one that exists is `NotFound`, and makes none.
pub async fn a_missing_repository_is_not_found(subject: Subject) {
    for _ in 0..2 {
        let error = subject.engine.open(&subject.repository, OpenMode::Existing).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    }
}

/// Another password than the repository's own is `WrongKey`, also for one who would make it.
pub async fn a_wrong_key_is_refused(subject: Subject) {
    let mut scene = Scene::open(subject).await;
    let source = scene.folder("source");
    fs::write(source.join("file"), "x").unwrap();
    scene.backup(&[("data", &source)]).await;

    let right = scene.subject.repository.clone();
    scene.subject.repository.password = Some(Secret::new("not the password"));
    for mode in [OpenMode::Existing, OpenMode::CreateIfMissing] {
        let error = scene.subject.engine.open(&scene.subject.repository, mode).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongKey, "{mode:?}: {error:?}");
        assert!(!format!("{error:?}").contains("not the password"), "a password must not be told");
    }
    let repository = scene.subject.engine.open(&right, OpenMode::Existing).await.unwrap();
    assert_eq!(repository.list_snapshots().await.unwrap().len(), 1);
}

/// Making a repository that is there already opens it as it is.
pub async fn a_repository_is_made_once(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    fs::write(source.join("file"), "x").unwrap();
    let report = scene.backup(&[("data", &source)]).await;
    for mode in [OpenMode::CreateIfMissing, OpenMode::Existing] {
        let again = scene.subject.engine.open(&scene.subject.repository, mode).await.unwrap();
        let snapshots = again.list_snapshots().await.unwrap();
        assert_eq!(snapshots.len(), 1, "{mode:?}");
        assert_eq!(snapshots[0].id, report.snapshot);
    }
}

/// Of two who make it at once, both get the same repository, or one gets `Conflict`; nobody is locked out afterwards.
pub async fn two_who_make_it_at_once_share_it_or_one_conflicts(subject: Subject) {
    let open = || subject.engine.open(&subject.repository, OpenMode::CreateIfMissing);
    let (first, second, third) = tokio::join!(open(), open(), open());
    let mut opened = 0;
    for result in [first, second, third] {
        match result {
            Ok(repository) => {
                repository.list_snapshots().await.unwrap();
                opened += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}"),
        }
    }
    assert!(opened > 0, "somebody must get it");

    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    fs::write(source.join("file"), "x").unwrap();
    let report = scene.backup(&[("data", &source)]).await;
    for _ in 0..2 {
        let again = scene.subject.engine.open(&scene.subject.repository, OpenMode::Existing).await.unwrap();
        assert_eq!(again.list_snapshots().await.unwrap()[0].id, report.snapshot);
    }
}

/// A repository that was made without a password opens without one.
pub async fn without_a_password_none_is_needed(mut subject: Subject) {
    subject.repository.password = None;
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    fs::write(source.join("file"), "in the clear").unwrap();
    let report = scene.backup(&[("data", &source)]).await;
    let again = scene.subject.engine.open(&scene.subject.repository, OpenMode::Existing).await.unwrap();
    assert_eq!(again.list_snapshots().await.unwrap()[0].id, report.snapshot);
    let target = scene.folder("target");
    scene.restore(&report, &[("data", &target)]).await;
    assert_eq!(fs::read_to_string(target.join("file")).unwrap(), "in the clear");
}

/// Where nothing can be written, whoever is about to write hears so at once; who only reads goes on.
pub async fn who_would_write_must_be_able_to(subject: Subject) {
    let scene = Scene::open(subject).await;
    let source = scene.folder("source");
    fs::write(source.join("file"), "x").unwrap();
    let report = scene.backup(&[("data", &source)]).await;
    let Some(protection) = scene.subject.write_protect() else { return };
    let missing =
        RepositorySpec { path: format!("{}-2", scene.subject.repository.path), ..scene.subject.repository.clone() };
    for spec in [&scene.subject.repository, &missing] {
        let error = scene.subject.engine.open(spec, OpenMode::CreateIfMissing).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
        assert!(!error.subject().is_empty(), "{error:?}");
    }
    let reader = scene.subject.engine.open(&scene.subject.repository, OpenMode::Existing).await.unwrap();
    assert_eq!(reader.list_snapshots().await.unwrap()[0].id, report.snapshot);
    assert_eq!(scene.read(&report, &EntryPath::new("data/file")).await, b"x");

    drop(protection);
    scene.subject.engine.open(&scene.subject.repository, OpenMode::CreateIfMissing).await.unwrap();
    let error = scene.subject.engine.open(&missing, OpenMode::Existing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "nothing may have been made: {error:?}");
}

/// Options that the engine does not know are refused by name; none at all are fine.
pub async fn unknown_options_are_refused(subject: Subject) {
    assert!(subject.engine.check_options(&BTreeMap::new()).is_ok());
    let options = BTreeMap::from([("no-such-option".to_owned(), "1".to_owned())]);
    let error = subject.engine.check_options(&options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
    let told = format!("{error} {}", error.hint().unwrap_or_default());
    assert!(told.contains("no-such-option"), "it must name the option: {told}");
}
