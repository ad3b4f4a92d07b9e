//! Prints a contradiction: in words, as a text diagram, and as SVG.

use std::fmt;

use json::Value;

use super::{Contradiction, Held, Part, Start, impossible};
use crate::history::{Call, ErrorCode, Moment, Operation, Outcome};
use crate::svg::Drawing;

/// The longest label, in characters.
const LABEL_CHARS_MAX: usize = 32;

/// The most operations shown. A contradiction has more only if it could not be shrunk.
const PARTS_SHOWN_MAX: usize = 60;

/// The most possible values of the key that are named.
const HELD_SHOWN_MAX: usize = 8;

/// The width of a character in an SVG, in pixels.
const CHAR_PX: f64 = 8.0;

/// The height of an operation in an SVG, in pixels.
const ROW_PX: f64 = 34.0;

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.headline())?;
        writeln!(f, "{}\n", self.beginning())?;
        let shown = self.shown();
        for (at, part) in &shown {
            writeln!(f, "  #{:<3} {}", at + 1, sentence(part))?;
        }
        if shown.len() < self.parts.len() {
            writeln!(f, "  and {} more", self.parts.len() - shown.len())?;
        }
        writeln!(f)?;
        let layout = Layout::new(&shown);
        for (bar, (_, part)) in layout.bars.iter().zip(&shown) {
            writeln!(f, "  {}", bar.text(part, layout.margin))?;
        }
        writeln!(f, "\n{}", self.reason())
    }
}

impl Contradiction {
    /// A picture: a line for each operation, time from left to right (in order, not to scale).
    pub fn to_svg(&self) -> String {
        let shown = self.shown();
        let layout = Layout::new(&shown);
        let notes = [self.headline(), self.beginning().to_owned(), self.reason()];
        let longest = notes.iter().map(|note| note.chars().count()).max();
        let chars = (layout.width() + 4).max(longest.unwrap_or(0));
        let top = 80.0;
        let bottom = top + ROW_PX * shown.len() as f64;
        let mut drawing = Drawing::new(chars as f64 * CHAR_PX, bottom + 50.0, &notes[0]);
        drawing.text((16.0, 30.0), "title", &notes[0]);
        drawing.text((16.0, 54.0), "faint", &notes[1]);
        for (row, (bar, (at, part))) in layout.bars.iter().zip(&shown).enumerate() {
            let y = top + ROW_PX * row as f64;
            let is_stuck = *at == self.stuck;
            bar.draw(part, is_stuck, y, layout.margin, &mut drawing);
        }
        drawing.text((16.0, bottom + 28.0), "faint", &notes[2]);
        drawing.into_svg()
    }

    fn headline(&self) -> String {
        format!("Key {} is not linearizable.", json(&self.key))
    }

    fn beginning(&self) -> &'static str {
        match self.start {
            Start::Absent | Start::Anything if self.impossible().is_some() => {
                "No order of the operations explains this reply:"
            }
            Start::Absent => {
                "These operations contradict each other, given that the key did not exist before:"
            }
            Start::Anything => {
                "These operations contradict each other, for any value of the key before:"
            }
        }
    }

    fn reason(&self) -> String {
        let possible = self.possible.iter().take(HELD_SHOWN_MAX);
        let mut held: Vec<String> = possible.map(name).collect();
        if held.len() < self.possible.len() {
            held.push("hold another value".to_owned());
        }
        let stuck = self.stuck + 1;
        let operation = &self.parts[self.stuck].operation;
        let (call, demand, held) = (operation.call.name(), demand(operation), held.join(" or "));
        let mut reason = match self.impossible() {
            Some((code, why)) => format!("#{stuck}: a {call} was answered {code}, but {why}."),
            None => format!("#{stuck} {demand}, but while it ran the key could only {held}."),
        };
        if self.cut_short {
            reason += " Shrinking stopped at its limit: fewer operations may contradict each other as well.";
        }
        reason
    }

    /// The error that the operation cannot have been answered with, and why.
    fn impossible(&self) -> Option<(ErrorCode, &'static str)> {
        let operation = &self.parts[self.stuck].operation;
        match &operation.completed {
            Some((_, Outcome::Failed(code))) => Some((*code, impossible(*code, &operation.call)?)),
            Some((_, Outcome::ReadOk(_) | Outcome::Done | Outcome::Unknown(_))) | None => None,
        }
    }

    /// The operations to show, with their indexes: the last ones, which matter most.
    fn shown(&self) -> Vec<(usize, &Part)> {
        let hidden = self.parts.len().saturating_sub(PARTS_SHOWN_MAX);
        self.parts.iter().enumerate().skip(hidden).collect()
    }
}

/// The place of each operation in a diagram, in characters.
struct Layout {
    /// The width of the names on the left.
    margin: usize,
    bars: Vec<Bar>,
}

/// The place of one operation, without the margin.
struct Bar {
    from: usize,
    to: usize,
    /// Its number and process.
    name: String,
    label: String,
}

