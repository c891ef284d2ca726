use std::io::Write as _;
use std::net::SocketAddr;

use super::*;
use crate::egress::testing::{Crm, Intents, MemoryVault, Reply, door, get, grant, pairs, post, reading, writing};

const KEY: &str = r#"{"kind":"api-key","header":"X-Api-Key","secret":"api_key"}"#;
const SECRET: &str = "k3y/with+letters";

fn vault() -> MemoryVault {
    MemoryVault::with(&[("api_key", SECRET)], &[])
}

async fn crm(reply: Reply) -> Crm {
    Crm::start(move |_| reply.clone()).await
}

fn denied(outcome: Result<Answer, Refusal>) -> bool {
    matches!(outcome, Err(Refusal::Denied(_)))
}

#[tokio::test]
async fn what_is_not_granted_is_not_sent() {
    let crm = crm(Reply::ok("{}")).await;
    let door = door(grant(&crm, KEY), &vault());
    let check = async |name: &str, change: &dyn Fn(&mut Request)| {
        let mut request = get("/v1/Contacts");
        change(&mut request);
        assert!(denied(door.send(&reading(), request).await), "{name}");
    };
    check("origin", &|r| r.origin = "files".to_owned()).await;
    check("method", &|r| r.method = "DELETE".to_owned()).await;
    check("lower case", &|r| r.method = "get".to_owned()).await;
    check("path", &|r| r.path = "/v2/Contacts".to_owned()).await;
    check("climbing", &|r| r.path = "/v1/../v2".to_owned()).await;
    check("write called a read", &|r| r.method = "POST".to_owned()).await;
    check("write outside of push", &|r| r.effect = Effect::Write(vec![0])).await;
    check("header", &|r| r.headers = pairs(&[("x-other", "1")])).await;
    check("the login's header", &|r| r.headers = pairs(&[("x-api-key", "1")])).await;
    check("split header", &|r| r.headers = pairs(&[("if-modified-since", "a\r\nb: c")])).await;
    check("body of a read", &|r| r.body = Payload::Json(b"{}".to_vec())).await;
    let spent = CallScope { requests_max: 0, ..reading() };
    assert!(denied(door.send(&spent, get("/v1/Contacts")).await));
    let intents = Arc::new(Intents::default());
    let nothing = Request { effect: Effect::Write(Vec::new()), ..post("/v1/x", Payload::None) };
    assert!(denied(door.send(&writing(&intents), nothing).await));
    assert_eq!((crm.seen().len(), intents.admitted.load(Ordering::Relaxed)), (0, 0));
    let query = Request { effect: Effect::Read, ..post("/v1/query", Payload::Json(b"{}".to_vec())) };
    assert!(door.send(&reading(), query).await.is_ok());
}

#[tokio::test]
async fn the_host_adds_what_belongs_to_it() {
    let crm = crm(Reply::ok("{}")).await;
    let door = door(grant(&crm, KEY), &vault());
    let mut request = get("/v1/Con tacts");
    request.query = pairs(&[("fields", "a,b"), ("q", "x&y=z")]);
    request.headers = pairs(&[("if-modified-since", "then"), ("accept", "text/csv")]);
    door.send(&reading(), request).await.expect("the request is granted");
    let seen = &crm.seen()[0];
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/v1/Con%20tacts?fields=a%2Cb&q=x%26y%3Dz"));
    assert_eq!(seen.headers["x-api-key"], SECRET);
    assert_eq!((seen.headers["if-modified-since"].as_str(), seen.headers["accept"].as_str()), ("then", "text/csv"));
    assert_eq!(door.counters(), Counters { read: 1, write: 0, auth: 0 });
}

