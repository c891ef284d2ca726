//! Answers and failures, for people and for programs.

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

use super::table::neutral;
use crate::service::{Failure, Kind};

/// How to print.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// One JSON document instead of text.
    pub(super) json: bool,
}

impl Output {
    /// Prints an answer: as JSON, or as the text that is made of it.
    pub(super) fn answer<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) {
        let text = if self.json { serde_json::to_string_pretty(value).unwrap_or_default() } else { text(value) };
        write_line(&mut std::io::stdout(), &text);
    }

    /// A line for people, on stderr.
    pub(super) fn note(self, text: &str) {
        write_line(&mut std::io::stderr(), text);
    }

    /// Prints a failure and gives its exit code.
    pub(super) fn failure(self, failure: &Failure) -> ExitCode {
        if self.json {
            let document = json!({ "error": failure });
            write_line(&mut std::io::stdout(), &serde_json::to_string_pretty(&document).unwrap_or_default());
        } else {
            let lines: Vec<String> = failure.message.lines().map(neutral).collect();
            write_line(&mut std::io::stderr(), &format!("error: {}", lines.join("\n       ")));
            if !failure.hint.is_empty() {
                write_line(&mut std::io::stderr(), &format!("  fix: {}", neutral(&failure.hint)));
            }
        }
        ExitCode::from(match failure.kind {
            Kind::Failed => 1,
            Kind::Input => 2,
            Kind::Environment => 3,
        })
    }
}

/// A closed pipe is the reader's decision, not a failure.
fn write_line(to: &mut impl Write, text: &str) {
    let _closed = writeln!(to, "{text}");
}

/// Milliseconds since 1970 as people read them, in UTC.
pub(super) fn moment(at_ms: i64) -> String {
    crmsync_core::Value::Instant(at_ms * 1_000).display().replace('T', " ").replace('Z', "")
}
