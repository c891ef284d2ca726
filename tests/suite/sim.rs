//! The fast slice of the simulator; `cargo run -p crmsync-sim -- --help` hunts further. A failure prints the line that replays it.

use crmsync_core::sabotage::Sabotage;
use crmsync_sim::{Cut, Hunt, bite, crash_points, hunt, live, scenarios};

/// Seeds of every `cargo test`, in two parts that are lived through side by side.
const SEEDS: u64 = 2;

fn check(from: u64) {
    let account = hunt(&Hunt { from, seeds: SEEDS, time: None, tells: false });
    assert!(account.failure.is_none(), "{account}");
}

#[test]
fn random_worlds_come_to_rest_with_nothing_lost_or_doubled() {
    check(0);
}

#[test]
fn and_so_do_others() {
    check(4);
}

#[test]
fn one_seed_is_one_order_of_calls_and_commits() {
    let cut = Cut { events: Some(60), ..Cut::default() };
    let (one, same, other) = (live(1, &cut, false), live(1, &cut, false), live(2, &cut, false));
    assert_eq!((one.trace, one.points), (same.trace, same.points));
    assert_ne!(one.trace, other.trace);
}

#[test]
fn small_worlds_come_to_what_they_must() {
    let wrong = scenarios().map(|scenario| (scenario.name, (scenario.live)()));
    let wrong: Vec<_> = wrong.filter(|(_, wrong)| !wrong.is_empty()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_host_may_be_killed_at_every_point_and_once_more_while_it_recovers() {
    let report = crash_points(|first, second| (first + 5 * second) % 211 == 0);
    assert!(report.points.len() >= 40, "{report}");
    assert!(report.wrong.is_empty(), "{report}");
}

/// One bug for each way of finding them; all of them with `crmsync-sim --sabotages`.
#[test]
fn planted_bugs_are_found() {
    for sabotage in [Sabotage::NoSafetyStop, Sabotage::ConvertedIsGone, Sabotage::DeleteAgainstEdit] {
        let bite = bite(sabotage, 6);
        assert!(bite.found.is_some(), "{} survives: {}", sabotage.name(), sabotage.story());
    }
}

#[test]
pub(crate) fn what_was_merged_is_kept_created_again_or_merged_as_well() {
    let scenario = scenarios().find(|scenario| scenario.name.starts_with("what was merged")).unwrap();
    assert_eq!((scenario.live)(), [""; 0]);
}
