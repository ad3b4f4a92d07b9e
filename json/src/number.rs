//! Numbers that lose nothing.

use crate::decimal::Decimal;
use crate::{Error, Reader};
use std::cmp::Ordering;
use std::fmt::{self, Debug, Display, Formatter};
use std::hash::{Hash, Hasher};

/// A JSON number, of any size and precision.
///
/// Two numbers are equal exactly when they denote the same decimal number: `1`, `1.0` and `10e-1` are, and
/// so are `0` and `-0`; `9007199254740993` and `9007199254740992.0` are not. They are ordered by magnitude.
/// Exponents may be as large as they like, since nothing is ever expanded: comparing takes time linear in
/// the lengths of the texts.
///
/// A number is kept in the first of these forms that reproduces its value: an `i64`, a `u64`, an `f64`
/// (whose value here is its shortest decimal form), or its own text. A number kept as text is written as it
/// was read; one kept in another form is written with the same value, but maybe in another notation.
#[derive(Clone)]
pub struct Number(Form);

// Invariant: a value has one form only, the first that fits. So numbers of different forms differ.
#[derive(Clone)]
enum Form {
    Signed(i64),
    /// Above `i64::MAX`.
    Unsigned(u64),
    /// Finite, and not an integer that one of the former could hold.
    Float(f64),
    /// Valid by the grammar of RFC 8259 section 6.
    Text(Box<str>),
}

impl Number {
    /// A number from a finite float; `None` for NaN and the infinities, which JSON does not have.
    pub fn from_f64(value: f64) -> Option<Number> {
        value
            .is_finite()
            .then(|| Number::from_text(&float_text(value)))
    }

    /// The value as an `i64`, if it is an integer that fits; `1.0` is.
    pub fn as_i64(&self) -> Option<i64> {
        match self.0 {
            Form::Signed(value) => Some(value),
            Form::Unsigned(_) | Form::Float(_) | Form::Text(_) => None,
        }
    }

    /// The value as a `u64`, if it is an integer that fits; `1.0` is.
    pub fn as_u64(&self) -> Option<u64> {
        match self.0 {
            Form::Signed(value) => u64::try_from(value).ok(),
            Form::Unsigned(value) => Some(value),
            Form::Float(_) | Form::Text(_) => None,
        }
    }

    /// The nearest `f64`; infinite when the number is beyond its range.
    pub fn to_f64(&self) -> f64 {
        match &self.0 {
            Form::Signed(value) => *value as f64,
            Form::Unsigned(value) => *value as f64,
            Form::Float(value) => *value,
            Form::Text(text) => parse_float(text),
        }
    }

    /// The number that `text` denotes; `text` has the grammar of RFC 8259 section 6.
    pub(crate) fn from_text(text: &str) -> Number {
        if let Some(integer) = Number::from_integer_text(text) {
            return integer;
        }
        let decimal = Decimal::of(text);
        if let Some(text) = decimal.integer_text()
            && let Some(integer) = Number::from_integer_text(&text)
        {
            return integer;
        }
        let float = parse_float(text);
        if float.is_finite() && Decimal::of(&float_text(float)) == decimal {
            return Number(Form::Float(float));
        }
        Number(Form::Text(text.into()))
    }

    /// The number, if `text` is plain digits and one of the integer forms holds it.
    fn from_integer_text(text: &str) -> Option<Number> {
        text.parse::<i64>()
            .map(Number::from)
            .or_else(|_| text.parse::<u64>().map(Number::from))
            .ok()
    }

    fn decimal(&self) -> Decimal {
        Decimal::of(&self.to_string())
    }
}

impl std::str::FromStr for Number {
    type Err = Error;

    /// Reads a JSON number; like all of a JSON text, it may have white space around it.
    fn from_str(text: &str) -> Result<Number, Error> {
        let mut reader = Reader::of_str(text);
        let number = reader.number()?;
        reader.end()?;
        Ok(number)
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Number {
        Number(Form::Signed(value))
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Number {
        Number(i64::try_from(value).map_or(Form::Unsigned(value), Form::Signed))
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Signed(value) => write!(f, "{value}"),
            Form::Unsigned(value) => write!(f, "{value}"),
            Form::Float(value) => f.write_str(&float_text(*value)),
            Form::Text(text) => f.write_str(text),
        }
    }
}

impl Debug for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Number({self})")
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        match (&self.0, &other.0) {
            (Form::Signed(a), Form::Signed(b)) => a == b,
            (Form::Unsigned(a), Form::Unsigned(b)) => a == b,
            (Form::Float(a), Form::Float(b)) => a == b,
            (Form::Text(a), Form::Text(b)) => a == b || Decimal::of(a) == Decimal::of(b),
            // A value has one form only.
            _ => false,
        }
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        match (&self.0, &other.0) {
            (Form::Signed(a), Form::Signed(b)) => a.cmp(b),
            (Form::Unsigned(a), Form::Unsigned(b)) => a.cmp(b),
            // Shortest forms are ordered as the floats are; no float here is NaN or -0.
            (Form::Float(a), Form::Float(b)) => a.total_cmp(b),
            _ => self.decimal().cmp(&other.decimal()),
        }
    }
}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            Form::Signed(value) => value.hash(state),
            Form::Unsigned(value) => value.hash(state),
            Form::Float(value) => value.to_bits().hash(state),
            Form::Text(text) => Decimal::of(text).hash(state),
        }
    }
}

/// The shortest text that reads back as this float, of bounded length: no row of three hundred zeros.
pub(crate) fn float_text(value: f64) -> String {
    if value == 0.0 || (1e-5..1e17).contains(&value.abs()) {
        format!("{value}")
    } else {
        format!("{value:e}")
    }
}

/// The nearest float; std rounds correctly, and what is too large becomes infinite.
pub(crate) fn parse_float(text: &str) -> f64 {
    text.parse()
        .expect("every JSON number is in the grammar of Rust's floats")
}
