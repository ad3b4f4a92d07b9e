//! The owner of a folder: the file `identity`, a line of JSON.
//!
//! ```json
//! {"format":2,"cluster":2146657644,"node":"n1","id":0,"folder":4711,"crc":1259915726}
//! ```
//!
//! It is written last when a folder is created, and never changed. The CRC is that of the line
//! without the field `crc` and without the line's end. Every segment of the log repeats it. `folder`
//! is a random number, so that no two folders have the same CRC.
//!
//! A file of format 1 has `nodes`, the names of all nodes, instead of `cluster`, `id` and `folder`. A
//! node's id is the position of its name, and the log does not begin with the members.

use std::fmt;

use raft_core::{Member, Membership, NodeId, Standing};

use super::crc::crc32c;
use super::error::{Error, ErrorKind};
use super::folder::{Folder, Name};

/// The version of the file.
const FORMAT: u32 = 2;

/// The node and the cluster to which a folder belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    stored: Stored,
    /// The cluster, by which snapshots of other clusters are recognised.
    pub cluster: Cluster,
    /// The node's id.
    pub id: NodeId,
}

/// A cluster: the CRC of the names of its initial members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cluster(pub(crate) u32);

impl Cluster {
    /// The cluster that begins with members of these names, in any order.
    #[must_use]
    pub fn of(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(crc32c(&json::encode(&in_order(names))))
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The order of the initial members' names, in which their ids count up from 0: by length, then by
/// text, so that `n2` comes before `n10`.
#[must_use]
pub fn name_order(name: &str) -> (usize, &str) {
    (name.len(), name)
}

fn in_order(names: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    let mut names: Vec<String> = names.into_iter().map(Into::into).collect();
    names.sort_by(|a, b| name_order(a).cmp(&name_order(b)));
    names
}

impl Identity {
    /// The owner of a new folder; `folder` is a random number.
    #[must_use]
    pub fn new(cluster: Cluster, node: &str, id: NodeId, folder: u64) -> Self {
        let mut stored = Stored {
            format: FORMAT,
            cluster: Some(cluster.0),
            node: node.to_owned(),
            id: Some(id.0),
            folder: Some(folder),
            nodes: None,
            crc: None,
        };
        stored.crc = Some(stored.crc());
        Self {
            stored,
            cluster,
            id,
        }
    }

    /// The owner of which a file tells.
    fn of(stored: Stored) -> Result<Self, &'static str> {
        let (cluster, id) = match &stored {
            Stored {
                format: FORMAT,
                cluster: Some(cluster),
                id: Some(id),
                folder: Some(_),
                nodes: None,
                ..
            } => (Cluster(*cluster), *id),
            Stored {
                format: 1,
                cluster: None,
                id: None,
                folder: None,
                nodes: Some(nodes),
                ..
            } => {
                // Earlier versions sorted the names as text; the file keeps its CRC.
                let position = in_order(nodes).iter().position(|name| *name == stored.node);
                let id = position.ok_or("the node is not among the nodes")?;
                (Cluster::of(nodes), id as u64)
            }
            Stored { .. } => return Err("the fields are not those of its format"),
        };
        Ok(Self {
            stored,
            cluster,
            id: NodeId(id),
        })
    }

    /// The node's name.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.stored.node
    }

    /// The members of which the log of a folder of format 1 does not tell.
    #[must_use]
    pub fn members(&self) -> Option<Membership> {
        let names = in_order(self.stored.nodes.as_ref()?);
        let voter = |(id, name): (u64, String)| {
            let (standing, address) = (Standing::Voter, name.into());
            (NodeId(id), Member { standing, address })
        };
        Some(Membership::new((0..).zip(names).map(voter)))
    }

    /// The CRC that every segment repeats.
    pub(super) fn crc(&self) -> u32 {
        self.stored.crc()
    }

    /// Creates the file.
    pub(super) fn create(&self, folder: &Folder) -> Result<(), Error> {
        folder.create(Name::Identity, |file| {
            file.write_at(&self.stored.to_bytes(), 0)
        })
    }

    /// Reads the file.
    pub(super) fn read(folder: &Folder) -> Result<Self, Error> {
        let file = folder.open(Name::Identity)?;
        let length = file.length()?;
        if length > MAX_LENGTH {
            let what = format!("the file has {length} bytes; the maximum is {MAX_LENGTH}");
            return Err(file.refuse(ErrorKind::Damaged, what).at(MAX_LENGTH));
        }
        let mut bytes = vec![0; length as usize];
        file.read_at(&mut bytes, 0)?;
        let damaged = |what: String| file.refuse(ErrorKind::Damaged, what).at(0);
        let invalid = |error| damaged(format!("not an identity file: {error}"));
        let version: Version = json::decode(&bytes).map_err(invalid)?;
        if version.format > FORMAT {
            let what = format!(
                "the folder has format {}; this program knows formats up to {FORMAT}",
                version.format
            );
            return Err(file.refuse(ErrorKind::Newer, what));
        }
        let stored: Stored = json::decode(&bytes).map_err(invalid)?;
        if stored.crc != Some(stored.crc()) || stored.to_bytes() != bytes {
            return Err(damaged("the CRC is wrong, or the file was edited".into()));
        }
        Self::of(stored).map_err(|what| damaged(what.into()))
    }

