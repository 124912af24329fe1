//! The duplicity program.
