//! Settings: names, and how their values make one coherent whole. Where values come from is the frontend's business.

mod settings;
pub mod variable;

pub use settings::{DockerChoice, Settings};
