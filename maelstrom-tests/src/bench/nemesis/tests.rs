use super::*;

fn heard(nodes: usize, cuts: &Cuts, hearer: usize) -> usize {
    let hearer = Node(hearer);
    (0..nodes)
        .filter(|from| !cuts.contains(&(Node(*from), hearer)))
        .count()
}

fn side(nodes: usize, cuts: &Cuts, paused: &[usize]) -> Option<Vec<usize>> {
    let paused = paused.iter().copied().map(Node).collect();
    let all = (0..nodes).map(Node).collect();
    let side = connected_majority(&all, cuts, &paused)?;
    Some(side.into_iter().map(|node| node.0).collect())
}

#[test]
fn each_shape_cuts_its_number_of_links() {
    let mut rng = Rng::seeded(11);
    for nodes in 2..=9 {
        for _ in 0..50 {
            let one = Shape::One.cuts(nodes, &mut rng);
            assert_eq!(one.len(), 2 * (nodes - 1));
            let third = Shape::MinorityThird.cuts(nodes, &mut rng);
            let alone = ((nodes - 1) / 3).max(1);
            assert_eq!(third.len(), 2 * alone * (nodes - alone));
            let halves = Shape::Majority.cuts(nodes, &mut rng);
            assert_eq!(
                halves.len(),
                2 * majority(nodes) * (nodes - majority(nodes))
            );
            let one_way = Shape::OneWay.cuts(nodes, &mut rng);
            assert!(!one_way.is_empty());
            assert!(one_way.iter().all(|(a, b)| !one_way.contains(&(*b, *a))));
        }
    }
}

#[test]
fn ring_gives_every_node_another_majority() {
    let mut rng = Rng::seeded(12);
    for nodes in 3..=9 {
        let cuts = Shape::MajoritiesRing.cuts(nodes, &mut rng);
        let mut views = BTreeSet::new();
        for hearer in 0..nodes {
            assert_eq!(heard(nodes, &cuts, hearer), majority(nodes));
            let view: Vec<usize> = (0..nodes)
                .filter(|from| !cuts.contains(&(Node(*from), Node(hearer))))
                .collect();
            views.insert(view);
        }
        assert_eq!(views.len(), nodes);
    }
    assert!(Shape::MajoritiesRing.cuts(2, &mut rng).is_empty());
    assert!(Shape::One.cuts(1, &mut rng).is_empty());
}

#[test]
fn connected_majority_is_found() {
    let nodes = |nodes: &[usize]| nodes.iter().copied().map(Node).collect::<Vec<_>>();
    let cut = |some: &[usize], others: &[usize]| {
        let (some, others) = (nodes(some), nodes(others));
        &one_way(&some, &others) | &one_way(&others, &some)
    };
    assert_eq!(side(3, &Cuts::new(), &[]), Some(vec![0, 1, 2]));
    assert_eq!(side(3, &Cuts::new(), &[1]), Some(vec![0, 2]));
    assert_eq!(side(3, &Cuts::new(), &[1, 2]), None);
    assert_eq!(side(5, &cut(&[1, 3], &[0, 2, 4]), &[]), Some(vec![0, 2, 4]));
    assert_eq!(
        side(5, &cut(&[1, 3], &[0, 2, 4]), &[3]),
        Some(vec![0, 2, 4])
    );
    assert_eq!(side(5, &cut(&[1, 3], &[0, 2, 4]), &[4]), None);
    // A node that lacks one direction is not connected.
    let deaf = one_way(&nodes(&[0, 2, 4]), &nodes(&[1]));
    assert_eq!(side(5, &deaf, &[]), None);
    let deaf = one_way(&nodes(&[0, 2, 3, 4]), &nodes(&[1]));
    assert_eq!(side(5, &deaf, &[]), Some(vec![0, 2, 3, 4]));
    // A ring has majorities that hear each other, but none that is apart from the rest.
    let ring = ring(&nodes(&[0, 1, 2, 3, 4]));
    assert_eq!(side(5, &ring, &[]), None);
}

