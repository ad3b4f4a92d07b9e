//! Scales, axes, fault windows and the legend: what the pictures over time have in common.

use super::{Ending, Fault, seconds};
use crate::svg::{Anchor, Drawing};

/// The width of a picture, in pixels.
const WIDTH: f64 = 960.0;
/// The room left of the axes, for the numbers.
const LEFT: f64 = 76.0;
/// The room right of the axes.
const RIGHT: f64 = 24.0;
/// The room above the first panel, for the title and the legend.
const TOP: f64 = 84.0;
/// The room between two panels.
const GAP: f64 = 22.0;
/// The room below the last panel, for the time axis.
const BOTTOM: f64 = 52.0;
/// The height of a line of the list of faults.
const LINE: f64 = 18.0;
/// How many faults are listed below the picture. All are shaded.
const FAULTS_LISTED_MAX: usize = 30;
/// How many characters of a fault's label are listed.
const LABEL_CHARS_MAX: usize = 52;

/// The colour of the text.
const INK: &str = r##"fill="#1f2328""##;
/// The colour and size of what is less important.
const FAINT: &str = r##"fill="#57606a" font-size="12""##;

/// A scale on which equal steps of the value are equal steps on the paper.
#[derive(Clone, Copy, Debug)]
pub(super) struct Linear {
    /// The value at the upper end; the lower end is 0.
    pub(super) most: f64,
}

impl Linear {
    /// A scale from 0 to at least `most`, which must be finite.
    pub(super) fn up_to(most: f64) -> Self {
        Self {
            most: if most > 0.0 { most } else { 1.0 },
        }
    }

    /// Where a value is, from 0 to 1.
    pub(super) fn place(self, value: f64) -> f64 {
        (value / self.most).clamp(0.0, 1.0)
    }

    /// Round values, about `count` of them, with the step between them.
    pub(super) fn ticks(self, count: f64) -> (f64, Vec<f64>) {
        let step = round_up(self.most / count);
        let ticks = (0..)
            .map(|number| f64::from(number) * step)
            .take_while(|&value| value <= self.most * (1.0 + 1e-9));
        (step, ticks.collect())
    }
}

/// The least of 1, 2 and 5 times a power of ten that is not below `value`, which is positive.
pub(super) fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|factor| factor * power >= value * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// A scale on which equal factors are equal steps on the paper, in whole powers of ten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Logarithmic {
    low: i32,
    high: i32,
}

impl Logarithmic {
    /// A scale that holds all these values; those that are not positive are at its lower end.
    pub(super) fn holding(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|&value| value > 0.0) {
            low = low.min(value);
            high = high.max(value);
        }
        if low > high {
            (low, high) = (1e-3, 1e-1);
        }
        let low = low.log10().floor() as i32;
        Self {
            low,
            high: (high.log10().ceil() as i32).max(low + 1),
        }
    }

    /// Where a value is, from 0 to 1.
    pub(super) fn place(self, value: f64) -> f64 {
        if value <= 0.0 {
            return 0.0;
        }
        let range = f64::from(self.high - self.low);
        ((value.log10() - f64::from(self.low)) / range).clamp(0.0, 1.0)
    }

    /// The powers of ten.
    pub(super) fn ticks(self) -> impl Iterator<Item = f64> {
        (self.low..=self.high).map(|power| 10_f64.powi(power))
    }
}

/// A length of time with the unit that suits it.
pub(super) fn duration(seconds: f64) -> String {
    let (value, unit) = match seconds {
        _ if seconds >= 0.9999 => (seconds, "s"),
        _ if seconds >= 0.9999e-3 => (seconds * 1e3, "ms"),
        _ if seconds >= 0.9999e-6 => (seconds * 1e6, "µs"),
        _ => (seconds * 1e9, "ns"),
    };
    format!("{} {unit}", trimmed(value, 3))
}

/// A number without needless zeros.
pub(super) fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        let text = text.trim_end_matches('0').trim_end_matches('.');
        return text.to_owned();
    }
    text
}

