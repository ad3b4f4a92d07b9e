//! Faults that do not heal: messages are lost, links are slow or cut, disks are bad. Some quorum
//! stays connected. It must elect a leader and serve in spite of them, again and again.

use std::collections::BTreeSet;

use raft_core::{NodeId, Term};

use super::agenda::Happening;
use super::trace::Event;
use super::world::World;
use crate::rules::{Broken, demand};

/// How long a connected quorum may take to serve a write and a read while faults last, in longest
/// election timeouts: an election fails if one of its messages is lost, or if round trips are
/// longer than its timeout. Where all timeouts are about the same and round trips are longer than
/// they differ, elections collide again and again: seed 800 took 70.
const SERVED_ELECTIONS_MAX: u64 = 400;

/// The same where few messages are slow and none is lost.
const SERVED_SOON_ELECTIONS_MAX: u64 = 60;

/// A leader that served this many times is there to stay, where few messages are slow and none is
/// lost.
const SETTLED: u64 = 3;

impl World {
    /// Lets faults last while a connected quorum must serve.
    pub(super) fn endure(&mut self) -> Result<(), Broken> {
        if self.options.lasting == 0 {
            return Ok(());
        }
        self.options = self.options.lasting_world();
        self.network.heal();
        self.note(Event::Healed);
        let quorum = self.draw_quorum();
        self.cut_others(&quorum);
        self.break_disks(&quorum);
        self.hurry();
        self.rare.lasting_runs += 1;
        let mut settled = None;
        for time in 0..self.options.lasting {
            self.serve_once(&quorum)?;
            if time >= SETTLED && self.options.is_gentle() && self.options.lasting_disks == 0 {
                let term = self.leaders().into_iter().map(|(_, term)| term).max();
                stays(*settled.get_or_insert(term), term)?;
            }
        }
        Ok(())
    }

    /// Draws a bare majority of the nodes. A present leader is seldom in it, so that mostly another
    /// one must be elected.
    fn draw_quorum(&mut self) -> BTreeSet<NodeId> {
        let mut live = self.live();
        self.rng.shuffle(&mut live);
        if self.rng.chance(3, 4) {
            let leaders: BTreeSet<NodeId> = self.leaders().into_iter().map(|(id, _)| id).collect();
            live.sort_by_key(|id| leaders.contains(id));
        }
        live.truncate(self.members.len() / 2 + 1);
        live.into_iter().collect()
    }

    /// Cuts links, mostly in one direction, except between the nodes of the quorum.
    fn cut_others(&mut self, quorum: &BTreeSet<NodeId>) {
        for from in self.ids() {
            for to in self.ids() {
                let joins = quorum.contains(&from) && quorum.contains(&to);
                if from != to
                    && !joins
                    && self.rng.chance(self.options.lasting_cut_permille, 1000)
                    && self.network.cut(from, to)
                {
                    self.rare.lasting_cuts += 1;
                    self.note(Event::Cut(from, to));
                }
            }
        }
    }

    /// Makes disks outside the quorum hang, or so slow that their nodes hold up a cluster that waits
    /// for them.
    fn break_disks(&mut self, quorum: &BTreeSet<NodeId>) {
        if self.options.lasting_disks == 0 {
            return;
        }
        for id in self.ids() {
            if quorum.contains(&id) {
                continue;
            }
            let lag = *self.rng.choose(&[0, 1, 4]).expect("three") * self.longest_election() / 2;
            let disk = &mut self.member(id).disk;
            disk.hangs = lag == 0;
            disk.lag = lag;
            let (count, what) = match lag {
                0 => (&mut self.rare.lasting_hangs, "its disk hangs"),
                _ => (&mut self.rare.lasting_lags, "its disk is slow"),
            };
            *count += 1;
            self.note(Event::Fault(Some(id), what));
        }
    }

    /// Asks each node of the quorum, once in each longest election timeout, until some write and
    /// some read are served.
    fn serve_once(&mut self, quorum: &BTreeSet<NodeId>) -> Result<(), Broken> {
        let start = self.agenda.now;
        let bound = if self.options.is_gentle() {
            SERVED_SOON_ELECTIONS_MAX * self.options.slowness_of_snapshots()
        } else {
            SERVED_ELECTIONS_MAX
        };
        for attempt in 1..=bound {
            let mut writes = vec![attempt % 2 == 0];
            // With small limits a read may find no room beside a write.
            if self.options.has_room() {
                writes.push(attempt % 2 == 1);
            }
            for id in quorum {
                for write in &writes {
                    let request = self.clients.probe(*id, *write);
                    self.agenda.schedule(0, Happening::Ask(*id, request));
                }
            }
            self.run_until(self.agenda.now + self.longest_election(), |_| false)?;
            if self.write_served > start && self.read_served > start {
                self.rare.slowest_service = self.rare.slowest_service.max(attempt);
                return Ok(());
            }
        }
        let nodes: Vec<String> = quorum.iter().map(NodeId::to_string).collect();
        let (nodes, has_written) = (nodes.join(", "), self.write_served > start);
        let kind = if has_written { "read" } else { "write" };
        Err(Broken(format!(
            "a connected quorum must serve while faults last: nodes {nodes} serve no {kind} within {bound} \
             times the longest election timeout"
        )))
    }
}

/// Demands that the leader is still the first one.
fn stays(first: Option<Term>, now: Option<Term>) -> Result<(), Broken> {
    demand(first == now, || {
        let term = |term: Option<Term>| term.map_or(0, |term| term.0);
        let (first, now) = (term(first), term(now));
        format!(
            "a leader that a quorum hears must stay: it led in term {first}, and now one leads in {now}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leader_that_is_replaced_is_rejected() {
        let term = |term| Some(Term(term));
        assert_eq!(stays(term(3), term(3)), Ok(()));
        for now in [term(4), None] {
            let Broken(rule) = stays(term(3), now).expect_err("another leader");
            assert!(
                rule.starts_with("a leader that a quorum hears must stay"),
                "{rule}"
            );
        }
    }
}
