//! Servers on one host's fakes and one store: who owns a name, what runs when.

mod bench;
mod broken_off;
mod commanding;
mod formats;
mod outcomes;
mod owning;
mod queueing;
mod scheduling;
mod showing;
mod telling;
mod telling_once;
mod turns;