/// A picture of some panels, one below the other, over the same time.
pub(super) struct Picture {
    drawing: Drawing,
    time: Linear,
    panel_height: f64,
    panels: usize,
}

impl Picture {
    /// The title, the legend, the shaded faults and the time axis. The panels are still empty.
    pub(super) fn new(
        title: &str,
        (panels, panel_height): (usize, f64),
        end_s: f64,
        legend: &[(Ending, u64)],
        faults: &[Fault],
    ) -> Self {
        let listed = faults.len().min(FAULTS_LISTED_MAX);
        let rows = listed.div_ceil(2) + usize::from(listed < faults.len());
        let list = if rows == 0 {
            0.0
        } else {
            (rows as f64 + 1.0) * LINE
        };
        let below = TOP + panels as f64 * (panel_height + GAP) - GAP;
        let mut picture = Self {
            drawing: Drawing::new(WIDTH, below + BOTTOM + list, title),
            time: Linear::up_to(end_s),
            panel_height,
            panels,
        };
        let style = format!(r#"{INK} font-size="18" font-weight="600""#);
        picture
            .drawing
            .text((LEFT, 30.0), Anchor::Start, &style, title);
        picture.legend(legend, !faults.is_empty());
        picture.shade(faults, below);
        picture.time_axis(below);
        picture.list(faults, below + BOTTOM);
        picture
    }

    fn legend(&mut self, entries: &[(Ending, u64)], has_faults: bool) {
        let mut x = LEFT;
        let y = 54.0;
        let style = format!(r#"{INK} font-size="13""#);
        for &(ending, count) in entries {
            self.drawing
                .dots(&[(x + 5.0, y - 4.0)], 9.0, ending.colour());
            let text = format!("{}: {count}", ending.name());
            self.drawing
                .text((x + 16.0, y), Anchor::Start, &style, &text);
            x += 16.0 + 7.5 * text.chars().count() as f64 + 22.0;
        }
        if has_faults {
            self.drawing
                .rect(x, y - 10.0, 16.0, 12.0, &format!("{SHADE} {SHADE_EDGE}"));
            self.drawing
                .text((x + 22.0, y), Anchor::Start, &style, "fault, by its number");
        }
    }

    fn shade(&mut self, faults: &[Fault], below: f64) {
        let mut free_from = 0.0;
        for (at, fault) in faults.iter().enumerate() {
            let from = self.x(seconds(fault.from_ns));
            let to = self.x(seconds(fault.to_ns)).max(from + 1.0);
            self.drawing.rect(from, TOP, to - from, below - TOP, SHADE);
            self.drawing.line(
                (from, TOP),
                (from, below),
                r##"stroke="#d4a72c" stroke-width="0.7""##,
            );
            let number = (at + 1).to_string();
            let half = 4.0 * number.len() as f64;
            let middle = f64::midpoint(from, to);
            if middle - half >= free_from {
                self.drawing
                    .text((middle, TOP - 5.0), Anchor::Middle, FAINT, &number);
                free_from = middle + half + 3.0;
            }
        }
    }

    fn time_axis(&mut self, below: f64) {
        let (_, ticks) = self.time.ticks(10.0);
        for tick in ticks {
            let x = self.x(tick);
            for panel in 0..self.panels {
                let (top, bottom) = self.panel(panel);
                self.drawing.line((x, top), (x, bottom), GRID);
            }
            self.drawing
                .text((x, below + 18.0), Anchor::Middle, FAINT, &trimmed(tick, 3));
        }
        let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
        self.drawing.text(
            (middle, below + 38.0),
            Anchor::Middle,
            FAINT,
            "time since the run began, in seconds",
        );
    }

    fn list(&mut self, faults: &[Fault], top: f64) {
        let column = (WIDTH - LEFT - RIGHT) / 2.0;
        let listed = faults.len().min(FAULTS_LISTED_MAX);
        let rows = listed.div_ceil(2);
        for (at, fault) in faults.iter().take(listed).enumerate() {
            let x = LEFT + column * (at / rows) as f64;
            let y = top + LINE * ((at % rows) as f64 + 0.7);
            let (from, to) = (seconds(fault.from_ns), seconds(fault.to_ns));
            let mut label: String = fault.label.chars().take(LABEL_CHARS_MAX).collect();
            if label.len() < fault.label.len() {
                label.push('…');
            }
            let text = format!("{}  {label}, {from:.1} to {to:.1} s", at + 1);
            self.drawing.text((x, y), Anchor::Start, FAINT, &text);
        }
        if listed < faults.len() {
            let text = format!("and {} more", faults.len() - listed);
            let y = top + LINE * (rows as f64 + 0.7);
            self.drawing.text((LEFT, y), Anchor::Start, FAINT, &text);
        }
    }

    /// Draws the frame of a panel, its name and its ticks, given as places and texts.
    pub(super) fn frame(
        &mut self,
        panel: usize,
        name: &str,
        ticks: impl Iterator<Item = (f64, String)>,
    ) {
        let (top, bottom) = self.panel(panel);
        for (place, text) in ticks {
            let y = self.y(panel, place);
            self.drawing.line((LEFT, y), (WIDTH - RIGHT, y), GRID);
            self.drawing
                .text((LEFT - 8.0, y + 4.0), Anchor::End, FAINT, &text);
        }
        self.drawing.rect(
            LEFT,
            top,
            WIDTH - LEFT - RIGHT,
            bottom - top,
            r##"fill="none" stroke="#8c959f""##,
        );
        let style = format!(r##"{INK} font-size="13" font-weight="600" {HALO}"##);
        self.drawing
            .text((LEFT + 8.0, top + 17.0), Anchor::Start, &style, name);
    }

    /// Draws dots into a panel, given by time in seconds and place. Those on the same pixel are
    /// one, so the size of the file has a limit.
    pub(super) fn dots(
        &mut self,
        panel: usize,
        colour: &str,
        dots: impl Iterator<Item = (f64, f64)>,
    ) {
        let mut pixels: Vec<(i64, i64)> = dots
            .map(|(time, place)| {
                (
                    self.x(time).round() as i64,
                    self.y(panel, place).round() as i64,
                )
            })
            .collect();
        pixels.sort_unstable();
        pixels.dedup();
        let points: Vec<(f64, f64)> = pixels.iter().map(|&(x, y)| (x as f64, y as f64)).collect();
        if !points.is_empty() {
            self.drawing.dots(&points, 3.0, colour);
        }
    }

    /// Draws a line into a panel, given by times in seconds and places.
    pub(super) fn line(&mut self, panel: usize, colour: &str, points: &[(f64, f64)]) {
        let points: Vec<(f64, f64)> = points
            .iter()
            .map(|&(time, place)| (self.x(time), self.y(panel, place)))
            .collect();
        let style =
            format!(r#"fill="none" stroke="{colour}" stroke-width="1.8" stroke-linejoin="round""#);
        self.drawing.polyline(&points, &style);
    }

    pub(super) fn into_svg(self) -> String {
        self.drawing.into_svg()
    }

    fn x(&self, time_s: f64) -> f64 {
        LEFT + self.time.place(time_s) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, panel: usize, place: f64) -> f64 {
        let (top, bottom) = self.panel(panel);
        bottom - place * (bottom - top)
    }

    /// The upper and lower edge of a panel.
    fn panel(&self, panel: usize) -> (f64, f64) {
        let top = TOP + panel as f64 * (self.panel_height + GAP);
        (top, top + self.panel_height)
    }
}

const SHADE: &str = r##"fill="#fff3c4" fill-opacity="0.75""##;
const SHADE_EDGE: &str = r##"stroke="#d4a72c" stroke-width="0.7""##;
const GRID: &str = r##"stroke="#d0d7de" stroke-width="0.6""##;
/// A white edge around letters, so that they can be read on top of anything.
const HALO: &str = r##"stroke="#ffffff" stroke-width="4" paint-order="stroke""##;
