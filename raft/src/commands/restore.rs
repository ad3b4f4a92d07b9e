//! `raft restore`: a new cluster that begins with a backup.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use raft_core::{EntryId, MAX_SNAPSHOT};

use super::log::{REFUSED, UNKNOWN, status_of};
use super::{Failure, initial_members, print};
use crate::entropy;
use crate::flags::{Command, Flag, Given, UsageError};
use crate::host::Image as _;
use crate::kv::Kv;
use crate::node::{Member, folder_name, read_folder, read_machine, restore};
use crate::sessions::Sessions;
use crate::storage::disk::real::sync_name;
use crate::storage::{ErrorKind, SnapshotFile, crc32c};

/// The command line of `raft restore`.
const RESTORE: Command = Command::new(
    "raft restore",
    "\
Makes the folders of a new cluster that begins with the state in FILE: one of raft backup, or the
folder of a stopped node, with all that its log holds, committed or not, or a snapshot in such a
folder. The nodes of the former cluster are strangers to the new one.
Without --name it makes the folders of all nodes in DIR. With --name it makes that node's alone,
and has to run for each: with the same FILE, --bootstrap and --cluster-token, which should be new.
It prints the commands that start the nodes.

Exit status:
  0  the folders are made
  1  FILE is damaged or no such file or folder, or a new folder is there already; nothing is made
  2  the command line is wrong
  4  a newer version of this program wrote FILE
  5  FILE cannot be read, or a folder cannot be written",
    &[
        Flag::new(
            "--bootstrap NAME=HOST:PORT,...",
            "The members that the new cluster begins with.",
        ),
        Flag::new("--data-dir DIR", "Each node keeps its data in DIR/NAME."),
        Flag::new(
            "--name NAME",
            "Makes the folder of this node alone. [default: of all]",
        ),
        Flag::new(
            "--cluster-token TEXT",
            "With --name: distinguishes this cluster from all others.",
        ),
    ],
)
.arguments("FILE");

/// Folders are made in here, inside DIR. No node's folder begins with a dot.
const UNFINISHED: &str = ".restore";

/// Runs `raft restore` with the arguments after these words.
pub(super) fn main(arguments: Vec<OsString>) -> Result<ExitCode, Failure> {
    let plan = Plan::of(&RESTORE.parse(arguments)?)?;
    Ok(print(&plan.run()?))
}

struct Plan {
    file: PathBuf,
    data: PathBuf,
    /// The members of the new cluster.
    addresses: Vec<String>,
    /// The names and places of the nodes whose folders are to be made.
    nodes: Vec<(String, String)>,
    token: String,
}

/// What the new cluster begins with.
struct State {
    /// The last entry in it.
    last: EntryId,
    /// Tells it from other states.
    crc: u32,
    machine: Sessions<Kv>,
}

impl Plan {
    fn of(given: &Given) -> Result<Self, UsageError> {
        let addresses = initial_members(given.needed("bootstrap")?)?;
        let invalid = |why| UsageError::new(format!("--bootstrap: {why}"));
        Member::new("", addresses.clone()).map_err(invalid)?;
        let nodes = addresses.iter().filter_map(|text| text.split_once('='));
        let nodes = nodes.map(|(name, place)| (name.to_owned(), place.to_owned()));
        let mut nodes: Vec<_> = nodes.collect();
        let token = match given.text("name") {
            Some(name) => {
                nodes.retain(|(other, _)| other == name);
                if nodes.is_empty() {
                    return Err(invalid(format!("{name} is not among the members")));
                }
                given.needed("cluster-token")?.to_owned()
            }
            None => {
                let token = given.text("cluster-token").map(str::to_owned);
                token.unwrap_or_else(|| format!("{:016x}", entropy::random()))
            }
        };
        Ok(Self {
            file: given.argument("file")?.into(),
            data: given.needed("data-dir")?.into(),
            addresses,
            nodes,
            token,
        })
    }

