//! Servers on one host's fakes and one store: who owns a name, what runs when.

mod bench;
mod commanding;
mod formats;
mod owning;
mod scheduling;
mod telling;
mod telling_once;
