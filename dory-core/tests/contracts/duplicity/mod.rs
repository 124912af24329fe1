//! duplicity, the real program: the suite in a folder, and what is particular to it.

mod chains;
#[cfg(feature = "object-store")]
mod clouds;
mod killed;
mod refusals;
mod scale;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use dory_core::adapters::duplicity::{DuplicityEngine, DuplicitySettings};
use dory_core::domain::event::Warning;
use dory_core::domain::id::{MountKey, SnapshotId};
use dory_core::domain::secret::Secret;
use dory_core::domain::store_url::{StoreAccess, StoreCredentials, StoreUrl};
use dory_core::error::Result;
use dory_core::ports::{
    BackupEngine, EngineEvent, Events, MountFolder, OpenMode, Repository, RepositorySpec, RestoreReport,
    RestoreRequest, SnapshotReport, SnapshotRequest, SystemClock,
};
use dory_testkit::contracts::backup_engine::Subject;
use dory_testkit::fixtures::Aspects;
use dory_testkit::live;
use jiff::Timestamp;
use tempfile::TempDir;

dory_testkit::backup_engine_contract!(duplicity_in_a_folder, async { in_a_folder() });

// What the option `staged` changes.
dory_testkit::backup_engine_contract! { @promises duplicity_staged, async { staged() };
    unknown_options_are_refused
    a_frozen_tree_equals_its_source
    what_happens_after_a_freeze_is_not_in_it
    what_happens_between_the_passes_is_in_it
    a_change_behind_restored_times_is_found
    passes_may_be_repeated
    a_file_that_changes_during_a_hot_pass_is_right
    a_freeze_is_of_what_was_read_ahead
}

fn staged() -> Option<Subject> {
    let mut subject = in_a_folder()?;
    subject.repository.options.insert("staged".to_owned(), "true".to_owned());
    Some(subject)
}

fn in_a_folder() -> Option<Subject> {
    let stage = Stage::in_a_folder()?;
    let mut subject = Subject::new(Arc::<dyn BackupEngine>::clone(&stage.engine), stage.spec.clone()).keeping(stage);
    subject.aspects = Aspects { nanoseconds: false, symlink_times: false, sockets: false, ..subject.aspects };
    Some(subject)
}

/// An engine, a place for a repository, and a folder to play in.
struct Stage {
    engine: Arc<dyn BackupEngine>,
    spec: RepositorySpec,
    dir: TempDir,
}

impl Stage {
    fn in_a_folder() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let store = StoreAccess {
            url: StoreUrl::folder(&dir.path().join("store")).unwrap(),
            credentials: StoreCredentials::Ambient,
            endpoint: None,
            region: None,
        };
        Self::with(dir, store)
    }

    #[cfg(feature = "object-store")]
    fn at(store: StoreAccess) -> Option<Self> {
        Self::with(tempfile::tempdir().unwrap(), store)
    }

    fn with(dir: TempDir, store: StoreAccess) -> Option<Self> {
        let settings = settings(dir.path())?;
        let spec = RepositorySpec {
            store,
            path: "data/shop-db.0123456789ab/duplicity".to_owned(),
            password: Some(Secret::new("correct horse battery staple")),
            options: BTreeMap::new(),
        };
        fs::create_dir(dir.path().join("source")).unwrap();
        Some(Self { engine: Arc::new(DuplicityEngine::new(settings)), spec, dir })
    }

    async fn open(&self) -> Arc<dyn Repository> {
        self.engine.open(&self.spec, OpenMode::CreateIfMissing).await.unwrap()
    }

    fn source(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join("target")
    }

    /// Where a folder's repository keeps its files.
    fn stored(&self) -> PathBuf {
        self.spec.store.url.as_folder().unwrap().join(&self.spec.path)
    }

    fn stored_names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.stored()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn request(&self) -> SnapshotRequest {
        SnapshotRequest {
            sources: mount("data", &self.source()),
            exclude: Vec::new(),
            taken_at: "2026-11-23T05:00:00Z".parse().unwrap(),
            host: "host-1".to_owned(),
            tags: vec!["point-1".to_owned()],
            parent: None,
            scratch: None,
        }
    }

    async fn backup(&self, repository: &dyn Repository) -> SnapshotReport {
        repository.backup(&self.request(), &Events::ignored()).await.unwrap()
    }

    /// Restores into an empty target, and gives the contents of its files by their paths.
    async fn restored(&self, repository: &dyn Repository, snapshot: &SnapshotId) -> BTreeMap<String, String> {
        let _ = fs::remove_dir_all(self.target());
        self.restore(repository, snapshot).await.unwrap();
        contents(&self.target())
    }

    async fn restore(&self, repository: &dyn Repository, snapshot: &SnapshotId) -> Result<RestoreReport> {
        let request = RestoreRequest {
            snapshot: snapshot.clone(),
            targets: mount("data", &self.target()),
            delete_extra: true,
            keep: Vec::new(),
        };
        repository.restore(&request, &Events::ignored()).await
    }
}

fn settings(scratch_in: &Path) -> Option<DuplicitySettings> {
    let program = live::or_skip("duplicity", live::duplicity())?;
    let mut settings = DuplicitySettings::new(scratch_in.join("scratch"), Arc::new(SystemClock::new()));
    settings.program = program;
    settings.rclone = live::or_skip("duplicity", live::rclone())?;
    Some(settings)
}

fn mount(key: &str, path: &Path) -> Vec<MountFolder> {
    vec![MountFolder { key: MountKey::parse(key).unwrap(), path: path.to_path_buf() }]
}

/// Writes a file with a time that no earlier call gave it: duplicity compares whole seconds.
fn write(path: &Path, contents: &str) {
    let before = fs::metadata(path).and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    fs::write(path, contents).unwrap();
    let later = before + Duration::from_secs(10);
    fs::File::options().write(true).open(path).unwrap().set_modified(later).unwrap();
}

fn contents(folder: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    files
        .map(|file| (file.file_name().into_string().unwrap(), fs::read_to_string(file.path()).unwrap_or_default()))
        .collect()
}

fn files(expected: &[(&str, &str)]) -> BTreeMap<String, String> {
    expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

/// A sink for events, and the warnings that went into it.
fn warnings() -> (Events, Arc<Mutex<Vec<Warning>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    let events = Events::new(move |event| {
        if let EngineEvent::Warning(warning) = event {
            sink.lock().unwrap().push(warning);
        }
    });
    (events, told)
}

fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "a test of real time")]
    Timestamp::now()
}
