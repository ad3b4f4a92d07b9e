//! Who told whom what: a space-time diagram, as Lamport drew them.

use crate::svg::{Anchor, Drawing};

/// How many messages are drawn at most; the first ones sent.
pub const MESSAGES_MAX: usize = 200;

/// A message from one process to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageArrow {
    /// The name of who sent it.
    pub from: String,
    /// The name of who it was sent to.
    pub to: String,
    /// When it was sent, in nanoseconds since the run began.
    pub sent_ns: u64,
    /// When it arrived; `None` if it was lost.
    pub received_ns: Option<u64>,
    /// What it was, in a word.
    pub label: String,
}

/// The room between two processes, in pixels.
const COLUMN_PX: f64 = 190.0;
/// The room left of the first process, for the times.
const LEFT: f64 = 130.0;
/// The room above the first message.
const TOP: f64 = 122.0;
/// The least room below the sending of a message, which is that of its label.
const SEND_PX: f64 = 13.0;
/// The least room below the arrival of a message.
const ARRIVAL_PX: f64 = 9.0;
/// How much room a pause gets, times the logarithm of its length in tenths of a millisecond.
const PAUSE_PX: f64 = 6.0;
/// The least room between two times.
const TIMES_PX: f64 = 26.0;
/// How much of its way a lost message goes.
const LOST_PART: f64 = 0.55;
/// How many characters of a label or name are shown.
const LABEL_CHARS_MAX: usize = 20;

/// One for each kind of message, and again from the beginning if there are more.
const COLOURS: [&str; 8] = [
    "#0072b2", "#b35900", "#1a7f37", "#8250df", "#bf3989", "#57606a", "#0e7490", "#7d4e00",
];
const LOST: &str = "#d1242f";

/// Draws the first [`MESSAGES_MAX`] messages, in the order of `arrows`' times. Time runs downwards,
/// in order but not to scale: long pauses are drawn short. Processes stand in the order of
/// `names`, then as they first send or get something.
pub fn messages(names: &[String], arrows: &[MessageArrow]) -> String {
    let mut arrows: Vec<&MessageArrow> = arrows.iter().collect();
    arrows.sort_by_key(|arrow| arrow.sent_ns);
    arrows.truncate(MESSAGES_MAX);

    let mut columns: Vec<&str> = Vec::new();
    let mut kinds: Vec<&str> = Vec::new();
    let involved = arrows.iter().flat_map(|arrow| [&arrow.from, &arrow.to]);
    for name in names.iter().chain(involved) {
        if !columns.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    for arrow in &arrows {
        if !kinds.contains(&arrow.label.as_str()) {
            kinds.push(&arrow.label);
        }
    }

    let rows = Rows::new(&arrows);
    let right = LEFT + COLUMN_PX * (columns.len().max(2) - 1) as f64;
    let mut diagram = Diagram {
        drawing: Drawing::new(right + 70.0, rows.bottom + 30.0, "The first messages"),
        columns,
        kinds,
    };
    diagram.heading(arrows.len());
    diagram.processes(&rows);
    for (at, arrow) in arrows.iter().enumerate() {
        diagram.arrow(arrow, rows.sent[at], rows.received[at]);
    }
    diagram.drawing.into_svg()
}

/// How far down everything happens.
struct Rows {
    /// For each arrow.
    sent: Vec<f64>,
    /// For each arrow; of a lost one, where it would end.
    received: Vec<f64>,
    /// Times that are written at the left.
    times: Vec<(u64, f64)>,
    bottom: f64,
}

impl Rows {
    fn new(arrows: &[&MessageArrow]) -> Self {
        let mut happenings: Vec<(u64, bool, usize)> = Vec::new();
        for (at, arrow) in arrows.iter().enumerate() {
            happenings.push((arrow.sent_ns, true, at));
            if let Some(received) = arrow.received_ns {
                happenings.push((received, false, at));
            }
        }
        happenings.sort_unstable();
        let mut rows = Self {
            sent: vec![TOP; arrows.len()],
            received: vec![TOP; arrows.len()],
            times: Vec::new(),
            bottom: TOP,
        };
        let mut y = TOP;
        let mut before = happenings.first().map_or(0, |&(time, _, _)| time);
        for (time, is_sending, at) in happenings {
            let pause_ms = (time - before) as f64 / 1e6;
            y += PAUSE_PX * (1.0 + pause_ms * 10.0).ln();
            before = time;
            if rows
                .times
                .last()
                .is_none_or(|&(_, last)| y - last >= TIMES_PX)
            {
                rows.times.push((time, y));
            }
            if is_sending {
                rows.sent[at] = y;
                rows.received[at] = y + 2.0 * SEND_PX;
                y += SEND_PX;
            } else {
                rows.received[at] = y;
                y += ARRIVAL_PX;
            }
            rows.bottom = rows.bottom.max(rows.received[at]).max(y);
        }
        rows
    }
}

struct Diagram<'a> {
    drawing: Drawing,
    columns: Vec<&'a str>,
    kinds: Vec<&'a str>,
}

