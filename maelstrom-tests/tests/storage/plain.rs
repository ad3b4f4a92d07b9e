//! Without any fault: on real files and in memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::{fs, process};

use maelstrom_tests::replica::faulty_disk::FaultyDisk;
use raft::storage::disk::Disk;
use raft::storage::disk::memory::Memory;
use raft::storage::disk::real::Real;
use raft::storage::{self, Error, ErrorKind, Identity, SnapshotFile, Verdict, check, crc32c};
use raft_core::{NodeId, Record, SnapshotId, Wal};

use crate::history::{
    SEGMENT_BYTES, State, Step, ballot, elsewhere, entries, id, identity, machine, maintain,
    membership, open, owner, perform, script, store,
};

/// A folder of its own for a test, removed in the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("stdraft-{}-{name}", process::id()));
        Self(folder)
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(Real::create(&self.0).expect("a temporary folder"))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // It is in the way of nobody if it stays.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Does the whole script, closing and opening after each step.
fn what_is_written_comes_back(disk: &Arc<dyn Disk>) {
    let reopen = || storage::open::<String>(disk.clone(), &identity(), None, SEGMENT_BYTES);
    let mut state = State::default();
    for step in script() {
        let mut opened = reopen().expect("a sound folder");
        assert_eq!(State::of(&opened.recovered), state);
        assert_eq!(opened.recovered.torn, 0);
        perform(&mut opened, &step).expect("a disk without faults");
        maintain(&opened).expect("a disk without faults");
        let states = state.through(&step);
        state = states.last().expect("a state after the step").clone();
        match &step {
            // The next start writes the base record itself.
            Step::Store(last) | Step::Install(last) => state = state.adopting(*last),
            Step::Write(_) => {}
        }
    }
    let opened = reopen().expect("a sound folder");
    assert_eq!(State::of(&opened.recovered), state);
}

#[test]
fn files_keep_what_is_written() {
    let folder = Temporary::new("keep");
    what_is_written_comes_back(&folder.disk());
}

#[test]
fn memory_keeps_what_is_written() {
    let disk: Arc<dyn Disk> = Arc::new(Memory::new());
    what_is_written_comes_back(&disk);
}

fn refusal(disk: &Arc<dyn Disk>, identity: &Identity) -> Error {
    storage::open::<String>(disk.clone(), identity, None, SEGMENT_BYTES).expect_err("a refusal")
}

/// Who says so, where, and what can be done.
#[test]
fn another_s_folder_is_refused() {
    let disk: Arc<dyn Disk> = Arc::new(Memory::new());
    drop(
        storage::open::<String>(disk.clone(), &identity(), None, SEGMENT_BYTES)
            .expect("an empty folder"),
    );
    let node = refusal(&disk, &owner("n2", &["n1", "n2", "n3"]));
    assert_eq!(node.kind(), ErrorKind::Foreign);
    assert_eq!(
        node.to_string(),
        "memory:identity: the folder belongs to node n1, but this is node n2 (give this node its own \
         folder, or an empty one if it is new)"
    );
    let cluster = refusal(&disk, &owner("n1", &["n1", "n2"]));
    assert_eq!(cluster.kind(), ErrorKind::Foreign);
    assert!(
        cluster
            .to_string()
            .contains("began with members of other names"),
        "{cluster}"
    );
    // The order in which the names are told makes no difference.
    let same = owner("n1", &["n3", "n2", "n1"]);
    assert!(storage::open::<String>(disk, &same, None, SEGMENT_BYTES).is_ok());
}

#[test]
fn a_folder_in_use_is_refused() {
    let folder = Temporary::new("lock");
    let memory: Arc<dyn Disk> = Arc::new(Memory::new());
    for disk in [folder.disk(), memory] {
        let opened = storage::open::<String>(disk.clone(), &identity(), None, SEGMENT_BYTES);
        let storage::Opened { log, snapshots, .. } = opened.expect("an empty folder");
        assert_eq!(refusal(&disk, &identity()).kind(), ErrorKind::Locked);
        drop(log);
        let still = refusal(&disk, &identity());
        assert_eq!(still.kind(), ErrorKind::Locked, "snapshots hold it, too");
        drop(snapshots);
        assert!(storage::open::<String>(disk, &identity(), None, SEGMENT_BYTES).is_ok());
    }
}

