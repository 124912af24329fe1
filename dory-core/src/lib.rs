//! Backup for Docker volumes, as a library.

pub mod adapters;
pub mod agent;
pub mod domain;
pub mod error;
pub mod ports;
pub mod services;

pub use error::{Error, ErrorKind, ErrorRecord, Result};
