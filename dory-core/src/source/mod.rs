//! Folders as engines read them, whatever they make of them.
//!
//! Folders are walked by their file descriptors, so that nobody who swaps a folder for a link can lead the walk
//! elsewhere. A [`Walk`] gives every inode once, with everything still running. A [`Capture`] looks at all of them
//! as fast as it can, while containers stand still, and tells by a [`Manifest`] of what was read before which files
//! changed since; a [`Frozen`] source keeps what those hold aside in [`Scratch`], so that containers can go on.

#![cfg_attr(
    not(all(feature = "duplicity", feature = "restic")),
    allow(dead_code, unused_imports, reason = "each of the two engines uses its part of it")
)]

mod blocks;
mod capture;
mod cold_copy;
mod exclude;
mod folder;
mod frozen;
mod inode;
mod manifest;
mod mirror;
mod mounts;
mod notes;
mod scratch;
mod settled;
mod sparse;
mod walk;

pub(crate) use blocks::BlockHasher;
pub(crate) use capture::{Capture, Captured, Changed, Contents};
pub(crate) use cold_copy::{ColdCopy, probe_clones};
pub(crate) use exclude::Excludes;
pub(crate) use folder::names;
pub(crate) use frozen::{Frozen, FrozenFile, Memory, Step, UnchangedFile};
pub(crate) use inode::{Attributes, Look, Moment, Place};
pub(crate) use manifest::Manifest;
pub(crate) use mirror::{Mirror, Update};
pub(crate) use mounts::Mounts;
pub(crate) use notes::{Ended, Notes};
pub(crate) use scratch::Scratch;
pub(crate) use sparse::SparseFile;
pub(crate) use walk::{Found, Walk};