/// Two nodes that write to one log would destroy it.
#[test]
fn a_folder_in_use_stays_locked_without_its_lock_file() {
    let folder = Temporary::new("unlocked");
    let disk = folder.disk();
    let opened = storage::open::<String>(disk.clone(), &identity(), None, SEGMENT_BYTES);
    let opened = opened.expect("an empty folder");
    fs::remove_file(folder.0.join("lock")).expect("the lock file");
    assert_eq!(refusal(&disk, &identity()).kind(), ErrorKind::Locked);
    drop(opened);
    assert!(storage::open::<String>(disk, &identity(), None, SEGMENT_BYTES).is_ok());
}

/// Changes a file of a memory disk.
fn change(disk: &dyn Disk, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let file = disk.open(name).expect("a file");
    let mut bytes = vec![0; file.length().expect("a length") as usize];
    file.read_at(&mut bytes, 0).expect("its bytes");
    change(&mut bytes);
    let file = disk.create(name).expect("room");
    file.write_at(&bytes, 0).expect("room");
}

#[test]
fn a_newer_format_is_refused() {
    for (name, what) in [
        ("identity", b"{\"format\":3,\"new\":[]}".as_slice()),
        ("log-00000000000000000001", b"stdraftL\x02\0\0\0"),
        (
            "snapshot-00000000000000000002-00000000000000000001",
            b"stdraftP\x03\0\0\0",
        ),
    ] {
        let disk: Arc<dyn Disk> = Arc::new(Memory::new());
        let mut opened =
            storage::open(disk.clone(), &identity(), None, SEGMENT_BYTES).expect("an empty folder");
        perform(&mut opened, &Step::Write(vec![entries(1, 3, 1, 5)])).expect("room");
        perform(&mut opened, &Step::Store(id(2, 1))).expect("room");
        drop(opened);
        change(&*disk, name, |bytes| match name {
            "identity" => *bytes = what.to_vec(),
            _ => bytes[..what.len()].copy_from_slice(what),
        });
        let error = refusal(&disk, &identity());
        assert_eq!(error.kind(), ErrorKind::Newer, "{error}");
        assert!(
            error
                .to_string()
                .contains("start the version that wrote the file"),
            "{error}"
        );
    }
}

/// Opens the folder, and compares the refusal with that of the check.
fn refused_by_both(disk: &Memory) -> Error {
    let error = open(disk).expect_err("a refusal");
    let mut nowhere = std::io::sink();
    let verdict = check::<String>(Arc::new(disk.clone()), true, &mut nowhere, |_| Ok(()));
    let verdict = verdict.expect("the sink takes all");
    assert_eq!(
        verdict.map_err(|error| error.to_string()),
        Err(error.to_string())
    );
    error
}

/// A disk with a snapshot, and the snapshot's name.
fn with_snapshot(identity: &Identity) -> (Memory, String) {
    let disk = Memory::new();
    let opened = storage::open::<String>(Arc::new(disk.clone()), identity, None, SEGMENT_BYTES);
    store(&opened.expect("an empty folder").snapshots, id(9, 3)).expect("room");
    let names = disk.list().expect("a list");
    let name = names.into_iter().find(|name| name.starts_with("snapshot"));
    (disk, name.expect("it was stored"))
}

/// Writes the CRC of all bytes before at the end.
fn seal(bytes: &mut [u8]) {
    let (content, crc) = bytes.split_at_mut(bytes.len() - 4);
    crc.copy_from_slice(&crc32c(content).to_le_bytes());
}

