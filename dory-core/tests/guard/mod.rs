//! The guardian on a fake host with a fake clock: every trigger, every state it finds.

mod arming;
pub(crate) mod scene;
mod states;
mod triggers;
