//! What a long-running server does: it owns its name, shows that it lives, and runs what is due.
//!
//! [`Server`] holds the loops together. Any number of servers share a store; what only one of them may do is behind a
//! fenced [lease](crate::domain::lease::Lease).

mod due;
mod lease;
mod mailbox;
mod ownership;
mod progress;
mod scheduler;
mod server;
mod stocktaker;

pub use mailbox::MailboxNews;
pub use scheduler::{SchedulerLimits, SchedulerNews};
pub use server::{Server, ServerNews, ServerOptions};
