//! The values of decimal numbers, to compare them.

use std::cmp::{Ordering, Reverse};
use std::fmt::{self, Display, Formatter};
use std::hash::{Hash, Hasher};

/// The value of a number of any size, borrowed from its text: `0.DIGITS` times ten to an exponent.
///
/// Equality, order and hash are those of the value. Comparing stops at the first difference, and
/// allocates nothing unless an exponent exceeds an `i128`. Displayed in this form, which is the
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
    digits: [&'a str; 2],
}

impl<'a> Decimal<'a> {
    /// The value of a number in the grammar of RFC 8259 section 6. That of another text is
    /// unspecified.
    pub fn of(text: &'a str) -> Decimal<'a> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let end = unsigned.find(['e', 'E']).unwrap_or(unsigned.len());
        let (mantissa, exponent) = unsigned.split_at(end);
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = [whole.trim_start_matches('0'), part.trim_end_matches('0')];
        let mut shift = digits[0].len() as i64;
        if digits[0].is_empty() {
            let part = digits[1].trim_start_matches('0');
            shift = part.len() as i64 - digits[1].len() as i64;
            digits[1] = part;
        }
        if digits[1].is_empty() {
            digits[0] = digits[0].trim_end_matches('0');
        }
        let sign = match digits {
            ["", ""] => 0,
            _ if text.starts_with('-') => -1,
            _ => 1,
        };
        let exponent = match exponent.get(1..) {
            _ if sign == 0 => Exponent::Small(0),
            Some(exponent) => Exponent::sum(exponent, shift),
            None => Exponent::Small(shift.into()),
        };
        Decimal {
            sign,
            exponent,
            digits,
        }
    }

    fn digits(&self) -> impl Iterator<Item = u8> + use<'a> {
        self.digits.into_iter().flat_map(str::bytes)
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
        let [whole, part] = self.digits;
        let minus = if self.sign < 0 { "-" } else { "" };
        write!(f, "{minus}0.{whole}{part}e")?;
        match &self.exponent {
            Exponent::Small(exponent) => write!(f, "{exponent}"),
            Exponent::Negative(Reverse((_, digits))) => write!(f, "-{digits}"),
            Exponent::Positive((_, digits)) => f.write_str(digits),
        }
    }
}

/// An integer of any size. If it does not fit, it is given by the number of its decimal digits, and
/// the digits without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Exponent {
    Negative(Reverse<(usize, String)>),
    Small(i128),
    Positive((usize, String)),
}

impl Exponent {
    /// The integer of `text` plus `shift`, whose magnitude is at most the length of a text.
    fn sum(text: &str, shift: i64) -> Exponent {
        let small = |text: &str, shift: i64| text.parse::<i128>().ok()?.checked_add(shift.into());
        if let Some(sum) = small(text, shift) {
            return Exponent::Small(sum);
        }
        let is_negative = text.starts_with('-');
        let digits = text.trim_start_matches(['-', '+', '0']);
        // Adding to a negative integer reduces its magnitude.
        let sum = plus(digits, if is_negative { -shift } else { shift });
        let digits = sum.trim_start_matches('0');
        let sign = if is_negative { "-" } else { "" };
        if let Some(sum) = small(&format!("{sign}{digits}"), 0) {
            return Exponent::Small(sum);
        }
        let magnitude = (digits.len(), digits.to_owned());
        if is_negative {
            Exponent::Negative(Reverse(magnitude))
        } else {
            Exponent::Positive(magnitude)
        }
    }
}

/// The digits of the sum of an integer, given by its digits, and `carry`, which is smaller.
fn plus(digits: &str, mut carry: i64) -> String {
    let mut sum = digits.as_bytes().to_vec();
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
    String::from_utf8(sum).expect("digits are ASCII")
}
