//! The whole map as bytes, for a snapshot: lines of JSON.
//!
//! ```text
//! {"machine":"lin-kv","version":1,"keys":2}
//! [1,"one"]
//! [{"a":null},[]]
//! ```
//!
//! The pairs are in the order of their keys, so equal maps have equal images. Every line ends with
//! a line feed.

use std::{fmt, io};

use json::MAX_DEPTH;

use super::map::Map;
use super::{Key, Text};
use crate::sessions::image::write_line;

/// The name of this machine in an image.
const MACHINE: &str = "lin-kv";

/// The version of the format.
const VERSION: u64 = 1;

json::record! {
    /// The first line of an image.
    #[derive(Debug)]
    struct Header {
        machine: String,
        version: u64,
        keys: usize,
    }
}

/// Writes the image pair by pair, so that the map is never in memory twice.
pub(super) fn write(map: &Map, out: &mut dyn io::Write) -> io::Result<()> {
    let header = Header {
        machine: MACHINE.into(),
        version: VERSION,
        keys: map.len(),
    };
    write_line(&header, out)?;
    map.iter().try_for_each(|pair| write_line(&pair, out))
}

/// Reads an image, or returns what is wrong with it.
pub(super) fn read(bytes: &[u8]) -> Result<Map, String> {
    let Some((b'\n', bytes)) = bytes.split_last() else {
        return Err("the last line of the map has no end".into());
    };
    let mut lines = bytes.split(|byte| *byte == b'\n').zip(1..);
    let (first, number) = lines.next().expect("a split has a first part");
    let header: Header = json::decode(first).map_err(|error| bad(number, error))?;
    if header.machine != MACHINE || header.version != VERSION {
        return Err(format!(
            "expected a map of {MACHINE:?} version {VERSION}, found one of {:?} version {}",
            header.machine, header.version
        ));
    }
    let mut map = Map::default();
    let mut last = None;
    for (line, number) in lines {
        let (key, value) = json::decode_with_depth::<(Key, Text)>(line, MAX_DEPTH)
            .map_err(|error| bad(number, error))?;
        if last.as_ref().is_some_and(|last| *last >= key) {
            return Err(bad(number, "the key is not higher than the previous one"));
        }
        map.insert(&key, value);
        last = Some(key);
    }
    if map.len() != header.keys {
        return Err(format!(
            "expected {} keys in the map, found {}",
            header.keys,
            map.len()
        ));
    }
    Ok(map)
}

fn bad(number: usize, reason: impl fmt::Display) -> String {
    format!("line {number} of the map: {reason}")
}

#[cfg(test)]
mod tests {
    use json::{Value, value};
    use raft_core::StateMachine;

    use crate::host::Image as _;
    use crate::kv::{Command, Kv};

    fn image(kv: &Kv) -> Vec<u8> {
        let mut bytes = Vec::new();
        kv.write(&mut bytes).expect("memory never fails");
        bytes
    }

    fn of(pairs: impl IntoIterator<Item = (Value, Value)>) -> Kv {
        let mut kv = Kv::default();
        for (key, value) in pairs {
            let (key, value) = (key.into(), value.into());
            kv.apply(&Command::Write { key, value });
        }
        kv
    }

    fn refused(bytes: &[u8]) -> String {
        Kv::read(bytes).expect_err("not an image")
    }

    #[test]
    fn image_is_sorted_lines_of_pairs() {
        let kv = of([
            (value!({"a": null}), value!([])),
            (value!(1), value!("one\n")),
        ]);
        let text = "{\"machine\":\"lin-kv\",\"version\":1,\"keys\":2}\n\
                    [1,\"one\\n\"]\n\
                    [{\"a\":null},[]]\n";
        assert_eq!(String::from_utf8(image(&kv)).unwrap(), text);
        assert_eq!(Kv::read(text.as_bytes()), Ok(kv));
    }

    #[test]
    fn image_is_read_as_written() {
        let deep = (0..120).fold(value!(1), |inner, _| value!([inner]));
        let number = |text: &str| Value::Number(text.parse().unwrap());
        let odd = [
            (value!(null), value!(true)),
            (deep.clone(), deep),
            (
                number("123456789012345678901234567890.5"),
                number("-1e-400"),
            ),
            (value!("\u{0}\u{2028}\""), value!({"": {}})),
        ];
        let many = (0..20_000).map(|key| (value!(key), value!("value")));
        for kv in [Kv::default(), of(odd), of(many)] {
            let image = image(&kv);
            let read = Kv::read(&image).unwrap();
            assert_eq!(read, kv);
            assert_eq!(self::image(&read), image);
        }
    }

    #[test]
    fn invalid_images_are_rejected() {
        let header = r#"{"machine":"lin-kv","version":1,"keys":1}"#;
        for (text, expected) in [
            ("", "the last line of the map has no end"),
            (header, "the last line of the map has no end"),
            (
                "\n",
                "line 1 of the map: line 1 column 1: the text ends too early",
            ),
            (
                "{\"machine\":\"queue\",\"version\":1,\"keys\":0}\n",
                "expected a map of \"lin-kv\" version 1, found one of \"queue\" version 1",
            ),
            (
                "{\"machine\":\"lin-kv\",\"version\":2,\"keys\":0}\n",
                "expected a map of \"lin-kv\" version 1, found one of \"lin-kv\" version 2",
            ),
            (
                &format!("{header}\n"),
                "expected 1 keys in the map, found 0",
            ),
            (
                &format!("{header}\n[1,1]\n[2,2]\n"),
                "expected 1 keys in the map, found 2",
            ),
            (
                &format!("{header}\n[1,1]\n[1.0,2]\n"),
                "line 3 of the map: the key is not higher than the previous one",
            ),
            (&format!("{header}\n[1]\n"), "line 2 of the map: line 1"),
            (
                &format!("{header}\n[1,1] []\n"),
                "line 2 of the map: line 1",
            ),
            (&format!("{header}\n\n[1,1]\n"), "line 2 of the map: line 1"),
        ] {
            let found = refused(text.as_bytes());
            assert!(found.starts_with(expected), "{text:?}: {found}");
        }
    }

    #[test]
    fn truncated_images_are_rejected() {
        let kv = of((0..30).map(|key| (value!(key), value!({"n": key}))));
        let whole = image(&kv);
        for end in 0..whole.len() {
            assert!(Kv::read(&whole[..end]).is_err(), "{end}");
        }
    }
}
