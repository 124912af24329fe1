//! The use cases, on fakes of every port: real files in temporary folders, no Docker, no store.

mod backing_up;
mod bench;
mod catalog_calls;
mod damaged;
mod engine_options;
mod freezing;
mod looking_round;
mod restoring;
mod side_by_side;
mod sweep;
