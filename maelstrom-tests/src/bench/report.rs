//! What a run leaves behind: its history, its results, the report and the pictures.

pub mod ended;
pub mod evaluation;
pub mod plot;
pub mod progress;
pub mod record;
pub mod results;
pub mod text;
