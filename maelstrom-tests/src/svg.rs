//! Drawings: as much SVG as the pictures of this crate need. A drawing is one static file, light or
//! dark as its reader prefers.

use std::fmt::Write as _;

/// The classes that shapes and texts may have.
const STYLE: &str = include_str!("svg/style.css");

/// A drawing under construction. Lengths are in pixels, y grows downwards. A `class` is a list of
/// classes of `svg/style.css`, and is copied as it is. Texts are escaped.
#[derive(Clone, Debug)]
pub struct Drawing {
    width: f64,
    height: f64,
    title: String,
    body: String,
}

impl Drawing {
    /// An empty drawing. Screen readers read the title.
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        Self {
            width,
            height,
            title: title.to_owned(),
            body: String::new(),
        }
    }

    /// A rectangle. A negative width or height counts as 0.
    pub fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, class: &str) {
        let (x, y) = (number(x), number(y));
        let (width, height) = (number(width.max(0.0)), number(height.max(0.0)));
        self.push(format_args!(
            r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" class="{class}"/>"#
        ));
    }

    /// Lines from point to point, or the area between them if the class has a fill.
    pub fn path(&mut self, points: &[(f64, f64)], class: &str) {
        let points = points
            .iter()
            .map(|&(x, y)| format!("{} {}", number(x), number(y)));
        let path = points.collect::<Vec<_>>().join("L");
        self.push(format_args!(r#"<path d="M{path}" class="{class}"/>"#));
    }

    /// Dots of one class. There may be many, so each takes only a few bytes.
    pub fn dots(&mut self, points: &[(f64, f64)], class: &str) {
        let dots = points
            .iter()
            .map(|&(x, y)| format!("M{} {}h0", number(x), number(y)));
        let path: String = dots.collect();
        self.push(format_args!(r#"<path d="{path}" class="{class}"/>"#));
    }

    /// A text of one line, with its baseline at the point. The text begins there, unless the class
    /// is `middle` or `end`.
    pub fn text(&mut self, at: (f64, f64), class: &str, text: &str) {
        let (x, y, text) = (number(at.0), number(at.1), escape(text));
        self.push(format_args!(
            r#"<text x="{x}" y="{y}" class="{class}">{text}</text>"#
        ));
    }

    /// The whole file.
    pub fn into_svg(self) -> String {
        let (width, height) = (number(self.width), number(self.height));
        let title = escape(&self.title);
        let body = self.body;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{title}</title>\n\
             <style>\n{STYLE}</style>\n\
             <rect width=\"100%\" height=\"100%\" class=\"paper\"/>\n{body}</svg>\n"
        )
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.body, "{element}").expect("a String takes any text");
    }
}

/// A text of at most `max` characters; if it was longer, the last one is an ellipsis.
pub fn shorten(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(max - 1).chain(['…']).collect(),
    }
}

/// A length with one decimal place at most, which is finer than a screen shows.
fn number(length: f64) -> f64 {
    (length * 10.0).round() / 10.0
}

/// A text as it stands between tags or in an attribute. What XML does not allow at all becomes
/// U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        let mut drawing = Drawing::new(10.0, 20.5, "a <b> & \"c\"");
        drawing.text((1.0, 2.25), "faint end", "</svg>\u{1}\n");
        let svg = drawing.into_svg();
        assert!(svg.contains("<title>a &lt;b&gt; &amp; &quot;c&quot;</title>"));
        assert!(
            svg.contains(
                "<text x=\"1\" y=\"2.3\" class=\"faint end\">&lt;/svg&gt;\u{fffd} </text>"
            )
        );
        assert!(svg.contains("viewBox=\"0 0 10 20.5\""));
        assert_eq!(svg.matches("</svg>").count(), 1);
    }

    #[test]
    fn shapes_are_written_short() {
        let mut drawing = Drawing::new(10.0, 10.0, "shapes");
        drawing.dots(&[(1.0, 2.0), (3.12, 4.0)], "dots");
        drawing.rect(0.0, 0.0, -1.0, 2.0, "");
        drawing.path(&[(0.0, 0.5), (1.0, 1.04)], "");
        let svg = drawing.into_svg();
        assert!(svg.contains("d=\"M1 2h0M3.1 4h0\""));
        assert!(svg.contains("width=\"0\" height=\"2\""));
        assert!(svg.contains("d=\"M0 0.5L1 1\""));
    }
}
