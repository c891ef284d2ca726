//! The scripted fault plan: which call is hit, and by what. Nothing here is left to luck.
//!
//! ```json
//! {"commit_delay_ms": 0,
//!  "faults": [{"on": {"kind": "write", "path_contains": "/Contacts", "method": "POST", "skip": 1, "times": 2},
//!              "do": {"type": "late_commit", "after_ms": 500}}]}
//! ```
//!
//! Each call is offered to the faults in their order; the first that matches and has hits left takes it. A fault's
//! `skip` is counted only by calls that reach it, so that two faults on the same calls follow one another.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::history::CallKind;

/// A plan as a test or a file writes it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Faults that each hit a counted number of calls.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Every write commits so many milliseconds after it was received, whether or not the client is still there.
    #[serde(default)]
    pub commit_delay_ms: u64,
}

/// One fault: the calls that it waits for and what it does to them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which calls.
    #[serde(default)]
    pub on: On,
    /// What happens to them.
    #[serde(rename = "do")]
    pub action: Action,
}

/// The calls that a fault is for; what is left out matches every call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct On {
    /// Only calls of this kind.
    pub kind: Option<CallKind>,
    /// Only calls whose path with query, as the list of calls shows it, contains this text.
    pub path_contains: Option<String>,
    /// Only calls with this HTTP method.
    pub method: Option<String>,
    /// So many matching calls pass first.
    pub skip: u32,
    /// Then so many are hit; 1 if left out.
    pub times: u32,
}

impl Default for On {
    fn default() -> On {
        On { kind: None, path_contains: None, method: None, skip: 0, times: 1 }
    }
}

/// What a fault does. Waiting is in real milliseconds, not in those of the server's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// The call is carried out; the connection closes without an answer.
    CutAfterCommit,
    /// The connection closes; the call is never carried out.
    CutBeforeCommit,
    /// The connection closes at once; the call is carried out later, when nobody waits for it any more.
    LateCommit {
        /// Milliseconds until the call is carried out.
        after_ms: u64,
    },
    /// The call is carried out at once and answered late.
    CommitThenSlow {
        /// Milliseconds between the commit and the answer.
        after_ms: u64,
    },
    /// The call is refused with this status and never carried out.
    Status {
        /// HTTP status.
        status: u16,
        /// Body; empty if left out.
        #[serde(default)]
        body: Option<String>,
        /// `content-type` of the body; `text/html` if left out, as a proxy's error page has it.
        #[serde(default)]
        content_type: Option<String>,
        /// Value of `Retry-After`: seconds, or an HTTP date.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// The call waits before it is carried out and answered.
    Slow {
        /// Milliseconds of waiting.
        after_ms: u64,
    },
    /// A list comes from a replica that lags: what changed within the lag is missing from the page.
    StalePage {
        /// The lag in milliseconds of the server's clock; one minute if left out.
        #[serde(default = "lag_default_ms")]
        after_ms: u64,
    },
    /// A list page brings each of its rows twice, as when records move across a page border during a walk.
    DuplicatePage,
    /// A list comes back empty, as after the loss of a permission that the CRM does not announce.
    EmptyList,
    /// A list page ends early and says that nothing comes behind it, as when a database or a proxy cuts an answer short.
    CutList {
        /// Rows that it still shows.
        rows: u32,
    },
    /// All sessions and access tokens become invalid just before the call is handled.
    ExpireSession,
}

fn lag_default_ms() -> u64 {
    60_000
}

impl Action {
    /// The name of the type in the plan, which the list of calls shows.
    pub fn name(&self) -> &'static str {
        match self {
            Action::CutAfterCommit => "cut_after_commit",
            Action::CutBeforeCommit => "cut_before_commit",
            Action::LateCommit { .. } => "late_commit",
            Action::CommitThenSlow { .. } => "commit_then_slow",
            Action::Status { .. } => "status",
            Action::Slow { .. } => "slow",
            Action::StalePage { .. } => "stale_page",
            Action::DuplicatePage => "duplicate_page",
            Action::EmptyList => "empty_list",
            Action::CutList { .. } => "cut_list",
            Action::ExpireSession => "expire_session",
        }
    }
}

