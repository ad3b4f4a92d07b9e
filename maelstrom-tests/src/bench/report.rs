//! The outcome of a run. [`record`] collects it while the run goes on; [`evaluation`] computes
//! [`results`] from it and from the operations that [`ended`]; [`text`] prints them and [`plot`]
//! draws them. [`progress`] prints a line for each second.

pub mod ended;
pub mod evaluation;
pub mod plot;
pub mod progress;
pub mod record;
pub mod results;
pub mod text;
