//! The time that one sandbox server shows. Tests move it instead of sleeping.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The machine's clock plus an offset that only ever grows or shrinks on request.
#[derive(Debug, Default)]
pub struct Clock {
    offset_ms: AtomicI64,
}

impl Clock {
    /// Milliseconds since 1970 in UTC, as this server sees them.
    pub fn now_ms(&self) -> i64 {
        let machine = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(machine.as_millis()).unwrap_or(i64::MAX) + self.offset_ms.load(Ordering::SeqCst)
    }

    /// Moves this server's clock by `ms` milliseconds, backwards if negative, and returns the new time.
    pub fn advance(&self, ms: i64) -> i64 {
        self.offset_ms.fetch_add(ms, Ordering::SeqCst);
        self.now_ms()
    }
}
