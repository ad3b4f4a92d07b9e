//! The shortest decimal number that reads back as a given float, and of several the nearest to it.
//!
//! This is Raffaello Giulietti's Schubfach ("The Schubfach way to render doubles", 2020). All
//! numbers between the middles to the left and to the right neighbour of a float read back as it.
//! Take the grid of decimals whose step is the greatest power of ten that is not longer than this
//! interval: at least one of its points lies in the interval, and at most one point of the grid ten
//! times as wide. If there is one on the wide grid, it is the shortest; otherwise the shortest is
//! one of the two neighbours on the fine grid. So there is no loop.
//!
//! Schubfach multiplies three numbers by a power of ten: the float and the two middles. Here the
//! middles are the float's product plus or minus half the distance of two floats, which is some
//! bits of the power itself: 16 ns instead of 27.

use super::powers::{self, significand};
use crate::append::eight_digits;

/// Appends the shortest number that reads back as `value`, which is finite: `0.1`, `-5`, `1e300`.
///
/// It has an exponent below 1e-5 and from 1e17 on, so that there are no long rows of zeros.
pub(crate) fn append(value: f64, out: &mut Vec<u8>) {
    debug_assert!(value.is_finite());
    if value.is_sign_negative() {
        out.push(b'-');
    }
    match shortest(value) {
        None => out.push(b'0'),
        Some((digits, exponent)) => append_decimal(digits, exponent, out),
    }
}

/// The number of bits for the digits in a float, whose highest digit is implicit.
const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;

/// The digits of the shortest decimal, and their power of ten, without the sign. The digits may end
/// in zeros, but are at most [`MOST_DIGITS`]. `None` for zero, NaN and the infinities.
pub(crate) fn shortest(value: f64) -> Option<(u64, i32)> {
    /// The bias of the exponent, for a float as an integer times a power of two.
    const BIAS: i32 = f64::MAX_EXP - 2 + f64::MANTISSA_DIGITS as i32;
    const IMPLICIT: u64 = 1 << FRACTION_BITS;

    let bits = value.abs().to_bits();
    if bits == 0 || !value.is_finite() {
        return None;
    }
    let fraction = bits & (IMPLICIT - 1);
    let biased = (bits >> FRACTION_BITS) as i32;
    // The float is `binary` times two to the `log2`.
    let (binary, log2) = if biased == 0 {
        (fraction, 1 - BIAS)
    } else {
        (fraction | IMPLICIT, biased - BIAS)
    };
    // Below 2^53, integers are their own shortest form: their neighbours on the grid of tens are
    // other floats.
    if (-(FRACTION_BITS as i32)..=0).contains(&log2) && binary.trailing_zeros() as i32 >= -log2 {
        return Some((binary >> -log2, 0));
    }
    // Below a power of two, floats are twice as dense as above it.
    let uneven = fraction == 0 && biased > 1;

    // The step of the fine grid is the greatest power of ten up to the length of the interval.
    let power = log10(log2, uneven);
    let step = significand(-power);
    let shift = (log2 + powers::log2(-power) + 1) as u32;
    let float = product(step, binary << (shift + POINT - 64));
    let half = step >> (129 - POINT - shift);
    // A middle reads back as its even neighbour.
    let reach = if binary.is_multiple_of(2) {
        half + TOLERANCE
    } else {
        half - TOLERANCE
    };
    let reach_below = if uneven { half / 2 + TOLERANCE } else { reach };

    let fine = (float >> POINT) as u64;
    let wide = fine / 10 * 10;
    let fraction_of_step = float & (STEP - 1);
    let from_wide = u128::from(fine - wide) << POINT | fraction_of_step;
    let digits = if from_wide <= reach_below {
        wide
    } else if 10 * STEP - from_wide <= reach {
        wide + 10
    } else {
        // The nearer one, and of two equally near ones the upper one, like the standard library.
        // Only below a power of two the nearer one can be outside the interval.
        fine + u64::from(fraction_of_step >= STEP / 2 || fraction_of_step > reach_below)
    };
    Some((digits, power))
}

/// The number of bits after the point in a float divided by the step; 57 bits are before it.
const POINT: u32 = 70;

/// One step in this form.
const STEP: u128 = 1 << POINT;

/// The error of a product is less than three units. A number that is not exactly at an end of the
/// interval is more than 80 units away from it (continued fractions show this for each exponent).
/// So a number closer than this is at the end.
const TOLERANCE: u128 = 16;

