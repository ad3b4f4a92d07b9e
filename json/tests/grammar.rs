//! The grammar of RFC 8259, production by production: valid texts, and nearly valid ones.

use json::{Error, Raw, Value};

/// Whether the text is accepted. Checks that all ways of reading agree.
fn accepted(text: &[u8]) -> bool {
    let value = json::decode::<Value>(text);
    let skipped = json::decode::<Raw>(text).map(|_| ());
    let document = json::parse(text).map(|_| ());
    let unit: Result<(), Error> = value.map(|_| ());
    let shown = String::from_utf8_lossy(text);
    assert_eq!(skipped, unit, "skipping {shown:?}");
    assert_eq!(document, unit, "a document of {shown:?}");
    unit.is_ok()
}

/// Tries each text alone, in an array, and as a member: its neighbours must not matter. Alone, it
/// may be in the last bytes of the text, which other code reads than those before.
fn check(expected: bool, texts: &[&str]) {
    for text in texts {
        for (before, after) in [
            ("", ""),
            ("[", "]"),
            ("{\"k\":", "}"),
            ("[", ",        0]"),
            (" [ 1 ,\n", "\t]\r"),
        ] {
            let text = format!("{before}{text}{after}");
            assert_eq!(accepted(text.as_bytes()), expected, "{text:?}");
        }
    }
}

fn accepts(texts: &[&str]) {
    check(true, texts);
}

fn refuses(texts: &[&str]) {
    check(false, texts);
}

/// Section 2: `JSON-text = ws value ws`, and the six structural characters with white space around
/// them.
#[test]
fn texts_and_white_space_follow_the_grammar() {
    accepts(&[
        "0",
        " 0",
        "0 ",
        "\t0\t",
        "\n0\n",
        "\r0\r",
        " \t\n\r 0 \r\n\t ",
    ]);
    accepts(&[
        "[ ]",
        "{ }",
        "[ 0 , 0 ]",
        "{ \"a\" : 0 , \"b\" : 0 }",
        "[\n\n        \t\r0\n                 ]",
    ]);
    refuses(&[",", ":", "]", "}"]);
    for nothing in ["", " ", "\r\n\t", "                "] {
        assert!(!accepted(nothing.as_bytes()), "{nothing:?}");
    }
    // Only those four characters are white space, and there are no comments.
    refuses(&[
        "\u{b}0",
        "\u{c}0",
        "\u{0}0",
        "\u{a0}0",
        "\u{2028}0",
        "\u{feff}0",
        "0\u{b}",
        "//\n0",
        "/**/0",
        "#\n0",
    ]);
    for two in [
        "0 0",
        "00",
        "[][]",
        "{}{}",
        "\"\"\"\"",
        "null null",
        "0,",
        "0]",
        "0}",
        "[],",
        "0\u{0}",
        "0x",
    ] {
        assert!(!accepted(two.as_bytes()), "{two:?}");
    }
}

/// Section 3: `value = false / null / true / object / array / number / string`, in lower case.
#[test]
fn literals_follow_the_grammar() {
    accepts(&["true", "false", "null"]);
    refuses(&[
        "True", "FALSE", "nULL", "t", "tru", "truE", "truee", "true1", "fals", "falsey", "nul",
        "nulll", "n", "f",
    ]);
    refuses(&[
        "undefined",
        "None",
        "NaN",
        "Infinity",
        "-Infinity",
        "yes",
        "a",
        "'a'",
        "`a`",
    ]);
}

