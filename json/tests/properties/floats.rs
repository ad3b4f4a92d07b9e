//! Floats are rounded to the nearest when read, and written as the shortest text that reads back.

use json::Number;

use crate::random::Random;

#[track_caller]
fn reads(text: &str, bits: u64) {
    let read: f64 = json::decode(text.as_bytes()).expect(text);
    assert_eq!(read.to_bits(), bits, "{text} is read as {read:e}");
    let negative = format!("-{text}");
    let read: f64 = json::decode(negative.as_bytes()).expect(text);
    assert_eq!(
        read.to_bits(),
        bits | 1 << 63,
        "{negative} is read as {read:e}"
    );
}

/// Numbers on which other readers were wrong or did not end, from the literature and from their
/// tests.
#[test]
fn hard_cases_are_read_correctly() {
    for (text, bits) in [
        ("0", 0),
        ("0.0", 0),
        ("0e99999999999999999999", 0),
        ("0.1", 0x3fb9_9999_9999_999a),
        ("0.30000000000000004", 0x3fd3_3333_3333_3334),
        // Integers around the first one that is not a float, in the middle or not.
        ("9007199254740992", 0x4340_0000_0000_0000),
        ("9007199254740993", 0x4340_0000_0000_0000),
        ("9007199254740993.0", 0x4340_0000_0000_0000),
        (
            "9007199254740993.00000000000000000000000000001",
            0x4340_0000_0000_0001,
        ),
        (
            "9007199254740992.99999999999999999999999999999",
            0x4340_0000_0000_0000,
        ),
        ("9007199254740995", 0x4340_0000_0000_0002),
        (
            "9007199254740991.4999999999999999999999999999999995",
            0x433f_ffff_ffff_ffff,
        ),
        ("18014398509481983", 0x4350_0000_0000_0000),
        ("18446744073709551615", 0x43f0_0000_0000_0000),
        ("1090544144181609348835077142190", 0x462b_8779_f247_4dfb),
        // Middles with digits after the point.
        (
            "1.00000000000000011102230246251565404236316680908203125",
            0x3ff0_0000_0000_0000,
        ),
        (
            "1.00000000000000011102230246251565404236316680908203124",
            0x3ff0_0000_0000_0000,
        ),
        (
            "1.00000000000000011102230246251565404236316680908203126",
            0x3ff0_0000_0000_0001,
        ),
        (
            "0.500000000000000166533453693773481063544750213623046875",
            0x3fe0_0000_0000_0002,
        ),
        ("3.518437208883201171875e13", 0x42c0_0000_0000_0002),
        ("62.5364939768271845828", 0x404f_44ab_d5aa_7ca4),
        ("8.10109172351e-10", 0x3e0b_d5cb_aef0_fd0c),
        ("1.50000000000000011102230246251565", 0x3ff8_0000_0000_0000),
        ("6929495644600919.5", 0x4338_9e56_ee5e_7a58),
        ("3.7455744005952583e15", 0x432a_9d28_ff41_2a75),
        ("1e23", 0x44b5_2d02_c7e1_4af6),
        // The end of the range.
        ("1.7976931348623157e308", 0x7fef_ffff_ffff_ffff),
        ("1.7976931348623158e308", 0x7fef_ffff_ffff_ffff),
        ("1.797693134862315807e308", 0x7fef_ffff_ffff_ffff),
        (
            "0.000000000000000000017976931348623157e328",
            0x7fef_ffff_ffff_ffff,
        ),
        // The least normal float and the greatest subnormal one; PHP and Java did not end on
        // these.
        ("2.2250738585072014e-308", 0x0010_0000_0000_0000),
        ("2.2250738585072012e-308", 0x0010_0000_0000_0000),
        ("2.2250738585072011e-308", 0x000f_ffff_ffff_ffff),
        // The least of all.
        ("5e-324", 1),
        ("4.9406564584124654e-324", 1),
        ("2.4703282292062328e-324", 1),
        ("2.4703282292062327e-324", 0),
        ("1e-400", 0),
        ("123456789e-999999999999999999999", 0),
    ] {
        reads(text, bits);
    }
}

#[test]
fn numbers_beyond_the_range_are_infinite_or_refused() {
    for text in [
        "1.797693134862315808e308",
        "1.8e308",
        "1e309",
        "1e999999999999999999999999999999",
    ] {
        let number: Number = text.parse().expect(text);
        assert_eq!(number.to_f64(), f64::INFINITY, "{text}");
        assert!(json::decode::<f64>(text.as_bytes()).is_err(), "{text}");
    }
}

/// Zeros make up for exponents that look out of range, beyond the limit of the standard library.
#[test]
fn large_exponents_with_many_zeros_are_read() {
    let zeros = "0".repeat(700_000);
    for (text, float) in [
        (format!("0.{zeros}15e700001"), 1.5),
        (format!("15{zeros}e-700001"), 1.5),
        (format!("0.{zeros}1e{zeros}700001"), 1.0),
        (
            format!("0.{zeros}9007199254740993000000001e700016"),
            9007199254740994.0,
        ),
        (
            format!("9007199254740993{zeros}1e-700001"),
            9007199254740994.0,
        ),
        (
            format!("9007199254740993{zeros}0e-700001"),
            9007199254740992.0,
        ),
        (format!("0.{zeros}"), 0.0),
    ] {
        assert_eq!(json::decode(text.as_bytes()), Ok(float), "{}", &text[..20]);
    }
}

