//! Small histories, one for each rule, and how contradictions are printed.

mod exhaustive;
mod random;

use std::time::Duration;

use json::Value;

use super::shrink::Start;
use super::{Analysis, Contradiction, Held, Limits, Verdict, check};
use crate::history::{Call, ErrorCode, Moment, Operation, Outcome, Process};

/// An operation of process `from` on key 0 that runs from `from` to `to`.
fn operation(from: u64, to: u64, call: Call, outcome: Outcome) -> Operation {
    Operation {
        process: Process(from),
        key: Value::from(0),
        call,
        invoked: Moment::at(from),
        completed: Some((Moment::at(to), outcome)),
    }
}

fn read(from: u64, to: u64, value: i64) -> Operation {
    operation(from, to, Call::Read, Outcome::ReadOk(Value::from(value)))
}

fn read_null(from: u64, to: u64) -> Operation {
    operation(from, to, Call::Read, Outcome::ReadOk(Value::Null))
}

fn write_call(value: i64) -> Call {
    Call::Write(Value::from(value))
}

fn cas_call(old: i64, new: i64) -> Call {
    Call::Cas {
        from: Value::from(old),
        to: Value::from(new),
    }
}

fn write(from: u64, to: u64, value: i64) -> Operation {
    operation(from, to, write_call(value), Outcome::Done)
}

fn cas(from: u64, to: u64, old: i64, new: i64) -> Operation {
    operation(from, to, cas_call(old, new), Outcome::Done)
}

fn delete(from: u64, to: u64) -> Operation {
    operation(from, to, Call::Delete, Outcome::Done)
}

fn failed(from: u64, to: u64, call: Call, code: u64) -> Operation {
    operation(from, to, call, Outcome::Failed(ErrorCode(code)))
}

fn unknown(from: u64, to: u64, call: Call) -> Operation {
    operation(from, to, call, Outcome::Unknown(ErrorCode::TIMEOUT))
}

fn verdict(operations: &[Operation]) -> Verdict {
    check(operations, Limits::default()).verdict
}

#[track_caller]
fn assert_valid(operations: &[Operation]) {
    match verdict(operations) {
        Verdict::Valid => {}
        Verdict::Invalid(why) => panic!("{}", why[0]),
        Verdict::Unknown(keys) => panic!("undecided: {keys:?}"),
    }
}

#[track_caller]
fn contradiction(operations: &[Operation]) -> Contradiction {
    match verdict(operations) {
        Verdict::Invalid(mut why) => why.remove(0),
        Verdict::Valid => panic!("valid"),
        Verdict::Unknown(keys) => panic!("undecided: {keys:?}"),
    }
}

#[test]
fn empty_history_is_valid() {
    let Analysis {
        verdict,
        keys,
        operations,
    } = check(&[], Limits::default());
    assert!(matches!(verdict, Verdict::Valid));
    assert_eq!((keys, operations), (0, 0));
}

#[test]
fn read_returns_the_last_write() {
    assert_valid(&[write(0, 1, 1), read(2, 3, 1), write(4, 5, 2), read(6, 7, 2)]);
    contradiction(&[write(0, 1, 1), write(2, 3, 2), read(4, 5, 1)]);
    contradiction(&[write(0, 1, 1), read(2, 3, 7)]);
}

#[test]
fn concurrent_operations_take_effect_in_any_order() {
    assert_valid(&[write(0, 9, 1), write(0, 9, 2), read(10, 11, 1)]);
    assert_valid(&[write(0, 9, 1), write(0, 9, 2), read(10, 11, 2)]);
    // But in one order only.
    contradiction(&[
        write(0, 9, 1),
        write(0, 9, 2),
        read(10, 11, 1),
        read(12, 13, 2),
    ]);
}

#[test]
fn operations_that_touch_are_concurrent() {
    assert_valid(&[write(0, 1, 1), write(1, 2, 2), read(3, 4, 1)]);
    contradiction(&[write(0, 1, 1), write(2, 3, 2), read(4, 5, 1)]);
}

