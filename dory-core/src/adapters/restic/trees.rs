//! What was read of the packs that hold folders, block by block, so that a walk over them asks the store once for many.

use bytes::{Bytes, BytesMut};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use rustic_core::Id;

use crate::error::Result;

/// Bytes that are read at a time. A folder takes a few hundred, a pack of them has 4 MiB.
const BLOCK: u32 = 2 << 20;

/// Bytes that are kept at most.
const KEPT: u64 = 32 << 20;

/// The blocks of one repository that were read lately.
pub(super) struct Trees(Cache<(Id, u32), Bytes, Length>);

#[derive(Clone)]
struct Length;

impl Weighter<(Id, u32), Bytes> for Length {
    fn weight(&self, _: &(Id, u32), block: &Bytes) -> u64 {
        // What weighs nothing would never go.
        block.len().max(1) as u64
    }
}

impl Trees {
    /// Reads everything again from now on: what is to be proven is what the store has, not what it had.
    pub(super) fn forget(&self) {
        self.0.clear();
    }

    /// `length` bytes of `pack` from `offset` on; `None` where it ends before. `fetch` reads as many bytes from an offset on
    /// as there are, up to a length; of several who want the same block one does, and the others wait.
    ///
    /// # Errors
    /// Those of `fetch`.
    pub(super) fn read(
        &self,
        pack: Id,
        offset: u32,
        length: u32,
        fetch: impl Fn(u32, u32) -> Result<Bytes>,
    ) -> Result<Option<Bytes>> {
        let end = u64::from(offset) + u64::from(length);
        let mut found = BytesMut::new();
        let mut at = u64::from(offset);
        while at < end {
            let number = u32::try_from(at / u64::from(BLOCK)).unwrap_or(u32::MAX);
            let begins = u64::from(number) * u64::from(BLOCK);
            let Ok(from) = u32::try_from(begins) else { return Ok(None) };
            let block = self.0.get_or_insert_with(&(pack, number), || fetch(from, BLOCK))?;
            let until = end.min(begins + u64::from(BLOCK));
            let range = to_index(at - begins)..to_index(until - begins);
            if range.end > block.len() {
                return Ok(None);
            }
            if range.len() == length as usize {
                return Ok(Some(block.slice(range)));
            }
            found.extend_from_slice(&block[range]);
            at = until;
        }
        Ok(Some(found.freeze()))
    }
}

impl Default for Trees {
    #[expect(clippy::expect_used, reason = "the options are constants")]
    fn default() -> Self {
        // Each shard has its own limit, and a few blocks are all there is.
        let options = OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(to_index(KEPT / u64::from(BLOCK)))
            .weight_capacity(KEPT)
            .build()
            .expect("all that it needs is given");
        Self(Cache::with_options(options, Length, DefaultHashBuilder::default(), DefaultLifecycle::default()))
    }
}

/// Below the size of a block.
fn to_index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::error::{Error, ErrorKind};

    const PACK_LENGTH: u32 = BLOCK * 2 + 1000;

    fn pack() -> Bytes {
        (0..PACK_LENGTH).map(|at| (at / 7) as u8).collect()
    }

    fn id() -> Id {
        "11".repeat(32).parse().unwrap()
    }

    #[test]
    fn neighbours_are_read_together_and_once() {
        let (trees, asked) = (Trees::default(), RefCell::new(Vec::new()));
        let fetch = |offset: u32, length: u32| {
            asked.borrow_mut().push(offset);
            Ok(pack().slice(offset as usize..(offset + length).min(PACK_LENGTH) as usize))
        };
        for (offset, length) in [(0, 10), (5, 1000), (BLOCK - 3, 6), (BLOCK * 2, 1000), (17, BLOCK * 2), (3, 0)] {
            let read = trees.read(id(), offset, length, fetch).unwrap().unwrap();
            assert_eq!(read, pack().slice(offset as usize..(offset + length) as usize), "{offset} {length}");
        }
        assert_eq!(*asked.borrow(), [0, BLOCK, BLOCK * 2]);
    }

    #[test]
    fn what_ends_early_is_told() {
        let fetch = |_, _| Ok(Bytes::from_static(b"short"));
        assert_eq!(Trees::default().read(id(), 2, 3, fetch).unwrap().unwrap(), "ort");
        assert!(Trees::default().read(id(), 2, 4, fetch).unwrap().is_none());
    }

    #[test]
    fn what_failed_is_tried_again() {
        let trees = Trees::default();
        let fails = |_, _| Err(Error::new(ErrorKind::Unavailable, "read", "pack", "not now"));
        assert_eq!(trees.read(id(), 0, 3, fails).unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(trees.read(id(), 0, 3, |_, _| Ok(Bytes::from_static(b"now"))).unwrap().unwrap(), "now");
    }

    #[test]
    fn what_is_forgotten_is_read_again() {
        let trees = Trees::default();
        for content in ["old", "new"] {
            trees.forget();
            assert_eq!(trees.read(id(), 0, 3, |_, _| Ok(Bytes::from(content))).unwrap().unwrap(), content);
        }
    }

    #[test]
    fn no_more_is_kept_than_it_says() {
        let trees = Trees::default();
        for number in 0..64_u8 {
            let pack = hex_id(number);
            let _ = trees.read(pack, 0, 1, |_, length| Ok(Bytes::from(vec![number; length as usize]))).unwrap();
        }
        assert!(trees.0.weight() <= KEPT, "{}", trees.0.weight());
        assert!(trees.0.len() >= 8, "{}", trees.0.len());
    }

    fn hex_id(number: u8) -> Id {
        format!("{number:02x}").repeat(32).parse().unwrap()
    }
}
