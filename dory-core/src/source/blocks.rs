//! Hashes of a file's blocks, by which a later read tells what changed.
//!
//! They are made and compared within one process, and most of a stop window is the time they take: so they are XXH3 with a
//! secret of this process, at the speed of memory, and not a hash that strangers could check. Who does not know the
//! secret finds no two blocks with one hash but by chance, one in 2^128.

use std::sync::OnceLock;

use twox_hash::XxHash3_128;

/// The size of a block, in bytes, of a file that is not huge: a database's page or two, so that one changed page takes
/// little along. Smaller ones take the processor longer to hash.
const BLOCK: u64 = 16 << 10;

/// How many blocks a file has at most; the blocks of larger ones are larger.
const BLOCKS: u64 = 1 << 18;

/// How many hashes are kept before the blocks of further files are four times as large, and as many again before they
/// are sixteen times as large: 64 MiB each, for 64 GiB and for 256 GiB of files.
const HASHES: u64 = 1 << 22;

type Hash = u128;

/// As long as XXH3's own secret, in bytes; 136 is the least that it takes.
const SECRET_LENGTH: usize = 192;

/// The hashes of one file's blocks, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Blocks {
    /// Bytes of a block; the last may be shorter.
    size: u64,
    /// Bytes of the file.
    length: u64,
    hashes: Vec<Hash>,
}

impl Blocks {
    /// Bytes of a block; the last may be shorter.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// How many hashes there are.
    pub(crate) fn count(&self) -> u64 {
        self.hashes.len() as u64
    }

    /// Whether these are the bytes of the block that begins at `offset`, all of them and no more.
    pub(crate) fn match_at(&self, offset: u64, bytes: &[u8]) -> bool {
        let whole = self.size.min(self.length.saturating_sub(offset));
        let hash = usize::try_from(offset / self.size).ok().and_then(|at| self.hashes.get(at));
        bytes.len() as u64 == whole && hash.is_some_and(|known| *known == hash_of(bytes))
    }
}

fn hash_of(bytes: &[u8]) -> Hash {
    static SECRET: OnceLock<[u8; SECRET_LENGTH]> = OnceLock::new();
    let secret = SECRET.get_or_init(|| {
        let mut secret = [0; SECRET_LENGTH];
        // A system without randomness runs no Dory: the ids of its runs need it long before.
        getrandom::fill(&mut secret).unwrap_or_else(|error| unreachable!("the system has no randomness: {error}"));
        secret
    });
    XxHash3_128::oneshot_with_secret(secret, bytes)
        .unwrap_or_else(|error| unreachable!("a secret of {SECRET_LENGTH} bytes is long enough: {error}"))
}

/// Hashes a file's blocks while it is read from start to end.
#[derive(Debug)]
pub(crate) struct BlockHasher {
    blocks: Blocks,
    /// The part of the current block that was fed.
    pending: Vec<u8>,
}

impl BlockHasher {
    /// For a file of this size, when so many hashes of other files are kept already.
    pub(crate) fn new(size: u64, kept: u64) -> Self {
        let coarse = BLOCK << (2 * (kept / HASHES).min(2));
        let block = size.div_ceil(BLOCKS).next_power_of_two().max(coarse);
        let blocks = Blocks { size: block, length: 0, hashes: Vec::new() };
        Self { blocks, pending: Vec::new() }
    }

    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        self.blocks.length += bytes.len() as u64;
        let block = usize::try_from(self.blocks.size).unwrap_or(usize::MAX);
        if !self.pending.is_empty() {
            let missing = (block - self.pending.len()).min(bytes.len());
            self.pending.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if self.pending.len() < block {
                return;
            }
            self.blocks.hashes.push(hash_of(&self.pending));
            self.pending.clear();
        }
        let mut whole = bytes.chunks_exact(block);
        self.blocks.hashes.extend(whole.by_ref().map(hash_of));
        self.pending.extend_from_slice(whole.remainder());
    }

    /// The hashes of all that was fed.
    pub(crate) fn finish(mut self) -> Blocks {
        if !self.pending.is_empty() {
            self.blocks.hashes.push(hash_of(&self.pending));
        }
        self.blocks
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_huge_file_has_no_more_blocks_than_any() {
        assert_eq!(BlockHasher::new(BLOCK * BLOCKS, 0).blocks.size, BLOCK);
        assert_eq!(BlockHasher::new(BLOCK * BLOCKS + 1, 0).blocks.size, 2 * BLOCK);
        assert_eq!(BlockHasher::new(0, 0).blocks.size, BLOCK);
    }

    #[test]
    fn the_more_is_known_the_larger_are_blocks() {
        let size = |kept| BlockHasher::new(1 << 30, kept).blocks.size;
        assert_eq!(
            (size(HASHES - 1), size(HASHES), size(2 * HASHES), size(9 * HASHES)),
            (BLOCK, 4 * BLOCK, 16 * BLOCK, 16 * BLOCK)
        );
    }

    #[test]
    fn a_block_matches_whole_and_in_its_place_alone() {
        let bytes = vec![7; BLOCK as usize + 10];
        let mut hasher = BlockHasher::new(bytes.len() as u64, 0);
        hasher.feed(&bytes);
        let blocks = hasher.finish();
        assert!(blocks.match_at(0, &bytes[..BLOCK as usize]) && blocks.match_at(BLOCK, &bytes[..10]));
        assert!(!blocks.match_at(0, &bytes[..10]) && !blocks.match_at(BLOCK, &bytes[..9]));
        assert!(!blocks.match_at(2 * BLOCK, &[]));
    }

    proptest! {
        #[test]
        fn however_it_is_fed_the_hashes_are_the_same(cuts in proptest::collection::vec(0_usize..200_000, 0..8)) {
            let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).take(200_000).collect();
            let mut whole = BlockHasher::new(bytes.len() as u64, 0);
            whole.feed(&bytes);
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut parts = BlockHasher::new(bytes.len() as u64, 0);
            let mut last = 0;
            for cut in cuts.into_iter().chain([bytes.len()]) {
                parts.feed(&bytes[last..cut]);
                last = cut;
            }
            prop_assert_eq!(whole.finish(), parts.finish());
        }
    }
}
