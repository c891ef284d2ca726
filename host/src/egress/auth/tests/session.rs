use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::egress::auth::session::Algorithm;
use crate::egress::testing::{
    Crm, Intents, MemoryVault, NOW_MS, Reply, Seen, door, door_at, get, grant, pairs, post, reading, writing,
};
use crate::egress::{Door, Error, Gate, GateConfig, Grant, Payload, Refusal};

const SESSION: &str = r#"{"kind":"session","origin":"api","secrets":["access_key"],
    "challenge":{"method":"GET","path":"/v1/ws","query":{"operation":"challenge","username":"{username}"},"capture":{"token":"/result/token"}},
    "digest":{"algorithm":"md5","parts":["{token}","{access_key}"]},
    "login":{"method":"POST","path":"/v1/ws","form":{"operation":"login","username":"{username}","accessKey":"{digest}"}},
    "success_pointer":"/success","error_pointer":"/error/code","refused":["WRONG_KEY"],"challenge_again":["WRONG_KEY","OLD_CHALLENGE"],
    "session_pointer":"/result/sessionName","facts":{"user-id":"/result/userId","time-zone":"/result/zone"},
    "place":{"query":"sessionName","form":"sessionName"},
    "expired":{"statuses":[],"code_pointer":"/error/code","codes":["NO_SESSION"]},"sessions_max":2,"idle_ms":60000}"#;

fn vault() -> MemoryVault {
    MemoryVault::with(&[("access_key", "Key-1234567890")], &[])
}

