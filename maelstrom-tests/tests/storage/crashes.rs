//! A crash before and after every call of the disk, and what a power cut may leave each time.

use std::io;
use std::sync::Arc;

use maelstrom_tests::replica::faulty_disk::{FaultyDisk, Moment, Tear};
use raft::storage::disk::{Disk, File, Lock};
use raft::storage::{self, Error, ErrorKind, Verdict, check};
use raft_core::{Ballot, EntryId, Payload, Term, Wal};
use rand::Rng;

use crate::history::{
    SEGMENT_BYTES, State, Step, ballot, entries, id, identity, maintain, membership, open, perform,
    script,
};

/// The history with a crash somewhere: what may come back.
#[derive(Debug)]
pub(crate) struct Run {
    /// Behind the last step that was acknowledged, and on the way through the one that was not.
    possible: Vec<State>,
    /// Snapshots that are stored, or may be.
    stored: Vec<EntryId>,
    pub(crate) finished: bool,
}

/// Does the steps until one fails.
pub(crate) fn run(disk: &(impl Disk + Clone + 'static), script: &[Step]) -> Run {
    let mut run = Run {
        possible: vec![State::default()],
        stored: Vec::new(),
        finished: false,
    };
    let Ok(mut opened) = open(disk) else {
        return run;
    };
    for step in script {
        if let Step::Store(last) | Step::Install(last) = step {
            run.stored.push(*last);
        }
        let acknowledged = run.possible.last().expect("a state").clone();
        run.possible.extend(acknowledged.through(step));
        if perform(&mut opened, step).is_err() {
            return run;
        }
        run.possible.drain(..run.possible.len() - 1);
        if maintain(&opened).is_err() {
            return run;
        }
        // A spare file that finds no room is a warning. Any other failure here is the planned crash.
        let warning = opened.snapshots.maintenance.take_warning();
        if warning.is_some_and(|warning| warning.kind() != ErrorKind::Full) {
            return run;
        }
    }
    run.finished = true;
    run
}

/// Opens the folder and demands that nothing acknowledged is lost and nothing is made up, that the
/// check says the same, and that what is there now survives another power cut and goes on.
pub(crate) fn demand_recovery(disk: &FaultyDisk, run: &Run, story: &str) -> Result<(), String> {
    let verdict = check::<String>(
        std::sync::Arc::new(disk.clone()),
        false,
        &mut io::sink(),
        |_| Ok(()),
    )
    .expect("the sink takes all");
    let mut opened = open(disk).map_err(|error| format!("{story}: refused: {error}"))?;
    let recovered = State::of(&opened.recovered);
    let expected = match opened.recovered.torn {
        0 => Verdict::Sound,
        bytes => Verdict::Torn(bytes),
    };
    match verdict {
        Ok(verdict) if verdict == expected => {}
        Ok(Verdict::New) if run.possible == [State::default()] => {}
        other => {
            return Err(format!(
                "{story}: the check said {other:?}, not {expected:?}"
            ));
        }
    }
    let with_snapshots = run.possible.iter().flat_map(|state| {
        let adopted = run.stored.iter().map(|last| state.adopting(*last));
        adopted.chain([state.clone()])
    });
    if !with_snapshots.clone().any(|state| state == recovered) {
        return Err(format!("{story}: came back as {recovered:?}"));
    }

    // What came back may be acknowledged from now on: another cut must not take it.
    drop(opened);
    disk.restart(Tear::Nothing, Tear::Nothing);
    opened = open(disk).map_err(|error| format!("{story}: then refused: {error}"))?;
    if State::of(&opened.recovered) != recovered || opened.recovered.torn > 0 {
        return Err(format!("{story}: another cut left {:?}", opened.recovered));
    }

    // And the log goes on, over the place where it was cut, into the next segment.
    let last = opened.log.last();
    let term = recovered.ballot.term().0.max(last.term.0);
    let more = entries(last.index.0 + 1, last.index.0 + 6, term, 1000);
    let mut state = recovered;
    state.apply(&more);
    opened
        .log
        .append_and_sync(&[more])
        .map_err(|error| format!("{story}: cannot go on: {error}"))?;
    drop(opened);
    disk.restart(Tear::Scattered, Tear::Scattered);
    let opened = open(disk).map_err(|error| format!("{story}: in the end refused: {error}"))?;
    if State::of(&opened.recovered) != state {
        return Err(format!("{story}: in the end {:?}", opened.recovered));
    }
    Ok(())
}

/// Crashes a history at each of its calls, and calls `judge` with what every kind of power cut
/// leaves. Returns how many worlds there were.
fn at_every_call<D: Disk + Clone + 'static>(
    script: &[Step],
    seen_through: impl Fn(FaultyDisk) -> D,
    mut judge: impl FnMut(&FaultyDisk, &Run, &str) -> Result<(), String>,
) -> Result<usize, String> {
    let whole = FaultyDisk::new(0);
    let finished = run(&seen_through(whole.clone()), script).finished;
    assert!(finished, "without a crash all is done");
    let mut worlds = 0;
    for call in 1..=whole.calls() {
        for moment in [Moment::Before, Moment::After] {
            let disk = FaultyDisk::new(0);
            disk.crash_at(call, moment);
            let run = run(&seen_through(disk.clone()), script);
            assert!(disk.is_dead() && !run.finished);
            for content in Tear::ALL {
                // Between two sectors there is nothing to cut in a list of names.
                for names in Tear::ALL.into_iter().filter(|tear| *tear != Tear::Sectors) {
                    let world = disk.fork(call);
                    world.restart(content, names);
                    let story = format!("{moment:?} call {call}, {content:?}, names {names:?}");
                    judge(&world, &run, &story)?;
                    worlds += 1;
                }
            }
        }
    }
    Ok(worlds)
}

