//! Real servers that tests talk to, found where `scripts/setup.sh` puts them and started on free loopback ports.

mod azurite;
mod fake_gcs;
mod seaweedfs;
mod shared;
mod smtp;
mod tools;
mod web_receiver;

pub use azurite::{AzureServer, azurite};
pub use fake_gcs::{FakeGcsServer, fake_gcs};
pub use seaweedfs::{S3Server, seaweedfs};
pub use smtp::{Letter, SmtpServer, smtp, smtp_at};
pub use tools::{TOOLS, find_tool};
pub use web_receiver::{WebReceiver, WebRequest};
