//! Prints a way through worlds as a golden script.

use raft_core::{Envelope, NodeId};

use super::clients::Request;
use super::names::Namer;
use super::node::{Clocks, Effect, TICKS_MAX, TIMES};
use super::options::Bounds;
use super::table::Ref;
use super::world::{Action, Deed, Step, Tables, World, slot};

/// The first lines: new nodes. `rule` is broken in the end, or by one of them at once.
pub(super) fn begin(bounds: &Bounds, rule: &str) -> String {
    let (heartbeat, shortest, longest) = TIMES;
    let Bounds { nodes, .. } = bounds;
    let mut text =
        format!("# {rule}\ncluster {nodes} heartbeat={heartbeat} election={shortest}..{longest}");
    if let Some(entries) = bounds.snapshot_entries {
        text += &format!(" snapshot={entries} trailing=0 retained={entries}");
    }
    for node in nodes + 1..=bounds.all() {
        text += &format!("\njoin n{node}");
    }
    if bounds.snapshot_entries.is_some() {
        for node in 1..=bounds.all() {
            text += &format!("\nbusy n{node}");
        }
    }
    text + "\n"
}

/// The story from the first world: the steps on the way, by their numbers, and then the action that
/// breaks `rule`.
pub(super) fn write(tables: &Tables, way: &[u32], last: Option<Action>, rule: &str) -> String {
    // A search keeps one state for all that differ in their clocks alone. A script has real clocks.
    let own = Tables::new(tables.bounds().clone(), Clocks::True, tables.nodes.planted);
    match retrace(tables, way, &own) {
        Some(own_way) => write_with_clocks(&own, &own_way, last, rule),
        None => {
            let rule = format!("{rule} (with clocks that differ slightly from those of a script)");
            write_with_clocks(tables, way, last, &rule)
        }
    }
}

/// Finds the same way with other tables, if the clocks allow it.
fn retrace(tables: &Tables, way: &[u32], own: &Tables) -> Option<Vec<u32>> {
    let mut namers = [Namer::default(), Namer::default()];
    let mut worlds = [World::new(tables).ok()?, World::new(own).ok()?];
    let mut own_way = Vec::new();
    for number in way {
        let step = nth_step(&worlds[0], tables, *number);
        let goal = namers[0].fingerprint(tables, &step.next);
        let (steps, _) = worlds[1].steps(own, |_| {});
        let (own_number, own_step) = (0..).zip(steps).find(|(_, own_step)| {
            own_step.action == step.action && namers[1].fingerprint(own, &own_step.next) == goal
        })?;
        own_way.push(own_number);
        worlds = [step.next, own_step.next];
    }
    Some(own_way)
}

/// The story with the clocks of these tables.
pub(super) fn write_with_clocks(
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

/// The step with this number from a world.
fn nth_step<'a>(world: &World, tables: &'a Tables, number: u32) -> Step<'a> {
    // A later step may break a rule.
    let (mut steps, _) = world.steps(tables, |_| {});
    steps.swap_remove(number as usize)
}

struct Story<'a> {
    tables: &'a Tables,
    text: String,
}

impl Story<'_> {
    fn line(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
    }

    /// Prints an action, except clocks that run.
    fn begin(&mut self, world: &World, action: Action) {
        let id = action.node;
        if action.dies {
            self.line(&format!("stall n{id}"));
        }
        let which = |at| self.which(&world.flight, at);
        let command = match action.deed {
            Deed::Deliver(at) => format!("deliver {}", which(at)),
            Deed::Copy(at) => format!("duplicate {}\ndeliver {}", which(at), which(at)),
            Deed::Wait | Deed::Expire => return,
            Deed::Ask(Request::Read) => format!("read n{id} x"),
            Deed::Ask(request @ (Request::Write | Request::Retry)) => {
                let number = self.tables.clients[world.clients].ticket(request);
                // A number in a session only where a story needs it: to send a write again.
                let session = match self.tables.bounds().retries {
                    0 => String::new(),
                    _ => format!(" s1.{number}"),
                };
                format!("write n{id} x={number}{session}")
            }
            Deed::Transfer(to) => format!("transfer n{id} n{to}"),
            Deed::Change => {
                let Bounds {
                    nodes, add, remove, ..
                } = self.tables.bounds();
                let added = (nodes + 1..=nodes + add).map(|node| format!(" +n{node}"));
                let removed = (nodes - remove + 1..=*nodes).map(|node| format!(" -n{node}"));
                format!("change n{id}{}", added.chain(removed).collect::<String>())
            }
            Deed::Work => format!("work n{id}"),
            Deed::Crash => format!("{} n{id}", self.forget_or("restart")),
        };
        self.line(&command);
    }

    /// Prints that a process dies before it stores its output, and starts again.
    fn end(&mut self, Action { node: id, dies, .. }: Action) {
        if dies {
            let start = self.forget_or("start");
            self.line(&format!("crash n{id}\nunstall n{id}\n{start} n{id}"));
        }
    }

    /// The command for a start, or the one that loses the disk as well.
    fn forget_or(&self, word: &'static str) -> &'static str {
        if self.tables.bounds().forgetful {
            "forget"
        } else {
            word
        }
    }

    /// Prints the last action, which broke a rule.
    fn last(&mut self, world: &World, action: Action) {
        self.begin(world, action);
        if let Deed::Wait | Deed::Expire = action.deed {
            // One of these ticks breaks the rule and ends the script.
            self.line(&format!("tick n{} {TICKS_MAX}", action.node));
        }
        self.end(action);
    }

    /// Prints one step, and the messages that were lost.
    fn step(&mut self, world: &World, step: &Step<'_>) {
        let Step {
            action,
            effect,
            next,
        } = step;
        self.begin(world, *action);
        let mut flight = world.flight.clone();
        if let Deed::Deliver(at) = action.deed {
            flight.remove(at);
        } else if let Deed::Copy(at) = action.deed {
            flight[at..].rotate_left(1);
        }
        let id = action.node;
        let sent = self.ticks(effect, id);
        for message in sent {
            if flight.contains(message) {
                self.loses_last(*message);
            } else {
                flight.push(*message);
            }
        }
        self.end(*action);
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

    /// Prints the ticks, if clocks ran, and that the messages of all but the last were lost.
    /// Returns those of the last.
    fn ticks<'e>(&mut self, effect: &'e Effect, id: NodeId) -> &'e [Ref] {
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

    /// Prints that the last message is lost.
    fn loses_last(&mut self, message: Ref) {
        let Envelope {
            from, to, message, ..
        } = self.tables.message(message);
        self.line(&format!("drop last n{from}->n{to} {}", message.kind()));
    }

    /// The words that select a message under way.
    fn which(&self, flight: &[Ref], at: usize) -> String {
        let Envelope {
            from, to, message, ..
        } = self.tables.message(flight[at]);
        let kind = message.kind();
        let fits = |other: &&Ref| {
            let other = self.tables.message(**other);
            (other.from, other.to, other.message.kind()) == (*from, *to, kind)
        };
        let place = flight[..at].iter().filter(fits).count() + 1;
        format!("#{place} n{from}->n{to} {kind}")
    }
}