#[test]
fn a_crash_at_any_call_loses_nothing_acknowledged() {
    let worlds = at_every_call(&script(), |disk| disk, demand_recovery);
    let worlds = worlds.unwrap_or_else(|lost| panic!("{lost}"));
    assert!(worlds > 5_000, "{worlds} worlds");
}

/// Nothing that looks like a node's folder is left, or all of it.
#[test]
fn a_crash_while_a_folder_is_made_leaves_it_new() {
    let make = |disk: &FaultyDisk| {
        let disk = Arc::new(disk.clone());
        storage::open::<String>(disk, &identity(), Some(membership()), SEGMENT_BYTES)
    };
    let whole = FaultyDisk::new(0);
    let begun = State::of(&make(&whole).expect("an empty folder").recovered);
    assert_eq!(begun.ballot, Ballot::new(Term(1), None));
    assert_eq!(begun.entries[0].id, id(1, 1));
    let payload = Payload::Membership(Arc::new(membership()));
    assert_eq!(
        (begun.entries.len(), &begun.entries[0].payload),
        (1, &payload)
    );
    let (mut unmade, mut made) = (0, 0);
    for call in 1..=whole.calls() {
        for moment in [Moment::Before, Moment::After] {
            let disk = FaultyDisk::new(0);
            disk.crash_at(call, moment);
            assert!(make(&disk).is_err() || call == whole.calls());
            for content in Tear::ALL {
                for names in Tear::ALL {
                    let world = disk.fork(call);
                    world.restart(content, names);
                    match storage::owner(Arc::new(world.clone())).expect("a sound folder") {
                        None => unmade += 1,
                        Some(_) => made += 1,
                    }
                    let again = State::of(&make(&world).expect("it is still new").recovered);
                    assert_eq!(
                        again, begun,
                        "{moment:?} call {call}, {content:?}, {names:?}"
                    );
                }
            }
        }
    }
    assert!(unmade > 100 && made > 1, "{unmade} and {made} folders");
}

