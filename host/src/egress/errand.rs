//! On whose behalf the calls of a task are made: said once around a whole run, so that what lies between need not hand it on.

use super::budget::Lane;

/// On whose behalf calls are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errand {
    /// Lane.
    pub lane: Lane,
    /// The flow whose debug mode keeps what is sent, if it is on.
    pub debug: Option<String>,
}

tokio::task_local! {
    static ERRAND: Errand;
}

/// Does something on an errand. What is spawned meanwhile is not on it.
pub async fn on_errand<T>(errand: Errand, work: impl Future<Output = T>) -> T {
    ERRAND.scope(errand, work).await
}

/// The errand of this task; outside of any it is a person's, and nothing is kept.
pub(super) fn errand() -> Errand {
    ERRAND.try_with(Clone::clone).unwrap_or_default()
}

/// One request and its answer as debug mode keeps them: nothing that a customer or a secret could be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Customer of the host.
    pub tenant: String,
    /// The flow.
    pub flow: String,
    /// The connection.
    pub connection: String,
    /// When it was sent.
    pub at_ms: u64,
    /// Method.
    pub method: String,
    /// Name of the origin.
    pub origin: String,
    /// Path as the plugin named it.
    pub path: String,
    /// Names of query and form parameters, without their values.
    pub parameters: String,
    /// Rows that it writes, 0 for a read.
    pub rows_written: usize,
    /// Status, 0 if no answer came.
    pub status: u16,
    /// Time until the answer.
    pub took_ms: u64,
    /// Size of the body that was sent.
    pub sent_bytes: usize,
    /// Size of the body that came.
    pub answer_bytes: usize,
}

/// Where debug mode keeps exchanges.
pub trait Recorder: Send + Sync {
    /// Keeps one, when there is time.
    fn record(&self, exchange: Exchange);
}

/// Keeps nothing.
pub struct NoRecorder;

impl Recorder for NoRecorder {
    fn record(&self, _: Exchange) {}
}