#[test]
fn order_of_the_input_does_not_matter() {
    assert_valid(&[read(6, 7, 2), write(4, 5, 2), read(2, 3, 1), write(0, 1, 1)]);
    contradiction(&[read(4, 5, 1), write(2, 3, 2), write(0, 1, 1)]);
}

#[test]
fn cas_needs_its_value() {
    assert_valid(&[write(0, 1, 1), cas(2, 3, 1, 2), read(4, 5, 2)]);
    contradiction(&[write(0, 1, 1), cas(2, 3, 3, 2)]);
    contradiction(&[cas(0, 1, 1, 2)]);
    contradiction(&[write(0, 1, 1), cas(2, 5, 1, 2), cas(2, 5, 1, 3)]);
    assert_valid(&[write(0, 1, 1), cas(2, 3, 1, 1), read(4, 5, 1)]);
    contradiction(&[write(0, 1, 1), cas(2, 3, 2, 2)]);
}

#[test]
fn deleted_key_is_absent_until_it_is_written() {
    let absent = |from, to| failed(from, to, Call::Read, 20);
    assert_valid(&[write(0, 1, 1), delete(2, 3), absent(4, 5)]);
    assert_valid(&[write(0, 1, 1), delete(2, 3), write(4, 5, 1), read(6, 7, 1)]);
    // A stale read, a lost delete, and one of a key that does not exist.
    contradiction(&[write(0, 1, 1), delete(2, 3), read(4, 5, 1)]);
    contradiction(&[write(0, 1, 1), absent(2, 3), delete(4, 5)]);
    contradiction(&[write(0, 1, 1), delete(2, 5), delete(2, 5)]);
    contradiction(&[delete(0, 1)]);
    assert_valid(&[write(0, 1, 1), delete(2, 5), failed(2, 5, Call::Delete, 20)]);
    contradiction(&[write(0, 1, 1), failed(2, 3, Call::Delete, 20)]);
}

/// A retry of an acknowledged delete that is applied again removes a later write.
#[test]
fn delete_applied_twice_is_found() {
    let history = |delete: Operation| {
        let absent = failed(8, 9, Call::Read, 20);
        [
            write(0, 1, 1),
            delete,
            write(4, 5, 2),
            read(6, 7, 2),
            absent,
        ]
    };
    let why = contradiction(&history(delete(2, 3)));
    assert_eq!(why.possible, [Held::Value(Value::from(2))]);
    let told = why.to_string();
    assert!(told.contains("needs the key not to exist"), "{told}");
    // If its end is unknown, it may be late.
    assert_valid(&history(unknown(2, 3, Call::Delete)));
}

#[test]
fn unknown_delete_takes_effect_later_or_never() {
    let lost = || unknown(2, 3, Call::Delete);
    let absent = |from, to| failed(from, to, Call::Read, 20);
    assert_valid(&[write(0, 1, 1), lost(), read(4, 5, 1), absent(6, 7)]);
    contradiction(&[write(0, 1, 1), lost(), absent(4, 5), read(6, 7, 1)]);
    contradiction(&[
        write(0, 1, 1),
        lost(),
        absent(4, 5),
        write(6, 7, 1),
        absent(8, 9),
    ]);
    // A write of unknown outcome explains one, too.
    assert_valid(&[unknown(0, 1, write_call(1)), delete(2, 3), absent(4, 5)]);
}

#[test]
fn code_20_implies_an_absent_key() {
    assert_valid(&[failed(0, 1, Call::Read, 20), write(2, 3, 1)]);
    assert_valid(&[failed(0, 3, Call::Read, 20), write(2, 3, 1)]);
    contradiction(&[write(0, 1, 1), failed(2, 3, Call::Read, 20)]);
    assert_valid(&[failed(0, 1, cas_call(1, 2), 20), write(2, 3, 1)]);
    contradiction(&[write(0, 1, 1), failed(2, 3, cas_call(1, 2), 20)]);
}

#[test]
fn code_22_implies_another_value() {
    assert_valid(&[write(0, 1, 1), failed(2, 3, cas_call(2, 3), 22)]);
    contradiction(&[write(0, 1, 1), failed(2, 3, cas_call(1, 3), 22)]);
    contradiction(&[failed(0, 1, cas_call(1, 3), 22), write(2, 3, 1)]);
}

