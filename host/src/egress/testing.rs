//! What the tests of this room share: seeded chance, a vault in memory, and a small HTTP server that does what it is told, also what no
//! real server should.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{
    Admissions, AuthSpec, CallScope, Conflict, Door, Effect, Gate, GateConfig, Grant, Limits, OriginSpec, Payload,
    Request, Secrets, Vault,
};

/// A small seeded generator (SplitMix64), so that a failing seed fails again.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which must not be 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// A vault in memory; clones share it, as hosts share a store.
#[derive(Clone, Default)]
pub(crate) struct MemoryVault(Arc<Mutex<Option<(u64, Secrets)>>>);

impl MemoryVault {
    pub(crate) fn with(values: &[(&str, &str)], facts: &[(&str, &str)]) -> MemoryVault {
        let values = values.iter().map(|&(name, value)| (name.to_owned(), value.into())).collect();
        let facts = facts.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        MemoryVault(Arc::new(Mutex::new(Some((1, Secrets { values, facts })))))
    }

    pub(crate) fn secrets(&self) -> Secrets {
        self.0.lock().expect("no test panics while it holds this").clone().expect("the vault was filled").1
    }

    pub(crate) fn set(&self, name: &str, value: &str) {
        if let Some((version, secrets)) = &mut *self.0.lock().expect("no test panics while it holds this") {
            *version += 1;
            secrets.values.insert(name.to_owned(), value.into());
        }
    }
}

impl Vault for MemoryVault {
    fn load<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<Option<(u64, Secrets)>, String>> {
        Box::pin(async { Ok(self.0.lock().map_err(|error| error.to_string())?.clone()) })
    }

    fn replace<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        expected: u64,
        secrets: Secrets,
    ) -> BoxFuture<'a, Result<Result<u64, Conflict>, String>> {
        Box::pin(async move {
            let mut stored = self.0.lock().map_err(|error| error.to_string())?;
            match &mut *stored {
                Some((version, kept)) if *version == expected => {
                    (*version, *kept) = (expected + 1, secrets);
                    Ok(Ok(expected + 1))
                }
                _ => Ok(Err(Conflict)),
            }
        })
    }
}

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// What the server does.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Status, headers, body.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Closes the connection without a word.
    Cut,
    /// Says nothing for a while, then closes.
    Silence(Duration),
}

impl Reply {
    pub(crate) fn json(status: u16, body: &str) -> Reply {
        Reply::Answer(status, vec![("content-type", "application/json".to_owned())], body.as_bytes().to_vec())
    }

    pub(crate) fn ok(body: &str) -> Reply {
        Reply::json(200, body)
    }
}

/// A CRM that answers as the test says and remembers what it was asked.
pub(crate) struct Crm {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Crm {
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Crm {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let (seen, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&log), Arc::clone(&answer)));
            }
        });
        Crm { address, seen }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no test panics while it holds this").clone()
    }

    /// How many requests had this in their target or body.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.seen().iter().filter(|seen| seen.target.contains(part) || seen.body.contains(part)).count()
    }
}

async fn serve(mut stream: TcpStream, log: Arc<Mutex<Vec<Seen>>>, answer: Arc<impl Fn(&Seen) -> Reply>) -> Option<()> {
    loop {
        let seen = read_request(&mut stream).await?;
        let reply = answer(&seen);
        log.lock().ok()?.push(seen);
        match reply {
            Reply::Answer(status, headers, body) => {
                let mut head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n", body.len());
                headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
                stream.write_all(format!("{head}\r\n").as_bytes()).await.ok()?;
                stream.write_all(&body).await.ok()?;
            }
            Reply::Cut => return None,
            Reply::Silence(time) => {
                tokio::time::sleep(time).await;
                return None;
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_ends = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_ends]).into_owned();
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while bytes.len() < head_ends + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Seen { method, target, headers, body: String::from_utf8_lossy(&bytes[head_ends..]).into_owned() })
}

/// Counts admissions; refuses them if told so.
#[derive(Default)]
pub(crate) struct Intents {
    pub(crate) refuse: bool,
    /// An admission takes so long, as in a process that is frozen meanwhile.
    pub(crate) takes: Duration,
    pub(crate) admitted: AtomicU64,
    pub(crate) retracted: AtomicU64,
}