    /// Makes all folders or none. Returns what to print.
    fn run(&self) -> Result<String, Failure> {
        let state = self.read()?;
        for (name, _) in &self.nodes {
            let folder = self.data.join(folder_name(name));
            if folder.exists() {
                let path = folder.display();
                let what = format!("{path} is there already; a new cluster needs new folders");
                return Err(Failure::Status(REFUSED, what));
            }
        }
        let unfinished = self.data.join(UNFINISHED);
        fs::create_dir_all(&self.data)
            .and_then(|()| sync_name(&self.data))
            .and_then(|()| fs::create_dir(&unfinished))
            .map_err(|error| {
                let hint = match error.kind() {
                    Io::AlreadyExists => {
                        "; another restore is under way, or left it: then remove it"
                    }
                    _ => "",
                };
                let path = unfinished.display();
                Failure::Status(UNKNOWN, format!("cannot create {path}: {error}{hint}"))
            })?;
        let made = self.make(&unfinished, &state);
        // What is left of it keeps the next restore from beginning, which says so.
        let _ = fs::remove_dir_all(&unfinished);
        made
    }

    /// Makes the folders, and moves them to their places once all are complete.
    fn make(
        &self,
        unfinished: &Path,
        State { last, crc, machine }: &State,
    ) -> Result<String, Failure> {
        // Two nodes of one cluster must not begin with different states.
        let token = format!("{} {crc:08x}", self.token);
        let keys = machine.machine().len();
        let (index, term) = (last.index, last.term);
        let mut text = format!(
            "restored {keys} keys, through entry {index} of term {term}; start the new cluster with:\n"
        );
        for (name, place) in &self.nodes {
            let member = Member::new(name, self.addresses.clone());
            let member = member.expect("it was checked").with_token(&token);
            let folder = unfinished.join(folder_name(name));
            restore(&folder, &member, *last, machine)
                .map_err(|why| Failure::Status(UNKNOWN, why))?;
            let data = self.data.display();
            text += &format!("raft serve --name {name} --listen {place} --data-dir {data}\n");
        }
        for (name, _) in &self.nodes {
            let folder = self.data.join(folder_name(name));
            fs::rename(unfinished.join(folder_name(name)), &folder)
                .and_then(|()| sync_name(&folder))
                .map_err(|error| {
                    let path = folder.display();
                    Failure::Status(UNKNOWN, format!("cannot make {path}: {error}"))
                })?;
        }
        Ok(text)
    }

