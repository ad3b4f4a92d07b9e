//! One node of a small cluster, for those who tell its messages and disks apart one by one: the
//! golden scripts and the model checker.
//!
//! The node is the product's. Its machine is a few registers ([`machine`]), its disk holds in
//! memory exactly what was synced ([`disk`]), and [`host`] is the process that runs it.
//! [`describe`] puts all of it into few words.

pub mod describe;
pub mod disk;
pub mod host;
pub mod machine;
