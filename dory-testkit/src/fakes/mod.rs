//! In-memory and on-disk doubles of every port, stricter than the real things.
//!
//! Each double is a cheap handle: clones share one state, so a test keeps one clone to script and look at, and hands
//! another to the code under test as `Arc<dyn Port>`. What a double does is written down in a [`Journal`], which
//! several doubles may share so that the order of calls across ports can be asserted.

mod catalog;
mod channels;
mod clock;
mod doorbell;
mod engine;
mod journal;
mod notifier;
mod runtime;

pub use catalog::MemoryCatalog;
pub use channels::FakeChannels;
pub use clock::{FakeClock, Ticker};
pub use doorbell::FakeDoorbell;
pub use engine::FakeEngine;
pub use journal::{Call, CallOutcome, Journal};
pub use notifier::FakeNotifier;
pub use runtime::{
    ContainerBuilder, ExecReply, ExecScript, FakeRuntime, HelperIo, HelperProgram, HelperView, Killed, WriterTurn,
};
