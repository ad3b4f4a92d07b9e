//! Log entries.

use alloc::sync::Arc;

use crate::id::EntryId;
use crate::membership::Membership;

/// One entry of the log. Cloning is cheap: the command is shared, never copied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry<C> {
    /// Its id.
    pub id: EntryId,
    /// Its content.
    pub payload: Payload<C>,
}

/// The content of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Payload<C> {
    /// The first entry of every leader (§8): committing it commits what former leaders left.
    Blank,
    /// A command for the state machine.
    Command(Arc<C>),
    /// The members of the cluster from this entry on, as soon as the log holds it (§6).
    Membership(Arc<Membership>),
}
