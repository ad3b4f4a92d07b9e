use json::Value;

use super::axis::{Linear, Logarithmic, duration, round_up, trimmed};
use super::{Fault, MESSAGES_MAX, MessageArrow, latency, messages, rate};
use crate::history::{Call, ErrorCode, Moment, Operation, Outcome, Process};

const MS: u64 = 1_000_000;

fn operation(call: Call, from_ms: u64, to_ms: u64, outcome: Outcome) -> Operation {
    Operation {
        process: Process(0),
        key: Value::from(0),
        call,
        invoked: Moment::at(from_ms * MS),
        completed: Some((Moment::at(to_ms * MS), outcome)),
    }
}

fn some_operations() -> Vec<Operation> {
    let write = || Call::Write(Value::from(1));
    let mut open = operation(Call::Read, 900, 901, Outcome::Done);
    open.completed = None;
    vec![
        operation(Call::Read, 0, 10, Outcome::ReadOk(Value::Null)),
        operation(write(), 100, 200, Outcome::Done),
        operation(write(), 300, 1_300, Outcome::Unknown(ErrorCode::TIMEOUT)),
        operation(Call::Read, 400, 401, Outcome::Failed(ErrorCode(20))),
        open,
    ]
}

fn fault(label: &str, from_ms: u64, to_ms: u64) -> Fault {
    Fault {
        label: label.to_owned(),
        from_ns: from_ms * MS,
        to_ns: to_ms * MS,
    }
}

#[test]
fn steps_are_round() {
    for (value, step) in [
        (0.9, 1.0),
        (1.0, 1.0),
        (1.1, 2.0),
        (30.0, 50.0),
        (0.07, 0.1),
    ] {
        assert!((round_up(value) - step).abs() < 1e-9, "{value}");
    }
    let (step, ticks) = Linear::up_to(20.0).ticks(10.0);
    assert!((step - 2.0).abs() < 1e-9);
    assert_eq!(ticks.len(), 11);
    assert_eq!(Linear::up_to(0.0).ticks(10.0).1.len(), 11);
}

#[test]
fn lengths_of_time_have_fitting_units() {
    assert_eq!(duration(2.0), "2 s");
    assert_eq!(duration(1.0), "1 s");
    assert_eq!(duration(0.05), "50 ms");
    assert_eq!(duration(1e-3), "1 ms");
    assert_eq!(duration(2.5e-5), "25 µs");
    assert_eq!(duration(1e-9), "1 ns");
    assert_eq!(trimmed(10.50, 2), "10.5");
    assert_eq!(trimmed(100.0, 0), "100");
}

#[test]
fn a_logarithmic_scale_has_whole_decades() {
    let scale = Logarithmic::holding([0.0, 0.002, 0.3].into_iter());
    let ticks: Vec<String> = scale.ticks().map(duration).collect();
    assert_eq!(ticks, ["1 ms", "10 ms", "100 ms", "1 s"]);
    assert!((scale.place(0.01) - 1.0 / 3.0).abs() < 1e-9);
    assert_eq!(
        (scale.place(0.0), scale.place(1e-9), scale.place(5.0)),
        (0.0, 0.0, 1.0)
    );
    assert_eq!(Logarithmic::holding(std::iter::empty()).ticks().count(), 3);
}

#[test]
fn latency_shows_every_operation_that_ended() {
    let svg = latency(&some_operations(), &[], 2_000 * MS);
    assert!(
        svg.contains(">ok: 2<") && svg.contains(">fail: 1<") && svg.contains(">info (unknown): 1<")
    );
    // Four dots in panels and three in the legend.
    assert_eq!(svg.matches("h0").count(), 7);
    assert!(!svg.contains("fault"));
}

#[test]
fn equal_dots_are_drawn_once() {
    let read = || operation(Call::Read, 5, 10, Outcome::ReadOk(Value::Null));
    let many: Vec<Operation> = (0..10_000).map(|_| read()).collect();
    let svg = latency(&many, &[], 2_000 * MS);
    assert_eq!(svg.matches("h0").count(), 4);
    assert!(svg.contains(">ok: 10000<"));
}

#[test]
fn rate_counts_each_second() {
    let reads: Vec<Operation> = (0..1_000)
        .map(|at| operation(Call::Read, at, at + 1, Outcome::ReadOk(Value::Null)))
        .collect();
    let svg = rate(&reads, &[], 1_000 * MS);
    assert!(svg.contains("over 10 ms"));
    // 1000 each second all the time, so the scale goes up to 1050 or a little more.
    assert!(svg.contains(">1000<") && !svg.contains(">1200<"), "{svg}");
}

#[test]
fn faults_are_shaded_and_listed_up_to_a_limit() {
    let mut faults = vec![fault("cut <n0>", 100, 500)];
    for picture in [latency, rate] {
        let svg = picture(&some_operations(), &faults, 2_000 * MS);
        assert!(svg.contains("1  cut &lt;n0&gt;, 0.1 to 0.5 s"));
    }
    faults.extend((0..100).map(|at| fault("pause", 500 + at, 501 + at)));
    let svg = latency(&some_operations(), &faults, 2_000 * MS);
    assert!(svg.contains(">and 71 more<"));
}

#[test]
fn nothing_at_all_is_still_a_picture() {
    for svg in [latency(&[], &[], 0), rate(&[], &[], 0), messages(&[], &[])] {
        assert!(svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN") && !svg.contains("\"inf\""), "{svg}");
    }
}

fn arrow(from: &str, to: &str, sent_ms: u64, received_ms: Option<u64>) -> MessageArrow {
    MessageArrow {
        from: from.to_owned(),
        to: to.to_owned(),
        sent_ns: sent_ms * MS,
        received_ns: received_ms.map(|time| time * MS),
        label: "append".to_owned(),
    }
}

#[test]
fn lost_messages_have_a_cross_and_no_head() {
    let names = ["n0".to_owned(), "n1".to_owned()];
    let arrived = messages(&names, &[arrow("n0", "n1", 1, Some(5))]);
    assert_eq!(arrived.matches("<polygon").count(), 1);
    assert!(!arrived.contains("stroke-dasharray"));
    let lost = messages(&names, &[arrow("n0", "n1", 1, None)]);
    assert_eq!(lost.matches("<polygon").count(), 0);
    assert!(lost.contains("stroke-dasharray"));
}

#[test]
fn only_the_first_messages_are_drawn() {
    let many: Vec<MessageArrow> = (0..1_000)
        .rev()
        .map(|at| arrow("n0", "n1", at, Some(at + 1)))
        .collect();
    let svg = messages(&[], &many);
    assert_eq!(svg.matches("<polygon").count(), MESSAGES_MAX);
    assert!(svg.contains("The first 200 messages") && svg.contains(">0.00 ms<"));
    assert!(!svg.contains(">900.00 ms<"));
}

#[test]
fn an_arrow_that_arrives_before_it_was_sent_does_no_harm() {
    let svg = messages(
        &[],
        &[arrow("a", "a", 5, Some(1)), arrow("b", "a", 0, None)],
    );
    assert!(svg.ends_with("</svg>\n"));
}
