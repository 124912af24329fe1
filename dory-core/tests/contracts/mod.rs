//! Every implementation of a port, enrolled in the testkit's suite for it. One file an implementation.

mod agent;
#[cfg(feature = "object-store")]
mod catalog;
#[cfg(feature = "object-store")]
mod client_objects;
mod clocks;
#[cfg(feature = "docker")]
mod docker;
#[cfg(feature = "duplicity")]
mod duplicity;
#[cfg(feature = "email")]
mod email;
mod fake_catalog;
mod fake_doorbell;
mod fake_engine;
#[cfg(feature = "object-store")]
mod fake_gcs;
mod fake_notifier;
mod fake_runtime;
#[cfg(feature = "object-store")]
mod gcs_client;
#[cfg(feature = "restic")]
mod restic;
#[cfg(feature = "webhook")]
mod webhook;
