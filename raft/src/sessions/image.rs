//! The sessions as bytes, for a snapshot: lines of JSON before the image of the machine inside.
//!
//! ```text
//! {"machine":"sessions","version":1,"opened":9,"uses":70,"sessions":2}
//! [4,61,12,[[12,{"type":"written"}],[14,{"type":"swapped"}]]]
//! [9,70,0,[]]
//! ```
//!
//! A line has a session's id, its last use, its floor and its outcomes, all in ascending order.
//! Before the first session is opened there is none of this, so that programs without sessions can
//! read the image.

use std::sync::Arc;
use std::{fmt, io};

use json::{Decode, Encode};

use super::{Inner, Session, SessionId, Sessions, Table};
use crate::host::Image;

/// How an image with sessions begins.
const START: &[u8] = br#"{"machine":"sessions","#;

/// The version of the format.
const VERSION: u64 = 1;

json::record! {
    /// The first line.
    #[derive(Debug)]
    struct Header {
        machine: String,
        version: u64,
        opened: u64,
        uses: u64,
        sessions: usize,
    }
}

json::record! {
    /// Of the first line, what all versions have.
    struct Version { version: u64 }
}

/// A session's line: its id, last use, floor and outcomes.
type Line<O> = (u64, u64, u64, Vec<(u64, O)>);

impl<M> Image for Sessions<M>
where
    M: Inner<Outcome: Encode + for<'a> Decode<'a>> + Image,
{
    fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let table = &*self.table;
        if table.opened > 0 {
            let header = Header {
                machine: "sessions".into(),
                version: VERSION,
                opened: table.opened,
                uses: table.uses,
                sessions: table.sessions.len(),
            };
            write_line(&header, out)?;
        }
        for (id, session) in &table.sessions {
            let answers: Vec<_> = session.answers.iter().collect();
            write_line(&(id.0, session.used, session.floor, answers), out)?;
        }
        self.machine.write(out)
    }

    fn read(mut bytes: &[u8]) -> Result<Self, String> {
        let mut table = Table::default();
        if bytes.starts_with(START) {
            let first = next_line(&mut bytes)?;
            let Version { version } = json::decode(first).map_err(bad)?;
            if version != VERSION {
                return Err(format!(
                    "expected sessions of version {VERSION}, found version {version}"
                ));
            }
            let header: Header = json::decode(first).map_err(bad)?;
            table.opened = header.opened;
            table.uses = header.uses;
            for _ in 0..header.sessions {
                let line = next_line(&mut bytes)?;
                let line = json::decode_with_depth(line, json::MAX_DEPTH).map_err(bad)?;
                add::<M>(&mut table, line)?;
            }
        }
        let machine = M::read(bytes)?;
        let table = Arc::new(table);
        Ok(Self { machine, table })
    }
}

/// Writes a value as a line of JSON.
pub(crate) fn write_line(line: &impl Encode, out: &mut dyn io::Write) -> io::Result<()> {
    let mut line = json::encode(line);
    line.push(b'\n');
    out.write_all(&line)
}

/// Takes the next line from the bytes.
fn next_line<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or_else(|| bad("a line has no end"))?;
    let line = &bytes[..end];
    *bytes = &bytes[end + 1..];
    Ok(line)
}

/// Adds a session, which must have a higher id than those before it.
fn add<M: Inner>(table: &mut Table<M::Outcome>, line: Line<M::Outcome>) -> Result<(), String> {
    let (id, used, floor, answers) = line;
    let last = table.sessions.last_key_value().map_or(0, |(id, _)| id.0);
    let ascending = answers.is_sorted_by(|(one, _), (next, _)| one < next);
    let above = answers.first().is_none_or(|(first, _)| *first >= floor);
    if id <= last || id > table.opened || used > table.uses || !ascending || !above {
        return Err(bad(format_args!("session {id} is inconsistent")));
    }
    table.bytes += (answers.iter())
        .map(|(_, outcome)| M::outcome_size(outcome))
        .sum::<usize>();
    let session = Session {
        used,
        floor,
        answers: answers.into_iter().collect(),
    };
    table.sessions.insert(SessionId(id), Arc::new(session));
    Ok(())
}

fn bad(reason: impl fmt::Display) -> String {
    format!("sessions: {reason}")
}
