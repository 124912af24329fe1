//! Contents out of packs: neighbours fetched together, a few requests at a time, every piece proven by its hash.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use rustic_core::repofile::BlobType;
use rustic_core::{DataId, Id, IndexedFullStatus, Repository};

use super::backend::StoreBackend;
use super::translate::from_rustic;
use crate::error::{Error, ErrorKind, ErrorRecord, Result};

/// Bytes of contents that are in memory at once, for each who holds a window.
pub(super) const WINDOW: u64 = 16 << 20;

/// Requests in flight. Each has its own thread, which also decrypts and unpacks.
const WORKERS: usize = 4;

/// Bytes of one request at most, so that a window is spread over the workers.
const RANGE: u32 = 4 << 20;

/// Bytes between two wanted pieces that are cheaper to fetch along than to ask anew.
const GAP: u32 = 128 << 10;

/// Contents by their ids; damage belongs to the piece that it is in.
pub(super) type Pieces = HashMap<DataId, std::result::Result<Bytes, ErrorRecord>>;

/// Fetches contents of one repository.
pub(super) struct Fetcher<'a> {
    backend: &'a StoreBackend,
    repository: &'a Repository<IndexedFullStatus>,
    zeros: HashSet<DataId>,
}

/// A wanted piece and where it lies.
#[derive(Clone, Copy)]
struct Wanted {
    id: DataId,
    pack: Id,
    offset: u32,
    end: u32,
}

impl<'a> Fetcher<'a> {
    pub(super) fn new(backend: &'a StoreBackend, repository: &'a Repository<IndexedFullStatus>) -> Self {
        Self { backend, repository, zeros: HashSet::new() }
    }

    /// Bytes of a piece, once unpacked.
    pub(super) fn length(&self, id: &DataId) -> Result<u64> {
        let entry = self.repository.get_index_entry(id).map_err(|error| self.damage(id, &error))?;
        Ok(entry.data_length().into())
    }

    /// Whether a piece is known to be all zeros. Such a piece need not be fetched.
    pub(super) fn is_zeros(&self, id: &DataId) -> bool {
        self.zeros.contains(id)
    }

    /// Fetches pieces, each once.
    ///
    /// # Errors
    /// The store's. A piece that is damaged or missing is told in its place.
    pub(super) fn fetch(&mut self, ids: impl IntoIterator<Item = DataId>) -> Result<Pieces> {
        let mut pieces = Pieces::new();
        let mut wanted = Vec::new();
        for id in ids.into_iter().collect::<HashSet<_>>() {
            match self.repository.get_index_entry(&id) {
                Ok(entry) => {
                    let offset = entry.location.offset;
                    wanted.push(Wanted { id, pack: *entry.pack, offset, end: offset + entry.location.length });
                }
                Err(error) => {
                    pieces.insert(id, Err(self.damage(&id, &error).to_record()));
                }
            }
        }
        for (id, piece) in self.fetch_all(stretches(wanted))? {
            if piece.as_ref().is_ok_and(|bytes| all_zeros(bytes)) {
                self.zeros.insert(id);
            }
            pieces.insert(id, piece.map_err(|error| error.to_record()));
        }
        Ok(pieces)
    }

    /// Fetches pieces in order and hands them on, a window at a time.
    pub(super) fn stream(&mut self, ids: &[DataId], mut out: impl FnMut(Bytes) -> Result<()>) -> Result<()> {
        let mut rest = ids;
        while !rest.is_empty() {
            let (mut count, mut bytes) = (0, 0);
            for id in rest {
                bytes += self.length(id)?;
                if count > 0 && bytes > WINDOW {
                    break;
                }
                count += 1;
            }
            let (window, after) = rest.split_at(count);
            let pieces = self.fetch(window.iter().copied())?;
            for id in window {
                match pieces.get(id) {
                    Some(Ok(piece)) => out(piece.clone())?,
                    Some(Err(error)) => return Err(Error::from(error.clone())),
                    None => return Err(self.lost(id)),
                }
            }
            rest = after;
        }
        Ok(())
    }

