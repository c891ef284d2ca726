//! One HTTP exchange: connects to checked addresses only, follows nothing, remembers nothing, and reads no more than the cap.

use std::collections::HashMap;
use std::error::Error as _;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use flate2::write::MultiGzDecoder;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue};
use reqwest::{Client, Method, dns};
use rustls::crypto::{CryptoProvider, ring};
use rustls_platform_verifier::BuilderVerifierExt;
use url::{Host, Url};

use super::{GateConfig, Refusal, address};

const USER_AGENT: &str = concat!("crmsync/", env!("CARGO_PKG_VERSION"));
/// How long checked addresses are used for new connections.
const ADDRESSES_FRESH: Duration = Duration::from_secs(30);
/// Idle connections are dropped before common servers (five seconds and more) drop them: a write that meets a closing connection has
/// an unknown outcome, which costs far more than a new connection.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// TLS settings, made once and only when somebody speaks https: a laptop without root certificates can still run the demo.
#[derive(Debug, Default)]
pub(super) struct Tls(OnceLock<Result<rustls::ClientConfig, String>>);

impl Tls {
    fn config(&self, https: bool) -> Result<rustls::ClientConfig, String> {
        if https { self.0.get_or_init(|| tls_config(true)).clone() } else { tls_config(false) }
    }
}

fn tls_config(platform_roots: bool) -> Result<rustls::ClientConfig, String> {
    let describe = |error: rustls::Error| format!("TLS cannot be set up: {error}");
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(describe)?;
    let builder = match platform_roots {
        true => builder.with_platform_verifier().map_err(describe)?,
        false => builder.with_root_certificates(rustls::RootCertStore::empty()),
    };
    Ok(builder.with_no_client_auth())
}

/// A request that is ready to go.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Vec<u8>>,
}

/// A whole answer, decompressed.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Why an exchange gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    NotSent(String),
    #[error("{reason}")]
    NoAnswer { reason: String, timed_out: bool },
    #[error("the answer is larger than {0} bytes")]
    TooLarge(u64),
    #[error("over the rate limit, try again in {0} ms")]
    RateLimited(u64),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        match failure {
            Failure::Denied(reason) => Refusal::Denied(reason),
            Failure::NotSent(reason) => Refusal::NotSent(reason),
            Failure::NoAnswer { reason, .. } => Refusal::NoAnswer(reason),
            Failure::TooLarge(bytes) => Refusal::TooLarge(bytes),
            Failure::RateLimited(wait_ms) => Refusal::RateLimited(wait_ms),
        }
    }
}

/// The connections of one door: nothing here is shared with another tenant, connection or grant.
#[derive(Debug)]
pub(super) struct Transport {
    tls: Arc<Tls>,
    granted: Arc<[SocketAddr]>,
    /// Time for name resolution, and again for TCP and TLS together.
    connect_timeout: Duration,
    answer_bytes_max: usize,
    peers: Mutex<HashMap<(bool, String, u16), Arc<Peer>>>,
}

/// One scheme, host and port, with its connection pool.
#[derive(Debug)]
pub(super) struct Peer {
    client: Client,
    name: Arc<CheckedName>,
}

impl Transport {
    pub(super) fn new(tls: Arc<Tls>, granted: &[SocketAddr], config: &GateConfig) -> Transport {
        let connect_timeout = Duration::from_millis(config.connect_timeout_ms);
        let answer_bytes_max = config.answer_bytes_max;
        Transport { tls, granted: granted.into(), connect_timeout, answer_bytes_max, peers: Mutex::default() }
    }

    /// Resolves the host of a URL and checks where a connection would go. Nothing has been sent when this fails.
    pub(super) async fn check(&self, url: &Url) -> Result<Arc<Peer>, Failure> {
        let peer = self.peer(url)?;
        peer.name.addresses().await?;
        Ok(peer)
    }

    /// Sends a request to a checked peer and reads the whole answer, within a time.
    pub(super) async fn exchange(
        &self,
        peer: &Peer,
        outgoing: Outgoing,
        timeout: Duration,
    ) -> Result<Incoming, Failure> {
        match tokio::time::timeout(timeout, self.exchange_untimed(peer, outgoing)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::NoAnswer {
                reason: format!("no answer within {} ms", timeout.as_millis()),
                timed_out: true,
            }),
        }
    }

    async fn exchange_untimed(&self, peer: &Peer, outgoing: Outgoing) -> Result<Incoming, Failure> {
        let mut request = peer.client.request(outgoing.method, outgoing.url).headers(outgoing.headers);
        request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(body) = outgoing.body {
            request = request.body(body);
        }
        let mut response = request.send().await.map_err(failure)?;
        let mut body = Body::new(response.headers(), self.answer_bytes_max)?;
        while let Some(chunk) = response.chunk().await.map_err(failure)? {
            body.push(&chunk)?;
        }
        Ok(Incoming {
            status: response.status().as_u16(),
            headers: std::mem::take(response.headers_mut()),
            body: body.finish()?,
        })
    }

    fn peer(&self, url: &Url) -> Result<Arc<Peer>, Failure> {
        let https = url.scheme() == "https";
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(Failure::Denied(format!("`{}` has no host", url.scheme())));
        };
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peers.get(&(https, host.to_owned(), port)) {
            return Ok(Arc::clone(peer));
        }
        let literal = match url.host() {
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            _ => None,
        };
        let name = Arc::new(CheckedName {
            host: host.to_owned(),
            literal,
            port,
            https,
            granted: Arc::clone(&self.granted),
            timeout: self.connect_timeout,
            fresh: Mutex::new(None),
        });
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .tls_backend_preconfigured(self.tls.config(https).map_err(Failure::NotSent)?)
            .https_only(https)
            .http1_only()
            .no_proxy()
            .no_gzip()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(POOL_IDLE)
            .tcp_nodelay(true)
            .dns_resolver(Arc::new(Names(Arc::clone(&name))))
            .build()
            .map_err(|error| Failure::NotSent(format!("no HTTP client: {}", root_cause(&error))))?;
        let peer = Arc::new(Peer { client, name });
        peers.insert((https, host.to_owned(), port), Arc::clone(&peer));
        Ok(peer)
    }
}

