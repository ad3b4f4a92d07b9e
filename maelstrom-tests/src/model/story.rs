//! A course of a world as a golden script.

use std::fmt::Write;
use std::ops::ControlFlow;

use raft_core::{Envelope, NodeId};

use super::names::{Named, Namer};
use super::node::{Clocks, Effect, TICKS_MAX, TIMES};
use super::options::Bounds;
use super::table::Ref;
use super::world::{Action, Fate, Step, Tables, World, slot};
use crate::replica::machine::Registers;

/// The first lines: new nodes, of which one may have broken `rule` already.
pub(super) fn begin(bounds: &Bounds, rule: &str) -> String {
    let (heartbeat, shortest, longest) = TIMES;
    let Bounds { nodes, .. } = bounds;
    let mut text =
        format!("# {rule}\ncluster {nodes} heartbeat={heartbeat} election={shortest}..{longest}");
    if let Some(entries) = bounds.snapshot_entries {
        write!(text, " snapshot={entries} trailing=0 retained={entries}").expect(TAKES_ALL);
    }
    text.push('\n');
    if bounds.snapshot_entries.is_some() {
        for node in 1..=*nodes {
            writeln!(text, "busy n{node}").expect(TAKES_ALL);
        }
    }
    text
}

/// Why a string can be written to.
const TAKES_ALL: &str = "a string takes all";

/// Writes down what happens, from the start of the world: the ways on that were taken, by their
/// numbers, and then an action which breaks `rule`.
pub(super) fn tell(tables: &Tables, way: &[u32], last: Option<Action>, rule: &str) -> String {
    // In a search one state of a node stands for all that differ in their clocks alone. On a stage
    // clocks are what they are.
    let own = Tables::new(tables.bounds().clone(), Clocks::True, tables.nodes.rule);
    match retrace(tables, way, &own) {
        Some(own_way) => tell_as_it_is(&own, &own_way, last, rule),
        None => {
            let rule = format!("{rule} (if clocks have run somewhat differently than on a stage)");
            tell_as_it_is(tables, way, last, &rule)
        }
    }
}

/// Goes the same way in the same world with other tables, if the clocks allow it.
fn retrace(tables: &Tables, way: &[u32], own: &Tables) -> Option<Vec<u32>> {
    let mut namers = [Namer::default(), Namer::default()];
    let mut worlds = [World::new(tables).ok()?, World::new(own).ok()?];
    let mut own_way = Vec::new();
    for number in way {
        let step = nth_step(&worlds[0], tables, *number);
        let goal = namers[0].fingerprint(tables, &step.next);
        let (mut ways, mut found) = (0, None);
        let ended = worlds[1].steps(
            own,
            |_| {},
            |own_step| {
                let fits = own_step.action == step.action;
                if fits && namers[1].fingerprint(own, &own_step.next) == goal {
                    found = Some(own_step.next);
                    return ControlFlow::Break(());
                }
                ways += 1;
                ControlFlow::Continue(())
            },
        );
        ended.ok()?;
        own_way.push(ways);
        worlds = [step.next, found?];
    }
    Some(own_way)
}

/// Writes it down as it is in these tables.
pub(super) fn tell_as_it_is(
    tables: &Tables,
    way: &[u32],
    last: Option<Action>,
    rule: &str,
) -> String {
    let mut story = Story {
        tables,
        text: begin(tables.bounds(), rule),
    };
    let Ok(mut world) = World::new(tables) else {
        return story.text;
    };
    for number in way {
        let step = nth_step(&world, tables, *number);
        story.step(&world, &step);
        world = step.next;
    }
    if let Some(action) = last {
        story.last(&world, action);
    }
    story.text
}

/// One of the ways on from a world.
fn nth_step<'a>(world: &World, tables: &'a Tables, number: u32) -> Step<'a> {
    let (mut ways, mut taken) = (0, None);
    // A rule may be broken on another way, behind this one.
    let ended = world.steps(
        tables,
        |_| {},
        |step| {
            if ways == number {
                taken = Some(step);
                return ControlFlow::Break(());
            }
            ways += 1;
            ControlFlow::Continue(())
        },
    );
    match (taken, ended) {
        (Some(step), _) => step,
        (None, ended) => unreachable!("what happened once happens again: {ended:?}"),
    }
}

struct Story<'a> {
    tables: &'a Tables,
    text: String,
}