#[test]
fn snapshot_of_another_cluster_is_refused() {
    let (other, name) = with_snapshot(&owner("n1", &["n1", "n2", "n4"]));
    let (disk, _) = with_snapshot(&identity());
    let mut bytes = Vec::new();
    change(&other, &name, |content| bytes.clone_from(content));
    change(&disk, &name, |content| content.clone_from(&bytes));
    let error = refused_by_both(&disk);
    assert_eq!(error.kind(), ErrorKind::Foreign);
    assert!(error.to_string().contains("another cluster"), "{error}");

    // Another node's is refused when it arrives.
    let opened = open(&Memory::new()).expect("an empty folder");
    let stored = SnapshotFile::parse(&bytes).expect("a whole snapshot").id;
    let (kind, _) = opened.snapshots.received(stored, &bytes).unwrap_err();
    assert_eq!(kind, ErrorKind::Foreign);

    // Version 1 did not name the cluster.
    change(&disk, &name, |content| {
        content[8] = 1;
        content[36..40].fill(0);
        seal(content);
    });
    let opened = open(&disk).expect("a folder of an earlier version");
    assert_eq!(opened.recovered.base(), id(9, 3));
}

#[test]
fn snapshot_with_an_unknown_section_is_newer() {
    let (disk, name) = with_snapshot(&identity());
    change(&disk, &name, |content| {
        let voters = 40 + 3 * 8;
        content.splice(voters..voters, *b"SECTION");
        content[32] = 7;
        seal(content);
    });
    assert_eq!(refused_by_both(&disk).kind(), ErrorKind::Newer);
}

#[test]
fn record_of_an_unknown_kind_is_newer() {
    let disk = Memory::new();
    let mut opened = open(&disk).expect("an empty folder");
    perform(&mut opened, &Step::Write(vec![ballot(1, None)])).expect("room");
    drop(opened);
    change(&disk, "log-00000000000000000001", |content| {
        // The frame's head, the record of 18 bytes, and zeros to a multiple of eight.
        let (begin, end) = (1024, 1024 + 32 + 24);
        content[begin + 32] = 6;
        seal(&mut content[begin..end + 4]);
    });
    let error = refused_by_both(&disk);
    assert_eq!(error.kind(), ErrorKind::Newer);
    assert!(error.to_string().contains("a record of kind 6"), "{error}");
}

/// A folder that has something in it, but no identity, is nobody's.
#[test]
fn a_folder_without_identity_is_never_started_fresh() {
    for members in [None, Some(membership())] {
        let disk: Arc<dyn Disk> = Arc::new(Memory::new());
        let opened = storage::open(disk.clone(), &identity(), members, SEGMENT_BYTES);
        let step = Step::Write(vec![ballot(1, None)]);
        perform(&mut opened.expect("an empty folder"), &step).expect("room");
        disk.remove("identity").expect("it is there");
        assert_eq!(refusal(&disk, &identity()).kind(), ErrorKind::Missing);
    }
}

/// Its log begins with the members only if it is new.
#[test]
fn folder_tells_its_owner() {
    let disk: Arc<dyn Disk> = Arc::new(Memory::new());
    assert_eq!(storage::owner(disk.clone()).expect("an empty folder"), None);
    let open = |members| storage::open::<String>(disk.clone(), &identity(), members, SEGMENT_BYTES);
    assert_eq!(open(None).expect("an empty folder").identity, identity());
    let found = storage::owner(disk.clone()).expect("a sound folder");
    assert_eq!(found, Some(identity()));
    let again = open(Some(membership())).expect("a sound folder").recovered;
    assert_eq!(State::of(&again), State::default());
}

