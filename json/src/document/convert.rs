//! From a document to an owned value.

use std::collections::BTreeMap;

use super::{Element, Elements, Members};
use crate::{Kind, Value};

/// An array or object of which some items have been converted.
enum Open<'d> {
    Array(Vec<Value>, Elements<'d>),
    /// With the name of the member that is being converted.
    Object(BTreeMap<String, Value>, &'d str, Members<'d>),
}

/// Converts without recursion.
pub(super) fn value(element: Element<'_>) -> Value {
    // The arrays and objects around the next element, outermost first.
    let mut around = Vec::new();
    let mut next = element;
    loop {
        let mut value = match next.kind() {
            Kind::Null => Value::Null,
            Kind::Bool => Value::Bool(next.as_bool().expect("this is a boolean")),
            Kind::Number => Value::Number(next.as_number().expect("this is a number")),
            Kind::String => Value::from(next.as_str().expect("this is a string")),
            Kind::Array => {
                let mut elements = next.elements();
                let values = Vec::with_capacity(elements.len());
                if let Some(first) = elements.next() {
                    around.push(Open::Array(values, elements));
                    next = first;
                    continue;
                }
                Value::Array(values)
            }
            Kind::Object => {
                let mut members = next.members();
                if let Some((name, first)) = members.next() {
                    around.push(Open::Object(BTreeMap::new(), name, members));
                    next = first;
                    continue;
                }
                Value::Object(BTreeMap::new())
            }
        };
        // Put it where it belongs, and with it everything that it completes.
        next = loop {
            match around.last_mut() {
                None => return value,
                Some(Open::Array(values, elements)) => {
                    values.push(value);
                    if let Some(element) = elements.next() {
                        break element;
                    }
                    value = Value::Array(std::mem::take(values));
                }
                Some(Open::Object(values, name, members)) => {
                    values.insert((*name).to_owned(), value);
                    if let Some((following, element)) = members.next() {
                        *name = following;
                        break element;
                    }
                    value = Value::Object(std::mem::take(values));
                }
            }
            around.pop();
        };
    }
}
