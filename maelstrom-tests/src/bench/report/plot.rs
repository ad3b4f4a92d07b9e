//! Pictures of a run, each a whole SVG file: how long operations took, how many there were, and the
//! first messages.

mod messages;

use std::collections::BTreeSet;

pub use messages::messages;

use super::ended::{Ended, Ending};
use super::results::{Counts, Fault, Results};
use crate::svg::{Drawing, shorten};

/// The width of a picture, in pixels.
const WIDTH: f64 = 960.0;
/// The room left of the axes, for the numbers.
const LEFT: f64 = 76.0;
/// Where the axes end.
const RIGHT: f64 = WIDTH - 24.0;
/// Where the faults begin, below the title and the legend.
const LANES: f64 = 68.0;
/// The height of the lane of one kind of fault, and of a line of the list of faults.
const LINE: f64 = 18.0;
/// The room above a panel, for its name.
const GAP: f64 = 28.0;
/// The room below the last panel, for the time axis.
const BOTTOM: f64 = 52.0;
/// How many faults are listed below the picture. All are shaded.
const FAULTS_LISTED_MAX: usize = 30;
/// How many characters of a fault are listed.
const FAULT_CHARS_MAX: usize = 48;
/// About how many points a curve has.
const POINTS: f64 = 100.0;

/// Draws each operation that ended as a dot: when it began, how long it took (on a logarithmic
/// scale), and by its colour how it ended; one panel for each function.
pub fn latency(ended: &[Ended], results: &Results) -> String {
    let took = |one: &Ended| one.took().as_secs_f64();
    let (low, high) = decades(ended.iter().map(took));
    let place = |seconds: f64| {
        let above = seconds.max(f64::MIN_POSITIVE).log10() - f64::from(low);
        (above / f64::from(high - low)).clamp(0.0, 1.0)
    };
    let mut functions = vec!["read", "write", "cas"];
    if ended.iter().any(|one| one.function == "delete") {
        functions.push("delete");
    }
    let mut chart = Chart::new("Latency of each operation", functions.len(), 160.0, results);
    for (panel, function) in functions.into_iter().enumerate() {
        let ticks = (low..=high).map(|power| 10_f64.powi(power));
        let ticks = ticks.map(|tick| (place(tick), format!("{} ms", rounded(tick * 1e3))));
        chart.frame(panel, function, ticks);
        // Rare endings are drawn last, on top.
        for ending in Ending::ALL {
            let fits = |one: &&Ended| one.function == function && one.ending == ending;
            let dots = ended.iter().filter(fits).map(|one| {
                let (x, y) = chart.point(panel, one.invoked.as_secs_f64(), place(took(one)));
                (x.round() as i64, y.round() as i64)
            });
            // Dots on the same pixel are one, which limits the size of the file.
            let dots: BTreeSet<(i64, i64)> = dots.collect();
            let dots: Vec<(f64, f64)> = dots.iter().map(|&(x, y)| (x as f64, y as f64)).collect();
            chart
                .drawing
                .dots(&dots, &format!("dots {}", ending.name()));
        }
    }
    chart.drawing.into_svg()
}

/// Draws how many operations ended each second, a curve for each ending.
pub fn rate(ended: &[Ended], results: &Results) -> String {
    let end_s = end_s(results);
    let step = round_up(end_s / POINTS);
    // The last bin is left out if it is not whole, since it would look like a breakdown.
    let bins = ((end_s / step * (1.0 + 1e-9)).floor() as usize).max(1);
    let mut counts = Ending::ALL.map(|_| vec![0_u32; bins]);
    for one in ended {
        let bin = (one.completed.as_secs_f64() / step) as usize;
        if let Some(count) = counts[one.ending as usize].get_mut(bin) {
            *count += 1;
        }
    }
    let most = counts.iter().flatten().max().copied().unwrap_or(0).max(1);
    let most = f64::from(most) / step * 1.05;
    let mut chart = Chart::new("Rate of operations", 1, 300.0, results);
    let name = format!(
        "operations that ended each second, over {} s",
        rounded(step)
    );
    let ticks = ticks(most, 6.0).map(|tick| (tick / most, rounded(tick).to_string()));
    chart.frame(0, &name, ticks);
    for (ending, counts) in Ending::ALL.into_iter().zip(&counts) {
        let points = counts.iter().enumerate().map(|(bin, &count)| {
            chart.point(0, (bin as f64 + 0.5) * step, f64::from(count) / step / most)
        });
        let points: Vec<(f64, f64)> = points.collect();
        chart
            .drawing
            .path(&points, &format!("curve {}", ending.name()));
    }
    chart.drawing.into_svg()
}

