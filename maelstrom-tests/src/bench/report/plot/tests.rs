use std::time::Duration;

use json::Value;

use super::{Logarithmic, duration, latency, messages, rate, round_up, ticks, trimmed};
use crate::bench::network::{Node, Source};
use crate::bench::report::record::Arrow;
use crate::bench::report::results::{Fault, Results};
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

fn results(operations: &[Operation], end_ms: u64, faults: &[Fault]) -> Results {
    let mut results = Results::default();
    for operation in operations {
        if let Some((_, outcome)) = &operation.completed {
            results.operations.count(&operation.call, outcome);
        }
    }
    results.duration_s = end_ms as f64 / 1e3;
    results.nemesis = vec!["partition".to_owned(), "pause".to_owned()];
    results.faults = faults.to_vec();
    results
}

fn fault(kind: &str, what: &str, from_ms: u64, to_ms: u64) -> Fault {
    Fault {
        kind: kind.to_owned(),
        what: what.to_owned(),
        began_ms: from_ms as f64,
        ended_ms: Some(to_ms as f64),
        ..Fault::default()
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
    let ticks: Vec<f64> = ticks(20.0, 10.0).collect();
    assert_eq!((ticks.len(), ticks[1]), (11, 2.0));
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
    let places = [0.0, 1e-9, 5.0].map(|value| scale.place(value));
    assert_eq!(places, [0.0, 0.0, 1.0]);
    assert_eq!(Logarithmic::holding(std::iter::empty()).ticks().count(), 3);
}

#[test]
fn latency_shows_every_ended_operation() {
    let operations = some_operations();
    let svg = latency(&operations, &results(&operations, 2_000, &[]));
    for text in [">ok: 2<", ">fail: 1<", ">info (unknown): 1<"] {
        assert!(svg.contains(text), "{text}");
    }
    // Four dots in panels and three in the legend.
    assert_eq!(svg.matches("h0").count(), 7);
    assert!(!svg.contains(r#"class="fault""#));
}

#[test]
fn equal_dots_are_drawn_once() {
    let read = || operation(Call::Read, 5, 10, Outcome::ReadOk(Value::Null));
    let many: Vec<Operation> = (0..10_000).map(|_| read()).collect();
    let svg = latency(&many, &results(&many, 2_000, &[]));
    assert_eq!(svg.matches("h0").count(), 4);
    assert!(svg.contains(">ok: 10000<"));
}

#[test]
fn rate_counts_each_second() {
    let read = |at| operation(Call::Read, at, at + 1, Outcome::ReadOk(Value::Null));
    let reads: Vec<Operation> = (0..1_000).map(read).collect();
    let svg = rate(&reads, &results(&reads, 1_000, &[]));
    assert!(svg.contains("over 10 ms"));
    // 1000 each second all the time, so the scale goes up to 1050 or a little more.
    assert!(svg.contains(">1000<") && !svg.contains(">1200<"), "{svg}");
}

#[test]
fn overlapping_faults_keep_their_numbers() {
    let operations = some_operations();
    let faults = [
        fault("pause", "pause n0", 100, 1_900),
        fault("partition", "cut <n0>", 100, 1_900),
    ];
    for picture in [latency, rate] {
        let svg = picture(&operations, &results(&operations, 2_000, &faults));
        assert!(svg.contains("2  cut &lt;n0&gt;, 0.1 to 1.9 s"), "{svg}");
        for text in [">1<", ">2<", ">pause<", ">partition<"] {
            assert!(svg.contains(text), "{text}");
        }
    }
}

#[test]
fn long_lists_of_faults_end_with_a_count() {
    let faults = (0..101).map(|at| fault("pause", "pause n1", 10 * at, 10 * at + 5));
    let faults: Vec<Fault> = faults.collect();
    let svg = latency(&[], &results(&[], 2_000, &faults));
    assert!(svg.contains(">and 71 more<"));
}

#[test]
fn empty_pictures_hold_no_impossible_numbers() {
    let none = Results::default();
    for svg in [latency(&[], &none), rate(&[], &none), messages(0, &[])] {
        assert!(svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN") && !svg.contains("\"inf\""), "{svg}");
    }
}

fn arrow(sent_ms: u64, received_ms: Option<u64>) -> Arrow {
    Arrow {
        from: Source::Client,
        to: Source::Server(Node(0)),
        sent: Duration::from_millis(sent_ms),
        received: received_ms.map(Duration::from_millis),
        kind: "read".to_owned(),
    }
}

/// The y of both ends of each line of this class.
fn heights(svg: &str, class: &str) -> Vec<(f64, f64)> {
    let number = |line: &str, name: &str| -> f64 {
        let (_, rest) = line
            .split_once(&format!("{name}=\""))
            .expect("an attribute");
        rest.split_once('"')
            .expect("a quote")
            .0
            .parse()
            .expect("a number")
    };
    let lines = svg
        .lines()
        .filter(|line| line.contains(&format!("class=\"{class}\"")));
    lines
        .map(|line| (number(line, "y1"), number(line, "y2")))
        .collect()
}

#[test]
fn lost_messages_have_a_cross_and_no_head() {
    let arrived = messages(1, &[arrow(1, Some(5))]);
    assert_eq!(arrived.matches("<polygon").count(), 1);
    assert!(heights(&arrived, "curve cross").is_empty());
    let lost = messages(1, &[arrow(1, None)]);
    assert_eq!(lost.matches("<polygon").count(), 0);
    assert_eq!(heights(&lost, "curve cross").len(), 2);
}

#[test]
fn a_request_arrives_above_the_forward_it_causes() {
    let forward = Arrow {
        from: Source::Server(Node(0)),
        to: Source::Server(Node(1)),
        ..arrow(7, Some(9))
    };
    for sent_ms in [5, 7] {
        // Clients have no latency: a request arrives when it is sent.
        let svg = messages(2, &[arrow(sent_ms, Some(sent_ms)), forward.clone()]);
        let [request, forward] = heights(&svg, "curve c0")[..] else {
            panic!("two arrows: {svg}");
        };
        assert!(request.0 < request.1 && request.1 < forward.0 && forward.0 < forward.1);
    }
}
