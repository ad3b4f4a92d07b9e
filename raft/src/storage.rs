//! What a node keeps on disk: its log, which includes its ballot, and its snapshots.
//!
//! A folder belongs to one node of one cluster, and to one process at a time:
//!
//! ```text
//! identity                     the owner of the folder
//! lock                         empty; the running node holds a lock on it
//! log-00000000000000000007     segments of the log: older ones are sealed,
//! log-00000000000000000008     the newest one is written to
//! snapshot-INDEX-TERM          the state after that entry, where the log begins
//! NAME.new                     being written; counts once it is renamed to NAME
//! ```
//!
//! ```text
//!            a segment of the log                         a frame, one for each batch
//!  ┌──────┬──────┬───────┬───────┬─────────┐   ┌──────┬─────────────────────────┬─────┬──────┐
//!  │ head │ seal │ frame │ frame │ 0 0 0 … │   │ head │ ballot │ entry │ entry  │ CRC │ end! │
//!  └──────┴──────┴───────┴───────┴─────────┘   └──────┴─────────────────────────┴─────┴──────┘
//!   ballot, base   one after      the file's     number, length, how far the segment was
//!   and last entry another        length stays   synced, the CRC of the previous frame
//! ```
//!
//! In reading order:
//!
//! | module | content |
//! |---|---|
//! | [`disk`] | the few disk operations that everything uses; real files and memory |
//! | `record`, `frame`, `segment` | the bytes of the log, from small to large |
//! | `outline` | the effect of each record on the log |
//! | `wal` | repairing the end of a log, and writing: one frame and one sync per batch |
//! | `snapshot` | the bytes of a snapshot; storing, reading |
//! | `scan` | reading a log, and rejecting what no crash can have left |
//! | `recover` | opening a folder: creating it, or scanning and resuming its log |
//! | `check` | the same for `raft log` |
//! | `maintenance` | the next segment, made ahead of need; removal of what a base covers |
//! | `folder`, `identity`, `error`, `crc`, `bytes` | what all of them use |
//!
//! `docs/STORAGE.md` describes every byte, and the recovery from a crash at any point.

mod bytes;
mod check;
mod crc;
pub mod disk;
mod error;
mod folder;
mod frame;
mod identity;
mod maintenance;
mod outline;
mod record;
mod recover;
mod scan;
mod segment;
mod snapshot;
mod wal;

pub use self::check::{Verdict, check};
pub use self::crc::{Crc, crc32c};
pub use self::error::{Error, ErrorKind, Refusal};
pub use self::identity::{Cluster, Identity, name_order};
pub use self::maintenance::Maintenance;
pub use self::recover::{
    Opened, Recovered, Restored, SEGMENT_BYTES, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, open, owner,
};
pub use self::snapshot::{OpenSnapshot, SnapshotFile, SnapshotRefusal, Snapshots, WHOLE};
pub use self::wal::Log;
