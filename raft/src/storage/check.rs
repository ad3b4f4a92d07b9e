//! Checks a folder and prints its content. Changes nothing.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::sync::Arc;

use json::Decode;
use raft_core::{Ballot, Membership, NodeId, Payload};

use super::disk::Disk;
use super::error::{Error, Refusal};
use super::folder::{Folder, Name};
use super::frame::Frame;
use super::identity::Identity;
use super::record::{Content, Stored};
use super::recover::{Entries, Restored, demand_new, newest_snapshot};
use super::scan::{self, Visitor};
use super::segment::Head;
use crate::members::Members;

/// The result for a folder that recovery would accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything is complete.
    Sound,
    /// After the log's last frame there are this many bytes of torn frames. Recovery cuts them;
    /// none was acknowledged.
    Torn(u64),
    /// No node has used the folder yet.
    New,
}

/// Checks a folder as recovery would, and prints its content to `out`: every record if `full`, else
/// one line per file. `C` is the command type of the state machine, and `usable` says why the node
/// cannot use an undamaged snapshot, if it cannot.
///
/// If `out` is a pipe that its reader closes, the check continues without it.
///
/// # Errors
/// The outer error is that of `out`, the inner one that of recovery.
pub fn check<C: for<'a> Decode<'a>>(
    disk: Arc<dyn Disk>,
    full: bool,
    out: &mut dyn Write,
    usable: impl FnOnce(&Restored) -> Result<(), Refusal>,
) -> Result<Result<Verdict, Error>, io::Error> {
    let mut printer = Printer::<C> {
        out,
        full,
        addresses: BTreeMap::new(),
        entries: Entries(VecDeque::new()),
        failed: None,
    };
    let verdict = Folder::lock(disk).and_then(|folder| {
        let verdict = walk(&folder, &mut printer, usable);
        // The changes of a node that has started meanwhile would look like damage.
        folder.demand_intact()?;
        verdict
    });
    match printer.failed {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        Some(_) | None => Ok(verdict),
    }
}

fn walk<C: for<'a> Decode<'a>>(
    folder: &Folder,
    printer: &mut Printer<'_, C>,
    usable: impl FnOnce(&Restored) -> Result<(), Refusal>,
) -> Result<Verdict, Error> {
    let inventory = folder.inventory()?;
    for name in &inventory.unfinished {
        printer.line(format_args!(
            "{name}  unfinished; the next start removes it"
        ));
    }
    if !inventory.identity {
        demand_new(folder, &inventory)?;
        return Ok(Verdict::New);
    }
    let identity = Identity::read(folder)?;
    printer.line(format_args!(
        "{}  node {}, id {}, of the cluster {}",
        Name::Identity.text(),
        identity.node(),
        identity.id,
        identity.cluster
    ));
    if let Some(members) = identity.members() {
        printer.members(&members);
    }
    let scan = scan::scan(folder, &inventory, identity.crc(), printer)?;
    let tail = scan.tail;
    let base = tail.outline.base;
    let newest = newest_snapshot(folder, &inventory, identity.cluster, base)?;
    if let Some(newest) = &newest {
        usable(newest)
            .map_err(|(kind, what)| folder.refuse(kind, Name::Snapshot(newest.id.last), what))?;
    }
    for id in &inventory.snapshots {
        let name = Name::Snapshot(*id).text();
        match &newest {
            Some(newest) if newest.id.last == *id => {
                printer.line(format_args!(
                    "{name}  {} bytes, {} of them the state machine, CRC {:08x}",
                    newest.id.length,
                    newest.machine.len(),
                    newest.id.crc
                ));
                printer.members(&newest.membership);
            }
            Some(_) | None => printer.line(format_args!("{name}  older, not checked")),
        }
    }
    printer.line(format_args!(
        "{}; base {base}, last entry {}",
        printer.ballot(tail.ballot),
        tail.outline.last
    ));
    Ok(match scan.torn {
        0 => Verdict::Sound,
        bytes => Verdict::Torn(bytes),
    })
}

struct Printer<'a, C> {
    out: &'a mut dyn Write,
    full: bool,
    /// The addresses of the members so far.
    addresses: BTreeMap<NodeId, Arc<str>>,
    entries: Entries<C>,
    failed: Option<io::Error>,
}

impl<C: for<'a> Decode<'a>> Visitor for Printer<'_, C> {
    fn segment(&mut self, head: &Head) {
        self.line(format_args!(
            "{}  {} bytes; begins with {}, base {}, last entry {}, frame {}",
            Name::Segment(head.number).text(),
            head.length,
            self.ballot(head.ballot),
            head.base,
            head.last,
            head.first_frame
        ));
    }

    fn frame(&mut self, offset: usize, Frame { head, records, .. }: &Frame<'_>) {
        if self.full {
            self.line(format_args!(
                "  byte {offset}: frame {}, {} bytes of records, synced to {}",
                head.number,
                records.len(),
                head.synced
            ));
        }
    }

    fn record(&mut self, record: &Stored<'_>) -> Result<(), Refusal> {
        if self.full {
            let text = match *record {
                Stored::Ballot(ballot) => format!("ballot  {}", self.ballot(ballot)),
                Stored::Base { last, kept: true } => {
                    format!("base    {last}, later entries remain")
                }
                Stored::Base { last, kept: false } => format!("base    {last}, no later entries"),
                Stored::Entry { id, content } => match content {
                    Content::Blank => format!("entry   {id}"),
                    Content::Command(json) => {
                        format!("entry   {id}  {}", String::from_utf8_lossy(json))
                    }
                    Content::Members(json) => {
                        format!("entry   {id}  members {}", String::from_utf8_lossy(json))
                    }
                },
            };
            self.line(format_args!("    {text}"));
        }
        self.entries.record(record)?;
        if let Some(last) = self.entries.0.back()
            && let Payload::Membership(members) = &last.payload
        {
            let members = members.clone();
            self.learn(&members);
        }
        Ok(())
    }

    fn torn(&mut self, offset: u64, bytes: u64) {
        self.line(format_args!(
            "  byte {offset}: {bytes} bytes of a torn frame"
        ));
    }
}

impl<C> Printer<'_, C> {
    /// Prints a line, unless an earlier one failed.
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        if self.failed.is_none() {
            self.failed = writeln!(self.out, "{line}").err();
        }
    }

    fn ballot(&self, ballot: Ballot) -> String {
        match ballot.vote() {
            Some(node) => format!("term {}, vote for {}", ballot.term(), self.name(node)),
            None => format!("term {}, no vote", ballot.term()),
        }
    }

    /// Prints the members, and notes their addresses.
    fn members(&mut self, membership: &Membership) {
        let members = json::to_string(&Members(Arc::new(membership.clone())));
        self.line(format_args!("  members {members}"));
        self.learn(membership);
    }

    fn learn(&mut self, membership: &Membership) {
        for (node, member) in membership.members() {
            self.addresses.insert(*node, member.address.clone());
        }
    }

    /// The address of a node, or its id if no members were read that tell of it.
    fn name(&self, node: NodeId) -> String {
        let address = self.addresses.get(&node).filter(|known| !known.is_empty());
        address.map_or_else(|| format!("node {node}"), ToString::to_string)
    }
}
