//! Random courses of events in a cluster, and what is seen of it on the way. Figure 3's properties
//! must hold whatever happens.

use std::collections::BTreeMap;

use raft_core::{Entry, Input, RoleName, Ticket};
use rand::Rng;

use crate::table::{ELECTION, HEARTBEAT, Letter, Node};

/// How many courses are followed, each from a seed of its own, always the same ones: to run the
/// test again replays them all.
const COURSES: u64 = 100;

/// How many things happen in a course.
const EVENTS: u64 = 1000;

/// How many messages may be on their way; the oldest is lost for one more.
const LETTERS_MAX: usize = 60;

/// What is seen of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) node: u64,
    /// Which of the node's lives it is.
    pub(crate) life: u64,
    pub(crate) term: u64,
    pub(crate) leads: bool,
    pub(crate) log: Vec<Entry<u64>>,
    pub(crate) commit: u64,
    /// The commands that its machine has applied in this life, in order.
    pub(crate) applied: Vec<u64>,
}

/// How often that was seen which puts the properties to the test.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sights {
    pub(crate) terms_led: u64,
    pub(crate) truncations: u64,
    pub(crate) commits: u64,
    pub(crate) deaths: u64,
}

/// Follows all courses, and shows each node after each event that touched it, with the course's
/// seed and the event's number.
pub(crate) fn follow(mut see: impl FnMut(u64, u64, &View)) -> Sights {
    let mut sights = Sights::default();
    for seed in 0..COURSES {
        let mut course = Course::new(seed);
        for event in 0..EVENTS {
            let node = course.happen(&mut sights);
            see(seed, event, &course.view(node, &mut sights));
        }
    }
    sights
}

struct Course {
    rng: Rng,
    nodes: Vec<Node>,
    lives: Vec<u64>,
    seen: BTreeMap<u64, View>,
    letters: Vec<Letter>,
    /// Whose messages, and those to whom, are lost now.
    alone: Option<u64>,
    commands: u64,
}

impl Course {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::seeded(seed);
        let size = rng.range(2..=5);
        Self {
            rng,
            nodes: (1..=size).map(|id| Node::new(id, size)).collect(),
            lives: vec![1; size as usize],
            seen: BTreeMap::new(),
            letters: Vec::new(),
            alone: None,
            commands: 0,
        }
    }

    /// Something happens to a node, to a leader more often than to others; which one it was.
    fn happen(&mut self, sights: &mut Sights) -> usize {
        let leader = self
            .nodes
            .iter()
            .rposition(|n| n.role() == RoleName::Leader);
        let at = match leader {
            Some(leader) if self.rng.chance(1, 3) => leader,
            Some(_) | None => self.rng.below(self.nodes.len() as u64) as usize,
        };
        let (at, input) = match self.rng.below(22) {
            // Messages arrive in any order, most often the oldest first, and one in ten stays to
            // arrive once more.
            0..14 if !self.letters.is_empty() => {
                let among = if self.rng.chance(1, 4) {
                    self.letters.len() as u64
                } else {
                    1
                };
                let letter = self.rng.below(among) as usize;
                let letter = if self.rng.chance(1, 10) {
                    self.letters[letter].clone()
                } else {
                    self.letters.remove(letter)
                };
                (letter.to.0 as usize - 1, Input::Receive(letter))
            }
            14 | 15 => {
                self.commands += 1;
                let (ticket, command) = (Ticket(self.commands), self.commands);
                (at, Input::Write { ticket, command })
            }
            16..=18 => {
                let ticks = self.rng.range(1..=ELECTION + HEARTBEAT);
                let said = self.nodes[at].ticks(ticks);
                self.send(said);
                return at;
            }
            19 if self.rng.chance(1, 5) => {
                sights.deaths += 1;
                self.start_anew(at);
                return at;
            }
            20 if self.rng.chance(1, 2) => {
                self.alone = self.rng.chance(2, 3).then_some(at as u64 + 1);
                (at, Input::Tick)
            }
            _ => (at, Input::Tick),
        };
        let node = &mut self.nodes[at];
        // One in sixty times the process dies before it has stored anything of it.
        let said = if self.rng.chance(1, 60) {
            sights.deaths += 1;
            let (said, _) = node.before_storing(input);
            self.start_anew(at);
            said
        } else {
            node.step(input)
        };
        self.send(said);
        at
    }

    fn start_anew(&mut self, at: usize) {
        self.lives[at] += 1;
        self.nodes[at].restart();
    }

    /// One in twenty is lost, and all from and to the node that is cut off.
    fn send(&mut self, said: Vec<Letter>) {
        for letter in said {
            let is_cut = self
                .alone
                .is_some_and(|node| [letter.from.0, letter.to.0].contains(&node));
            if !is_cut && !self.rng.chance(1, 20) {
                self.letters.push(letter);
            }
        }
        let surplus = self.letters.len().saturating_sub(LETTERS_MAX);
        self.letters.drain(..surplus);
    }

    fn view(&mut self, at: usize, sights: &mut Sights) -> View {
        let node = &self.nodes[at];
        let view = View {
            node: at as u64 + 1,
            life: self.lives[at],
            term: node.term(),
            leads: node.role() == RoleName::Leader,
            log: node.log(),
            commit: node.commit(),
            applied: node.applied().to_vec(),
        };
        let before = self
            .seen
            .insert(view.node, view.clone())
            .unwrap_or_default();
        sights.terms_led += u64::from(view.leads && !(before.leads && before.term == view.term));
        sights.truncations +=
            u64::from(!view.log.starts_with(&before.log) && view.life == before.life);
        sights.commits += u64::from(view.commit > before.commit);
        view
    }
}
