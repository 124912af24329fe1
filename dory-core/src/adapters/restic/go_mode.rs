//! File modes: the format has them as Go's `os.FileMode`, the system as `st_mode`.

use rustic_core::repofile::Node;

const PERMISSIONS: u32 = 0o777;
/// The system's bits beyond the permissions, and Go's.
const SPECIAL: [(u32, u32); 3] = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
/// The system's file types, and Go's.
const TYPES: [(u32, u32); 7] = [
    (0o100_000, 0),
    (0o040_000, 1 << 31),
    (0o120_000, 1 << 27),
    (0o060_000, 1 << 26),
    (0o020_000, 1 << 26 | 1 << 21),
    (0o010_000, 1 << 25),
    (0o140_000, 1 << 24),
];

/// The format's form of `st_mode`.
pub(super) fn to_go(st_mode: u32) -> u32 {
    let special = SPECIAL.iter().filter(|(bit, _)| st_mode & bit != 0).map(|(_, go)| go);
    let file_type = TYPES.iter().filter(|(system, _)| st_mode & 0o170_000 == *system).map(|(_, go)| go);
    special.chain(file_type).fold(st_mode & PERMISSIONS, |mode, bits| mode | bits)
}

/// A node's permissions, setuid and its kin; its type is told elsewhere. restic leaves a mode of zero out.
pub(super) fn permissions(node: &Node) -> u32 {
    permissions_from_go(node.meta.mode.unwrap_or(0))
}

fn permissions_from_go(go: u32) -> u32 {
    SPECIAL.iter().filter(|(_, bits)| go & bits != 0).fold(go & PERMISSIONS, |mode, (bit, _)| mode | bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_what_go_makes_of_them() {
        // As `fmt.Println(uint32(info.Mode()))` prints them.
        assert_eq!(to_go(0o100_644), 420);
        assert_eq!(to_go(0o040_755), 2_147_484_141);
        assert_eq!(to_go(0o120_777), 134_218_239);
        assert_eq!(to_go(0o104_755), 8_389_101);
        assert_eq!(to_go(0o041_777), 2_148_532_735);
        assert_eq!(to_go(0o020_666), 69_206_454);
    }

    #[test]
    fn every_permission_survives() {
        for mode in 0..=0o7777 {
            assert_eq!(permissions_from_go(to_go(0o100_000 | mode)), mode);
        }
    }
}