/// A batch that is more than a frame may be, so that a segment is left behind while what was
/// written there is not synced yet: the next one must not be found without it.
#[test]
fn a_crash_within_a_large_batch_leaves_no_gap() {
    let script = [Step::Write(vec![
        ballot(1, Some(1)),
        entries(1, 1, 1, (4 << 20) - 200),
        entries(2, 2, 1, 1000),
    ])];
    let whole = FaultyDisk::new(0);
    assert!(run(&whole, &script).finished);
    // Segment 3 is made, segment 2 sealed, the rest of the batch written, and a spare file made.
    let calls = whole.calls();
    let third = "log-00000000000000000003".to_owned();
    let mut with_third = Vec::new();
    for call in calls - 14..=calls {
        let disk = FaultyDisk::new(call);
        disk.crash_at(call, Moment::Before);
        let run = run(&disk, &script);
        assert!(disk.is_dead() && !run.finished);
        disk.restart(Tear::Nothing, Tear::Everything);
        with_third.push(disk.list().expect("it lists").contains(&third));
        let story = format!("call {call} of {calls}");
        demand_recovery(&disk, &run, &story).unwrap_or_else(|lost| panic!("{lost}"));
    }
    assert!(with_third.contains(&true) && with_third.contains(&false));
}

/// The checker is worth something: it notices what goes missing without the sync of a batch, and
/// without the sync of the folder.
#[test]
fn a_sync_that_is_left_out_is_noticed() {
    let careless = |files, names| move |disk| Careless { disk, files, names };
    let without_files = at_every_call(&script(), careless(false, true), demand_recovery);
    assert!(without_files.is_err(), "{without_files:?} worlds");
    let without_names = at_every_call(&script(), careless(true, false), demand_recovery);
    assert!(without_names.is_err(), "{without_names:?} worlds");
    let with_both = at_every_call(&script()[..5], careless(true, true), demand_recovery);
    assert!(with_both.is_ok(), "{with_both:?}");
}

/// A disk whose syncs may be left out.
#[derive(Clone, Debug)]
struct Careless {
    disk: FaultyDisk,
    files: bool,
    names: bool,
}

#[derive(Debug)]
struct CarelessFile {
    file: Box<dyn File>,
    syncs: bool,
}

impl Disk for Careless {
    fn path(&self, name: &str) -> String {
        self.disk.path(name)
    }

