//! An ordered map whose clone is one pointer: a B-tree with copy-on-write nodes.
//!
//! The leaves hold the pairs in order. An inner node has one key fewer than children; each key
//! separates two children: it is above all keys of the left one, and not above those of the right
//! one:
//!
//! ```text
//!                    [  k3   |    k6  ]
//!                   /        |         \
//!          [k1 k2]      [k3 k4 k5]      [k6 k7]
//! ```
//!
//! All links are reference-counted. Changing a leaf that a clone shares copies that leaf and its
//! ancestors first: one node per level, pointers and short keys, never a long key or a value. So
//! cloning a million pairs costs nothing, and each later write copies the few nodes on its path once.
//! A removal may also copy a neighbour of each, since nodes that became small are joined.

use std::hash::{Hash, Hasher};
use std::slice;
use std::sync::Arc;

use super::key::Key;
use super::text::Text;

/// The most pairs of a leaf and the most children of an inner node. Small, since a shared node is
/// copied before it changes. A million pairs take five levels.
const WIDTH: usize = 32;

/// A node that a removal leaves with fewer pairs or children joins a neighbour, if both fit into one.
const SPARSE: usize = WIDTH / 4;

/// The map. Maps with equal pairs are equal.
#[derive(Clone, Debug)]
pub(super) struct Map {
    root: Arc<Node>,
    len: usize,
}

#[derive(Clone, Debug)]
enum Node {
    Leaf(Vec<Pair>),
    Inner {
        keys: Vec<Key>,
        children: Vec<Arc<Node>>,
    },
}

type Pair = (Key, Text);

/// The new right neighbour of a node that was split, and the first key below it.
type Split = (Key, Arc<Node>);

impl Map {
    /// The number of pairs.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &Key) -> Option<&Text> {
        let mut node = &self.root;
        loop {
            match &**node {
                Node::Inner { keys, children } => node = &children[below(keys, key)],
                Node::Leaf(pairs) => {
                    let at = pairs.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
                    return Some(&pairs[at].1);
                }
            }
        }
    }

    /// Sets the value of a key.
    pub(super) fn insert(&mut self, key: &Key, value: Text) {
        let (added, split) = Arc::make_mut(&mut self.root).insert(key, value);
        self.len += usize::from(added);
        if let Some((first, right)) = split {
            let left = self.root.clone();
            self.root = Arc::new(Node::Inner {
                keys: vec![first],
                children: vec![left, right],
            });
        }
    }

    /// Removes a key. Returns whether it was there.
    pub(super) fn remove(&mut self, key: &Key) -> bool {
        if self.get(key).is_none() {
            return false;
        }
        Arc::make_mut(&mut self.root).remove(key);
        self.len -= 1;
        if self.len == 0 {
            *self = Self::default();
        }
        while let Node::Inner { keys: _, children } = &*self.root
            && let [only] = &children[..]
        {
            self.root = only.clone();
        }
        true
    }

    /// All pairs in the order of their keys.
    pub(super) fn iter(&self) -> Iter<'_> {
        self.range(&[])
    }

    /// The pairs whose keys have these [bytes](Key::as_bytes) or higher ones, in the order of their
    /// keys.
    pub(super) fn range(&self, from: &[u8]) -> Iter<'_> {
        let mut iter = Iter {
            above: Vec::new(),
            leaf: [].iter(),
        };
        iter.descend(&self.root, from);
        iter
    }
}

impl Node {
    /// Returns whether the key is new, and the right part if the node was split.
    fn insert(&mut self, key: &Key, value: Text) -> (bool, Option<Split>) {
        match self {
            Self::Leaf(pairs) => match pairs.binary_search_by(|(k, _)| k.cmp(key)) {
                Ok(at) => {
                    pairs[at].1 = value;
                    (false, None)
                }
                Err(at) => {
                    pairs.insert(at, (key.clone(), value));
                    let split = (pairs.len() > WIDTH).then(|| {
                        let right = pairs.split_off(middle(at));
                        (right[0].0.clone(), Arc::new(Self::Leaf(right)))
                    });
                    (true, split)
                }
            },
            Self::Inner { keys, children } => {
                let at = below(keys, key);
                let (added, split) = Arc::make_mut(&mut children[at]).insert(key, value);
                let Some((first, right)) = split else {
                    return (added, None);
                };
                keys.insert(at, first);
                children.insert(at + 1, right);
                let split = (children.len() > WIDTH).then(|| {
                    let middle = middle(at + 1);
                    let right = Self::Inner {
                        keys: keys.split_off(middle),
                        children: children.split_off(middle),
                    };
                    let first = keys.pop().expect("one for each child but the first");
                    (first, Arc::new(right))
                });
                (added, split)
            }
        }
    }

