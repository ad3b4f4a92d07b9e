//! Powers of ten as 128-bit significands.

/// The least power in the table: times a 64-bit integer, smaller ones make no normal float.
pub(super) const LEAST: i32 = -327;

/// The greatest power in the table: writing the least subnormal takes it.
pub(super) const GREATEST: i32 = 324;

/// Which powers have a significand of at most 128 bits, so that the table has them exactly.
pub(super) const EXACT: std::ops::RangeInclusive<i32> = 0..=55;

const LENGTH: usize = (GREATEST - LEAST + 1) as usize;

/// The significands: ten to the `power` is `significand(power)` times two to the `log2(power) -
/// 127`, rounded up; it is less than one unit too large, and exact for the powers in [`EXACT`].
pub(super) fn significand(power: i32) -> u128 {
    SIGNIFICANDS[(power - LEAST) as usize]
}

/// The logarithm of ten to the `power`, rounded down, for every power in the table.
pub(super) fn log2(power: i32) -> i32 {
    // 217706 / 2^16 is the logarithm of ten, near enough for powers of less than four digits.
    (power * 217_706) >> 16
}

/// Computed by the compiler, in a few milliseconds, rather than pasted here.
static SIGNIFICANDS: [u128; LENGTH] = {
    let mut table = [0; LENGTH];

    // A power of ten has the significand of the same power of five, which is an integer of at most
    // 753 bits.
    let mut five = [0; LIMBS];
    five[0] = 1;
    let mut power = 0;
    while power <= GREATEST {
        table[(power - LEAST) as usize] = top(&five) + !exact(power) as u128;
        times_five(&mut five);
        power += 1;
    }

    // For a negative one, 2^895 is divided by five again and again. Rounding each quotient down
    // gives the same as rounding only the last one down; that has 136 bits at least.
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

/// How many 64-bit limbs, the lowest first, hold every number that the table is made from.
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

/// The 128 bits from the highest set bit on.
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

/// The limb that is `below` the one at `index`; zero below the lowest.
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
    fn known_significands() {
        assert_eq!(significand(0), 1 << 127);
        assert_eq!(significand(1), 0b1010 << 124);
        assert_eq!(significand(55), 5_u128.pow(55));
        // Two thirds of the bits of a fifth: 0.0011 0011 ...
        assert_eq!(significand(-1), 0xcccc_cccc_cccc_cccc_cccc_cccc_cccc_cccd);
        // As Ulf Adams, Raffaello Giulietti and Daniel Lemire print them.
        assert_eq!(significand(-292), 0xff77_b1fc_bebc_dc4f_25e8_e89c_13bb_0f7b);
        assert_eq!(significand(308), 0x8e67_9c2f_5e44_ff8f_570f_09ea_a7ea_7649);
    }

    /// Each entry follows from its neighbour, but for rounding: ten times a significand is that of
    /// the next power, three or four bits further up.
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
    fn the_exact_powers_are_those_whose_power_of_five_fits() {
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
