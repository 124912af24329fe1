//! Plain data and pure rules: no I/O, no async, no clock.

pub mod backup;
pub mod command;
pub mod container;
pub mod entry_path;
pub mod event;
pub mod fleet;
pub mod guard;
pub mod hook;
pub mod id;
pub mod identity;
pub mod keep_rules;
pub mod keys;
pub mod lease;
pub mod order;
pub mod patience;
pub mod plan;
pub mod point_name;
pub mod policy;
pub mod restore_point;
pub mod retention;
pub mod run;
pub mod schedule;
pub mod secret;
pub mod server;
pub mod store_url;
pub mod suspect;
