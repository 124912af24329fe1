//! Which times of change can be believed.

use rustix::fs::{OFlags, fstatfs, syncfs};

use super::inode::{Look, Moment, Place};

/// How old a file's last change must be for the next backup to trust that its times would have told of another.
/// File systems stamp with a clock of some milliseconds' grain; those of other hosts have a clock of their own.
const RECENT_SECONDS: i64 = 1;

/// How much older than the start of a pass: the same, with room for clocks that are set a little.
const MARGIN_SECONDS: i64 = 2;

/// File systems that move a file's times on when it is written by way of a mapping: ext4 (and 2, 3), XFS, btrfs.
///
/// tmpfs does not; network file systems do it when it suits them; those in user space, overlays and ZFS may or may not.
const TELLING: [u64; 3] = [0xef53, 0x5846_5342, 0x9123_683e];

/// Whether a file whose times are the same as before is the same as before.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Settled {
    /// If its last change was a while before it was looked at.
    UnlessRecent,
    /// If its last change was before this moment.
    Before(Moment),
    /// It may be another all the same.
    Never,
}

impl Settled {
    /// The rule for a pass over what is running, which begins now.
    ///
    /// A page that is mapped for writing moves the file's times on when it is first written, and not again until it
    /// was written back: so all that is dirty is written back first. What is written from the beginning of that on
    /// moves the times to a moment past it.
    pub(crate) fn for_pass(place: &Place) -> Self {
        let begun = Moment::now();
        let told = place.open(OFlags::empty()).and_then(|inode| {
            let telling = TELLING.contains(&u64::try_from(fstatfs(&inode)?.f_type).unwrap_or(0));
            if telling {
                syncfs(&inode)?;
            }
            Ok(telling)
        });
        match told {
            Ok(true) => Self::Before(Moment { seconds: begun.seconds - MARGIN_SECONDS, ..begun }),
            _ => Self::Never,
        }
    }

    /// Whether the times of this would tell of any change since.
    pub(crate) fn covers(self, look: &Look) -> bool {
        match self {
            Self::UnlessRecent => look.changed.seconds + RECENT_SECONDS < Moment::now().seconds,
            Self::Before(moment) => look.changed < moment,
            Self::Never => false,
        }
    }
}
