//! Draws: integers in a range, chances, shuffles and exponential waiting times, from the
//! generator's bits.

use core::ops::RangeInclusive;

use crate::Rng;

impl Rng {
    /// A number from 0 up to but not including `n`, each equally likely.
    ///
    /// Daniel Lemire, "Fast random integer generation in an interval" (2019): the high half of a
    /// 128-bit product is the number, and the few products whose low half would favour some
    /// numbers are drawn again.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "cannot draw a number below 0");
        let mut product = u128::from(self.next_u64()) * u128::from(n);
        if (product as u64) < n {
            // 2^64 mod n; the division is paid only on this rare path.
            let surplus = n.wrapping_neg() % n;
            while (product as u64) < surplus {
                product = u128::from(self.next_u64()) * u128::from(n);
            }
        }
        (product >> 64) as u64
    }

    /// A number of `range`, both ends included, each equally likely. The range may be all of `u64`.
    ///
    /// # Panics
    /// If the range is empty.
    pub fn range(&mut self, range: RangeInclusive<u64>) -> u64 {
        assert!(!range.is_empty(), "cannot draw from an empty range");
        let (start, end) = range.into_inner();
        match (end - start).checked_add(1) {
            Some(count) => start + self.below(count),
            None => self.next_u64(),
        }
    }

    /// True with the probability `numerator / denominator`; always if that is 1 or more.
    ///
    /// # Panics
    /// If `denominator` is 0.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// Puts the items in a random order, each order equally likely (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }

    /// One of the items, each equally likely; `None` if there are no items.
    pub fn choose<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() {
            return None;
        }
        items.get(self.below(items.len() as u64) as usize)
    }

    /// A number from 0 up to but not including 1: one of the 2^53 multiples of 2^-53, each equally
    /// likely. Each is exactly representable, so the draw is the same on every machine.
    pub fn unit_f64(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.next_u64() >> 11) as f64 * STEP
    }

    /// An exponentially distributed number with the given mean, in the mean's unit, rounded to the
    /// nearest integer.
    ///
    /// It is `mean * -ln(u)` with `u` uniform in (0, 1), in fixed point. The error of the factor
    /// `-ln(u)` is less than 2^-47. The factor is at most 44.4 (`u` is a multiple of 2^-64), and a
    /// result above `u64::MAX` becomes `u64::MAX`. Rounding lowers the mean of small results (a
    /// mean of 1 gives 0.96, of 10 gives 9.996), so use fine units.
    pub fn exponential(&mut self, mean: u64) -> u64 {
        let factor = u128::from(minus_ln(self.next_u64()));
        let half = 1 << (FRACTION_BITS - 1);
        let product = (u128::from(mean) * factor + half) >> FRACTION_BITS;
        u64::try_from(product).unwrap_or(u64::MAX)
    }
}

/// Bits after the point in the fixed-point numbers below.
const FRACTION_BITS: u32 = 48;

/// ln 2, with 64 bits after the point, rounded down.
const LN_2: u128 = 0xb172_17f7_d1cf_79ab;

/// `-ln(bits / 2^64)` with [`FRACTION_BITS`] bits after the point. Zero, which has no logarithm,
/// counts as one.
fn minus_ln(bits: u64) -> u64 {
    let bits = bits.max(1);
    let zeros = bits.leading_zeros();
    // bits / 2^64 = mantissa / 2^(zeros + 1), where 1 <= mantissa < 2.
    let whole = u64::from(zeros + 1) << FRACTION_BITS;
    let minus_log2 = whole - log2_of_mantissa(bits << zeros);
    ((u128::from(minus_log2) * LN_2) >> 64) as u64
}

