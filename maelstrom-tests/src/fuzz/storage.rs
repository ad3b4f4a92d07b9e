//! A node's folder: written by a history, damaged, and opened again.
//!
//! An input is a tape of bytes from which the history and the damage are read; a tape that has
//! ended reads as 0, which is the least damage. What must be recovered depends on the damage:
//!
//! | damage | what opening the folder may recover |
//! |---|---|
//! | none, or the disk failed during an earlier start | all that was acknowledged |
//! | single bits | all that was acknowledged, or an error |
//! | anything without new CRCs: cut, zeroed, exchanged, removed, doubled | a state that existed once, or an error |
//! | anything, with new CRCs | a consistent state, or an error |
//!
//! Always: `check` reports the same as opening does, an error leaves every file as it is, and a
//! folder that was opened can be written to and opens again as it was left.

mod damage;
mod folder;
mod history;

use std::io;
use std::sync::Arc;

use raft::storage::disk::Disk as _;
use raft::storage::disk::memory::Memory;
use raft::storage::{Error, ErrorKind, Opened, Verdict, check as check_folder};
use raft_core::{Entry, Payload, Record, Wal};
use rand::Rng;

use self::damage::Kind;
use self::folder::{Files, open};
use self::history::{History, State, check_order, recovered};
use super::tape::Tape;
use super::target::{Seen, Target, demand};
use crate::replica::faulty_disk::{FaultyDisk, Tear};

pub(super) const TARGET: Target = Target {
    name: "storage",
    about: "folders of nodes, damaged: rejected, or nothing acknowledged is missing",
    // All kinds of errors but the one that takes a command of 128 MiB.
    classes: &[&[
        "last state",
        "earlier state",
        "forged but consistent",
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
    ]],
    draw,
    check,
};

fn draw(rng: &mut Rng) -> Vec<u8> {
    let length = rng.range(8..=96);
    (0..length).map(|_| rng.next_u64() as u8).collect()
}

fn check(input: &[u8], seen: &mut Seen) -> Result<(), String> {
    let mut tape = Tape::new(input);
    let disk = Memory::new();
    let history = History::perform(&mut tape, &disk);
    let before = folder::files(&disk);
    let mut after = before.clone();
    let (kind, damage) = damage::inflict(&mut tape, &mut after);
    let explain = |law: String| format!("{law}\n  {damage}\n  after {history}");
    if kind == Kind::None && tape.chance(1, 2) {
        return failing(&mut tape, &before, &history, seen).map_err(explain);
    }
    reopen(&after, kind, &history, seen, checked, open).map_err(explain)
}

/// What the check of a folder reports.
fn checked(disk: &Memory) -> Result<Verdict, Error> {
    let disk = Arc::new(disk.clone());
    let verdict = check_folder::<String>(disk, true, &mut io::sink(), |_| Ok(()));
    verdict.expect("a sink takes everything")
}

/// Checks and opens a damaged folder, and checks the laws on what was recovered.
fn reopen(
    files: &Files,
    damage: Kind,
    history: &History,
    seen: &mut Seen,
    checked: impl Fn(&Memory) -> Result<Verdict, Error>,
    open: impl Fn(&Memory) -> Result<Opened<String>, Error>,
) -> Result<(), String> {
    let disk = folder::disk(files);
    let verdict = checked(&disk);
    let unchanged = || folder::files(&disk) == *files;
    demand(unchanged(), || "the check changes files".to_owned())?;
    let mut opened = match open(&disk) {
        Ok(opened) => opened,
        Err(error) => {
            seen.note(class(error.kind()));
            demand(damage != Kind::None, || {
                format!("an undamaged folder is rejected: {error}")
            })?;
            demand(unchanged(), || {
                format!("the folder is rejected, but files have changed: {error}")
            })?;
            return demand(
                verdict.as_ref().err().map(ToString::to_string) == Some(error.to_string()),
                || format!("opening reports {error}, but the check reports {verdict:?}"),
            );
        }
    };
    let torn = opened.recovered.torn;
    let expected = match torn {
        0 => Verdict::Sound,
        bytes => Verdict::Torn(bytes),
    };
    // If nothing is left, opening makes a new folder.
    let agrees = |found: &Verdict| *found == expected || *found == Verdict::New;
    demand(verdict.as_ref().is_ok_and(agrees), || {
        format!("opening reports {expected:?}, but the check reports {verdict:?}")
    })?;
    if torn > 0 {
        seen.note("torn");
    }
    let state = recovered(&opened.recovered);
    let last = history.last();
    match damage {
        Kind::None | Kind::Bits => {
            demand(state == last, || {
                format!("{last:?} was acknowledged, but {state:?} was recovered")
            })?;
        }
        Kind::Structure => {
            demand(history.had(&state), || {
                format!("{state:?} was recovered, which never existed")
            })?;
        }
        Kind::Forged => check_order(&state)?,
    }
    seen.note(match damage {
        Kind::Bits => "flipped bits",
        _ if state == last => "last state",
        Kind::None | Kind::Structure => "earlier state",
        Kind::Forged => "forged but consistent",
    });
    let expected = go_on(&mut opened.log, state, seen)?;
    drop(opened);
    let again = open(&disk).map_err(|error| format!("the second opening fails: {error}"))?;
    demand(
        recovered(&again.recovered) == expected && again.recovered.torn == 0,
        || {
            let again = &again.recovered;
            format!("{expected:?} was stored, but {again:?} was recovered")
        },
    )
}