/// Section 4: `object = { [ member *( , member ) ] }`, `member = string : value`.
#[test]
fn objects_follow_the_grammar() {
    accepts(&[
        "{}",
        r#"{"a":0}"#,
        r#"{"a":0,"b":0}"#,
        r#"{"":0}"#,
        r#"{"a":{"a":{}}}"#,
        r#"{"\u0061":0}"#,
    ]);
    // The section says that names should be unique; texts with duplicates are still JSON.
    accepts(&[r#"{"a":0,"a":0}"#]);
    refuses(&[
        "{",
        "{,}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":0"#,
        r#"{"a":0,}"#,
        r#"{,"a":0}"#,
        r#"{"a":0,,"b":0}"#,
    ]);
    refuses(&[
        r#"{"a" 0}"#,
        r#"{"a"::0}"#,
        r#"{"a",0}"#,
        r#"{"a"=0}"#,
        r#"{"a":0;"b":0}"#,
        r#"{"a":0 "b":0}"#,
    ]);
    refuses(&[
        "{a:0}",
        "{0:0}",
        "{'a':0}",
        "{null:0}",
        "{[]:0}",
        "{{}:0}",
        r#"{:0}"#,
        r#"{"a":0]"#,
        r#"{"a":[}]"#,
    ]);
    refuses(&[
        r#"{"a":0:1}"#,
        r#"{"a":0 1}"#,
        r#"{"a:0}"#,
        "{\"a\n\":0}",
        r#"{"a":0}}"#,
    ]);
}

/// Section 5: `array = [ [ value *( , value ) ] ]`.
#[test]
fn arrays_follow_the_grammar() {
    accepts(&[
        "[]",
        "[0]",
        "[0,0]",
        "[[]]",
        "[[],[]]",
        "[0,[],{},\"\",null,true]",
    ]);
    refuses(&[
        "[", "[,]", "[0", "[0,", "[0,]", "[,0]", "[0,,0]", "[0 0]", "[0;0]", "[0:0]", "[0}", "[[]",
        "[]]", "[",
    ]);
}

/// Section 6: `number = [ - ] int [ frac ] [ exp ]`.
#[test]
fn numbers_follow_the_grammar() {
    accepts(&[
        "0",
        "-0",
        "1",
        "9",
        "10",
        "-1",
        "1234567",
        "12345678",
        "123456789",
        "12345678901234567890123",
    ]);
    accepts(&[
        "0.0",
        "-0.0",
        "1.5",
        "1.00000000",
        "0.123456789",
        "10.01",
        "123456789.123456789",
    ]);
    accepts(&[
        "0e0",
        "1e1",
        "1E1",
        "1e+1",
        "1e-1",
        "1E+1",
        "1E-1",
        "1e01",
        "1e-00",
        "1.5e300",
        "1e999999999999",
    ]);
    refuses(&[
        "-",
        "+",
        "+1",
        "--1",
        "- 1",
        "-a",
        "00",
        "01",
        "-01",
        "-00",
        "012345678",
        "0123456789012345678",
    ]);
    refuses(&[
        ".",
        ".5",
        "-.5",
        "1.",
        "1.e1",
        "1..0",
        "1.0.0",
        "1.a",
        "0.",
        "12345678.",
        "1.-1",
        "1,0.,",
    ]);
    refuses(&[
        "1e",
        "1E",
        "1e+",
        "1e-",
        "1e+-1",
        "1e1.0",
        "1ee1",
        "1e1e1",
        "e1",
        "0e",
        "1e a",
        "12345678e",
        "1e++1",
    ]);
    refuses(&[
        "0x1",
        "1_000",
        "1 000",
        "1f",
        "1L",
        "٣",
        "1a",
        "1-1",
        "1+1",
        "0b1",
        "1-",
        "123456a",
        "1234567a",
        "12345678a",
    ]);
}

/// Section 7: strings.
#[test]
fn strings_follow_the_grammar() {
    accepts(&[
        r#""""#,
        r#""a""#,
        r#""abcdefg""#,
        r#""abcdefgh""#,
        r#""abcdefghijklmnopqrstuvwxyz0123456789""#,
    ]);
    accepts(&[
        r#""\"\\\/\b\f\n\r\t""#,
        r#""\u0000\u001f\u00e9\uFFFF\uABcd""#,
        r#""\ud834\udd1e""#,
        r#""\uDBFF\uDFFF""#,
    ]);
    accepts(&[
        "\"\u{7f}\u{80}\u{2028}\u{2029}\u{feff}\u{fffe}\u{10ffff}\"",
        "\"'/\"",
        "\"[{]}:,\"",
    ]);
    refuses(&[
        "\"",
        "\"a",
        "\"a\\\"",
        "\"\\\"",
        "a\"",
        "'a'",
        "\"a\" \"b\"",
        "\"abcdefgh",
        "\"abcdefghijklmnopq",
    ]);
    refuses(&[
        r#""\a""#,
        r#""\0""#,
        r#""\x41""#,
        r#""\'""#,
        r#""\U0041""#,
        "\"\\\n\"",
        "\"\\ \"",
        "\"\\é\"",
        r#""\u{41}""#,
    ]);
    refuses(&[
        r#""\u""#,
        r#""\u1""#,
        r#""\u12""#,
        r#""\u123""#,
        r#""\u123g""#,
        r#""\ug123""#,
        r#""\u+123""#,
        r#""\u 123""#,
    ]);
    for control in 0..0x20_u8 {
        let control = char::from(control);
        for length in [0, 1, 6, 7, 8, 15, 16, 40] {
            let padding = "x".repeat(length);
            refuses(&[
                &format!("\"{padding}{control}\""),
                &format!("\"{control}{padding}\""),
            ]);
            refuses(&[&format!("\"\\n{padding}{control}\"")]);
        }
    }
}

/// Section 8.2: escapes of half a surrogate pair are refused, with anything in place of the other
/// half.
#[test]
fn unpaired_surrogates_are_refused() {
    refuses(&[
        r#""\ud800""#,
        r#""\udbff""#,
        r#""\udc00""#,
        r#""\udfff""#,
        r#""\ud800x""#,
        r#""\ud800\n""#,
    ]);
    refuses(&[
        r#""\udc00\ud800""#,
        r#""\ud800\ud800""#,
        r#""\ud800\u0041""#,
        r#""\ud800\udc0""#,
        r#""\ud800\""#,
    ]);
    refuses(&[
        r#""\ud800\udbff""#,
        r#""\ud800\ue000""#,
        r#""\ud800 \udc00""#,
        r#""\ud800\\udc00""#,
    ]);
    accepts(&[
        r#""\ud800\udc00""#,
        r#""\uD800\uDC00\ud7ff\ue000""#,
        r#""\\ud800""#,
    ]);
}

/// Section 8.1: UTF-8 without a byte order mark.
#[test]
fn invalid_utf8_is_refused() {
    let string = |bytes: &[u8]| [b"[\"", bytes, b"\"]"].concat();
    for well_formed in [
        &b"\xc2\x80"[..],
        b"\xdf\xbf",
        b"\xe0\xa0\x80",
        b"\xed\x9f\xbf",
        b"\xee\x80\x80",
        b"\xf0\x90\x80\x80",
    ] {
        assert!(accepted(&string(well_formed)), "{well_formed:x?}");
    }
    for ill_formed in [
        &b"\x80"[..],
        b"\xbf",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xc2",
        b"\xc2x",
        b"\xe0\x80\x80",
        b"\xe0\x9f\xbf",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf0\x80\x80\x80",
        b"\xf0\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xfe",
        b"\xff",
        b"\xc3\xa9\xa9",
        b"\xf0\x9f\x98",
    ] {
        for padding in [0, 5, 29, 30, 31, 32, 33, 64] {
            let padding = vec![b'x'; padding];
            assert!(
                !accepted(&string(&[&padding, ill_formed].concat())),
                "{ill_formed:x?}"
            );
            assert!(
                !accepted(&string(&[ill_formed, &padding].concat())),
                "{ill_formed:x?}"
            );
            // The next character must not complete half a character, and the quote must be found.
            assert!(
                !accepted(&string(&[&padding, ill_formed, "é".as_bytes()].concat())),
                "{ill_formed:x?}"
            );
        }
    }
    assert!(!accepted(b"\xef\xbb\xbf0"), "a byte order mark");
    assert!(!accepted(b"0\xff"), "outside of strings");
    assert!(!accepted(b"[\xc3\xa9]"), "outside of strings");
    let utf16: Vec<u8> = "[0]".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(!accepted(&utf16));
}

/// Every text that is cut short is refused, except numbers.
#[test]
fn truncated_texts_are_refused() {
    let text = r#"[{"key":"value \u00e9\n","other":[true,false,null]},-12.5e+10,"😀",{}]"#;
    assert!(accepted(text.as_bytes()));
    for end in 0..text.len() {
        assert!(
            !accepted(&text.as_bytes()[..end]),
            "{}",
            &text.as_bytes()[..end].escape_ascii()
        );
    }
}
