//! Which packs are really there: the index compared with a listing of the store.
//!
//! Whoever prunes beside a backup, deletes objects, or cuts them short leaves an index that tells of data which is not
//! there. A backup that believes it makes a snapshot that cannot be restored.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::thread;

use bytes::Bytes;
use object_store::PutPayload;
use rustic_core::repofile::{IndexFile, PackId};
use rustic_core::{FileType, Id, ReadBackend};
use sha2::{Digest, Sha256};

use super::repository::Session;
use super::seal::{seal, unseal};
use super::translate::from_rustic;
use crate::error::{Error, ErrorKind, Result};

/// How often an index may be replaced while it is read.
const ATTEMPTS: u32 = 3;

/// Index files that are fetched at once.
const WORKERS: usize = 8;

/// What the index tells of packs, file by file.
#[derive(Debug, Default)]
pub(super) struct PackBook {
    files: BTreeMap<Id, Vec<(PackId, u32)>>,
}

/// Packs that the store does not hold as the index tells, and what is wrong with each.
pub(super) type Broken = HashMap<PackId, String>;

impl PackBook {
    /// Reads what the index tells now. Files that were read before are not read again.
    pub(super) fn read(&mut self, session: &Session) -> Result<()> {
        for attempt in 1..=ATTEMPTS {
            match self.read_once(session) {
                Err(error) if error.kind() == ErrorKind::Conflict && attempt < ATTEMPTS => {}
                result => return result,
            }
        }
        Ok(())
    }

    fn read_once(&mut self, session: &Session) -> Result<()> {
        let ids = list(session, FileType::Index)?;
        self.files.retain(|id, _| ids.contains_key(id));
        let unknown: Vec<_> = ids.into_keys().filter(|id| !self.files.contains_key(id)).collect();
        fetch_ahead(session, &unknown)?;
        for id in unknown {
            let packs = index_file(session, &id)?.packs;
            self.files.insert(id, packs.iter().map(|pack| (pack.id, pack.pack_size())).collect());
        }
        Ok(())
    }

    /// Asks the store for its packs.
    pub(super) fn broken(&self, session: &Session) -> Result<Broken> {
        let there = list(session, FileType::Pack)?;
        let wrong = |(id, size): &(PackId, u32)| match there.get(&**id) {
            None => Some((*id, "it is missing".to_owned())),
            Some(is) if is != size => Some((*id, format!("it is {is} bytes long instead of {size}"))),
            Some(_) => None,
        };
        Ok(self.files.values().flatten().filter_map(wrong).collect())
    }

    /// Lets the session see an index without these packs, so that it neither reads them nor relies on them.
    pub(super) fn hide(&self, session: &Session, broken: &Broken) -> Result<()> {
        for (id, packs) in &self.files {
            if packs.iter().any(|(pack, _)| broken.contains_key(pack)) {
                let mut file = index_file(session, id)?;
                file.packs.retain(|pack| !broken.contains_key(&pack.id));
                session.backend.show_index(*id, Bytes::from(seal(&session.key, &file)?));
            }
        }
        Ok(())
    }

    /// Where another pack holds what a broken one does, lets the stored index lead to that one alone, for whoever reads
    /// takes either. What only a broken pack holds stays as it is, so that it is missed.
    pub(super) fn lead_around(&self, session: &Session, broken: &Broken) -> Result<()> {
        session.backend.forget_index();
        let concerned = |packs: &[(PackId, u32)]| packs.iter().any(|(pack, _)| broken.contains_key(pack));
        let mut files = HashMap::new();
        let mut wanted = HashSet::new();
        for (id, _) in self.files.iter().filter(|(_, packs)| concerned(packs)) {
            let file = index_file(session, id)?;
            let of_broken = file.packs.iter().filter(|pack| broken.contains_key(&pack.id));
            wanted.extend(of_broken.flat_map(|pack| pack.blobs.iter().map(|blob| blob.id)));
            files.insert(*id, file);
        }
        let mut elsewhere = HashSet::new();
        for id in self.files.keys() {
            let file = index_file(session, id)?;
            let whole = file.packs.iter().filter(|pack| !broken.contains_key(&pack.id));
            elsewhere.extend(whole.flat_map(|pack| &pack.blobs).map(|blob| blob.id).filter(|id| wanted.contains(id)));
        }
        for (id, mut file) in files {
            let blobs = |file: &IndexFile| file.packs.iter().map(|pack| pack.blobs.len()).sum::<usize>();
            let before = blobs(&file);
            for pack in file.packs.iter_mut().filter(|pack| broken.contains_key(&pack.id)) {
                pack.size = Some(pack.pack_size());
                pack.blobs.retain(|blob| !elsewhere.contains(&blob.id));
            }
            file.packs.retain(|pack| !pack.blobs.is_empty());
            if blobs(&file) < before {
                replace(session, &id, &file)?;
            }
        }
        Ok(())
    }
}

/// The new file comes before the old one goes, so that nothing is ever missing.
fn replace(session: &Session, old: &Id, file: &IndexFile) -> Result<()> {
    if !file.packs.is_empty() || !file.packs_to_delete.is_empty() {
        let bytes = seal(&session.key, file)?;
        let name = data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes));
        let id = name.parse().map_err(|_| Error::new(ErrorKind::Internal, "write", &name, "it is no id"))?;
        session.backend.put(FileType::Index, &id, &PutPayload::from(bytes))?;
    }
    session.backend.delete(FileType::Index, old)
}

/// Fetches index files, several at a time; each is then at hand.
fn fetch_ahead(session: &Session, ids: &[Id]) -> Result<()> {
    let each = ids.len().div_ceil(WORKERS).max(1);
    let fetch = |ids: &[Id]| ids.iter().try_for_each(|id| session.backend.read_index(id).map(drop));
    thread::scope(|scope| {
        let threads: Vec<_> = ids.chunks(each).map(|ids| scope.spawn(move || fetch(ids))).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Internal, "read the index of", session.backend.name(), "a worker broke off"))
            })
        })
    })
}

fn index_file(session: &Session, id: &Id) -> Result<IndexFile> {
    let bytes = session.backend.read_index(id)?;
    unseal(&session.key, &bytes).ok_or_else(|| {
        let path = format!("index/{}", id.to_hex().as_str());
        Error::new(ErrorKind::Corrupt, "read the index of", session.backend.name(), format!("`{path}` is damaged"))
    })
}

fn list(session: &Session, kind: FileType) -> Result<HashMap<Id, u32>> {
    let files = session.backend.list_with_size(kind);
    let files = files.map_err(|error| from_rustic(&error, ErrorKind::Unavailable, "list", session.backend.name()))?;
    Ok(files.into_iter().collect())
}