    fn lock(&self) -> io::Result<Box<dyn Lock>> {
        self.disk.lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.careless(self.disk.open(name))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.careless(self.disk.create(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_folder(&self) -> io::Result<()> {
        if self.names {
            return self.disk.sync_folder();
        }
        Ok(())
    }
}

impl Careless {
    fn careless(&self, file: io::Result<Box<dyn File>>) -> io::Result<Box<dyn File>> {
        let syncs = self.files;
        file.map(|file| -> Box<dyn File> { Box::new(CarelessFile { file, syncs }) })
    }
}

impl File for CarelessFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        if self.syncs {
            return self.file.sync();
        }
        Ok(())
    }
}

/// A crash may come while the node recovers from a crash, too.
#[test]
fn a_crash_during_recovery_loses_nothing_acknowledged() {
    let mut seed = 0;
    let script = script();
    let whole = FaultyDisk::new(0);
    assert!(run(&whole, &script).finished);
    let mut rng = Rng::seeded(7);
    for _ in 0..60 {
        let disk = FaultyDisk::new(0);
        let call = rng.range(1..=whole.calls());
        disk.crash_at(call, Moment::After);
        let run = run(&disk, &script);
        let pick = |rng: &mut Rng| *rng.choose(&Tear::ALL).expect("there are some");
        let (content, names) = (pick(&mut rng), pick(&mut rng));
        disk.restart(content, names);
        // Crash the recovery at each of its calls.
        for offset in 1.. {
            for moment in [Moment::Before, Moment::After] {
                seed += 1;
                let world = disk.fork(seed);
                world.crash_at(disk.calls() + offset, moment);
                let died = open(&world).is_err();
                assert_eq!(died, world.is_dead());
                let (content, names) = (pick(&mut rng), pick(&mut rng));
                world.restart(content, names);
                let story = format!(
                    "call {call}, then {moment:?} call {offset} of the recovery, {content:?}, \
                     names {names:?}"
                );
                demand_recovery(&world, &run, &story).unwrap_or_else(|lost| panic!("{lost}"));
            }
            let world = disk.fork(0);
            world.crash_at(disk.calls() + offset, Moment::Before);
            if open(&world).is_ok() {
                break;
            }
        }
    }
}

/// Any call may fail without a crash. Nothing is written any more then, and a restart, with the
/// power on or off, loses nothing. Only while a spare file is made, a failure is a warning: the
/// history goes on without the file, to its end.
#[test]
fn a_failure_of_any_call_is_final_and_loses_nothing_acknowledged() {
    let script = script();
    let whole = FaultyDisk::new(0);
    assert!(run(&whole, &script).finished);
    let (mut stopped, mut warned) = (0, 0);
    for call in 1..=whole.calls() {
        for error in [io::ErrorKind::Other, io::ErrorKind::StorageFull] {
            let disk = FaultyDisk::new(call);
            disk.fail_at(call, error);
            let expected = match error {
                io::ErrorKind::StorageFull => ErrorKind::Full,
                _ => ErrorKind::Disk,
            };
            let mut opened = match open(&disk) {
                Ok(opened) => opened,
                Err(failed) => {
                    assert_eq!(failed.kind(), expected, "{failed}");
                    continue;
                }
            };
            let mut state = State::default();
            let mut possible = Vec::new();
            let mut stored = Vec::new();
            let (mut has_stopped, mut has_warned) = (false, false);
            for step in &script {
                if let Step::Store(last) | Step::Install(last) = step {
                    stored.push(*last);
                }
                possible = [vec![state.clone()], state.through(step)].concat();
                let done = perform(&mut opened, step).and_then(|()| maintain(&opened));
                if let Some(warning) = opened.snapshots.maintenance.take_warning() {
                    demand_spare(&disk, &warning, expected);
                    has_warned = true;
                }
                match done {
                    Ok(()) => state = possible.pop().expect("a state"),
                    Err(failed) => {
                        assert_eq!(failed.kind(), expected, "{failed}");
                        assert!(!failed.fact().starts_with(':'), "{failed}");
                        has_stopped = true;
                        break;
                    }
                }
            }
            assert_ne!(has_stopped, has_warned, "call {call}: one or the other");
            if has_stopped {
                let before = disk.calls();
                let more = opened.log.append_and_sync(&[entries(43, 43, 6, 1)]);
                assert_eq!(more.map_err(|e| e.kind()), Err(ErrorKind::Stopped));
                // It may have to make a spare file, and to remove others.
                let kind = maintain(&opened).map_err(|error| error.kind());
                assert!(matches!(kind, Ok(()) | Err(ErrorKind::Stopped)));
                assert_eq!(disk.calls(), before, "nothing is tried after a failure");
                stopped += 1;
            } else {
                possible = vec![state];
                warned += 1;
            }
            drop(opened);
            let run = Run {
                possible,
                stored,
                finished: !has_stopped,
            };
            for (content, names) in [
                (Tear::Everything, Tear::Everything),
                (Tear::Nothing, Tear::Nothing),
                (Tear::Bytes, Tear::Scattered),
            ] {
                let world = disk.fork(call);
                world.restart(content, names);
                let story = format!("{error:?} at call {call}, then {content:?}");
                demand_recovery(&world, &run, &story).unwrap_or_else(|lost| panic!("{lost}"));
            }
        }
    }
    assert!(stopped > 100 && warned > 20, "{stopped} and {warned} runs");
}

/// A warning must be about the spare file, which keeps no room.
fn demand_spare(disk: &FaultyDisk, warning: &Error, expected: ErrorKind) {
    let spare = "log-00000000000000000000.new";
    assert_eq!(warning.kind(), expected, "{warning}");
    assert!(warning.fact().starts_with(&disk.path(spare)), "{warning}");
    assert!(disk.files().iter().all(|(name, _)| name != spare));
}

/// A disk with little room: the node stops, and goes on once there is more.
#[test]
fn a_full_disk_loses_nothing_acknowledged() {
    let mut stopped = 0;
    for room in (0..60_000).step_by(500) {
        let disk = FaultyDisk::new(room);
        disk.set_capacity(room);
        let script = script();
        let run = run(&disk, &script);
        if run.finished {
            continue;
        }
        stopped += 1;
        disk.restart(Tear::Everything, Tear::Everything);
        disk.set_capacity(u64::MAX);
        let story = format!("with room for {room} bytes");
        demand_recovery(&disk, &run, &story).unwrap_or_else(|lost| panic!("{lost}"));
    }
    assert!(stopped > 10, "{stopped} runs stopped for want of room");
}
