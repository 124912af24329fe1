//! What a listing of a repository's files says about its backup sets: chains, and leftovers of backups that broke off.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{Part, SetTime, StoredName};

/// The files of one backup set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SetFiles {
    /// Names as they are stored.
    pub(super) names: Vec<String>,
    pub(super) manifests: Vec<String>,
    pub(super) volumes: BTreeSet<u32>,
    pub(super) has_signatures: bool,
    pub(super) encrypted: bool,
}

/// One snapshot, and the one it builds on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BackupSet {
    pub(super) time: SetTime,
    pub(super) files: SetFiles,
}

/// A full backup set and the incremental ones that build on it, oldest first: each needs all before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain(pub(super) Vec<BackupSet>);

/// All backup sets of one collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Collection {
    /// Oldest first.
    pub(super) chains: Vec<Chain>,
    /// Sets that were never finished, or whose base is gone: nothing can be restored from them.
    pub(super) leftovers: Vec<BackupSet>,
}

impl Collection {
    /// Sorts `names` into sets and chains; names without `prefix`, and foreign ones, are passed over.
    pub(super) fn from_names<'a>(prefix: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut sets: BTreeMap<(SetTime, Option<SetTime>), SetFiles> = BTreeMap::new();
        for name in names {
            let Some(stored) = StoredName::parse(prefix, name) else { continue };
            let files = sets.entry((stored.end, stored.start)).or_default();
            files.encrypted |= stored.encrypted;
            match stored.part {
                Part::Manifest => files.manifests.push(name.to_owned()),
                Part::Signatures => files.has_signatures = true,
                Part::Volume(number) => {
                    files.volumes.insert(number);
                }
                Part::Statistics => {}
            }
            files.names.push(name.to_owned());
        }
        let mut collection = Self::default();
        // In the order of time, so that a set's base was seen before it.
        for ((time, start), files) in sets {
            let finished = !files.manifests.is_empty();
            let set = BackupSet { time, files };
            match start {
                _ if !finished => collection.leftovers.push(set),
                None => collection.chains.push(Chain(vec![set])),
                Some(start) => {
                    let ends_there = |chain: &&mut Chain| chain.0.last().is_some_and(|last| last.time == start);
                    match collection.chains.iter_mut().rev().find(ends_there) {
                        Some(chain) => chain.0.push(set),
                        None => collection.leftovers.push(set),
                    }
                }
            }
        }
        collection.chains.sort_by(|a, b| a.0.first().map(|set| &set.time).cmp(&b.0.first().map(|set| &set.time)));
        collection
    }

    pub(super) fn sets(&self) -> impl Iterator<Item = &BackupSet> {
        self.chains.iter().flat_map(|chain| &chain.0)
    }

    pub(super) fn holds(&self, time: &SetTime) -> bool {
        self.sets().any(|set| set.time == *time)
    }

    /// The newest finished set.
    pub(super) fn newest(&self) -> Option<&BackupSet> {
        self.sets().max_by(|a, b| a.time.cmp(&b.time))
    }

    /// The sets without which the one at `time` cannot be restored, and that one.
    pub(super) fn needed_by(&self, time: &SetTime) -> Self {
        let chain = self.chains.iter().find(|chain| chain.0.iter().any(|set| set.time == *time));
        let needed = chain.into_iter().flat_map(|chain| &chain.0).filter(|set| set.time <= *time).cloned().collect();
        Self { chains: vec![Chain(needed)], leftovers: Vec::new() }
    }

    /// The sets that cannot be restored without the one at `time`: the later ones of its chain.
    pub(super) fn dependents(&self, time: &SetTime) -> Vec<&SetTime> {
        let chain = self.chains.iter().find(|chain| chain.0.iter().any(|set| set.time == *time));
        let later = chain.into_iter().flat_map(|chain| &chain.0).map(|set| &set.time);
        later.filter(|later| *later > time).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: [&str; 5] =
        ["20260101T000000Z", "20260102T000000Z", "20260103T000000Z", "20260201T000000Z", "20260202T000000Z"];

    fn full(at: &str) -> Vec<String> {
        vec![
            format!("duplicity-full.{at}.vol1.difftar.gpg"),
            format!("duplicity-full-signatures.{at}.sigtar.gpg"),
            format!("duplicity-full.{at}.manifest.gpg"),
        ]
    }

    fn inc(from: &str, to: &str) -> Vec<String> {
        vec![
            format!("duplicity-inc.{from}.to.{to}.vol1.difftar.gpg"),
            format!("duplicity-new-signatures.{from}.to.{to}.sigtar.gpg"),
            format!("duplicity-inc.{from}.to.{to}.manifest.gpg"),
        ]
    }

    fn times(chain: &Chain) -> Vec<&str> {
        chain.0.iter().map(|set| set.time.as_str()).collect()
    }

    fn collection(names: &[Vec<String>]) -> Collection {
        Collection::from_names("", names.iter().flatten().map(String::as_str))
    }

    #[test]
    fn increments_follow_their_base() {
        let found = collection(&[inc(T[1], T[2]), full(T[3]), inc(T[0], T[1]), full(T[0]), inc(T[3], T[4])]);
        assert_eq!(found.chains.iter().map(times).collect::<Vec<_>>(), [T[..3].to_vec(), T[3..].to_vec()]);
        assert!(found.leftovers.is_empty());
        let dependents = found.dependents(&SetTime::parse(T[0]).unwrap());
        assert_eq!(dependents.iter().map(|time| time.as_str()).collect::<Vec<_>>(), T[1..3]);
        assert_eq!(found.newest().unwrap().time.as_str(), T[4]);
    }

    #[test]
    fn what_has_no_manifest_or_no_base_is_left_over() {
        let mut broken = inc(T[0], T[1]);
        broken.pop();
        let found = collection(&[full(T[0]), broken, inc(T[1], T[2]), vec!["note.txt".to_owned()]]);
        assert_eq!(found.chains.iter().map(times).collect::<Vec<_>>(), [vec![T[0]]]);
        assert_eq!(found.leftovers.iter().map(|set| set.time.as_str()).collect::<Vec<_>>(), T[1..3]);
    }

    #[test]
    fn another_prefix_is_another_collection() {
        let names: Vec<String> = full(T[0]).iter().map(|name| format!("dory-{name}")).chain(full(T[1])).collect();
        let found = |prefix| Collection::from_names(prefix, names.iter().map(String::as_str)).chains;
        assert_eq!(times(&found("dory-")[0]), [T[0]]);
        assert_eq!(times(&found("")[0]), [T[1]]);
    }
}