#[test]
fn read_of_null_is_not_a_wildcard() {
    contradiction(&[write(0, 1, 1), read_null(2, 3)]);
    contradiction(&[read_null(0, 1)]);
    let write_null = operation(0, 1, Call::Write(Value::Null), Outcome::Done);
    assert_valid(&[write_null, read_null(2, 3)]);
}

#[test]
fn impossible_reply_is_a_contradiction() {
    for (call, code) in [
        (Call::Read, 21),
        (Call::Read, 22),
        (write_call(2), 20),
        (write_call(2), 21),
        (write_call(2), 22),
        (cas_call(1, 2), 21),
        (Call::Delete, 22),
    ] {
        let why = contradiction(&[write(0, 1, 1), read(2, 3, 1), failed(4, 5, call, code)]);
        assert_eq!(why.parts.len(), 1);
        assert_eq!(why.start, Start::Anything);
        let told = why.to_string();
        let text = format!(
            "No order of the operations explains this reply:\n\n  #1   process 4: {}: failed with {code} ",
            why.parts[0].operation.call
        );
        assert!(told.contains(&text), "{told}");
        assert!(told.contains(&format!("was answered {code} ")), "{told}");
        assert!(!told.contains("could only"), "{told}");
    }
}

#[test]
fn write_answered_20_is_explained() {
    let why = contradiction(&[write(0, 1, 1), failed(2, 3, write_call(2), 20)]);
    let told = why.to_string();
    let reason = "#1: a write was answered 20 key-does-not-exist, but a write creates a key that does not exist.";
    assert!(told.trim_end().ends_with(reason), "{told}");
}

/// Concurrent cas, each of which needs the one before, and a read that none of them allows. Each
/// attempt to shrink it is a search among as many unknown cas.
#[test]
fn long_chain_is_shrunk_within_its_budget() {
    let length = 200;
    let mut operations = vec![write(0, 1, 0)];
    operations.extend((0..length).map(|link| cas(2, 3, link, link + 1)));
    operations.push(read(4, 5, length));
    assert_valid(&operations);
    *operations.last_mut().expect("the read") = read(4, 5, 7);
    let why = contradiction(&operations);
    assert_eq!(why.parts[why.stuck].operation.call, Call::Read);
}

#[test]
fn shrinking_without_time_stops_and_says_so() {
    let operations = [write(0, 1, 1), write(2, 3, 2), read(4, 5, 2), read(6, 7, 1)];
    let limits = Limits {
        shrinking: Duration::ZERO,
        ..Limits::default()
    };
    let Verdict::Invalid(why) = check(&operations, limits).verdict else {
        panic!("a stale read");
    };
    assert_eq!(why[0].parts.len(), 4);
    assert!(
        why[0].to_string().contains("Shrinking stopped"),
        "{}",
        why[0]
    );
    let why = contradiction(&operations);
    assert_eq!(why.parts.len(), 2);
    assert!(!why.to_string().contains("Shrinking stopped"), "{why}");
}

#[test]
fn failed_operation_never_takes_effect() {
    for code in [1, 10, 11, 12, 14, 30] {
        assert_valid(&[
            write(0, 1, 1),
            failed(2, 3, write_call(2), code),
            read(4, 5, 1),
        ]);
        contradiction(&[
            write(0, 1, 1),
            failed(2, 3, write_call(2), code),
            read(4, 5, 2),
        ]);
    }
}

#[test]
fn unknown_operation_takes_effect_later_or_never() {
    let lost = || unknown(2, 3, write_call(2));
    assert_valid(&[write(0, 1, 1), lost(), read(4, 5, 1), read(6, 7, 2)]);
    assert_valid(&[write(0, 1, 1), lost(), read(4, 5, 2), read(6, 7, 2)]);
    // But only once, and not before its invocation.
    contradiction(&[
        write(0, 1, 1),
        lost(),
        read(4, 5, 2),
        write(6, 7, 1),
        read(8, 9, 2),
    ]);
    contradiction(&[read(0, 1, 2), lost()]);
    // The same for an operation without an end.
    let mut open = lost();
    open.completed = None;
    assert_valid(&[write(0, 1, 1), open, read(4, 5, 1), read(6, 7, 2)]);
}