#[tokio::test]
async fn only_granted_addresses_are_reached() {
    let crm = crm(Reply::ok("{}")).await;
    let check = async |base: &str, addresses: Vec<SocketAddr>, expected: bool| {
        let mut grant = grant(&crm, KEY);
        grant.addresses = addresses;
        let base = base.replace("PORT", &crm.address.port().to_string());
        grant.origin_overrides.insert("api".to_owned(), base.parse().expect("it is an address"));
        let outcome = door(grant, &vault()).send(&reading(), get("/v1/x")).await;
        assert_eq!(outcome.is_ok(), expected, "{base}: {outcome:?}");
        assert!(expected || denied(outcome), "{base}");
    };
    let granted = vec![crm.address];
    check("http://127.0.0.1:PORT", granted.clone(), true).await;
    check("http://localhost:PORT", granted.clone(), true).await;
    check("http://2130706433:PORT", granted.clone(), true).await;
    for base in [
        "http://127.0.0.1:PORT",
        "http://localhost:PORT",
        "http://2130706433:PORT",
        "http://0x7f.1:PORT",
        "http://[::1]:PORT",
        "http://[::ffff:127.0.0.1]:PORT",
        "https://127.0.0.1",
        "https://169.254.169.254",
        "https://10.0.0.1",
        "https://8.8.8.8:8443",
        "http://8.8.8.8",
    ] {
        check(base, Vec::new(), false).await;
    }
    check("http://127.0.0.2:PORT", granted, false).await;
    assert_eq!(crm.seen().len(), 3);
}

#[tokio::test]
async fn a_credential_is_not_even_read_for_a_refused_address() {
    let crm = crm(Reply::ok("{}")).await;
    let mut grant = grant(&crm, KEY);
    grant.addresses = Vec::new();
    let empty = MemoryVault::default();
    // The vault has nothing, so asking it would give `LoggedOut`.
    assert!(denied(door(grant, &empty).send(&reading(), get("/v1/x")).await));
}

#[tokio::test]
async fn redirects_and_cookies_are_nobodys() {
    let crm = Crm::start(|seen| {
        assert!(!seen.headers.contains_key("cookie"));
        let headers = vec![
            ("location", "/v1/elsewhere".to_owned()),
            ("set-cookie", "a=b".to_owned()),
            ("x-credits", "7".to_owned()),
        ];
        Reply::Answer(302, headers, Vec::new())
    })
    .await;
    let door = door(grant(&crm, KEY), &vault());
    for _ in 0..2 {
        let answer = door.send(&reading(), get("/v1/x")).await.expect("a redirect is an answer");
        assert_eq!((answer.status, answer.headers), (302, pairs(&[("x-credits", "7")])));
    }
    assert_eq!((crm.seen().len(), crm.count("elsewhere")), (2, 0));
}

#[tokio::test]
async fn secrets_do_not_come_back() {
    let echo = r#"{"key":"k3y\/with+letters","form":"k3y%2Fwith%2Bletters","note":"mine","data":[{"token":"hidden"}]}"#;
    let crm =
        Crm::start(move |_| Reply::Answer(200, vec![("x-credits", SECRET.to_owned())], echo.as_bytes().to_vec())).await;
    let mut grant = grant(&crm, KEY);
    grant.secret_fields = vec!["/data/*/token".to_owned()];
    let answer = door(grant, &vault()).send(&reading(), get("/v1/x")).await.expect("there is an answer");
    let shown = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(
        shown,
        r#"{"key":"*****************","form":"********************","note":"mine","data":[{"token":"******"}]}"#
    );
    assert_eq!(answer.headers, pairs(&[("x-credits", "****************")]));
}

fn gzip(body: &[u8]) -> Reply {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(body).expect("memory takes everything");
    Reply::Answer(
        200,
        vec![("content-encoding", "gzip".to_owned())],
        encoder.finish().expect("memory takes everything"),
    )
}

#[tokio::test]
async fn answers_are_capped_before_and_after_decompression() {
    let check = async |reply: Reply, expected: Result<usize, &str>| {
        let crm = crm(reply).await;
        let outcome = door(grant(&crm, KEY), &vault()).send(&reading(), get("/v1/x")).await;
        let shown = match &outcome {
            Ok(answer) => Ok(answer.body.len()),
            Err(Refusal::TooLarge(_)) => Err("too large"),
            Err(Refusal::NoAnswer(_)) => Err("no answer"),
            Err(_) => Err("other"),
        };
        assert_eq!(shown, expected);
    };
    let most = 64 << 10;
    check(Reply::Answer(200, Vec::new(), vec![b' '; most]), Ok(most)).await;
    check(Reply::Answer(200, Vec::new(), vec![b' '; most + 1]), Err("too large")).await;
    check(gzip(&vec![b' '; most]), Ok(most)).await;
    check(gzip(&vec![0; 50 << 20]), Err("too large")).await;
    check(Reply::Answer(204, vec![("content-encoding", "gzip".to_owned())], Vec::new()), Ok(0)).await;
    let Reply::Answer(_, headers, mut cut) = gzip(b"some text that is cut") else { panic!("gzip answers") };
    cut.truncate(cut.len() - 5);
    check(Reply::Answer(200, headers, cut), Err("no answer")).await;
    check(Reply::Answer(200, vec![("content-encoding", "br".to_owned())], b"x".to_vec()), Err("no answer")).await;
}