/// Where the time axis ends.
fn end_s(results: &Results) -> f64 {
    results.duration_s.max(1e-6)
}

/// Some panels, one below the other, over the same time.
struct Chart {
    drawing: Drawing,
    end_s: f64,
    height: f64,
    /// Where the first panel begins.
    top: f64,
}

impl Chart {
    /// The title, the legend, the faults and the time axis. The panels are still empty.
    fn new(title: &str, panels: usize, height: f64, results: &Results) -> Self {
        let faults = &results.faults;
        let kinds = results.nemesis.iter();
        let kinds: Vec<&str> = kinds
            .map(String::as_str)
            .filter(|kind| faults.iter().any(|fault| fault.kind == *kind))
            .collect();
        let top = LANES + LINE * kinds.len() as f64 + GAP;
        let bottom = top + panels as f64 * (height + GAP) - GAP;
        let listed = faults.len().min(FAULTS_LISTED_MAX);
        let rows = listed.div_ceil(2) + usize::from(listed < faults.len());
        let lines = if rows == 0 { 0 } else { rows + 1 };
        let list = lines as f64 * LINE;
        let mut chart = Self {
            drawing: Drawing::new(WIDTH, bottom + BOTTOM + list, title),
            end_s: end_s(results),
            height,
            top,
        };
        chart.drawing.text((LEFT, 30.0), "title", title);
        chart.legend(&results.operations.all);
        for (lane, kind) in kinds.into_iter().enumerate() {
            chart.lane(LANES + LINE * lane as f64, bottom, kind, faults);
        }
        for tick in ticks(chart.end_s, 10.0) {
            let x = chart.x(tick);
            for panel in 0..panels {
                let ends = [0.0, 1.0].map(|place| chart.point(panel, tick, place));
                chart.drawing.path(&ends, "grid");
            }
            chart.drawing.text(
                (x, bottom + 18.0),
                "faint middle",
                &rounded(tick).to_string(),
            );
        }
        let middle = (f64::midpoint(LEFT, RIGHT), bottom + 38.0);
        let name = "time since the run began, in seconds";
        chart.drawing.text(middle, "faint middle", name);
        chart.list(faults, bottom + BOTTOM);
        chart
    }

    fn legend(&mut self, counts: &Counts) {
        let mut x = LEFT;
        let counts = [counts.ok, counts.fail, counts.info];
        for (ending, count) in Ending::ALL.into_iter().zip(counts) {
            let name = ending.name();
            self.drawing
                .dots(&[(x + 5.0, 50.0)], &format!("dots big {name}"));
            let note = match ending {
                Ending::Info => " (unknown)",
                Ending::Ok | Ending::Fail => "",
            };
            let text = format!("{name}{note}: {count}");
            self.drawing.text((x + 16.0, 54.0), "", &text);
            x += 38.0 + 7.5 * text.len() as f64;
        }
    }

    /// The faults of one kind, which never overlap: bars with numbers in a lane above the panels,
    /// and shades over the panels.
    fn lane(&mut self, y: f64, bottom: f64, kind: &str, faults: &[Fault]) {
        self.drawing.text((LEFT - 8.0, y + 13.0), "faint end", kind);
        let mut free_from = LEFT;
        for (number, fault) in (1..).zip(faults).filter(|(_, fault)| fault.kind == kind) {
            let (from, to) = span(fault, self.end_s);
            let (from, to) = (self.x(from), self.x(to).max(self.x(from) + 1.0));
            self.drawing
                .rect(from, self.top, to - from, bottom - self.top, "fault");
            self.drawing
                .rect(from, y + 1.0, to - from, LINE - 2.0, "bar");
            let number = number.to_string();
            let half = 4.0 * number.len() as f64;
            let middle = f64::midpoint(from, to);
            if middle - half >= free_from {
                self.drawing
                    .text((middle, y + 13.0), "faint middle", &number);
                free_from = middle + half + 3.0;
            }
        }
    }

