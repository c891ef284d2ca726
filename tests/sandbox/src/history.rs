//! What happened on one sandbox server: every change of a record and every call. Tests take it as the truth.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who changed a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A person at the CRM's own screen.
    Person,
    /// A program, through the CRM's API.
    Api,
}

/// What a call is for, which is how the fault plan and the counts tell calls apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallKind {
    /// Reads records.
    Read,
    /// Creates, changes or deletes records.
    Write,
    /// Logs in or out, or exchanges tokens.
    Auth,
    /// Reads fields, modules, users or the organization.
    Metadata,
}

/// One change of one record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Place in this server's history, from 1; [`History::record_event`] assigns it.
    pub seq: u64,
    /// Server time of the commit, milliseconds since 1970.
    pub at_ms: i64,
    /// Who did it.
    pub actor: Actor,
    /// The CRM's module, for example `Contacts`.
    pub module: String,
    /// The record's id as the CRM's API spells it.
    pub id: String,
    /// `create`, `update`, `delete`, `convert` (a lead) or `merge` (a record into another one).
    pub op: String,
    /// The changed fields as they were, with the id; the whole record for a delete, convert or merge; none for a create.
    pub before: Option<Value>,
    /// The changed fields as they are now, with the id; the whole record for a create; none for a delete; for a convert the new ids by
    /// module, for a merge the survivor's id as `into`.
    pub after: Option<Value>,
    /// Workflows that this change started although the caller could have said no.
    pub automations: u32,
    /// Mails that those workflows sent to the customer.
    pub mails: u32,
}

/// One call of the CRM's own API. Control calls under `/_sandbox` are not in here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Place in this server's list of calls, from 1; [`History::record_call`] assigns it.
    pub seq: u64,
    /// Server time of arrival, milliseconds since 1970.
    pub at_ms: i64,
    /// What the call was for.
    pub kind: CallKind,
    /// The HTTP method.
    pub method: String,
    /// Path with query; secrets are masked.
    pub path: String,
    /// The HTTP status that was, or without the fault would have been, answered; 0 if the call was never handled.
    pub status: u16,
    /// Rows returned or written.
    pub rows: u32,
    /// The scripted fault that hit this call, by the name of its type.
    pub fault: Option<String>,
}

/// Calls by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCounts {
    /// Calls that read records.
    pub read: u64,
    /// Calls that wrote records.
    pub write: u64,
    /// Calls for logins and tokens.
    pub auth: u64,
    /// Calls for fields, modules, users, organization.
    pub metadata: u64,
}

/// The whole account of one server, from its start.
#[derive(Debug, Default)]
pub struct History {
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    events: Vec<Event>,
    calls: Vec<Call>,
    counts: CallCounts,
    automations: u64,
    mails: u64,
    automations_unavoidable: u64,
    cadences: u64,
}

impl History {
    /// Adds a change and returns its number. The `seq` in `event` is replaced.
    pub fn record_event(&self, mut event: Event) -> u64 {
        let mut log = self.log();
        event.seq = log.events.len() as u64 + 1;
        if event.actor == Actor::Api {
            log.automations += u64::from(event.automations);
            log.mails += u64::from(event.mails);
        }
        let seq = event.seq;
        log.events.push(event);
        seq
    }

    /// Adds a call and returns its number. The `seq` in `call` is replaced.
    pub fn record_call(&self, mut call: Call) -> u64 {
        let mut log = self.log();
        call.seq = log.calls.len() as u64 + 1;
        match call.kind {
            CallKind::Read => log.counts.read += 1,
            CallKind::Write => log.counts.write += 1,
            CallKind::Auth => log.counts.auth += 1,
            CallKind::Metadata => log.counts.metadata += 1,
        }
        let seq = call.seq;
        log.calls.push(call);
        seq
    }

    /// Counts workflows that a write started because the CRM gives its callers no way to stop them.
    pub fn count_unavoidable_automations(&self, automations: u32) {
        self.log().automations_unavoidable += u64::from(automations);
    }

    /// Counts cadences that an API write put its record into although it could have said no.
    pub fn count_cadences(&self, cadences: u32) {
        self.log().cadences += u64::from(cadences);
    }

    /// Changes with a number above `after_seq`, oldest first.
    pub fn events(&self, after_seq: u64) -> Vec<Event> {
        after(&self.log().events, after_seq)
    }

    /// Calls with a number above `after_seq`, oldest first.
    pub fn calls(&self, after_seq: u64) -> Vec<Call> {
        after(&self.log().calls, after_seq)
    }

    /// Number of the last change; 0 before the first.
    pub fn last_event(&self) -> u64 {
        self.log().events.len() as u64
    }

    /// Calls so far, by kind.
    pub fn counts(&self) -> CallCounts {
        self.log().counts
    }

    /// Workflows started by API writes that could have asked for none.
    pub fn automations(&self) -> u64 {
        self.log().automations
    }

    /// Mails sent to customers by those workflows.
    pub fn mails(&self) -> u64 {
        self.log().mails
    }

    /// Cadences that API writes put records into although they could have said no.
    pub fn cadences(&self) -> u64 {
        self.log().cadences
    }

    /// Workflows started by API writes that had no choice.
    pub fn automations_unavoidable(&self) -> u64 {
        self.log().automations_unavoidable
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // Each step under the lock leaves the log whole, so a panic elsewhere does not make it unreadable.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn after<T: Clone>(items: &[T], seq: u64) -> Vec<T> {
    let skip = usize::try_from(seq).unwrap_or(usize::MAX).min(items.len());
    items[skip..].to_vec()
}
