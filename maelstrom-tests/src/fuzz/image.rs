//! What a snapshot holds: its file, and the map in it.

use json::Value;
use raft::host::Image as _;
use raft::kv::{Command, Kv};
use raft::storage::{Broken, Whole, crc32c};
use raft_core::StateMachine as _;
use rand::Rng;

use super::mutate::{noise, spoil, value};
use super::{Seen, Target, demand};

/// Files of snapshots.
pub(super) struct Image;

/// The bytes before the names of the voters, of which there are three here.
const FIXED: usize = 40;
const VOTERS: u64 = 3;

impl Target for Image {
    fn name(&self) -> &'static str {
        "image"
    }

    fn about(&self) -> &'static str {
        "snapshots: whole or refused; the map in one is refused, or written as it was read"
    }

    fn classes(&self) -> &'static [&'static str] {
        &[
            "map",
            "no map",
            "no snapshot",
            "newer",
            "wrong CRC",
            "nonsense",
        ]
    }

    fn draw(&self, rng: &mut Rng) -> Vec<u8> {
        let mut map = Kv::default();
        for _ in 0..rng.below(6) {
            map.apply(&Command::Write {
                key: value(rng, 1),
                value: value(rng, 2).into(),
            });
        }
        let mut machine = Vec::new();
        map.write(&mut machine).expect("memory takes all");
        assert_eq!(Kv::read(&machine), Ok(map), "this was written");
        match rng.below(8) {
            0 => machine = noise(rng),
            1..4 => spoil(rng, &mut machine),
            _ => {}
        }
        let mut file = b"stdraftP".to_vec();
        file.extend(1_u32.to_le_bytes());
        file.extend((VOTERS as u32).to_le_bytes());
        for number in [rng.next_u64(), rng.next_u64(), 0]
            .into_iter()
            .chain(0..VOTERS)
        {
            file.extend(number.to_le_bytes());
        }
        file.extend(machine);
        if rng.chance(1, 3) {
            let byte = rng.below(FIXED as u64) as usize;
            file[byte] = *rng.choose(&[0, 1, 2, 255]).expect("there are some");
        }
        let crc = crc32c(&file);
        file.extend(crc.to_le_bytes());
        if rng.chance(1, 6) {
            spoil(rng, &mut file);
        }
        file
    }

    fn check(&self, input: &[u8], seen: &mut Seen) -> Result<(), String> {
        let whole = match Whole::parse(input) {
            Ok(whole) => whole,
            Err(broken) => {
                seen.note(match broken {
                    Broken::NoSnapshot => "no snapshot",
                    Broken::Newer => "newer",
                    Broken::Crc => "wrong CRC",
                    Broken::Nonsense => "nonsense",
                    Broken::Another => "another",
                });
                return demand(broken != Broken::Another, || {
                    "another than which?".to_owned()
                });
            }
        };
        let content = &input[..input.len() - 4];
        demand(
            whole.id.length == input.len() as u64 && whole.id.crc == crc32c(content),
            || format!("the snapshot's name is {:?}", whole.id),
        )?;
        demand(content.ends_with(whole.machine), || {
            "the machine does not stand at the end".to_owned()
        })?;
        let Ok(map) = Kv::read(whole.machine) else {
            seen.note("no map");
            return Ok(());
        };
        seen.note("map");
        let mut written = Vec::new();
        map.write(&mut written).map_err(|error| error.to_string())?;
        demand(Kv::read(&written).as_ref() == Ok(&map), || {
            format!("it is written as {}", written.escape_ascii())
        })?;
        // The lines below the first are the map's keys and values, and nothing else.
        let lines = whole.machine.split(|byte| *byte == b'\n').skip(1);
        for line in lines.filter(|line| !line.is_empty()) {
            let (key, value): (Value, Value) = json::decode_with_depth(line, json::MAX_DEPTH)
                .map_err(|error| error.to_string())?;
            let found = map.answer(&raft::kv::Lookup { key });
            demand(found.as_deref() == Some(&value), || {
                format!("under its key stands {found:?} instead of {value}")
            })?;
        }
        Ok(())
    }
}
