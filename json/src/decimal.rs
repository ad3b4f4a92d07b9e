//! The canonical form of decimal numbers, by which they are compared.

use std::cmp::Ordering;

/// The canonical form of a number: `0.DIGITS` times ten to the `exponent`, negated if `negative`.
///
/// The digits neither start nor end with a zero, so each number has one such form; zero has no
/// digits, no sign and the exponent 0.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Decimal {
    negative: bool,
    exponent: Exponent,
    digits: Vec<u8>,
}

impl Decimal {
    /// The canonical form of a number in the grammar of RFC 8259 section 6.
    pub(crate) fn of(text: &str) -> Decimal {
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
        // Wide enough for any shift (the length of a text), and small enough for arithmetic in
        // i128.
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
