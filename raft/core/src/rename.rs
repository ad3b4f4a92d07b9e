//! The same state under other names, for searches that count what differs in names alone once.
//!
//! Which of three alike nodes did something, or how many questions it had asked before, changes
//! nothing about what may happen next. A search renames each state it meets in one fixed way, and
//! so finds that it has met it before.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::mem;

use crate::id::{Incarnation, Index, NodeId, RequestId, Term};
use crate::input::Ticket;

/// What things are called instead. No two things may get the same name, and those of one life
/// must keep their order.
pub trait Names {
    /// A node's other name.
    fn node(&mut self, node: NodeId) -> NodeId;
    /// A life's other name.
    fn life(&mut self, life: Incarnation) -> Incarnation;
    /// A question's other name; its life's must be [`Names::life`]'s.
    fn question(&mut self, question: RequestId) -> RequestId;
}

/// Something that has names in it.
pub trait Rename {
    /// Gives all that is named in it its other name.
    fn rename(&mut self, names: &mut dyn Names);
}

impl Rename for NodeId {
    fn rename(&mut self, names: &mut dyn Names) {
        *self = names.node(*self);
    }
}

impl Rename for Incarnation {
    fn rename(&mut self, names: &mut dyn Names) {
        *self = names.life(*self);
    }
}

impl Rename for RequestId {
    fn rename(&mut self, names: &mut dyn Names) {
        *self = names.question(*self);
    }
}

impl<T: Rename> Rename for Option<T> {
    fn rename(&mut self, names: &mut dyn Names) {
        self.iter_mut().for_each(|item| item.rename(names));
    }
}

impl<T: Rename> Rename for Box<T> {
    fn rename(&mut self, names: &mut dyn Names) {
        (**self).rename(names);
    }
}

impl<T: Rename> Rename for Vec<T> {
    fn rename(&mut self, names: &mut dyn Names) {
        self.iter_mut().for_each(|item| item.rename(names));
    }
}

impl<T: Rename> Rename for VecDeque<T> {
    fn rename(&mut self, names: &mut dyn Names) {
        self.iter_mut().for_each(|item| item.rename(names));
    }
}

impl<T: Rename + Ord> Rename for BTreeSet<T> {
    fn rename(&mut self, names: &mut dyn Names) {
        let renamed = mem::take(self).into_iter().map(|mut item| {
            item.rename(names);
            item
        });
        *self = renamed.collect();
    }
}

impl<K: Rename + Ord, V: Rename> Rename for BTreeMap<K, V> {
    fn rename(&mut self, names: &mut dyn Names) {
        let renamed = mem::take(self).into_iter().map(|(mut key, mut value)| {
            key.rename(names);
            value.rename(names);
            (key, value)
        });
        *self = renamed.collect();
    }
}

/// Says which fields of a type have names in them; the others have none.
macro_rules! renames {
    (<$($generic:ident $(: $bound:ident)?),+> $type:ty { $($field:ident),* $(,)? }) => {
        impl<$($generic $(: $bound)?),+> $crate::rename::Rename for $type {
            fn rename(&mut self, names: &mut dyn $crate::rename::Names) {
                $(self.$field.rename(names);)*
            }
        }
    };
    ($type:ty { $($field:ident),* $(,)? }) => {
        impl $crate::rename::Rename for $type {
            fn rename(&mut self, names: &mut dyn $crate::rename::Names) {
                $(self.$field.rename(names);)*
            }
        }
    };
}
pub(crate) use renames;

/// What has no name in it.
macro_rules! nameless {
    ($($type:ty),*) => {$(
        impl Rename for $type {
            fn rename(&mut self, _: &mut dyn Names) {}
        }
    )*};
}

nameless!(bool, Index, Term, Ticket);