/// The product with a power's significand, without the last 64 bits.
fn product(significand: u128, factor: u64) -> u128 {
    let factor = u128::from(factor);
    let lower = factor * (significand & u128::from(u64::MAX));
    factor * (significand >> 64) + (lower >> 64)
}

/// The greatest power of ten up to the length of the interval around a float, which is two to the
/// `log2`, or three quarters of that if the distances to the neighbours are uneven.
fn log10(log2: i32, uneven: bool) -> i32 {
    // 2^22 times the logarithm of 2, and that of 4/3.
    (log2 * 1_262_611 - if uneven { 524_031 } else { 0 }) >> 22
}

/// Appends `digits` times ten to the `exponent`; `digits` is not zero and has at most
/// [`MOST_DIGITS`].
fn append_decimal(digits: u64, exponent: i32, out: &mut Vec<u8>) {
    const EIGHT: u64 = 100_000_000;
    /// The characters `0`, to be added to digits.
    const ASCII: u64 = u64::from_le_bytes([b'0'; 8]);

    // Append zeros, so that the number always has all its digits. Most lack at most one.
    let missing = if digits >= POWERS[MOST_DIGITS - 2] {
        usize::from(digits < POWERS[MOST_DIGITS - 1])
    } else {
        MOST_DIGITS - 1 - digits.ilog10() as usize
    };
    let digits = digits * POWERS[missing];
    let exponent = exponent - missing as i32;

    // The digits: the first one, and sixteen others, one in each byte.
    let high = digits / EIGHT;
    let last = eight_digits(digits - high * EIGHT);
    let first = high / EIGHT;
    let middle = eight_digits(high - first * EIGHT);
    let first = u64::from(b'0') + first;
    let zeros = if last == 0 {
        8 + middle.leading_zeros() / 8
    } else {
        last.leading_zeros() / 8
    };
    let length = MOST_DIGITS - zeros as usize;
    let (middle, last) = (middle | ASCII, last | ASCII);
    // The number of digits before the point; negative if zeros come between the point and the
    // digits.
    let point = MOST_DIGITS as i32 + exponent;

    // Pieces of fixed length are stored in place, without a loop; the surplus is dropped at the
    // end. Nothing that was just stored in pieces is loaded again: the processor would have to
    // wait for it.
    let start = out.len();
    out.extend_from_slice(&[b'0'; ROOM]);
    let text: &mut [u8; ROOM] = out.last_chunk_mut().expect("they were just appended");
    let end = match point {
        1..=7 => with_point(first, middle, last, point as usize, length, text),
        8..=17 => {
            let point = point as usize;
            let others = u128::from(middle) | u128::from(last) << 64;
            text[0] = first as u8;
            text[1..=16].copy_from_slice(&others.to_le_bytes());
            if length > point {
                let fraction = others >> (8 * (point - 1));
                text[point] = b'.';
                text[point + 1..][..16].copy_from_slice(&fraction.to_le_bytes());
                length + 1
            } else {
                point
            }
        }
        -4..=0 => {
            let zeros = point.unsigned_abs() as usize;
            text[1] = b'.';
            text[2 + zeros] = first as u8;
            text[3 + zeros..][..8].copy_from_slice(&middle.to_le_bytes());
            text[11 + zeros..][..8].copy_from_slice(&last.to_le_bytes());
            2 + zeros + length
        }
        _ => {
            let end = with_point(first, middle, last, 1, length, text);
            end + put_exponent(point - 1, &mut text[end..])
        }
    };
    out.truncate(start + end);
}

