//! A seeded generator of numbers and values for the tests of this crate.

use std::env;

use json::{Number, Value};

/// xorshift64*: small, and good enough to pick test cases.
pub(crate) struct Random(u64);

impl Random {
    /// The generator of a test. Its seed is `STDRAFT_SEED`, if that is set, to replay a failure.
    pub(crate) fn of_test(name: &str) -> Random {
        let seed = env::var("STDRAFT_SEED").map_or(20_240_229, |seed| {
            seed.parse().expect("STDRAFT_SEED is a number")
        });
        println!("replay: STDRAFT_SEED={seed} cargo test -p json {name}");
        Random(seed.max(1))
    }

    /// The number of rounds of a test: `STDRAFT_ROUNDS`, if that is set.
    pub(crate) fn rounds(usual: usize) -> usize {
        env::var("STDRAFT_ROUNDS").map_or(usual, |rounds| {
            rounds.parse().expect("STDRAFT_ROUNDS is a number")
        })
    }

    /// Any 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.bits() % limit as u64) as usize
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())]
    }

    /// The text of a number, in any form.
    pub(crate) fn number_text(&mut self) -> String {
        match self.below(5) {
            0 => (self.bits() as i64 >> self.below(64)).to_string(),
            1 => (self.bits() >> self.below(64)).to_string(),
            2 => loop {
                let float = f64::from_bits(self.bits());
                if float.is_finite() {
                    break format!("{float:e}");
                }
            },
            _ => {
                let mut text = String::from(self.pick(&["", "-"]));
                match self.below(3) {
                    0 => text.push('0'),
                    _ => {
                        text.push_str(&(1 + self.below(9)).to_string());
                        self.digits(&mut text, 25);
                    }
                }
                if self.below(2) == 0 {
                    text.push('.');
                    text.push_str(&self.below(10).to_string());
                    self.digits(&mut text, 25);
                }
                if self.below(2) == 0 {
                    text.push_str(self.pick(&["e", "E", "e+", "e-", "E-00"]));
                    text.push_str(&self.below(10).to_string());
                    let most = self.pick(&[1, 3, 40]);
                    self.digits(&mut text, most);
                }
                text
            }
        }
    }

    fn digits(&mut self, text: &mut String, most: usize) {
        let zeros = self.below(2) == 0;
        for _ in 0..self.below(most) {
            text.push_str(&if zeros { 0 } else { self.below(10) }.to_string());
        }
    }

    /// A string with characters of all kinds.
    pub(crate) fn string(&mut self) -> String {
        let length = self.below(20);
        (0..length)
            .map(|_| match self.below(6) {
                0 => char::from(self.below(0x20) as u8),
                1 => self.pick(&[
                    '"',
                    '\\',
                    '/',
                    '\u{7f}',
                    '\u{2028}',
                    '\u{feff}',
                    '\u{10ffff}',
                ]),
                2 => char::from_u32(self.below(0x11_0000) as u32).unwrap_or('\u{fffd}'),
                _ => char::from(b' ' + self.below(95) as u8),
            })
            .collect()
    }

    /// A tree at most `depth` deep.
    pub(crate) fn value(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 4 } else { 6 }) {
            0 => Value::Null,
            1 => Value::Bool(self.below(2) == 0),
            2 => Value::Number(self.number_text().parse::<Number>().unwrap()),
            3 => Value::String(self.string()),
            4 => Value::Array((0..self.below(5)).map(|_| self.value(depth - 1)).collect()),
            _ => Value::Object(
                (0..self.below(5))
                    .map(|_| (self.string(), self.value(depth - 1)))
                    .collect(),
            ),
        }
    }
}
