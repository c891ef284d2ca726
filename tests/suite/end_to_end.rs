//! The demo, as people run it: judged by the sandbox's own table of expected values.

use std::sync::Arc;

use crmsync::app::{App, LOCAL_TENANT};
use crmsync::service::{self, RunRequest};
use crmsync_tests::crms::Crms;
use crmsync_tests::workplace::{FLOW, Silent, Workplace};

use crate::product::{product, run};

async fn demo(seed: &str) {
    let arguments = ["demo", "--records", "40", "--seed", seed, "--json"];
    let answer = product().ask(&std::env::temp_dir(), &arguments).await.unwrap();
    let report = answer.json();
    assert_eq!(report["problems"], serde_json::json!([]), "seed {seed}");
    for zero in ["duplicates", "lost_updates", "replaced_unseen", "automations"] {
        assert_eq!(report[zero], 0, "seed {seed}: {zero}");
    }
    assert_eq!(report["no_op"]["writes"], 0, "seed {seed}: a run with nothing to do wrote");
    let modules: Vec<&str> =
        report["modules"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(modules, ["Accounts", "Contacts", "Leads"], "seed {seed}: in the order of their references");
    assert!(report["no_op"]["api_calls"].as_u64().unwrap() <= 9, "seed {seed}: {}", report["no_op"]);
    assert_eq!(report["converged"], true, "seed {seed}: {}", answer.stdout);
    assert_eq!(answer.code, 0, "seed {seed}: {}", answer.stderr);
}

#[test]
fn the_demo_converges_for_every_seed() {
    run(async {
        for seed in ["1", "2", "7"] {
            demo(seed).await;
        }
    });
}

#[test]
fn the_next_process_does_not_ask_for_the_fields_again() {
    run(async {
        let workplace = Workplace::open(Crms::here(20, 3).await.unwrap(), 600).await.unwrap();
        workplace.preview_and_approve().await.unwrap();
        workplace.run(false).await.unwrap();
        let metadata = async || workplace.crms.counts().await.unwrap().map(|counts| counts.metadata);
        let before = metadata().await;
        let next = App::open(workplace.data()).unwrap();
        service::run(&next, LOCAL_TENANT, FLOW, RunRequest::default(), Arc::new(Silent)).await.unwrap();
        assert_eq!(metadata().await, before);
    });
}
