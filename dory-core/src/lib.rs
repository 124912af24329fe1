//! Backup for Docker volumes, as a library.

pub mod adapters;
pub mod agent;
#[cfg(all(feature = "docker", feature = "duplicity", feature = "object-store", feature = "restic"))]
pub mod bootstrap;
pub mod config;
pub mod domain;
pub mod error;
pub mod ports;
pub mod services;

pub use error::{Error, ErrorKind, ErrorRecord, Result};
