//! The simulated network between the nodes: latency, loss, duplication, partitions.
//!
//! As in Maelstrom, a message between servers gets a deadline when it is sent, and each receiver
//! has one queue ordered by deadline. A receiver takes the head of its queue and waits for that
//! message's deadline; messages sent meanwhile wait for it too. In Maelstrom that also delays
//! clients' requests, though they have no latency of their own; here only with
//! [`Conditions::clients_wait`], since this delay says nothing about a node. Partitions drop on
//! receipt, so a message that is in flight when the network is cut is lost, and one that is sent
//! into a cut which heals in time arrives. Clients are never cut off, and lose nothing.
//!
//! There is no clock in here: the caller passes the time since the run began.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::iter;
use std::time::Duration;

use rand::Rng;

/// A node, by its position in `node_ids`: 0 for `n0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(pub usize);

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// How nodes are connected to each other and to the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// Each node's stdin and stdout, with messages that the bench passes on.
    #[default]
    Maelstrom,
    /// TCP, with connections between nodes whose bytes the bench passes on.
    Tcp,
}

impl Transport {
    /// All of them.
    pub const ALL: [Transport; 2] = [Transport::Maelstrom, Transport::Tcp];

    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Transport> {
        Transport::ALL
            .into_iter()
            .find(|known| known.name() == name)
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Maelstrom => "maelstrom",
            Transport::Tcp => "tcp",
        }
    }
}

/// How long a message between servers is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// The mean; 0 turns latency off.
    pub mean: Duration,
    /// How it varies.
    pub distribution: Distribution,
}

/// How latencies vary around their mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Distribution {
    /// They do not.
    #[default]
    Constant,
    /// Anything from zero to twice the mean is equally likely.
    Uniform,
    /// Exponential: most are short, some are many times the mean.
    Exponential,
}

impl Distribution {
    /// All of them.
    pub const ALL: [Distribution; 3] = [
        Distribution::Constant,
        Distribution::Uniform,
        Distribution::Exponential,
    ];

    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Distribution> {
        Distribution::ALL
            .into_iter()
            .find(|known| known.name() == name)
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Distribution::Constant => "constant",
            Distribution::Uniform => "uniform",
            Distribution::Exponential => "exponential",
        }
    }
}

impl Latency {
    pub(super) fn draw(&self, rng: &mut Rng) -> Duration {
        let mean = u64::try_from(self.mean.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(match self.distribution {
            Distribution::Constant => mean,
            Distribution::Uniform => rng.range(0..=mean.saturating_mul(2)),
            Distribution::Exponential => rng.exponential(mean),
        })
    }
}

/// A probability in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Millionths(pub u32);

impl Millionths {
    /// The number that is a certainty.
    pub const ONE: u32 = 1_000_000;

    /// The probability as a number from 0 to 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ONE)
    }

    /// Whether it happens this time.
    pub fn happens(self, rng: &mut Rng) -> bool {
        self.0 > 0 && rng.chance(self.0.into(), Self::ONE.into())
    }
}

/// What the network does to messages: by default, nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conditions {
    /// How long they take.
    pub latency: Latency,
    /// How likely each is lost.
    pub loss: Millionths,
    /// How likely each arrives twice (each copy with a latency of its own).
    pub duplicate: Millionths,
    /// Whether a client's request waits for the message that its receiver waits for, as in
    /// Maelstrom.
    pub clients_wait: bool,
}

/// Where a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A node.
    Server(Node),
    /// A client.
    Client,
}

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet<T> {
    /// Its sender.
    pub source: Source,
    /// Its receiver.
    pub dest: Node,
    /// What is sent.
    pub payload: T,
}

/// The fate of a message at its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is delivered.
    Delivered,
    /// A partition dropped it.
    Cut,
}

/// The fate of a message when it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way.
    Once,
    /// It is on its way twice.
    Twice,
    /// It is lost.
    Lost,
    /// It was dropped because its receiver's queue is full.
    Overflow,
}

