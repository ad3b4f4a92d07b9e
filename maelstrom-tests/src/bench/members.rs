//! The members of the cluster, as far as the bench knows them: it changes them, one change after
//! another, while the run goes on.
//!
//! The first half of the nodes are the initial members, and the others wait to be added. A node that
//! was removed stays out: its name would come back with another id, and its folder has the former one.

use std::collections::BTreeSet;

use super::network::Node;

/// What a change is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Add a member.
    Grow,
    /// Remove a member.
    Shrink,
    /// Add a member and remove another.
    Replace,
}

impl Wish {
    /// All of them.
    pub const ALL: [Wish; 3] = [Wish::Grow, Wish::Shrink, Wish::Replace];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Wish::Grow => "grow",
            Wish::Shrink => "shrink",
            Wish::Replace => "replace",
        }
    }
}

/// A change that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Tells its answers from those of earlier changes.
    pub number: u64,
    /// The node to add.
    pub add: Option<Node>,
    /// The member to remove.
    pub remove: Option<Node>,
}

/// The members, and the change that is under way.
#[derive(Debug)]
pub struct Members {
    initial: usize,
    members: BTreeSet<Node>,
    /// The nodes that never were members.
    spares: Vec<Node>,
    /// Asked for until it is known to be done.
    pending: Option<Change>,
    changes: u64,
}

/// How many of these nodes are the initial members.
pub fn initial(nodes: usize) -> usize {
    nodes.div_ceil(2)
}

impl Members {
    /// The first `initial` of the nodes are the members.
    pub fn new(nodes: usize, initial: usize) -> Members {
        Members {
            initial,
            members: (0..initial).map(Node).collect(),
            spares: (initial..nodes).rev().map(Node).collect(),
            pending: None,
            changes: 0,
        }
    }

    /// The members, unless a change is under way.
    pub fn settled(&self) -> Option<&BTreeSet<Node>> {
        self.pending.is_none().then_some(&self.members)
    }

    /// The change to ask for now: the one that is under way, or a new one. `None` if the wish cannot
    /// be fulfilled: no node is left to add, or a majority of the initial number has to stay. `draw`
    /// chooses the member that leaves.
    pub fn change(&mut self, wish: Wish, draw: u64) -> Option<Change> {
        if self.pending.is_none() {
            let may_leave = self.members.len() > self.initial / 2 + 1;
            let add = (wish != Wish::Shrink).then(|| self.spares.last().copied());
            let leaves = match wish {
                Wish::Grow => false,
                Wish::Shrink => may_leave,
                Wish::Replace => true,
            };
            let place = (draw % self.members.len() as u64) as usize;
            let remove = leaves
                .then(|| self.members.iter().nth(place).copied())
                .flatten();
            if add == Some(None) || add.flatten().or(remove).is_none() {
                return None;
            }
            self.changes += 1;
            self.pending = Some(Change {
                number: self.changes,
                add: add.flatten(),
                remove,
            });
        }
        self.pending.clone()
    }

    /// The change with this number, while it is under way.
    pub fn pending(&self, number: u64) -> Option<Change> {
        let pending = self.pending.as_ref();
        pending.filter(|change| change.number == number).cloned()
    }

    /// Notes that a change is done. Any answer but that of the one under way is late.
    pub fn done(&mut self, number: u64) {
        if let Some(change) = self.pending.take_if(|change| change.number == number) {
            self.members.extend(change.add);
            self.spares.retain(|spare| Some(*spare) != change.add);
            self.members.retain(|member| Some(*member) != change.remove);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(numbers: &[usize]) -> BTreeSet<Node> {
        numbers.iter().copied().map(Node).collect()
    }

    #[test]
    fn changes_follow_each_other() {
        let mut members = Members::new(5, initial(5));
        assert_eq!(members.settled(), Some(&nodes(&[0, 1, 2])));
        let change = members.change(Wish::Replace, 4).expect("a spare is left");
        assert_eq!((change.add, change.remove), (Some(Node(3)), Some(Node(1))));
        assert_eq!(members.settled(), None);
        assert_eq!(
            members.change(Wish::Grow, 0),
            Some(change.clone()),
            "until it is done"
        );
        members.done(change.number + 1);
        assert_eq!(members.settled(), None, "another one's answer");
        members.done(change.number);
        assert_eq!(members.settled(), Some(&nodes(&[0, 2, 3])));
        let change = members.change(Wish::Grow, 0).expect("a spare is left");
        assert_eq!((change.add, change.remove), (Some(Node(4)), None));
        members.done(change.number);
        assert_eq!(members.change(Wish::Grow, 0), None);
        assert_eq!(members.change(Wish::Replace, 0), None);
        for left in [3, 2] {
            let change = members.change(Wish::Shrink, 0).expect("enough stay");
            assert_eq!(change.add, None);
            members.done(change.number);
            assert_eq!(members.settled().map(BTreeSet::len), Some(left));
        }
        assert_eq!(members.change(Wish::Shrink, 0), None);
    }
}
