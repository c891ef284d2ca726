//! Kill -9 in the middle of first syncs and later runs, with people who edit in between: nothing is lost, doubled or skipped.
//! `cargo run -p crmsync-tests -- kills --cycles 1000` hunts further.

use crmsync_tests::kills::{self, Options};

use crate::product::{product, run};

#[test]
fn a_hundred_killed_runs_lose_and_double_nothing() {
    let options = Options { cycles: 100, seed: 1_000, records: 40, worlds: 3 };
    let report = run(kills::run(&product(), &options));
    println!("{report}");
    assert!(report.is_clean(), "{report}");
    // The loop must have bitten: a loop that never meets a write under way proves nothing.
    assert!(report.kills >= report.cycles / 2, "too few kills: {report}");
    assert!(report.unknown_outcomes > 0 && report.late_commits > 0, "no write was under way: {report}");
}
