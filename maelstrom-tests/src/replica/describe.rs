//! Prints messages, records, entries and answers in a few words each.

use std::fmt::Display;

use raft_core::{
    Entry, Envelope, Member, Membership, Message, NodeId, Payload, Record, Refusal, RequestId,
    Response, SnapshotId, Standing,
};

use crate::rules::Subject;

/// An envelope on one line. `name` names a request between nodes, whose kind is a letter: `p` for a
/// round of pre-votes, `r` for a read round, `i` for a read index, `f` for a forward,
/// `t` for a transfer.
pub fn envelope<S: Subject<Command: Display>>(
    envelope: &Envelope<S>,
    name: impl FnMut(char, RequestId) -> String,
) -> String {
    let Envelope { from, to, term, .. } = envelope;
    let (kind, content) = (envelope.message.kind(), content(&envelope.message, name));
    format!("n{from}->n{to} t{term} {kind}{content}")
}

/// A text without its middle, if it has more than this many characters: the beginning says what it
/// is, and the end what came of it.
pub fn shorten(text: &str, characters_max: usize) -> String {
    let count = text.chars().count();
    if count <= characters_max {
        return text.to_owned();
    }
    let head: String = text.chars().take(characters_max * 2 / 3).collect();
    let tail: String = text.chars().skip(count - characters_max / 3).collect();
    let left_out = count - head.chars().count() - tail.chars().count();
    format!("{head}… ({left_out} characters) …{tail}")
}

/// A message's content without the names of replication streams.
fn content<S: Subject<Command: Display>>(
    message: &Message<S>,
    mut name: impl FnMut(char, RequestId) -> String,
) -> String {
    match message {
        Message::PreVote(m) => format!(" {}, last {}", name('p', m.round), m.last),
        Message::PreVoteReply(m) => format!(" {} {}", name('p', m.round), verdict(m.granted)),
        Message::Vote(m) => {
            let transfer = if m.transfer { ", a transfer" } else { "" };
            format!(", last {}{transfer}", m.last)
        }
        Message::VoteReply(m) => format!(" {}", verdict(m.granted)),
        Message::Append(m) => {
            let colon = if m.entries.is_empty() { "" } else { ": " };
            let entries = entries(&m.entries);
            format!(" after {}, commit {}{colon}{entries}", m.prev, m.commit)
        }
        Message::Appended(m) => format!(" through {}", m.matched),
        Message::AppendRejected(m) => format!(" after {}, hint {}", m.prev, m.hint),
        Message::SnapshotChunk(m) => {
            let end = m.offset + m.data.len() as u64;
            format!(" of {}, {}..{end}", snapshot(&m.snapshot), m.offset)
        }
        Message::ChunkReceived(m) => {
            let snapshot = snapshot(&m.snapshot);
            let broken = if m.broken { ", broken" } else { "" };
            format!(
                " of {snapshot}, asked {}, wants {}{broken}",
                m.asked, m.offset
            )
        }
        Message::Round(m) => format!(" {}, commit {}", name('r', m.id), m.commit),
        Message::RoundReply(m) => format!(" {}", name('r', m.id)),
        Message::ReadIndex(m) => format!(" {}", name('i', m.id)),
        Message::ReadIndexReply(m) => format!(" {}, commit {}", name('i', m.id), m.commit),
        Message::Forward(m) => format!(" {} {}", name('f', m.id), m.command),
        Message::ForwardReply(m) => {
            format!(" {} {}", name('f', m.id), S::describe_outcome(&m.outcome))
        }
        Message::Outdated(_) => String::new(),
        Message::TimeoutNow(m) => format!(" {}, last {}", name('t', m.id), m.last),
        Message::TimeoutNowReply(m) => {
            let campaigns = if m.campaigns { "campaigns" } else { "declined" };
            format!(" {} {campaigns}", name('t', m.id))
        }
    }
}

/// An answer to a client.
pub fn response<S: Subject>(
    response: &Response<S>,
    value: impl FnOnce(&S::Answer) -> Option<String>,
) -> String {
    match response {
        Response::Applied(outcome) => S::describe_outcome(outcome),
        Response::Transferred => "another node leads".to_owned(),
        Response::SnapshotStored(index) => format!("a snapshot through {index} is stored"),
        Response::Answered(answer) => value(answer).unwrap_or_else(|| "absent".to_owned()),
        Response::MembersChanged => "the members have changed".to_owned(),
        Response::Unknown => "unknown, timed out".to_owned(),
        Response::Refused(Refusal::NotLeading(Some(leader))) => format!("refused, n{leader} leads"),
        Response::Refused(refusal) => format!("refused, {}", reason(refusal)),
    }
}

fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NoLeader | Refusal::NotLeading(_) => "no leader",
        Refusal::Full => "too many requests",
        Refusal::ReadExpired => "timed out",
        Refusal::Transferring => "a transfer is under way",
        Refusal::NotAVoter => "not another voter",
        Refusal::TargetSilent => "the target is silent",
        Refusal::TargetDeclined => "the target declined",
        Refusal::TransferExpired => "in vain",
        Refusal::NoSnapshot => "no snapshot now",
        Refusal::NotChanged(reason) => reason.as_str(),
    }
}

/// Whether a change has touched the members, who were numbered from 1 on.
pub fn has_changed(membership: &Membership) -> bool {
    let count = membership.members().len() as u64;
    !membership.is_plain() || membership.next() != NodeId(count + 1)
}

/// The members of a cluster, and the next id: `+` before an incoming voter, `-` before an outgoing
/// one, `?` before a learner, `*` after a member with an address.
pub fn members(membership: &Membership) -> String {
    let one = |(id, member): (&NodeId, &Member)| {
        let sign = match member.standing {
            Standing::Voter => "",
            Standing::Incoming => "+",
            Standing::Outgoing => "-",
            Standing::Learner => "?",
        };
        let named = if member.address.is_empty() { "" } else { "*" };
        format!("{sign}n{id}{named}")
    };
    let members: Vec<String> = membership.members().iter().map(one).collect();
    format!("[{}] {}", members.join(" "), membership.next())
}

/// Entries, each with its id and payload.
pub fn entries<'a, C: Display + 'a>(entries: impl IntoIterator<Item = &'a Entry<C>>) -> String {
    let entry = |entry: &Entry<C>| match &entry.payload {
        Payload::Blank => format!("{} blank", entry.id),
        Payload::Command(command) => format!("{} {command}", entry.id),
        Payload::Membership(membership) => format!("{} {}", entry.id, members(membership)),
    };
    let entries: Vec<String> = entries.into_iter().map(entry).collect();
    entries.join(", ")
}

/// A record of the log.
pub fn record<C: Display>(record: &Record<C>) -> String {
    match record {
        Record::Ballot(ballot) => match ballot.vote() {
            Some(NodeId(vote)) => format!("term {} with its vote for n{vote}", ballot.term()),
            None => format!("term {}", ballot.term()),
        },
        Record::Entries(run) => entries(run),
        Record::Base(id) => format!("base {id}"),
    }
}

/// The id of a snapshot.
pub fn snapshot(id: &SnapshotId) -> String {
    format!("{} ({} bytes, {:08x})", id.last, id.length, id.crc)
}

fn verdict(granted: bool) -> &'static str {
    if granted { "granted" } else { "refused" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_keeps_its_ends() {
        assert_eq!(shorten("short", 5), "short");
        assert_eq!(shorten("äbcdefghijkl", 6), "äbcd… (6 characters) …kl");
    }
}
