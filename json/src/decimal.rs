//! The values of decimal numbers, to compare them.

use std::cmp::{Ordering, Reverse};
use std::fmt::{self, Display, Formatter};
use std::hash::{Hash, Hasher};

/// The value of a number of any size, borrowed from its text: `0.DIGITS` times ten to an exponent.
///
/// Equality, order and hash are those of the value. Comparing stops at the first difference, and
/// allocates nothing unless an exponent has more than 18 digits. Displayed in this form, which is the
/// same for all texts of one number, and `0` for zero.
///
/// ```
/// use json::Decimal;
/// assert_eq!(Decimal::of("10e-1"), Decimal::of("1.0"));
/// assert!(Decimal::of("9007199254740993") > Decimal::of("9007199254740992.5"));
/// assert_eq!(Decimal::of("-1250.0").to_string(), "-0.125e4");
/// ```
#[derive(Clone, Debug)]
pub struct Decimal<'a> {
    /// -1, 0 or 1.
    sign: i8,
    exponent: Exponent,
    /// In two pieces, before and after the point. Together they neither start nor end with a zero,
    /// so each value has one such form.
    digits: [&'a [u8]; 2],
}

impl<'a> Decimal<'a> {
    /// The value of a number in the grammar of RFC 8259 section 6. That of another text is
    /// unspecified.
    pub fn of(text: &'a str) -> Decimal<'a> {
        let text = text.as_bytes();
        let is_negative = text.first() == Some(&b'-');
        let unsigned = &text[usize::from(is_negative)..];
        let end = unsigned.iter().position(|byte| matches!(byte, b'e' | b'E'));
        let (mantissa, exponent) = unsigned.split_at(end.unwrap_or(unsigned.len()));
        let point = mantissa.iter().position(|byte| *byte == b'.');
        let (whole, part) = mantissa.split_at(point.unwrap_or(mantissa.len()));
        let mut digits = [
            trim_start(whole),
            trim_end(part.get(1..).unwrap_or_default()),
        ];
        let mut shift = digits[0].len() as i64;
        if digits[0].is_empty() {
            let part = trim_start(digits[1]);
            shift = part.len() as i64 - digits[1].len() as i64;
            digits[1] = part;
        }
        if digits[1].is_empty() {
            digits[0] = trim_end(digits[0]);
        }
        let sign = match digits {
            [[], []] => 0,
            _ if is_negative => -1,
            _ => 1,
        };
        let exponent = match exponent {
            _ if sign == 0 => Exponent::Small(0),
            [] => Exponent::Small(shift),
            [_, exponent @ ..] => Exponent::sum(exponent, shift),
        };
        Decimal {
            sign,
            exponent,
            digits,
        }
    }

    fn digits(&self) -> impl Iterator<Item = &'a u8> + use<'a> {
        self.digits.into_iter().flatten()
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Decimal<'_>) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal<'_> {}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Decimal<'_>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Decimal<'_>) -> Ordering {
        let magnitude = || {
            let exponents = self.exponent.cmp(&other.exponent);
            exponents.then_with(|| match self.digits[0].len() == other.digits[0].len() {
                true => self.digits.cmp(&other.digits),
                false => self.digits().cmp(other.digits()),
            })
        };
        self.sign.cmp(&other.sign).then_with(|| match self.sign {
            0 => Ordering::Equal,
            1 => magnitude(),
            _ => magnitude().reverse(),
        })
    }
}

impl Hash for Decimal<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.sign, &self.exponent).hash(state);
        self.digits().for_each(|digit| digit.hash(state));
    }
}

impl Display for Decimal<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.sign == 0 {
            return f.write_str("0");
        }
        let [whole, part] = self
            .digits
            .map(|digits| str::from_utf8(digits).expect("ASCII"));
        let minus = if self.sign < 0 { "-" } else { "" };
        write!(f, "{minus}0.{whole}{part}e")?;
        match &self.exponent {
            Exponent::Small(exponent) => write!(f, "{exponent}"),
            Exponent::Negative(Reverse((_, digits))) => write!(f, "-{digits}"),
            Exponent::Positive((_, digits)) => f.write_str(digits),
        }
    }
}

/// An integer of any size. If it is not `Small`, it is given by the number of its decimal digits,
/// and the digits without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Exponent {
    Negative(Reverse<(usize, String)>),
    /// Of at most [`SMALL`] digits.
    Small(i64),
    Positive((usize, String)),
}

/// An `i64` holds the sum of any integer of this many digits and any length of a text. Integers of
/// more digits are larger than any length.
const SMALL: usize = 18;

impl Exponent {
    /// The integer of `text` plus `shift`, whose magnitude is at most the length of a text.
    fn sum(text: &[u8], shift: i64) -> Exponent {
        let is_negative = text.first() == Some(&b'-');
        let is_signed = matches!(text.first(), Some(b'-' | b'+'));
        let digits = trim_start(&text[usize::from(is_signed)..]);
        let signed = |magnitude: i64| if is_negative { -magnitude } else { magnitude };
        let digits = if digits.len() <= SMALL {
            let sum = signed(integer(digits)) + shift;
            if sum.unsigned_abs() < 10_u64.pow(SMALL as u32) {
                return Exponent::Small(sum);
            }
            sum.unsigned_abs().to_string()
        } else {
            // Adding to a negative integer reduces its magnitude.
            let sum = plus(digits, signed(shift));
            let digits = trim_start(&sum);
            if digits.len() <= SMALL {
                return Exponent::Small(signed(integer(digits)));
            }
            ascii(digits).to_owned()
        };
        let magnitude = (digits.len(), digits);
        if is_negative {
            Exponent::Negative(Reverse(magnitude))
        } else {
            Exponent::Positive(magnitude)
        }
    }
}

/// The integer of at most [`SMALL`] digits.
fn integer(digits: &[u8]) -> i64 {
    let append = |all, digit| all * 10 + i64::from(digit - b'0');
    digits.iter().fold(0, append)
}

/// The digits of the sum of an integer, given by its digits, and `carry`, which is smaller.
fn plus(digits: &[u8], mut carry: i64) -> Vec<u8> {
    let mut sum = digits.to_vec();
    for digit in sum.iter_mut().rev() {
        if carry == 0 {
            break;
        }
        carry += i64::from(*digit - b'0');
        *digit = b'0' + carry.rem_euclid(10) as u8;
        carry = carry.div_euclid(10);
    }
    if carry > 0 {
        sum.insert(0, b'1');
    }
    sum
}

fn trim_start(mut digits: &[u8]) -> &[u8] {
    while let [b'0', rest @ ..] = digits {
        digits = rest;
    }
    digits
}

fn trim_end(mut digits: &[u8]) -> &[u8] {
    while let [rest @ .., b'0'] = digits {
        digits = rest;
    }
    digits
}

fn ascii(digits: &[u8]) -> &str {
    str::from_utf8(digits).expect("digits are ASCII")
}
