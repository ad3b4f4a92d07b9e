//! The owner of a folder: the file `identity`, a line of JSON.
//!
//! ```json
//! {"format":1,"node":"n1","nodes":["n1","n2","n3"],"crc":1234567890}
//! ```
//!
//! It is written last when a folder is created, and never changed. The CRC is that of the line
//! without the field `crc` and without the line's end. Every segment of the log repeats it.

use super::bytes::FORMAT;
use super::crc::crc32c;
use super::error::{Error, ErrorKind};
use super::folder::{Folder, Name};

/// The node and the cluster to which a folder belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    node: String,
    nodes: Vec<String>,
    crc: u32,
}

/// A cluster: the CRC of its nodes' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cluster(pub(super) u32);

/// The order of nodes' names, in which a node's id is its position: by length, then by text, so
/// that `n2` comes before `n10`.
#[must_use]
pub fn name_order(name: &str) -> (usize, &str) {
    (name.len(), name)
}

impl Identity {
    /// `node` is the node's name, `nodes` those of all nodes of its cluster in any order.
    #[must_use]
    pub fn new(node: &str, nodes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut nodes: Vec<String> = nodes.into_iter().map(Into::into).collect();
        nodes.sort_by(|a, b| name_order(a).cmp(&name_order(b)));
        let node = node.to_owned();
        let crc = crc(&node, &nodes);
        Self { node, nodes, crc }
    }

    /// The node's name.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The names of all nodes, in their [order](name_order).
    #[must_use]
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// The CRC that every segment repeats.
    pub(super) fn crc(&self) -> u32 {
        self.crc
    }

    /// The cluster, by which snapshots of other clusters are recognised.
    pub(super) fn cluster(&self) -> Cluster {
        Cluster(crc32c(&json::encode(&self.nodes)))
    }

    /// Creates the file.
    pub(super) fn create(&self, folder: &Folder) -> Result<(), Error> {
        folder.create(Name::Identity, |file| {
            file.write_at(&to_bytes(&self.node, &self.nodes), 0)
        })?;
        Ok(())
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
        if to_bytes(&stored.node, &stored.nodes) != bytes {
            return Err(damaged("the CRC is wrong, or the file was edited".into()));
        }
        // Earlier versions sorted the names as text; the file keeps its CRC.
        Ok(Self {
            crc: stored.crc,
            ..Self::new(&stored.node, stored.nodes)
        })
    }

    /// Returns an error if the folder belongs to another node or cluster.
    pub(super) fn demand(&self, folder: &Folder, found: &Self) -> Result<(), Error> {
        let refuse = |what| Err(folder.refuse(ErrorKind::Foreign, Name::Identity, what));
        if self.nodes != found.nodes {
            return refuse(format!(
                "the folder belongs to the cluster of {}, but this node is in that of {}",
                found.nodes.join(", "),
                self.nodes.join(", ")
            ));
        }
        if self.node != found.node {
            return refuse(format!(
                "the folder belongs to node {}, but this is node {}",
                found.node, self.node
            ));
        }
        Ok(())
    }
}

fn crc(node: &str, nodes: &[String]) -> u32 {
    crc32c(&json::encode(&Content {
        format: FORMAT,
        node: node.to_owned(),
        nodes: nodes.to_vec(),
    }))
}

/// The content of the file.
fn to_bytes(node: &str, nodes: &[String]) -> Vec<u8> {
    let mut bytes = json::encode(&Stored {
        format: FORMAT,
        node: node.to_owned(),
        nodes: nodes.to_vec(),
        crc: crc(node, nodes),
    });
    bytes.push(b'\n');
    bytes
}

/// The longest file in bytes: room for the names of a thousand nodes.
const MAX_LENGTH: u64 = 1 << 20;

json::record! {
    struct Content { format: u32, node: String, nodes: Vec<String> }
}

json::record! {
    struct Stored { format: u32, node: String, nodes: Vec<String>, crc: u32 }
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

    #[test]
    fn identity_of_an_earlier_version_is_accepted() {
        let names = ["n1", "n10", "n2"].map(str::to_owned);
        let disk = Memory::new();
        let file = disk.create("identity").unwrap();
        file.write_at(&to_bytes("n2", &names), 0).unwrap();
        let folder = Folder::lock(Arc::new(disk)).unwrap();
        let found = Identity::read(&folder).unwrap();
        assert_eq!(found.nodes(), ["n1", "n2", "n10"]);
        let mine = Identity::new("n2", names.clone());
        assert!(mine.demand(&folder, &found).is_ok());
        // The segments of that folder have the CRC of that order.
        assert_eq!(found.crc(), crc("n2", &names));
        assert_ne!(found.crc(), mine.crc());
    }
}
