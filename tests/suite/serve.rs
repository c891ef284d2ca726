//! `crmsync serve`: flows run by themselves, through everything that ends a process, and only when they may.

use std::collections::BTreeMap;
use std::time::Duration;

use crmsync::app::LOCAL_TENANT;
use crmsync::service;
use crmsync::store::ConnectionState;
use crmsync_sandbox::people::Side;
use crmsync_tests::crms::{Crms, SIDES, field_name, name};
use crmsync_tests::served::{Service, eventually};
use crmsync_tests::workplace::{FLOW, Workplace};
use serde_json::{Value, json};

use crate::product::{product, run};

const QUIESCE_MS: u64 = 700;
/// How often flows run here, in seconds.
const EVERY: &str = "2";
/// A field that people edit here, by its Zoho name.
const FIELD: &str = "Department";
/// An edit is on the other side after the interval and this, also while other tests use the processor.
const SOON: Duration = Duration::from_secs(90);

async fn workplace(records: usize, seed: u64) -> Workplace {
    Workplace::open(Crms::here(records, seed).await.unwrap(), QUIESCE_MS).await.unwrap()
}

async fn serve(workplace: &Workplace) -> Service {
    Service::start(&product(), &workplace.data(), &["--every", EVERY]).await.unwrap()
}

fn is_done(flow: &Value) -> bool {
    flow["last_run"]["state"] == "done" && !flow["first_sync_at"].is_null()
}

/// Pairs of linked records, from the sync log.
async fn linked(workplace: &Workplace) -> Vec<[String; 2]> {
    let lines = workplace.log().await.unwrap();
    let pairs = lines.into_iter().filter(|line| ["linked", "created"].contains(&line.action.as_str()));
    pairs
        .filter(|line| !line.left_id.is_empty() && !line.right_id.is_empty())
        .map(|line| [line.left_id, line.right_id])
        .collect()
}

async fn edit(workplace: &Workplace, side: Side, id: &str, value: &str) {
    workplace.crms.edit(side, id, &BTreeMap::from([(FIELD, value.to_owned())])).await.unwrap();
}

async fn shows(workplace: &Workplace, side: Side, id: &str, value: &str) -> Result<bool, String> {
    let records = workplace.crms.records(side).await?;
    let record = records.iter().find(|record| record["id"] == id).ok_or("the record is gone")?;
    Ok(record[field_name(side, FIELD)] == value)
}

/// Waits until every edit, given as the side that must show it, is there.
async fn arrive(workplace: &Workplace, edits: &[(Side, String, String)]) {
    for (side, id, value) in edits {
        let what = format!("{value} in {id} at {}", name(*side));
        eventually(&what, SOON, || shows(workplace, *side, id, value)).await.unwrap();
    }
}

/// Edits one half of the pairs at one side and the other half at the other, each with a value of its own; gives what must arrive where.
async fn edit_all(workplace: &Workplace, pairs: &[[String; 2]], word: &str) -> Vec<(Side, String, String)> {
    let mut expected = Vec::new();
    for (index, pair) in pairs.iter().enumerate() {
        let side = SIDES[index % 2];
        let other = SIDES[1 - index % 2];
        let value = format!("{word} {index}");
        edit(workplace, side, &pair[side as usize], &value).await;
        expected.push((other, pair[other as usize].clone(), value));
    }
    expected
}

