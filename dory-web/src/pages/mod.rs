//! The pages, one file each: what is asked of the services, and how it is shown.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod backups;
pub(crate) mod containers;
pub(crate) mod delete;
pub(crate) mod edit;
pub(crate) mod files;
pub(crate) mod first;
pub(crate) mod health;
pub(crate) mod overview;
pub(crate) mod point;
pub(crate) mod policy;
pub(crate) mod restore;
pub(crate) mod retention;
pub(crate) mod runs;
pub(crate) mod servers;
pub(crate) mod sign_in;
pub(crate) mod users;