    /// Removes a key that is below this node, which may be empty then.
    fn remove(&mut self, key: &Key) {
        match self {
            Self::Leaf(pairs) => pairs.retain(|(k, _)| k != key),
            Self::Inner { keys, children } => {
                let at = below(keys, key);
                Arc::make_mut(&mut children[at]).remove(key);
                match children[at].len() {
                    0 => {
                        children.remove(at);
                        if !keys.is_empty() {
                            keys.remove(at.saturating_sub(1));
                        }
                    }
                    1..SPARSE => {
                        let fits = |left: &usize| {
                            let right = children.get(left + 1);
                            right.is_some_and(|r| children[*left].len() + r.len() <= WIDTH)
                        };
                        let lefts = [at.checked_sub(1), Some(at)];
                        if let Some(left) = lefts.into_iter().flatten().find(fits) {
                            let (first, right) = (keys.remove(left), children.remove(left + 1));
                            Arc::make_mut(&mut children[left]).join(first, &right);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// Appends the content of the node to the right, which `first` separates from this one.
    fn join(&mut self, first: Key, right: &Self) {
        match (self, right) {
            (Self::Leaf(pairs), Self::Leaf(more)) => pairs.extend_from_slice(more),
            (
                Self::Inner { keys, children },
                Self::Inner {
                    keys: more_keys,
                    children: more,
                },
            ) => {
                keys.push(first);
                keys.extend_from_slice(more_keys);
                children.extend_from_slice(more);
            }
            (Self::Leaf(_), Self::Inner { .. }) | (Self::Inner { .. }, Self::Leaf(_)) => {
                unreachable!("all leaves are on one level")
            }
        }
    }

    /// The number of pairs or children.
    fn len(&self) -> usize {
        match self {
            Self::Leaf(pairs) => pairs.len(),
            Self::Inner { keys: _, children } => children.len(),
        }
    }
}

/// The child below which the key belongs.
fn below(keys: &[Key], key: &Key) -> usize {
    keys.partition_point(|first| first <= key)
}

/// Where to split a node that is too full after an insertion at `at`. Always splitting in the
/// middle would leave every node half empty when keys arrive in ascending order.
fn middle(at: usize) -> usize {
    if at == WIDTH { WIDTH } else { WIDTH / 2 }
}

impl Default for Map {
    fn default() -> Self {
        Self {
            root: Arc::new(Node::Leaf(Vec::new())),
            len: 0,
        }
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        let same = Arc::ptr_eq(&self.root, &other.root);
        same || (self.len == other.len && self.iter().eq(other.iter()))
    }
}

impl Eq for Map {}

impl Hash for Map {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.len.hash(state);
        self.iter().for_each(|pair| pair.hash(state));
    }
}

/// Iterates over a map in the order of keys.
pub(super) struct Iter<'a> {
    /// The remaining children of the nodes above the leaf, outermost first.
    above: Vec<slice::Iter<'a, Arc<Node>>>,
    leaf: slice::Iter<'a, Pair>,
}

impl<'a> Iter<'a> {
    /// Goes to the first pair below a node whose key has these bytes or higher ones. It may be in the
    /// next leaf.
    fn descend(&mut self, mut node: &'a Node, from: &[u8]) {
        loop {
            match node {
                Node::Leaf(pairs) => {
                    let at = pairs.partition_point(|(key, _)| key.as_bytes() < from);
                    self.leaf = pairs[at..].iter();
                    return;
                }
                Node::Inner { keys, children } => {
                    let at = keys.partition_point(|first| first.as_bytes() <= from);
                    let mut rest = children[at..].iter();
                    node = rest.next().expect("one child more than keys");
                    self.above.push(rest);
                }
            }
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a Key, &'a Text);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.leaf.next() {
                return Some((key, value));
            }
            match self.above.last_mut()?.next() {
                Some(node) => self.descend(node, &[]),
                None => drop(self.above.pop()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::hash::DefaultHasher;
    use std::{env, ptr};

    use json::Value;
    use rand::Rng;

    use super::*;

    fn key_of(number: u64) -> Key {
        Value::from(number).into()
    }

    fn text(number: u64) -> Text {
        Value::from(number).into()
    }

    fn hash(map: &Map) -> u64 {
        let mut hasher = DefaultHasher::new();
        map.hash(&mut hasher);
        hasher.finish()
    }

    fn of(keys: impl IntoIterator<Item = u64>) -> Map {
        let mut map = Map::default();
        for key in keys {
            map.insert(&key_of(key), text(key));
        }
        map
    }

    /// Checks the structure, and returns the number of levels.
    fn check(node: &Node, from: Option<&Key>, to: Option<&Key>) -> usize {
        match node {
            Node::Leaf(pairs) => {
                assert!(pairs.len() <= WIDTH);
                assert!(pairs.is_sorted_by(|a, b| a.0 < b.0));
                let inside =
                    |key: &Key| from.is_none_or(|f| f <= key) && to.is_none_or(|t| key < t);
                assert!(pairs.iter().all(|(key, _)| inside(key)));
                1
            }
            Node::Inner { keys, children } => {
                assert!((1..=WIDTH).contains(&children.len()));
                assert_eq!(keys.len() + 1, children.len());
                let bound = |at: usize| keys.get(at);
                let levels: Vec<usize> = (0..children.len())
                    .map(|at| {
                        let from = at.checked_sub(1).map_or(from, bound);
                        check(&children[at], from, bound(at).or(to))
                    })
                    .collect();
                assert!(levels.iter().all(|level| *level == levels[0]));
                levels[0] + 1
            }
        }
    }

    /// The number of nodes, and how many of them `other` shares.
    fn shared(one: &Map, other: &Map) -> (usize, usize) {
        fn nodes(node: &Arc<Node>, seen: &mut Vec<*const Node>) {
            seen.push(Arc::as_ptr(node));
            if let Node::Inner { children, .. } = &**node {
                children.iter().for_each(|child| nodes(child, seen));
            }
        }
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        nodes(&one.root, &mut ours);
        nodes(&other.root, &mut theirs);
        let both = ours
            .iter()
            .filter(|node| theirs.iter().any(|n| ptr::eq(*n, **node)));
        (ours.len(), both.count())
    }

    #[test]
    fn map_agrees_with_a_btree_map() {
        let seed = env::var("STDRAFT_SEED")
            .map_or(7, |seed| seed.parse().expect("STDRAFT_SEED is a number"));
        println!("STDRAFT_SEED={seed} cargo test -p raft map_agrees_with_a_btree_map");
        let mut rng = Rng::seeded(seed);
        for keys in [1, 40, 2_000, 100_000] {
            let (mut map, mut model) = (Map::default(), BTreeMap::new());
            let mut copies = Vec::new();
            // Now mostly insertions, now mostly removals.
            for step in 0..12_000_u64 {
                let key = key_of(rng.below(keys));
                let inserts = if step / 3_000 % 2 == 0 { 9 } else { 1 };
                if rng.chance(inserts, 10) {
                    map.insert(&key, text(step));
                    model.insert(key.clone(), text(step));
                } else {
                    // Where there are many keys, most would not be there.
                    let near = model.range(&key..).next().map(|(key, _)| key.clone());
                    let key = near.unwrap_or(key.clone());
                    assert_eq!(map.remove(&key), model.remove(&key).is_some());
                }
                assert_eq!(map.get(&key), model.get(&key));
                let other = key_of(rng.below(keys));
                assert_eq!(map.get(&other), model.get(&other));
                if step % 1_000 == 0 {
                    let range = map.range(other.as_bytes()).take(100);
                    assert!(range.eq(model.range(&other..).take(100)));
                    copies.push((map.clone(), model.clone()));
                }
            }
            copies.push((map, model));
            // No clone has seen later writes.
            for (map, model) in copies {
                check(&map.root, None, None);
                assert_eq!(map.len(), model.len());
                assert!(map.iter().eq(model.iter()));
            }
        }
    }

    #[test]
    fn equality_does_not_depend_on_history() {
        let (up, down) = (of(0..5_000), of((0..5_000).rev()));
        assert_eq!(up, down);
        assert_eq!(hash(&up), hash(&down));
        assert_ne!(up, of(0..4_999));
        let mut other = down.clone();
        other.insert(&key_of(4_000), text(0));
        assert_ne!(up, other);
        assert_ne!(hash(&up), hash(&other));
    }

    #[test]
    fn write_after_a_clone_copies_one_node_per_level() {
        let map = of(0..100_000);
        let levels = check(&map.root, None, None);
        let mut copy = map.clone();
        let (nodes, both) = shared(&copy, &map);
        assert_eq!(nodes, both);
        copy.insert(&key_of(50_000), text(0));
        assert_eq!(shared(&copy, &map), (nodes, nodes - levels));
        // Copied nodes are not copied again.
        copy.insert(&key_of(50_000), text(0));
        assert_eq!(shared(&copy, &map), (nodes, nodes - levels));
        assert_eq!(map.get(&key_of(50_000)), Some(&text(50_000)));
    }

    #[test]
    fn removed_pairs_leave_no_nodes() {
        for descending in [false, true] {
            let mut map = of(0..20_000);
            let copy = map.clone();
            // Every hundredth stays.
            let mut gone: Vec<u64> = (0..20_000).filter(|key| key % 100 > 0).collect();
            if descending {
                gone.reverse();
            }
            assert!(gone.iter().all(|key| map.remove(&key_of(*key))));
            assert!(!map.remove(&key_of(1)));
            check(&map.root, None, None);
            assert_eq!(map, of((0..20_000).step_by(100)));
            let (nodes, _) = shared(&map, &map);
            assert!(nodes < 200 / SPARSE * 2, "{nodes}");
            assert_eq!(copy, of(0..20_000), "no clone sees a removal");
            (0..20_000).step_by(100).for_each(|key| {
                map.remove(&key_of(key));
            });
            assert_eq!((map.len(), shared(&map, &map).0), (0, 1));
        }
    }

    #[test]
    fn removal_of_a_missing_key_copies_nothing() {
        let map = of(0..1_000);
        let mut copy = map.clone();
        assert!(!copy.remove(&key_of(1_000)));
        let (nodes, both) = shared(&copy, &map);
        assert_eq!(nodes, both);
    }

    #[test]
    fn ascending_keys_fill_the_leaves() {
        let map = of(0..100_000);
        let (nodes, _) = shared(&map, &map);
        assert!(nodes < 100_000 / WIDTH * 11 / 10, "{nodes}");
        assert_eq!(check(&map.root, None, None), 4);
    }
}
