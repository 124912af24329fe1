//! The outside things that implement the ports, one folder each, each behind a Cargo feature.
//!
//! Adapters import neither services nor each other; `bootstrap` brings them together.

#[cfg(feature = "docker")]
pub mod docker;
#[cfg(feature = "duplicity")]
pub mod duplicity;
#[cfg(feature = "email")]
pub mod email;
#[cfg(feature = "object-store")]
pub mod object_store;
#[cfg(feature = "restic")]
pub mod restic;
#[cfg(feature = "webhook")]
pub mod webhook;
