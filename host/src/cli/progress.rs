//! How far a long run has come, on stderr: one line that is written over on a terminal, a line every few seconds elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::table::neutral;
use crate::engine::Progress;

/// Pause between two lines where nobody watches.
const QUIET_PAUSE: Duration = Duration::from_secs(5);
/// Pause between two looks of the line on a terminal.
const TERMINAL_PAUSE: Duration = Duration::from_millis(80);

/// Progress on stderr.
pub(super) struct Lines {
    terminal: bool,
    last: Mutex<Option<(String, Instant)>>,
}

impl Lines {
    pub(super) fn new() -> Lines {
        Lines { terminal: std::io::stderr().is_terminal(), last: Mutex::new(None) }
    }

    /// Ends the line that is written over.
    pub(super) fn end(&self) {
        if self.terminal && self.last.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            let _closed = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Progress for Lines {
    fn step(&self, what: &str, done: u64, of: Option<u64>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let pause = if self.terminal { TERMINAL_PAUSE } else { QUIET_PAUSE };
        if last.as_ref().is_some_and(|(said, at)| said == what && now - *at < pause) {
            return;
        }
        *last = Some((what.to_owned(), now));
        let count = match of {
            Some(of) if of > 0 => format!("{done} of {of}"),
            _ if done > 0 => done.to_string(),
            _ => String::new(),
        };
        let what = neutral(what);
        let _closed = if self.terminal {
            write!(std::io::stderr(), "\r\x1b[K  {what}  {count}").and_then(|()| std::io::stderr().flush())
        } else {
            writeln!(std::io::stderr(), "  {what}  {count}")
        };
    }
}
