//! A node's folder: written by a history, spoiled, and opened again.
//!
//! An input is a tape of bytes from which the history and the damage are read; a tape that has
//! ended says 0, which is the least damage. What must come back depends on what was done to the
//! folder:
//!
//! | damage | what opening may say |
//! |---|---|
//! | none, or the disk failed during an earlier start | all that was acknowledged |
//! | single bits | all that was acknowledged, or an error |
//! | anything without new CRCs: cut, filled with zeros, exchanged, removed, doubled | a state that once was, or an error |
//! | anything, with new CRCs | a state that makes sense, or an error |
//!
//! Always: `check` says the same as opening does, an error leaves every file as it is, and what was
//! opened once can be written to and opens again as it was left.

mod damage;
mod history;
mod tape;

use std::io;
use std::sync::Arc;

use raft::storage::disk::{Disk, Memory};
use raft::storage::{self, Error, ErrorKind, Identity, Opened, Options, Verdict, check};
use raft_core::{Entry, Payload, Record, Wal as _};
use rand::Rng;

use self::damage::{Damage, Files, Kind};
use self::history::{History, State};
use self::tape::Tape;
use super::{Seen, Target, demand};
use crate::replica::faulty_disk::{FaultyDisk, Tear};

/// Folders of nodes.
pub(super) struct Storage;

/// Short segments, so that a short history has many.
const OPTIONS: Options = Options {
    segment_bytes: Options::SEGMENT_BYTES_MIN,
};

impl Target for Storage {
    fn name(&self) -> &'static str {
        "storage"
    }

    fn about(&self) -> &'static str {
        "folders of nodes, spoiled: refused, or nothing that was acknowledged is missing; check says the same"
    }

    /// All kinds of errors but the one that takes a command of 128 MiB.
    fn classes(&self) -> &'static [&'static str] {
        &[
            "as it was",
            "as it once was",
            "forged, and it makes sense",
            "torn",
            "flipped bits",
            "disk",
            "full",
            "locked",
            "foreign",
            "newer",
            "damaged",
            "missing",
            "impossible",
            "stopped",
        ]
    }

    fn draw(&self, rng: &mut Rng) -> Vec<u8> {
        let length = rng.range(8..=96);
        (0..length).map(|_| rng.next_u64() as u8).collect()
    }

    fn check(&self, input: &[u8], seen: &mut Seen) -> Result<(), String> {
        let mut tape = Tape::new(input);
        let disk = Memory::new();
        let history = History::perform(&mut tape, &disk);
        let before = damage::files(&disk);
        let mut after = before.clone();
        let damage = Damage::inflict(&mut tape, &mut after);
        let told = |law: String| format!("{law}\n  {damage}\n  behind {history}");
        if damage.kind == Kind::None && tape.chance(1, 2) {
            return failing(&mut tape, &before, &history, seen).map_err(told);
        }
        reopen(&after, &damage, &history, seen).map_err(told)
    }
}

fn identity() -> Identity {
    Identity::new("n1", ["n1", "n2", "n3"])
}