/// The most messages that may be on their way to one node; messages beyond it are dropped.
pub const IN_FLIGHT_MAX: usize = 1 << 18;

/// Pairs of a sender and a receiver between which messages are dropped.
pub type Cuts = BTreeSet<(Node, Node)>;

/// The network.
#[derive(Debug)]
pub struct Network<T> {
    rng: Rng,
    conditions: Conditions,
    receivers: Vec<Receiver<T>>,
    /// The current partition; without cuts the network is whole.
    pub cuts: Cuts,
    sent: u64,
}

#[derive(Debug)]
struct Receiver<T> {
    /// The message whose deadline the receiver waits for.
    head: Option<(Due, Packet<T>)>,
    waiting: BTreeMap<Due, Packet<T>>,
    /// Clients' requests that wait for nothing.
    prompt: VecDeque<(Due, Packet<T>)>,
}

/// The deadline of a message, and its number, so that equal deadlines keep the order of sending.
type Due = (Duration, u64);

impl<T: Clone> Network<T> {
    /// A whole network of `nodes` nodes.
    pub fn new(rng: Rng, conditions: Conditions, nodes: usize) -> Network<T> {
        Network {
            rng,
            conditions,
            receivers: iter::repeat_with(Receiver::new).take(nodes).collect(),
            cuts: Cuts::new(),
            sent: 0,
        }
    }

    /// Drops what is on its way to a node, and returns it.
    pub fn clear(&mut self, dest: Node) -> impl Iterator<Item = Packet<T>> {
        let receiver = std::mem::replace(&mut self.receivers[dest.0], Receiver::new());
        let messages = receiver.head.into_iter().chain(receiver.waiting);
        messages.chain(receiver.prompt).map(|(_, packet)| packet)
    }

    /// Restarts time: what was `origin` is zero from now on.
    pub fn rebase(&mut self, origin: Duration) {
        let shift = |((deadline, number), packet): (Due, Packet<T>)| {
            ((deadline.saturating_sub(origin), number), packet)
        };
        for receiver in &mut self.receivers {
            let waiting = std::mem::take(&mut receiver.waiting);
            receiver.head = receiver.head.take().map(shift);
            receiver.waiting = waiting.into_iter().map(shift).collect();
            receiver.prompt = receiver.prompt.drain(..).map(shift).collect();
        }
    }

    /// Takes a message at the time `now`. A node's messages to itself have latency but are neither
    /// lost nor doubled.
    pub fn send(&mut self, now: Duration, packet: Packet<T>) -> Sent {
        let receiver = &self.receivers[packet.dest.0];
        if receiver.waiting.len() + receiver.prompt.len() >= IN_FLIGHT_MAX {
            return Sent::Overflow;
        }
        let Source::Server(source) = packet.source else {
            self.enqueue(now, packet);
            return Sent::Once;
        };
        let mut sent = Sent::Once;
        if source != packet.dest {
            if self.conditions.loss.happens(&mut self.rng) {
                return Sent::Lost;
            }
            if self.conditions.duplicate.happens(&mut self.rng) {
                let deadline = now + self.conditions.latency.draw(&mut self.rng);
                self.enqueue(deadline, packet.clone());
                sent = Sent::Twice;
            }
        }
        let deadline = now + self.conditions.latency.draw(&mut self.rng);
        self.enqueue(deadline, packet);
        sent
    }

    /// When the next message falls due, if one is on its way.
    pub fn due(&self) -> Option<Duration> {
        let heads = self
            .receivers
            .iter()
            .flat_map(|receiver| receiver.head.iter().chain(receiver.prompt.front()));
        heads.map(|((deadline, _), _)| *deadline).min()
    }

    /// The next message that is due at `now`, each receiver's in order.
    pub fn next(&mut self, now: Duration) -> Option<(Packet<T>, Fate)> {
        let mut receivers = self.receivers.iter_mut();
        let packet = receivers.find_map(|receiver| receiver.next(now))?;
        let fate = match packet.source {
            Source::Server(source) if self.cuts.contains(&(source, packet.dest)) => Fate::Cut,
            Source::Server(_) | Source::Client => Fate::Delivered,
        };
        Some((packet, fate))
    }