#[test]
fn edits_on_both_sides_arrive_by_themselves_through_restarts() {
    run(async {
        let workplace = workplace(24, 31).await;
        workplace.preview_and_approve().await.unwrap();
        let service = serve(&workplace).await;
        service.until(FLOW, SOON, is_done).await.unwrap();
        let pairs = linked(&workplace).await;
        assert!(pairs.len() >= 8, "{pairs:?}");
        let pairs = &pairs[..8];
        arrive(&workplace, &edit_all(&workplace, pairs, "first").await).await;

        // A power cut in the middle: what was under way is found out and finished by the next process, without a command.
        let edits = edit_all(&workplace, pairs, "before the cut").await;
        service.until(FLOW, SOON, |flow| flow["state"] == "running").await.unwrap();
        service.kill().await.unwrap();
        let service = serve(&workplace).await;
        arrive(&workplace, &edits).await;

        // A stop that a service manager asks for ends well, also with edits on the way.
        let edits = edit_all(&workplace, pairs, "before the stop").await;
        assert_eq!(service.stop(libc::SIGTERM).await.unwrap(), 0);
        let service = serve(&workplace).await;
        arrive(&workplace, &edits).await;

        // And then it comes to rest: no run writes anything any more.
        let calm = service.until(FLOW, SOON, |flow| flow["state"] == "waiting").await.unwrap();
        let before = workplace.crms.counts().await.unwrap();
        let last = calm["last_run"]["id"].as_i64().unwrap();
        service
            .until(FLOW, SOON, |flow| flow["last_run"]["id"].as_i64().unwrap_or(0) >= last + 2 && is_done(flow))
            .await
            .unwrap();
        let after = workplace.crms.counts().await.unwrap();
        assert_eq!(before.map(|counts| counts.write), after.map(|counts| counts.write), "idle runs write nothing");
        let sizes = [
            workplace.crms.records(Side::Zoho).await.unwrap().len(),
            workplace.crms.records(Side::Vtiger).await.unwrap().len(),
        ];
        assert!(sizes[0].abs_diff(sizes[1]) <= 2, "nobody is there twice: {sizes:?}");
        assert_eq!(service.stop(libc::SIGINT).await.unwrap(), 0);
    });
}

#[test]
fn what_may_not_run_says_so_and_does_not() {
    run(async {
        let workplace = workplace(10, 32).await;
        let service = serve(&workplace).await;
        let runs = format!("/api/v1/flows/{FLOW}/runs");
        // Nobody approved it.
        let flow = service.until(FLOW, SOON, |flow| flow["state"] == "needs-approval").await.unwrap();
        assert_eq!((&flow["next_run_at"], &flow["last_run"]), (&Value::Null, &Value::Null));
        let refused = service.post(&runs).await.unwrap();
        assert_eq!(
            (refused.status, &refused.json()["error"]["code"]),
            (409, &json!("flow.not_approved")),
            "{refused:?}"
        );
        assert!(refused.json()["error"]["hint"].as_str().unwrap().contains("flow preview"), "{refused:?}");
        let unknown = service.post("/api/v1/flows/nobody/runs").await.unwrap();
        assert_eq!((unknown.status, &unknown.json()["error"]["code"]), (404, &json!("flow.unknown")));

        // Approved in another process: the service notices by itself.
        workplace.preview_and_approve().await.unwrap();
        service.until(FLOW, SOON, is_done).await.unwrap();

        // Paused: no run begins, not even one that is asked for, and the pause outlives the process.
        let paused = product().ask(&workplace.data(), &["flow", "pause", FLOW, "--json"]).await.unwrap();
        assert_eq!(paused.code, 0, "{}", paused.stdout);
        let flow = service.until(FLOW, SOON, |flow| flow["state"] == "paused").await.unwrap();
        let refused = service.post(&runs).await.unwrap();
        assert_eq!((refused.status, &refused.json()["error"]["code"]), (409, &json!("flow.paused")), "{refused:?}");
        assert_eq!(service.stop(libc::SIGTERM).await.unwrap(), 0);
        let service = serve(&workplace).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let still = service.until(FLOW, SOON, |flow| flow["state"] == "paused").await.unwrap();
        assert_eq!(still["last_run"]["id"], flow["last_run"]["id"], "nothing ran");
        let listed = product().ask(&workplace.data(), &["flow", "list", "--json"]).await.unwrap().json();
        assert_eq!(listed[0]["state"], "paused", "{listed}");
        let resumed = service.post(&format!("/api/v1/flows/{FLOW}/resume")).await.unwrap();
        assert_eq!(resumed.status, 200, "{resumed:?}");
        let last = flow["last_run"]["id"].as_i64().unwrap();
        service.until(FLOW, SOON, |flow| is_done(flow) && flow["last_run"]["id"].as_i64() > Some(last)).await.unwrap();

        // Logged out: told at the flow, and over as soon as somebody has logged in again.
        let row = workplace.app.store().connection(LOCAL_TENANT, "vtiger").await.unwrap().unwrap();
        let state = ConnectionState::LoggedOut;
        workplace.app.store().set_connection_checked(LOCAL_TENANT, &row, state, None, String::new()).await.unwrap();
        let flow = service.until(FLOW, SOON, |flow| flow["state"] == "logged-out").await.unwrap();
        assert!(flow["why"].as_str().unwrap().contains("vtiger"), "{flow}");
        assert_eq!(service.post(&runs).await.unwrap().json()["error"]["code"], "connection.logged_out");
        service::login_with_session(&workplace.app, LOCAL_TENANT, "vtiger").await.unwrap();
        service.until(FLOW, SOON, |flow| flow["state"] == "waiting" || flow["state"] == "running").await.unwrap();
    });
}