impl Layout {
    /// Assigns each moment a column, in order, as far to the left as the labels allow.
    fn new(shown: &[(usize, &Part)]) -> Self {
        let moments = |(_, part): &(_, &Part)| [Some(part.operation.invoked), end(part)];
        let mut moments: Vec<Moment> = shown.iter().flat_map(moments).flatten().collect();
        moments.sort_unstable();
        moments.dedup();
        let index = |moment: Moment| moments.partition_point(|&other| other < moment);
        let mut bars: Vec<Bar> = (shown.iter())
            .map(|(at, part)| Bar {
                from: index(part.operation.invoked),
                to: end(part).map_or(moments.len(), index),
                name: format!("#{} p{}", at + 1, part.operation.process),
                label: label(part),
            })
            .collect();
        let mut columns = vec![0; moments.len() + 1];
        for at in 1..columns.len() {
            let ending = bars.iter().filter(|bar| bar.to == at);
            let room = ending.map(|bar| columns[bar.from] + bar.label.chars().count() + 7);
            columns[at] = room.max().unwrap_or(0).max(columns[at - 1] + 2);
        }
        for bar in &mut bars {
            (bar.from, bar.to) = (columns[bar.from], columns[bar.to]);
        }
        let longest = bars.iter().map(|bar| bar.name.len()).max();
        Self {
            margin: longest.unwrap_or(0) + 2,
            bars,
        }
    }

    fn width(&self) -> usize {
        self.margin + self.bars.iter().map(|bar| bar.to + 1).max().unwrap_or(0)
    }
}

impl Bar {
    fn text(&self, part: &Part, margin: usize) -> String {
        let inner = self.to - self.from - 1;
        let label = format!(" {} ", self.label);
        let (line, last) = if part.is_bound {
            (format!("{label:-^inner$}"), '|')
        } else {
            (format!("--{label:.<rest$}", rest = inner - 2), '>')
        };
        let name = format!("{:<margin$}", self.name);
        format!("{name}{:skip$}|{line}{last}", "", skip = self.from)
    }

    fn draw(&self, part: &Part, is_stuck: bool, y: f64, margin: usize, drawing: &mut Drawing) {
        let x = |column: usize| 16.0 + (margin + column) as f64 * CHAR_PX;
        let (from, to) = (x(self.from), x(self.to));
        let middle = y + ROW_PX / 2.0;
        let class = match (is_stuck, part.is_bound) {
            (true, _) => "stuck",
            (false, true) => "box",
            (false, false) => "open",
        };
        drawing.text((16.0, middle + 5.0), "faint", &self.name);
        drawing.rect(from, y + 4.0, to - from, ROW_PX - 8.0, class);
        drawing.text(((from + to) / 2.0, middle + 5.0), "middle", &self.label);
    }
}

/// The moment by which an operation must have taken effect, if the contradiction needs it.
fn end(part: &Part) -> Option<Moment> {
    match &part.operation.completed {
        Some((moment, _)) if part.is_bound => Some(*moment),
        Some(_) | None => None,
    }
}

/// An operation and its result, as short as possible.
fn label(part: &Part) -> String {
    let call = &part.operation.call;
    let text = match &part.operation.completed {
        Some((_, Outcome::ReadOk(value))) => format!("read: {}", json::to_string(value)),
        Some((_, Outcome::Failed(code))) => format!("{call}: error {}", code.0),
        Some((_, Outcome::Done | Outcome::Unknown(_))) | None => call.to_string(),
    };
    let label = shorten(&text);
    if part.is_bound {
        label
    } else {
        format!("{label} ?")
    }
}

/// An operation in a line of text, with its times.
fn sentence(part: &Part) -> String {
    let operation = &part.operation;
    let (process, call) = (operation.process, shorten(&operation.call.to_string()));
    let from = seconds(operation.invoked);
    let times = |end: &Moment| format!("{from} to {}", seconds(*end));
    let result = match &operation.completed {
        Some((end, Outcome::ReadOk(value))) => {
            format!("returned {}, {}", json(value), times(end))
        }
        Some((end, Outcome::Done)) if part.is_bound => format!("ok, {}", times(end)),
        Some((end, Outcome::Done)) => format!("ok, {} (its end does not matter)", times(end)),
        Some((end, Outcome::Failed(code))) => format!("failed with {code}, {}", times(end)),
        Some((end, Outcome::Unknown(code))) => {
            format!("unknown ({code}), {} or later", times(end))
        }
        None => format!("without an end, from {from} on"),
    };
    format!("process {process}: {call}: {result}")
}

fn seconds(moment: Moment) -> String {
    format!("{:.6} s", moment.time as f64 / 1e9)
}

/// What an operation requires.
fn demand(operation: &Operation) -> String {
    let call = shorten(&operation.call.to_string());
    match &operation.completed {
        Some((_, Outcome::ReadOk(value))) => format!("needs the key to hold {}", json(value)),
        Some((_, Outcome::Failed(ErrorCode::KEY_DOES_NOT_EXIST))) => {
            "needs the key not to exist".to_owned()
        }
        Some((_, Outcome::Done)) if operation.call == Call::Delete => {
            "(delete) needs the key to exist".to_owned()
        }
        Some((_, Outcome::Failed(code))) => format!("({call}) failed with {code}"),
        Some((_, Outcome::Done | Outcome::Unknown(_))) | None => {
            format!("({call}) needs to take effect")
        }
    }
}

fn name(held: &Held) -> String {
    match held {
        Held::Nothing => "not exist".to_owned(),
        Held::Value(value) => format!("hold {}", json(value)),
        Held::SomethingElse => "hold some other value".to_owned(),
    }
}

/// A value as JSON, shortened.
fn json(value: &Value) -> String {
    shorten(&json::to_string(value))
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= LABEL_CHARS_MAX {
        return text.to_owned();
    }
    let kept: String = text.chars().take(LABEL_CHARS_MAX - 3).collect();
    format!("{kept}...")
}
