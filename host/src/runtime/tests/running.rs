//! Connectors that break a limit while they run.

use std::time::{Duration, Instant};

use super::guest::{Guest, instance, load_connector};
use crate::runtime::limits::{CallLimits, LOG_LINES_MAX};
use crate::runtime::{Connector, Error};

const OK_42: &str = "i32.const 1024";

/// Short limits, so that tests are quick.
const CALL_LIMITS: CallLimits = CallLimits { cpu_ms: 100, wall_ms: 2_000, deadline_ms: 10_000 };

/// A connector whose `count` is well behaved and whose `users` has this body.
async fn connector(users: &str, imports: &str, others: &str) -> Connector {
    let guest = Guest { bodies: &[("count", OK_42), ("users", users)], imports, others };
    instance(&load_connector(&guest).await.with_call_limits(CALL_LIMITS))
}

/// Runs the body as `users` and expects an error; afterwards the next call of the same connector works.
async fn breach(users: &str, imports: &str, others: &str) -> Error {
    let mut connector = connector(users, imports, others).await;
    assert_eq!(connector.count(0, "Contacts").await.expect("the first call works"), Ok(Some(42)));
    let error = connector.users(0).await.expect_err("the guest is stopped");
    assert_eq!(connector.count(0, "Contacts").await.expect("the next call works"), Ok(Some(42)));
    error
}

#[tokio::test]
async fn a_trap_ends_the_instance_and_nothing_else() {
    let error = breach("unreachable", "", "").await;
    assert!(matches!(&error, Error::Trapped { plugin, call: "users", .. } if plugin == "hostile"), "{error}");
}

#[tokio::test]
async fn what_a_guest_remembered_is_gone_after_a_trap() {
    // `count` counts its own calls in the answer; `users` traps.
    let count = "(i64.store (i32.const 1040) (i64.add (i64.load (i32.const 1040)) (i64.const 1))) i32.const 1024";
    let guest = Guest { bodies: &[("count", count)], ..Guest::EMPTY };
    let mut connector = instance(&load_connector(&guest).await);
    assert_eq!(connector.count(0, "m").await.expect("works"), Ok(Some(43)));
    assert_eq!(connector.count(0, "m").await.expect("works"), Ok(Some(44)), "caches live between calls");
    connector.users(0).await.expect_err("a trap");
    assert_eq!(connector.count(0, "m").await.expect("works"), Ok(Some(43)), "a fresh instance");
    connector.forget();
    assert_eq!(connector.count(0, "m").await.expect("works"), Ok(Some(43)), "a fresh instance on request");
}

#[tokio::test]
async fn an_endless_loop_uses_up_its_processor_time() {
    let began = Instant::now();
    let error = breach("(loop (br 0)) unreachable", "", "").await;
    assert!(matches!(error, Error::CpuBudget { cpu_ms: 100, .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn deep_recursion_exhausts_its_own_stack() {
    let error = breach("call $down", "", "(func $down (result i32) (i32.add (call $down) (call $down)))").await;
    assert!(matches!(error, Error::OutOfStack { .. }), "{error}");
}

#[tokio::test]
async fn a_memory_bomb_is_named() {
    let error = breach("(loop (drop (memory.grow (i32.const 16))) (br 0)) unreachable", "", "").await;
    assert!(matches!(error, Error::OutOfMemory { bytes_max: 67_108_864, .. }), "{error}");
}

#[tokio::test]
async fn a_log_flood_is_named() {
    let import = r#"(import "crmsync:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#;
    let error =
        breach("(loop (call $log (i32.const 3) (i32.const 0) (i32.const 9)) (br 0)) unreachable", import, "").await;
    assert!(matches!(error, Error::LogFlood { lines_max: LOG_LINES_MAX, .. }), "{error}");
}

#[tokio::test]
async fn calls_of_the_host_are_counted() {
    let import = r#"(import "crmsync:plugin/state@0.1.0" "get" (func $get (param i32 i32 i32)))"#;
    let body = "(loop (call $get (i32.const 0) (i32.const 1) (i32.const 2048)) (br 0)) unreachable";
    let guest = Guest { bodies: &[("users", body)], imports: import, others: "" };
    let error = instance(&load_connector(&guest).await).users(0).await.expect_err("stopped");
    assert!(matches!(error, Error::HostCalls { what: "calls of the host", .. }), "{error}");
}