#[test]
fn sync_now_does_not_wait_for_the_interval() {
    run(async {
        let workplace = workplace(12, 33).await;
        workplace.preview_and_approve().await.unwrap();
        // As its file says: every five minutes.
        let service = Service::start(&product(), &workplace.data(), &[]).await.unwrap();
        service.until(FLOW, SOON, is_done).await.unwrap();
        let pair = linked(&workplace).await.remove(0);
        edit(&workplace, Side::Zoho, &pair[0], "asked for").await;
        let accepted = service.post(&format!("/api/v1/flows/{FLOW}/runs")).await.unwrap();
        assert_eq!((accepted.status, &accepted.json()["run"]["state"]), (202, &json!("queued")), "{accepted:?}");
        arrive(&workplace, &[(Side::Vtiger, pair[1].clone(), "asked for".to_owned())]).await;
        let flow = service.until(FLOW, SOON, is_done).await.unwrap();
        assert_eq!(flow["last_run"]["cause"], "sync-now", "{flow}");
        assert!(flow["asked_at"].is_null(), "{flow}");

        // The command of before works beside the service.
        edit(&workplace, Side::Vtiger, &pair[1], "by command").await;
        let answer = product().ask(&workplace.data(), &["flow", "run", FLOW, "--json"]).await.unwrap();
        assert_eq!(answer.code, 0, "{} {}", answer.stdout, answer.stderr);
        assert!(shows(&workplace, Side::Zoho, &pair[0], "by command").await.unwrap());
        // A second service in the same folder is refused.
        let second = product().ask(&workplace.data(), &["serve", "--listen", "127.0.0.1:0", "--json"]).await.unwrap();
        assert_eq!((second.code, second.error_code().as_str()), (3, "serve.running"), "{}", second.stdout);
    });
}

#[test]
fn a_command_waits_for_the_run_that_is_going_on() {
    run(async {
        let workplace = workplace(12, 34).await;
        workplace.preview_and_approve().await.unwrap();
        let slow = json!({ "faults": [{ "on": { "kind": "write", "times": 1 }, "do": { "type": "slow", "after_ms": 20_000 } }] });
        workplace.crms.faults(Side::Zoho, &slow).await.unwrap();
        let service = serve(&workplace).await;
        service.until(FLOW, SOON, |flow| flow["state"] == "running").await.unwrap();
        // A run takes the flow once it has read its settings; until then a command may be quicker.
        let is_taken = async || Ok(!workplace.app.store().lease_holder(LOCAL_TENANT, FLOW).await.unwrap().is_empty());
        eventually("the service's run takes the flow", SOON, is_taken).await.unwrap();
        let impatient = ["flow", "run", FLOW, "--wait", "0", "--json"];
        let answer = product().ask(&workplace.data(), &impatient).await.unwrap();
        assert_eq!((answer.code, answer.error_code().as_str()), (1, "flow.busy"), "{}", answer.stdout);
        let busy = service.post(&format!("/api/v1/flows/{FLOW}/runs")).await.unwrap();
        assert_eq!((busy.status, &busy.json()["error"]["code"]), (409, &json!("flow.busy")), "{busy:?}");
        let answer = product().ask(&workplace.data(), &["flow", "run", FLOW, "--json"]).await.unwrap();
        assert_eq!(answer.code, 0, "{} {}", answer.stdout, answer.stderr);
    });
}