    fn enqueue(&mut self, deadline: Duration, packet: Packet<T>) {
        self.sent += 1;
        let receiver = &mut self.receivers[packet.dest.0];
        let (source, due) = (packet.source, (deadline, self.sent));
        match (source, &receiver.head) {
            (Source::Client, _) if !self.conditions.clients_wait => {
                receiver.prompt.push_back((due, packet));
            }
            (_, None) => receiver.head = Some((due, packet)),
            (_, Some(_)) => drop(receiver.waiting.insert(due, packet)),
        }
    }
}

impl<T> Receiver<T> {
    fn new() -> Receiver<T> {
        Receiver {
            head: None,
            waiting: BTreeMap::new(),
            prompt: VecDeque::new(),
        }
    }

    /// The next message that is due at `now`.
    fn next(&mut self, now: Duration) -> Option<Packet<T>> {
        if let Some((_, request)) = self.prompt.pop_front() {
            return Some(request);
        }
        let (_, due) = self.head.take_if(|((deadline, _), _)| *deadline <= now)?;
        self.head = self.waiting.pop_first();
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Conditions = Conditions {
        latency: Latency {
            mean: Duration::from_millis(10),
            distribution: Distribution::Constant,
        },
        loss: Millionths(0),
        duplicate: Millionths(0),
        clients_wait: false,
    };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn network(conditions: Conditions) -> Network<u32> {
        Network::new(Rng::seeded(3), conditions, 3)
    }

    fn between(source: usize, dest: usize, payload: u32) -> Packet<u32> {
        Packet {
            source: Source::Server(Node(source)),
            dest: Node(dest),
            payload,
        }
    }

    fn from_client(dest: usize, payload: u32) -> Packet<u32> {
        Packet {
            source: Source::Client,
            dest: Node(dest),
            payload,
        }
    }

    /// What arrives at `now`, as payloads; those that were cut off are negative.
    fn arrivals(network: &mut Network<u32>, now: Duration) -> Vec<i64> {
        let mut arrived = Vec::new();
        while let Some((packet, fate)) = network.next(now) {
            arrived.push(match fate {
                Fate::Delivered => i64::from(packet.payload),
                Fate::Cut => -i64::from(packet.payload),
            });
        }
        arrived
    }

    #[test]
    fn only_servers_messages_have_latency() {
        let mut network = network(CALM);
        network.send(ms(5), between(0, 1, 1));
        network.send(ms(5), from_client(2, 2));
        assert_eq!(arrivals(&mut network, ms(5)), [2]);
        assert_eq!(network.due(), Some(ms(15)));
        assert_eq!(arrivals(&mut network, ms(14)), [0; 0]);
        assert_eq!(arrivals(&mut network, ms(15)), [1]);
        assert_eq!(network.due(), None);
    }

    #[test]
    fn clients_pass_what_their_receiver_waits_for() {
        let mut network = network(CALM);
        network.send(ms(0), between(0, 1, 1));
        network.send(ms(1), from_client(1, 2));
        assert_eq!(network.due(), Some(ms(1)));
        assert_eq!(arrivals(&mut network, ms(1)), [2]);
        assert_eq!(network.due(), Some(ms(10)));
        assert_eq!(arrivals(&mut network, ms(10)), [1]);
    }

    #[test]
    fn a_receiver_waits_for_the_message_it_has_taken() {
        let mut network = network(Conditions {
            clients_wait: true,
            ..CALM
        });
        network.send(ms(0), between(0, 1, 1));
        network.send(ms(1), from_client(1, 2));
        network.send(ms(1), from_client(1, 3));
        assert_eq!(arrivals(&mut network, ms(9)), [0; 0]);
        assert_eq!(arrivals(&mut network, ms(10)), [1, 2, 3]);
    }

    #[test]
    fn waiting_messages_are_sorted_by_deadline() {
        let mut network = network(Conditions {
            latency: Latency {
                mean: ms(50),
                distribution: Distribution::Uniform,
            },
            ..CALM
        });
        for payload in 0..100 {
            network.send(ms(0), between(0, 1, payload));
        }
        let order = arrivals(&mut network, ms(100));
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..100));
        assert_ne!(order, sorted);
        assert_eq!(order[0], 0, "the first was taken at once");
    }

    #[test]
    fn partitions_drop_on_receipt_and_one_way() {
        let mut network = network(CALM);
        network.send(ms(0), between(0, 1, 1));
        network.send(ms(0), between(1, 0, 2));
        network.send(ms(0), between(1, 1, 3));
        network.cuts = Cuts::from([(Node(0), Node(1))]);
        assert_eq!(arrivals(&mut network, ms(10)), [2, -1, 3]);
        network.send(ms(10), between(0, 1, 4));
        network.send(ms(10), from_client(1, 5));
        network.cuts.clear();
        assert_eq!(arrivals(&mut network, ms(20)), [5, 4]);
    }

    #[test]
    fn cleared_queue_is_empty() {
        let mut network = network(CALM);
        for payload in 1..=3 {
            network.send(ms(0), between(0, 1, payload));
        }
        network.send(ms(0), between(0, 2, 4));
        network.send(ms(0), from_client(1, 5));
        let dropped = network.clear(Node(1)).map(|packet| packet.payload);
        let mut dropped: Vec<u32> = dropped.collect();
        dropped.sort_unstable();
        assert_eq!(dropped, [1, 2, 3, 5]);
        assert_eq!(arrivals(&mut network, ms(10)), [4]);
    }

    #[test]
    fn clients_and_messages_to_oneself_are_not_lost() {
        let count = |conditions, packet: Packet<u32>| {
            let mut network = network(conditions);
            for _ in 0..1000 {
                network.send(ms(0), packet.clone());
            }
            arrivals(&mut network, ms(10)).len()
        };
        let lossy = Conditions {
            loss: Millionths(100_000),
            ..CALM
        };
        let doubling = Conditions {
            duplicate: Millionths(100_000),
            ..CALM
        };
        assert!((850..950).contains(&count(lossy, between(0, 1, 1))));
        assert!((1050..1150).contains(&count(doubling, between(0, 1, 1))));
        for conditions in [lossy, doubling] {
            assert_eq!(count(conditions, between(1, 1, 1)), 1000);
            assert_eq!(count(conditions, from_client(1, 1)), 1000);
        }
    }

    #[test]
    fn latencies_have_their_mean() {
        for distribution in Distribution::ALL {
            let latency = Latency {
                mean: ms(10),
                distribution,
            };
            let mut rng = Rng::seeded(1);
            let total: Duration = (0..10_000).map(|_| latency.draw(&mut rng)).sum();
            assert!(
                (97..103).contains(&(total.as_millis() / 1000)),
                "{distribution:?}"
            );
        }
    }

    #[test]
    fn rebase_restarts_time() {
        let mut network = network(CALM);
        network.send(ms(100), between(0, 1, 1));
        network.send(ms(101), between(0, 1, 2));
        network.rebase(ms(105));
        assert_eq!(arrivals(&mut network, ms(4)), [0; 0]);
        assert_eq!(arrivals(&mut network, ms(5)), [1]);
        assert_eq!(arrivals(&mut network, ms(6)), [2]);
    }

    #[test]
    fn a_full_queue_drops() {
        let mut network = network(CALM);
        for payload in 0..=IN_FLIGHT_MAX as u32 {
            assert_eq!(network.send(ms(0), between(0, 1, payload)), Sent::Once);
        }
        assert_eq!(network.send(ms(0), between(0, 1, 0)), Sent::Overflow);
        assert_eq!(network.send(ms(0), between(0, 2, 0)), Sent::Once);
    }
}
