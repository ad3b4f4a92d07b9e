//! JSON Pointer (RFC 6901).

use std::borrow::Cow;

/// The reference tokens of a pointer, unescaped; `None` if it is none: it must be empty or start
/// with a slash, and every `~` in it be followed by 0 or 1.
pub(crate) fn tokens(pointer: &str) -> Option<impl Iterator<Item = Cow<'_, str>>> {
    let bytes = pointer.as_bytes();
    let is_escape = |at: usize| matches!(bytes.get(at + 1), Some(b'0' | b'1'));
    let tildes_are_escapes = (0..bytes.len()).all(|at| bytes[at] != b'~' || is_escape(at));
    if !tildes_are_escapes || !(pointer.is_empty() || pointer.starts_with('/')) {
        return None;
    }
    // What stands before the first slash is no token.
    Some(pointer.split('/').skip(1).map(unescape))
}

fn unescape(token: &str) -> Cow<'_, str> {
    if token.contains('~') {
        // In this order `~01` becomes `~1`, as it must (section 4).
        Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
    } else {
        Cow::Borrowed(token)
    }
}

/// The array index that a token is: digits without a leading zero. `-`, the element after the last,
/// is never there (section 4).
pub(crate) fn index(token: &str) -> Option<usize> {
    let plain = token.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = token.starts_with('0') && token.len() > 1;
    (plain && !leading_zero).then(|| token.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_split_and_unescaped() {
        fn list(pointer: &str) -> Option<Vec<Cow<'_, str>>> {
            tokens(pointer).map(Iterator::collect)
        }
        fn found(list: &[&'static str]) -> Option<Vec<Cow<'static, str>>> {
            Some(list.iter().map(|&token| Cow::from(token)).collect())
        }
        assert_eq!(list(""), found(&[]));
        assert_eq!(list("/"), found(&[""]));
        assert_eq!(list("/a//b/"), found(&["a", "", "b", ""]));
        assert_eq!(list("/~0~1/~01/~10/é"), found(&["~/", "~1", "/0", "é"]));
        for none in ["a", "a/b", " /", "/~", "/~2", "/a~/b", "/~é"] {
            assert_eq!(list(none), None, "{none}");
        }
    }

    #[test]
    fn indices_are_strict() {
        assert_eq!(index("0"), Some(0));
        assert_eq!(index("10"), Some(10));
        for none in [
            "",
            "-",
            "00",
            "01",
            "+1",
            "-1",
            "1.0",
            "1e0",
            " 1",
            "a",
            "٣",
            "99999999999999999999",
        ] {
            assert_eq!(index(none), None, "{none}");
        }
    }
}