/// In the middle between two floats, and slightly off it, computed digit by digit.
#[test]
fn middles_between_floats_round_correctly() {
    let mut random = Random::of_test("middles_between_floats");
    for _ in 0..Random::rounds(300) {
        let below = f64::from_bits(random.bits() & i64::MAX as u64);
        let above = below.next_up();
        if !above.is_finite() {
            continue;
        }
        let even = if below.to_bits().is_multiple_of(2) {
            below
        } else {
            above
        };
        let (digits, exponent) = middle(below);
        let (all_but_last, last) = digits.split_at(digits.len() - 1);
        let less = char::from(last.as_bytes()[0] - 1);
        for (text, nearest) in [
            (format!("{digits}e{exponent}"), even),
            (format!("{digits}.000e{exponent}"), even),
            (
                format!("0.000{digits}e{}", exponent + digits.len() as i32 + 3),
                even,
            ),
            (format!("{digits}.0000001e{exponent}"), above),
            (format!("{all_but_last}{less}.9999999e{exponent}"), below),
        ] {
            reads(&text, nearest.to_bits());
        }
    }
}

/// The decimal number in the middle between a positive float and the next: its digits, the last of
/// which is not zero, and a power of ten.
fn middle(below: f64) -> (String, i32) {
    const FRACTION: u32 = f64::MANTISSA_DIGITS - 1;
    let biased = (below.to_bits() >> FRACTION) as i32;
    let fraction = below.to_bits() & ((1 << FRACTION) - 1);
    let binary = if biased == 0 {
        fraction
    } else {
        fraction | 1 << FRACTION
    };
    // In halves of the distance of two floats.
    let log2 = biased.max(1) - 1075 - 1;
    let (factor, times) = if log2 >= 0 { (2, log2) } else { (5, -log2) };
    // The last digit comes first.
    let mut digits: Vec<u32> = (2 * binary + 1)
        .to_string()
        .bytes()
        .rev()
        .map(|digit| u32::from(digit - b'0'))
        .collect();
    for _ in 0..times {
        let mut carry = 0;
        for digit in &mut digits {
            carry += *digit * factor;
            *digit = carry % 10;
            carry /= 10;
        }
        if carry > 0 {
            digits.push(carry);
        }
    }
    let zeros = digits.iter().take_while(|&&digit| digit == 0).count();
    let text = digits[zeros..]
        .iter()
        .rev()
        .map(|digit| char::from_digit(*digit, 10).expect("a digit"));
    (text.collect(), log2.min(0) + zeros as i32)
}

/// The standard library rounds correctly.
#[test]
fn random_numbers_are_read_like_std() {
    let mut random = Random::of_test("random_numbers_are_read");
    for _ in 0..Random::rounds(100_000) {
        let float = f64::from_bits(random.bits());
        let scale = random.below(700) as i32 - 350;
        let text = match random.below(5) {
            0 if float.is_finite() => format!("{float:e}"),
            1 if float.is_finite() => format!("{float:.*e}", random.below(40)),
            2 => format!("{}e{scale}", random.bits() >> random.below(64)),
            3 => format!("{}.{}e{scale}", random.below(1000), random.bits()),
            _ => format!(
                "{}.{:015}",
                random.below(200),
                random.bits() % 1_000_000_000_000_000
            ),
        };
        let expected: f64 = text.parse().expect("a number");
        let number: Number = text.parse().expect("a number");
        // A number has no sign if it is zero.
        assert_eq!(number.to_f64(), expected, "{text}");
        if expected.is_finite() {
            let read: f64 = json::decode(text.as_bytes()).expect(&text);
            assert_eq!(read.to_bits(), expected.to_bits(), "{text}");
        }
    }
}

/// The standard library writes the fewest digits.
#[test]
fn random_floats_are_written_like_std() {
    let mut random = Random::of_test("random_floats_are_written");
    for _ in 0..Random::rounds(100_000) {
        let any = f64::from_bits(random.bits());
        // Powers of two and their neighbours have uneven intervals. These and short decimals are
        // rare among random floats.
        let power = f64::from_bits((random.bits() % 2047) << 52);
        let float = match random.below(5) {
            0 => power,
            1 => power.next_up(),
            2 => random.below(100_000_000) as f64 / random.pick(&[1.0, 10.0, 1000.0, 1e7]),
            3 => (random.bits() >> random.below(64)) as f64,
            _ => any,
        };
        if !float.is_finite() {
            continue;
        }
        let expected = if float == 0.0 || (1e-5..1e17).contains(&float.abs()) {
            format!("{float}")
        } else {
            format!("{float:e}")
        };
        assert_eq!(json::to_string(&float), expected, "{:x}", float.to_bits());
    }
}
