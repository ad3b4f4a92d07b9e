//! Numbers as they stand in a text.

use crate::float;

/// What the grammar of RFC 8259 section 6 finds in a number, in one pass: its extent and what it denotes.
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
    /// Its digits taken for one integer, without point; as many as fit, 19 significant ones at least.
    pub(crate) digits: u64,
    /// The power of ten to multiply `digits` with.
    pub(crate) exponent: i64,
    /// Whether that is the number, and no digit but zeros was left out of `digits`.
    pub(crate) exact: bool,
    /// Whether it is written as an integer: with neither a point nor an exponent.
    pub(crate) integer: bool,
}

/// So many digits fit a `u64`, whatever they are.
const FITTING_DIGITS: usize = 19;

/// Exponents stop growing here. No text is long enough for its zeros to make up for that.
const GREATEST_EXPONENT: i64 = 100_000_000_000_000_000;

impl<'a> Numeral<'a> {
    /// Reads the number that starts at `start` and extends as far as the grammar lets it; whether what comes
    /// next may follow a number is for the caller to see (a digit after a leading zero, for one, may not).
    ///
    /// # Errors
    /// The offset at which a digit must come and doesn't.
    #[inline]
    pub(crate) fn scan(text: &'a [u8], start: usize) -> Result<Numeral<'a>, usize> {
        let negative = text.get(start) == Some(&b'-');
        let first = start + usize::from(negative);
        let mut digits = 0;
        let mut end = scan_digits(text, first, &mut digits)?;
        if text[first] == b'0' && end > first + 1 {
            digits = 0;
            end = first + 1;
        }
        let mut count = end - first;
        let mut exponent = 0;
        let mut integer = true;
        if text.get(end) == Some(&b'.') {
            let fraction = end + 1;
            end = scan_digits(text, fraction, &mut digits)?;
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
        let numeral = Numeral {
            text: &text[start..end],
            negative,
            digits,
            exponent,
            exact: true,
            integer,
        };
        Ok(if count <= FITTING_DIGITS {
            numeral
        } else {
            numeral.with_many_digits(&text[first..mantissa_end])
        })
    }

    /// Puts right what so many digits made overflow.
    #[cold]
    fn with_many_digits(mut self, mantissa: &[u8]) -> Numeral<'a> {
        self.digits = 0;
        let mut left_out = 0;
        for digit in mantissa.iter().filter(|byte| byte.is_ascii_digit()) {
            let digit = u64::from(digit - b'0');
            let longer = self
                .digits
                .checked_mul(10)
                .and_then(|tenfold| tenfold.checked_add(digit));
            match longer {
                Some(longer) if left_out == 0 => self.digits = longer,
                _ => {
                    left_out += 1;
                    self.exact &= digit == 0;
                }
            }
        }
        self.exponent += left_out;
        self
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

/// Appends the digits that stand at `start` to the decimal number `digits`, which wraps around if they are too
/// many, and says where they end.
///
/// # Errors
/// `start`, if no digit is there.
#[inline]
fn scan_digits(text: &[u8], start: usize, digits: &mut u64) -> Result<usize, usize> {
    let mut at = start;
    while let Some(rest) = text.get(at..)
        && let Some(&eight) = rest.first_chunk::<8>()
    {
        let (value, count) = leading_digits(eight);
        *digits = digits.wrapping_mul(POWERS[count]).wrapping_add(value);
        at += count;
        if count < 8 {
            return if at == start { Err(at) } else { Ok(at) };
        }
    }
    while let Some(byte) = text.get(at)
        && byte.is_ascii_digit()
    {
        let digit = u64::from(byte - b'0');
        *digits = digits.wrapping_mul(10).wrapping_add(digit);
        at += 1;
    }
    if at == start { Err(at) } else { Ok(at) }
}

/// Ten to the power of the index.
const POWERS: [u64; 9] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];

/// The number that the leading digits among eight bytes make, and how many they are; without a branch, all
/// eight at a time, one in each byte of a word.
#[inline]
fn leading_digits(bytes: [u8; 8]) -> (u64, usize) {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // A digit is now its value, and anything else more than 9.
    let values = u64::from_le_bytes(bytes) ^ (EACH * b'0' as u64);
    // The highest bit of each byte that is no digit. A carry goes to a later byte, and only from such a byte.
    let others = (values.wrapping_add(EACH * (0x80 - 10)) | values) & (EACH * 0x80);
    let count = others.trailing_zeros() / 8;
    // Zeros come in at the front as the other bytes go out at the end; all of them, if none is a digit.
    let values = values.checked_shl(64 - 8 * count).unwrap_or(0);
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    // Every second byte is a pair's value now. The products gather them in the upper half.
    const EVERY_FOURTH: u64 = 0xff_0000_00ff;
    let first_and_third = (pairs & EVERY_FOURTH).wrapping_mul(100 + (1_000_000 << 32));
    let second_and_fourth = (pairs >> 16 & EVERY_FOURTH).wrapping_mul(1 + (10_000 << 32));
    let value = first_and_third.wrapping_add(second_and_fourth) >> 32;
    (value, count as usize)
}

/// The exponent whose sign or first digit stands at `start`, at most [`GREATEST_EXPONENT`] either way, and
/// where it ends.
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

    #[track_caller]
    fn agrees(text: &str) {
        let numeral = Numeral::scan(text.as_bytes(), 0).unwrap_or_else(|at| panic!("{text}: {at}"));
        assert_eq!(numeral.text, text.as_bytes());
        let expected: f64 = text.parse().expect(text);
        assert_eq!(numeral.to_f64().to_bits(), expected.to_bits(), "{text}");
    }

    #[test]
    fn agrees_with_std() {
        let mut state = 1_u64;
        for _ in 0..300_000 {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let value = f64::from_bits(state ^ state >> 29);
            if value.is_finite() {
                agrees(&format!("{value:e}"));
                agrees(&format!("{value:.25e}"));
                agrees(&format!("{value}"));
            }
            agrees(&format!("{}", (state >> 40) as f64 / 1000.0));
        }
    }
}
