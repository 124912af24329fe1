//! Every implementation of a port, enrolled in the testkit's suite for it. One file an implementation.

#[cfg(feature = "object-store")]
mod catalog;
#[cfg(feature = "object-store")]
mod fake_gcs;
#[cfg(feature = "object-store")]
mod gcs_client;
