//! Every implementation of a port, enrolled in the testkit's suite for it. One file an implementation.

#[cfg(feature = "object-store")]
mod catalog;
mod clocks;
mod fake_catalog;
mod fake_doorbell;
mod fake_engine;
#[cfg(feature = "docker")]
mod docker;
#[cfg(feature = "restic")]
mod restic;
