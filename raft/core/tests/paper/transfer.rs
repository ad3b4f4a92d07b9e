//! The dissertation's §3.10, "Leadership transfer extension", and its flag in RequestVote (§4.2.3).

use raft_core::{
    Input, Message, NodeId, PreVote, Refusal, Response, RoleName, Ticket, TimeoutNow,
    TimeoutNowReply, Vote, VoteReply,
};

use crate::node::{
    ELECTION, HEARTBEAT, Node, REQUEST_ID, Sent, append, appended, are_pre_votes, content, granted,
    id, input_from, only, to,
};

/// The ticket of the request for a transfer.
const TRANSFER: u64 = 99;

fn transfer(target: Option<u64>) -> Input<crate::node::Journal> {
    Input::Transfer {
        ticket: Some(Ticket(TRANSFER)),
        to: target.map(NodeId),
    }
}

/// A leader of three in term 2, whose followers have these many of its two entries. Returns an
/// Append to each follower, for acknowledgements.
fn leader(second: u64, third: u64) -> (Node, Vec<Sent>) {
    let mut node = Node::stored(3, 1, None, &[]);
    let appends = node.lead();
    for append in &appends {
        node.receive(append.to.0, 2, appended(append, 1));
    }
    node.write(7);
    for (append, matched) in appends.iter().zip([second, third]) {
        node.receive(append.to.0, 2, appended(append, matched));
    }
    (node, appends)
}

/// The only TimeoutNow sent, and its receiver.
fn timeout_now(sent: &[Sent]) -> (u64, TimeoutNow) {
    let asked = sent.iter().filter_map(|envelope| match envelope.message {
        Message::TimeoutNow(asked) => Some((envelope.to.0, asked)),
        _ => None,
    });
    let asked: Vec<_> = asked.collect();
    assert_eq!(asked.len(), 1, "{sent:?}");
    asked[0]
}

/// "The prior leader stops accepting new client requests." Here it refuses them, and goes on with
/// reads.
#[test]
fn leader_refuses_commands_and_serves_reads() {
    let (mut node, _) = leader(1, 2);
    node.step(transfer(Some(2)));
    node.write(8);
    let refused = Response::Refused(Refusal::Transferring);
    assert_eq!(node.answers.last(), Some(&(8, refused)));
    let (ticket, query) = (Ticket(9), ());
    let round = node.step(Input::Read { ticket, query });
    let Message::Round(round) = to(3, &round)[0].message else {
        panic!("{round:?}");
    };
    let reply = raft_core::RoundReply { id: round.id };
    node.receive(3, 2, Message::RoundReply(reply));
    assert_eq!(node.answers.last(), Some(&(9, Response::Answered(1))));
}

/// "The prior leader fully updates the target server's log to match its own, using the normal log
/// replication mechanism", before it sends TimeoutNow.
#[test]
fn target_gets_all_entries_before_timeout_now() {
    let (mut node, appends) = leader(1, 2);
    let sent = node.step(transfer(Some(2)));
    assert!(sent.is_empty(), "{sent:?}");
    let sent = node.receive(2, 2, appended(&appends[0], 2));
    let (target, TimeoutNow { last, .. }) = timeout_now(&sent);
    assert_eq!((target, last), (2, id(2, 2)));
}

/// It is sent again after each heartbeat interval, since it may be lost.
#[test]
fn timeout_now_is_repeated_under_one_id() {
    let (mut node, _) = leader(2, 2);
    let (_, first) = timeout_now(&node.step(transfer(Some(3))));
    let repeated = node.ticks(HEARTBEAT);
    assert_eq!(timeout_now(&repeated), (3, first));
}

/// Without a target, the most advanced voter is chosen of those heard from lately.
#[test]
fn most_advanced_voter_is_chosen() {
    for (second, third, chosen) in [(2, 1, 2), (1, 2, 3)] {
        let (mut node, _) = leader(second, third);
        let (target, _) = timeout_now(&node.step(transfer(None)));
        assert_eq!(target, chosen);
    }
    let (mut node, appends) = leader(1, 2);
    for _ in 0..ELECTION - 1 {
        node.ticks(1);
        node.receive(2, 2, appended(&appends[0], 1));
    }
    node.receive(2, 2, appended(&appends[0], 1));
    node.ticks(1);
    node.step(transfer(None));
    assert_eq!(node.status().handover, Some(NodeId(2)));
}

