//! Whether a point holds so much less than the one before that its source may have lost its data.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::dump::path_of;
use super::id::{MountKey, PointId, ServerName};
use super::restore_point::{PointOrigin, RestorePoint};
use crate::error::{Error, Result};

/// Below which share of the previous good point's bytes or files a point is suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SuspectBelow {
    /// Below so many percent: 1 to 100.
    Percent(u8),
    /// Only where something is empty that was not.
    Off,
}

impl Default for SuspectBelow {
    fn default() -> Self {
        Self::Percent(50)
    }
}

impl FromStr for SuspectBelow {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let percent = text.trim_end_matches('%').trim_end().parse().ok().filter(|percent| (1..=100).contains(percent));
        percent.map(Self::Percent).ok_or_else(|| {
            Error::invalid("suspect-below", text, "a percentage from `1` to `100`, or `off`, is allowed")
        })
    }
}

impl fmt::Display for SuspectBelow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Off => f.write_str("off"),
        }
    }
}

impl TryFrom<String> for SuspectBelow {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<SuspectBelow> for String {
    fn from(below: SuspectBelow) -> Self {
        below.to_string()
    }
}

/// Why a point is suspect. While it is, its backup is frozen: nothing of it is deleted without a word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspicion {
    /// What is less, and by how much.
    pub loss: Loss,
    /// The point that held more.
    pub compared_with: PointId,
    /// Set when somebody said that all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleared: Option<Clearance>,
}

/// Something of which there is much less than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Where the container sees it, or a dump's place (`dumps/postgres.sql`); all mounts together where `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<PathBuf>,
    /// What there is less of.
    pub of: Measure,
    /// How much there was.
    pub before: u64,
    /// How much there is.
    pub now: u64,
}

/// What can be counted of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Files, folders and other inodes.
    Files,
    /// Bytes of file contents.
    Bytes,
}

impl Measure {
    fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Bytes => "bytes",
        }
    }
}

/// Who said that a suspect point is as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clearance {
    /// When.
    pub at: Timestamp,
    /// On which server.
    pub server: ServerName,
    /// Who, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.mount {
            Some(mount) => write!(f, "`{}` ", mount.display())?,
            None => f.write_str("it ")?,
        }
        let (word, Self { before, now, .. }) = (self.of.as_str(), self);
        match (self.of, now) {
            (Measure::Files, 0) => write!(f, "is empty, and held {before} {word} before"),
            _ => write!(f, "holds {now} {word}, and held {before} before"),
        }
    }
}

/// What makes `point` suspect beside the `earlier` ones of its backup.
///
/// It is compared with the newest that is good: not suspect, not a safety point, not being deleted, with the same mounts
/// and the same exclusions. What is empty and was not is always suspect, whatever `below` says.
#[must_use]
pub fn suspicion(point: &RestorePoint, earlier: &[RestorePoint], below: SuspectBelow) -> Option<Suspicion> {
    let good = earlier.iter().rev().find(|earlier| is_base(earlier, point))?;
    let pairs = pairs(point, good);
    let losses = || {
        let of_mounts = pairs.iter().flat_map(|(mount, now, before)| {
            let loss = |of, now, before| Loss { mount: mount.clone(), of, before, now };
            [loss(Measure::Files, now.0, before.0), loss(Measure::Bytes, now.1, before.1)]
        });
        of_mounts.chain(dumps(point, good))
    };
    let emptied = losses().find(|loss| loss.now == 0 && loss.before > 0);
    let shrunk = || match below {
        SuspectBelow::Off => None,
        // Not by division: small numbers must count too.
        SuspectBelow::Percent(percent) => {
            losses().find(|loss| u128::from(loss.now) * 100 < u128::from(loss.before) * u128::from(percent))
        }
    };
    let loss = emptied.or_else(shrunk)?;
    Some(Suspicion { loss, compared_with: good.id, cleared: None })
}

fn is_base(earlier: &RestorePoint, point: &RestorePoint) -> bool {
    let places = |point: &RestorePoint| {
        let mut places: Vec<PathBuf> = point.mounts.iter().map(|mount| mount.destination.clone()).collect();
        places.sort_unstable();
        places
    };
    earlier.id != point.id
        && earlier.origin != PointOrigin::Safety
        && !earlier.deleting
        && !earlier.is_suspect()
        && earlier.exclude == point.exclude
        && places(earlier) == places(point)
}

/// Files and bytes.
type Count = (u64, u64);

