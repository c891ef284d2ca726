//! Connectors at the gate: what waiting costs, how many requests a call has, and that a cancelled call leaves nothing behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use super::crm::{ANSWER_AFTER, slow_crm};
use super::guest::{Guest, instance, instance_at, load_connector};
use crate::egress::Admissions;
use crate::runtime::limits::{CallLimits, SEND_MANY_MAX};
use crate::runtime::types::PushRequest;
use crate::runtime::{Connector, Error};

/// The parts of the gate that these guests use.
const IMPORTS: &str = r#"
    (import "crmsync:plugin/egress@0.1.0" "send" (func $send (param
        i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "crmsync:plugin/egress@0.1.0" "facts" (func $facts (param i32)))
    (import "crmsync:plugin/egress@0.1.0" "[method]answer.records" (func $records (param i32 i32 i32 i32 i32 i32)))
    (import "crmsync:plugin/egress@0.1.0" "[resource-drop]answer" (func $drop (param i32)))"#;
/// Texts of the requests: origin, method and path; for `records` a pointer and one column, `id` as a whole number.
const OTHERS: &str = r#"
    (data (i32.const 512) "apiGET/v1/dataid")
    (data (i32.const 544) "\0e\02\00\00\02\00\00\00\03\00\00\00")
    (func $get (param $effect i32)
      (call $send (i32.const 512) (i32.const 3) (i32.const 515) (i32.const 3) (i32.const 518) (i32.const 3)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
        (local.get $effect) (i32.const 0) (i32.const 0) (i32.const 2048)))
    ;; 0 for an answer, else 1 plus the case of the refusal, as the answer of `count`.
    (func $tell (result i32)
      (i64.store (i32.const 1040) (i64.extend_i32_u (select
        (i32.add (i32.const 1) (i32.load8_u (i32.const 2056))) (i32.const 0) (i32.load8_u (i32.const 2048)))))
      (i32.const 1024))"#;
const READ: &str = "(call $get (i32.const 0))";
const WRITE: &str = "(call $get (i32.const 1))";
const TELL: &str = "(call $tell)";
const ANSWERED: u64 = 0;
const DENIED: u64 = 1;

const LIMITS: CallLimits = CallLimits { cpu_ms: 200, wall_ms: 300, deadline_ms: 10_000 };

async fn connector(count: &str) -> Connector {
    let guest = Guest { bodies: &[("count", count)], imports: IMPORTS, others: OTHERS };
    instance_at(&load_connector(&guest).await.with_call_limits(LIMITS), slow_crm().await)
}

#[tokio::test]
async fn waiting_for_an_answer_burns_no_processor_time() {
    let mut connector = connector(&format!("{READ} {TELL}")).await;
    let began = Instant::now();
    assert_eq!(connector.count(0, "m").await.expect("the call is not stopped"), Ok(Some(ANSWERED)));
    assert!(began.elapsed() >= ANSWER_AFTER, "{:?}", began.elapsed());
    assert!(connector.last_cpu() < Duration::from_millis(100), "{:?}", connector.last_cpu());
}

#[tokio::test]
async fn the_host_reads_an_answer_for_the_guest() {
    // result<table, body-fault> at 2,304: the words are listed at 2,304 + 16, and the one word is the answer.
    let records =
        "(call $records (i32.load (i32.const 2056)) (i32.const 521) (i32.const 5) (i32.const 544) (i32.const 1)
        (i32.const 2304)) (call $drop (i32.load (i32.const 2056)))
        (if (i32.load8_u (i32.const 2304)) (then unreachable))
        (i64.store (i32.const 1040) (i64.load (i32.load (i32.const 2320)))) i32.const 1024";
    let mut connector = connector(&format!("{READ} {records}")).await;
    assert_eq!(connector.count(0, "m").await.expect("the call is not stopped"), Ok(Some(7)));
}

#[tokio::test]
async fn a_call_has_only_so_many_requests() {
    let mut connector = connector(&format!("{READ} {READ} {TELL}")).await;
    assert_eq!(connector.count(0, "m").await.expect("a refusal is an answer"), Ok(Some(DENIED)));
    assert_eq!(connector.count(0, "m").await.expect("counters start anew"), Ok(Some(DENIED)));
}

#[tokio::test]
async fn a_write_is_refused_outside_of_push() {
    let mut connector = connector(&format!("{WRITE} {TELL}")).await;
    assert_eq!(connector.count(0, "m").await.expect("a refusal is an answer"), Ok(Some(DENIED)));
}

#[tokio::test]
async fn facts_have_the_time_of_the_call() {
    // The last fact is `now-ms`, and the list lies where its address says: its value's first byte is the answer.
    let body = "(call $facts (i32.const 2304)) (i64.store (i32.const 1040) (i64.load8_u (i32.load (i32.add
        (i32.load (i32.const 2304)) (i32.sub (i32.mul (i32.load (i32.const 2308)) (i32.const 16)) (i32.const 8))))))
        i32.const 1024";
    let mut connector = connector(body).await;
    assert_eq!(connector.count(5, "m").await.expect("not stopped"), Ok(Some(u64::from(b'5'))));
    assert_eq!(connector.count(9, "m").await.expect("not stopped"), Ok(Some(u64::from(b'9'))));
}

