//! Equality, order and hash of numbers agree, and numbers lose nothing.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

use json::{Number, Value};

use crate::random::Random;

fn number(text: &str) -> Number {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// In ascending order; each line has texts of the same number.
const ASCENDING: &[&[&str]] = &[
    &[
        "-1e1000000000000000000000000000000000000000001",
        "-0.1e1000000000000000000000000000000000000000002",
    ],
    &[
        "-1e1000000000000000000000000000000000000000000",
        "-10e999999999999999999999999999999999999999999",
    ],
    &["-1e999999999999", "-10e999999999998", "-1000E+999999999996"],
    &["-1e309"],
    &["-1.7976931348623157e308"],
    &["-9223372036854775809"],
    &[
        "-9223372036854775808",
        "-9223372036854775808.0",
        "-9.223372036854775808e18",
    ],
    &["-9223372036854775807"],
    &["-1.5", "-15e-1", "-0.15e1"],
    &["-1", "-1.0", "-10e-1"],
    &["-1e-999999999999"],
    &[
        "0",
        "-0",
        "0.0",
        "-0.0",
        "0e5",
        "0e-999999999999999999999999999999",
        "-0.000E+999999999999999999999",
    ],
    &["1e-1000000000000000000000000000000000000000000"],
    &[
        "10e-1000000000000000000000000000000000000000000",
        "1e-999999999999999999999999999999999999999999",
    ],
    &["1e-324"],
    &["4.94065645841246544e-324"],
    &["5e-324"],
    &["0.1", "1e-1", "0.10", "100e-3"],
    &["0.1000000000000000055511151231257827"],
    &["0.3"],
    &["0.30000000000000004"],
    &["1", "1.0", "10e-1", "0.1e1", "0.001e+003", "1e0", "1E-0"],
    &["1.0000000000000000000000001"],
    &["3", "3.0", "30e-1"],
    &["9007199254740992", "9007199254740992.0"],
    &[
        "9007199254740993",
        "9007199254740993.0",
        "9.007199254740993e15",
    ],
    &[
        "9223372036854775807",
        "9223372036854775807.000",
        "922337203685477580.7e1",
    ],
    &["9223372036854775808"],
    &["9223372036854775808.5"],
    &[
        "18446744073709551615",
        "18446744073709551615.0",
        "1844674407370955161500e-2",
    ],
    &["18446744073709551616", "1.8446744073709551616e19"],
    &["18446744073709552000", "1.8446744073709552e19"],
    &["100000000000000000000", "1e20", "0.01e22"],
    &["1e300", "10e299", "0.000001e306"],
    &["1.7976931348623157e308"],
    &["1e309", "10e308"],
    &["1e999999999999", "0.00001e1000000000004"],
    &[
        "1e999999999999999999999999999999",
        "10e999999999999999999999999999998",
    ],
    &[
        "1e1000000000000000000000000000000",
        "0.1e1000000000000000000000000000001",
    ],
    &["9e1000000000000000000000000000000"],
];

#[test]
fn equality_order_and_hash_agree_on_a_table() {
    let hasher = RandomState::new();
    for (i, a_texts) in ASCENDING.iter().enumerate() {
        for (j, b_texts) in ASCENDING.iter().enumerate() {
            for a_text in *a_texts {
                for b_text in *b_texts {
                    let (a, b) = (number(a_text), number(b_text));
                    assert_eq!(a.cmp(&b), i.cmp(&j), "{a_text} and {b_text}");
                    assert_eq!(a == b, i == j, "{a_text} and {b_text}");
                    if i == j {
                        assert_eq!(
                            hasher.hash_one(&a),
                            hasher.hash_one(&b),
                            "{a_text} and {b_text}"
                        );
                        assert_eq!((a.as_i64(), a.as_u64()), (b.as_i64(), b.as_u64()));
                    }
                }
            }
        }
    }
}

#[test]
fn equality_order_and_hash_agree_on_random_numbers() {
    let mut random = Random::of_test("equality_order_and_hash_agree_on_random_numbers");
    let hasher = RandomState::new();
    for _ in 0..Random::rounds(20_000) {
        let text = random.number_text();
        let a = number(&text);
        let moved = moved(&mut random, &text);
        let b = number(&moved);
        assert_eq!(a, b, "{text} and {moved}");
        assert_eq!(a.cmp(&b), Ordering::Equal, "{text} and {moved}");
        assert_eq!(
            hasher.hash_one(&a),
            hasher.hash_one(&b),
            "{text} and {moved}"
        );

        let c = number(&random.number_text());
        assert_eq!(a == c, a.cmp(&c) == Ordering::Equal, "{a} and {c}");
        assert_eq!(a.cmp(&c), c.cmp(&a).reverse(), "{a} and {c}");
        let (af, cf) = (a.to_f64(), c.to_f64());
        if af != cf {
            assert_eq!(
                Some(a.cmp(&c)),
                af.partial_cmp(&cf),
                "rounding keeps the order: {a} and {c}"
            );
        }
    }
}

#[test]
fn order_is_transitive_so_that_numbers_can_be_keys() {
    let mut random = Random::of_test("order_is_transitive");
    for _ in 0..Random::rounds(20_000) {
        let mut three = [(); 3].map(|()| number(&random.number_text()));
        three.sort();
        assert!(three[0] <= three[2], "{three:?}");
    }
    let texts = ASCENDING.iter().flat_map(|texts| texts.iter());
    let keys: BTreeSet<Value> = texts.map(|text| Value::Number(number(text))).collect();
    assert_eq!(keys.len(), ASCENDING.len());
}

#[test]
fn written_numbers_read_back_with_the_same_value() {
    let mut random = Random::of_test("written_numbers");
    for _ in 0..Random::rounds(20_000) {
        let text = random.number_text();
        let written = json::to_string(&number(&text));
        assert_eq!(
            number(&written),
            number(&text),
            "{text} was written as {written}"
        );
        assert!(
            written.len() <= text.len().max(25),
            "{text} was written as {written}"
        );
    }
}

#[test]
fn floats_survive_bit_for_bit() {
    let mut random = Random::of_test("floats_survive");
    let special = [
        0.0,
        -0.0,
        5e-324,
        f64::MIN_POSITIVE,
        f64::MAX,
        f64::MIN,
        f64::EPSILON,
        1e16,
        1e17,
        1e-5,
    ];
    let random = (0..Random::rounds(20_000)).map(|_| f64::from_bits(random.bits()));
    for float in special
        .into_iter()
        .chain(random)
        .filter(|float| float.is_finite())
    {
        let text = json::to_string(&float);
        assert!(text.len() <= 25, "{text}");
        assert_eq!(
            json::decode::<f64>(text.as_bytes()).unwrap().to_bits(),
            float.to_bits(),
            "{text}"
        );
        assert_eq!(Number::from_f64(float), Some(number(&text)), "{text}");
        assert_eq!(number(&text).to_f64(), float, "{text}");
    }
}

/// With quadratic time this test would not end.
#[test]
fn numbers_of_100_000_digits_take_linear_time() {
    let digits = "7".repeat(100_000);
    let texts = [
        digits.clone(),
        format!("-{digits}"),
        format!("0.{digits}"),
        format!("1e{digits}"),
        format!("1e-{digits}"),
        format!("{digits}.{digits}e-{digits}"),
        format!("0.{}1", "0".repeat(100_000)),
        format!("1{}e-100000", "0".repeat(100_000)),
    ];
    let numbers = texts.each_ref().map(|text| number(text));
    for (i, a) in numbers.iter().enumerate() {
        for (j, b) in numbers.iter().enumerate() {
            assert_eq!(a == b, i == j);
            assert_eq!(a.cmp(b) == Ordering::Equal, i == j);
        }
    }
    assert_eq!(numbers[6], number("1e-100001"));
    assert_eq!(numbers[7], number("1"));
    assert_eq!(numbers[7].to_string(), "1");
    assert_eq!(numbers[5].to_string(), texts[5]);
}

/// Another text of the same number: with the decimal point and the exponent moved, if the exponent
/// is small enough, or else with more zeros.
fn moved(random: &mut Random, text: &str) -> String {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let (sign, integer) = integer
        .strip_prefix('-')
        .map_or(("", integer), |integer| ("-", integer));
    let places = random.below(12);
    match exponent.parse::<i64>() {
        // To the left: 12.5 is 0.00125 e4.
        Ok(exponent) if random.below(2) == 0 => {
            let zeros = "0".repeat(places);
            let up = exponent + integer.len() as i64 + places as i64;
            format!("{sign}0.{zeros}{integer}{fraction}e{up}")
        }
        // To the right: 12.5 is 12500 e-3 (a leading zero would not be JSON).
        Ok(exponent) if integer != "0" => {
            let zeros = "0".repeat(places);
            let down = exponent - fraction.len() as i64 - places as i64;
            format!("{sign}{integer}{fraction}{zeros}E{down}")
        }
        _ => {
            let exponent = exponent.replace('-', "-000");
            format!("{sign}{integer}.{fraction}000e{exponent}")
        }
    }
}