#[tokio::test]
async fn reads_are_repeated_once_and_writes_never() {
    let silent = crm(Reply::Cut).await;
    let reader = door(grant(&silent, KEY), &vault());
    assert!(matches!(reader.send(&reading(), get("/v1/x")).await, Err(Refusal::NoAnswer(_))));
    assert_eq!(silent.seen().len(), 2);
    let intents = Arc::new(Intents::default());
    assert!(matches!(reader.send(&writing(&intents), post("/v1/x", Payload::None)).await, Err(Refusal::NoAnswer(_))));
    assert_eq!((silent.seen().len(), intents.retracted.load(Ordering::Relaxed)), (3, 0));

    let once = Arc::new(AtomicU64::new(0));
    let flaky =
        Crm::start(move |_| if once.fetch_add(1, Ordering::Relaxed) == 0 { Reply::Cut } else { Reply::ok("{}") }).await;
    assert!(door(grant(&flaky, KEY), &vault()).send(&reading(), get("/v1/x")).await.is_ok());
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let crm = crm(Reply::Cut).await;
    let mut grant = grant(&crm, KEY);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let closed = listener.local_addr().expect("a listener has an address");
    drop(listener);
    grant.addresses.push(closed);
    grant.origin_overrides.insert("api".to_owned(), format!("http://{closed}").parse().expect("it is an address"));
    let intents = Arc::new(Intents::default());
    let outcome = door(grant, &vault()).send(&writing(&intents), post("/v1/x", Payload::None)).await;
    assert!(matches!(outcome, Err(Refusal::NotSent(_))), "{outcome:?}");
    assert_eq!((intents.admitted.load(Ordering::Relaxed), intents.retracted.load(Ordering::Relaxed)), (1, 1));
}

#[tokio::test]
async fn https_is_spoken_or_nothing() {
    let crm = crm(Reply::ok("{}")).await;
    let mut grant = grant(&crm, KEY);
    let base = format!("https://{}", crm.address).parse().expect("it is an address");
    grant.origin_overrides.insert("api".to_owned(), base);
    let intents = Arc::new(Intents::default());
    // The server waits for plain HTTP, so the handshake hangs and no credential goes out.
    let outcome = door(grant, &vault()).send(&writing(&intents), post("/v1/x", Payload::None)).await;
    assert!(matches!(outcome, Err(Refusal::NotSent(_))), "{outcome:?}");
    assert_eq!((crm.seen().len(), intents.retracted.load(Ordering::Relaxed)), (0, 1));
}

#[tokio::test]
async fn time_ends() {
    let crm = crm(Reply::Silence(Duration::from_secs(20))).await;
    let mut grant = grant(&crm, KEY);
    let soon = || CallScope { deadline: Instant::now() + Duration::from_millis(150), ..reading() };
    let patient = door(grant.clone(), &vault());
    assert_eq!(patient.send(&soon(), get("/v1/x")).await.err(), Some(Refusal::Cancelled));
    let intents = Arc::new(Intents::default());
    let hurried = CallScope { admissions: writing(&intents).admissions, ..soon() };
    // A write that could not be answered any more is not begun.
    assert_eq!(patient.send(&hurried, post("/v1/x", Payload::None)).await.err(), Some(Refusal::Cancelled));
    assert_eq!((crm.seen().len(), intents.admitted.load(Ordering::Relaxed)), (1, 0));
    grant.limits.request_timeout_ms = 100;
    let outcome = door(grant, &vault()).send(&writing(&intents), post("/v1/x", Payload::None)).await;
    assert!(matches!(outcome, Err(Refusal::NoAnswer(_))), "{outcome:?}");
    assert_eq!((crm.seen().len(), intents.retracted.load(Ordering::Relaxed)), (2, 0));
}

