//! What Dory needs of the outside world, one trait a file, each with its contract in its docs.

mod backup_engine;
mod catalog_store;
mod channels;
mod clock;
mod container_runtime;
mod doorbell;
mod notifier;

pub use backup_engine::*;
pub use catalog_store::*;
pub use channels::*;
pub use clock::*;
pub use container_runtime::*;
pub use doorbell::*;
pub use notifier::*;