/// What can be compared: mount by mount where both points know that, else all in all.
fn pairs(point: &RestorePoint, good: &RestorePoint) -> Vec<(Option<PathBuf>, Count, Count)> {
    let of = |point: &RestorePoint, key: &MountKey| {
        let found = point.mount_sizes.iter().find(|size| size.key == *key);
        found.map(|size| (size.files, size.bytes))
    };
    let by_mount: Option<Vec<_>> = point
        .mounts
        .iter()
        .map(|mount| {
            let before = good.mounts.iter().find(|other| other.destination == mount.destination)?;
            Some((Some(mount.destination.clone()), of(point, &mount.key)?, of(good, &before.key)?))
        })
        .collect();
    by_mount.unwrap_or_else(|| vec![(None, in_all(point), in_all(good))])
}

/// The dumps that both points hold: one that is missing is told as that, and a new one has nothing to be compared with.
fn dumps<'a>(point: &'a RestorePoint, good: &'a RestorePoint) -> impl Iterator<Item = Loss> + 'a {
    point.dumps.iter().filter_map(|now| {
        let before = good.dumps.iter().find(|before| before.name == now.name)?;
        let (before, now, mount) = (before.bytes, now.bytes, Some(path_of(&now.name)));
        Some(Loss { mount, of: Measure::Bytes, before, now })
    })
}

