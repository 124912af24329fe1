//! Dory's web pages and their programming interface, a thin adapter over `dory-core`.
//!
//! [`Web`] is a function of a [`Dory`](dory_core::services::Dory) and [`WebOptions`]. Every route stands in one table
//! (`routes.rs`) with the role it needs; `gate.rs` is the only way to a handler, so nothing can be reached past it.
//! Pages are rendered here and work without scripts; what takes time is a job that survives the browser.

mod accounts;
mod actions;
mod api;
mod ask;
mod assets;
mod attempts;
mod error;
mod fields;
mod gate;
mod idempotency;
mod jobs;
mod look;
mod options;
mod pages;
mod routes;
mod server;
mod sessions;
mod state;
mod stream;
mod text;
mod views;
mod web;

pub use options::{ProxyTrust, TlsFiles, WebOptions, variable};
pub use routes::{Need, RouteInfo, routes};
pub use server::{Peer, WebNews};
pub use web::Web;
