//! How long each operation took.

use super::axis::{Logarithmic, Picture, duration};
use super::{Ended, Ending, FUNCTIONS, Fault, ended, seconds};
use crate::history::Operation;

/// The height of the panel of one function, in pixels.
const PANEL_PX: f64 = 170.0;

/// Draws each operation that ended as a dot: when it began, how long it took (on a logarithmic
/// scale), and by its colour how it ended; one panel for each function. `end_ns` is when the run
/// ended.
pub fn latency(operations: &[Operation], faults: &[Fault], end_ns: u64) -> String {
    let ended: Vec<Ended> = ended(operations).collect();
    let scale = Logarithmic::holding(ended.iter().map(|one| one.to - one.from));
    let legend = Ending::ALL.map(|ending| {
        let count = ended.iter().filter(|one| one.ending == ending).count();
        (ending, count as u64)
    });
    let mut picture = Picture::new(
        "Latency of each operation",
        (FUNCTIONS.len(), PANEL_PX),
        seconds(end_ns),
        &legend,
        faults,
    );
    for (panel, function) in FUNCTIONS.into_iter().enumerate() {
        let ticks = scale
            .ticks()
            .map(|tick| (scale.place(tick), duration(tick)));
        picture.frame(panel, function, ticks);
        // What is rare is drawn last, on top.
        for ending in Ending::ALL {
            let dots = ended
                .iter()
                .filter(|one| one.function == function && one.ending == ending)
                .map(|one| (one.from, scale.place(one.to - one.from)));
            picture.dots(panel, ending.colour(), dots);
        }
    }
    picture.into_svg()
}
