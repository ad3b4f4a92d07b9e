//! Without any fault: on real files and in memory.

use std::{fs, path::PathBuf, process, sync::Arc};

use raft::storage::{
    self,
    disk::{Disk, Memory, Real},
};

use crate::history::{OPTIONS, State, Step, identity, perform, script};

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
    let reopen = || storage::open::<String>(disk.clone(), &identity(), OPTIONS);
    let mut state = State::default();
    for step in script() {
        let mut opened = reopen().expect("a sound folder");
        assert_eq!(State::of(&opened.recovered), state);
        assert_eq!(opened.recovered.torn, 0);
        perform(&mut opened, &step).expect("a disk without faults");
        let states = state.through(&step);
        state = states.last().expect("a state behind the step").clone();
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