    /// Returns an error if the folder belongs to another node or cluster.
    pub(super) fn demand(&self, folder: &Folder, found: &Self) -> Result<(), Error> {
        let refuse = |what| Err(folder.refuse(ErrorKind::Foreign, Name::Identity, what));
        if self.cluster != found.cluster {
            return refuse(format!(
                "the folder belongs to the cluster {}, but this node is in the cluster {}, which \
                 began with members of other names",
                found.cluster, self.cluster
            ));
        }
        if self.node() != found.node() {
            return refuse(format!(
                "the folder belongs to node {}, but this is node {}",
                found.node(),
                self.node()
            ));
        }
        Ok(())
    }
}

/// The longest file in bytes: room for the names of a thousand nodes.
const MAX_LENGTH: u64 = 1 << 20;

json::record! {
    /// The content of the file, in any format.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Stored {
        format: u32,
        cluster: Option<u32>,
        node: String,
        id: Option<u64>,
        folder: Option<u64>,
        nodes: Option<Vec<String>>,
        crc: Option<u32>,
    }
}

impl Stored {
    /// The CRC of all other fields.
    fn crc(&self) -> u32 {
        let crc = None;
        crc32c(&json::encode(&Self {
            crc,
            ..self.clone()
        }))
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = json::encode(self);
        bytes.push(b'\n');
        bytes
    }
}

json::record! {
    struct Version { format: u32 }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::storage::disk::Disk as _;
    use crate::storage::disk::memory::Memory;

    fn read(text: &str) -> Result<Identity, String> {
        let disk = Memory::new();
        let file = disk.create("identity").unwrap();
        file.write_at(text.as_bytes(), 0).unwrap();
        let folder = Folder::lock(Arc::new(disk)).unwrap();
        Identity::read(&folder).map_err(|error| error.fact())
    }

    #[test]
    fn identity_is_read_as_written() {
        let cluster = Cluster::of(["n1", "n2"]);
        let identity = Identity::new(cluster, "n4", NodeId(3), 4711);
        let text = String::from_utf8(identity.stored.to_bytes()).unwrap();
        let expected =
            r#"{"format":2,"cluster":2663522164,"node":"n4","id":3,"folder":4711,"crc":525924061}"#;
        assert_eq!(text, format!("{expected}\n"));
        assert_eq!(read(&text), Ok(identity));
        assert_eq!(cluster, Cluster::of(["n2", "n1"]));
    }

    #[test]
    fn identity_of_format_1_is_read() {
        // As text, n10 comes before n2.
        let text = r#"{"format":1,"node":"n2","nodes":["n1","n10","n2"],"crc":3622598190}"#;
        let found = read(&format!("{text}\n")).unwrap();
        assert_eq!((found.node(), found.id), ("n2", NodeId(1)));
        assert_eq!(found.cluster, Cluster::of(["n1", "n2", "n10"]));
        let members = found.members().unwrap();
        let addresses = members.members().values().map(|m| m.address.to_string());
        assert_eq!(addresses.collect::<Vec<_>>(), ["n1", "n2", "n10"]);
        // The segments of that folder have the CRC of that order.
        assert_eq!(found.crc(), 3622598190);
    }

    #[test]
    fn fields_of_another_format_are_rejected() {
        let whole = Identity::new(Cluster(1), "n1", NodeId(0), 1).stored;
        let sealed = |mut stored: Stored| {
            stored.crc = Some(stored.crc());
            String::from_utf8(stored.to_bytes()).unwrap()
        };
        for stored in [
            Stored {
                id: None,
                ..whole.clone()
            },
            Stored {
                format: 1,
                ..whole.clone()
            },
            Stored {
                nodes: Some(vec!["n1".into()]),
                ..whole.clone()
            },
        ] {
            let error = read(&sealed(stored)).unwrap_err();
            assert!(error.contains("not those of its format"), "{error}");
        }
        let edited = sealed(whole).replace("\"id\":0", "\"id\":1");
        let error = read(&edited).unwrap_err();
        assert!(error.contains("the CRC is wrong"), "{error}");
    }
}
