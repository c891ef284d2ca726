//! Kill -9 in the middle of first syncs and later runs, with people who edit in between: nothing is lost, doubled or skipped.
//! `cargo run -p crmsync-tests -- kills --cycles 1000` hunts further, and so does `-- zombies --cycles 200` with processes that are
//! frozen, overtaken and woken.

use crmsync_tests::kills::{self, Means, Options};

use crate::product::{product, run};

#[test]
fn a_hundred_killed_runs_lose_and_double_nothing() {
    let options = Options { cycles: 100, seed: 1_000, records: 40, worlds: 3, ledger: None };
    let report = run(kills::run(&product(), Means::Kill, &options)).unwrap();
    println!("{report}");
    assert!(report.is_clean(), "{report}");
    // The loop must have bitten: a loop that never meets a write under way proves nothing.
    assert!(report.kills >= report.cycles / 2, "too few kills: {report}");
    assert!(report.unknown_outcomes > 0 && report.late_commits > 0, "no write was under way: {report}");
}

#[test]
fn a_frozen_run_that_was_overtaken_commits_nothing_when_it_wakes() {
    let options = Options { cycles: 8, seed: 2_000, records: 20, worlds: 2, ledger: None };
    let report = run(kills::run(&product(), Means::Freeze, &options)).unwrap();
    println!("{report}");
    assert!(report.is_clean(), "{report}");
    assert!(
        report.overtaken > 0 && report.last_words.contains_key("flow.lease_lost"),
        "nobody was overtaken: {report}"
    );
}
