//! The use cases, on fakes of every port: real files in temporary folders, no Docker, no store.

mod adopting;
mod backing_up;
mod bench;
mod catalog_calls;
mod damaged;
mod dumping;
mod dumps_loaded;
mod engine_options;
mod freezing;
mod guarded;
mod half_restored;
mod hooks;
mod looking_round;
mod meanwhile;
mod order;
mod pinging;
mod pruning;
mod restoring;
mod setting;
mod settling;
mod side_by_side;
mod suspecting;
mod sweep;
mod undoing;