#[test]
fn unknown_cas_needs_its_value() {
    let lost = unknown(2, 3, cas_call(1, 2));
    assert_valid(&[write(0, 1, 1), lost.clone(), read(4, 5, 2)]);
    contradiction(&[write(0, 1, 3), lost, read(4, 5, 2)]);
}

#[test]
fn unknown_operations_may_chain() {
    let links = (1..5).map(|value| unknown(2, 3, cas_call(value, value + 1)));
    let mut operations: Vec<Operation> = links.collect();
    operations.extend([write(0, 1, 1), read(4, 5, 5)]);
    assert_valid(&operations);
    operations.remove(2);
    contradiction(&operations);
}

#[test]
fn read_without_result_implies_nothing() {
    assert_valid(&[
        write(0, 1, 1),
        failed(2, 3, Call::Read, 0),
        unknown(4, 5, Call::Read),
    ]);
}

#[test]
fn keys_are_independent() {
    let on_key = |key: i64, mut operation: Operation| {
        operation.key = Value::from(key);
        operation
    };
    assert_valid(&[
        on_key(1, write(0, 1, 1)),
        on_key(2, failed(2, 3, Call::Read, 20)),
    ]);
    let why = contradiction(&[
        on_key(1, write(0, 1, 1)),
        on_key(2, write(0, 1, 1)),
        on_key(2, read(2, 3, 2)),
    ]);
    assert_eq!(why.key, Value::from(2));
}

#[test]
fn exhausted_limit_is_undecided() {
    let operations = [write(0, 1, 1), write(2, 3, 2), read(4, 5, 1)];
    let limits = Limits {
        per_key: 1,
        ..Limits::default()
    };
    let analysis = check(&operations, limits);
    match analysis.verdict {
        Verdict::Unknown(keys) => assert_eq!(keys, [Value::from(0)]),
        Verdict::Valid | Verdict::Invalid(_) => panic!("decided without work"),
    }
}

#[test]
fn contradiction_is_printed_alone() {
    let mut operations = vec![
        write(0, 1, 1),
        read(2, 3, 1),
        unknown(4, 5, write_call(9)),
        write(6, 7, 2),
        read(8, 9, 1),
    ];
    operations.extend((10..100).map(|at| write(2 * at, 2 * at + 1, 3)));
    let why = contradiction(&operations);
    assert_eq!(why.start, Start::Anything);
    assert_eq!(why.stuck, 1);
    assert_eq!(why.possible, [Held::Value(Value::from(2))]);
    let shown: Vec<&Operation> = why.parts.iter().map(|part| &part.operation).collect();
    assert_eq!(shown, [&operations[3], &operations[4]]);
    let expected = "\
Key 0 is not linearizable.
These operations contradict each other, for any value of the key before:

  #1   process 6: write 2: ok, 0.000000 s to 0.000000 s
  #2   process 8: read: returned 1, 0.000000 s to 0.000000 s

  #1 p6  |-- write 2 --|
  #2 p8                  |-- read: 1 --|

#2 needs the key to hold 1, but while it ran the key could only hold 2.
";
    assert_eq!(why.to_string(), expected);
    let svg = why.to_svg();
    assert!(svg.starts_with("<svg ") && svg.contains(">read: 1<") && svg.contains(">#2 p8<"));
}

#[test]
fn contradiction_keeps_possible_explanations() {
    let operations = [
        write(0, 1, 1),
        unknown(2, 3, cas_call(3, 4)),
        unknown(2, 3, write_call(8)),
        write(4, 5, 2),
        read(6, 7, 4),
    ];
    let why = contradiction(&operations);
    let shown: Vec<&Operation> = why.parts.iter().map(|part| &part.operation).collect();
    assert_eq!(shown, [&operations[1], &operations[3], &operations[4]]);
    assert!(why.to_string().contains("|-- cas 3 to 4 ?"), "{why}");
}
