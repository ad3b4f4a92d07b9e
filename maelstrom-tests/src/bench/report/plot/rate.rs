//! How many operations ended each second.

use super::axis::{Linear, Picture, duration, round_up, trimmed};
use super::{Ended, Ending, Fault, ended, seconds};
use crate::history::Operation;

/// The height of the panel, in pixels.
const PANEL_PX: f64 = 300.0;

/// About how many points a line has.
const POINTS: f64 = 100.0;

/// Draws how many operations ended each second, a line for each way to end. `end_ns` is when the
/// run ended.
pub fn rate(operations: &[Operation], faults: &[Fault], end_ns: u64) -> String {
    let ended: Vec<Ended> = ended(operations).collect();
    let end_s = seconds(end_ns.max(1));
    let step = round_up(end_s / POINTS);
    // The last bin is left out if it is not whole, since it would look like a breakdown.
    let bins = ((end_s / step * (1.0 + 1e-9)).floor() as usize).max(1);
    let mut counts = [const { Vec::new() }; Ending::ALL.len()].map(|mut bin: Vec<u64>| {
        bin.resize(bins, 0);
        bin
    });
    let mut legend = Ending::ALL.map(|ending| (ending, 0));
    for one in &ended {
        let ending = one.ending as usize;
        legend[ending].1 += 1;
        if let Some(count) = counts[ending].get_mut((one.to / step) as usize) {
            *count += 1;
        }
    }
    let most = counts.iter().flatten().max().copied().unwrap_or(0);
    let scale = Linear::up_to(most as f64 / step * 1.05);
    let mut picture = Picture::new("Rate of operations", (1, PANEL_PX), end_s, &legend, faults);
    let (_, ticks) = scale.ticks(6.0);
    let name = format!("operations that ended each second, over {}", duration(step));
    let ticks = ticks
        .into_iter()
        .map(|tick| (scale.place(tick), trimmed(tick, 2)));
    picture.frame(0, &name, ticks);
    for (ending, counts) in Ending::ALL.into_iter().zip(&counts) {
        let point = |(bin, &count): (usize, &u64)| {
            let time = (bin as f64 + 0.5) * step;
            (time, scale.place(count as f64 / step))
        };
        let points: Vec<(f64, f64)> = counts.iter().enumerate().map(point).collect();
        picture.line(0, ending.colour(), &points);
    }
    picture.into_svg()
}
