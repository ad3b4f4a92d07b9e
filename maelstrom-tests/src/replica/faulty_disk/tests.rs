//! For each fault, what it does to files and names.

use std::io::ErrorKind;

use super::*;

fn read_all(disk: &FaultyDisk, name: &str) -> Option<Vec<u8>> {
    let file = disk.open(name).ok()?;
    let mut bytes = vec![0; file.length().expect("a length") as usize];
    file.read_at(&mut bytes, 0).expect("its bytes");
    Some(bytes)
}

/// A synced file of zeros with an unsynced write.
fn written(seed: u64, write: &[u8]) -> FaultyDisk {
    let disk = FaultyDisk::new(seed);
    let file = disk.create("file").expect("room");
    file.write_at(&[0; 2000], 0).expect("room");
    file.sync().expect("a sync");
    disk.sync_folder().expect("a sync");
    file.write_at(write, 100).expect("room");
    disk
}

#[test]
fn power_cut_leaves_what_the_tear_says() {
    let write = [7; 1800];
    let mut cuts = std::collections::BTreeSet::new();
    for seed in 0..200 {
        for tear in Tear::ALL {
            let disk = written(seed, &write);
            disk.restart(tear, Tear::Nothing);
            let bytes = read_all(&disk, "file").expect("its name was synced");
            let kept = bytes.iter().filter(|byte| **byte == 7).count();
            let prefix = &bytes[100..100 + kept];
            match tear {
                Tear::Nothing => assert_eq!(kept, 0),
                Tear::Everything => assert_eq!(kept, write.len()),
                Tear::Bytes => assert!(prefix.iter().all(|byte| *byte == 7)),
                Tear::Sectors => {
                    assert!(prefix.iter().all(|byte| *byte == 7));
                    assert!([0, 412, 924, 1436].contains(&kept), "{kept}");
                }
                Tear::Scattered => {
                    for from in (0..bytes.len()).step_by(512) {
                        let sector = &bytes[from.max(100)..(from + 512).min(1900)];
                        assert!(sector.iter().all(|byte| *byte == sector[0]));
                    }
                }
            }
            cuts.insert((format!("{tear:?}"), kept));
        }
    }
    assert!(cuts.len() > 50, "too few different cuts: {}", cuts.len());
}

#[test]
fn same_seed_fails_the_same_way() {
    let left = |seed| {
        let disk = written(seed, &[7; 1800]);
        disk.restart(Tear::Bytes, Tear::Nothing);
        read_all(&disk, "file")
    };
    assert_eq!(left(3), left(3));
    assert!((0..20).any(|seed| left(seed) != left(3)));
}

#[test]
fn rename_may_survive_lost_content() {
    let disk = FaultyDisk::new(1);
    let file = disk.create("new").expect("room");
    file.write_at(b"content", 0).expect("room");
    disk.rename("new", "name").expect("it exists");
    disk.sync_folder().expect("a sync");
    disk.restart(Tear::Nothing, Tear::Nothing);
    assert_eq!(read_all(&disk, "name"), Some(Vec::new()));
    assert_eq!(read_all(&disk, "new"), None);
}

#[test]
fn unsynced_names_outlive_a_process_but_not_a_power_cut() {
    let disk = written(1, b"");
    disk.rename("file", "renamed").expect("it exists");
    disk.create("created").expect("room");
    let names = || disk.list().expect("a list");
    disk.restart(Tear::Everything, Tear::Everything);
    assert_eq!(names(), ["created", "renamed"]);
    disk.restart(Tear::Nothing, Tear::Nothing);
    assert_eq!(names(), ["file"]);
}

#[test]
fn unsynced_writes_outlive_a_process_but_not_a_power_cut() {
    let disk = written(1, b"seven");
    disk.restart(Tear::Everything, Tear::Everything);
    assert_eq!(
        read_all(&disk, "file").expect("a file")[100..105],
        *b"seven"
    );
    disk.restart(Tear::Nothing, Tear::Nothing);
    assert_eq!(read_all(&disk, "file"), Some(vec![0; 2000]));
}

#[test]
fn second_sync_does_not_recover_a_failed_one() {
    let disk = written(1, b"seven");
    let file = disk.open("file").expect("a file");
    disk.fail_at(disk.calls() + 1, ErrorKind::Other);
    assert!(file.sync().is_err());
    assert!(file.sync().is_ok());
    assert_eq!(
        read_all(&disk, "file").expect("a file")[100..105],
        *b"seven"
    );
    disk.restart(Tear::Nothing, Tear::Nothing);
    assert_eq!(read_all(&disk, "file"), Some(vec![0; 2000]));
}

/// A failed sync of the folder leaves its changes to chance, until the next one.
#[test]
fn second_sync_makes_names_durable() {
    let left = |seed, syncs_again: bool| {
        let disk = written(seed, b"");
        disk.rename("file", "renamed").expect("it exists");
        disk.fail_at(disk.calls() + 1, ErrorKind::Other);
        assert!(disk.sync_folder().is_err());
        if syncs_again {
            disk.sync_folder().expect("a sync");
        }
        disk.restart(Tear::Nothing, Tear::Scattered);
        disk.list().expect("a list").concat()
    };
    let by_chance = |name| (0..20).any(|seed| left(seed, false) == name);
    assert!(by_chance("file") && by_chance("renamed"));
    assert!((0..20).all(|seed| left(seed, true) == "renamed"));
}

#[test]
fn after_a_crash_calls_fail_until_the_restart() {
    for (moment, created) in [(Moment::Before, false), (Moment::After, true)] {
        let disk = FaultyDisk::new(1);
        let lock = disk.lock().expect("it is free");
        disk.crash_at(disk.calls() + 1, moment);
        assert!(disk.create("file").is_err());
        assert!(disk.is_dead() && disk.list().is_err());
        disk.restart(Tear::Everything, Tear::Everything);
        assert_eq!(disk.list().expect("a list").len(), usize::from(created));
        let again = disk.lock().expect("its holder is dead");
        drop(lock);
        assert!(disk.lock().is_err(), "dropping a dead lock frees no other");
        drop(again);
        assert!(disk.lock().is_ok());
    }
}

#[test]
fn full_disk_writes_what_fits() {
    let disk = FaultyDisk::new(1);
    disk.set_capacity(10);
    let file = disk.create("file").expect("a name needs no room");
    let full = file
        .write_at(b"twelve bytes", 0)
        .map_err(|error| error.kind());
    assert_eq!(full, Err(ErrorKind::StorageFull));
    assert_eq!(read_all(&disk, "file").expect("a file"), b"twelve byt");
    assert!(
        file.write_at(b"TWELVE", 0).is_ok(),
        "overwriting needs no room"
    );
    disk.remove("file").expect("it exists");
    assert!(
        disk.create("other")
            .expect("room")
            .write_at(b"ten bytes.", 0)
            .is_ok()
    );
}

#[test]
fn flipped_bit_is_durable() {
    let disk = written(1, b"");
    disk.flip("file", 9);
    disk.restart(Tear::Nothing, Tear::Nothing);
    assert_eq!(read_all(&disk, "file").expect("a file")[..3], [0, 2, 0]);
}