impl Diagram<'_> {
    fn heading(&mut self, count: usize) {
        let title = format!("The first {count} messages");
        self.drawing.text(
            (24.0, 30.0),
            Anchor::Start,
            r##"font-size="18" font-weight="600" fill="#1f2328""##,
            &title,
        );
        let faint = r##"font-size="13" fill="#57606a""##;
        self.drawing.text(
            (24.0, 52.0),
            Anchor::Start,
            faint,
            "Time runs downwards, in order but not to scale. A red cross is a message that was lost.",
        );
    }

    fn processes(&mut self, rows: &Rows) {
        let right = self.x(self.columns.len().max(1) - 1);
        for &(time, y) in &rows.times {
            self.drawing.line(
                (LEFT - 30.0, y),
                (right, y),
                r##"stroke="#eaeef2" stroke-width="1""##,
            );
            let text = format!("{:.2} ms", time as f64 / 1e6);
            self.drawing.text(
                (LEFT - 36.0, y + 4.0),
                Anchor::End,
                r##"font-size="11" fill="#57606a""##,
                &text,
            );
        }
        for (column, name) in self.columns.iter().enumerate() {
            let x = self.x(column);
            self.drawing.line(
                (x, TOP - 24.0),
                (x, rows.bottom + 10.0),
                r##"stroke="#8c959f" stroke-width="1.5""##,
            );
            self.drawing.rect(
                x - 30.0,
                TOP - 48.0,
                60.0,
                24.0,
                r##"rx="5" fill="#ddf4ff" stroke="#0969da""##,
            );
            self.drawing.text(
                (x, TOP - 31.0),
                Anchor::Middle,
                r##"font-size="14" font-weight="600" fill="#1f2328""##,
                &shorten(name),
            );
        }
    }

    fn arrow(&mut self, arrow: &MessageArrow, sent: f64, received: f64) {
        let column = |name: &str| self.columns.iter().position(|&known| known == name);
        let (Some(from), Some(to)) = (column(&arrow.from), column(&arrow.to)) else {
            unreachable!("every process of an arrow has a column");
        };
        let kind = self.kinds.iter().position(|&kind| kind == arrow.label);
        let colour = COLOURS[kind.unwrap_or(0) % COLOURS.len()];
        let start = (self.x(from), sent);
        let end = (self.x(to), received);
        let along = |part: f64| {
            let (x, y) = (end.0 - start.0, end.1 - start.1);
            (start.0 + part * x, start.1 + part * y)
        };
        if arrow.received_ns.is_some() {
            let style = format!(r#"stroke="{colour}" stroke-width="1.3""#);
            self.drawing.line(start, end, &style);
            self.head(start, end, colour);
        } else {
            let (x, y) = along(LOST_PART);
            let style = format!(r#"stroke="{colour}" stroke-width="1.3" stroke-dasharray="4 3""#);
            self.drawing.line(start, (x, y), &style);
            let style = format!(r#"stroke="{LOST}" stroke-width="2""#);
            for slope in [-1.0, 1.0] {
                let (dx, dy) = (4.5, 4.5 * slope);
                self.drawing
                    .line((x - dx, y - dy), (x + dx, y + dy), &style);
            }
        }
        let (anchor, dx) = if end.0 < start.0 {
            (Anchor::End, -7.0)
        } else {
            (Anchor::Start, 7.0)
        };
        let style = format!(
            r##"font-size="11" fill="{colour}" stroke="#ffffff" stroke-width="3" paint-order="stroke""##
        );
        let at = (start.0 + dx, start.1 - 1.5);
        self.drawing
            .text(at, anchor, &style, &shorten(&arrow.label));
    }

    /// The head of an arrow, at its end.
    fn head(&mut self, start: (f64, f64), end: (f64, f64), colour: &str) {
        let (x, y) = (end.0 - start.0, end.1 - start.1);
        let length = x.hypot(y).max(1.0);
        let (x, y) = (x / length, y / length);
        let side = |turn: f64| {
            (
                end.0 - 9.0 * x - 3.5 * turn * y,
                end.1 - 9.0 * y + 3.5 * turn * x,
            )
        };
        let style = format!(r#"fill="{colour}""#);
        self.drawing.polygon(&[end, side(1.0), side(-1.0)], &style);
    }

    fn x(&self, column: usize) -> f64 {
        LEFT + COLUMN_PX * column as f64
    }
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= LABEL_CHARS_MAX {
        return text.to_owned();
    }
    let kept: String = text.chars().take(LABEL_CHARS_MAX - 1).collect();
    format!("{kept}…")
}
