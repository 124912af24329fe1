//! Dumps in the fake engine: kept in memory until the next snapshot.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use dory_core::domain::dump;
use dory_core::domain::entry_path::EntryPath;
use dory_core::domain::event::Progress;
use dory_core::ports::{DumpRequest, Events};
use dory_core::{Error, ErrorKind, Result};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::lock;
use super::node::{Content, Node};
use super::repository::FakeRepository;

impl FakeRepository {
    pub(super) async fn keep_dump(
        &self,
        request: &DumpRequest,
        content: &mut (dyn AsyncRead + Send + Unpin),
        events: &Events,
    ) -> Result<u64> {
        self.shared.check_writable(&self.place)?;
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).await.map_err(|error| {
            Error::new(ErrorKind::Cancelled, "take a dump", "", "its stream broke off").with_source(error)
        })?;
        let length = bytes.len() as u64;
        events.progress(Progress { bytes: length, ..Progress::default() });
        lock(&self.dumps).insert(request.name.clone(), bytes);
        Ok(length)
    }

    /// The dumps as nodes, their contents kept, their folder included; nothing where there are none.
    pub(super) fn dump_nodes(&self, stored: &AtomicU64) -> Result<BTreeMap<EntryPath, Node>> {
        let mut nodes = BTreeMap::new();
        for (name, contents) in lock(&self.dumps).iter() {
            nodes.insert(EntryPath::new(dump::FOLDER), node(0o700, Content::Folder));
            let bytes = contents.len() as u64;
            let (blob, added) = self.keep(contents.clone())?;
            stored.fetch_add(added, Ordering::Relaxed);
            nodes.insert(EntryPath::new(dump::path_of(name)), node(0o600, Content::File { bytes, blob }));
        }
        Ok(nodes)
    }
}

fn node(mode: u32, content: Content) -> Node {
    Node { content, mode, owner: (0, 0), modified: (0, 0), attributes: BTreeMap::new(), same_as: None }
}
