//! What a report says, and what is told at once: pure rules over a fleet that is made up.

mod bench;
mod changing;
mod documents;
mod drawing_up;
