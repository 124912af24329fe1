//! The store of an engine, in which somebody waits for one write or one removal.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use async_trait::async_trait;
use dory_core::domain::store_url::StoreAccess;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

use crate::steps::Change;

/// Does `act` on a thread of its own as soon as packs come into a store that is a folder, or go from it, whoever does
/// that.
pub(crate) fn when_packs(change: Change, access: &StoreAccess, act: impl Fn() + Send + 'static) {
    let folder = access.url.as_folder().expect("a folder");
    let before = packs_in(&folder);
    thread::spawn(move || {
        loop {
            let now = packs_in(&folder);
            if if change == Change::Come { now > before } else { now < before } {
                return act();
            }
        }
    });
}

/// How many packs all repositories of a store hold.
fn packs_in(store: &std::path::Path) -> usize {
    let list = |folder: PathBuf| {
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let shelves = list(store.join("data")).into_iter().flat_map(|backup| list(backup.join("restic/data")));
    shelves.map(|shelf| list(shelf).iter().filter(|pack| !is_unfinished(pack)).count()).sum()
}

/// Whether an object is still being written: stores that are folders write beside its name.
fn is_unfinished(path: &std::path::Path) -> bool {
    path.file_name().is_none_or(|name| name.len() != 64)
}

/// What is to be done around the nth `put` or `delete` in one folder of a repository: `put index`.
#[derive(Clone)]
pub(crate) struct Watched {
    call: &'static str,
    nth: usize,
    before: bool,
    seen: Arc<AtomicUsize>,
    act: Arc<dyn Fn() + Send + Sync>,
}

impl Watched {
    pub(crate) fn on(call: &'static str, nth: usize, before: bool, act: impl Fn() + Send + Sync + 'static) -> Self {
        Self { call, nth, before, seen: Arc::default(), act: Arc::new(act) }
    }

    /// A store in which that is done.
    pub(crate) fn around(&self, store: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        Arc::new(WatchedStore { watched: self.clone(), store })
    }

    fn see(&self, verb: &str, path: &Path, before: bool) {
        let folder = |folder: &str| self.call.split_once(' ') == Some((verb, folder));
        let meant = self.before == before && path.parts().any(|part| folder(part.as_ref()));
        if meant && self.seen.fetch_add(1, Ordering::Relaxed) + 1 == self.nth {
            (self.act)();
        }
    }
}

struct WatchedStore {
    watched: Watched,
    store: Arc<dyn ObjectStore>,
}

impl fmt::Debug for WatchedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

impl fmt::Display for WatchedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for WatchedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.watched.see("put", location, true);
        let put = self.store.put_opts(location, payload, opts).await;
        self.watched.see("put", location, false);
        put
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.store.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (first, then) = (self.watched.clone(), self.watched.clone());
        let locations = locations.inspect(move |path| see_all(&first, path, true)).boxed();
        self.store.delete_stream(locations).inspect(move |path| see_all(&then, path, false)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

fn see_all(watched: &Watched, path: &Result<Path>, before: bool) {
    if let Ok(path) = path {
        watched.see("delete", path, before);
    }
}