/// The addresses of one host, as far as they may be connected to. reqwest asks nobody else, so whatever a name resolves to in the
/// meantime, no connection goes to an address that was not checked.
#[derive(Debug)]
struct CheckedName {
    host: String,
    /// Set if the host is an address already: reqwest then asks no resolver at all.
    literal: Option<IpAddr>,
    port: u16,
    https: bool,
    granted: Arc<[SocketAddr]>,
    timeout: Duration,
    fresh: Mutex<Option<(Instant, Vec<SocketAddr>)>>,
}

impl CheckedName {
    async fn addresses(&self) -> Result<Vec<SocketAddr>, Failure> {
        if let Some(ip) = self.literal {
            let address = SocketAddr::new(ip, self.port);
            return self.checked(vec![address]);
        }
        if let Some((at, addresses)) = &*self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
            && at.elapsed() < ADDRESSES_FRESH
        {
            return Ok(addresses.clone());
        }
        let looked_up =
            tokio::time::timeout(self.timeout, tokio::net::lookup_host((self.host.as_str(), self.port))).await;
        let addresses = match looked_up {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(error)) => return Err(Failure::NotSent(format!("resolve `{}`: {error}", self.host))),
            Err(_) => return Err(Failure::NotSent(format!("resolve `{}`: no answer", self.host))),
        };
        let addresses = self.checked(addresses)?;
        *self.fresh.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), addresses.clone()));
        Ok(addresses)
    }

    /// The addresses that may be connected to; an error if there is none, with the reason of the last one.
    fn checked(&self, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Failure> {
        let mut reason = format!("`{}` has no address", self.host);
        let mut allowed = addresses;
        allowed.retain(|&address| match address::check(address, self.https, &self.granted) {
            Ok(()) => true,
            Err(refused) => {
                reason = format!("`{}`: {refused}", self.host);
                false
            }
        });
        if allowed.is_empty() { Err(Failure::Denied(reason)) } else { Ok(allowed) }
    }
}

/// What reqwest asks for addresses.
struct Names(Arc<CheckedName>);

impl dns::Resolve for Names {
    fn resolve(&self, _: dns::Name) -> dns::Resolving {
        let name = Arc::clone(&self.0);
        Box::pin(async move {
            let addresses = name.addresses().await?;
            Ok(Box::new(addresses.into_iter()) as dns::Addrs)
        })
    }
}

/// Collects an answer's body, decompressing as it comes, under a cap for what was sent and for what it becomes.
enum Body {
    Plain(Capped),
    Gzip { received: usize, decoder: Box<MultiGzDecoder<Capped>> },
}

struct Capped {
    bytes: Vec<u8>,
    bytes_max: usize,
    over: bool,
}

impl Body {
    fn new(headers: &HeaderMap, bytes_max: usize) -> Result<Body, Failure> {
        let capped = Capped { bytes: Vec::new(), bytes_max, over: false };
        match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"" | b"identity") => Ok(Body::Plain(capped)),
            Some(b"gzip" | b"x-gzip") => Ok(Body::Gzip { received: 0, decoder: Box::new(MultiGzDecoder::new(capped)) }),
            Some(_) => Err(broken("the answer is encoded in a way that was not asked for")),
        }
    }

    fn push(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        match self {
            Body::Plain(capped) => capped.write_all(chunk).map_err(|_| Failure::TooLarge(capped.bytes_max as u64)),
            Body::Gzip { received, decoder } => {
                *received += chunk.len();
                let bytes_max = decoder.get_ref().bytes_max;
                if *received > bytes_max {
                    return Err(Failure::TooLarge(bytes_max as u64));
                }
                decoder.write_all(chunk).map_err(|_| gzip_failure(decoder.get_ref()))
            }
        }
    }

    fn finish(self) -> Result<Vec<u8>, Failure> {
        match self {
            Body::Plain(capped) => Ok(capped.bytes),
            // An answer without a body (204, 304) may still name an encoding.
            Body::Gzip { received: 0, .. } => Ok(Vec::new()),
            Body::Gzip { mut decoder, .. } => match decoder.try_finish() {
                Ok(()) => Ok(std::mem::take(&mut decoder.get_mut().bytes)),
                Err(_) => Err(gzip_failure(decoder.get_ref())),
            },
        }
    }
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.bytes_max {
            self.over = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn gzip_failure(capped: &Capped) -> Failure {
    if capped.over { Failure::TooLarge(capped.bytes_max as u64) } else { broken("the answer's compression is broken") }
}

fn broken(reason: &str) -> Failure {
    Failure::NoAnswer { reason: reason.to_owned(), timed_out: false }
}

/// Sorts reqwest's errors. A refused address can turn up here when names change their addresses under our eyes.
fn failure(error: reqwest::Error) -> Failure {
    // The URL may carry a session's name.
    let error = error.without_url();
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return failure.clone();
        }
        source = cause.source();
    }
    let reason = root_cause(&error);
    if error.is_connect() || error.is_builder() {
        return Failure::NotSent(reason);
    }
    Failure::NoAnswer { reason, timed_out: error.is_timeout() }
}

fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