/// The binary logarithm of a number from 1 up to but not including 2, given with 63 bits after the
/// point; the result has [`FRACTION_BITS`].
///
/// Squaring a number doubles its logarithm, so the next binary digit comes before the point: it is
/// 1 if the square is at least 2. The bits that a squaring cuts off weigh less than 2^-62 in the
/// result, and half as much at each further step.
fn log2_of_mantissa(mut mantissa: u64) -> u64 {
    let mut log = 0;
    for _ in 0..FRACTION_BITS {
        let square = u128::from(mantissa) * u128::from(mantissa);
        let digit = (square >> 127) as u64;
        mantissa = (square >> (63 + digit)) as u64;
        log = log << 1 | digit;
    }
    log
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// Pearson's statistic: how far counts are from all being equal. With k cells it is about k -
    /// 1, give or take sqrt(2(k - 1)).
    fn chi_square(counts: &[u64]) -> f64 {
        let expected = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
        counts
            .iter()
            .map(|&count| (count as f64 - expected).powi(2) / expected)
            .sum()
    }

    /// Within five standard deviations of the value for equally likely cells: neither too uneven
    /// nor too even.
    fn looks_even(counts: &[u64]) -> bool {
        let freedom = (counts.len() - 1) as f64;
        (chi_square(counts) - freedom).abs() < 5.0 * (2.0 * freedom).sqrt()
    }

    #[test]
    fn uneven_counts_do_not_look_even() {
        assert!(!looks_even(&[1000, 1000, 1000, 1200]));
        let biased: Vec<u64> = (0..50)
            .map(|cell| if cell < 25 { 1100 } else { 900 })
            .collect();
        assert!(!looks_even(&biased));
    }

    #[test]
    fn below_is_even() {
        for n in [2, 3, 5, 6, 7, 10, 64, 100, 1000] {
            let mut rng = Rng::seeded(n);
            let mut counts = std::vec![0; n as usize];
            for _ in 0..200 * n {
                counts[rng.below(n) as usize] += 1;
            }
            assert!(looks_even(&counts), "below({n}): {}", chi_square(&counts));
        }
    }

    /// Where 2^64 is far from a multiple of n, a draw without rejection is clearly uneven: for
    /// n = 3 * 2^62 the multiples of 3 come up twice as often as the others.
    #[test]
    fn below_rejects_the_surplus() {
        let mut rng = Rng::seeded(1);
        let mut counts = [0; 3];
        for _ in 0..30_000 {
            counts[(rng.below(3 << 62) % 3) as usize] += 1;
        }
        assert!(looks_even(&counts), "{counts:?}");

        let mut counts = [0; 3];
        for _ in 0..30_000 {
            let unfair = (u128::from(rng.next_u64()) * (3 << 62)) >> 64;
            counts[(unfair % 3) as usize] += 1;
        }
        assert!(!looks_even(&counts), "{counts:?}");
    }

    #[test]
    fn below_one_is_zero_and_the_largest_bound_works() {
        let mut rng = Rng::seeded(5);
        assert_eq!(rng.below(1), 0);
        assert!((0..1000).all(|_| rng.below(u64::MAX) < u64::MAX));
    }

    #[test]
    #[should_panic(expected = "cannot draw a number below 0")]
    fn below_zero_panics() {
        Rng::seeded(0).below(0);
    }

    #[test]
    fn ranges_include_both_ends() {
        let mut rng = Rng::seeded(9);
        let mut counts = [0; 6];
        for _ in 0..6000 {
            counts[(rng.range(10..=15) - 10) as usize] += 1;
        }
        assert!(looks_even(&counts), "{counts:?}");
        assert_eq!(rng.range(8..=8), 8);
        assert_eq!(rng.range(u64::MAX..=u64::MAX), u64::MAX);
        assert!((0..1000).all(|_| rng.range(u64::MAX - 1..=u64::MAX) >= u64::MAX - 1));
    }

    #[test]
    fn full_range_is_the_plain_draw() {
        assert_eq!(
            Rng::seeded(2).range(0..=u64::MAX),
            Rng::seeded(2).next_u64()
        );
    }

    #[test]
    #[should_panic(expected = "empty range")]
    #[expect(
        clippy::reversed_empty_ranges,
        reason = "the test needs an empty range"
    )]
    fn empty_range_panics() {
        Rng::seeded(0).range(2..=1);
    }

    #[test]
    fn chance_has_its_probability() {
        let mut rng = Rng::seeded(21);
        let hits = (0..40_000).filter(|_| rng.chance(1, 4)).count() as i64;
        assert!((hits - 10_000).abs() < 5 * 87, "{hits} of 40000");
        assert!((0..1000).all(|_| !rng.chance(0, 10)));
        assert!((0..1000).all(|_| rng.chance(10, 10) && rng.chance(11, 10)));
    }

    #[test]
    fn every_order_is_equally_likely() {
        let mut rng = Rng::seeded(33);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..24_000 {
            let mut items = [0, 1, 2, 3];
            rng.shuffle(&mut items);
            *counts.entry(items).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 24);
        let counts: Vec<u64> = counts.into_values().collect();
        assert!(looks_even(&counts), "{counts:?}");

        rng.shuffle::<u8>(&mut []);
        let mut alone = [1];
        rng.shuffle(&mut alone);
        assert_eq!(alone, [1]);
    }

    #[test]
    fn every_item_is_equally_likely() {
        let mut rng = Rng::seeded(34);
        let mut counts = [0; 5];
        for _ in 0..5000 {
            counts[*rng.choose(&[0, 1, 2, 3, 4_usize]).expect("there are five")] += 1;
        }
        assert!(looks_even(&counts), "{counts:?}");
        assert_eq!(rng.choose::<u8>(&[]), None);
    }

    #[test]
    fn units_are_even_and_below_one() {
        let mut rng = Rng::seeded(35);
        let mut counts = [0; 16];
        for _ in 0..16_000 {
            let unit = rng.unit_f64();
            assert!((0.0..1.0).contains(&unit));
            assert_eq!((unit * (1_u64 << 53) as f64).fract(), 0.0);
            counts[(unit * 16.0) as usize] += 1;
        }
        assert!(looks_even(&counts), "{counts:?}");
    }

    /// The platform's own logarithm is exact to about 2^-52 here, far finer than the asserted
    /// bound.
    #[test]
    fn logarithm_is_as_accurate_as_documented() {
        let mut rng = Rng::seeded(36);
        let spread = (0..10_000).map(|_| rng.next_u64() >> rng.below(64));
        let corners = (0..64).flat_map(|bit| {
            [
                1 << bit,
                (1_u64 << bit).wrapping_sub(1).max(1),
                u64::MAX << bit,
            ]
        });
        for bits in spread.chain(corners).filter(|&bits| bits > 0) {
            let exact = -((bits as f64) / 2_f64.powi(64)).ln();
            let ours = minus_ln(bits) as f64 / (1_u64 << FRACTION_BITS) as f64;
            let bound = 2_f64.powi(-47) + exact * f64::EPSILON;
            assert!(
                (exact - ours).abs() < bound,
                "{bits}: {ours} instead of {exact}"
            );
        }
        assert_eq!(minus_ln(0), minus_ln(1));
    }

    #[test]
    fn exponential_has_its_mean_variance_and_tail() {
        const MEAN: u64 = 1_000_000;
        const DRAWS: u64 = 100_000;
        let mut rng = Rng::seeded(37);
        let drawn: Vec<u64> = (0..DRAWS).map(|_| rng.exponential(MEAN)).collect();

        let mean = drawn.iter().sum::<u64>() as f64 / DRAWS as f64;
        assert!((mean / MEAN as f64 - 1.0).abs() < 0.015, "mean {mean}");

        let variance = drawn
            .iter()
            .map(|&x| (x as f64 - mean).powi(2))
            .sum::<f64>()
            / DRAWS as f64;
        assert!(
            (variance.sqrt() / MEAN as f64 - 1.0).abs() < 0.03,
            "deviation {}",
            variance.sqrt()
        );

        // The share above k means is e^-k.
        for (means, share) in [
            (1, 0.367_879),
            (2, 0.135_335),
            (3, 0.049_787),
            (5, 0.006_738),
            (8, 0.000_335),
        ] {
            let beyond = drawn.iter().filter(|&&x| x > means * MEAN).count() as f64;
            let expected = share * DRAWS as f64;
            assert!(
                (beyond - expected).abs() < 5.0 * expected.sqrt(),
                "{beyond} above {means} means"
            );
        }
    }

    #[test]
    fn exponential_of_extreme_means() {
        let mut rng = Rng::seeded(38);
        assert!((0..1000).all(|_| rng.exponential(0) == 0));
        // With the largest mean, a draw above the mean is clamped: 37 of 100 are.
        let clamped = (0..1000)
            .filter(|_| rng.exponential(u64::MAX) == u64::MAX)
            .count();
        assert!((300..450).contains(&clamped), "{clamped}");
        let sum: u64 = (0..100_000).map(|_| rng.exponential(10)).sum();
        assert!((985_000..1_015_000).contains(&sum), "{sum}");
    }

    /// Recorded once, and checked against an independent program that computes with 60 decimal
    /// digits (except the last 13 bits of the draws with a mean of 2^60). A change here changes
    /// every replay.
    #[test]
    fn draws_are_the_same_on_every_machine() {
        let mut rng = Rng::seeded(2024);
        assert_eq!(
            [(); 4].map(|()| rng.next_u64()),
            [
                9674054429496410833,
                5440047934801865465,
                4492727561091312426,
                7778185236240025452
            ]
        );
        assert_eq!(
            [(); 8].map(|()| rng.below(1000)),
            [748, 808, 978, 662, 95, 382, 590, 816]
        );
        assert_eq!(
            [(); 8].map(|()| rng.exponential(1_000_000_000)),
            [
                619152779, 698126104, 1036554163, 141213704, 1017435174, 1326629184, 96069226,
                319767048
            ]
        );
        assert_eq!(
            [(); 3].map(|()| rng.exponential(1 << 60)),
            [469814104189554688, 834939128557527040, 577216130964406272]
        );
        assert_eq!(
            [(); 3].map(|()| rng.unit_f64().to_bits()),
            [
                4598404888027749010,
                4601901872400114232,
                4600157732234885114
            ]
        );
        let mut items = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        rng.shuffle(&mut items);
        assert_eq!(items, [9, 8, 1, 2, 6, 7, 5, 3, 4, 0]);
        assert_eq!(rng.fork().next_u64(), 1197814925233889360);
        assert_eq!(rng.next_u64(), 1852574295082757788);
    }
}