fn schedule(seed: u64, kinds: &[Kind], nodes: usize, plan: (u64, u64, bool)) -> Nemesis {
    let (interval, time_limit, at_start) = plan;
    let options = Options {
        nemesis: kinds.iter().copied().collect(),
        node_count: nodes,
        nemesis_interval: Duration::from_secs(interval),
        nemesis_at_start: at_start,
        time_limit: Duration::from_secs(time_limit),
        ..Options::parse([]).expect("no flag is wrong")
    };
    Nemesis::new(Rng::seeded(seed), &options)
}

#[test]
fn faults_begin_and_end_in_turn() {
    let interval = Duration::from_secs(2);
    let mut nemesis = schedule(5, &Kind::ALL, 5, (2, 1000, false));
    let mut twin = schedule(5, &Kind::ALL, 5, (2, 1000, false));
    let (mut cut, mut broken) = (false, false);
    let (mut paused, mut dead) = (BTreeSet::new(), BTreeSet::new());
    let mut breaks = Vec::new();
    let (mut killed, mut transfers, mut changes) = (BTreeSet::new(), [0, 0], [0; 3]);
    let mut before = Duration::ZERO;
    for _ in 0..300 {
        let now = nemesis.due(true).expect("faults go on");
        assert!(now >= before && now - before <= 2 * interval);
        before = now;
        assert_eq!(
            nemesis.next(now.saturating_sub(Duration::from_nanos(1)), true),
            None
        );
        let action = nemesis.next(now, true).expect("one is due");
        assert_eq!(twin.next(now, true), Some(action.clone()));
        match action {
            Action::Cut(_, cuts) => {
                assert!(!cut && !cuts.is_empty());
                cut = true;
            }
            Action::Heal => {
                assert!(cut);
                cut = false;
            }
            Action::Break(how, pairs) => {
                assert!(!broken && !pairs.is_empty());
                broken = true;
                breaks.push(how);
            }
            Action::Mend => {
                assert!(broken);
                broken = false;
            }
            Action::Pause(nodes) => {
                assert!(paused.is_empty() && (1..=3).contains(&nodes.len()));
                paused = nodes;
            }
            Action::Resume(nodes) => assert_eq!(nodes, std::mem::take(&mut paused)),
            Action::Transfer(to) => transfers[usize::from(to.is_some())] += 1,
            Action::Change(wish, _) => changes[wish as usize] += 1,
            Action::Kill(nodes) => {
                assert!(dead.is_empty());
                killed.insert(nodes.len());
                dead = nodes;
            }
            Action::Restart(nodes) => assert_eq!(nodes, std::mem::take(&mut dead)),
        }
    }
    // One, a majority, or all at once.
    assert_eq!(killed, BTreeSet::from([1, 3, 5]));
    assert!(Break::ALL.iter().all(|how| breaks.contains(how)));
    let many = |counts: &[i32]| counts.iter().all(|count| *count > 5);
    assert!(
        many(&transfers) && many(&changes),
        "{transfers:?} {changes:?}"
    );
}

/// The actions of a whole run, and when each comes. A write is acknowledged at `written`.
fn run(mut nemesis: Nemesis, written: Duration) -> Vec<(Duration, Action)> {
    let mut actions = Vec::new();
    let mut now = Duration::ZERO;
    while !nemesis.is_over() {
        let may = now >= written;
        let due = nemesis.due(may).unwrap_or(written);
        now = now.max(if may { due } else { due.min(written) });
        actions.extend(
            nemesis
                .next(now, now >= written)
                .map(|action| (now, action)),
        );
    }
    actions
}