/// The mounts' own folders are counted in a point's size, and are there however empty they are.
fn in_all(point: &RestorePoint) -> Count {
    (point.size.files.saturating_sub(point.mounts.len() as u64), point.size.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::restore_point::{MountSize, tests::point};

    /// A point whose mounts hold so many files and bytes.
    fn holding(number: u128, mounts: &[(&str, u64, u64)]) -> RestorePoint {
        let destinations: Vec<_> = mounts.iter().map(|(destination, ..)| *destination).collect();
        let mut point = point(number, &destinations);
        let sizes = mounts.iter().zip(&point.mounts);
        point.mount_sizes =
            sizes.map(|(&(_, files, bytes), mount)| MountSize { key: mount.key.clone(), files, bytes }).collect();
        point.size.files = mounts.iter().map(|(_, files, _)| files + 1).sum();
        point.size.bytes = mounts.iter().map(|(.., bytes)| bytes).sum();
        point
    }

    fn told(now: &RestorePoint, earlier: &[RestorePoint], below: SuspectBelow) -> Option<String> {
        suspicion(now, earlier, below).map(|suspicion| suspicion.loss.to_string())
    }

    #[test]
    fn a_point_is_suspect_by_what_it_lost() {
        type Mounts = &'static [(&'static str, u64, u64)];
        let half = SuspectBelow::default();
        let table: [(Mounts, Mounts, SuspectBelow, Option<&str>); 11] = [
            // As it was, grown, or shrunk within reason.
            (&[("/db", 10, 1000)], &[("/db", 10, 1000)], half, None),
            (&[("/db", 10, 1000)], &[("/db", 99, 9000)], half, None),
            (&[("/db", 10, 1000)], &[("/db", 5, 500)], half, None),
            // Shrunk too far, by bytes or by files.
            (&[("/db", 10, 1000)], &[("/db", 10, 499)], half, Some("`/db` holds 499 bytes, and held 1000 before")),
            (&[("/db", 10, 1000)], &[("/db", 4, 1000)], half, Some("`/db` holds 4 files, and held 10 before")),
            (
                &[("/db", 10, 1000)],
                &[("/db", 9, 1000)],
                SuspectBelow::Percent(100),
                Some("`/db` holds 9 files, and held 10 before"),
            ),
            // Off, but for what is empty now.
            (&[("/db", 10, 1000)], &[("/db", 1, 1)], SuspectBelow::Off, None),
            (
                &[("/db", 10, 1000)],
                &[("/db", 0, 0)],
                SuspectBelow::Off,
                Some("`/db` is empty, and held 10 files before"),
            ),
            (&[("/db", 0, 0)], &[("/db", 0, 0)], half, None),
            // A small mount beside a big one.
            (
                &[("/big", 10, 1 << 40), ("/db", 10, 1000)],
                &[("/big", 10, 1 << 40), ("/db", 10, 1)],
                half,
                Some("`/db` holds 1 bytes, and held 1000 before"),
            ),
            (
                &[("/big", 10, 10), ("/db", 10, 1000)],
                &[("/big", 4, 10), ("/db", 0, 0)],
                half,
                Some("`/db` is empty, and held 10 files before"),
            ),
        ];
        for (before, now, below, expected) in table {
            let told = told(&holding(2, now), &[holding(1, before)], below);
            assert_eq!(told.as_deref(), expected, "{before:?} -> {now:?} below {below}");
        }
    }

    #[test]
    fn without_sizes_by_mount_all_is_compared() {
        let strip = |mut point: RestorePoint| {
            point.mount_sizes.clear();
            point
        };
        let before = strip(holding(1, &[("/a", 10, 1000), ("/b", 10, 1000)]));
        let now = holding(2, &[("/a", 10, 1000), ("/b", 0, 0)]);
        assert_eq!(told(&now, std::slice::from_ref(&before), SuspectBelow::default()), None, "just half is left");
        let now = holding(2, &[("/a", 0, 0), ("/b", 0, 0)]);
        assert_eq!(told(&now, &[before], SuspectBelow::Off).as_deref(), Some("it is empty, and held 20 files before"));
    }

    #[test]
    fn only_a_good_and_like_point_is_compared_with() {
        let good = holding(1, &[("/db", 10, 1000)]);
        let poor = |change: fn(&mut RestorePoint)| {
            let mut point = holding(2, &[("/db", 0, 0)]);
            change(&mut point);
            point
        };
        let suspect = poor(|point| {
            let loss = Loss { mount: None, of: Measure::Files, before: 10, now: 0 };
            point.suspect = Some(Suspicion { loss, compared_with: point.id, cleared: None });
        });
        let mut others = holding(2, &[("/elsewhere", 0, 0)]);
        others.mount_sizes.clear();
        let now = holding(3, &[("/db", 0, 0)]);
        let passed_over = [
            suspect,
            poor(|point| point.origin = PointOrigin::Safety),
            poor(|point| point.deleting = true),
            poor(|point| point.exclude = vec!["*".into()]),
            others,
        ];
        for poor in passed_over {
            let found = suspicion(&now, &[good.clone(), poor.clone()], SuspectBelow::Off);
            assert_eq!(found.map(|suspicion| suspicion.compared_with), Some(good.id), "{poor:?}");
        }
        // Somebody said that it is as it should be.
        let cleared = poor(|point| {
            let loss = Loss { mount: None, of: Measure::Files, before: 10, now: 0 };
            let server = ServerName::parse("alpha").unwrap();
            let cleared = Some(Clearance { at: Timestamp::UNIX_EPOCH, server, by: None });
            point.suspect = Some(Suspicion { loss, compared_with: point.id, cleared });
        });
        assert_eq!(suspicion(&now, &[good, cleared], SuspectBelow::Off), None);
        assert_eq!(suspicion(&now, &[], SuspectBelow::default()), None, "the first point");
    }

    #[test]
    fn a_dump_that_shrank_counts() {
        let dumped = |number: u128, bytes: u64| {
            let mut point = holding(number, &[("/db", 10, 1000)]);
            let name = crate::domain::id::DumpName::parse("postgres.sql").unwrap();
            let elapsed = jiff::SignedDuration::ZERO;
            point.dumps = vec![crate::domain::restore_point::PointDump { name, bytes, preset: None, elapsed }];
            point
        };
        let half = SuspectBelow::default();
        assert_eq!(told(&dumped(2, 500), &[dumped(1, 1000)], half), None);
        let lost = "`dumps/postgres.sql` holds 499 bytes, and held 1000 before";
        assert_eq!(told(&dumped(2, 499), &[dumped(1, 1000)], half).as_deref(), Some(lost));
        let lost = "`dumps/postgres.sql` holds 0 bytes, and held 1000 before";
        assert_eq!(told(&dumped(2, 0), &[dumped(1, 1000)], SuspectBelow::Off).as_deref(), Some(lost));
        assert_eq!(told(&dumped(2, 1), &[holding(1, &[("/db", 10, 1000)])], half), None, "the first dump");
    }

    #[test]
    fn thresholds_parse_and_print_alike() {
        for (text, printed) in [("50", "50%"), ("50%", "50%"), ("1", "1%"), ("100%", "100%"), ("off", "off")] {
            assert_eq!(text.parse::<SuspectBelow>().unwrap().to_string(), printed);
        }
        for text in ["", "0", "101", "-1", "half", "%"] {
            assert!(text.parse::<SuspectBelow>().unwrap_err().reason().contains("`off`"), "{text}");
        }
    }
}
