//! A Raft node: key-value machine, wire format, hosts and the binary.
