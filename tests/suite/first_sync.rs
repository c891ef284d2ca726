//! A first sync, edits on both sides and runs with nothing to do, in small: `cargo run -p crmsync-tests -- first-sync` does the same
//! with thousands of records.

use clap::Parser;
use crmsync_tests::first_sync::{self, Options, Part, Report};

use crate::product::{product, run};

/// The options as a person types them.
#[derive(Parser)]
struct Typed {
    #[command(flatten)]
    options: Options,
}

#[test]
fn a_first_sync_of_a_few_hundred_judged_by_the_servers() {
    run(async {
        let few = "first-sync --records 100 --families 8 --doubles 4 --edits 3 --idle-runs 4 --seed 3";
        let options = Typed::parse_from(few.split(' ')).options;
        let mut report = Report::default();
        first_sync::run_part(&product(), &options, Part::Sync, &mut report).await.unwrap();
        assert!(report.is_clean(), "{report}");
    });
}
