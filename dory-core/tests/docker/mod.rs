//! The Docker adapter against a real engine: what only Docker can show, beside the port's contract.

pub(crate) mod bench;
mod confinement;
mod connection;
mod endings;
mod killed;
mod packed;
mod proxy;
mod tls;
