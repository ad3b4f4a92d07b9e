//! Whether two elements denote the same.

use super::Element;
use crate::Kind;

/// Compares without recursion: a debug build's stack is not enough for two texts as deep as they
/// may be.
pub(super) fn equal(a: Element<'_>, b: Element<'_>) -> bool {
    // The arrays and objects that are still to be compared.
    let mut pending = Vec::new();
    if !equal_but_for_items(a, b, &mut pending) {
        return false;
    }
    while let Some((a, b)) = pending.pop() {
        let equal = if a.kind() == Kind::Array {
            let mut pairs = a.elements().zip(b.elements());
            a.count() == b.count() && pairs.all(|(a, b)| equal_but_for_items(a, b, &mut pending))
        } else {
            let (a, b) = (a.by_name(), b.by_name());
            let mut pairs = a.iter().zip(&b);
            a.len() == b.len()
                && pairs.all(|((a_name, &a), (b_name, &b))| {
                    a_name == b_name && equal_but_for_items(a, b, &mut pending)
                })
        };
        if !equal {
            return false;
        }
    }
    true
}

/// Whether the elements are equal, arrays and objects apart, which are put with the `pending`.
fn equal_but_for_items<'a, 'b>(
    a: Element<'a>,
    b: Element<'b>,
    pending: &mut Vec<(Element<'a>, Element<'b>)>,
) -> bool {
    if a.kind() != b.kind() {
        return false;
    }
    match a.kind() {
        Kind::Null => true,
        Kind::Bool => a.as_bool() == b.as_bool(),
        Kind::Number => a.number_text() == b.number_text() || a.as_number() == b.as_number(),
        Kind::String => a.string_bytes() == b.string_bytes(),
        Kind::Array | Kind::Object => {
            pending.push((a, b));
            true
        }
    }
}
