//! Backup for Docker volumes, as a library: stops the containers that use a volume for as short a time as can be, backs
//! the volume up from a helper container, starts everything again whatever happens, and keeps its catalog in the same
//! store as the data. The `dory` command is a thin frontend over this crate.
//!
//! # A backup, and the data back
//!
//! [`services::Dory`] is one server of a fleet and has a method for each thing that can be done: `plan_*` computes and
//! touches nothing, `run_*` does. Here it works on the testkit's fakes, so that the example needs no Docker:
//!
//! ```
//! use dory_core::Result;
//! use dory_core::services::{BackupRequest, Cancel, RestoreChoice, RunEvents};
//! use dory_testkit::World;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let world = World::new();
//! world.database("shop-db");
//! let dory = world.dory();
//!
//! let request = BackupRequest { container: "shop-db".to_owned(), ..BackupRequest::default() };
//! let plan = dory.plan_backup(&request).await?;
//! assert_eq!(plan.quiet[0].name.as_str(), "shop-db");
//!
//! let before = world.files("shop-db-data");
//! let report = dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await?;
//! assert!(report.containers_down.is_none() && !report.point.lost_data());
//!
//! world.wreck("shop-db-data");
//! dory.run_restore(&RestoreChoice::newest_of("shop-db"), &Cancel::new(), &RunEvents::ignored()).await?;
//! world.assert_files("shop-db-data", &before);
//! # Ok(())
//! # }
//! ```
//!
//! # With a real engine and a real store
//!
//! [`bootstrap`] brings the real parts together from [`config::Settings`]. The library itself reads no environment and
//! no files of settings; where values come from is the embedding program's business:
//!
//! ```no_run
//! use dory_core::config::Settings;
//! use dory_core::domain::id::RunId;
//! use dory_core::services::{BackupRequest, Cancel, RunEvents};
//! use dory_core::{Result, agent, bootstrap};
//!
//! #[tokio::main]
//! async fn main() -> Result<()> {
//!     // Helpers run this very program next to the data: this is all that they need of it.
//!     let words: Vec<String> = std::env::args().skip(1).collect();
//!     match words.as_slice() {
//!         [word] if word == agent::COMMAND => {
//!             return bootstrap::serve_agent(tokio::io::stdin(), tokio::io::stdout()).await;
//!         }
//!         [word, run] if word == agent::guard::COMMAND => {
//!             let run = RunId::parse(run)?;
//!             let end = bootstrap::guard(run, "/".into(), tokio::io::stdin(), tokio::io::stdout()).await?;
//!             std::process::exit(end.code().into());
//!         }
//!         _ => {}
//!     }
//!     let settings = Settings::resolve(|variable| Ok(std::env::var(variable).ok()), "host-1")?;
//!     let dory = bootstrap::connect_for_backup(settings).await?;
//!     let request = BackupRequest { container: "shop-db".to_owned(), ..BackupRequest::default() };
//!     let report = dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await?;
//!     println!("{} holds {} bytes", report.point.id, report.point.size.bytes);
//!     Ok(())
//! }
//! ```
//!
//! # Parts of your own
//!
//! Everything outside is behind a trait of [`ports`]: [`ContainerRuntime`](ports::ContainerRuntime),
//! [`BackupEngine`](ports::BackupEngine), [`CatalogStore`](ports::CatalogStore), [`Notifier`](ports::Notifier),
//! [`Channels`](ports::Channels), [`Doorbell`](ports::Doorbell), [`Clock`](ports::Clock). [`Dory::new`](services::Dory::new) takes any of them. The docs of each trait are its contract,
//! and `dory-testkit` holds every implementation to it, yours too: one line enrols it.
//!
//! # Where to read on
//!
//! [`domain`] has the words and the rules, [`ports`] what Dory needs of the outside, [`services`] the use cases,
//! [`agent`] what runs next to the data, [`adapters`] Docker, restic's format, duplicity, object stores, mail and webhooks, each behind
//! a feature of its name. Everything fails with one [`Error`]: its [`ErrorKind`] says what a program can do about it,
//! its text and hint what a person can.

pub mod domain;
pub mod ports;
pub mod services;

pub mod fleet;
#[cfg(feature = "source")]
mod source;

pub mod agent;

pub mod adapters;
#[cfg(all(
    feature = "docker",
    feature = "duplicity",
    feature = "email",
    feature = "object-store",
    feature = "restic",
    feature = "webhook"
))]
pub mod bootstrap;
pub mod config;

pub mod error;

pub use error::{Error, ErrorKind, ErrorRecord, Result};
