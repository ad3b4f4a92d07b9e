//! One replica with its disk, in memory: what the golden scripts, the model checker and the
//! simulator run.
//!
//! The golden scripts and the model checker use a machine of a few registers ([`machine`]) on a
//! disk that holds exactly what was synced ([`disk`]); [`host`] is the process that runs it. The
//! simulator uses the product's machine and storage on a disk that breaks ([`faulty_disk`]).
//! [`describe`] prints messages, records and entries.

pub mod describe;
pub mod disk;
pub mod faulty_disk;
pub mod host;
pub mod machine;
