//! restic's repository format.
