//! Trees of our own in the store: the dumps as files, for a snapshot to be compared with.
//!
//! They are one pack and one index file, written in the format's plain form, which every version of it reads.

use object_store::PutPayload;
use rustic_core::repofile::{Node, NodeType, SnapshotFile};
use rustic_core::{FileType, Id};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::backup::description;
use super::dumps::{Dump, folder};
use super::repository::Session;
use super::seal::{seal, seal_bytes};
use super::source::top;
use super::translate::from_rustic;
use crate::domain::id::SnapshotId;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::SnapshotRequest;

/// A folder, as the format writes it.
#[derive(Serialize)]
struct Tree<'a> {
    nodes: &'a [Node],
}

/// How a pack's header calls a tree that is not compressed.
const PLAIN_TREE: u8 = 1;

/// A pack that is being made.
#[derive(Default)]
struct Pack {
    bytes: Vec<u8>,
    header: Vec<u8>,
    blobs: Vec<serde_json::Value>,
}

impl Pack {
    /// Adds a folder, and tells its id.
    fn add(&mut self, session: &Session, nodes: &[Node]) -> Result<Id> {
        let mut text = serde_json::to_vec(&Tree { nodes }).map_err(|error| failed().with_source(error))?;
        // restic ends every tree so, and names it by all its bytes.
        text.push(b'\n');
        let (name, id) = named(&text)?;
        let sealed = seal_bytes(&session.key, &text)?;
        let length = u32::try_from(sealed.len()).map_err(|error| failed().with_source(error))?;
        self.header.push(PLAIN_TREE);
        self.header.extend(length.to_le_bytes());
        self.header.extend(Sha256::digest(&text));
        self.blobs.push(json!({ "id": name, "type": "tree", "offset": self.bytes.len(), "length": length }));
        self.bytes.extend(sealed);
        Ok(id)
    }

    /// Writes the pack, and then the index that leads to it.
    fn write(mut self, session: &Session) -> Result<()> {
        let header = seal_bytes(&session.key, &self.header)?;
        self.bytes.extend(&header);
        let length = u32::try_from(header.len()).map_err(|error| failed().with_source(error))?;
        self.bytes.extend(length.to_le_bytes());
        let (name, id) = named(&self.bytes)?;
        session.backend.put(FileType::Pack, &id, &PutPayload::from(self.bytes))?;
        let index = seal(&session.key, &json!({ "packs": [{ "id": name, "blobs": self.blobs }] }))?;
        let (_, id) = named(&index)?;
        session.backend.put(FileType::Index, &id, &PutPayload::from(index))
    }
}

/// Stores the dumps as the files of a snapshot, lets the session read that snapshot although it is in no store, and names
/// it.
pub(super) fn graft(session: &Session, request: &SnapshotRequest, dumps: &[Dump]) -> Result<SnapshotId> {
    let mut files: Vec<Node> = dumps.iter().map(|dump| dump.node.clone()).collect();
    files.sort_by(|a, b| a.name().cmp(&b.name()));
    let mut pack = Pack::default();
    let mut inner = pack.add(session, &files)?;
    for folder in [folder(), top()] {
        inner = pack.add(session, &[Node { subtree: Some(inner.into()), node_type: NodeType::Dir, ..folder }])?;
    }
    pack.write(session)?;
    let described = description(request)
        .map_err(|error| from_rustic(&error, ErrorKind::Internal, "describe dumps for", session.backend.name()))?;
    let held = seal(&session.key, &SnapshotFile { tree: inner.into(), ..described })?;
    let (name, id) = named(&held)?;
    session.backend.serve_snapshot(id, held.into());
    SnapshotId::parse(name)
}

/// What the format names these bytes.
fn named(bytes: &[u8]) -> Result<(String, Id)> {
    let name = data_encoding::HEXLOWER.encode(&Sha256::digest(bytes));
    let id = name.parse().map_err(|_| failed())?;
    Ok((name, id))
}

fn failed() -> Error {
    Error::new(ErrorKind::Internal, "write", "repository file", "it cannot be put into the format")
}
