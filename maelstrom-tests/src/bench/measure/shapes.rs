//! Large JSON values of many shapes: what a node must be able to keep in little memory.

use std::fmt::Write as _;

/// A value of about a given length.
#[derive(Debug)]
pub struct Shape {
    /// What it consists of.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Elements of an array that is full of them.
const ELEMENTS: [&str; 20] = [
    "{}",
    "[]",
    "0",
    "null",
    "false",
    r#""""#,
    r#""a""#,
    "1e18",
    "1.5e300",
    "0.1",
    "-1E-7",
    "12345678901234567891",
    " 0  ",
    "[1,[2,[3]]]",
    r#"{"":0}"#,
    r#"{"":[{"":[{}]}]}"#,
    r#"{"b":1,"a":2}"#,
    r#"{"a":1,"a":2}"#,
    r#"{"id":1,"name":"x","tags":["a","b"]}"#,
    r#""\u0061""#,
];

/// Characters of a string that is full of them.
const CHARACTERS: [&str; 6] = [
    "x",
    r"\u0000",
    r"\ud83d\ude00",
    r"\u00e9",
    r#"\""#,
    "\u{10ffff}",
];

/// How deep the deep ones nest: less than a client's line may.
const DEPTH: usize = 100;

/// All shapes, of about this many bytes each.
#[must_use]
pub fn shapes(bytes: usize) -> Vec<Shape> {
    let array = |unit: &str| format!("[{}]", list(bytes, |_| unit.to_owned()));
    let object = |member: &dyn Fn(usize) -> String| format!("{{{}}}", list(bytes, member));
    let zeros = "0".repeat(bytes);
    let deep = |open: &str, inner: &str, close: &str| {
        array(&(open.repeat(DEPTH) + inner + &close.repeat(DEPTH)))
    };
    let shape = |name: &str, text| Shape {
        name: name.to_owned(),
        text,
    };
    let mut all = vec![
        shape("arrays 100 deep", deep("[", "", "]")),
        shape("objects 100 deep", deep(r#"{"":"#, "0", "}")),
        shape("wide object", object(&|at| format!(r#""{at:07}":0"#))),
        shape(
            "wide object, descending",
            object(&|at| format!(r#""{:07}":0"#, 9_999_999 - at)),
        ),
        shape("one name", object(&|at| format!(r#""a":{}"#, at % 10))),
        shape(
            "names of 1000 bytes",
            object(&|at| format!(r#""{at:01000}":0"#)),
        ),
        shape("number of many digits", "1".repeat(bytes)),
        shape("1.000...", format!("1.{zeros}")),
        shape("0.000...1", format!("0.{zeros}1")),
        shape("1e999...", format!("1e{}", "9".repeat(bytes))),
        shape("1000...", format!("1{zeros}")),
    ];
    for unit in ELEMENTS {
        all.push(shape(&format!("[{unit},...]"), array(unit)));
    }
    for unit in CHARACTERS {
        let text = format!("\"{}\"", unit.repeat(bytes / unit.len()));
        all.push(shape(&format!("\"{}...\"", unit), text));
    }
    all
}

/// Items with commas between them, together of about this many bytes.
fn list(bytes: usize, item: impl Fn(usize) -> String) -> String {
    let mut list = item(0);
    for at in 1.. {
        if list.len() >= bytes {
            break;
        }
        write!(list, ",{}", item(at)).expect("a String never fails");
    }
    list
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn shapes_are_valid_json_of_the_length() {
        let shapes = shapes(2_500);
        assert!(shapes.len() >= 30);
        for Shape { name, text } in &shapes {
            assert!(json::parse(text.as_bytes()).is_ok(), "{name}");
            assert!(
                (2_400..4_000).contains(&text.len()),
                "{name}: {}",
                text.len()
            );
        }
        let names: BTreeSet<&str> = shapes.iter().map(|shape| &*shape.name).collect();
        assert_eq!(names.len(), shapes.len());
    }
}
