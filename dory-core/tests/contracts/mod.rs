//! Every implementation of a port, enrolled in the testkit's suite for it. One file an implementation.

mod duplicity;
