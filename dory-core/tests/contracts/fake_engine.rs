//! The testkit's own engine keeps the promises that it is used to test others with.

use std::any::Any;

use dory_core::domain::policy::EngineKind;
use dory_core::domain::secret::Secret;
use dory_core::domain::store_url::{StoreAccess, StoreCredentials};
use dory_core::ports::{Capabilities, RepositorySpec};
use dory_testkit::contracts::backup_engine::Subject;
use dory_testkit::fakes::FakeEngine;
use futures_util::future::BoxFuture;

pub(super) fn repository() -> RepositorySpec {
    let store = StoreAccess {
        url: "gs://bucket/fleet".parse().unwrap(),
        credentials: StoreCredentials::Ambient,
        endpoint: None,
        region: None,
    };
    let password = Some(Secret::new("the password"));
    RepositorySpec { store, path: "data/db-1/restic".to_owned(), password, options: Default::default() }
}

/// Lets everything be written again when it is dropped.
struct Writable(FakeEngine);

impl Drop for Writable {
    fn drop(&mut self) {
        self.0.set_read_only(false);
    }
}

fn subject(engine: &FakeEngine) -> Option<Subject> {
    let damaged = engine.clone();
    let damage = move |repository: &RepositorySpec| -> BoxFuture<'static, ()> {
        damaged.damage(repository);
        Box::pin(async {})
    };
    let protected = engine.clone();
    let protect = move || -> Option<Box<dyn Any + Send>> {
        protected.set_read_only(true);
        Some(Box::new(Writable(protected.clone())))
    };
    Some(Subject::new(engine.port(), repository()).damaged_by(damage).write_protected_by(protect))
}

dory_testkit::backup_engine_contract!(fake_engine, async { subject(&FakeEngine::new(EngineKind::Restic)) });

dory_testkit::backup_engine_contract!(fake_engine_with_chains, async {
    let little = Capabilities {
        self_contained: false,
        forgets_single_snapshots: false,
        keeps_hard_links: false,
        keeps_extended_attributes: false,
        keeps_holes: false,
    };
    subject(&FakeEngine::new(EngineKind::Duplicity).with_capabilities(little))
});
