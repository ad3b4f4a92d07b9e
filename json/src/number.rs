//! Numbers that lose nothing.

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
        self.cmp(other) == Ordering::Equal
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

/// The canonical form of a number: `0.DIGITS` times ten to the `exponent`, negated if `negative`.
///
/// The digits neither start nor end with a zero, so each number has one such form; zero has no digits, no
/// sign and the exponent 0.
#[derive(PartialEq, Eq, Hash)]
struct Decimal {
    negative: bool,
    exponent: Exponent,
    digits: Vec<u8>,
}

impl Decimal {
    fn of(text: &str) -> Decimal {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));

        let mut digits: Vec<u8> = integer.bytes().chain(fraction.bytes()).collect();
        let Some(leading_zeros) = digits.iter().position(|&digit| digit != b'0') else {
            return Decimal {
                negative: false,
                exponent: Exponent::of("0", 0),
                digits: Vec::new(),
            };
        };
        let trailing_zeros = digits
            .iter()
            .rev()
            .take_while(|&&digit| digit == b'0')
            .count();
        digits.truncate(digits.len() - trailing_zeros);
        digits.drain(..leading_zeros);

        let shift = integer.len() as i128 - leading_zeros as i128;
        Decimal {
            negative,
            exponent: Exponent::of(exponent, shift),
            digits,
        }
    }

    /// The plain digits, if this is an integer of no more digits than the integer forms can have.
    fn integer_text(&self) -> Option<String> {
        const MOST_DIGITS: usize = 20;
        let length = self
            .exponent
            .to_usize()
            .filter(|&length| length <= MOST_DIGITS)?;
        if length < self.digits.len() {
            return None;
        }
        let sign = if self.negative { "-" } else { "" };
        let digits = str::from_utf8(&self.digits).expect("digits are ASCII");
        Some(format!("{sign}{digits:0<length$}", length = length.max(1)))
    }

    fn magnitude(&self) -> (bool, &Exponent, &[u8]) {
        (!self.digits.is_empty(), &self.exponent, &self.digits)
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.magnitude().cmp(&other.magnitude()),
            (true, true) => other.magnitude().cmp(&self.magnitude()),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
        }
    }
}

/// An integer of any size: its decimal digits without leading zeros, none for 0.
#[derive(PartialEq, Eq, Hash)]
struct Exponent {
    negative: bool,
    digits: Vec<u8>,
}

impl Exponent {
    /// The integer that `text` denotes, and `shift` more.
    fn of(text: &str, shift: i128) -> Exponent {
        // Wide enough for any shift (the length of a text), and small enough for arithmetic in i128.
        const LOW_DIGITS: usize = 30;
        const LOW_RANGE: i128 = 10_i128.pow(LOW_DIGITS as u32);

        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let digits = digits.trim_start_matches('0');
        let (high, low) = digits.split_at(digits.len().saturating_sub(LOW_DIGITS));
        let low: i128 = if low.is_empty() {
            0
        } else {
            low.parse().expect("30 digits fit")
        };
        // Let the sign of the text be plus; if it was minus, the shift goes the other way.
        let low = low + if negative { -shift } else { shift };

        if high.is_empty() {
            let digits = if low == 0 {
                String::new()
            } else {
                low.unsigned_abs().to_string()
            };
            return Exponent {
                negative: low != 0 && negative != (low < 0),
                digits: digits.into_bytes(),
            };
        }
        let mut high = high.as_bytes().to_vec();
        let carry = low.div_euclid(LOW_RANGE);
        if carry > 0 {
            increment(&mut high);
        } else if carry < 0 {
            decrement(&mut high);
        }
        let low = low.rem_euclid(LOW_RANGE);
        high.extend(format!("{low:0LOW_DIGITS$}").into_bytes());
        let leading_zeros = high.iter().take_while(|&&digit| digit == b'0').count();
        high.drain(..leading_zeros);
        Exponent {
            negative,
            digits: high,
        }
    }

    fn to_usize(&self) -> Option<usize> {
        if self.negative {
            return None;
        }
        if self.digits.is_empty() {
            return Some(0);
        }
        str::from_utf8(&self.digits)
            .expect("digits are ASCII")
            .parse()
            .ok()
    }

    fn magnitude(&self) -> (usize, &[u8]) {
        (self.digits.len(), &self.digits)
    }
}

impl PartialOrd for Exponent {
    fn partial_cmp(&self, other: &Exponent) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Exponent {
    fn cmp(&self, other: &Exponent) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.magnitude().cmp(&other.magnitude()),
            (true, true) => other.magnitude().cmp(&self.magnitude()),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
        }
    }
}

/// Adds one to a row of decimal digits.
fn increment(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
    digits.insert(0, b'1');
}

/// Takes one from a row of decimal digits that is not zero.
fn decrement(digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        if *digit > b'0' {
            *digit -= 1;
            return;
        }
        *digit = b'9';
    }
}