fn fault(code: &str) -> Reply {
    Reply::ok(&format!(r#"{{"success":false,"error":{{"code":"{code}","message":"m"}}}}"#))
}

fn challenge() -> Reply {
    Reply::ok(r#"{"success":true,"result":{"token":"tok-1"}}"#)
}

/// A CRM with sessions `session-1`, `session-2`, …; `alive` says which number is still known.
async fn crm(alive: impl Fn(u64) -> bool + Send + Sync + 'static) -> Crm {
    let opened = AtomicU64::new(0);
    Crm::start(move |seen| {
        if seen.target.contains("operation=challenge") {
            return challenge();
        }
        if seen.body.contains("operation=login") {
            let digest = Algorithm::Md5.hex(&["tok-1".to_owned(), "Key-1234567890".to_owned()]);
            if !seen.body.contains(&format!("accessKey={digest}")) {
                return fault("WRONG_KEY");
            }
            let number = opened.fetch_add(1, Ordering::Relaxed) + 1;
            let result = format!(r#"{{"sessionName":"session-{number}","userId":"19x1","zone":"UTC"}}"#);
            return Reply::ok(&format!(r#"{{"success":true,"result":{result}}}"#));
        }
        match session_of(seen) {
            Some(number) if alive(number) => Reply::ok(&format!(r#"{{"success":true,"result":"session-{number}"}}"#)),
            _ => fault("NO_SESSION"),
        }
    })
    .await
}

fn session_of(seen: &Seen) -> Option<u64> {
    let query = seen.target.split_once('?').map_or("", |(_, query)| query);
    query
        .split('&')
        .chain(seen.body.split('&'))
        .find_map(|pair| pair.strip_prefix("sessionName=session-"))?
        .parse()
        .ok()
}

#[tokio::test]
async fn a_login_opens_a_session_that_is_kept() {
    let crm = crm(|_| true).await;
    let door = door(grant(&crm, SESSION), &vault());
    let answer = door.send(&reading(), get("/v1/ws")).await.expect("the login works");
    assert_eq!(&*answer.body, br#"{"success":true,"result":"*********"}"#);
    let intents = Arc::new(Intents::default());
    let form = Payload::Form(pairs(&[("element", "{}")]));
    door.send(&writing(&intents), post("/v1/ws", form)).await.expect("the session lives");
    door.send(&writing(&intents), post("/v1/ws", Payload::Json(b"{}".to_vec())))
        .await
        .expect("a JSON body leaves it to the query");
    let seen = crm.seen();
    assert_eq!(seen[0].target, "/v1/ws?operation=challenge&username=admin");
    assert_eq!(seen[2].target, "/v1/ws?sessionName=session-1");
    assert_eq!((seen[3].target.as_str(), seen[3].body.as_str()), ("/v1/ws", "sessionName=session-1&element=%7B%7D"));
    assert_eq!(seen[4].target, "/v1/ws?sessionName=session-1");
    let facts = door.facts();
    for fact in pairs(&[("user-id", "19x1"), ("time-zone", "UTC"), ("setting.username", "admin")]) {
        assert!(facts.contains(&fact), "{fact:?}");
    }
    assert_eq!(door.counters().auth, 2);
}

#[tokio::test]
async fn facts_are_there_after_the_login_and_after_a_restart() {
    let crm = crm(|_| true).await;
    let vault = vault();
    let first = door(grant(&crm, SESSION), &vault);
    assert_eq!(first.facts().len(), 2);
    first.login_session(reading().deadline).await.expect("the login works");
    assert_eq!(first.facts().len(), 4);
    assert_eq!(vault.secrets().facts["user-id"], "19x1");
}

#[tokio::test]
async fn a_manifest_cannot_call_the_session_a_fact() {
    let crm = crm(|_| true).await;
    let curious = SESSION.replace("/result/zone", "/result/sessionName");
    let vault = vault();
    let door = door(grant(&crm, &curious), &vault);
    door.login_session(reading().deadline).await.expect("the login works");
    assert!(door.facts().iter().all(|(name, value)| name != "time-zone" && !value.contains("session-1")));
    assert!(!vault.secrets().facts.contains_key("time-zone"));
}

#[tokio::test]
async fn the_sessions_parameter_is_the_logins_own() {
    let crm = crm(|_| true).await;
    let door = door(grant(&crm, SESSION), &vault());
    for name in ["sessionName", "SESSIONNAME", " sessionName", "sessionName[]", "sessionName[a]", "sessionName\0x"] {
        let mut request = get("/v1/ws");
        request.query = pairs(&[(name, "session-1")]);
        assert!(matches!(door.send(&reading(), request).await, Err(Refusal::Denied(_))), "{name}");
    }
    let intents = Arc::new(Intents::default());
    let form = Payload::Form(pairs(&[("sessionName", "x")]));
    assert!(matches!(door.send(&writing(&intents), post("/v1/ws", form)).await, Err(Refusal::Denied(_))));
    assert_eq!(crm.seen().len(), 0);
}

#[tokio::test]
async fn an_ended_session_costs_one_login_and_a_write_goes_again() {
    let crm = crm(|number| number > 1).await;
    let door = door(grant(&crm, SESSION), &vault());
    let intents = Arc::new(Intents::default());
    let answer = door
        .send(&writing(&intents), post("/v1/ws", Payload::Form(Vec::new())))
        .await
        .expect("the second session works");
    assert_eq!(&*answer.body, br#"{"success":true,"result":"*********"}"#);
    assert_eq!((crm.count("operation=login"), crm.seen().len()), (2, 6));
    assert_eq!((intents.admitted.load(Ordering::Relaxed), intents.retracted.load(Ordering::Relaxed)), (1, 0));
}

#[tokio::test]
async fn a_crm_that_forgot_all_sessions_at_once_is_logged_in_to_again() {
    let forgotten = Arc::new(AtomicU64::new(0));
    let until = Arc::clone(&forgotten);
    let crm = crm(move |number| number > until.load(Ordering::Relaxed)).await;
    let door = door(grant(&crm, SESSION), &vault());
    let scope = reading();
    let (first, second) = tokio::join!(door.send(&scope, get("/v1/ws")), door.send(&scope, get("/v1/ws")));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(crm.count("operation=login"), 2, "two sessions wait idle");
    forgotten.store(2, Ordering::Relaxed);
    door.send(&reading(), get("/v1/ws")).await.expect("a new session works, although another old one was idle");
}

#[tokio::test]
async fn a_session_that_was_idle_is_not_used_again() {
    let crm = crm(|_| true).await;
    let clock = Arc::new(AtomicU64::new(NOW_MS));
    let door = door_at(grant(&crm, SESSION), &vault(), &clock);
    for (minutes, logins) in [(0, 1), (0, 1), (1, 2)] {
        clock.fetch_add(minutes * 60_000, Ordering::Relaxed);
        door.send(&reading(), get("/v1/ws")).await.expect("the login works");
        assert_eq!(crm.count("operation=login"), logins);
    }
}

#[tokio::test]
async fn a_superseded_challenge_is_taken_once_more() {
    let check = async |codes: [&'static str; 2], expected: Option<Refusal>, logins: usize| {
        let tried = AtomicU64::new(0);
        let crm = Crm::start(move |seen| {
            if seen.target.contains("operation=challenge") {
                return challenge();
            }
            if seen.body.contains("operation=login") {
                return match codes.get(tried.fetch_add(1, Ordering::Relaxed) as usize) {
                    Some(&"") | None => Reply::ok(r#"{"success":true,"result":{"sessionName":"session-1"}}"#),
                    Some(code) => fault(code),
                };
            }
            Reply::ok("{}")
        })
        .await;
        let outcome = door(grant(&crm, SESSION), &vault()).send(&reading(), get("/v1/ws")).await;
        assert_eq!((outcome.err(), crm.count("operation=login")), (expected, logins), "{codes:?}");
        assert_eq!(crm.count("operation=challenge"), logins);
    };
    check(["", ""], None, 1).await;
    check(["WRONG_KEY", ""], None, 2).await;
    check(["OLD_CHALLENGE", ""], None, 2).await;
    check(["WRONG_KEY", "WRONG_KEY"], Some(Refusal::LoggedOut), 2).await;
    let odd = Refusal::NotSent("the CRM answers the login with `OLD_CHALLENGE`".to_owned());
    check(["OLD_CHALLENGE", "OLD_CHALLENGE"], Some(odd), 2).await;
    check(["ODD", ""], Some(Refusal::NotSent("the CRM answers the login with `ODD`".to_owned())), 1).await;
}

#[tokio::test]
async fn a_wrong_key_is_not_tried_again_until_it_changes() {
    let crm = crm(|_| true).await;
    let vault = MemoryVault::with(&[("access_key", "wrong-key")], &[]);
    let door = door(grant(&crm, SESSION), &vault);
    for _ in 0..3 {
        assert_eq!(door.send(&reading(), get("/v1/ws")).await.err(), Some(Refusal::LoggedOut));
    }
    assert_eq!(crm.count("operation=login"), 2);
    vault.set("access_key", "Key-1234567890");
    assert!(door.send(&reading(), get("/v1/ws")).await.is_ok());
}

#[tokio::test]
async fn sessions_work_side_by_side_one_request_each() {
    let crm = crm(|_| true).await;
    let vault = vault();
    let hosts: [Arc<Door>; 2] = [door(grant(&crm, SESSION), &vault), door(grant(&crm, SESSION), &vault)];
    let scope = reading();
    let outcomes =
        futures_util::future::join_all((0..16).map(|index| hosts[index % 2].send(&scope, get("/v1/ws")))).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert!(crm.count("operation=login") <= 4, "two hosts, two sessions each");
    // Single flight among hosts: each challenge is followed by its own login.
    let logins =
        crm.seen().into_iter().filter(|seen| seen.target.contains("operation=") || seen.body.contains("operation="));
    for (place, seen) in logins.enumerate() {
        assert_eq!(seen.target.contains("challenge"), place % 2 == 0);
    }
}

#[tokio::test]
async fn a_login_that_is_not_answered_has_sent_nothing() {
    for reply in [Reply::Cut, Reply::json(500, ""), Reply::ok("<html>")] {
        let crm = Crm::start(move |_| reply.clone()).await;
        let intents = Arc::new(Intents::default());
        let outcome =
            door(grant(&crm, SESSION), &vault()).send(&writing(&intents), post("/v1/ws", Payload::None)).await;
        assert!(matches!(outcome, Err(Refusal::NotSent(_))), "{outcome:?}");
        assert_eq!(intents.admitted.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test]
async fn waiting_for_a_login_ends_with_the_call() {
    let crm = Crm::start(|_| Reply::Silence(Duration::from_secs(20))).await;
    let scope =
        crate::egress::CallScope { deadline: std::time::Instant::now() + Duration::from_millis(100), ..reading() };
    let outcome = door(grant(&crm, SESSION), &vault()).send(&scope, get("/v1/ws")).await;
    assert_eq!(outcome.err(), Some(Refusal::Cancelled));
}

#[tokio::test]
async fn templates_name_what_there_is() {
    let crm = crm(|_| true).await;
    let check = |change: [&str; 2], settings: bool| {
        let mut grant: Grant = grant(&crm, &SESSION.replace(change[0], change[1]));
        if !settings {
            grant.settings.clear();
        }
        let gate = Gate::new(GateConfig::new(Arc::new(|| NOW_MS))).expect("the limits are good");
        let outcome = gate.door(grant, Arc::new(vault()));
        assert!(matches!(outcome, Err(Error::BadGrant(_))), "{change:?}");
    };
    check(["\"{token}\"", "\"{tokn}\""], true);
    check(["\"{digest}\"", "\"{digest\""], true);
    check(["", ""], false);
    // The challenge goes out before we know whom we speak to, so no secret may be in it.
    check(["\"username\":\"{username}\"},\"capture\"", "\"username\":\"{access_key}\"},\"capture\""], true);
    check(["\"path\":\"/v1/ws\",\"form\"", "\"path\":\"/v1/../ws\",\"form\""], true);
    check(["\"method\":\"POST\"", "\"method\":\"PUT\""], true);
    check(["\"origin\":\"api\"", "\"origin\":\"other\""], true);
}

#[test]
fn digests_are_the_standard_ones() {
    let check = |algorithm: Algorithm, parts: &[&str], expected: &str| {
        let parts: Vec<String> = parts.iter().map(|&part| part.to_owned()).collect();
        assert_eq!(algorithm.hex(&parts), expected);
    };
    check(Algorithm::Md5, &["ab", "c"], "900150983cd24fb0d6963f7d28e17f72");
    check(Algorithm::Sha256, &["ab", "c"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check(
        Algorithm::HmacSha256,
        &["Jefe", "what do ya want ", "for nothing?"],
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    );
}

#[tokio::test]
async fn the_claim_of_a_process_that_is_gone_is_broken() {
    let crm = crm(|_| true).await;
    let claimed = |holder: &str| {
        let until = (NOW_MS + 60_000).to_string();
        let facts = [("login_claimed_until_ms", until.as_str()), ("login_claimed_by", holder)];
        MemoryVault::with(&[("access_key", "Key-1234567890")], &facts)
    };
    let began = std::time::Instant::now();
    let gone = claimed("host-gone");
    door(grant(&crm, SESSION), &gone).login_session(reading().deadline).await.expect("nobody is at it");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(gone.secrets().facts.keys().all(|name| !name.starts_with("login_claimed")));
    let soon = std::time::Instant::now() + Duration::from_millis(400);
    let outcome = door(grant(&crm, SESSION), &claimed("host-2")).login_session(soon).await;
    assert_eq!(outcome, Err(Refusal::Cancelled), "host-2 may be at it");
}

#[tokio::test]
async fn a_claim_names_its_holder() {
    let crm = Crm::start(|_| Reply::Silence(Duration::from_secs(20))).await;
    let vault = vault();
    let door = door(grant(&crm, SESSION), &vault);
    let soon = std::time::Instant::now() + Duration::from_millis(200);
    assert_eq!(door.login_session(soon).await, Err(Refusal::Cancelled));
    assert_eq!(vault.secrets().facts["login_claimed_by"], "host-1");
}

#[tokio::test]
async fn what_a_crm_calls_a_code_is_not_repeated_unless_it_is_one() {
    let check = async |code: &str, expected: &str| {
        let reply = fault(code);
        let crm = Crm::start(move |_| reply.clone()).await;
        let refusal = door(grant(&crm, SESSION), &vault()).send(&reading(), get("/v1/ws")).await.expect_err("refused");
        let expected = Refusal::NotSent(format!("the CRM answers the login with `{expected}`"));
        assert_eq!(refusal, expected, "{code}");
    };
    check("TOO_BUSY 2.1", "TOO_BUSY 2.1").await;
    check("Key-1234567890", "**************").await;
    check("no <b>such</b> user", "HTTP 200").await;
    check(&"A".repeat(65), "HTTP 200").await;
    check("", "HTTP 200").await;
}

#[tokio::test]
async fn a_login_is_told_to_wait_and_everything_waits() {
    let crm = Crm::start(|_| Reply::Answer(429, vec![("retry-after", "120".to_owned())], Vec::new())).await;
    let door = door(grant(&crm, SESSION), &vault());
    for _ in 0..3 {
        let outcome = door.send(&reading(), get("/v1/ws")).await;
        assert_eq!(outcome.err(), Some(Refusal::RateLimited(120_000)));
    }
    assert_eq!(crm.seen().len(), 1, "nobody asks again before the time");
}

#[tokio::test]
async fn logins_use_up_the_budget_too() {
    let crm = crm(|_| true).await;
    let mut grant = grant(&crm, SESSION);
    grant.limits.requests_per_minute = Some(10);
    let door = door(grant, &vault());
    // Two go at once: the request has taken its own before the login, so the login's second has to wait for longer than anybody waits.
    assert_eq!(door.send(&reading(), get("/v1/ws")).await.err(), Some(Refusal::RateLimited(7_500)));
    assert_eq!(crm.seen().len(), 1);
}

#[tokio::test]
async fn a_login_that_failed_is_not_tried_again_in_the_same_call() {
    let crm = Crm::start(|_| Reply::json(500, "")).await;
    let door = door(grant(&crm, SESSION), &vault());
    let call = reading();
    let first = door.send(&call, get("/v1/ws")).await.err();
    assert!(matches!(first, Some(Refusal::NotSent(_))), "{first:?}");
    assert_eq!(door.send(&call, get("/v1/ws")).await.err(), first);
    assert_eq!(door.login_for_call(&call).await.err(), first);
    assert_eq!(crm.seen().len(), 1);
    assert_eq!(door.send(&reading(), get("/v1/ws")).await.err(), first);
    assert_eq!(crm.seen().len(), 2, "the next call tries");
}
