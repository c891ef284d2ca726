//! Is everything as it must be? Asked of the servers: their records against the sandbox's own table, their histories against what the
//! engine says that it did.

use std::collections::{BTreeMap, BTreeSet};

use crmsync_sandbox::history::Event;
use crmsync_sandbox::people::{Kind, Module};
use crmsync_sandbox::scenario::{Phase, Scenario, Verdict};
use serde::Serialize;
use serde_json::Value;

use super::world::{Events, Folder, World, is_ours};
use super::{Failure, Preview, RunReport};
use crate::store::JournalRow;

/// Fields that servers set by themselves: not values that anybody could lose.
const SYSTEM_FIELDS: &[&str] = &[
    "id",
    "label",
    "Modified_Time",
    "Modified_By",
    "Created_Time",
    "Created_By",
    "Last_Activity_Time",
    "modifiedtime",
    "modifiedby",
    "createdtime",
    "Full_Name",
];

/// A field that differs for a reason that is allowed.
#[derive(Debug, Serialize)]
pub(super) struct Exception {
    module: &'static str,
    record: String,
    field: &'static str,
    pub(super) reason: &'static str,
}

/// What both servers hold, judged.
pub(super) struct State {
    pub(super) verdict: Verdict,
}

impl State {
    /// What is not as it must be, in words.
    pub(super) fn problems(&self, when: &str) -> Vec<String> {
        const SHOWN_MAX: usize = 10;
        let verdict = &self.verdict;
        let mut problems: Vec<String> = verdict
            .mismatches
            .iter()
            .take(SHOWN_MAX)
            .map(|wrong| {
                format!(
                    "{when}: {} in {:?}, record {} {}: expected {:?}, found {:?}",
                    wrong.module.name(),
                    wrong.side,
                    wrong.record,
                    wrong.field,
                    wrong.expected,
                    wrong.found
                )
            })
            .collect();
        if verdict.mismatches.len() > SHOWN_MAX {
            problems.push(format!("{when}: {} further fields are wrong", verdict.mismatches.len() - SHOWN_MAX));
        }
        if verdict.duplicates > 0 {
            problems.push(format!("{when}: {} duplicates", verdict.duplicates));
        }
        if !verdict.unexpected.is_empty() {
            problems.push(format!("{when}: records that belong to nobody: {}", verdict.unexpected.join(", ")));
        }
        problems
    }
}

/// What both servers held after the first sync, as it was kept then.
pub(super) fn first_state(folder: &Folder, scenario: &Scenario) -> Result<State, Failure> {
    Ok(State { verdict: scenario.verify_modules(Phase::FirstSync, &folder.kept_state()?) })
}

/// What both servers hold now.
pub(super) async fn last_state(world: &World, scenario: &Scenario) -> Result<State, Failure> {
    Ok(State { verdict: scenario.verify_modules(Phase::AfterEdits, &world.records().await?) })
}

pub(super) fn exceptions(verdict: &Verdict) -> Vec<Exception> {
    let exception = |exception: &crmsync_sandbox::scenario::Exception| Exception {
        module: exception.module.name(),
        record: exception.record.clone(),
        field: exception.field,
        reason: exception.reason,
    };
    verdict.exceptions.iter().map(exception).collect()
}

/// The servers' histories, the runs' reports and the journal must tell the same numbers.
pub(super) fn add_up(events: &Events, reports: &[&RunReport], journal: &[JournalRow]) -> Vec<String> {
    let mut problems = Vec::new();
    for (side, (events, name)) in events.iter().zip(["left", "right"]).enumerate() {
        for op in ["create", "update"] {
            let served = events.iter().filter(|event| is_ours(event) && event.op == op).count() as u64;
            let reported: u64 = reports
                .iter()
                .flat_map(|report| &report.pairs)
                .map(|pair| match (op, side) {
                    ("create", 0) => pair.created_left,
                    ("create", _) => pair.created_right,
                    (_, 0) => pair.updated_left,
                    _ => pair.updated_right,
                })
                .sum();
            let journalled =
                journal.iter().filter(|line| line.side == name && line.action == format!("{op}d")).count() as u64;
            if served != reported || served != journalled {
                problems.push(format!(
                    "{name}: the server counts {served} records {op}d by us, the runs report {reported}, the journal has {journalled}"
                ));
            }
        }
    }
    problems
}

/// Values that the first sync replaced although its preview did not list them.
///
/// `ends` are the numbers of the servers' last events of that sync.
pub(super) fn replaced_unseen(events: &Events, ends: [u64; 2], preview: &Preview) -> u64 {
    let listed: u64 = preview.pairs.iter().flat_map(|pair| pair.plan.replaces.values()).sum();
    let first = events.iter().zip(ends).flat_map(|(events, end)| events.iter().filter(move |event| event.seq <= end));
    let replaced: u64 = first.filter(|event| is_ours(event)).map(|event| replaced_fields(event).count() as u64).sum();
    replaced.saturating_sub(listed)
}

/// People's values that our writes replaced without the journal keeping them as a loser.
pub(super) fn edits_replaced(events: &Events, journal: &[JournalRow]) -> u64 {
    let losers: Vec<&str> =
        journal.iter().filter(|line| line.action == "conflict").map(|line| line.before.as_str()).collect();
    let mut unseen = 0;
    for events in events {
        let mut typed: BTreeMap<(&str, &str), String> = BTreeMap::new();
        for event in events {
            if !is_ours(event) {
                for (field, value) in fields(event.after.as_ref()) {
                    typed.insert((&event.id, field), value);
                }
                continue;
            }
            for (field, before) in replaced_fields(event) {
                let was_typed = typed.get(&(event.id.as_str(), field)) == Some(&before);
                if was_typed && !losers.iter().any(|loser| loser.contains(&before)) {
                    unseen += 1;
                }
            }
        }
    }
    unseen
}

/// Filled fields that an event changed, with what they held before.
fn replaced_fields(event: &Event) -> impl Iterator<Item = (&str, String)> {
    let after: BTreeMap<&str, String> = fields(event.after.as_ref()).collect();
    let changed: BTreeSet<&str> = after.keys().copied().collect();
    fields(event.before.as_ref())
        .filter(move |(name, before)| changed.contains(name) && after.get(name) != Some(before))
        .filter(|(name, before)| !before.is_empty() && !is_blank_number(&event.module, name, before))
        .filter(|_| event.op == "update")
}

/// Vtiger shows 0 where a number was left blank.
fn is_blank_number(module: &str, vtiger_name: &str, value: &str) -> bool {
    let module = Module::ALL.into_iter().find(|known| known.name() == module);
    let field = module.and_then(|module| module.fields().iter().find(|field| field.vtiger == vtiger_name));
    let is_number = field.is_some_and(|field| matches!(field.kind, Kind::Integer | Kind::Money));
    is_number && value.bytes().all(|byte| matches!(byte, b'0' | b'.'))
}

fn fields(record: Option<&Value>) -> impl Iterator<Item = (&str, String)> {
    record
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(name, _)| !SYSTEM_FIELDS.contains(&name.as_str()))
        .map(|(name, value)| {
            let text = match value {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            (name.as_str(), text)
        })
}
