//! What is refused, and what is told of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use dory_core::adapters::duplicity::{DuplicityEngine, DuplicitySettings};
use dory_core::domain::event::WarningKind;
use dory_core::domain::secret::Secret;
use dory_core::error::ErrorKind;
use dory_core::ports::{BackupEngine, Events, OpenMode, SystemClock};

use super::{Stage, files, warnings, write};

#[tokio::test]
async fn a_missing_program_is_told_before_anything_else_and_names_the_image() {
    let Some(mut stage) = Stage::in_a_folder() else { return };
    let scratch = stage.dir.path().join("scratch");
    for program in ["duplicity-that-is-not-there", "/no/such/duplicity"] {
        let mut settings = DuplicitySettings::new(&scratch, Arc::new(SystemClock::new()));
        settings.program = program.into();
        // Wrong in every other way too.
        stage.spec.options.insert("no-such-option".into(), String::new());
        let error = DuplicityEngine::new(settings).open(&stage.spec, OpenMode::CreateIfMissing).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
        assert!(error.to_string().contains(program) && error.hint().unwrap().contains("image"), "{error:?}");
    }
    assert!(!scratch.exists(), "nothing was made");
}

#[tokio::test]
async fn a_program_that_is_no_duplicity_is_unsupported() {
    let Some(stage) = Stage::in_a_folder() else { return };
    let program = script(stage.dir.path(), "exit 0");
    let mut settings = DuplicitySettings::new(stage.dir.path().join("scratch"), Arc::new(SystemClock::new()));
    settings.program = program;
    fs::create_dir_all(stage.stored()).unwrap();
    let error = DuplicityEngine::new(settings).open(&stage.spec, OpenMode::Existing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
}

/// A duplicity whose Python ignores what Dory gives it to load would keep links instead of mounts.
#[tokio::test]
async fn a_duplicity_that_would_keep_a_link_for_a_mount_is_stopped() {
    let Some(stage) = Stage::in_a_folder() else { return };
    let repository = stage.open().await;
    drop(repository);
    let real = dory_testkit::live::duplicity().unwrap();
    let program = script(stage.dir.path(), &format!("unset PYTHONPATH; exec {} \"$@\"", real.display()));
    let mut settings = super::settings(stage.dir.path()).unwrap();
    settings.program = program;
    let repository = DuplicityEngine::new(settings).open(&stage.spec, OpenMode::Existing).await.unwrap();
    write(&stage.source().join("file"), "1");
    let error = repository.backup(&stage.request(), &Events::ignored()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    assert!(repository.list_snapshots().await.unwrap().is_empty());
}

#[tokio::test]
async fn options_and_keys_are_refused_by_name_before_anything_runs() {
    let Some(mut stage) = Stage::in_a_folder() else { return };
    stage.spec.options.insert("gpg-options".into(), "--exec-path=/tmp".into());
    let error = stage.engine.open(&stage.spec, OpenMode::CreateIfMissing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("gpg-options") && error.to_string().contains("another program"), "{error}");
    stage.spec.options.clear();
    stage.spec.password = Some(Secret::new(""));
    let error = stage.engine.open(&stage.spec, OpenMode::CreateIfMissing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(!stage.spec.store.url.as_folder().unwrap().exists(), "nothing was made");
}

#[tokio::test]
async fn encryption_must_be_what_it_was() {
    let Some(mut stage) = Stage::in_a_folder() else { return };
    stage.open().await;
    stage.spec.password = None;
    let error = stage.engine.open(&stage.spec, OpenMode::Existing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongKey, "{error:?}");
    assert!(error.hint().unwrap().contains("DORY_PASSPHRASE"));

    stage.spec.path = "data/plain/duplicity".into();
    stage.open().await;
    stage.spec.password = Some(Secret::new("a key"));
    let error = stage.engine.open(&stage.spec, OpenMode::CreateIfMissing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongKey, "{error:?}");
    assert!(error.hint().unwrap().contains("DORY_ENCRYPTION=none"));
}

#[tokio::test]
async fn a_file_that_vanishes_while_it_is_read_is_a_warning() {
    let Some(stage) = Stage::in_a_folder() else { return };
    let source = stage.source();
    write(&source.join("a"), "1");
    write(&source.join("z"), "1");
    // Gone between the look at the folder and the reading of the file: Python itself removes it.
    let real = dory_testkit::live::duplicity().unwrap();
    let gone = source.join("z");
    let hook = format!(
        "printf '%s\\n' \"exec(open('$PYTHONPATH/sitecustomize.py').read()); import os; s = os.stat; \
         o = __import__('builtins').open\" \"def vanish(path, *a, **k):\" \
         \"    if path == b'{0}' or str(path).endswith('/data/z') or (isinstance(path, bytes) and path.endswith(b'/data/z')):\" \
         \"        os.path.exists('{0}') and os.remove('{0}')\" \"    return o(path, *a, **k)\" \
         \"__import__('builtins').open = vanish\" >$TMPDIR/sitecustomize.py; PYTHONPATH=$TMPDIR exec {1} \"$@\"",
        gone.display(),
        real.display()
    );
    let mut settings = super::settings(stage.dir.path()).unwrap();
    settings.program = script(stage.dir.path(), &hook);
    let engine = DuplicityEngine::new(settings);
    let repository = engine.open(&stage.spec, OpenMode::CreateIfMissing).await.unwrap();
    let (events, told) = warnings();
    let report = repository.backup(&stage.request(), &events).await.unwrap();
    let told = told.lock().unwrap().clone();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].kind, told[0].path.to_string().as_str()), (WarningKind::Vanished, "data/z"));
    assert_eq!(stage.restored(&*repository, &report.snapshot).await, files(&[("a", "1")]));
}

#[tokio::test]
async fn secrets_are_in_no_argument() {
    let Some(mut stage) = Stage::in_a_folder() else { return };
    stage.spec.password = Some(Secret::new("hush-hush"));
    let (real, lines) = (dory_testkit::live::duplicity().unwrap(), stage.dir.path().join("lines"));
    let mut settings = super::settings(stage.dir.path()).unwrap();
    let note = format!("printf '%s\\n' \"$*\" >>{}; exec {} \"$@\"", lines.display(), real.display());
    settings.program = script(stage.dir.path(), &note);
    let repository = DuplicityEngine::new(settings).open(&stage.spec, OpenMode::CreateIfMissing).await.unwrap();
    write(&stage.source().join("file"), "1");
    let report = stage.backup(&*repository).await;
    stage.restored(&*repository, &report.snapshot).await;
    let lines = fs::read_to_string(lines).unwrap();
    assert!(lines.contains("backup --log-fd=2") && lines.contains("restore"), "{lines}");
    assert!(!lines.contains("hush-hush"), "{lines}");
}

fn script(folder: &Path, body: &str) -> std::path::PathBuf {
    let path = folder.join("duplicity");
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}