#[test]
fn folder_of_format_1_is_recovered() {
    let disk = Memory::new();
    let names = r#""node":"n2","nodes":["n1","n2","n3"]"#;
    let crc = crc32c(format!(r#"{{"format":1,{names}}}"#).as_bytes());
    drop(open(&disk).expect("an empty folder"));
    change(&disk, "identity", |bytes| {
        *bytes = format!("{{\"format\":1,{names},\"crc\":{crc}}}\n").into_bytes();
    });
    change(&disk, "log-00000000000000000001", |bytes| {
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        let head = crc32c(&bytes[..504]);
        bytes[504..508].copy_from_slice(&head.to_le_bytes());
    });
    let me = owner("n2", &["n1", "n2", "n3"]);
    let opened = storage::open::<String>(Arc::new(disk), &me, None, SEGMENT_BYTES);
    let identity = opened.expect("a folder of an earlier version").identity;
    assert_eq!((identity.id, identity.cluster), (NodeId(1), me.cluster));
    let members = identity.members().expect("the log has none");
    assert_eq!(&*members.members()[&NodeId(2)].address, "n3");
}

/// Files of somebody else are in nobody's way.
#[test]
fn foreign_files_are_left_alone() {
    let disk: Arc<dyn Disk> = Arc::new(Memory::new());
    let names = [
        ".DS_Store",
        "lost+found",
        "log-7",
        "snapshot-1",
        "log-00000000000000000009.bak",
    ];
    for name in names {
        disk.create(name)
            .expect("room")
            .write_at(b"mine", 0)
            .expect("room");
    }
    let opened = storage::open::<String>(disk.clone(), &identity(), None, SEGMENT_BYTES);
    drop(opened.expect("a folder without anything of ours"));
    let found = disk.list().expect("a list");
    assert!(
        names.iter().all(|name| found.contains(&(*name).to_owned())),
        "{found:?}"
    );
}

/// A command that this program cannot decode is no command to skip.
#[test]
fn an_unknown_command_is_refused() {
    let disk: Arc<dyn Disk> = Arc::new(Memory::new());
    let mut opened =
        storage::open(disk.clone(), &identity(), None, SEGMENT_BYTES).expect("an empty folder");
    perform(&mut opened, &Step::Write(vec![entries(1, 1, 1, 5)])).expect("room");
    drop(opened);
    let error = storage::open::<u64>(disk, &identity(), None, SEGMENT_BYTES)
        .expect_err("a text is no number");
    assert_eq!(error.kind(), ErrorKind::Newer);
    assert!(
        error
            .to_string()
            .contains("entry 1@1: cannot decode its command"),
        "{error}"
    );
    assert!(error.fact().contains(", byte 1024: "), "{error}");
}

#[test]
fn a_snapshot_is_read_in_chunks_and_installed_elsewhere() {
    let bytes = elsewhere(id(7, 3));
    let disk = Memory::new();
    let mut opened = open(&disk).expect("an empty folder");
    opened
        .log
        .append_and_sync(&[entries(1, 9, 3, 5)])
        .expect("room");
    let stored = store(&opened.snapshots, id(7, 3)).expect("room");
    assert_eq!(
        stored, bytes.0,
        "the same state makes the same file anywhere"
    );

    let read = |id: SnapshotId, offset, length| {
        opened.snapshots.read(id, offset, length).expect("no fault")
    };
    let mut whole = Vec::new();
    while let Some(chunk) = read(stored, whole.len() as u64, 100).filter(|chunk| !chunk.is_empty())
    {
        whole.extend(chunk);
    }
    assert_eq!(whole, bytes.1);
    assert_eq!(
        opened
            .snapshots
            .received(stored, &whole)
            .map(|w| w.machine.to_vec()),
        Ok(machine(id(7, 3)))
    );
    let other = SnapshotId {
        crc: stored.crc ^ 1,
        ..stored
    };
    assert_eq!(read(other, 0, 10), None);
    let (_, what) = opened.snapshots.received(other, &whole).unwrap_err();
    assert_eq!(what, "not the expected snapshot");
    for at in 0..whole.len() {
        let mut broken = whole.clone();
        broken[at] ^= 4;
        assert!(SnapshotFile::parse(&broken).is_err(), "byte {at}");
        assert!(SnapshotFile::parse(&whole[..at]).is_err(), "to {at}");
    }

    // Removed by the next base, it can be read to its end by whoever has begun.
    store(&opened.snapshots, id(9, 3)).expect("room");
    opened
        .log
        .append_and_sync(&[Record::<String>::Base(id(9, 3))])
        .expect("room");
    maintain(&opened).expect("room");
    assert_eq!(
        disk.list()
            .expect("a list")
            .iter()
            .filter(|n| n.starts_with("snapshot"))
            .count(),
        1
    );
    assert_eq!(read(stored, 100, 5).as_deref(), Some(&whole[100..105]));
    // Also while newer ones are stored and read.
    for index in 10..20 {
        let newer = store(&opened.snapshots, id(index, 3)).expect("room");
        let base = Record::<String>::Base(newer.last);
        opened.log.append_and_sync(&[base]).expect("room");
        assert!(read(newer, 0, 1).is_some() && read(stored, 0, 1).is_some());
    }
}

/// A file is checked when it is opened. If it is damaged later, the follower notices.
/// As after a crash between the two, whose base record the start adds.
#[test]
fn a_start_keeps_what_follows_a_snapshot_unless_it_conflicts() {
    for (term, kept) in [(3, 2), (4, 0)] {
        let disk = Memory::new();
        let mut opened = open(&disk).expect("an empty folder");
        opened
            .log
            .append_and_sync(&[entries(1, 9, 3, 5)])
            .expect("room");
        store(&opened.snapshots, id(7, term)).expect("room");
        drop(opened);
        let recovered = open(&disk).expect("a sound folder").recovered;
        assert_eq!(recovered.base(), id(7, term));
        assert_eq!(recovered.entries.len(), kept, "after 7@{term}");
    }
}

#[test]
fn storing_again_replaces_a_damaged_snapshot() {
    for was_open in [false, true] {
        let disk = Memory::new();
        let opened = open(&disk).expect("an empty folder");
        let stored = store(&opened.snapshots, id(7, 3)).expect("room");
        let read = || opened.snapshots.read(stored, 0, usize::MAX);
        let whole = Some(elsewhere(id(7, 3)).1);
        if was_open {
            assert_eq!(read().expect("no fault"), whole);
        }
        let names = disk.list().expect("a list");
        let name = names.iter().find(|name| name.starts_with("snapshot"));
        let name = name.expect("a snapshot");
        let file = disk.open(name).expect("a file");
        file.write_at(b"?", 50).expect("room");
        if was_open {
            let sent = read().expect("no fault").expect("it was not removed");
            let (_, what) = opened.snapshots.received(stored, &sent).unwrap_err();
            assert_eq!(what, "the CRC is wrong");
        } else {
            let damaged = read().expect_err("one bit is wrong");
            assert_eq!(damaged.kind(), ErrorKind::Damaged);
            assert!(damaged.fact().starts_with(&disk.path(name)), "{damaged}");
            assert_eq!(read().expect("reported already"), None);
        }
        let again = store(&opened.snapshots, id(7, 3)).expect("room");
        assert_eq!((again, read().expect("no fault")), (stored, whole));
    }
}

/// The disk is given back: what stays is what lies above the base, and one segment.
#[test]
fn what_a_snapshot_covers_is_deleted() {
    let disk = Memory::new();
    let mut opened = open(&disk).expect("an empty folder");
    let mut most = 0;
    for round in 0..200 {
        let first = round * 10 + 1;
        opened
            .log
            .append_and_sync(&[entries(first, first + 9, 1, 200)])
            .expect("room");
        if round % 5 == 4 {
            let last = id(first + 9, 1);
            store(&opened.snapshots, last).expect("room");
            opened
                .log
                .append_and_sync(&[Record::<String>::Base(last)])
                .expect("room");
            maintain(&opened).expect("room");
            assert!(opened.log.bytes() <= 2 * SEGMENT_BYTES);
        }
        most = most.max(opened.log.bytes());
    }
    assert!(most <= 8 * SEGMENT_BYTES, "{most} bytes of log at most");
    assert!(disk.list().expect("a list").len() <= 5);
}

/// One sync of a large file would hold up those of the log for seconds.
#[test]
fn a_large_snapshot_is_synced_piece_by_piece() {
    let disk = FaultyDisk::new(1);
    let opened = open(&disk).expect("an empty folder");
    let piece = vec![7; 1 << 20];
    let stored = opened.snapshots.store(id(7, 3), &membership(), |out| {
        (0..40).try_for_each(|_| out.write_all(&piece))
    });
    assert!(stored.expect("room").length > 40 << 20);
    let most = disk.unsynced_max();
    assert!((8 << 20..=16 << 20).contains(&most), "{most} bytes at once");
}

/// A segment that is begun finds its zeros written and synced.
#[test]
fn a_new_segment_takes_the_spare_file() {
    let disk = FaultyDisk::new(1);
    let mut opened = open(&disk).expect("an empty folder");
    let spare = "log-00000000000000000000.new";
    let has_spare = |disk: &FaultyDisk| disk.files().iter().any(|(name, _)| name == spare);
    maintain(&opened).expect("room");
    assert!(has_spare(&disk));
    let begun = |segments: usize| {
        let names = disk.files().into_iter().map(|(name, _)| name);
        names
            .filter(|name| name.starts_with("log-") && name != spare)
            .count()
            == segments
    };
    let mut index = 0;
    let mut write = |opened: &mut storage::Opened<String>| {
        index += 1;
        let batch = entries(index, index, 1, 1000);
        opened.log.append_and_sync(&[batch]).expect("room");
    };
    while !begun(2) {
        write(&mut opened);
    }
    assert!(!has_spare(&disk));
    // Without one, and even if the process ends meanwhile, the log goes on.
    while !begun(3) {
        write(&mut opened);
    }
    maintain(&opened).expect("room");
    assert!(has_spare(&disk));
    drop(opened);
    let opened = open(&disk).expect("a sound folder");
    assert_eq!(opened.recovered.entries.len(), index as usize);
    assert!(!has_spare(&disk), "a start removes it");
}

#[test]
fn looking_at_a_folder_changes_nothing() {
    let folder = Temporary::new("look");
    let disk = folder.disk();
    let mut opened =
        storage::open(disk.clone(), &identity(), None, SEGMENT_BYTES).expect("an empty folder");
    for step in script() {
        perform(&mut opened, &step).expect("room");
    }
    let look = || Arc::new(Real::read_only(&folder.0).expect("a folder"));
    let mut text = Vec::new();
    let locked = check::<String>(look(), true, &mut text, |_| Ok(())).expect("memory has room");
    assert_eq!(locked.map_err(|error| error.kind()), Err(ErrorKind::Locked));
    drop(opened);
    let verdict = check::<String>(look(), true, &mut text, |_| Ok(())).expect("memory has room");
    assert_eq!(verdict.expect("a sound folder"), Verdict::Sound);
    let text = String::from_utf8(text).expect("text");
    for line in [
        "identity  node n1, id 0, of the cluster 7ff3656c\n",
        "begins with term 5, vote for node 2, base 30@5",
        "  members {\"next\":3,\"members\":[[0,\"voter\",\"\"],",
        "    base    35@5, later entries remain\n",
        "    entry   42@6  \"4\"\n",
        "term 6, no vote; base 35@5, last entry 42@6\n",
    ] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
    let writes = look();
    let refused = |result: std::io::Result<()>| {
        assert_eq!(
            result.map_err(|e| e.kind()),
            Err(std::io::ErrorKind::PermissionDenied)
        );
    };
    refused(writes.create("x").map(|_| ()));
    refused(writes.remove("identity"));
    refused(writes.rename("identity", "x"));
    refused(writes.sync_folder());
}

/// What recovery can't read as a command, the check does not call sound.
#[test]
fn a_command_of_another_machine_is_refused_by_the_check_too() {
    let disk = Memory::new();
    let mut opened = open(&disk).expect("an empty folder");
    let written = opened.log.append_and_sync(&[entries(1, 2, 1, 20)]);
    written.expect("memory has room");
    drop(opened);
    let refused = storage::open::<u64>(Arc::new(disk.clone()), &identity(), None, SEGMENT_BYTES);
    let refused = refused.expect_err("its commands are strings").to_string();
    assert!(
        refused.contains("entry 1@1: cannot decode its command"),
        "{refused}"
    );
    let verdict = check::<u64>(Arc::new(disk.clone()), true, &mut std::io::sink(), |_| {
        Ok(())
    });
    let verdict = verdict.expect("the sink takes all");
    assert_eq!(verdict.map_err(|error| error.to_string()), Err(refused));
    let verdict = check::<String>(Arc::new(disk), true, &mut std::io::sink(), |_| Ok(()));
    let verdict = verdict.expect("the sink takes all");
    assert!(matches!(verdict, Ok(Verdict::Sound)), "{verdict:?}");
}
