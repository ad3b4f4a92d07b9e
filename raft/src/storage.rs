//! What a node keeps on disk: its log, with its ballot, and its snapshots.
//!
//! A folder belongs to one node of one cluster, and to one process at a time:
//!
//! ```text
//! identity                     whose folder it is
//! lock                         empty; whoever runs the node holds it
//! log-00000000000000000007     segments of the log: older ones are sealed,
//! log-00000000000000000008     the newest one is written to
//! snapshot-INDEX-TERM          the state after that entry, where the log begins
//! NAME.new                     is being written; nothing until it gets its name
//! ```
//!
//! ```text
//!            a segment of the log                         a frame, one for each batch
//!  ┌──────┬──────┬───────┬───────┬─────────┐   ┌──────┬─────────────────────────┬─────┬──────┐
//!  │ head │ seal │ frame │ frame │ 0 0 0 … │   │ head │ ballot │ entry │ entry  │ CRC │ end! │
//!  └──────┴──────┴───────┴───────┴─────────┘   └──────┴─────────────────────────┴─────┴──────┘
//!   ballot, base   one behind     the file's     number, length, what was synced before,
//!   and last entry another        length stays   the CRC of the frame before
//! ```
//!
//! Read the rooms in this order:
//!
//! | room | what lives there |
//! |---|---|
//! | [`disk`] | the few calls that all goes through; real files, memory, and a disk that breaks |
//! | `record`, `frame`, `segment` | the bytes of the log, from small to large |
//! | `outline` | what each record does to the log |
//! | `wal` | writing: one frame and one sync for each batch |
//! | `snapshot` | the bytes of a snapshot; storing, reading |
//! | `scan` | reading a log, and refusing what no crash can have left |
//! | `recover` | opening a folder: scan, repair, resume |
//! | `check`, `command` | the same for people: `raft log` |
//! | `folder`, `identity`, `error`, `crc`, `bytes` | what they all use |
//!
//! `docs/STORAGE.md` has every byte, and what recovery makes of every point at which a crash may
//! come.

mod bytes;
mod check;
mod crc;
pub mod disk;
mod error;
mod folder;
mod frame;
mod identity;
mod outline;
mod record;
mod recover;
mod scan;
mod segment;
mod snapshot;
mod volatile;
mod wal;

pub use self::check::{Verdict, check};
pub use self::crc::{Crc, crc32c};
pub use self::error::{Error, ErrorKind};
pub use self::identity::Identity;
pub use self::recover::{Opened, Options, Recovered, Restored, open};
pub use self::snapshot::{Broken, MAX_SNAPSHOT, SnapshotFile, Snapshots};
pub use self::volatile::VolatileLog;
pub use self::wal::Log;

/// The version of all files. A folder with a higher one is refused.
const FORMAT: u32 = 1;
