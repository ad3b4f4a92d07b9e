//! Numbers in a text.
//!
//! This is the way of a number from text to value. [`Numeral::scan`] checks the grammar and
//! collects the digits in a `u64`. An integer that fits is that number
//! ([`to_u64`](Numeral::to_u64), [`to_i64`](Numeral::to_i64)). A float is the digits times a power
//! of ten, rounded ([`to_f64`](Numeral::to_f64), [`float`]). To lose nothing,
//! [`Number`](crate::Number) takes the first of an `i64`, a `u64` and an `f64` with exactly its
//! value, or else keeps the text.

use crate::float;
use crate::scan::{SAFE_DIGITS, WORD, digits_bytewise, non_digits, short_integer, word_at};

/// A number in the grammar of RFC 8259 section 6: its extent and its value, found in one pass.
///
/// ```text
/// let numeral = Numeral::scan(b"[-12.50]", 1)?;   // an error is the offset of a missing digit
/// numeral.text         // b"-12.50"; reading goes on at offset 1 + 6
/// numeral.to_i64()     // None: not an integer
/// numeral.to_f64()     // -12.5
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numeral<'a> {
    /// The number's own text.
    pub(crate) text: &'a [u8],
    /// Whether a minus comes first.
    pub(crate) negative: bool,
    /// Its digits as one integer, without the point: as many as fit, at least [`SAFE_DIGITS`].
    pub(crate) digits: u64,
    /// The number is `digits` times ten to this power, if it is `exact`.
    pub(crate) exponent: i64,
    /// Whether only zeros were left out of `digits`.
    pub(crate) exact: bool,
    /// Whether it is written as an integer: without point and exponent.
    pub(crate) integer: bool,
}

/// Exponents stop growing here. No text has enough zeros to make up for a larger one.
const GREATEST_EXPONENT: i64 = 100_000_000_000_000_000;

