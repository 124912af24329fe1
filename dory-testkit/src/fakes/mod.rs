//! In-memory and on-disk doubles of every port, stricter than the real things.
