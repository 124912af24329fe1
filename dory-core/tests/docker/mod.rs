//! The Docker adapter against a real engine: what only Docker can show, beside the port's contract.

pub(crate) mod bench;
