//! duplicity, the real program, in a folder.

use std::sync::Arc;

use dory_core::adapters::duplicity::{DuplicityEngine, DuplicitySettings};
use dory_core::domain::secret::Secret;
use dory_core::domain::store_url::{StoreAccess, StoreCredentials, StoreUrl};
use dory_core::ports::{BackupEngine, RepositorySpec, SystemClock};
use dory_testkit::contracts::backup_engine::Subject;
use dory_testkit::fixtures::Aspects;
use dory_testkit::live;

dory_testkit::backup_engine_contract!(duplicity_in_a_folder, async { in_a_folder() });

fn in_a_folder() -> Option<Subject> {
    let program = live::or_skip("duplicity", live::duplicity())?;
    let dir = tempfile::tempdir().unwrap();
    let mut settings = DuplicitySettings::new(dir.path().join("scratch"), Arc::new(SystemClock::new()));
    settings.program = program;
    let repository = RepositorySpec {
        store: StoreAccess {
            url: StoreUrl::folder(&dir.path().join("store")).unwrap(),
            credentials: StoreCredentials::Ambient,
            endpoint: None,
            region: None,
        },
        path: "data/shop-db.0123456789ab/duplicity".to_owned(),
        password: Some(Secret::new("correct horse battery staple")),
        options: Default::default(),
    };
    let engine: Arc<dyn BackupEngine> = Arc::new(DuplicityEngine::new(settings));
    let mut subject = Subject::new(engine, repository).keeping(dir);
    subject.aspects = Aspects { nanoseconds: false, symlink_times: false, sockets: false, ..subject.aspects };
    Some(subject)
}
