//! Everything that goes wrong on the way to a CRM and back: the flow converges afterwards, and nobody is there twice. Each plan is in
//! force during the first sync, and again when people have edited.

use crmsync_sandbox::people::Side;
use crmsync_sandbox::scenario::{Phase, Scenario};
use crmsync_tests::crms::{Crms, SIDES};
use crmsync_tests::workplace::Workplace;
use serde_json::{Value, json};

use crate::product::run;

const RECORDS: usize = 30;
/// An unanswered write of these CRMs is certain after this time; longer than the late commits below.
const QUIESCE_MS: u64 = 600;
/// The CRMs' clocks are moved so far between people's edits and runs, because a CRM tells times in whole seconds.
const APART_MS: i64 = 1_300;
/// More runs than this and it never comes to rest.
const RUNS_MAX: usize = 10;

struct Story {
    workplace: Workplace,
    scenario: Scenario,
}

impl Story {
    async fn begin(seed: u64) -> Story {
        let crms = Crms::here(RECORDS, seed).await.unwrap();
        let workplace = Workplace::open(crms, QUIESCE_MS).await.unwrap();
        workplace.preview_and_approve().await.unwrap();
        Story { workplace, scenario: Scenario::new(seed, RECORDS) }
    }

    async fn plan(&self, faults: &Value) {
        for side in SIDES {
            self.workplace.crms.faults(side, faults).await.unwrap();
        }
    }

    /// Runs until nothing waits and nothing was written, twice in a row: a listing that shows nothing looks like nothing to do. A run
    /// may fail while there are faults, and people may have to look again.
    async fn calm(&self, name: &str) {
        let mut said = Vec::new();
        let mut quiet = 0;
        for _ in 0..RUNS_MAX {
            self.workplace.crms.advance(APART_MS).await.unwrap();
            match self.workplace.run(false).await {
                Ok(report) => {
                    let pair = &report.pairs[0];
                    let writes = pair.created_left + pair.created_right + pair.updated_left + pair.updated_right;
                    said.push(format!("wrote {writes}, waiting {}", pair.waiting));
                    quiet = if writes == 0 && pair.waiting == 0 { quiet + 1 } else { 0 };
                    if quiet == 2 {
                        return;
                    }
                }
                Err(failure) if failure.code == "flow.not_approved" => {
                    said.push(failure.code.to_owned());
                    self.workplace.preview_and_approve().await.unwrap();
                }
                Err(failure) if failure.code == "connection.logged_out" => {
                    panic!("{name}: an expired session must be renewed by itself: {failure:?}")
                }
                Err(failure) => said.push(format!("{}: {}", failure.code, failure.message)),
            }
        }
        panic!("{name}: it does not come to rest: {said:#?}");
    }

    async fn judge(&self, name: &str, phase: Phase) {
        let crms = &self.workplace.crms;
        let [left, right] = [crms.records(Side::Zoho).await.unwrap(), crms.records(Side::Vtiger).await.unwrap()];
        let verdict = self.scenario.verify(phase, &left, &right);
        assert!(
            verdict.is_clean(),
            "{name}, {phase:?}: {} duplicates, {} lost, unexpected {:?}, {:#?}",
            verdict.duplicates,
            verdict.lost_updates,
            verdict.unexpected,
            verdict.mismatches
        );
    }
}

fn check(name: &str, seed: u64, faults: Value) {
    run(async {
        let story = Story::begin(seed).await;
        let plan = json!({ "faults": faults });
        story.plan(&plan).await;
        story.calm(name).await;
        story.judge(name, Phase::FirstSync).await;
        story.workplace.crms.advance(APART_MS).await.unwrap();
        for edit in story.scenario.human_edits() {
            story.workplace.crms.person(edit).await.unwrap();
        }
        story.plan(&plan).await;
        story.calm(name).await;
        story.judge(name, Phase::AfterEdits).await;
    });
}

#[test]
fn a_crm_that_asks_to_wait() {
    let refusal = json!({ "type": "status", "status": 429, "retry_after": "1" });
    check(
        "429",
        11,
        json!([
            { "on": { "kind": "read", "times": 2 }, "do": refusal },
            { "on": { "kind": "write", "times": 2 }, "do": refusal },
        ]),
    );
}

#[test]
fn a_crm_that_is_down_for_a_moment() {
    let refusal = json!({ "type": "status", "status": 503, "body": "<h1>Service Unavailable</h1>" });
    check(
        "503",
        12,
        json!([
            { "on": { "kind": "read", "times": 1 }, "do": refusal },
            { "on": { "kind": "write", "times": 2 }, "do": refusal },
        ]),
    );
}

#[test]
fn logins_that_end_in_the_middle() {
    // Twice in each phase: a CRM gives few tokens in ten minutes, and our own budget of them is smaller still.
    let expiry = json!({ "type": "expire_session" });
    check(
        "expired",
        13,
        json!([
            { "on": { "kind": "read", "skip": 1 }, "do": expiry },
            { "on": { "kind": "write", "skip": 1 }, "do": expiry },
        ]),
    );
}

#[test]
fn answers_that_never_arrive() {
    check(
        "cut after commit",
        14,
        json!([{ "on": { "kind": "write", "times": 3 }, "do": { "type": "cut_after_commit" } }]),
    );
}

#[test]
fn calls_that_never_arrive() {
    check(
        "cut before commit",
        15,
        json!([{ "on": { "kind": "write", "times": 3 }, "do": { "type": "cut_before_commit" } }]),
    );
}

#[test]
fn commits_that_come_when_nobody_waits_any_more() {
    check(
        "late commit",
        16,
        json!([
            { "on": { "kind": "write", "times": 3 }, "do": { "type": "late_commit", "after_ms": 400 } },
        ]),
    );
}

#[test]
fn pages_from_a_replica_that_lags() {
    check(
        "stale page",
        17,
        json!([{ "on": { "kind": "read", "times": 2 }, "do": { "type": "stale_page", "after_ms": 5_000 } }]),
    );
}

#[test]
fn pages_that_show_records_twice() {
    check("duplicate page", 18, json!([{ "on": { "kind": "read", "times": 4 }, "do": { "type": "duplicate_page" } }]));
}

#[test]
fn lists_that_end_early_and_say_that_they_are_whole() {
    check("cut list", 20, json!([{ "on": { "kind": "read", "times": 3 }, "do": { "type": "cut_list", "rows": 7 } }]));
}

#[test]
fn lists_that_are_suddenly_empty() {
    check("empty list", 19, json!([{ "on": { "kind": "read", "times": 2 }, "do": { "type": "empty_list" } }]));
}
