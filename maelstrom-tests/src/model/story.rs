//! A course of a world as a golden script.

use std::{fmt::Write, sync::Arc};

use raft_core::{Envelope, NodeId};

use super::{
    options::Bounds,
    world::{Action, Fate, TIMES, World},
};
use crate::cluster::machine::Registers;

/// Writes down what happens, from the start of the world to its last action, which breaks `rule`.
pub(super) fn tell(bounds: &Bounds, actions: &[Action], rule: &str) -> String {
    let (heartbeat, shortest, longest) = TIMES;
    let mut story = Story {
        text: format!(
            "# {rule}\ncluster {} heartbeat={heartbeat} election={shortest}..{longest}\n",
            bounds.nodes
        ),
    };
    let Ok(mut world) = World::new(bounds) else {
        return story.text;
    };
    for action in actions {
        story.action(&mut world, *action, bounds);
    }
    story.text
}

struct Story {
    text: String,
}

impl Story {
    fn line(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect("a string takes all");
    }

    /// Tells an action and lets it happen.
    fn action(&mut self, world: &mut World, action: Action, bounds: &Bounds) {
        let command = match action {
            Action::Deliver(at, _) => format!("deliver {}", which(&world.flight, at)),
            Action::Copy(at) => {
                self.line(&format!("duplicate {}", which(&world.flight, at)));
                format!("deliver {}", which(&world.flight, at))
            }
            Action::Drop(at) => format!("drop {}", which(&world.flight, at)),
            Action::Wait(id, _) | Action::Expire(id, _) => format!("tick n{id}"),
            Action::Write(id, _) => {
                let number = u64::from(world.clients.writes + world.clients.reads) + 1;
                format!("write n{id} x={number}")
            }
            Action::Read(id) => format!("read n{id} x"),
            Action::Crash(id) => format!("crash n{id}"),
            Action::Start(id) => format!("start n{id}"),
        };
        let dying = dying(world, action);
        if let Some(id) = dying {
            self.line(&format!("stall n{id}"));
        }
        self.line(&command);
        let Ok(course) = world.act(action, bounds) else {
            // The last action, or one tick of it, broke the rule.
            return;
        };
        for (tick, lost) in course.lost.iter().enumerate() {
            if tick > 0 {
                self.line(&command);
            }
            for envelope in lost {
                let kind = envelope.message.kind();
                self.line(&format!(
                    "drop last n{}->n{} {kind}",
                    envelope.from, envelope.to
                ));
            }
        }
        if let Some(id) = dying {
            self.line(&format!("crash n{id}"));
            self.line(&format!("unstall n{id}"));
        }
        while let Some(at) = world.futile() {
            self.line(&format!("drop {}", which(&world.flight, at)));
            world.flight.remove(at);
        }
    }
}

/// Whose process dies over an action.
fn dying(world: &World, action: Action) -> Option<NodeId> {
    match action {
        Action::Deliver(at, Fate::Dies) => Some(world.flight[at].to),
        Action::Wait(id, Fate::Dies)
        | Action::Expire(id, Fate::Dies)
        | Action::Write(id, Fate::Dies) => Some(id),
        Action::Deliver(_, Fate::Lives)
        | Action::Wait(_, Fate::Lives)
        | Action::Expire(_, Fate::Lives)
        | Action::Write(_, Fate::Lives)
        | Action::Copy(_)
        | Action::Drop(_)
        | Action::Read(_)
        | Action::Crash(_)
        | Action::Start(_) => None,
    }
}

/// How a script picks a message out of those on their way.
fn which(flight: &[Arc<Envelope<Registers>>], at: usize) -> String {
    let Envelope {
        from, to, message, ..
    } = &*flight[at];
    let kind = message.kind();
    let fits = |other: &&Arc<Envelope<Registers>>| {
        (other.from, other.to, other.message.kind()) == (*from, *to, kind)
    };
    let place = flight[..at].iter().filter(fits).count() + 1;
    format!("#{place} n{from}->n{to} {kind}")
}
