//! The promises of each port as tests, for every implementation to enrol in.
//!
//! A suite is a module of `pub async fn promise(subject: Subject)` and a macro that expands to a module with one named
//! test per promise. The macro's second argument is an async expression that gives `Option<Subject>`: `None` where
//! the real thing is not on this machine, which [`live`](crate::live) prints, and refuses where it is required.

pub mod backup_engine;
pub mod catalog_store;
pub mod clock;
pub mod container_runtime;
pub mod doorbell;
pub mod notifier;
pub mod objects;
