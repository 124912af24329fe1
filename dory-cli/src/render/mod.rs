//! Words, numbers and tables for people.

pub(crate) mod backups;
pub(crate) mod commands;
pub(crate) mod dumps;
pub(crate) mod plans;
pub(crate) mod progress;
pub(crate) mod prune;
pub(crate) mod runs;
pub(crate) mod schedules;
pub(crate) mod table;
pub(crate) mod units;