/// Only another voter that answers can be the target, and only a leader takes the request.
#[test]
fn impossible_transfer_is_refused() {
    let (mut node, _) = leader(2, 2);
    for target in [1, 4] {
        node.step(transfer(Some(target)));
        let refused = Response::Refused(Refusal::NotAVoter);
        assert_eq!(node.answers.last(), Some(&(TRANSFER, refused)));
    }
    node.step(transfer(None));
    node.step(transfer(None));
    let refused = Response::Refused(Refusal::Transferring);
    assert_eq!(node.answers.last(), Some(&(TRANSFER, refused)));

    let mut follower = Node::stored(3, 2, None, &[1]);
    for known in [None, Some(NodeId(2))] {
        follower.step(transfer(None));
        let refused = Response::Refused(Refusal::NotLeading(known));
        assert_eq!(follower.answers.last(), Some(&(TRANSFER, refused)));
        follower.receive(2, 2, append(id(1, 1), &[], 0));
    }
    let mut alone = Node::stored(1, 1, None, &[]);
    alone.step(transfer(None));
    let refused = Response::Refused(Refusal::TargetSilent);
    assert_eq!(alone.answers.last(), Some(&(TRANSFER, refused)));
}

/// "This request has the same effect as the target server's election timer firing: the target
/// server starts a new election (incrementing its term and becoming a candidate)." Without a
/// pre-vote, which others would refuse.
#[test]
fn target_campaigns_at_once() {
    let mut node = Node::stored(3, 2, None, &[1]);
    node.receive(2, 2, append(id(1, 1), &[], 0));
    let (asked, last) = (REQUEST_ID, id(1, 1));
    let sent = node.receive(2, 2, Message::TimeoutNow(TimeoutNow { id: asked, last }));
    assert_eq!((node.role(), node.term()), (RoleName::Candidate, 3));
    let reply = TimeoutNowReply {
        id: asked,
        campaigns: true,
    };
    assert_eq!(sent[0].message, Message::TimeoutNowReply(reply));
    assert_eq!(sent[0].term.0, 2);
    let transfer = true;
    for vote in &sent[1..] {
        assert_eq!(vote.message, Message::Vote(Vote { last, transfer }));
    }
    assert_eq!(sent.len(), 3);
}

/// The target declines if its log does not end in that entry, or that entry is not on its disk.
#[test]
fn target_without_the_last_entry_on_disk_declines() {
    let declined = |sent: &[Sent]| {
        let campaigns = false;
        let reply = TimeoutNowReply {
            id: REQUEST_ID,
            campaigns,
        };
        sent.iter()
            .any(|envelope| envelope.message == Message::TimeoutNowReply(reply))
    };
    let ask = |last| {
        let asked = TimeoutNow {
            id: REQUEST_ID,
            last,
        };
        Message::TimeoutNow(asked)
    };
    let mut node = Node::stored(3, 2, None, &[1]);
    for last in [id(2, 2), id(1, 2)] {
        assert!(declined(&node.receive(2, 2, ask(last))));
        assert_eq!(node.role(), RoleName::Follower);
    }
    let append = input_from(2, 1, 2, append(id(1, 1), &[2], 0));
    let _unsynced = node.before_storing(append);
    let (sent, _) = node.before_storing(input_from(2, 1, 2, ask(id(2, 2))));
    assert!(declined(&sent));
    assert_eq!(node.role(), RoleName::Follower);
}

/// "Its next message to the prior leader will include its new term number, causing the prior leader
/// to step down. At this point, leadership transfer is complete." The client is answered once the
/// target leads.
#[test]
fn transfer_is_done_once_another_node_leads() {
    let (mut node, _) = leader(2, 2);
    node.step(transfer(Some(2)));
    let (last, transfer) = (id(2, 2), true);
    assert!(granted(node.receive(
        2,
        3,
        Message::Vote(Vote { last, transfer })
    )));
    assert_eq!((node.role(), node.term()), (RoleName::Follower, 3));
    assert_ne!(
        node.answers.last().map(|(ticket, _)| *ticket),
        Some(TRANSFER)
    );
    node.receive(2, 3, append(id(2, 2), &[3], 1));
    assert_eq!(
        node.answers.last(),
        Some(&(TRANSFER, Response::Transferred))
    );
}

/// The flag of RequestVote (§4.2.3): a server that hears from a leader grants such a vote, and no
/// other.
#[test]
fn flag_lets_votes_pass_a_live_leader() {
    for transfer in [false, true] {
        let mut node = Node::stored(3, 2, None, &[1]);
        node.receive(2, 2, append(id(1, 1), &[], 0));
        let last = id(1, 1);
        let vote = Message::Vote(Vote { last, transfer });
        assert_eq!(granted(node.receive(3, 3, vote)), transfer);
    }
}

/// The flag does not excuse an old log (§5.4.1), nor a second vote in the term (§5.2).
#[test]
fn flag_excuses_no_other_rule() {
    let mut node = Node::stored(3, 2, None, &[1, 2]);
    let transfer = true;
    let vote = |last| Message::Vote(Vote { last, transfer });
    assert!(!granted(node.receive(3, 3, vote(id(1, 1)))));
    assert!(granted(node.receive(2, 3, vote(id(2, 2)))));
    assert!(!granted(node.receive(3, 3, vote(id(2, 2)))));
}

