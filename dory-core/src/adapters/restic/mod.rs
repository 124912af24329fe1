//! restic's repository format, written and read in this process.
//!
//! `rustic_core` cuts, encrypts and packs; what touches folders is ours, because that is what Dory is judged by: the
//! walk that reads them (`source`), and the restore that writes them (`restore`). Repositories live in the same
//! object stores as the catalog (`backend`), and restic itself can read and write them.

mod backend;
mod backup;
mod browse;
mod dumps;
mod engine;
mod fetch;
mod freeze;
mod go_mode;
mod graft;
mod keep;
mod lock;
mod measured;
mod open;
mod packs;
mod progress;
mod prove;
mod repository;
mod restore;
mod seal;
mod soundness;
mod source;
mod translate;
mod trees;
mod warm;
mod with_dumps;

pub use engine::{Connect, ResticEngine};
