//! What runs inside a helper, and the line to it.
//!
//! A helper is a short-lived container that mounts the volumes and runs `dory agent`: the engine works there, next to
//! the data, and nothing else of Dory does. The host talks to it over the helper's standard input and output, in
//! the frames of [`protocol`]. [`serve`] is the helper's side; [`RemoteEngine`] the host's, a
//! [`BackupEngine`](crate::ports::BackupEngine) like any other, so services never know where an engine runs.
//!
//! Another helper runs `dory guard`: see [`guard`].

pub(crate) mod bring_back;
pub mod guard;
mod inflow;
pub(crate) mod needs;
pub mod protocol;
mod remote;
mod serve;

/// The argument that a helper runs this program with: whoever embeds the crate calls
/// [`bootstrap::serve_agent`](crate::bootstrap::serve_agent) when the program is started so.
pub const COMMAND: &str = "agent";

pub use remote::{AgentConnection, RemoteEngine};
pub use serve::{AgentOptions, serve};