impl<'a> Numeral<'a> {
    /// Reads the number at `start`, as far as the grammar allows. The caller must check that the
    /// next byte may follow a number (for example, a digit after a leading zero may not).
    ///
    /// # Errors
    /// The offset of a missing digit.
    #[inline]
    pub(crate) fn scan(text: &'a [u8], start: usize) -> Result<Numeral<'a>, usize> {
        let negative = text.get(start) == Some(&b'-');
        let first = start + usize::from(negative);
        let (mut digits, mut end) = digits_bytewise(text, first, 0);
        if end == first {
            return Err(end);
        }
        if text[first] == b'0' {
            digits = 0;
            end = first + 1;
        }
        let mut count = end - first;
        let mut exponent = 0;
        let mut integer = true;
        if text.get(end) == Some(&b'.') {
            let fraction = end + 1;
            // The integer part is mostly short; fractions often have a dozen digits or more.
            (digits, end) = scan_eights(text, fraction, digits);
            (digits, end) = digits_bytewise(text, end, digits);
            if end == fraction {
                return Err(end);
            }
            count += end - fraction;
            exponent = -((end - fraction) as i64);
            integer = false;
        }
        let mantissa_end = end;
        if let Some(b'e' | b'E') = text.get(end) {
            let (power, power_end) = scan_exponent(text, end + 1)?;
            exponent += power;
            end = power_end;
            integer = false;
        }
        let mut exact = true;
        if count > SAFE_DIGITS {
            let left_out;
            (digits, left_out, exact) = first_digits(&text[first..mantissa_end]);
            exponent += left_out;
        }
        Ok(Numeral {
            text: &text[start..end],
            negative,
            digits,
            exponent,
            exact,
            integer,
        })
    }

    /// The number, if it is written as an integer (not `1.0`) and fits.
    #[inline]
    pub(crate) fn to_u64(self) -> Option<u64> {
        (self.fits() && (!self.negative || self.digits == 0)).then_some(self.digits)
    }

    /// The number, if it is written as an integer (not `1.0`) and fits.
    #[inline]
    pub(crate) fn to_i64(self) -> Option<i64> {
        if !self.fits() {
            None
        } else if self.negative {
            0_i64.checked_sub_unsigned(self.digits)
        } else {
            i64::try_from(self.digits).ok()
        }
    }

    /// Whether the number is an integer and equal to `digits`.
    fn fits(&self) -> bool {
        self.integer && self.exact && self.exponent == 0
    }

    /// The nearest float, correctly rounded; infinite beyond the range, and `-0.0` for `-0`.
    #[inline]
    pub(crate) fn to_f64(self) -> f64 {
        let magnitude = if self.exact {
            float::from_decimal(self.digits, self.exponent)
        } else {
            self.rounded_alike()
        };
        let magnitude = magnitude.unwrap_or_else(|| self.slow_magnitude());
        if self.negative { -magnitude } else { magnitude }
    }

    /// The nearest float, if the digits that were left out cannot change it.
    #[cold]
    fn rounded_alike(self) -> Option<f64> {
        let least = float::from_decimal(self.digits, self.exponent)?;
        let greatest = float::from_decimal(self.digits.checked_add(1)?, self.exponent)?;
        (least == greatest).then_some(least)
    }

    #[cold]
    fn slow_magnitude(self) -> f64 {
        float::from_text(self.text, self.digits, self.exponent)
    }
}

/// As [`digits_bytewise`], eight digits at a time while there are eight: a tenth faster for 15
/// digits.
///
/// Counting the remaining digits in the word, too, would make the processor wait; with a loop it
/// can predict their number and go on.
#[inline]
fn scan_eights(text: &[u8], mut at: usize, mut digits: u64) -> (u64, usize) {
    while let Some(word) = word_at(text, at)
        && non_digits(word) == 0
    {
        digits = digits
            .wrapping_mul(100_000_000)
            .wrapping_add(short_integer(word, WORD));
        at += WORD;
    }
    (digits, at)
}

/// For many digits: the number of the first ones, as many as fit; the count of the others; and
/// whether those are all zeros.
#[cold]
fn first_digits(mantissa: &[u8]) -> (u64, i64, bool) {
    let mut digits = mantissa
        .iter()
        .filter(|&&byte| byte != b'.')
        .map(|byte| u64::from(byte - b'0'))
        .skip_while(|&digit| digit == 0);
    let mut number = 0;
    for digit in digits.by_ref().take(SAFE_DIGITS) {
        number = number * 10 + digit;
    }
    let mut left_out = 0;
    let mut exact = true;
    for digit in digits {
        // One more may fit.
        let longer = number
            .checked_mul(10)
            .and_then(|tenfold: u64| tenfold.checked_add(digit));
        match longer {
            Some(longer) if left_out == 0 => number = longer,
            _ => {
                left_out += 1;
                exact &= digit == 0;
            }
        }
    }
    (number, left_out, exact)
}

/// The exponent whose sign or first digit is at `start`, limited to [`GREATEST_EXPONENT`] in both
/// directions, and its end.
fn scan_exponent(text: &[u8], start: usize) -> Result<(i64, usize), usize> {
    let negative = text.get(start) == Some(&b'-');
    let signed = negative || text.get(start) == Some(&b'+');
    let first = start + usize::from(signed);
    let mut at = first;
    let mut exponent = 0;
    while let Some(byte) = text.get(at)
        && byte.is_ascii_digit()
    {
        exponent = (exponent * 10 + i64::from(byte - b'0')).min(GREATEST_EXPONENT);
        at += 1;
    }
    if at == first {
        return Err(at);
    }
    Ok((if negative { -exponent } else { exponent }, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (bool, u64, i64, bool, bool) {
        let numeral = Numeral::scan(text.as_bytes(), 0).expect(text);
        assert_eq!(numeral.text, text.as_bytes());
        (
            numeral.negative,
            numeral.digits,
            numeral.exponent,
            numeral.exact,
            numeral.integer,
        )
    }

    #[test]
    fn numbers_are_split_into_their_parts() {
        assert_eq!(parts("0"), (false, 0, 0, true, true));
        assert_eq!(parts("-12"), (true, 12, 0, true, true));
        assert_eq!(parts("-12.50"), (true, 1250, -2, true, false));
        assert_eq!(parts("1e5"), (false, 1, 5, true, false));
        assert_eq!(parts("0.25E-03"), (false, 25, -5, true, false));
        assert_eq!(
            parts("7.0000000000000001e+20"),
            (false, 70_000_000_000_000_001, 4, true, false)
        );
    }

    #[test]
    fn digits_that_do_not_fit_are_left_out() {
        let most = u64::MAX;
        assert_eq!(parts(&most.to_string()), (false, most, 0, true, true));
        assert_eq!(
            parts("18446744073709551616"),
            (false, most / 10, 1, false, true)
        );
        assert_eq!(
            parts("18446744073709551610"),
            (false, most - 5, 0, true, true)
        );
        assert_eq!(
            parts("18446744073709551620"),
            (false, most / 10 + 1, 1, true, true)
        );
        assert_eq!(parts("184467440737095516150"), (false, most, 1, true, true));
        assert_eq!(
            parts("0.000000000000000000012"),
            (false, 12, -21, true, false)
        );
        assert_eq!(
            parts("1.0000000000000000000000"),
            (false, 10_u64.pow(19), -19, true, false)
        );
        assert_eq!(
            parts("1.0000000000000000000001"),
            (false, 10_u64.pow(19), -19, false, false)
        );
    }

    #[test]
    fn exponents_stop_growing() {
        let limit = GREATEST_EXPONENT;
        assert_eq!(
            parts("1e99999999999999999999999"),
            (false, 1, limit, true, false)
        );
        assert_eq!(
            parts("1e-99999999999999999999999"),
            (false, 1, -limit, true, false)
        );
        assert_eq!(
            parts("1.5e-0000000000000000000000002"),
            (false, 15, -3, true, false)
        );
    }

    #[test]
    fn integers_are_returned_if_they_fit() {
        let ints = |text: &str| {
            let numeral = Numeral::scan(text.as_bytes(), 0).expect(text);
            (numeral.to_i64(), numeral.to_u64())
        };
        assert_eq!(ints("-0"), (Some(0), Some(0)));
        assert_eq!(ints("-1"), (Some(-1), None));
        assert_eq!(
            ints("9223372036854775807"),
            (Some(i64::MAX), Some((1 << 63) - 1))
        );
        assert_eq!(ints("9223372036854775808"), (None, Some(1 << 63)));
        assert_eq!(ints("-9223372036854775808"), (Some(i64::MIN), None));
        assert_eq!(ints("-9223372036854775809"), (None, None));
        assert_eq!(ints("18446744073709551616"), (None, None));
        assert_eq!(ints("184467440737095516150"), (None, None));
        assert_eq!(ints("1.0"), (None, None));
        assert_eq!(ints("1e0"), (None, None));
    }

    /// The number ends where the grammar ends, independently of what follows and of its position.
    #[test]
    fn bytes_after_the_number_are_left() {
        for (text, number) in [
            ("01", "0"),
            ("-00", "-0"),
            ("0123456789", "0"),
            ("1,2", "1"),
            ("12]", "12"),
            ("1.5.5", "1.5"),
            ("1e5e5", "1e5"),
            ("1e+5-", "1e+5"),
            ("123456789:", "123456789"),
            ("0.12345678x", "0.12345678"),
            ("0.1234567890123456/", "0.1234567890123456"),
        ] {
            for padding in ["", "[", "        "] {
                let text = format!("{padding}{text}");
                let numeral = Numeral::scan(text.as_bytes(), padding.len()).expect(&text);
                assert_eq!(numeral.text, number.as_bytes(), "{text}");
            }
        }
    }

    #[test]
    fn missing_digit_is_located() {
        for (text, offset) in [
            ("", 0),
            ("-", 1),
            ("-x", 1),
            ("+1", 0),
            (".5", 0),
            ("-.5", 1),
            ("1.", 2),
            ("1.e5", 2),
            ("12345678.", 9),
            ("1.x234567890", 2),
            ("1e", 2),
            ("1e+", 3),
            ("1e+-1", 3),
            ("1.5ex", 4),
        ] {
            assert_eq!(
                Numeral::scan(text.as_bytes(), 0).err(),
                Some(offset),
                "{text}"
            );
        }
    }
}
