//! One replica with its disk, in memory: what the golden scripts, the model checker and the
//! simulator run.
//!
//! [`node`] is the node: a disk, and the process that runs on it. The golden scripts and the model
//! checker run it with a machine of a few registers ([`machine`]) on a disk that holds exactly what
//! was synced ([`disk`]), the simulator with the product's machine and storage on a disk that fails
//! ([`faulty_disk`]). [`describe`] prints messages, records and entries.

pub mod describe;
pub mod disk;
pub mod faulty_disk;
pub mod machine;
pub mod node;
