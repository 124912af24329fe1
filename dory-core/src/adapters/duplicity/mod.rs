//! The duplicity program as a backup engine.
//!
//! Dory runs the real program and reads its log for machines; what it stores is a plain duplicity repository, which
//! `duplicity restore` reads without Dory. A snapshot's id is duplicity's own time of the set: `20261123T044749Z`.
//!
//! # What is in a repository
//! One collection of backup sets, in chains: a full set, and incremental ones that each need all before them. A mount
//! is the folder of its key at the top. Beside it, with file prefix `dory-`, lies a tiny collection of Dory's own,
//! which proves the key and tells each set's moment, mounts and words (`book.rs`). Plain duplicity passes it over.
//!
//! A snapshot can be forgotten with those that come after it in its chain, and not without them.
//!
//! # What duplicity cannot keep
//! - Hard links come back as separate files, holes as zeros on disk; extended attributes, access lists and file
//!   capabilities are lost; sockets are left out (a warning tells).
//! - Times come back in whole seconds; those of symbolic links not at all.
//! - It compares times (in seconds), owners and modes to find what changed, and neither sizes nor contents: a program
//!   that changes a file and sets its time back escapes it.
//! - It does not tell sizes, modes and owners when it lists a set's files.
//!
//! # What it needs
//! duplicity 3 (tried with 3.2.1) with gpg and gpg-agent; boto3 for S3 and for Google's interoperability keys; rclone
//! for Google service accounts, and to count or delete files in any cloud. Dory's image has all of them. Stores in
//! Azure are out of its reach: duplicity's own backend needs more than the image has, and rclone's is untried.

mod ahead;
mod backup;
mod book;
mod child;
mod collection;
mod command;
mod dumps;
mod exit;
mod files;
mod log;
mod look;
mod names;
mod open;
mod options;
mod repository;
mod restore;
mod scan;
mod session;
mod settings;
mod shelf;
mod stage;
mod target;
mod told;
mod upkeep;
mod verify;

pub use open::DuplicityEngine;
pub use settings::DuplicitySettings;
