//! What the shell learns.

use std::process::ExitCode;

use dory_core::ErrorKind;
use dory_core::domain::command::Shortfall;

/// How a command ended. The numbers are part of the interface: `dory --help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All of it was done.
    Success = 0,
    /// It failed for a reason that has no code of its own.
    Failure = 1,
    /// The command line or a setting is wrong; nothing was touched.
    Usage = 2,
    /// It was done in part: some data is missing from the point or the restore.
    Incomplete = 3,
    /// A container, backup, point, path, bucket or store is not there.
    NotFound = 4,
    /// Somebody else has it, holds it, or it is there already.
    Conflict = 5,
    /// Credentials or permissions are missing.
    Denied = 6,
    /// The passphrase does not fit.
    WrongKey = 7,
    /// The store or the container engine cannot be reached, or took too long.
    Unavailable = 8,
    /// Stored data is damaged.
    Corrupt = 9,
    /// No space.
    Full = 10,
    /// This host, version or engine cannot do it.
    Unsupported = 11,
    /// A container that ran before does not run now.
    ContainerDown = 12,
    /// A command of the user's around the backup failed.
    HookFailed = 13,
    /// The point holds so much less than the one before that the source may have lost its data.
    Suspect = 14,
    /// Another server was asked, and did not begin: nobody looked in time, or somebody took it back.
    NotBegun = 15,
    /// It was interrupted, and ended in order.
    Interrupted = 130,
    /// Whoever read standard output had enough, as with `| head`.
    PipeClosed = 141,
}

impl Exit {
    /// The code for an error.
    #[must_use]
    pub fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::AlreadyExists | ErrorKind::Conflict => Self::Conflict,
            ErrorKind::InvalidInput => Self::Usage,
            ErrorKind::PermissionDenied => Self::Denied,
            ErrorKind::WrongKey => Self::WrongKey,
            ErrorKind::Unavailable | ErrorKind::TimedOut => Self::Unavailable,
            ErrorKind::Corrupt => Self::Corrupt,
            ErrorKind::Full => Self::Full,
            ErrorKind::Unsupported => Self::Unsupported,
            ErrorKind::Cancelled => Self::Interrupted,
            ErrorKind::Incomplete => Self::Incomplete,
            ErrorKind::ContainerDown => Self::ContainerDown,
            ErrorKind::HookFailed => Self::HookFailed,
            _ => Self::Failure,
        }
    }

    /// The code for what is not as it should be although all went to its end.
    #[must_use]
    pub fn of_shortfall(shortfall: &Shortfall) -> Self {
        match shortfall {
            Shortfall::LostData { .. } | Shortfall::GuardianLost { .. } => Self::Incomplete,
            Shortfall::Suspect => Self::Suspect,
            Shortfall::ContainerDown { .. } => Self::ContainerDown,
            Shortfall::HookFailed { .. } => Self::HookFailed,
        }
    }

    /// The worse of two, for a command that did several things: a container that is down before all else.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let rank = |exit: Self| match exit {
            Self::Success => 0,
            Self::Incomplete => 1,
            Self::Suspect => 2,
            Self::Interrupted => 4,
            Self::ContainerDown => 5,
            _ => 3,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The table in `dory --help`.
pub(crate) const HELP: &str = "\
Exit codes:
    0  done                             8  store or container engine out of reach
    1  failed                           9  stored data is damaged
    2  wrong command line or setting   10  no space
    3  done in part, data is missing   11  this host or version cannot do it
    4  something is not there          12  a container that ran does not run now
    5  somebody else has it            13  a hook or a dump failed
    6  credentials or permissions      14  the point is suspect: its source shrank
    7  the passphrase does not fit     15  the other server did not begin it
                                      130  interrupted, and ended in order
                                      141  nobody reads the output any more";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_that_help_lists() {
        for kind in ErrorKind::ALL {
            let code = Exit::of(kind) as u8;
            assert!(code != 0, "{kind:?}");
            assert!(HELP.contains(&format!(" {code}  ")), "{code} is not in the table");
        }
    }

    #[test]
    fn what_falls_short_on_another_server_counts_as_it_does_here() {
        let error = dory_core::Error::invalid("x", "", "y").to_record();
        let (warnings, reason) = (1, String::new());
        for (shortfall, code) in [
            (Shortfall::LostData { warnings }, 3),
            (Shortfall::GuardianLost { reason }, 3),
            (Shortfall::ContainerDown { error: error.clone() }, 12),
            (Shortfall::HookFailed { error }, 13),
            (Shortfall::Suspect, 14),
        ] {
            assert_eq!(Exit::of_shortfall(&shortfall) as u8, code, "{shortfall:?}");
        }
        assert!(HELP.contains(&format!(" {}  ", Exit::NotBegun as u8)));
    }

    #[test]
    fn a_container_that_is_down_is_worse_than_anything() {
        assert_eq!(Exit::NotFound.worse(Exit::ContainerDown), Exit::ContainerDown);
        assert_eq!(Exit::ContainerDown.worse(Exit::NotFound), Exit::ContainerDown);
        assert_eq!(Exit::Success.worse(Exit::Incomplete), Exit::Incomplete);
        assert_eq!(Exit::Incomplete.worse(Exit::Suspect), Exit::Suspect);
    }
}
