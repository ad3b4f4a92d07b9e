//! The members of a cluster as JSON, for messages, the log and snapshots:
//!
//! ```json
//! {"next":5,"members":[[1,"voter","n1"],[2,"outgoing","n2"],[4,"incoming","n4"]]}
//! ```
//!
//! Each member has its id, its standing (see [`raft_core::Standing`]) and its address. All ids below
//! `next` were given to members, present or former.

use std::sync::Arc;

use json::{Decode, Encode, Error, Reader, Writer};
use raft_core::{Member, Membership, NodeId, Standing};

json::record! {
    struct Body { next: u64, members: Vec<(u64, Stands, String)> }
}

/// The members of a cluster, to be encoded or as decoded.
#[derive(Clone, Debug)]
pub(crate) struct Members(pub(crate) Arc<Membership>);

/// A standing as JSON.
struct Stands(Standing);

const STANDINGS: [(&str, Standing); 4] = [
    ("voter", Standing::Voter),
    ("incoming", Standing::Incoming),
    ("outgoing", Standing::Outgoing),
    ("learner", Standing::Learner),
];

/// A standing in messages and replies.
pub(crate) fn standing_name(standing: Standing) -> &'static str {
    let named = STANDINGS.iter().find(|(_, other)| *other == standing);
    named.expect("all standings have names").0
}

impl Encode for Stands {
    fn encode(&self, writer: &mut Writer<'_>) {
        standing_name(self.0).encode(writer);
    }
}

impl<'a> Decode<'a> for Stands {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let name = String::decode(reader)?;
        let named = STANDINGS.iter().find(|(known, _)| *known == name);
        let unknown = || format!("{name:?} is not a standing of a member");
        named
            .map(|(_, standing)| Self(*standing))
            .ok_or_else(|| reader.custom_error(unknown()))
    }
}

impl Encode for Members {
    fn encode(&self, writer: &mut Writer<'_>) {
        let one = |(id, member): (&NodeId, &Member)| {
            (id.0, Stands(member.standing), member.address.to_string())
        };
        let next = self.0.next().0;
        let members = self.0.members().iter().map(one).collect();
        Body { next, members }.encode(writer);
    }
}

impl<'a> Decode<'a> for Members {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let Body { next, members } = Body::decode(reader)?;
        let one = |(id, Stands(standing), address): (_, _, String)| {
            let address = address.into();
            (NodeId(id), Member { standing, address })
        };
        let membership = Membership::new(members.into_iter().map(one));
        Ok(Self(Arc::new(membership.with_next(next))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_as_written() {
        let text = r#"{"next":9,"members":[[0,"voter",""],[2,"outgoing","n2"],[4,"incoming","h:1"],[5,"learner","n5"]]}"#;
        let Members(read) = json::decode(text.as_bytes()).expect("members");
        assert_eq!(read.next(), NodeId(9));
        assert!(read.is_joint());
        assert_eq!(json::encode(&Members(read)), text.as_bytes());
    }

    #[test]
    fn unknown_standing_is_rejected() {
        let text = br#"{"next":1,"members":[[0,"boss","n1"]]}"#;
        let error = json::decode::<Members>(text).expect_err("no such standing");
        assert!(
            error.to_string().contains("\"boss\" is not a standing"),
            "{error}"
        );
    }
}