impl Admissions for Intents {
    fn admit<'a>(&'a self, _: &'a [u32]) -> BoxFuture<'a, Result<(), String>> {
        self.admitted.fetch_add(1, Ordering::Relaxed);
        let (refused, takes) = (self.refuse, self.takes);
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            if refused { Err("no stored intent".to_owned()) } else { Ok(()) }
        })
    }

    fn retract(&self, _: &[u32]) {
        self.retracted.fetch_add(1, Ordering::Relaxed);
    }
}

/// A scope for reads, with five seconds.
pub(crate) fn reading() -> CallScope {
    CallScope {
        admissions: None,
        requests_max: 100,
        deadline: Instant::now() + Duration::from_secs(5),
        login_failed: Arc::default(),
    }
}

/// A scope for writes.
pub(crate) fn writing(intents: &Arc<Intents>) -> CallScope {
    CallScope { admissions: Some(Arc::clone(intents) as Arc<dyn Admissions>), ..reading() }
}

pub(crate) fn get(path: &str) -> Request {
    Request {
        origin: "api".to_owned(),
        method: "GET".to_owned(),
        path: path.to_owned(),
        query: Vec::new(),
        headers: Vec::new(),
        body: Payload::None,
        effect: Effect::Read,
    }
}

pub(crate) fn post(path: &str, body: Payload) -> Request {
    Request { method: "POST".to_owned(), body, effect: Effect::Write(vec![0]), ..get(path) }
}

pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A grant of the origin `api` at a test server, by an operator's override and grant of its address.
pub(crate) fn grant(crm: &Crm, auth: &str) -> Grant {
    let origin: OriginSpec = serde_json::from_str(
        r#"{"name":"api","base":"auth:api","paths":["/v1/"],"methods":["GET","POST"],"request_headers":["if-modified-since"],
            "answer_headers":["x-credits"],"read_paths":["/v1/query"]}"#,
    )
    .expect("the origin is well formed");
    let auth: AuthSpec = serde_json::from_str(auth).expect("the login is well formed");
    let base: url::Url = format!("http://{}", crm.address).parse().expect("it is an address");
    let overrides = ["api", "accounts"].map(|name| (name.to_owned(), base.clone()));
    Grant {
        tenant: "acme".to_owned(),
        connection: "crm".to_owned(),
        version: 1,
        plugin: "test".to_owned(),
        origins: vec![origin],
        auth,
        settings: pairs(&[("client_id", "client-1"), ("username", "admin")]).into_iter().collect(),
        origin_overrides: overrides.into_iter().collect(),
        addresses: vec![crm.address],
        secret_fields: Vec::new(),
        limits: Limits { requests_parallel: 8, request_timeout_ms: 5_000, requests_per_minute: None },
    }
}

/// The moment at which the tests' clock stands unless it is moved.
pub(crate) const NOW_MS: u64 = 1_800_000_000_000;

/// A door with a gate, and so a host, of its own.
pub(crate) fn door(grant: Grant, vault: &MemoryVault) -> Arc<Door> {
    door_at(grant, vault, &Arc::new(AtomicU64::new(NOW_MS)))
}

/// A door whose host has this clock.
pub(crate) fn door_at(grant: Grant, vault: &MemoryVault, clock: &Arc<AtomicU64>) -> Arc<Door> {
    door_of_host("host-1", grant, vault, clock)
}

/// A door of a host with this name and clock; everybody knows that `host-gone` is no more.
fn door_of_host(holder: &str, grant: Grant, vault: &MemoryVault, clock: &Arc<AtomicU64>) -> Arc<Door> {
    let clock = Arc::clone(clock);
    let mut config = GateConfig::new(Arc::new(move || clock.load(Ordering::Relaxed)));
    config.holder = holder.to_owned();
    config.is_gone = Arc::new(|holder| holder == "host-gone");
    config.answer_bytes_max = 64 << 10;
    config.connect_timeout_ms = 300;
    let gate = Gate::new(config).expect("the limits are good");
    gate.door(grant, Arc::new(vault.clone())).expect("the grant is good")
}