impl Story<'_> {
    fn line(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect(TAKES_ALL);
    }

    /// Tells what happens, but for clocks that run.
    fn begin(&mut self, world: &World, action: Action) {
        let id = world.actor(action, self.tables);
        if action.fate() == Fate::Dies {
            self.line(&format!("stall n{id}"));
        }
        let which = |at| self.which(&world.flight, at);
        let command = match action {
            Action::Deliver(at, _) => format!("deliver {}", which(at)),
            Action::Copy(at) => format!("duplicate {}\ndeliver {}", which(at), which(at)),
            Action::Wait(..) | Action::Expire(..) => return,
            Action::Write(id, _) => {
                let number = self.tables.clients[world.clients].next();
                format!("write n{id} x={number}")
            }
            Action::Read(id) => format!("read n{id} x"),
            Action::Work(id, _) => format!("work n{id}"),
            Action::Crash(id) => format!("{} n{id}", self.forget_or("restart")),
        };
        self.line(&command);
    }

    /// Tells how a process ends that was kept from storing anything, and starts again.
    fn end(&mut self, world: &World, action: Action) {
        if action.fate() == Fate::Dies {
            let id = world.actor(action, self.tables);
            let start = self.forget_or("start");
            self.line(&format!("crash n{id}\nunstall n{id}\n{start} n{id}"));
        }
    }

    /// The word for a start, unless the disk is lost before.
    fn forget_or(&self, word: &'static str) -> &'static str {
        if self.tables.bounds().forgetful {
            "forget"
        } else {
            word
        }
    }

    /// Tells the last action, over which a rule was broken.
    fn last(&mut self, world: &World, action: Action) {
        self.begin(world, action);
        if let Action::Wait(id, _) | Action::Expire(id, _) = action {
            // At one of these ticks, and there the script ends.
            self.line(&format!("tick n{id} {TICKS_MAX}"));
        }
        self.end(world, action);
    }

    /// Tells one way on, and all that was lost.
    fn step(&mut self, world: &World, step: &Step<'_>) {
        let Step {
            action,
            effect,
            next,
        } = step;
        self.begin(world, *action);
        let mut flight = world.flight.clone();
        match action {
            Action::Deliver(at, _) => {
                flight.remove(*at);
            }
            Action::Copy(at) => {
                let message = flight.remove(*at);
                flight.push(message);
            }
            Action::Wait(..)
            | Action::Expire(..)
            | Action::Write(..)
            | Action::Read(_)
            | Action::Work(..)
            | Action::Crash(_) => {}
        }
        let id = world.actor(*action, self.tables);
        let sent = self.ticks(effect, id);
        for message in sent {
            if flight.contains(message) {
                self.loses_last(*message);
            } else {
                flight.push(*message);
            }
        }
        self.end(world, *action);
        while let Some(at) = flight.iter().position(|known| !next.flight.contains(known)) {
            let which = self.which(&flight, at);
            self.line(&format!("drop {which}"));
            flight.remove(at);
        }
        let mut now = world.clone();
        now.nodes[slot(id)] = effect.after;
        for (at, id) in (1..=now.nodes.len() as u64).map(NodeId).enumerate() {
            if now.nodes[at] != next.nodes[at]
                && let Some(effect) = now.calmed(at, self.tables)
            {
                self.ticks(effect, id);
            }
        }
    }

    /// Tells the ticks, if clocks ran, and that all was lost that was said at any but the last.
    /// Returns what was said then.
    fn ticks<'e>(
        &mut self,
        effect: &'e Effect,
        id: NodeId,
    ) -> &'e [Ref<Named<Envelope<Registers>>>] {
        let [before, ticks @ ..] = &effect.sent[..] else {
            unreachable!("there is one list at least");
        };
        let mut silent = 0;
        for (tick, sent) in (1..).zip(ticks) {
            silent += 1;
            if tick < ticks.len() && sent.is_empty() {
                continue;
            }
            self.line(&format!("tick n{id} {silent}"));
            silent = 0;
            if tick < ticks.len() {
                for message in sent {
                    self.loses_last(*message);
                }
            }
        }
        ticks.last().unwrap_or(before)
    }

    /// Tells that what was just said is lost.
    fn loses_last(&mut self, message: Ref<Named<Envelope<Registers>>>) {
        let Envelope {
            from, to, message, ..
        } = self.tables.message(message);
        self.line(&format!("drop last n{from}->n{to} {}", message.kind()));
    }

    /// How a script picks a message out of those on their way.
    fn which(&self, flight: &[Ref<Named<Envelope<Registers>>>], at: usize) -> String {
        let Envelope {
            from, to, message, ..
        } = self.tables.message(flight[at]);
        let kind = message.kind();
        let fits = |other: &&Ref<Named<Envelope<Registers>>>| {
            let other = self.tables.message(**other);
            (other.from, other.to, other.message.kind()) == (*from, *to, kind)
        };
        let place = flight[..at].iter().filter(fits).count() + 1;
        format!("#{place} n{from}->n{to} {kind}")
    }
}
