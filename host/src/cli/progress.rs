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
    last: Mutex<Option<Said>>,
}

/// The step that was told last.
struct Said {
    what: String,
    at: Instant,
    /// Its newest count, while that was not told yet.
    untold: Option<String>,
}

impl Lines {
    pub(super) fn new() -> Lines {
        Lines { terminal: std::io::stderr().is_terminal(), last: Mutex::new(None) }
    }

    /// Tells how far the last step came, or ends the line that is written over.
    pub(super) fn end(&self) {
        match self.last.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(_) if self.terminal => {
                let _closed = write!(std::io::stderr(), "\r\x1b[K");
            }
            Some(Said { what, untold: Some(count), .. }) => self.tell(&what, &count),
            Some(_) | None => {}
        }
    }

    fn tell(&self, what: &str, count: &str) {
        let what = neutral(what);
        let _closed = if self.terminal {
            write!(std::io::stderr(), "\r\x1b[K  {what}  {count}").and_then(|()| std::io::stderr().flush())
        } else {
            writeln!(std::io::stderr(), "{}", format!("  {what}  {count}").trim_end())
        };
    }
}

impl Progress for Lines {
    fn step(&self, what: &str, done: u64, of: Option<u64>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let pause = if self.terminal { TERMINAL_PAUSE } else { QUIET_PAUSE };
        let count = match of {
            Some(of) if of >= done && of > 0 => format!("{done} of {of}"),
            _ if done > 0 => done.to_string(),
            _ => String::new(),
        };
        match last.as_mut() {
            Some(said) if said.what == what && now - said.at < pause => {
                said.untold = Some(count);
                return;
            }
            // Where lines stay, the one of a step that is over shows all of it.
            Some(Said { what, untold: Some(count), .. }) if !self.terminal => self.tell(what, count),
            Some(_) | None => {}
        }
        self.tell(what, &count);
        *last = Some(Said { what: what.to_owned(), at: now, untold: None });
    }
}