/// Writes to a folder that was opened: first a valid entry, then a gap, which must be rejected.
/// Returns the state after that.
fn go_on(
    log: &mut impl Wal<String, Error = Error>,
    mut state: State,
    seen: &mut Seen,
) -> Result<State, String> {
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
    let written = log.append_and_sync(std::slice::from_ref(&more));
    written.map_err(|error| format!("the opened folder cannot be written to: {error}"))?;
    state.store(&more);
    for expected in [ErrorKind::Impossible, ErrorKind::Stopped] {
        let gap = log.append_and_sync(&[Record::Entries(vec![entry(3)])]);
        let kind = gap.map_err(|error| error.kind());
        demand(kind == Err(expected), || {
            format!("a gap is answered {kind:?} instead of {expected:?}")
        })?;
        seen.note(class(expected));
    }
    Ok(state)
}

/// Opens an undamaged folder on a disk that fails meanwhile, and again after the disk is repaired.
fn failing(
    tape: &mut Tape,
    files: &Files,
    history: &History,
    seen: &mut Seen,
) -> Result<(), String> {
    let disk = FaultyDisk::new(tape.below(256));
    let written = folder::write(&disk, files);
    written.map_err(|error| format!("a disk without faults fails: {error}"))?;
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
        Ok(_) => seen.note("last state"),
        Err(error) => {
            seen.note(class(error.kind()));
            let expected = [ErrorKind::Disk, ErrorKind::Full, ErrorKind::Locked];
            demand(expected.contains(&error.kind()), || {
                format!("a failing disk is reported as something else: {error}")
            })?;
        }
    }
    drop(others);
    let tear = |tape: &mut Tape| Tear::ALL[tape.below(Tear::ALL.len() as u64) as usize];
    let (content, names) = (tear(tape), tear(tape));
    disk.restart(content, names);
    disk.set_capacity(u64::MAX);
    let again = open(&disk)
        .map_err(|error| format!("the folder is rejected after the disk was repaired: {error}"))?;
    let (state, last) = (recovered(&again.recovered), history.last());
    demand(state == last, || {
        format!("{last:?} was acknowledged, but {state:?} was recovered")
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// The files of a node that wrote this many times two entries, and how it wrote them.
    fn written(times: u8) -> (Files, History) {
        let tape = [&[times][..], &[0, 0, 1].repeat(times.into())].concat();
        let disk = Memory::new();
        let history = History::perform(&mut Tape::new(&tape), &disk);
        (folder::files(&disk), history)
    }

    /// The files with every byte of one of them changed.
    fn damaged() -> Files {
        let (mut files, _) = written(2);
        for byte in Arc::make_mut(files.values_mut().next().expect("a file")) {
            *byte ^= 1;
        }
        files
    }

    /// Checks the law that a check or an opening of these files breaks.
    fn breaks(
        files: &Files,
        damage: Kind,
        checked: impl Fn(&Memory) -> Result<Verdict, Error>,
        open: impl Fn(&Memory) -> Result<Opened<String>, Error>,
        law: &str,
    ) {
        let (_, history) = written(2);
        let seen = &mut Seen::default();
        let error = reopen(files, damage, &history, seen, checked, open);
        let error = error.expect_err(law);
        assert!(error.contains(law), "{law}: {error}");
    }

    /// Opens a folder, and changes the result of one of several openings.
    fn opening(
        number: u32,
        change: impl Fn(Opened<String>) -> Result<Opened<String>, Error>,
    ) -> impl Fn(&Memory) -> Result<Opened<String>, Error> {
        let count = Cell::new(0);
        move |disk| {
            count.set(count.get() + 1);
            match count.get() == number {
                true => change(open(disk)?),
                false => open(disk),
            }
        }
    }

    #[test]
    fn wrong_recovery_breaks_a_law() {
        let touch = |disk: &Memory| disk.create("touched").expect("memory has room");
        let (sound, damaged) = (&written(2).0, &damaged());
        let touching = |disk: &Memory| {
            touch(disk);
            checked(disk)
        };
        let law = "the check changes files";
        breaks(sound, Kind::None, touching, open, law);
        let law = "an undamaged folder is rejected: ";
        breaks(damaged, Kind::None, checked, open, law);
        let touching = |disk: &Memory| {
            touch(disk);
            open(disk)
        };
        let law = "the folder is rejected, but files have changed: ";
        breaks(damaged, Kind::Bits, checked, touching, law);
        let law = "but the check reports Ok(Sound)";
        breaks(damaged, Kind::Bits, |_| Ok(Verdict::Sound), open, law);
        let law = "opening reports Sound, but the check reports Ok(Torn(1))";
        breaks(sound, Kind::None, |_| Ok(Verdict::Torn(1)), open, law);
        for (files, damage, law) in [
            (&written(1).0, Kind::None, " was acknowledged, but "),
            (&written(1).0, Kind::Bits, " was acknowledged, but "),
            (&written(3).0, Kind::Structure, " which never existed"),
        ] {
            breaks(files, damage, checked, open, law);
        }
        let swap = |mut opened: Opened<String>| {
            opened.recovered.entries.swap(0, 1);
            Ok(opened)
        };
        breaks(sound, Kind::Forged, checked, opening(1, swap), " follows ");
        let longer = |mut opened: Opened<String>| {
            let mut last = opened.recovered.entries[3].clone();
            last.id.index.0 += 1;
            opened.recovered.entries.push(last);
            Ok(opened)
        };
        let law = "the opened folder cannot be written to: ";
        breaks(sound, Kind::Forged, checked, opening(1, longer), law);
        let law = " was stored, but ";
        breaks(sound, Kind::None, checked, opening(2, longer), law);
        let torn = |mut opened: Opened<String>| {
            opened.recovered.torn = 1;
            Ok(opened)
        };
        breaks(sound, Kind::None, checked, opening(2, torn), law);
        let fails = |_| open(&folder::disk(damaged));
        let law = "the second opening fails: ";
        breaks(sound, Kind::None, checked, opening(2, fails), law);
    }

    #[test]
    fn log_that_accepts_a_gap_breaks_a_law() {
        struct AcceptsAll;
        impl Wal<String> for AcceptsAll {
            type Error = Error;
            fn append_and_sync(&mut self, _: &[Record<String>]) -> Result<(), Error> {
                Ok(())
            }
        }
        let error = go_on(&mut AcceptsAll, State::default(), &mut Seen::default());
        let law = "a gap is answered Ok(()) instead of Impossible";
        assert_eq!(error, Err(law.to_owned()));
    }

    #[test]
    fn wrong_recovery_after_a_failure_breaks_a_law() {
        let (_, history) = written(2);
        // The first byte is the disk's seed. 1: another process has the folder; 2: call 40 fails.
        for (files, tape, law) in [
            (
                &damaged(),
                [0, 2, 39],
                "a failing disk is reported as something else: ",
            ),
            (
                &damaged(),
                [0, 1, 0],
                "the folder is rejected after the disk was repaired: ",
            ),
            (&written(1).0, [0, 1, 0], " was acknowledged, but "),
        ] {
            let error = failing(&mut Tape::new(&tape), files, &history, &mut Seen::default());
            let error = error.expect_err(law);
            assert!(error.contains(law), "{law}: {error}");
        }
    }
}
