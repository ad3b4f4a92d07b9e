//! Numbers as they stand in a text.
//!
//! This is how a number gets from text to value. [`Numeral::scan`] checks the grammar and gathers
//! the digits in a `u64` as it goes. An integer that fits is done with that
//! ([`to_u64`](Numeral::to_u64), [`to_i64`](Numeral::to_i64)). A float is the digits times a power
//! of ten, rounded ([`to_f64`](Numeral::to_f64), [`float`]). Where a number must lose nothing,
//! [`Number`](crate::Number) takes the first of an `i64`, a `u64` and an `f64` that has just its
//! value, or else keeps the text.

use crate::float;
use crate::scan::{SAFE_DIGITS, WORD, non_digits, short_integer, word_at};

/// What the grammar of RFC 8259 section 6 finds in a number, in one pass: its extent and what it
/// denotes.
///
/// ```text
/// let numeral = Numeral::scan(b"[-12.50]", 1)?;   // an error is the offset where a digit is missing
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
    /// Its digits taken for one integer, without point; as many as fit, [`SAFE_DIGITS`] at least.
    pub(crate) digits: u64,
    /// The power of ten to multiply `digits` with.
    pub(crate) exponent: i64,
    /// Whether that is the number, and no digit but zeros was left out of `digits`.
    pub(crate) exact: bool,
    /// Whether it is written as an integer: with neither a point nor an exponent.
    pub(crate) integer: bool,
}

/// Exponents stop growing here. No text is long enough for its zeros to make up for that.
const GREATEST_EXPONENT: i64 = 100_000_000_000_000_000;

impl<'a> Numeral<'a> {
    /// Reads the number that starts at `start` and extends as far as the grammar lets it; whether
    /// what comes next may follow a number is for the caller to see (a digit after a leading
    /// zero, for one, may not).
    ///
    /// # Errors
    /// The offset at which a digit must come and doesn't.
    #[inline]
    pub(crate) fn scan(text: &'a [u8], start: usize) -> Result<Numeral<'a>, usize> {
        let negative = text.get(start) == Some(&b'-');
        let first = start + usize::from(negative);
        let mut digits = 0;
        let mut end = scan_digits(text, first, &mut digits);
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
            // The integer part is mostly short, but fractions often have a dozen digits and more.
            end = scan_eights(text, fraction, &mut digits);
            end = scan_digits(text, end, &mut digits);
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

    /// Whether `digits` is all of an integer.
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

    /// The nearest float, if it is the same whatever the digits are that were left out.
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

/// Appends the digits that stand at `at` to the decimal number `digits`, which wraps around if they
/// are too many, and says where they end.
#[inline]
fn scan_digits(text: &[u8], mut at: usize, digits: &mut u64) -> usize {
    while let Some(&byte @ b'0'..=b'9') = text.get(at) {
        let digit = u64::from(byte - b'0');
        *digits = digits.wrapping_mul(10).wrapping_add(digit);
        at += 1;
    }
    at
}

/// As [`scan_digits`], but eight digits at a time, as long as there are eight: a tenth off the time
/// for 15 digits.
///
/// To count the rest in the word too would make the processor wait; a loop lets it guess how many
/// they are and go on.
#[inline]
fn scan_eights(text: &[u8], mut at: usize, digits: &mut u64) -> usize {
    while let Some(word) = word_at(text, at)
        && non_digits(word) == 0
    {
        *digits = digits
            .wrapping_mul(100_000_000)
            .wrapping_add(short_integer(word, WORD));
        at += WORD;
    }
    at
}

/// Of many digits: the number that the first of them make, so many as fit; how many others there
/// are; and whether those are all zeros.
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

/// The exponent whose sign or first digit stands at `start`, at most [`GREATEST_EXPONENT`] either
/// way, and where it ends.
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
    fn what_a_number_is_made_of() {
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
    fn integers_that_fit() {
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

    /// The number ends where the grammar lets it end, whatever follows, and wherever it stands.
    #[test]
    fn what_follows_is_left() {
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
    fn a_missing_digit_is_told() {
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