    fn list(&mut self, faults: &[Fault], top: f64) {
        let listed = faults.len().min(FAULTS_LISTED_MAX);
        let rows = listed.div_ceil(2).max(1);
        let place = |at: usize| {
            let x = LEFT + (RIGHT - LEFT) / 2.0 * (at / rows) as f64;
            (x, top + LINE * ((at % rows) as f64 + 0.7))
        };
        for (at, fault) in faults.iter().take(listed).enumerate() {
            let (from, to) = span(fault, self.end_s);
            let what = shorten(&fault.what, FAULT_CHARS_MAX);
            let text = format!("{}  {what}, {from:.1} to {to:.1} s", at + 1);
            self.drawing.text(place(at), "faint", &text);
        }
        if listed < faults.len() {
            let text = format!("and {} more", faults.len() - listed);
            let below = (LEFT, place(rows - 1).1 + LINE);
            self.drawing.text(below, "faint", &text);
        }
    }

    /// Draws the frame of a panel, its name and its ticks, given as places and texts.
    fn frame(&mut self, panel: usize, name: &str, ticks: impl Iterator<Item = (f64, String)>) {
        for (place, text) in ticks {
            let (x, y) = self.point(panel, 0.0, place);
            self.drawing.path(&[(x, y), (RIGHT, y)], "grid");
            self.drawing.text((x - 8.0, y + 4.0), "faint end", &text);
        }
        let (x, y) = self.point(panel, 0.0, 1.0);
        self.drawing.rect(x, y, RIGHT - LEFT, self.height, "axis");
        self.drawing.text((x, y - 8.0), "name", name);
    }

    fn x(&self, time_s: f64) -> f64 {
        LEFT + (time_s / self.end_s).clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    /// Where a time and a place, from 0 at the lower to 1 at the upper edge, are in a panel.
    fn point(&self, panel: usize, time_s: f64, place: f64) -> (f64, f64) {
        let top = self.top + panel as f64 * (self.height + GAP);
        (self.x(time_s), top + (1.0 - place) * self.height)
    }
}

/// When a fault began and ended, in seconds.
fn span(fault: &Fault, end_s: f64) -> (f64, f64) {
    let ended = fault.ended_ms.map_or(end_s, |ended| ended / 1000.0);
    (fault.began_ms / 1000.0, ended)
}

/// Round values from 0 to `most`, about `count` of them.
fn ticks(most: f64, count: f64) -> impl Iterator<Item = f64> {
    let step = round_up(most / count);
    let ticks = (0..).map(move |number| f64::from(number) * step);
    ticks.take_while(move |tick| *tick <= most * (1.0 + 1e-9))
}

/// The least of 1, 2 and 5 times a power of ten that is not below `value`, which is positive.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let factors = [1.0, 2.0, 5.0].into_iter();
    let mut enough = factors.filter(|factor| factor * power >= value * (1.0 - 1e-9));
    enough.next().unwrap_or(10.0) * power
}

/// The powers of ten between which all positive values lie.
fn decades(values: impl Iterator<Item = f64>) -> (i32, i32) {
    let positive = values.filter(|value| *value > 0.0);
    let (low, high) = positive.fold((f64::INFINITY, 0.0), |(low, high), value| {
        (f64::min(low, value), f64::max(high, value))
    });
    let none = low > high;
    let (low, high) = if none { (1e-3, 1e-1) } else { (low, high) };
    let low = low.log10().floor() as i32;
    (low, (high.log10().ceil() as i32).max(low + 1))
}

/// A number with at most six decimal places, for a text.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests;
