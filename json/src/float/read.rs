//! The float nearest to a decimal number.

use super::powers::{self, significand};

/// The float nearest to `digits` times ten to the `exponent`, and of two equally near ones the even
/// one (IEEE 754); `None` in the hard cases, which are left to [`from_text`].
///
/// These are numbers that, as far as 128 bits tell, lie exactly in the middle between two floats,
/// and results that are subnormal or infinite.
pub(crate) fn from_decimal(digits: u64, exponent: i64) -> Option<f64> {
    // William Clinger's fast path: both operands are floats, so a single operation rounds
    // correctly.
    if digits <= EXACT_INTEGERS
        && let Some(&power) = EXACT_POWERS.get(exponent.unsigned_abs() as usize)
    {
        let float = digits as f64;
        return Some(if exponent < 0 {
            float / power
        } else {
            float * power
        });
    }
    if digits == 0 {
        return Some(0.0);
    }
    let power = i32::try_from(exponent)
        .ok()
        .filter(|power| (powers::LEAST..=powers::GREATEST).contains(power))?;
    product(digits, power)
}

/// All integers up to this one are floats.
const EXACT_INTEGERS: u64 = 1 << 53;

/// The powers of ten that are floats.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Michael Eisel's and Daniel Lemire's way ("Number Parsing at a Gigabyte per Second", 2021), with
/// all 128 bits at once: multiplies `digits`, which is not zero, by the significand of ten to the
/// `power`, and rounds.
fn product(digits: u64, power: i32) -> Option<f64> {
    let leading = digits.leading_zeros();
    let digits = u128::from(digits << leading);
    let significand = significand(power);
    let upper = digits * (significand >> 64);
    let lower = digits * (significand & u128::from(u64::MAX));
    // The product without its lowest 64 bits: less than one unit below the true product. The
    // significand was less than one of its units too large, which is less than one unit here.
    // So the true value lies less than one unit away, on either side.
    let product = upper + (lower >> 64);
    // Both factors have their highest bit at the top, so the product has it there or one place
    // below.
    let high = (product >> 64) as u64;
    let zeros = high.leading_zeros();
    // One bit more than a float has is kept, to decide the rounding. Unless all bits below are
    // zero, one unit does not change the kept bits, and the true value is not exactly in the
    // middle either.
    let dropped = u64::BITS - f64::MANTISSA_DIGITS - 1 - zeros;
    if high & ((1 << dropped) - 1) == 0 && product as u64 == 0 {
        return None;
    }
    let rounded = (high >> dropped).div_ceil(2);

    // The weight of the highest bit.
    let log2 = powers::log2(power) + 64 - (leading + zeros) as i32;
    let biased = log2 + (f64::MAX_EXP - 1);
    if !(1..2 * f64::MAX_EXP - 2).contains(&biased) {
        return None;
    }
    // The highest bit of `rounded` adds one to the exponent, also if rounding carried into it.
    let bits = ((biased - 1) as u64) << (f64::MANTISSA_DIGITS - 1);
    Some(f64::from_bits(bits + rounded))
}

/// The float nearest to the number of `text`, which has the grammar of RFC 8259 section 6, without
/// its sign; infinite beyond the range. `digits`, which is not zero, are all or the first of its
/// significant digits, and stand for `digits` times ten to the `exponent`.
///
/// For the cases that [`from_decimal`] does not answer. Takes time linear in the length.
#[cold]
pub(crate) fn from_text(text: &[u8], digits: u64, exponent: i64) -> f64 {
    /// The middle between two floats has at most 767 significant digits. Whether a number is above
    /// or below it shows in those digits, or in any further digit that is not zero.
    const ENOUGH: usize = 768;
    /// Above this power of ten, numbers of at most 20 digits are infinite; below its negative,
    /// zero.
    const BEYOND: i64 = 1_000;

    // The standard library rounds correctly, but limits exponents, which is wrong if enough zeros
    // make up for a larger one. So it gets only the significant digits and a matching exponent.
    let mut significant = text
        .iter()
        .take_while(|byte| !matches!(byte, b'e' | b'E'))
        .filter(|byte| byte.is_ascii_digit())
        .skip_while(|&&byte| byte == b'0')
        .map(|&byte| char::from(byte));
    let mut plain = digits.to_string();
    plain.push('.');
    plain.extend(significant.by_ref().skip(plain.len() - 1).take(ENOUGH));
    if significant.any(|digit| digit != '0') {
        plain.push('1');
    }
    plain.push_str(&format!("e{}", exponent.clamp(-BEYOND, BEYOND)));
    plain.parse().expect("digits and an exponent are a float")
}