fn open(disk: &(impl Disk + Clone + 'static)) -> Result<Opened<String>, Error> {
    storage::open(Arc::new(disk.clone()), &identity(), OPTIONS)
}

/// Opens a spoiled folder and holds what comes of it to the laws.
fn reopen(
    files: &Files,
    damage: &Damage,
    history: &History,
    seen: &mut Seen,
) -> Result<(), String> {
    let disk = damage::disk(files);
    let verdict = check::<String>(Arc::new(disk.clone()), true, &mut io::sink());
    let verdict = verdict.map_err(|error| error.to_string())?;
    let unchanged = || damage::files(&disk) == *files;
    demand(unchanged(), || "the check changes files".to_owned())?;
    let mut opened = match open(&disk) {
        Ok(opened) => opened,
        Err(error) => {
            seen.note(class(error.kind()));
            demand(damage.kind != Kind::None, || {
                format!("a sound folder is refused: {error}")
            })?;
            demand(unchanged(), || format!("{error}, and files have changed"))?;
            return demand(
                verdict.as_ref().err().map(ToString::to_string) == Some(error.to_string()),
                || format!("opening says {error}, the check {verdict:?}"),
            );
        }
    };
    let recovered = &opened.recovered;
    let expected = match recovered.torn {
        0 => Verdict::Sound,
        bytes => Verdict::Torn(bytes),
    };
    // Where there is nothing any more, opening makes a new folder.
    demand(
        verdict
            .as_ref()
            .is_ok_and(|said| *said == expected || *said == Verdict::New),
        || format!("opening says {expected:?}, the check {verdict:?}"),
    )?;
    if recovered.torn > 0 {
        seen.note("torn");
    }
    let state = State::of(recovered);
    let last = history.last();
    match damage.kind {
        Kind::None | Kind::Bits => {
            demand(state == last, || {
                format!("{last:?} was acknowledged, and {state:?} came back")
            })?;
        }
        Kind::Structure => {
            demand(history.once(&state), || {
                format!("{state:?} came back, which never was")
            })?;
        }
        Kind::Forged => state.makes_sense()?,
    }
    seen.note(match damage.kind {
        Kind::Bits => "flipped bits",
        _ if state == last => "as it was",
        Kind::None | Kind::Structure => "as it once was",
        Kind::Forged => "forged, and it makes sense",
    });
    go_on(&mut opened, state, seen).and_then(|expected| {
        drop(opened);
        match open(&disk) {
            Ok(again) => demand(
                State::of(&again.recovered) == expected && again.recovered.torn == 0,
                || format!("{expected:?} was left, and {:?} found", again.recovered),
            ),
            Err(error) => Err(format!("it was opened once, and then: {error}")),
        }
    })
}

/// Writes to a folder that was opened, first something sound and then something that can't be.
/// Returns the state behind that.
fn go_on(opened: &mut Opened<String>, mut state: State, seen: &mut Seen) -> Result<State, String> {
    let last = state.last();
    if last.index.0 >= u64::MAX - 2 {
        return Ok(state);
    }
    let entry = |offset| Entry {
        id: raft_core::EntryId {
            term: last.term,
            index: raft_core::Index(last.index.0 + offset),
        },
        payload: Payload::Command(Arc::new("more".to_owned())),
    };
    let more: Record<String> = Record::Entries(vec![entry(1)]);
    let written = opened.log.append_and_sync(std::slice::from_ref(&more));
    written.map_err(|error| format!("it was opened, and then: {error}"))?;
    state.apply(&more);
    for expected in [ErrorKind::Impossible, ErrorKind::Stopped] {
        let gap = opened
            .log
            .append_and_sync(&[Record::Entries(vec![entry(3)])]);
        let kind = gap.map_err(|error| error.kind());
        demand(kind == Err(expected), || {
            format!("a gap is written: {kind:?} instead of {expected:?}")
        })?;
        seen.note(class(expected));
    }
    Ok(state)
}

/// Opens a sound folder on a disk that fails meanwhile, and then on one that is well again.
fn failing(
    tape: &mut Tape,
    files: &Files,
    history: &History,
    seen: &mut Seen,
) -> Result<(), String> {
    let disk = FaultyDisk::new(tape.below(256));
    let written = damage::write(&disk, files);
    written.map_err(|error| format!("the disk is well: {error}"))?;
    let others = match tape.below(4) {
        0 => {
            let used: usize = files.values().map(|bytes| bytes.len()).sum();
            disk.set_capacity(used as u64 + tape.below(64));
            None
        }
        1 => Some(disk.lock()),
        kind => {
            let error = match kind {
                2 => io::ErrorKind::StorageFull,
                _ => io::ErrorKind::Other,
            };
            disk.fail_at(disk.calls() + 1 + tape.below(40), error);
            None
        }
    };
    match open(&disk) {
        Ok(_) => seen.note("as it was"),
        Err(error) => {
            seen.note(class(error.kind()));
            let expected = [ErrorKind::Disk, ErrorKind::Full, ErrorKind::Locked];
            demand(expected.contains(&error.kind()), || {
                format!("a disk that fails is taken for something else: {error}")
            })?;
        }
    }
    drop(others);
    let tear = |tape: &mut Tape| Tear::ALL[tape.below(Tear::ALL.len() as u64) as usize];
    let (content, names) = (tear(tape), tear(tape));
    disk.restart(content, names);
    disk.set_capacity(u64::MAX);
    let again =
        open(&disk).map_err(|error| format!("the disk is well again, and then: {error}"))?;
    let (state, last) = (State::of(&again.recovered), history.last());
    demand(state == last, || {
        format!("{last:?} was acknowledged, and {state:?} came back")
    })
}

fn class(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Disk => "disk",
        ErrorKind::Full => "full",
        ErrorKind::Locked => "locked",
        ErrorKind::Foreign => "foreign",
        ErrorKind::Newer => "newer",
        ErrorKind::Damaged => "damaged",
        ErrorKind::Missing => "missing",
        ErrorKind::TooLarge => "too large",
        ErrorKind::Impossible => "impossible",
        ErrorKind::Stopped => "stopped",
    }
}