#[tokio::test]
async fn what_was_admitted_too_late_is_not_sent() {
    let crm = crm(Reply::ok("{}")).await;
    let door = door(grant(&crm, KEY), &vault());
    let frozen = Arc::new(Intents { takes: Duration::from_millis(400), ..Intents::default() });
    let time = Duration::from_millis(door.config.connect_timeout_ms + 1_200);
    let scope = CallScope { deadline: Instant::now() + time, ..writing(&frozen) };
    assert_eq!(door.send(&scope, post("/v1/x", Payload::None)).await.err(), Some(Refusal::Cancelled));
    assert_eq!((crm.seen().len(), frozen.retracted.load(Ordering::Relaxed)), (0, 1));
}

#[tokio::test]
async fn no_write_without_its_intent() {
    let crm = crm(Reply::ok("{}")).await;
    let door = door(grant(&crm, KEY), &vault());
    let refusing = Arc::new(Intents { refuse: true, ..Intents::default() });
    assert!(denied(door.send(&writing(&refusing), post("/v1/x", Payload::None)).await));
    assert_eq!(crm.seen().len(), 0);
    let intents = Arc::new(Intents::default());
    let form = Payload::Form(pairs(&[("element", "{\"a\":\"ø &\"}")]));
    door.send(&writing(&intents), post("/v1/x", form)).await.expect("the write is admitted");
    assert_eq!(intents.admitted.load(Ordering::Relaxed), 1);
    let seen = &crm.seen()[0];
    assert_eq!(seen.body, "element=%7B%22a%22%3A%22%C3%B8+%26%22%7D");
    assert_eq!(seen.headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(door.counters(), Counters { read: 0, write: 1, auth: 0 });
}

#[tokio::test]
async fn the_budget_is_kept() {
    let crm = crm(Reply::ok("{}")).await;
    let mut grant = grant(&crm, KEY);
    grant.limits.requests_per_minute = Some(10);
    let door = door(grant, &vault());
    for _ in 0..2 {
        assert!(door.send(&reading(), get("/v1/x")).await.is_ok());
    }
    // The tests' clock stands still, and 7.5 s are more than a guest is made to wait.
    assert_eq!(door.send(&reading(), get("/v1/x")).await.err(), Some(Refusal::RateLimited(7_500)));
    assert_eq!(crm.seen().len(), 2);
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let check = async |status: u16, retry_after: &str, expected_ms: Option<u64>| {
        let crm = crm(Reply::Answer(status, vec![("retry-after", retry_after.to_owned())], Vec::new())).await;
        let door = door(grant(&crm, KEY), &vault());
        let answer = door.send(&reading(), get("/v1/x")).await.expect("the CRM has answered");
        assert_eq!(answer.status, status);
        let next = door.send(&reading(), get("/v1/x")).await.err();
        assert_eq!(next, expected_ms.map(Refusal::RateLimited), "{status} {retry_after}");
    };
    check(429, "120", Some(120_000)).await;
    check(503, "Fri, 15 Jan 2027 08:01:00 GMT", Some(60_000)).await;
    check(503, "Fri, 15 Jan 2021 08:01:00 GMT", None).await;
    check(429, "99999999999999999999", None).await;
    check(429, "9999999999", Some(86_400_000)).await;
    check(200, "120", None).await;
}

#[tokio::test]
async fn doors_are_shared_by_grant_version_only() {
    let crm = crm(Reply::ok("{}")).await;
    let gate = Gate::new(GateConfig::new(Arc::new(|| 0))).expect("the limits are good");
    let open = |tenant: &str, version: u64| {
        let grant = Grant { tenant: tenant.to_owned(), version, ..grant(&crm, KEY) };
        gate.door(grant, Arc::new(vault())).expect("the grant is good")
    };
    let first = open("acme", 1);
    assert!(Arc::ptr_eq(&first, &open("acme", 1)));
    assert!(!Arc::ptr_eq(&first, &open("other", 1)));
    assert!(!Arc::ptr_eq(&first, &open("acme", 2)));
    assert_eq!(first.facts(), pairs(&[("setting.client_id", "client-1"), ("setting.username", "admin")]));
    assert_eq!(first.authorize_url("http://127.0.0.1:8765/callback", "s").err(), Some(Error::WrongKind("a fixed key")));
}
