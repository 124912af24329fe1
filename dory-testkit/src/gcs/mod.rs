//! A stand-in for Google Cloud Storage: its XML API, strict about what matters to Dory.
//!
//! It checks `GOOG4-HMAC-SHA256` and `AWS4-HMAC-SHA256` signatures, honours generation preconditions on every write,
//! gives strictly growing generations, pages its lists, and can be told to misbehave. It takes path-style addresses,
//! keeps objects in memory, and is reached by any process that can reach its port: in a test through [`GcsServer`],
//! elsewhere through the `gcs-server` binary.

mod admin;
mod answer;
mod bucket_calls;
mod call;
mod checksum;
mod config;
mod faults;
mod ledger;
mod listing;
mod multipart_calls;
mod object_calls;
mod server;
mod signature;
mod state;
mod who;

pub use config::{AccessKey, GcsConfig};
pub use faults::{Fault, FaultRule};
pub use ledger::Counts;
pub use server::GcsServer;
