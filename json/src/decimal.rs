//! The canonical form of decimal numbers, for comparing them.

use std::cmp::Reverse;

/// The canonical form of a number. Derived equality, order and hash are those of the value.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Decimal {
    Negative(Reverse<Magnitude>),
    Zero,
    Positive(Magnitude),
}

/// `0.DIGITS` times ten to the `exponent`. The digits neither start nor end with a zero, so each
/// magnitude has one such form.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Magnitude {
    exponent: Integer,
    digits: Vec<u8>,
}

impl Decimal {
    /// The canonical form of a number in the grammar of RFC 8259 section 6.
    pub(crate) fn of(text: &str) -> Decimal {
        let unsigned = text.trim_start_matches('-');
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [integer, fraction].concat();
        let without_leading = digits.trim_start_matches('0');
        let leading_zeros = digits.len() - without_leading.len();
        let significant = without_leading.trim_end_matches('0');
        if significant.is_empty() {
            return Decimal::Zero;
        }
        let magnitude = Magnitude {
            exponent: Integer::sum(exponent, integer.len() as i128 - leading_zeros as i128),
            digits: significant.as_bytes().to_vec(),
        };
        if text.starts_with('-') {
            Decimal::Negative(Reverse(magnitude))
        } else {
            Decimal::Positive(magnitude)
        }
    }
}

/// An integer of any size: the number of its decimal digits, and the digits without leading zeros.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Integer {
    Negative(Reverse<(usize, Vec<u8>)>),
    Positive((usize, Vec<u8>)),
}

impl Integer {
    /// The integer of `text` plus `shift`, whose magnitude is at most the length of a text.
    fn sum(text: &str, shift: i128) -> Integer {
        /// An `i128` holds the sum of any integer of this many digits and any shift. Integers of
        /// more digits are larger than any shift.
        const SMALL: usize = 30;

        let mut negative = text.starts_with('-');
        let digits = text.trim_start_matches(['-', '+']).trim_start_matches('0');
        // Adding to a negative integer reduces its magnitude.
        let shift = if negative { -shift } else { shift };
        let digits = if digits.len() <= SMALL {
            let magnitude = digits
                .bytes()
                .fold(0, |all, digit| all * 10 + i128::from(digit - b'0'));
            let sum = magnitude + shift;
            negative = sum != 0 && negative != (sum < 0);
            sum.unsigned_abs().to_string().into_bytes()
        } else {
            plus(digits, shift)
        };
        let magnitude = (digits.len(), digits);
        if negative {
            Integer::Negative(Reverse(magnitude))
        } else {
            Integer::Positive(magnitude)
        }
    }
}

/// The digits of the sum of an integer, given by its digits, and `carry`, which is smaller.
fn plus(digits: &str, mut carry: i128) -> Vec<u8> {
    let mut sum = digits.as_bytes().to_vec();
    for digit in sum.iter_mut().rev() {
        carry += i128::from(*digit - b'0');
        *digit = b'0' + carry.rem_euclid(10) as u8;
        carry = carry.div_euclid(10);
    }
    if carry > 0 {
        sum.insert(0, b'1');
    }
    let leading_zeros = sum.iter().take_while(|&&digit| digit == b'0').count();
    sum.drain(..leading_zeros);
    sum
}
