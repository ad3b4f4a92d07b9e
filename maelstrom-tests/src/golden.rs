//! Golden scripts: protocol stories as text, with everything that the nodes do.
//!
//! A line that begins at the margin is a command or a comment (`#`). The first line says what the
//! script shows. The indented lines below a command are its output: each event, and indented
//! further what the node did about it. [`run`] plays a script and returns it with new output; a
//! script passes if that equals the file. [`Script`] is a file, [`main`] the subcommand.
//!
//! ```text
//! # One node asks, the others grant, it leads.
//! cluster 3
//! campaign n1
//!   tick 1
//!     n1 is pre_candidate in term 0
//!     n1->n2 t0 pre_vote p1, last 0@0
//!     n1->n3 t0 pre_vote p1, last 0@0
//! ```
//!
//! An entry is written `index@term`. A message is written `sender->receiver`, the sender's term
//! (`t2`), its kind and its content. Requests between nodes are numbered in the order in which they
//! appear: `p1` is a round of pre-votes, `r1` a read round, `i1` a request for a read index, `f1` a
//! forward, `t1` a leadership transfer.
//!
//! | command | effect |
//! |---|---|
//! | `cluster 3 election=10 heartbeat=3` | starts new nodes n1, n2, n3. The times are in ticks. The election timeout is fixed, so that a story does not depend on chance; `election=10..20` draws it. `window=`, `batch=`, `early=`, `rounds=`, `requests=`, `proposals=`, `uncommitted=`, `snapshot=`, `trailing=`, `retained=`, `log=`, `reads=`, `apply=`, `chunk=`, `chunks=` (one unless set), `longest=` set limits |
//! | `node n1 term=2 vote=n1 log=1,1,2` | starts n1 anew with this on its disk: a blank entry of each of these terms |
//! | `tick n1 5`, `tick all 5` | clocks tick |
//! | `run 5` | five times: all clocks tick, and all messages arrive |
//! | `campaign n1` | n1's clock ticks until n1 asks for pre-votes |
//! | `write n1 x=1`, `cas n1 x:1->2`, `read n1 x` | a client sends n1 a request |
//! | `write n1 x=1 s1.7 from 5` | the same as number 7 of session 1, one of two that are open; the client wants no answers below 5. The same number is the same command |
//! | `transfer n1 [n2]` | a client asks n1 to hand its leadership over, to n2 or to the most advanced voter |
//! | `deliver [which]` | the messages that are under way now arrive |
//! | `settle` | messages arrive until none is under way |
//! | `drop [which]`, `duplicate [which]` | messages are lost; are copied, the copies last |
//! | `hold [which]`, `release [which]` | messages are held back; are under way again, after all others |
//! | `spoil [which]` | chunks of a snapshot are damaged, and arrive after all others |
//! | `cut n1 n2`, `heal` | messages from n1 to n2 are lost from now on; all links work again |
//! | `isolate n1` | n1 is cut off from all others |
//! | `crash n1`, `start n1`, `restart n1` | the process dies, starts from its disk, both |
//! | `stall n1`, `sync n1`, `unstall n1` | n1's outputs wait to be stored; are stored; are stored at once again |
//! | `busy n1`, `work n1`, `free n1` | n1's work on snapshots waits; does one step (the file gets its name, then n1 is notified); goes on by itself again |
//! | `forget n1` | n1 dies, loses its disk, and starts |
//! | `gather n1`, `flush n1` | n1's inputs have no output; all of them have one |
//! | `status [n1]`, `log [n1]`, `flight` | prints the nodes' states; the terms of their logs; the messages under way |
//! | `quietly COMMAND` | the command, without its output |
//!
//! `which` selects messages by any of `first`, `last` or `#2`, `n1->n2`, `n1->`, `->n2`, and a
//! kind. Without it all messages are meant.

mod notes;
mod play;
mod scripts;
mod stage;
mod words;

pub use self::play::run;
pub use self::scripts::{Script, main};