/// The flag belongs to one candidacy: a target that does not win asks for pre-votes next.
#[test]
fn flag_ends_with_the_candidacy() {
    let mut node = Node::stored(3, 2, None, &[1]);
    let (asked, last) = (REQUEST_ID, id(1, 1));
    node.receive(2, 2, Message::TimeoutNow(TimeoutNow { id: asked, last }));
    let mut sent = Vec::new();
    while sent.is_empty() {
        sent = node.ticks(1);
    }
    assert!(are_pre_votes(&sent));
    let Message::PreVote(PreVote { round, .. }) = sent[0].message else {
        panic!("{sent:?}");
    };
    let granted = true;
    let reply = raft_core::PreVoteReply { round, granted };
    let votes = node.receive(2, 3, Message::PreVoteReply(reply));
    let transfer = false;
    assert_eq!(votes[0].message, Message::Vote(Vote { last, transfer }));
}

/// "If leadership transfer does not complete after about an election timeout, the prior leader
/// aborts the transfer and resumes accepting client requests." So if the target never got
/// TimeoutNow.
#[test]
fn leader_goes_on_after_the_deadline() {
    let (mut node, appends) = leader(1, 2);
    node.step(transfer(Some(2)));
    for _ in 0..ELECTION {
        node.receive(3, 2, appended(&appends[1], 2));
        node.ticks(1);
    }
    let expired = Response::Refused(Refusal::TransferExpired);
    assert_eq!(node.answers.last(), Some(&(TRANSFER, expired)));
    assert_eq!((node.role(), node.term()), (RoleName::Leader, 2));
    let sent = node.write(8);
    assert_eq!(content(&to(3, &sent)[0]).1, [2]);
}

/// "If the prior leader was mistaken and the target server is actually operational, then at worst
/// this mistake will result in an extra election." The departure: a leader that has sent TimeoutNow
/// holds that election itself, so that no command is taken in a term that may be lost.
#[test]
fn leader_begins_a_term_if_the_target_may_have() {
    let (mut node, appends) = leader(2, 2);
    node.step(transfer(Some(2)));
    let mut sent = Vec::new();
    for _ in 0..ELECTION {
        node.receive(3, 2, appended(&appends[1], 2));
        sent = node.ticks(1);
    }
    assert_eq!((node.role(), node.term()), (RoleName::Candidate, 3));
    let (last, transfer) = (id(2, 2), true);
    assert_eq!(
        to(3, &sent)[0].message,
        Message::Vote(Vote { last, transfer })
    );
    let granted = true;
    node.receive(3, 3, Message::VoteReply(VoteReply { granted }));
    assert_eq!((node.role(), node.term()), (RoleName::Leader, 3));
    let expired = Response::Refused(Refusal::TransferExpired);
    assert_eq!(node.answers.last(), Some(&(TRANSFER, expired)));
}

/// A target that declines ends the transfer at once. A reply to another one does not.
#[test]
fn leader_goes_on_if_the_target_declines() {
    let (mut node, _) = leader(2, 2);
    let (_, TimeoutNow { id, .. }) = timeout_now(&node.step(transfer(Some(2))));
    let reply = |id, campaigns| {
        let reply = TimeoutNowReply { id, campaigns };
        Message::TimeoutNowReply(reply)
    };
    node.receive(2, 2, reply(REQUEST_ID, false));
    node.receive(2, 2, reply(id, true));
    assert_eq!(node.status().handover, Some(NodeId(2)));
    node.receive(2, 2, reply(id, false));
    assert_eq!(node.status().handover, None);
    let declined = Response::Refused(Refusal::TargetDeclined);
    assert_eq!(node.answers.last(), Some(&(TRANSFER, declined)));
    assert!(!node.write(8).is_empty());
}

/// If no leader is known by the request's deadline, the outcome is unknown.
#[test]
fn transfer_without_a_known_end_is_unknown() {
    let (mut node, _) = leader(2, 2);
    node.step(transfer(Some(2)));
    let (last, transfer) = (id(2, 2), true);
    node.receive(2, 3, Message::Vote(Vote { last, transfer }));
    node.ticks(2 * ELECTION);
    let unknown = Response::Unknown;
    assert_eq!(node.answers.last(), Some(&(TRANSFER, unknown)));
}

/// A message of a leader of a lower term is answered with the higher one, TimeoutNow too.
#[test]
fn stale_timeout_now_starts_no_election() {
    let mut node = Node::stored(3, 3, None, &[1]);
    let (asked, last) = (REQUEST_ID, id(1, 1));
    let reply = only(node.receive(2, 2, Message::TimeoutNow(TimeoutNow { id: asked, last })));
    assert_eq!((reply.message.kind(), reply.term.0), ("outdated", 3));
    assert_eq!(node.role(), RoleName::Follower);
}
