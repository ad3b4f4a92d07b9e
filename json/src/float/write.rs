//! The shortest decimal number that reads back as a given float, of several the nearest to it.
//!
//! This is Raffaello Giulietti's Schubfach ("The Schubfach way to render doubles", 2020). All numbers between
//! the middles to the left and to the right neighbour of a float read back as it. Look at the grid of decimals
//! whose step is the greatest power of ten that isn't longer than this interval: at least one of them lies in
//! it, and on the grid ten times as wide at most one. If there's one on the wide grid, it is the shortest;
//! otherwise it's one of the two neighbours on the fine grid. So three products with a power of ten (the two
//! ends and the float itself) and a few comparisons do, where trying needs a loop.

use super::powers::{self, significand};

/// Appends the shortest number that reads back as `value`, which is finite: `0.1`, `-5`, `1e300`.
///
/// It's plain from 1e-5 up to 1e17, and has an exponent elsewhere, so there's no row of three hundred zeros.
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

/// How many bits of a float's form are for its digits, the highest of which is left out.
const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;

/// The digits of the shortest decimal, and the power of ten to multiply them with, without the sign; there may be
/// zeros at the end of the digits, but no more than [`MOST_DIGITS`] in all. `None` for zero and for what isn't finite.
pub(crate) fn shortest(value: f64) -> Option<(u64, i32)> {
    /// What the biased exponent is greater by, for a float taken as an integer times a power of two.
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
    // Below 2^53, integers are their own shortest form: their neighbours on the grid of tens are other floats.
    if (-(FRACTION_BITS as i32)..=0).contains(&log2) && binary.trailing_zeros() as i32 >= -log2 {
        return Some((binary >> -log2, 0));
    }
    // Below a power of two, floats are twice as dense as above.
    let uneven = fraction == 0 && biased > 1;

    // The fine grid has the greatest power of ten up to the length of the interval.
    let power = log10(log2, uneven);
    // All that follows is in quarters of a step: four times the float and the middles to its neighbours, divided
    // by the step. The product leaves out all bits after the quarters but for whether there are any, which is
    // left in the last bit: two quarters and a bit compare rightly with every multiple of two quarters.
    let shift = log2 + powers::log2(-power) + 1;
    let step = significand(-power);
    let scaled = |quarters: u64| round_to_odd(step, quarters << shift);
    let float = scaled(4 * binary);
    let lower = scaled(4 * binary - if uneven { 1 } else { 2 });
    let upper = scaled(4 * binary + 2);
    // A middle reads back as the even one of its neighbours.
    let odd = binary & 1;
    let inside = lower + odd..=upper - odd;

    let fine = float / 4;
    let wide = fine / 10;
    let below = inside.contains(&(40 * wide));
    let above = inside.contains(&(40 * wide + 40));
    if below != above {
        return Some((wide + u64::from(above), power + 1));
    }
    let below = inside.contains(&(4 * fine));
    let above = inside.contains(&(4 * fine + 4));
    let nearer_above = if below == above {
        // Both read back: the nearer one, of two equally near ones the upper one, as the standard library does.
        float % 4 >= 2
    } else {
        above
    };
    Some((fine + u64::from(nearer_above), power))
}

/// The product with a power's significand, without the 128 bits behind the point; but its last bit is set if any
/// of those is.
fn round_to_odd(significand: u128, factor: u64) -> u64 {
    let factor = u128::from(factor);
    let lower = factor * (significand & u128::from(u64::MAX));
    let product = factor * (significand >> 64) + (lower >> 64);
    // A significand was rounded up, so that a bit in the very last place says nothing.
    (product >> 64) as u64 | u64::from(product as u64 > 1)
}

/// The greatest power of ten up to the length of the interval around a float: two to the `log2`, or three quarters
/// of that where the neighbours are unevenly far.
fn log10(log2: i32, uneven: bool) -> i32 {
    // 2^22 times the logarithm of 2, and that of 4/3.
    (log2 * 1_262_611 - if uneven { 524_031 } else { 0 }) >> 22
}