    fn fetch_all(&self, stretches: Vec<Vec<Wanted>>) -> Result<Vec<(DataId, Result<Bytes>)>> {
        let workers = stretches.len().min(WORKERS);
        let queue = Mutex::new(stretches.into_iter());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || -> Result<Vec<_>> {
            let mut done = Vec::new();
            while let Some(stretch) = next() {
                self.fetch_stretch(&stretch, &mut done)?;
            }
            Ok(done)
        };
        let mut all = Vec::new();
        for result in thread::scope(|scope| {
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>()
        }) {
            all.extend(result.unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Internal, "read from", self.backend.name(), "a worker broke off"))
            })?);
        }
        Ok(all)
    }

    fn fetch_stretch(&self, stretch: &[Wanted], done: &mut Vec<(DataId, Result<Bytes>)>) -> Result<()> {
        let range = span(stretch);
        let pack = stretch.first().map(|wanted| wanted.pack).unwrap_or_default();
        match self.backend.preload(pack, range.clone()) {
            // Piece by piece, some may still be whole.
            Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
            _ => {}
        }
        let mut result = Ok(());
        for wanted in stretch {
            match self.unpack(&wanted.id) {
                Err(error) if error.kind() != ErrorKind::Corrupt => {
                    result = Err(error);
                    break;
                }
                piece => done.push((wanted.id, piece)),
            }
        }
        self.backend.unload(pack, range.start);
        result
    }

    /// Decrypts and unpacks a piece. The format's own checks prove that it is what somebody with the key wrote; its
    /// hash, that it is the right one.
    fn unpack(&self, id: &DataId) -> Result<Bytes> {
        let hex = id.to_hex();
        let piece = self.repository.cat_blob(BlobType::Data, hex.as_str()).map_err(|error| self.damage(id, &error))?;
        if id.blob_matches_reader(piece.len() as u64, &mut &piece[..]) {
            Ok(piece)
        } else {
            Err(Error::new(ErrorKind::Corrupt, "read contents", hex.as_str(), "they are not what they should be"))
        }
    }

    fn damage(&self, id: &DataId, error: &rustic_core::RusticError) -> Error {
        from_rustic(error, ErrorKind::Corrupt, "read contents", id.to_hex().as_str())
    }

    fn lost(&self, id: &DataId) -> Error {
        let reason = format!("nothing came of it from `{}`", self.backend.name());
        Error::new(ErrorKind::Internal, "read contents", id.to_hex().as_str(), reason)
    }
}

/// Groups pieces that lie near each other into stretches to fetch as one.
fn stretches(mut wanted: Vec<Wanted>) -> Vec<Vec<Wanted>> {
    wanted.sort_by_key(|piece| (piece.pack, piece.offset));
    let mut stretches: Vec<Vec<Wanted>> = Vec::new();
    for piece in wanted {
        match stretches.last_mut() {
            Some(stretch) if joins(stretch, &piece) => stretch.push(piece),
            _ => stretches.push(vec![piece]),
        }
    }
    stretches
}

fn joins(stretch: &[Wanted], piece: &Wanted) -> bool {
    let Range { start, end } = span(stretch);
    stretch.first().is_some_and(|first| first.pack == piece.pack)
        && piece.offset.saturating_sub(end) <= GAP
        && piece.end - start <= RANGE
}

fn span(stretch: &[Wanted]) -> Range<u32> {
    let start = stretch.first().map_or(0, |piece| piece.offset);
    start..stretch.last().map_or(start, |piece| piece.end)
}

/// Whether there is nothing but zeros.
pub(super) fn all_zeros(bytes: &[u8]) -> bool {
    // Most of what is not all zeros shows it at once.
    bytes.iter().take(64).all(|byte| *byte == 0) && bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(pack: u8, offset: u32, length: u32) -> Wanted {
        let pack = format!("{pack:02x}").repeat(32).parse().unwrap();
        Wanted { id: DataId::default(), pack, offset, end: offset + length }
    }

    #[test]
    fn neighbours_are_fetched_together_and_strangers_apart() {
        let wanted = vec![
            piece(1, 100, 100),
            piece(2, 0, 50),
            piece(1, 0, 100),
            piece(1, 200 + GAP, 10),
            piece(1, 300 + 3 * GAP, 10),
        ];
        let spans: Vec<_> = stretches(wanted).iter().map(|stretch| (stretch.len(), span(stretch))).collect();
        assert_eq!(spans, [(3, 0..210 + GAP), (1, 300 + 3 * GAP..310 + 3 * GAP), (1, 0..50)]);
    }

    #[test]
    fn no_request_is_too_large_unless_a_piece_is() {
        let wanted = (0..10).map(|number| piece(1, number << 20, 1 << 20)).collect();
        assert!(stretches(wanted).iter().all(|stretch| span(stretch).len() <= RANGE as usize));
        assert_eq!(stretches(vec![piece(1, 0, RANGE + 1)]).len(), 1);
    }
}