/// The plan of a running server, with its counters.
#[derive(Debug, Default)]
pub struct Faults {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    armed: Vec<Armed>,
    commit_delay_ms: u64,
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    skips_left: u32,
    hits_left: u32,
}

impl Faults {
    /// Reads a plan from a JSON file.
    ///
    /// # Errors
    /// If the file cannot be read or is not a plan; the message names the file and the place.
    pub fn from_file(path: &Path) -> io::Result<Faults> {
        let text = fs::read_to_string(path)
            .map_err(|error| io::Error::new(error.kind(), format!("read fault plan `{}`: {error}", path.display())))?;
        let plan = serde_json::from_str(&text).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("read fault plan `{}`: {error}", path.display()))
        })?;
        let faults = Faults::default();
        faults.replace(plan);
        Ok(faults)
    }

    /// Puts a new plan in the place of the old one; all counters start again.
    pub fn replace(&self, plan: Plan) {
        let armed = plan
            .faults
            .into_iter()
            .map(|fault| Armed { skips_left: fault.on.skip, hits_left: fault.on.times, fault })
            .collect();
        *self.state() = State { armed, commit_delay_ms: plan.commit_delay_ms };
    }

    /// The fault that hits this call, if any; it is used up by being asked for.
    pub fn strike(&self, kind: CallKind, method: &str, path: &str) -> Option<Action> {
        for armed in &mut self.state().armed {
            if armed.hits_left == 0 || !armed.fault.on.matches(kind, method, path) {
                continue;
            }
            if armed.skips_left > 0 {
                armed.skips_left -= 1;
                continue;
            }
            armed.hits_left -= 1;
            return Some(armed.fault.action.clone());
        }
        None
    }

    /// How long every write waits before it commits, in milliseconds.
    pub fn commit_delay_ms(&self) -> u64 {
        self.state().commit_delay_ms
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl On {
    fn matches(&self, kind: CallKind, method: &str, path: &str) -> bool {
        self.kind.is_none_or(|wanted| wanted == kind)
            && self.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && self.path_contains.as_deref().is_none_or(|wanted| path.contains(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(plan: &str) -> Faults {
        let faults = Faults::default();
        faults.replace(serde_json::from_str(plan).expect("the plan of this test is valid"));
        faults
    }

    #[test]
    fn skip_times_and_order_are_counted_per_fault() {
        let faults = faults(
            r#"{"faults":[{"on":{"kind":"write","skip":1,"times":2},"do":{"type":"cut_after_commit"}},
                          {"on":{"path_contains":"/Leads"},"do":{"type":"slow","after_ms":5}}]}"#,
        );
        let strike = |kind, path| faults.strike(kind, "POST", path).map(|action| action.name());
        assert_eq!(strike(CallKind::Read, "/Contacts"), None);
        assert_eq!(strike(CallKind::Write, "/Contacts"), None, "the first matching call passes");
        assert_eq!(strike(CallKind::Write, "/Contacts"), Some("cut_after_commit"));
        assert_eq!(strike(CallKind::Write, "/Leads"), Some("cut_after_commit"), "the first fault comes first");
        assert_eq!(strike(CallKind::Write, "/Leads"), Some("slow"));
        assert_eq!(strike(CallKind::Write, "/Leads"), None);
    }

    #[test]
    fn a_misspelt_plan_is_refused() {
        for plan in [
            r#"{"fault":[]}"#,
            r#"{"faults":[{"on":{"knd":"write"},"do":{"type":"slow","after_ms":1}}]}"#,
            r#"{"faults":[{"do":{"type":"slow"}}]}"#,
            r#"{"faults":[{"do":{"type":"slow","after_ms":1,"afterms":1}}]}"#,
        ] {
            assert!(serde_json::from_str::<Plan>(plan).is_err(), "{plan}");
        }
    }
}
