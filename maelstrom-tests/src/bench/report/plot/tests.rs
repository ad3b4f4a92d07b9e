use std::time::Duration;

use super::{decades, latency, messages, rate, round_up, rounded, ticks};
use crate::bench::network::{Node, Source};
use crate::bench::report::ended::{Ended, Ending};
use crate::bench::report::record::Arrow;
use crate::bench::report::results::{Counts, Fault, Results};

fn operation(function: &'static str, from_ms: u64, to_ms: u64, ending: Ending) -> Ended {
    Ended {
        node: Node(0),
        function,
        invoked: Duration::from_millis(from_ms),
        completed: Duration::from_millis(to_ms),
        ending,
        timed_out: false,
    }
}

fn some_operations() -> Vec<Ended> {
    vec![
        operation("read", 0, 10, Ending::Ok),
        operation("write", 100, 200, Ending::Ok),
        operation("write", 300, 1_300, Ending::Info),
        operation("read", 400, 401, Ending::Fail),
    ]
}

fn results(ended: &[Ended], end_ms: u64, faults: &[Fault]) -> Results {
    let count = |ending| ended.iter().filter(|one| one.ending == ending).count() as u64;
    let mut results = Results::default();
    results.operations.all = Counts {
        ok: count(Ending::Ok),
        fail: count(Ending::Fail),
        info: count(Ending::Info),
        errors: Vec::new(),
    };
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
fn numbers_have_no_needless_zeros() {
    let texts = [10.5, 100.0, 0.1 + 0.2, 1e-9].map(|value| rounded(value).to_string());
    assert_eq!(texts, ["10.5", "100", "0.3", "0"]);
}

#[test]
fn a_logarithmic_scale_has_whole_decades() {
    assert_eq!(decades([0.0, 0.002, 0.3].into_iter()), (-3, 0));
    assert_eq!(decades([0.01].into_iter()), (-2, -1));
    assert_eq!(decades(std::iter::empty()), (-3, -1));
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
    let read = || operation("read", 5, 10, Ending::Ok);
    let many: Vec<Ended> = (0..10_000).map(|_| read()).collect();
    let svg = latency(&many, &results(&many, 2_000, &[]));
    assert_eq!(svg.matches("h0").count(), 4);
    assert!(svg.contains(">ok: 10000<"));
}

#[test]
fn rate_counts_each_second() {
    let read = |at| operation("read", at, at + 1, Ending::Ok);
    let reads: Vec<Ended> = (0..1_000).map(read).collect();
    let svg = rate(&reads, &results(&reads, 1_000, &[]));
    assert!(svg.contains("over 0.01 s"));
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
    let class = format!("\" class=\"{class}\"/>");
    let lines = svg.lines().filter_map(|line| {
        let points = line.strip_suffix(&class)?.strip_prefix("<path d=\"M")?;
        points.split_once('L')
    });
    let y = |point: &str| -> f64 {
        let (_, y) = point.split_once(' ').expect("two numbers");
        y.parse().expect("a number")
    };
    lines.map(|(from, to)| (y(from), y(to))).collect()
}

#[test]
fn lost_messages_have_a_cross_and_no_head() {
    let heads = messages(1, &[]).matches("solid").count();
    let arrived = messages(1, &[arrow(1, Some(5))]);
    assert_eq!(arrived.matches("solid").count(), heads + 1);
    assert!(heights(&arrived, "curve cross").is_empty());
    let lost = messages(1, &[arrow(1, None)]);
    assert_eq!(lost.matches("solid").count(), heads);
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
