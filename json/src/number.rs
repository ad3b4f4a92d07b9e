//! Numbers without loss.

use std::cmp::Ordering;
use std::fmt::{self, Debug, Display, Formatter};
use std::hash::{Hash, Hasher};

use crate::decimal::Decimal;
use crate::numeral::Numeral;
use crate::{append, float};

/// A JSON number, of any size and precision.
///
/// Two numbers are equal if they denote the same decimal number: `1`, `1.0` and `10e-1` are equal,
/// and so are `0` and `-0`; `9007199254740993` and `9007199254740992.0` are not. They are ordered
/// by value. Exponents may be of any size, because nothing is expanded: comparing takes time linear
/// in the lengths of the texts.
///
/// A number is kept in the first of these forms with exactly its value: an `i64`, a `u64`, an `f64`
/// (whose value here is its shortest decimal form), or its text. A number kept as text is written
/// as it was read; in another form it is written with the same value, but perhaps in another
/// notation.
#[derive(Clone)]
pub struct Number(Form);

// Invariant: each value has only one form, the first that fits. So numbers of different forms
// differ.
#[derive(Clone)]
enum Form {
    Signed(i64),
    /// Above `i64::MAX`.
    Unsigned(u64),
    /// Finite, and not an integer that fits one of the forms above.
    Float(f64),
    /// Valid by the grammar of RFC 8259 section 6.
    Text(Box<str>),
}

impl Number {
    /// A number from a finite float; `None` for NaN and the infinities, which JSON does not have.
    pub fn from_f64(value: f64) -> Option<Number> {
        if !value.is_finite() {
            return None;
        }
        let (digits, exponent) = float::shortest(value).unwrap_or((0, 0));
        let integer = integer(value.is_sign_negative(), digits, exponent.into());
        Some(integer.unwrap_or(Number(Form::Float(value))))
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
            Form::Text(text) => numeral(text).to_f64(),
        }
    }

    /// The number of a numeral.
    pub(crate) fn from_numeral(numeral: Numeral<'_>) -> Number {
        if let Some(integer) = numeral.to_i64() {
            return Number(Form::Signed(integer));
        }
        if let Some(integer) = numeral.to_u64() {
            return Number(Form::Unsigned(integer));
        }
        // With more digits than fit 64 bits, no machine number has the same value.
        if numeral.exact {
            if let Some(integer) = integer(numeral.negative, numeral.digits, numeral.exponent) {
                return integer;
            }
            let float = numeral.to_f64();
            if is_shortest(numeral.digits, numeral.exponent, float) {
                return Number(Form::Float(float));
            }
        }
        let text = str::from_utf8(numeral.text).expect("numbers are ASCII");
        Number(Form::Text(text.into()))
    }

    /// Appends the number as JSON.
    pub(crate) fn append(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Form::Signed(value) => append::signed(*value, out),
            Form::Unsigned(value) => append::unsigned(*value, out),
            Form::Float(value) => float::append(*value, out),
            Form::Text(text) => out.extend_from_slice(text.as_bytes()),
        }
    }

    /// Calls `with` with the value.
    fn decimal<T>(&self, with: impl FnOnce(&Decimal<'_>) -> T) -> T {
        match &self.0 {
            Form::Text(text) => with(&Decimal::of(text)),
            _ => with(&Decimal::of(&self.to_string())),
        }
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
        let mut text = Vec::new();
        self.append(&mut text);
        f.write_str(str::from_utf8(&text).expect("numbers are ASCII"))
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
            // Numbers of different forms differ.
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
            // Shortest forms are ordered like the floats; no float here is NaN or -0.
            (Form::Float(a), Form::Float(b)) => a.total_cmp(b),
            _ => self.decimal(|a| other.decimal(|b| a.cmp(b))),
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

/// `digits` times ten to the `exponent`, or its negative, if it is an integer of 64 bits.
fn integer(negative: bool, digits: u64, exponent: i64) -> Option<Number> {
    let magnitude = if digits == 0 {
        0
    } else {
        let power = u32::try_from(exponent.unsigned_abs()).ok()?;
        let power = 10_u64.checked_pow(power)?;
        if exponent >= 0 {
            digits.checked_mul(power)?
        } else if digits.is_multiple_of(power) {
            digits / power
        } else {
            return None;
        }
    };
    if negative {
        0_i64.checked_sub_unsigned(magnitude).map(Number::from)
    } else {
        Some(Number::from(magnitude))
    }
}

/// Whether `digits` times ten to the `exponent` is the shortest decimal form of `float`, which is
/// the float nearest to it.
fn is_shortest(digits: u64, exponent: i64, float: f64) -> bool {
    // Normal floats keep numbers of up to 15 digits.
    const SAFE: u64 = 10_u64.pow(f64::DIGITS);
    if digits < SAFE && float.is_normal() {
        return true;
    }
    let without_zeros = |mut digits: u64, mut exponent: i64| {
        while digits.is_multiple_of(10) {
            digits /= 10;
            exponent += 1;
        }
        (digits, exponent)
    };
    float::shortest(float).is_some_and(|(shortest, power)| {
        without_zeros(shortest, power.into()) == without_zeros(digits, exponent)
    })
}

fn numeral(text: &str) -> Numeral<'_> {
    Numeral::scan(text.as_bytes(), 0).expect("the text of a number has the grammar of numbers")
}
