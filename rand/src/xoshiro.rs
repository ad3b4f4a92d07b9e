//! The generator: xoshiro256++ 1.0 by David Blackman and Sebastiano Vigna, seeded through
//! splitmix64 as its authors advise. See <https://prng.di.unimi.it/> and "Scrambled linear pseudorandom number generators" (2021).

/// A xoshiro256++ generator: 256 bits of state, a period of 2^256 - 1, and 64 bits for each draw.
///
/// A clone continues with the same numbers; [`Rng::fork`] makes a generator with other numbers.
/// Equality and hash are those of the state, so equal generators have equal futures. Not for
/// secrets: the state can be computed from the output.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// The generator for this seed. Similar seeds (0, 1, 2, ...) give unrelated generators.
    pub fn seeded(seed: u64) -> Self {
        let mut seeds = SplitMix64(seed);
        // Splitmix64 visits each 64-bit value once in a period, so four in a row are never all
        // zero, which is the one state that xoshiro cannot leave.
        Self {
            state: core::array::from_fn(|_| seeds.next_u64()),
        }
    }

    /// The next 64 bits, each equally likely to be 0 or 1.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let drawn = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        drawn
    }

    /// A child with its own stream, for a part whose number of draws must not affect its siblings.
    /// Costs the parent one draw.
    ///
    /// The child is seeded anew instead of jumped ahead: jumps keep the children of one parent
    /// apart, but the child of a child would meet a sibling of its parent.
    pub fn fork(&mut self) -> Self {
        Self::seeded(self.next_u64())
    }
}

/// Spreads a 64-bit seed over a longer state.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::vec::Vec;

    use super::*;

    /// The output of the authors' C program for the state 1, 2, 3, 4.
    #[test]
    fn xoshiro_matches_the_reference() {
        let mut rng = Rng {
            state: [1, 2, 3, 4],
        };
        let expected: [u64; 10] = [
            41943041,
            58720359,
            3588806011781223,
            3591011842654386,
            9228616714210784205,
            9973669472204895162,
            14011001112246962877,
            12406186145184390807,
            15849039046786891736,
            10450023813501588000,
        ];
        assert_eq!(expected.map(|_| rng.next_u64()), expected);
    }

    /// The output of the authors' C program for the seeds 1234567 and 1477776061723855037.
    #[test]
    fn splitmix_matches_the_reference() {
        let mut seeds = SplitMix64(1234567);
        let expected: [u64; 5] = [
            6457827717110365317,
            3203168211198807973,
            9817491932198370423,
            4593380528125082431,
            16408922859458223821,
        ];
        assert_eq!(expected.map(|_| seeds.next_u64()), expected);

        let mut seeds = SplitMix64(1477776061723855037);
        let expected: [u64; 5] = [
            1985237415132408290,
            2979275885539914483,
            13511426838097143398,
            8488337342461049707,
            15141737807933549159,
        ];
        assert_eq!(expected.map(|_| seeds.next_u64()), expected);
    }

    #[test]
    fn seeding_uses_splitmix() {
        assert_eq!(
            Rng::seeded(1234567).state,
            [
                6457827717110365317,
                3203168211198807973,
                9817491932198370423,
                4593380528125082431
            ]
        );
    }

    #[test]
    fn clone_repeats_and_fork_does_not() {
        let mut rng = Rng::seeded(7);
        let mut clone = rng.clone();
        assert_eq!(rng, clone);
        assert_eq!(rng.next_u64(), clone.next_u64());
        assert_eq!(rng, clone);

        // In a family tree of generators no number comes up twice.
        let mut family = Vec::from([rng]);
        for _ in 0..6 {
            let children: Vec<Rng> = family.iter_mut().map(Rng::fork).collect();
            family.extend(children);
        }
        let drawn: BTreeSet<u64> = family
            .iter_mut()
            .flat_map(|rng| [rng.next_u64(), rng.next_u64(), rng.next_u64()])
            .collect();
        assert_eq!(drawn.len(), 64 * 3);
    }

    #[test]
    fn forking_depends_on_the_seed_alone() {
        assert_eq!(Rng::seeded(3).fork(), Rng::seeded(3).fork());
        assert_ne!(Rng::seeded(3).fork(), Rng::seeded(4).fork());
    }

    /// Each bit of the output is 1 half of the time: over 64,000 draws within five standard
    /// deviations.
    #[test]
    fn every_bit_is_fair() {
        let mut rng = Rng::seeded(11);
        let mut ones = [0_i64; 64];
        for _ in 0..64_000 {
            let drawn = rng.next_u64();
            for (bit, count) in ones.iter_mut().enumerate() {
                *count += (drawn >> bit & 1) as i64;
            }
        }
        for (bit, count) in ones.iter().enumerate() {
            assert!(
                (count - 32_000).abs() < 5 * 127,
                "bit {bit} was 1 in {count} of 64000 draws"
            );
        }
    }
}
