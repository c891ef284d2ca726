//! What a gate is told: the host's limits, and what one connection may do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use url::Url;

use super::{AuthSpec, Budget, Limits, NoBudget, NoRecorder, OriginSpec, Recorder};

/// Whether the process that a holder's name stands for is known to be gone.
pub type IsGone = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// The host's clock: milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What holds for all doors of a host.
#[derive(Clone)]
pub struct GateConfig {
    /// The host's clock.
    pub clock: Clock,
    /// Largest answer, compressed and decompressed, in bytes.
    pub answer_bytes_max: usize,
    /// Largest body of a request, in bytes.
    pub request_bytes_max: usize,
    /// Longest time that one request of a guest waits for its turn, in milliseconds (S10).
    pub wait_ms_max: u64,
    /// Longest time in which a name is resolved, and again in which a connection is made, in milliseconds. Shorter than any request's
    /// time, so that a missing connection is told from a missing answer.
    pub connect_timeout_ms: u64,
    /// Longest time that one request may take, in milliseconds, whatever a manifest asks.
    pub request_timeout_ms_max: u64,
    /// Longest time that a CRM's `Retry-After` is obeyed without asking it again, in milliseconds.
    pub retry_after_ms_max: u64,
    /// What connections may call, and what they have called.
    pub budget: Arc<dyn Budget>,
    /// Where debug mode keeps what was sent.
    pub recorder: Arc<dyn Recorder>,
    /// Names this process wherever it holds something that others wait for.
    pub holder: String,
    /// Whether a holder of such a name is known to be gone.
    pub is_gone: IsGone,
}

impl GateConfig {
    /// The defaults: 16 MiB, 2 s of waiting, 5 s to connect, 30 s for a request, a day of `Retry-After`; nothing is counted or kept, and nobody
    /// is known to be gone.
    pub fn new(clock: Clock) -> GateConfig {
        GateConfig {
            clock,
            answer_bytes_max: 16 << 20,
            request_bytes_max: 16 << 20,
            wait_ms_max: 2_000,
            connect_timeout_ms: 5_000,
            request_timeout_ms_max: 30_000,
            retry_after_ms_max: 86_400_000,
            budget: Arc::new(NoBudget),
            recorder: Arc::new(NoRecorder),
            holder: String::new(),
            is_gone: Arc::new(|_| false),
        }
    }
}

/// What one connection of one plugin may do: asked for by its manifest **and** granted by people.
#[derive(Clone)]
pub struct Grant {
    /// Customer of the host.
    pub tenant: String,
    /// Name of the connection.
    pub connection: String,
    /// Version of this grant: a change of anything in it is a new version, with connections and sessions of its own.
    pub version: u64,
    /// Id of the plugin.
    pub plugin: String,
    /// The origins that may be named.
    pub origins: Vec<OriginSpec>,
    /// How the connection logs in.
    pub auth: AuthSpec,
    /// The connection's settings, none of them secret.
    pub settings: BTreeMap<String, String>,
    /// Addresses by which an operator replaces those of origins and of the accounts host.
    pub origin_overrides: BTreeMap<String, Url>,
    /// Addresses that an operator granted although they are private, spoken to without TLS, or on another port than 443: exactly these.
    pub addresses: Vec<SocketAddr>,
    /// RFC 6901 pointers into answers, `*` for every element: no guest sees these values.
    pub secret_fields: Vec<String>,
    /// What the CRM documents as its limits.
    pub limits: Limits,
}