/// Appends `digits` times ten to the `exponent`; `digits` isn't zero and has at most [`MOST_DIGITS`].
fn append_decimal(digits: u64, exponent: i32, out: &mut Vec<u8>) {
    const EIGHT: u64 = 100_000_000;

    // All digits but the first, one in each byte.
    let first = (digits / (EIGHT * EIGHT)) as u8;
    let middle = u128::from(eight_digits(digits / EIGHT % EIGHT));
    let others = middle | u128::from(eight_digits(digits % EIGHT)) << 64;
    let leading_zeros = match first {
        0 => 1 + others.trailing_zeros() as usize / 8,
        _ => 0,
    };
    let trailing_zeros = others.leading_zeros() as usize / 8;
    // All pieces below are copied with a fixed length, which takes no loop, and what is too much comes off at the
    // end. So there are more zeros behind than the number has.
    let mut places = [b'0'; 2 * MOST_DIGITS];
    places[0] += first;
    const ASCII: u128 = u128::from_le_bytes([b'0'; 16]);
    places[1..MOST_DIGITS].copy_from_slice(&(others | ASCII).to_le_bytes());
    let places = &places[leading_zeros..];
    let length = MOST_DIGITS - leading_zeros - trailing_zeros;
    // How many of the digits come before the point; negative if zeros come after it first.
    let point = (MOST_DIGITS - leading_zeros) as i32 + exponent;

    let mut text = [b'0'; 2 * MOST_DIGITS];
    let start = out.len();
    match point {
        1..=17 => {
            let point = point as usize;
            text[..MOST_DIGITS].copy_from_slice(&places[..MOST_DIGITS]);
            let mut end = point;
            if length > point {
                text[point] = b'.';
                text[point + 1..][..16].copy_from_slice(&places[point..][..16]);
                end = length + 1;
            }
            out.extend_from_slice(&text);
            out.truncate(start + end);
        }
        -4..=0 => {
            let zeros = point.unsigned_abs() as usize;
            text[1] = b'.';
            text[2 + zeros..][..MOST_DIGITS].copy_from_slice(&places[..MOST_DIGITS]);
            out.extend_from_slice(&text);
            out.truncate(start + 2 + zeros + length);
        }
        _ => {
            text[0] = places[0];
            text[1] = b'.';
            text[2..][..16].copy_from_slice(&places[1..][..16]);
            out.extend_from_slice(&text);
            out.truncate(start + if length == 1 { 1 } else { 1 + length });
            append_exponent(point - 1, out);
        }
    }
}

/// How many digits the shortest form of a float has at most.
const MOST_DIGITS: usize = 17;

fn append_exponent(exponent: i32, out: &mut Vec<u8>) {
    out.push(b'e');
    if exponent < 0 {
        out.push(b'-');
    }
    let magnitude = exponent.unsigned_abs();
    let mut unit = match magnitude {
        0..10 => 1,
        10..100 => 10,
        _ => 100,
    };
    while unit > 0 {
        out.push(b'0' + (magnitude / unit % 10) as u8);
        unit /= 10;
    }
}

/// The eight digits of a number below 10^8, one in each byte of a word, the first in the lowest.
fn eight_digits(number: u64) -> u64 {
    // Halves, then quarters, then eighths of the word each become quotient and remainder at once. The quotients
    // are products with the reciprocal, which are exact for so small numbers.
    let halves = number / 10_000 | number % 10_000 << 32;
    let hundreds = (halves * 5_243 >> 19) & 0x7f_0000_007f;
    let quarters = hundreds | (halves - hundreds * 100) << 16;
    let tens = (quarters * 103 >> 10) & 0x000f_000f_000f_000f;
    tens | (quarters - tens * 10) << 8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: f64) -> String {
        let mut out = Vec::new();
        append(value, &mut out);
        String::from_utf8(out).expect("digits are ASCII")
    }

    /// What is written is what the standard library writes, in the notation that the range calls for.
    #[track_caller]
    fn agrees(value: f64) {
        let expected = if value == 0.0 || (1e-5..1e17).contains(&value.abs()) {
            format!("{value}")
        } else {
            format!("{value:e}")
        };
        assert_eq!(written(value), expected, "{:x}", value.to_bits());
    }

    #[test]
    fn agrees_with_std() {
        let mut state = 1_u64;
        for _ in 0..1_000_000 {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let value = f64::from_bits(state ^ state >> 29);
            if value.is_finite() {
                agrees(value);
            }
            agrees((state >> 40) as f64 / 1000.0);
            agrees((state >> (state & 63)) as f64);
        }
    }
}
