//! Powers of ten as 128-bit significands.

/// The least power in the table: smaller ones times a 64-bit integer are below all normal floats.
pub(super) const LEAST: i32 = -327;

/// The greatest power in the table: writing the least subnormal float needs it.
pub(super) const GREATEST: i32 = 324;

/// The powers whose significand has at most 128 bits, and so is exact in the table.
pub(super) const EXACT: std::ops::RangeInclusive<i32> = 0..=55;

const LENGTH: usize = (GREATEST - LEAST + 1) as usize;

/// The significands: ten to the `power` is `significand(power)` times two to the `log2(power) -
/// 127`. They are rounded up: exact for the powers in [`EXACT`], and else less than one unit too
/// large.
pub(super) fn significand(power: i32) -> u128 {
    SIGNIFICANDS[(power - LEAST) as usize]
}

/// The logarithm of ten to the `power`, rounded down, for every power in the table.
pub(super) fn log2(power: i32) -> i32 {
    // 217706 / 2^16 approximates the logarithm of ten well enough for powers of up to three digits.
    (power * 217_706) >> 16
}

/// Computed by the compiler in a few milliseconds.
static SIGNIFICANDS: [u128; LENGTH] = {
    let mut table = [0; LENGTH];

    // A power of ten has the same significand as that power of five, an integer of at most 753
    // bits.
    let mut five = [0; LIMBS];
    five[0] = 1;
    let mut power = 0;
    while power <= GREATEST {
        table[(power - LEAST) as usize] = top(&five) + !exact(power) as u128;
        times_five(&mut five);
        power += 1;
    }

    // For a negative power, 2^895 is divided by five repeatedly. Rounding each quotient down gives
    // the same as rounding only the last one down, which has at least 136 bits.
    let mut inverse = [0; LIMBS];
    inverse[LIMBS - 1] = 1 << 63;
    let mut power = -1;
    while power >= LEAST {
        by_five(&mut inverse);
        table[(power - LEAST) as usize] = top(&inverse) + 1;
        power -= 1;
    }
    table
};

const fn exact(power: i32) -> bool {
    *EXACT.start() <= power && power <= *EXACT.end()
}

/// The number of 64-bit limbs, the lowest first, of the numbers that the table is computed from.
const LIMBS: usize = 14;

const fn times_five(number: &mut [u64; LIMBS]) {
    let mut carry = 0;
    let mut index = 0;
    while index < LIMBS {
        let product = number[index] as u128 * 5 + carry;
        number[index] = product as u64;
        carry = product >> 64;
        index += 1;
    }
}

const fn by_five(number: &mut [u64; LIMBS]) {
    let mut remainder = 0;
    let mut index = LIMBS;
    while index > 0 {
        index -= 1;
        let dividend = remainder << 64 | number[index] as u128;
        number[index] = (dividend / 5) as u64;
        remainder = dividend % 5;
    }
}

/// The 128 bits from the highest set bit down.
const fn top(number: &[u64; LIMBS]) -> u128 {
    let mut index = LIMBS - 1;
    while number[index] == 0 {
        index -= 1;
    }
    let shift = number[index].leading_zeros();
    let high = limb_at(number, index, 0) << 64 | limb_at(number, index, 1);
    if shift == 0 {
        high
    } else {
        high << shift | limb_at(number, index, 2) >> (64 - shift)
    }
}

/// The limb `below` places under `index`; zero under the lowest.
const fn limb_at(number: &[u64; LIMBS], index: usize, below: usize) -> u128 {
    if index < below {
        0
    } else {
        number[index - below] as u128
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn significands_are_those_of_the_literature() {
        assert_eq!(significand(0), 1 << 127);
        assert_eq!(significand(1), 0b1010 << 124);
        assert_eq!(significand(55), 5_u128.pow(55));
        // Two thirds of the bits of a fifth: 0.0011 0011 ...
        assert_eq!(significand(-1), 0xcccc_cccc_cccc_cccc_cccc_cccc_cccc_cccd);
        // From the tables of Ulf Adams, Raffaello Giulietti and Daniel Lemire.
        assert_eq!(significand(-292), 0xff77_b1fc_bebc_dc4f_25e8_e89c_13bb_0f7b);
        assert_eq!(significand(308), 0x8e67_9c2f_5e44_ff8f_570f_09ea_a7ea_7649);
    }

    /// Up to rounding, ten times a significand is the next significand, shifted by three or four
    /// bits.
    #[test]
    fn each_power_is_ten_times_the_one_before() {
        for power in LEAST..GREATEST {
            let tenfold = significand(power) / 16 * 10;
            let next = match log2(power + 1) - log2(power) {
                3 => significand(power + 1) / 2,
                4 => significand(power + 1),
                bits => panic!("{power}: {bits}"),
            };
            assert!(
                tenfold.abs_diff(next) <= 16,
                "{power}: {tenfold:x} {next:x}"
            );
        }
    }

    #[test]
    fn every_significand_is_normalized() {
        for power in LEAST..=GREATEST {
            assert!(significand(power) >> 127 == 1, "{power}");
        }
    }

    #[test]
    fn exact_powers_are_those_whose_power_of_five_fits() {
        for power in 0..=GREATEST {
            let fits = 5_u128.checked_pow(power as u32).is_some();
            assert_eq!(EXACT.contains(&power), fits, "{power}");
            if fits {
                let five = 5_u128.pow(power as u32);
                assert_eq!(significand(power), five << five.leading_zeros());
            }
        }
    }
}