#[tokio::test]
async fn a_start_function_has_no_gate() {
    let others = format!("{OTHERS} (func $start {READ}) (start $start)");
    let guest = Guest { bodies: &[("count", "i32.const 1024")], imports: IMPORTS, others: &others };
    let error = instance(&load_connector(&guest).await).count(0, "m").await.expect_err("imports are not linked yet");
    assert!(matches!(&error, Error::Trapped { trap, .. } if trap.contains("uninitialized element")), "{error}");
}

#[tokio::test]
async fn a_dropped_call_drops_its_instance() {
    let mut connector = connector(&format!(
        "(if (i32.eq (local.get 1) (i32.const 4)) (then {READ}))
         (i64.store (i32.const 1040) (i64.add (i64.load (i32.const 1040)) (i64.const 1))) i32.const 1024"
    ))
    .await;
    assert_eq!(connector.count(0, "m").await.expect("works"), Ok(Some(43)));
    assert_eq!(connector.count(0, "m").await.expect("works"), Ok(Some(44)));
    let cancelled = tokio::time::timeout(ANSWER_AFTER / 4, connector.count(0, "wait")).await;
    assert!(cancelled.is_err(), "it was still waiting");
    assert_eq!(connector.count(0, "m").await.expect("works"), Ok(Some(43)), "a fresh instance");
}

#[tokio::test]
async fn calls_can_be_spawned() {
    let mut connector = connector(&format!("{READ} {TELL}")).await;
    let counted = tokio::spawn(async move { connector.count(0, "m").await }).await.expect("the task ends");
    assert_eq!(counted.expect("works"), Ok(Some(ANSWERED)));
}

struct Nobody;

impl Admissions for Nobody {
    fn admit<'a>(&'a self, _rows: &'a [u32]) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Err("no row is stored".to_owned()) })
    }

    fn retract(&self, _rows: &[u32]) {}
}

#[tokio::test]
async fn a_push_that_does_not_fit_its_rows_never_reaches_the_guest() {
    let request = PushRequest {
        module: "Contacts".to_owned(),
        columns: Vec::new(),
        rows: Vec::new(),
        values: crmsync_cells::Batch { rows: 1, kinds: vec![0], words: vec![0], text: Vec::new() },
        automations: false,
        options: Vec::new(),
    };
    // The guest would trap.
    let mut connector = instance(&load_connector(&Guest::EMPTY).await);
    let error = connector.push(0, Arc::new(Nobody), request).await.expect_err("refused");
    assert!(matches!(error, Error::BadRequest { .. }), "{error}");
}

#[tokio::test]
async fn there_is_a_place_for_each_answer_or_nothing_is_sent() {
    let import = r#"(import "crmsync:plugin/egress@0.1.0" "send-many" (func $many (param i32 i32 i32)))"#;
    let count = |requests: usize| {
        format!("(call $many (i32.const 65536) (i32.const {requests}) (i32.const 2304)) i32.const 1024")
    };
    for (requests, fits) in [(SEND_MANY_MAX, true), (SEND_MANY_MAX + 1, false)] {
        let guest = Guest { bodies: &[("count", &count(requests))], imports: import, others: "" };
        let outcome = instance(&load_connector(&guest).await).count(0, "m").await;
        match outcome {
            Ok(answer) => assert_eq!((answer, fits), (Ok(Some(42)), true), "all of them are refused, none is a breach"),
            Err(error) => assert!(!fits && matches!(error, Error::HostCalls { limit: 128, .. }), "{error}"),
        }
    }
}