#[test]
fn a_crm_that_is_away_is_not_hammered() {
    run(async {
        let workplace = workplace(10, 35).await;
        workplace.preview_and_approve().await.unwrap();
        workplace.run(false).await.unwrap();
        let down = json!({ "faults": [{ "on": { "times": 100_000 }, "do": { "type": "status", "status": 500 } }] });
        workplace.crms.faults(Side::Vtiger, &down).await.unwrap();
        let service = serve(&workplace).await;
        let flow = service.until(FLOW, Duration::from_secs(120), |flow| flow["state"] == "failing").await.unwrap();
        assert!(!flow["last_run"]["failure"].is_null(), "{flow}");
        let before = workplace.crms.calls(Side::Vtiger).await.unwrap().len();
        tokio::time::sleep(Duration::from_secs(6)).await;
        let after = workplace.crms.calls(Side::Vtiger).await.unwrap().len();
        assert_eq!(after, before, "three intervals have passed, but the pause after a failure has not");
        workplace.crms.faults(Side::Vtiger, &json!({})).await.unwrap();
        service.until(FLOW, Duration::from_secs(60), |flow| flow["state"] == "waiting").await.unwrap();
    });
}

#[test]
fn strangers_learn_and_start_nothing() {
    run(async {
        let workplace = workplace(10, 36).await;
        workplace.preview_and_approve().await.unwrap();
        let service = serve(&workplace).await;
        service.until(FLOW, SOON, is_done).await.unwrap();
        let runs = format!("/api/v1/flows/{FLOW}/runs");
        for (method, path) in
            [("POST", runs.as_str()), ("GET", &runs), ("GET", "/api/v1/flows/people/log"), ("GET", "/api/v1/nothing")]
        {
            let refused = service.stranger(method, path, &[]).await.unwrap();
            assert_eq!(
                (refused.status, &refused.json()["error"]["code"]),
                (401, &json!("api.token")),
                "{method} {path}"
            );
            let guessed =
                [("authorization", "Bearer 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")];
            assert_eq!(service.stranger(method, path, &guessed).await.unwrap().status, 401);
        }
        // A page of another site whose name leads here.
        for path in ["/", "/metrics", "/healthz", "/api/v1/flows"] {
            let rebound = service.stranger("GET", path, &[("host", "evil.example")]).await.unwrap();
            assert_eq!((rebound.status, &rebound.json()["error"]["code"]), (421, &json!("api.host")), "{path}");
        }
        // What everybody on this machine may see holds nothing of a customer.
        let values: Vec<String> = workplace
            .crms
            .records(Side::Zoho)
            .await
            .unwrap()
            .iter()
            .flat_map(|record| {
                ["Email", "Last_Name", "Phone"]
                    .into_iter()
                    .filter_map(|field| record[field].as_str().map(str::to_owned))
            })
            .filter(|value| value.len() > 4)
            .collect();
        assert!(values.len() > 10);
        for path in ["/", "/metrics", "/healthz", "/readyz", "/console.css"] {
            let open = service.stranger("GET", path, &[]).await.unwrap();
            assert_eq!(open.status, 200, "{path}: {}", open.text);
            let told: Vec<&String> = values.iter().filter(|value| open.text.contains(value.as_str())).collect();
            assert!(told.is_empty(), "{path} shows {told:?}");
        }
        let page = service.stranger("GET", "/", &[]).await.unwrap().text;
        for part in ["people", "Records linked", "Left for scheduled runs", "Need attention", "logged in", "zoho"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        let metrics = service.stranger("GET", "/metrics", &[]).await.unwrap().text;
        for line in [
            "crmsync_runs_total{flow=\"people\",result=\"done\"}",
            "crmsync_records_written_total{flow=\"people\",connection=\"zoho\",operation=\"create\"}",
        ] {
            assert!(metrics.contains(line), "{line}: {metrics}");
        }
        let outside = product().ask(&workplace.data(), &["serve", "--listen", "0.0.0.0:0", "--json"]).await.unwrap();
        assert_eq!((outside.code, outside.error_code().as_str()), (2, "serve.not_loopback"), "{}", outside.stdout);
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(workplace.data().join("api.token")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    });
}

#[test]
fn a_used_up_share_stops_scheduled_runs_and_not_people() {
    run(async {
        let workplace = workplace(12, 37).await;
        workplace.preview_and_approve().await.unwrap();
        workplace.run(false).await.unwrap();
        let ask = async |arguments: &[&str]| product().ask(&workplace.data(), arguments).await.unwrap();
        let quota = async || {
            let answer = ask(&["quota", "zoho", "--json"]).await;
            assert_eq!(answer.code, 0, "{} {}", answer.stdout, answer.stderr);
            answer.json()[0].clone()
        };
        let before = quota().await;
        assert_eq!((&before["unit"], &before["edition"]), (&json!("credits"), &json!("enterprise")), "{before}");
        let calls = workplace.crms.calls(Side::Zoho).await.unwrap().len() as u64;
        let counted: u64 =
            before["by_kind"].as_array().unwrap().iter().map(|kind| kind["calls"].as_u64().unwrap()).sum();
        assert!(counted > 0 && counted <= calls && counted + 4 >= calls, "{counted} of {calls}: {before}");

        // What is used now is the share of scheduled runs, and people have the rest.
        let used = before["used"].as_u64().unwrap();
        let day = (used * 2).to_string();
        let set = ask(&["quota", "zoho", "--per-day", &day, "--reserve", "50", "--json"]).await;
        assert_eq!((set.code, &set.json()[0]["left_for_scheduled"]), (0, &json!(0)), "{}", set.stdout);
        let service = serve(&workplace).await;
        let flow = service.until(FLOW, SOON, |flow| flow["state"] == "waiting-for-quota").await.unwrap();
        assert!(flow["why"].as_str().unwrap().contains("zoho") && !flow["next_run_at"].is_null(), "{flow}");
        let before = workplace.crms.calls(Side::Zoho).await.unwrap().len();
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(workplace.crms.calls(Side::Zoho).await.unwrap().len(), before, "scheduled runs wait");
        let pair = linked(&workplace).await.remove(0);
        edit(&workplace, Side::Vtiger, &pair[1], "a person asks").await;
        assert_eq!(service.post(&format!("/api/v1/flows/{FLOW}/runs")).await.unwrap().status, 202);
        arrive(&workplace, &[(Side::Zoho, pair[0].clone(), "a person asks".to_owned())]).await;
        service.until(FLOW, SOON, |flow| flow["state"] == "waiting-for-quota").await.unwrap();

        // More of it, and scheduled runs go on by themselves.
        edit(&workplace, Side::Vtiger, &pair[1], "by itself").await;
        assert_eq!(ask(&["quota", "zoho", "--reset", "--json"]).await.code, 0);
        arrive(&workplace, &[(Side::Zoho, pair[0].clone(), "by itself".to_owned())]).await;
        let wrong = ask(&["quota", "zoho", "--edition", "golden", "--json"]).await;
        assert_eq!((wrong.code, wrong.error_code().as_str()), (2, "quota.unknown_edition"), "{}", wrong.stdout);
        let all = service.get("/api/v1/quotas").await.unwrap().json();
        assert_eq!(all["quotas"].as_array().unwrap().len(), 2, "{all}");
        let metrics = service.get("/metrics").await.unwrap().text;
        assert!(metrics.contains("crmsync_budget_left{connection=\"zoho\",unit=\"credits\"}"), "{metrics}");
        assert!(metrics.contains("crmsync_calls_total{connection=\"vtiger\",kind=\"read\"}"), "{metrics}");
    });
}

#[test]
fn debug_mode_keeps_requests_and_no_values() {
    run(async {
        let workplace = workplace(12, 38).await;
        let ask = async |arguments: &[&str]| product().ask(&workplace.data(), arguments).await.unwrap();
        workplace.preview_and_approve().await.unwrap();
        workplace.run(false).await.unwrap();
        assert_eq!(ask(&["log", FLOW, "--debug", "--json"]).await.json(), json!([]), "it is off");
        let on = ask(&["flow", "debug", FLOW, "on", "--json"]).await.json();
        let day_ms = 24 * 60 * 60 * 1_000;
        let left_ms = on["debug_until_ms"].as_i64().unwrap() - workplace.app.now_ms();
        assert!(left_ms > day_ms - 60_000 && left_ms <= day_ms, "it ends by itself: {on}");
        let pair = linked(&workplace).await.remove(0);
        edit(&workplace, Side::Zoho, &pair[0], "Secret Department").await;
        assert_eq!(ask(&["flow", "run", FLOW, "--json"]).await.code, 0);
        let kept = ask(&["log", FLOW, "--debug", "--most", "500", "--json"]).await;
        let lines = kept.json();
        let lines = lines.as_array().unwrap();
        assert!(
            lines.iter().any(|line| line["rows_written"] == 1 && line["connection"] == "vtiger"),
            "{}",
            kept.stdout
        );
        assert!(lines.iter().all(|line| (200..400).contains(&line["status"].as_i64().unwrap())), "{}", kept.stdout);
        assert!(!kept.stdout.contains("Secret Department"), "{}", kept.stdout);
        for connection in SIDES.map(name) {
            let (_, secrets) = workplace.app.vault().load(LOCAL_TENANT, connection).await.unwrap().unwrap();
            for secret in secrets.values.values() {
                assert!(!kept.stdout.contains(secrecy::ExposeSecret::expose_secret(secret)), "{}", kept.stdout);
            }
        }
        assert_eq!(ask(&["flow", "debug", FLOW, "off", "--json"]).await.json()["debug_until_ms"], 0);
        assert_eq!(ask(&["flow", "run", FLOW, "--json"]).await.code, 0);
        let after = ask(&["log", FLOW, "--debug", "--most", "500", "--json"]).await;
        assert_eq!(after.json().as_array().unwrap().len(), lines.len(), "nothing is kept any more");
    });
}

#[test]
fn old_lines_go_by_themselves() {
    run(async {
        let workplace = workplace(10, 39).await;
        workplace.preview_and_approve().await.unwrap();
        workplace.run(false).await.unwrap();
        let (lines, store) = (workplace.log().await.unwrap().len(), workplace.app.store());
        assert!(lines > 0);
        let day_ms = 24 * 60 * 60 * 1_000;
        let now_ms = workplace.app.now_ms();
        // The run of just now has looked for old lines, so that nobody does again today.
        assert_eq!(service::remove_old(&workplace.app, LOCAL_TENANT).await.unwrap(), None);
        assert_eq!(
            store.remove_old(LOCAL_TENANT, now_ms - 30 * day_ms, now_ms, now_ms).await.unwrap().unwrap().log_lines,
            0
        );
        assert_eq!(workplace.log().await.unwrap().len(), lines, "nothing is old");
        let later_ms = now_ms + 31 * day_ms;
        let removed =
            store.remove_old(LOCAL_TENANT, later_ms - 30 * day_ms, later_ms - day_ms, later_ms).await.unwrap();
        let removed = removed.unwrap();
        assert_eq!(removed.log_lines, lines);
        assert!(removed.previewed > 0, "a preview's lines are people's data, too: {removed:?}");
        assert!(workplace.log().await.unwrap().is_empty());
        // What is linked stays linked.
        let report = workplace.run(false).await.unwrap();
        assert!(report.pairs[0].linked > 0 && report.pairs[0].created_left + report.pairs[0].created_right == 0);
    });
}
