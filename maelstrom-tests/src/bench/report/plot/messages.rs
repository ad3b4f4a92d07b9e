//! A picture of the first messages: a space-time diagram, as Lamport drew them.

use std::time::Duration;

use crate::bench::network::{Node, Source};
use crate::bench::report::record::Arrow;
use crate::svg::{Drawing, shorten};

/// The room between two processes, in pixels.
const COLUMN: f64 = 190.0;
/// The room left of the first process, for the times.
const LEFT: f64 = 130.0;
/// The room above the first message.
const TOP: f64 = 122.0;
/// The least room below the sending of a message, which is that of its label.
const SENT: f64 = 13.0;
/// The least room below the arrival of a message.
const RECEIVED: f64 = 9.0;
/// How much room a pause gets, times the logarithm of its length in tenths of a millisecond.
const PAUSE: f64 = 6.0;
/// The least room between two times.
const TIMES: f64 = 26.0;
/// How much of its way a lost message goes.
const LOST_PART: f64 = 0.55;
/// How many characters of a label are shown.
const LABEL_CHARS_MAX: usize = 20;
/// How many classes of colours there are. More kinds of messages share them.
const COLOURS: usize = 8;

/// Draws messages, in the order of their times. Time runs downwards, in order but not to scale:
/// long pauses are drawn short.
pub fn messages(nodes: usize, arrows: &[Arrow]) -> String {
    let rows = Rows::new(arrows);
    let right = x(Source::Server(Node(nodes.max(1) - 1)));
    let title = format!("The first {} messages", arrows.len());
    let mut drawing = Drawing::new(right + 70.0, rows.bottom + 30.0, &title);
    drawing.text((24.0, 30.0), "title", &title);
    let note =
        "Time runs downwards, in order but not to scale. A red cross is a message that was lost.";
    drawing.text((24.0, 52.0), "faint", note);
    for &(time, y) in &rows.times {
        drawing.path(&[(LEFT - 30.0, y), (right, y)], "grid");
        let text = format!("{:.2} ms", time.as_secs_f64() * 1e3);
        drawing.text((LEFT - 36.0, y + 4.0), "faint end", &text);
    }
    let columns = std::iter::once(Source::Client).chain((0..nodes).map(Node).map(Source::Server));
    for column in columns {
        let (x, name) = match column {
            Source::Client => (x(column), "clients".to_owned()),
            Source::Server(node) => (x(column), node.to_string()),
        };
        drawing.path(&[(x, TOP - 24.0), (x, rows.bottom + 10.0)], "axis");
        drawing.rect(x - 30.0, TOP - 48.0, 60.0, 24.0, "box");
        drawing.text((x, TOP - 31.0), "name middle", &name);
    }
    let mut kinds: Vec<&str> = Vec::new();
    for (at, arrow) in arrows.iter().enumerate() {
        let known = kinds.iter().position(|kind| *kind == arrow.kind);
        let kind = known.unwrap_or_else(|| {
            kinds.push(&arrow.kind);
            kinds.len() - 1
        });
        let colour = format!("c{}", kind % COLOURS);
        draw(
            &mut drawing,
            arrow,
            (rows.sent[at], rows.received[at]),
            &colour,
        );
    }
    drawing.into_svg()
}

fn x(column: Source) -> f64 {
    match column {
        Source::Client => LEFT,
        Source::Server(Node(node)) => LEFT + COLUMN * (node + 1) as f64,
    }
}

/// How far down everything happens.
struct Rows {
    /// For each arrow.
    sent: Vec<f64>,
    /// For each arrow; of a lost one, where it would end.
    received: Vec<f64>,
    /// Times that are written at the left.
    times: Vec<(Duration, f64)>,
    bottom: f64,
}

impl Rows {
    fn new(arrows: &[Arrow]) -> Self {
        // At equal times a message arrives after it was sent, and before the next one is sent.
        let mut events: Vec<(Duration, usize, bool)> = Vec::new();
        for (at, arrow) in arrows.iter().enumerate() {
            events.push((arrow.sent, at, false));
            events.extend(arrow.received.map(|received| (received, at, true)));
        }
        events.sort_unstable();
        let mut rows = Self {
            sent: vec![TOP; arrows.len()],
            received: vec![TOP; arrows.len()],
            times: Vec::new(),
            bottom: TOP,
        };
        let mut y = TOP;
        let mut before = events.first().map_or(Duration::ZERO, |event| event.0);
        for (time, at, is_arrival) in events {
            let pause_ms = (time - before).as_secs_f64() * 1e3;
            y += PAUSE * (1.0 + pause_ms * 10.0).ln();
            before = time;
            if rows.times.last().is_none_or(|last| y - last.1 >= TIMES) {
                rows.times.push((time, y));
            }
            if is_arrival {
                rows.received[at] = y;
                y += RECEIVED;
            } else {
                rows.sent[at] = y;
                rows.received[at] = y + 2.0 * SENT;
                y += SENT;
            }
            rows.bottom = rows.bottom.max(rows.received[at]).max(y);
        }
        rows
    }
}

fn draw(drawing: &mut Drawing, arrow: &Arrow, (sent, received): (f64, f64), colour: &str) {
    let (start, end) = ((x(arrow.from), sent), (x(arrow.to), received));
    let (dx, dy) = (end.0 - start.0, end.1 - start.1);
    if arrow.received.is_some() {
        drawing.path(&[start, end], &format!("curve {colour}"));
        let length = dx.hypot(dy).max(1.0);
        let (dx, dy) = (dx / length, dy / length);
        let side = |turn: f64| {
            let (along, across) = (9.0, 3.5 * turn);
            (
                end.0 - along * dx - across * dy,
                end.1 - along * dy + across * dx,
            )
        };
        drawing.path(&[end, side(1.0), side(-1.0)], &format!("solid {colour}"));
    } else {
        let (x, y) = (start.0 + LOST_PART * dx, start.1 + LOST_PART * dy);
        drawing.path(&[start, (x, y)], &format!("curve lost {colour}"));
        for slope in [-4.5, 4.5] {
            drawing.path(&[(x - 4.5, y - slope), (x + 4.5, y + slope)], "curve cross");
        }
    }
    let (anchor, gap) = if dx < 0.0 { (" end", -7.0) } else { ("", 7.0) };
    let class = format!("label {colour}{anchor}");
    let label = shorten(&arrow.kind, LABEL_CHARS_MAX);
    drawing.text((start.0 + gap, start.1 - 1.5), &class, &label);
}
