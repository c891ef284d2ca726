//! Ctrl-C in the middle of a run: people are told how things stand, and the next run goes on.

use crmsync_tests::crms::{Crms, SIDES};
use crmsync_tests::workplace::{FLOW, Workplace};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::product::{product, run};

const QUIESCE_MS: u64 = 700;

#[test]
fn a_run_that_is_interrupted_says_so_and_the_next_one_goes_on() {
    run(async {
        let crms = Crms::here(20, 21).await.unwrap();
        let workplace = Workplace::open(crms, QUIESCE_MS).await.unwrap();
        workplace.preview_and_approve().await.unwrap();
        for side in SIDES {
            let slow = json!({ "faults": [{ "on": { "kind": "write", "times": 1 }, "do": { "type": "slow", "after_ms": 20_000 } }] });
            workplace.crms.faults(side, &slow).await.unwrap();
        }
        let mut command = product().command(["flow", "run", FLOW, "--json"]);
        let mut child = command.env("CRMSYNC_DATA", workplace.data()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            // The run decides, and then it writes.
            if line.contains("decide") {
                break;
            }
        }
        let process = i32::try_from(child.id().unwrap()).unwrap();
        #[expect(unsafe_code, reason = "a signal to our own child")]
        let sent = unsafe { libc::kill(process, libc::SIGINT) };
        assert_eq!(sent, 0);
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).await.unwrap();
        assert_eq!(child.wait().await.unwrap().code(), Some(1), "{said}");
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["error"]["code"], "host.interrupted");
        let listed = product().ask(&workplace.data(), &["flow", "list", "--json"]).await.unwrap().json();
        assert_eq!(listed[0]["last_run"]["state"], "interrupted", "{listed}");

        for side in SIDES {
            workplace.crms.faults(side, &json!({})).await.unwrap();
        }
        let report = workplace.run(false).await.unwrap();
        assert_eq!(report.pairs[0].waiting, 0, "{report:?}");
    });
}