    /// Reads and checks the file or the folder.
    fn read(&self) -> Result<State, Failure> {
        let path = self.file.display();
        let unreadable = |error| Failure::Status(UNKNOWN, format!("cannot read {path}: {error}"));
        let refused = |(kind, what)| Failure::Status(status_of(kind), format!("{path}: {what}"));
        let found = fs::metadata(&self.file).map_err(unreadable)?;
        if found.is_dir() {
            let (last, machine) = read_folder(&self.file).map_err(refused)?;
            let machine = machine.in_new_history();
            let mut bytes = Vec::new();
            machine.write(&mut bytes).expect("memory takes all");
            let crc = crc32c(&bytes);
            return Ok(State { last, crc, machine });
        }
        let length = found.len();
        if length > MAX_SNAPSHOT {
            let what = format!("has {length} bytes; the maximum is {MAX_SNAPSHOT}");
            return Err(Failure::Status(REFUSED, format!("{path} {what}")));
        }
        let bytes = fs::read(&self.file).map_err(unreadable)?;
        let file = SnapshotFile::parse(&bytes).map_err(|(kind, what)| {
            let what = match kind {
                ErrorKind::Damaged => format!("{what}: it is damaged, incomplete or no backup"),
                _ => what.to_owned(),
            };
            refused((kind, what))
        })?;
        let machine = read_machine(file.machine).map_err(refused)?;
        Ok(State {
            last: file.id.last,
            crc: file.id.crc,
            machine: machine.in_new_history(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::{env, process};

    use json::value;
    use raft_core::{
        Ballot, Entry, EntryId, Index, Payload, Record, StateMachine as _, Term, Wal as _,
    };

    use super::*;
    use crate::kv;
    use crate::sessions::Command;
    use crate::storage::disk::Disk;
    use crate::storage::disk::real::Real;
    use crate::storage::{self, Identity, Opened, SEGMENT_BYTES};

    const MEMBERS: &str = "n1=h:1,n2=h:2";
    const LAST: EntryId = EntryId {
        term: Term(3),
        index: Index(70),
    };

    /// A folder with a node of a former cluster of these members, removed in the end.
    struct Setting(PathBuf);

    impl Setting {
        fn new(name: &str) -> Self {
            let folder = env::temp_dir().join(format!("stdraft-restore-{}-{name}", process::id()));
            let setting = Self(folder);
            setting.former("old", 1);
            setting
        }

        fn former(&self, folder: &str, value: i64) {
            let addresses = MEMBERS.split(',').map(str::to_owned).collect();
            let member = Member::new("n1", addresses).unwrap();
            restore(&self.0.join(folder), &member, LAST, &machine(value)).unwrap();
        }

        /// The snapshot in this folder.
        fn file(&self, folder: &str) -> PathBuf {
            let name = format!("snapshot-{:020}-{:020}", LAST.index.0, LAST.term.0);
            self.0.join(folder).join(name)
        }

        /// Runs the command with the snapshot in this folder.
        fn run(&self, folder: &str, flags: &[&str]) -> Result<String, (u8, String)> {
            self.run_with(self.file(folder), flags)
        }

        fn run_with(&self, file: PathBuf, flags: &[&str]) -> Result<String, (u8, String)> {
            let data = self.0.clone().into();
            let first = [
                file.into(),
                "--bootstrap".into(),
                MEMBERS.into(),
                "--data-dir".into(),
                data,
            ];
            let parsed = RESTORE.parse(first.into_iter().chain(flags.iter().map(Into::into)));
            let plan = parsed.and_then(|given| Plan::of(&given));
            let ran = plan.map_err(Failure::Usage).and_then(|plan| plan.run());
            ran.map_err(|failure| match failure {
                Failure::Usage(error) => (2, error.to_string()),
                Failure::Status(status, reason) => (status, reason),
            })
        }

        fn owner(&self, folder: &str) -> Identity {
            let disk = Real::read_only(&self.0.join(folder)).unwrap();
            storage::owner(Arc::new(disk)).unwrap().unwrap()
        }

        fn remove(&self, folder: &str) {
            fs::remove_dir_all(self.0.join(folder)).unwrap();
        }
    }

    impl Drop for Setting {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn machine(value: i64) -> Sessions<Kv> {
        let mut machine = Sessions::default();
        let (key, value) = (value!("k").into(), value!(value).into());
        machine.apply(&Command::Plain(kv::Command::Write { key, value }));
        machine
    }

    #[test]
    fn folder_is_restored_with_the_end_of_its_log() {
        let setting = Setting::new("folder");
        let (folder, old) = (setting.0.join("old"), setting.owner("old"));
        let entry = |index, payload| Entry {
            id: EntryId {
                term: Term(4),
                index: Index(index),
            },
            payload,
        };
        let (key, value) = (value!("new").into(), value!(2).into());
        let write = Command::Plain(kv::Command::Write { key, value });
        let entries = vec![
            entry(71, Payload::Blank),
            entry(72, Payload::Command(Arc::new(write))),
        ];
        let disk: Arc<dyn Disk> = Arc::new(Real::create(&folder).unwrap());
        let opened = storage::open::<Command<kv::Command>>(disk, &old, None, SEGMENT_BYTES);
        let Opened { mut log, .. } = opened.unwrap();
        let ballot = Record::Ballot(Ballot::new(Term(4), None));
        log.append_and_sync(&[ballot, Record::Entries(entries)])
            .unwrap();
        let text = setting.run_with(folder.clone(), &[]).unwrap_err().1;
        assert!(text.contains("another process uses this folder"), "{text}");
        drop(log);
        let text = setting.run_with(folder, &[]).unwrap();
        let told = "restored 2 keys, through entry 72 of term 4;";
        assert!(text.starts_with(told), "{text}");
        let (status, text) = setting.run_with(setting.0.clone(), &[]).unwrap_err();
        assert!(!setting.0.join("lock").exists(), "nothing is written there");
        assert!(
            status == 1 && text.contains("not a node's folder"),
            "{status} {text}"
        );
    }

    #[test]
    fn new_cluster_has_the_state_and_is_another_one() {
        let setting = Setting::new("new");
        setting.run("old", &[]).unwrap();
        let (old, n1, n2) = (
            setting.owner("old"),
            setting.owner("n1"),
            setting.owner("n2"),
        );
        assert_ne!(n1.cluster, old.cluster);
        assert_eq!(n1.cluster, n2.cluster);
        assert_eq!((n2.node(), n2.id.0), ("n2", 1));
        let disk = Arc::new(Real::create(&setting.0.join("n2")).unwrap());
        let opened = storage::open::<Command<kv::Command>>(disk, &n2, None, SEGMENT_BYTES);
        let Opened { log, recovered, .. } = opened.unwrap();
        let snapshot = recovered.snapshot.unwrap();
        assert_eq!((log.base(), snapshot.id.last), (LAST, LAST));
        assert_eq!(recovered.ballot.term(), LAST.term);
        let members = snapshot.membership.members().values();
        let addresses: Vec<_> = members.map(|member| &*member.address).collect();
        assert_eq!(addresses.join(","), MEMBERS);
        let restored = read_machine(&snapshot.machine).unwrap();
        assert_eq!(restored.machine(), machine(1).machine());
        // Not twice, and nothing else is left.
        let (status, why) = setting.run("old", &[]).unwrap_err();
        assert!(
            status == REFUSED && why.contains("n1 is there already"),
            "{why}"
        );
        let mut names: Vec<_> = fs::read_dir(&setting.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["n1", "n2", "old"]);
    }

    #[test]
    fn token_and_file_name_the_cluster() {
        let setting = Setting::new("token");
        setting.former("other", 2);
        let mut clusters = Vec::new();
        for (folder, token) in [("old", "t"), ("old", "t"), ("old", "u"), ("other", "t")] {
            let flags = ["--name", "n2", "--cluster-token", token];
            setting.run(folder, &flags).unwrap();
            assert!(!setting.0.join("n1").exists());
            clusters.push(setting.owner("n2").cluster);
            setting.remove("n2");
        }
        assert_eq!(clusters[0], clusters[1]);
        assert_ne!(clusters[0], clusters[2]);
        assert_ne!(clusters[0], clusters[3]);
    }

    #[test]
    fn mistakes_and_damage_are_refused() {
        let setting = Setting::new("mistakes");
        for (flags, status, text) in [
            (&["--name", "n2"][..], 2, "--cluster-token is needed"),
            (&["--name", "n3"], 2, "n3 is not among the members"),
            (&["--bootstrap", "n1"], 2, "n1 has no =HOST:PORT"),
            (&["x"], 2, "unknown argument"),
        ] {
            let (found, why) = setting.run("old", flags).unwrap_err();
            assert!(found == status && why.contains(text), "{found} {why}");
        }
        let file = setting.file("old");
        let whole = fs::read(&file).unwrap();
        let newer = [&whole[..8], &[9], &whole[9..]].concat();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for (bytes, status, text) in [
            (&whole[..whole.len() - 1], 1, "damaged, incomplete"),
            (&flipped, 1, "damaged, incomplete"),
            (b"a map", 1, "not a snapshot"),
            (&newer, 4, "newer"),
        ] {
            fs::write(&file, bytes).unwrap();
            let (found, why) = setting.run("old", &[]).unwrap_err();
            assert!(found == status && why.contains(text), "{found} {why}");
        }
        fs::remove_file(&file).unwrap();
        let (status, _) = setting.run("old", &[]).unwrap_err();
        assert_eq!(status, UNKNOWN);
        fs::write(&file, &whole).unwrap();
        // As an interrupted one leaves it.
        fs::create_dir(setting.0.join(UNFINISHED)).unwrap();
        let (status, why) = setting.run("old", &[]).unwrap_err();
        assert!(status == UNKNOWN && why.contains("remove it"), "{why}");
        setting.remove(UNFINISHED);
        setting.run("old", &[]).unwrap();
    }
}
