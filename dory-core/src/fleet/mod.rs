//! What a long-running server does: it owns its name, shows that it lives, and runs what is due.
//!
//! [`Server`] holds the loops together. Any number of servers share a store; what only one of them may do is behind a
//! fenced [lease](crate::domain::lease::Lease).

mod carry_out;
mod due;
mod gate;
mod host;
mod lease;
mod live_run;
mod mailbox;
mod ownership;
mod reporter;
mod scheduler;
mod server;
mod stocktaker;
mod under_way;

pub use gate::SchedulerLimits;
pub use mailbox::MailboxNews;
pub use reporter::ReporterNews;
pub use scheduler::SchedulerNews;
pub use server::{Server, ServerNews, ServerOptions};
