//! Short programs that embed `dory-core`: each file of `src/bin` is one, and `cargo run -p dory-examples --bin <name>` runs it.
