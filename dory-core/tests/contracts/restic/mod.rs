//! restic's format: in a folder, and in Google Cloud Storage's stand-in by way of the real client.

mod damage;
mod fidelity;
mod freezing;
mod interchange;
mod locks;
mod scale;
mod side_by_side;

use std::any::Any;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use dory_core::adapters::object_store::connect;
use dory_core::adapters::restic::ResticEngine;
use dory_core::domain::event::Warning;
use dory_core::domain::id::{MountKey, SnapshotId};
use dory_core::domain::secret::Secret;
use dory_core::domain::store_url::{StoreAccess, StoreCredentials, StoreUrl};
use dory_core::ports::{
    BackupEngine, EngineEvent, Events, MountFolder, OpenMode, Repository, RepositorySpec, RestoreRequest,
    SnapshotRequest,
};
use dory_testkit::contracts::backup_engine::Subject;
use dory_testkit::gcs::GcsServer;
use jiff::Timestamp;
use tempfile::TempDir;

use super::client_objects::ClientObjects;

const PASSWORD: &str = "correct horse battery staple";

async fn in_a_folder() -> Option<Subject> {
    let folder = tempfile::tempdir().unwrap();
    let repository = spec(folder_store(folder.path()));
    Some(Subject::new(Arc::new(engine()), repository).keeping(folder))
}

async fn in_gcs() -> Option<Subject> {
    let server = Arc::new(GcsServer::start());
    let repository = spec(server.access("fleet/one"));
    let objects = ClientObjects(connect(&repository.store).unwrap());
    let protected = Arc::clone(&server);
    let protect = move || -> Option<Box<dyn Any + Send>> {
        protected.set_read_only(true);
        Some(Box::new(Writable(Arc::clone(&protected))))
    };
    let subject = Subject::new(Arc::new(engine()), repository).stored_in(objects).write_protected_by(protect);
    Some(subject.keeping(server))
}

/// Lets everything be written again when it is dropped.
struct Writable(Arc<GcsServer>);

impl Drop for Writable {
    fn drop(&mut self) {
        self.0.set_read_only(false);
    }
}

dory_testkit::backup_engine_contract!(folder, in_a_folder());
dory_testkit::backup_engine_contract!(gcs, in_gcs());

/// The engine as it is used.
fn engine() -> ResticEngine {
    ResticEngine::new(Arc::new(connect))
}

/// A store that is the folder `store` in this one.
fn folder_store(folder: &Path) -> StoreAccess {
    let url = StoreUrl::folder(&folder.join("store")).unwrap();
    StoreAccess { url, credentials: StoreCredentials::Ambient, endpoint: None, region: None }
}

fn spec(store: StoreAccess) -> RepositorySpec {
    RepositorySpec {
        store,
        path: "data/shop-db-1.0123456789ab/restic".to_owned(),
        password: Some(Secret::new(PASSWORD)),
        options: BTreeMap::new(),
    }
}

/// A folder to play in, with a repository in its folder `store`.
struct Place {
    dir: TempDir,
    spec: RepositorySpec,
    repository: Arc<dyn Repository>,
}

impl Place {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let spec = spec(folder_store(dir.path()));
        let repository = engine().open(&spec, OpenMode::CreateIfMissing).await.unwrap();
        Self { dir, spec, repository }
    }

    fn folder(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Where the repository's own files are.
    fn files(&self) -> PathBuf {
        self.dir.path().join("store").join(&self.spec.path)
    }
}

fn mount(key: &str, path: &Path) -> MountFolder {
    MountFolder { key: MountKey::parse(key).unwrap(), path: path.to_path_buf() }
}

/// A request that reads this folder as the mount `data`.
fn reading(path: &Path) -> SnapshotRequest {
    SnapshotRequest {
        sources: vec![mount("data", path)],
        exclude: Vec::new(),
        taken_at: Timestamp::from_second(1_740_000_000).unwrap(),
        host: "host-1".to_owned(),
        tags: vec!["point-1".to_owned(), "shop, db".to_owned()],
        parent: None,
        scratch: None,
    }
}

/// A request that makes this folder what the mount `data` was.
fn writing(snapshot: &SnapshotId, path: &Path) -> RestoreRequest {
    RestoreRequest {
        snapshot: snapshot.clone(),
        targets: vec![mount("data", path)],
        delete_extra: true,
        keep: Vec::new(),
    }
}

/// Events, and the warnings among them.
fn listening() -> (Events, Arc<Mutex<Vec<Warning>>>) {
    let warnings = Arc::<Mutex<Vec<Warning>>>::default();
    let seen = Arc::clone(&warnings);
    let events = Events::new(move |event| {
        if let EngineEvent::Warning(warning) = event {
            seen.lock().unwrap().push(warning);
        }
    });
    (events, warnings)
}

/// A file system in memory, mounted for as long as this lives.
struct TemporaryMount(PathBuf);

impl TemporaryMount {
    /// Mounts one, if we may.
    fn on(folder: &Path, kind: &str, options: &str) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", kind, "-o", options, "dory-test"]).arg(folder);
        let done = mount.output().is_ok_and(|output| output.status.success());
        done.then(|| Self(folder.to_path_buf()))
    }
}

impl Drop for TemporaryMount {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).output();
        assert!(unmounted.is_ok_and(|output| output.status.success()), "cannot unmount {}", self.0.display());
    }
}
