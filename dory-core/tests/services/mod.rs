//! The use cases, on fakes of every port: real files in temporary folders, no Docker, no store.

mod backing_up;
mod bench;
mod catalog_calls;
mod freezing;
mod hooks;
mod order;
mod restoring;
mod side_by_side;
mod suspecting;
mod sweep;
mod undoing;