#[test]
fn last_fault_kills_all_and_ends_before_the_load() {
    let second = Duration::from_secs(1);
    for seed in 0..200 {
        let kinds = [&Kind::ALL[..], &[Kind::Kill]][seed as usize % 2];
        let nodes = 1 + seed as usize % 5;
        let actions = run(schedule(seed, kinds, nodes, (4, 20, false)), second);
        let kill = actions
            .iter()
            .rposition(|(_, action)| matches!(action, Action::Kill(_)));
        let kill = kill.expect("a kill");
        let all: BTreeSet<Node> = (0..nodes).map(Node).collect();
        assert_eq!(actions[kill], (13 * second, Action::Kill(all.clone())));
        let ends = &actions[kill + 1..];
        assert!(ends.iter().all(|(at, _)| *at == 15 * second), "{ends:?}");
        assert!(ends.contains(&(15 * second, Action::Restart(all))));
        let (mut begun, mut ended) = (0, 0);
        for (_, action) in &actions {
            match action {
                Action::Cut(..) | Action::Break(..) | Action::Pause(_) => begun += 1,
                Action::Heal | Action::Mend | Action::Resume(_) => ended += 1,
                Action::Transfer(_) | Action::Change(..) | Action::Kill(_) | Action::Restart(_) => {
                }
            }
        }
        assert_eq!(begun, ended);
    }
}

#[test]
fn death_of_all_waits_for_a_write() {
    let second = Duration::from_secs(1);
    let actions = run(schedule(1, &[Kind::Kill], 3, (4, 20, false)), 30 * second);
    let all: BTreeSet<Node> = (0..3).map(Node).collect();
    let (faults, last) = actions.split_at(actions.len() - 2);
    assert!(faults.iter().all(|(at, _)| *at <= 15 * second));
    assert_eq!(last[0], (30 * second, Action::Kill(all.clone())));
    assert_eq!(last[1], (32 * second, Action::Restart(all)));
}

#[test]
fn short_run_has_a_fault_and_it_may_come_first() {
    for seed in 0..50 {
        for kind in Kind::ALL {
            let actions = run(schedule(seed, &[kind], 3, (60, 4, false)), Duration::ZERO);
            assert!(!actions.is_empty());
            assert!(actions[0].0 > Duration::ZERO);
            let actions = run(schedule(seed, &[kind], 3, (60, 4, true)), Duration::ZERO);
            assert_eq!(actions[0].0, Duration::ZERO);
        }
    }
}

#[test]
fn without_kinds_or_peers_there_are_no_faults() {
    let calm = schedule(1, &[], 5, (1, 20, false));
    assert!(calm.is_over() && calm.due(true).is_none());
    for kind in [
        Kind::Partition,
        Kind::Transfer,
        Kind::Membership,
        Kind::Connections,
    ] {
        let alone = schedule(1, &[kind], 1, (1, 20, false));
        assert!(alone.is_over() && alone.due(true).is_none());
    }
}

#[test]
fn actions_have_a_description() {
    let cuts = |pairs: &[(usize, usize)]| -> Cuts {
        pairs
            .iter()
            .map(|(from, to)| (Node(*from), Node(*to)))
            .collect()
    };
    for (pairs, told) in [
        (&[(0, 2), (1, 2), (2, 0), (2, 1)][..], "n2 | n0 n1"),
        (&[(0, 2), (1, 2)], "n0 n1 -/-> n2"),
        (
            &[(2, 0), (0, 1), (1, 2)],
            "n0 -/-> n1; n1 -/-> n2; n2 -/-> n0",
        ),
    ] {
        let cut = Action::Cut(Shape::One, cuts(pairs));
        assert_eq!(cut.to_string(), format!("partition one {told}"));
    }
    let told = Action::Pause([Node(1), Node(4)].into()).to_string();
    assert_eq!(told, "pause n1 n4");
    let broken = Action::Break(Break::HalfOpen, cuts(&[(0, 1), (1, 0)])).to_string();
    assert_eq!(broken, "connections half-open n0 -/-> n1; n1 -/-> n0");
    assert_eq!(Action::Transfer(None).to_string(), "transfer");
    let told = Action::Transfer(Some(Node(2))).to_string();
    assert_eq!(told, "transfer to n2");
    let told = Action::Change(Wish::Grow, 7).to_string();
    assert_eq!(told, "membership grow");
}
