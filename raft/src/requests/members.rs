//! Requests about the members of the cluster.

use std::collections::BTreeSet;

use raft_core::{NodeId, Refusal, Standing};

use super::{ErrorCode, Reply, refused};
use crate::host::ClientRequest;
use crate::kv::Kv;
use crate::members::standing_name;
use crate::node::address::{Address, is_place, name_in};
use crate::node::address_book::AddressBook;
use crate::sessions::Sessions;
use crate::stdio::clipped;

/// The most members that a change may lead to.
pub(crate) const MEMBERS_MAX: usize = 128;

json::record! {
    /// A member in a reply.
    #[derive(Debug, PartialEq)]
    pub(crate) struct MemberBody { id: u64, name: String, address: Option<String>, standing: String }
}

/// The reply to a `members` request: the members by this node's log, committed or not.
pub(crate) fn members(in_reply_to: i64, book: &AddressBook) -> Reply {
    let all = book.members();
    let member = |(node, member): (&NodeId, &raft_core::Member)| {
        let place = member.address.split_once('=').map(|(_, place)| place);
        MemberBody {
            id: node.0,
            name: name_in(&member.address).to_owned(),
            address: place.map(str::to_owned),
            standing: standing_name(member.standing).to_owned(),
        }
    };
    Reply::MembersOk {
        in_reply_to,
        members: all.members().iter().map(member).collect(),
        leader: book.leader().and_then(|leader| book.name(leader)),
    }
}

/// The change of the members that a request asks for: `add` are addresses, with a place if this node
/// `me` has one, and `remove` are names.
///
/// # Errors
/// This node does not lead, or the members do not allow the change.
pub(crate) fn change(
    me: NodeId,
    book: &AddressBook,
    add: Vec<String>,
    remove: &[String],
) -> Result<ClientRequest<Sessions<Kv>>, (ErrorCode, String)> {
    let leader = book.leader();
    if leader != Some(me) {
        return Err(refused(Refusal::NotLeading(leader), |id| book.name(id)));
    }
    let malformed = |text: String| (ErrorCode::MalformedRequest, text);
    let conflict = |text: String| (ErrorCode::PreconditionFailed, text);
    if add.is_empty() && remove.is_empty() {
        return Err(malformed(
            "nothing to do: name nodes in \"add\" or \"remove\"".into(),
        ));
    }
    let networked = book.address(me).is_some_and(|mine| mine.contains('='));
    let all = book.members();
    let mut leave = BTreeSet::new();
    for name in remove {
        let id = book.id(name);
        let unknown = || conflict(format!("{:?} is not the name of a member", clipped(name)));
        leave.insert(id.ok_or_else(unknown)?);
    }
    let mut names = BTreeSet::new();
    for text in &add {
        let shown = clipped(text);
        let address = Address::parse(text).map_err(|why| malformed(format!("{shown:?} {why}")))?;
        if address.place.map(is_place) != networked.then_some(true) {
            let form = if networked {
                "NAME=HOST:PORT"
            } else {
                "the name alone"
            };
            return Err(malformed(format!(
                "{shown:?} is not an address here: give {form}"
            )));
        }
        if !names.insert(address.name) {
            return Err(malformed(format!("{shown:?} is named twice in \"add\"")));
        }
        for (node, member) in all.members() {
            let waits = member.standing == Standing::Learner && *member.address == **text;
            if name_in(&member.address) == address.name && !leave.contains(node) && !waits {
                return Err(conflict(format!("{:?} is a member already", address.name)));
            }
        }
    }
    if all.members().len() + add.len() > MEMBERS_MAX {
        let text = format!("the cluster would have more than {MEMBERS_MAX} members");
        return Err(conflict(text));
    }
    let add = add.into_iter().map(Into::into).collect();
    let remove = leave;
    Ok(ClientRequest::ChangeMembers { add, remove })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use raft_core::{Member, Membership};

    use super::*;

    /// Two voters and a learner that a former change left; the first one leads.
    fn book() -> AddressBook {
        let members = [(0, "n1", Standing::Voter), (1, "n2", Standing::Voter)];
        let members = members.into_iter().chain([(4, "n5", Standing::Learner)]);
        let members = members.map(|(id, address, standing)| {
            let address = address.into();
            (NodeId(id), Member { standing, address })
        });
        AddressBook::of(Arc::new(Membership::new(members)), Some(NodeId(0)))
    }

    fn changed(
        add: &[&str],
        remove: &[&str],
    ) -> Result<ClientRequest<Sessions<Kv>>, (u64, String)> {
        let texts = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let changed = change(NodeId(0), &book(), texts(add), &texts(remove));
        changed.map_err(|(code, text)| (code.number(), text))
    }

    #[test]
    fn names_become_ids() {
        let expected = |add: &[&str], remove: &[u64]| {
            Ok(ClientRequest::ChangeMembers {
                add: add.iter().map(|address| (*address).into()).collect(),
                remove: remove.iter().copied().map(NodeId).collect(),
            })
        };
        assert_eq!(changed(&["n4"], &["n2"]), expected(&["n4"], &[1]));
        assert_eq!(changed(&["n2"], &["n2"]), expected(&["n2"], &[1]));
        assert_eq!(changed(&["n5"], &[]), expected(&["n5"], &[]));
    }

    #[test]
    fn impossible_changes_are_explained() {
        let many: Vec<String> = (0..MEMBERS_MAX).map(|n| format!("m{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (add, remove, code, text) in [
            (&[][..], &[][..], 12, "nothing to do"),
            (&["n4", "n4"], &[], 12, "named twice"),
            (&["n4=h:1"], &[], 12, "give the name alone"),
            (&[""], &[], 12, "has no name"),
            (&["n2"], &[], 22, "\"n2\" is a member already"),
            (&[], &["n9"], 22, "\"n9\" is not the name of a member"),
            (&many, &[], 22, "more than 128"),
        ] {
            let (found, why) = changed(add, remove).unwrap_err();
            assert!(found == code && why.contains(text), "{found} {why}");
        }
    }

    #[test]
    fn members_on_a_network_need_a_host_and_a_port() {
        let address = "n1=h:1".into();
        let standing = Standing::Voter;
        let members = Membership::new([(NodeId(0), Member { standing, address })]);
        let book = AddressBook::of(Arc::new(members), Some(NodeId(0)));
        let add = |address: &str| change(NodeId(0), &book, vec![address.into()], &[]);
        for address in ["n2", "n2=h", "n2=:1", "n2=h:0"] {
            let (code, why) = add(address).unwrap_err();
            let form = why.contains("give NAME=HOST:PORT");
            assert!(
                code == ErrorCode::MalformedRequest && form,
                "{address}: {why}"
            );
        }
        assert!(add("n2=h:1").is_ok());
    }

    #[test]
    fn follower_names_the_leader() {
        let refusal = change(NodeId(1), &book(), vec!["n4".into()], &[]);
        let expected = "this node does not lead; ask n1".to_owned();
        assert_eq!(refusal, Err((ErrorCode::TemporarilyUnavailable, expected)));
    }
}
