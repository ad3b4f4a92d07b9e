//! Storage from outside: what is written to a disk of any kind, and what comes back.

mod crashes;
mod damage;
mod history;
mod plain;
mod random;
