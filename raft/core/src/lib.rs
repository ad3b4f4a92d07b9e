//! The Raft core: no clock, no thread, no socket, no file.
