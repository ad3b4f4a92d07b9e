//! How long a node's event loop takes for a large value: the slowest turn that its metrics show.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use json::{Element, Kind};

use crate::joined;

/// The longest turn that a request may cause on an idle machine, in seconds.
pub const LONGEST: f64 = 0.005;

/// The buckets of the metric.
const BUCKETS: &str = "raft_loop_turn_seconds_bucket{le=\"";

/// How long the page may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The same value in other words: no number and no string stays as it was, and the members of
/// objects are in descending order.
///
/// # Panics
/// The text is not JSON.
#[must_use]
pub fn other_notation(text: &str) -> String {
    other(json::parse(text.as_bytes()).expect("it is JSON").root())
}

fn other(element: Element<'_>) -> String {
    if let Some(number) = element.number_text() {
        let end = number.find(['e', 'E']).unwrap_or(number.len());
        let (digits, exponent) = number.split_at(end);
        let zero = if digits.contains('.') { "0" } else { ".0" };
        return format!("{digits}{zero}{exponent}");
    }
    if let Some(string) = element.as_str() {
        return other_string(string);
    }
    match element.kind() {
        Kind::Array => format!("[{}]", joined(element.elements().map(other), ",")),
        Kind::Object => {
            let members = element.by_name().into_iter().rev();
            let members = members.map(|(name, value)| other_string(name) + ":" + &other(value));
            format!("{{{}}}", joined(members, ","))
        }
        Kind::Null | Kind::Bool | Kind::Number | Kind::String => json::to_string(&element),
    }
}

/// A string with its first character escaped.
fn other_string(string: &str) -> String {
    let first = string.chars().next().map_or(0, char::len_utf8);
    let (first, rest) = string.split_at(first);
    let units = first.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
    format!("\"{}{}", joined(units, ""), &json::to_string(rest)[1..])
}

/// The address of a node's metrics, from its log.
pub fn address(log: &str) -> Option<&str> {
    let (_, after) = log.split_once("metrics: http://")?;
    let (address, _) = after.split_once("/metrics\n")?;
    Some(address)
}

/// The metrics at an address.
///
/// # Errors
/// It cannot be read.
pub fn page(address: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

/// The lowest bound that no turn exceeded, in seconds; `None` if the page does not show turns.
pub fn slowest(page: &str) -> Option<f64> {
    let buckets = page.lines().filter_map(|line| {
        let (bound, count) = line.strip_prefix(BUCKETS)?.split_once("\"} ")?;
        let bound = match bound {
            "+Inf" => f64::INFINITY,
            _ => bound.parse().ok()?,
        };
        Some((bound, count.trim().parse::<u64>().ok()?))
    });
    let buckets: Vec<(f64, u64)> = buckets.collect();
    let (_, all) = buckets.last()?;
    let bucket = buckets.iter().find(|(_, count)| count == all);
    bucket.map(|(bound, _)| *bound)
}

#[cfg(test)]
mod tests {
    use json::Value;

    use super::super::shapes::shapes;
    use super::*;

    #[test]
    fn other_notation_is_the_same_value() {
        for shape in shapes(2_500) {
            let other = other_notation(&shape.text);
            let values = [&shape.text, &other].map(|text| json::decode::<Value>(text.as_bytes()));
            let [one, other_value] = values.map(|value| value.expect("JSON"));
            assert_eq!(one, other_value, "{}", shape.name);
        }
        let text = r#"{"a":[1,-2.5,1e3,true,{}],"b":"xy"}"#;
        let other = r#"{"\u0062":"\u0078y","\u0061":[1.0,-2.50,1.0e3,true,{}]}"#;
        assert_eq!(other_notation(text), other);
    }

    #[test]
    fn slowest_turn_is_read() {
        let page = "x 1\n\
            raft_loop_turn_seconds_bucket{le=\"0.001\"} 7\n\
            raft_loop_turn_seconds_bucket{le=\"0.0025\"} 9\n\
            raft_loop_turn_seconds_bucket{le=\"0.005\"} 9\n\
            raft_loop_turn_seconds_bucket{le=\"+Inf\"} 9\n";
        assert_eq!(slowest(page), Some(0.0025));
        assert_eq!(
            slowest(
                &page
                    .replace("} 9\n", "} 8\n")
                    .replace("Inf\"} 8", "Inf\"} 9")
            ),
            Some(f64::INFINITY)
        );
        assert_eq!(slowest("x 1\n"), None);
    }

    #[test]
    fn address_is_found() {
        let log = "settling\nmetrics: http://127.0.0.1:80/metrics\n";
        assert_eq!(address(log), Some("127.0.0.1:80"));
        assert_eq!(address("metrics: http://127."), None);
    }
}