/// Ten to the power of the index.
const POWERS: [u64; MOST_DIGITS] = {
    let mut powers = [1; MOST_DIGITS];
    let mut index = 1;
    while index < MOST_DIGITS {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
};

/// Writes all digits with a point after the first `point` of them, at most seven, and returns the
/// length of the text: without the point, if no digits follow it.
#[inline]
fn with_point(
    first: u64,
    middle: u64,
    last: u64,
    point: usize,
    length: usize,
    text: &mut [u8; ROOM],
) -> usize {
    // Digits after the point are one place further. All digits are stored there first, and then
    // those before the point are put in their place in a word.
    text[2..10].copy_from_slice(&middle.to_le_bytes());
    text[10..18].copy_from_slice(&last.to_le_bytes());
    let eight = first | middle << 8;
    let before = (1 << (8 * point)) - 1;
    let start = eight & before | u64::from(b'.') << (8 * point) | (eight & !before) << 8;
    text[..8].copy_from_slice(&start.to_le_bytes());
    if length > point { length + 1 } else { point }
}

/// More bytes than any float takes, including the surplus that is written on the way.
const ROOM: usize = 40;

/// The most digits of the shortest form of a float.
const MOST_DIGITS: usize = 17;

/// Writes an exponent of at most three digits to the start of `text`, and returns its length.
fn put_exponent(exponent: i32, text: &mut [u8]) -> usize {
    let magnitude = exponent.unsigned_abs();
    let places = [magnitude / 100, magnitude / 10 % 10, magnitude % 10, 0];
    let zeros = usize::from(magnitude < 100) + usize::from(magnitude < 10);
    let digits = u32::from_le_bytes(places.map(|digit| b'0' + digit as u8)) >> (8 * zeros);
    text[..2].copy_from_slice(b"e-");
    let start = if exponent < 0 { 2 } else { 1 };
    text[start..start + 4].copy_from_slice(&digits.to_le_bytes());
    start + 3 - zeros
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: f64) -> String {
        let mut out = Vec::new();
        append(value, &mut out);
        String::from_utf8(out).expect("digits are ASCII")
    }

    #[test]
    fn shortest_decimals_are_found() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (-123.456, "-123.456"),
            (9_007_199_254_740_993_u64 as f64, "9007199254740992"),
            (4.35, "4.35"),
            // The ends of the range.
            (5e-324, "5e-324"),
            (1e-323, "1e-323"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (f64::MIN_POSITIVE.next_down(), "2.225073858507201e-308"),
            (f64::MAX, "1.7976931348623157e308"),
            // Below a power of two, floats are denser.
            (9007199254740992.0 * 2.0, "18014398509481984"),
            (f64::EPSILON, "2.220446049250313e-16"),
            (1.0 - f64::EPSILON / 2.0, "0.9999999999999999"),
            (9.5367431640625e-7, "9.5367431640625e-7"),
            // Hard cases from the papers and tests of Grisu and Ryu.
            (1e23, "1e23"),
            (1e23_f64.next_up(), "1.0000000000000001e23"),
            (9.5e-323, "9.4e-323"),
            (5.764607523034235e39, "5.764607523034235e39"),
            (1.152921504606847e40, "1.152921504606847e40"),
            (2.305843009213694e40, "2.305843009213694e40"),
            (4.940656e-318, "4.940656e-318"),
            (4.708356024711512e18, "4.708356024711512e18"),
            (9.409340012568248e18, "9.409340012568248e18"),
            (1.8531501765868567e21, "1.8531501765868567e21"),
            (-3.347727380279489e33, "-3.347727380279489e33"),
            (1.9430376160308388e16, "19430376160308388"),
            // In the middle of two shortest ones: the upper one.
            (1.0 / 33_554_432.0, "2.9802322387695313e-8"),
            (2179139703190279.0 + 0.25, "2179139703190279.3"),
        ] {
            assert_eq!(written(value), text);
        }
    }

    #[test]
    fn point_is_written_at_every_position() {
        for (exponent, text) in [
            (-7, "1.2345678901234567e-7"),
            (-6, "1.2345678901234567e-6"),
            (-5, "0.000012345678901234567"),
            (-4, "0.00012345678901234567"),
            (-1, "0.12345678901234567"),
            (0, "1.2345678901234567"),
            (1, "12.345678901234567"),
            (5, "123456.78901234567"),
            (6, "1234567.8901234567"),
            (7, "12345678.901234567"),
            (8, "123456789.01234567"),
            (14, "123456789012345.67"),
            (15, "1234567890123456.7"),
            (16, "12345678901234567"),
            (17, "1.2345678901234567e17"),
            (99, "1.2345678901234567e99"),
            (100, "1.2345678901234567e100"),
            (-99, "1.2345678901234567e-99"),
            (-100, "1.2345678901234567e-100"),
        ] {
            let mut out = b"[".to_vec();
            append_decimal(12_345_678_901_234_567, exponent - 16, &mut out);
            assert_eq!(str::from_utf8(&out), Ok(format!("[{text}").as_str()));
        }
        for (exponent, text) in [
            (-324, "5e-324"),
            (-6, "5e-6"),
            (-5, "0.00005"),
            (-1, "0.5"),
            (0, "5"),
            (1, "50"),
            (7, "50000000"),
            (8, "500000000"),
            (16, "50000000000000000"),
            (17, "5e17"),
        ] {
            let mut out = Vec::new();
            append_decimal(5, exponent, &mut out);
            assert_eq!(str::from_utf8(&out), Ok(text));
        }
    }
}
