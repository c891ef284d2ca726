//! What the servers' histories say that our writes changed, field by field.

use std::collections::{BTreeMap, BTreeSet};

use crmsync_sandbox::history::{Actor, Event};
use crmsync_sandbox::people::{Kind, Module, Side};
use serde_json::Value;

use crate::Outcome;
use crate::crms::{Crms, SIDES, SYSTEM_FIELDS};

/// One field of one record that an update of ours changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    pub(super) module: String,
    pub(super) side: Side,
    pub(super) record: String,
    /// By the name that its own side has for it.
    pub(super) field: String,
    pub(super) before: String,
    pub(super) after: String,
}

impl Change {
    /// Whether a value stood there that is another one now.
    pub(super) fn replaces(&self) -> bool {
        !self.before.is_empty() && self.before != self.after
    }
}

/// Everything that happened on both sides behind these places of the histories.
pub(super) async fn events_after(crms: &Crms, ends: [u64; 2]) -> Outcome<[Vec<Event>; 2]> {
    let mut events = [Vec::new(), Vec::new()];
    for side in SIDES {
        events[side as usize] = crms.events(side).await?;
        events[side as usize].retain(|event| event.seq > ends[side as usize]);
    }
    Ok(events)
}

/// The places at which both histories end now.
pub(super) async fn ends(crms: &Crms) -> Outcome<[u64; 2]> {
    let events = events_after(crms, [0, 0]).await?;
    Ok(events.map(|events| events.last().map_or(0, |event| event.seq)))
}

/// What programs did, with the side of it.
pub(super) fn ours(events: &[Vec<Event>; 2]) -> impl Iterator<Item = (Side, &Event)> {
    let of = |side: Side| events[side as usize].iter().map(move |event| (side, event));
    SIDES.into_iter().flat_map(of).filter(|(_, event)| event.actor == Actor::Api)
}

/// How many records of a module and side we created, changed or deleted.
pub(super) fn count(events: &[Vec<Event>; 2], module: &str, side: Side, op: &str) -> u64 {
    ours(events).filter(|(of, event)| *of == side && event.module == module && event.op == op).count() as u64
}

/// Ids of the records that we created. Both CRMs give ids that the other one has none of.
pub(super) fn created(events: &[Vec<Event>; 2]) -> BTreeSet<&str> {
    ours(events).filter(|(_, event)| event.op == "create").map(|(_, event)| event.id.as_str()).collect()
}

/// Whether it is what a CRM does by itself to records that point to a deleted one.
pub(super) fn only_empties(event: &Event) -> bool {
    event.op == "update" && fields(&event.module, event.after.as_ref()).all(|(_, after)| after.is_empty())
}

/// The changes of our updates. What several updates made of one field is one change: from what stood there before the first.
pub(super) fn of_updates(events: &[Vec<Event>; 2]) -> Vec<Change> {
    let mut changes: BTreeMap<(String, Side, String, String), (String, String)> = BTreeMap::new();
    for (side, event) in ours(events).filter(|(_, event)| event.op == "update") {
        let before: BTreeMap<&str, String> = fields(&event.module, event.before.as_ref()).collect();
        for (field, after) in fields(&event.module, event.after.as_ref()) {
            let was = before.get(field).cloned().unwrap_or_default();
            if was == after {
                continue;
            }
            let place = (event.module.clone(), side, event.id.clone(), field.to_owned());
            changes.entry(place).or_insert((was, String::new())).1 = after;
        }
    }
    let change =
        |((module, side, record, field), (before, after))| Change { module, side, record, field, before, after };
    changes.into_iter().map(change).filter(|change| change.before != change.after).collect()
}

/// Filled fields of a record, or of a part of one, as text.
pub(super) fn fields<'a>(module: &str, record: Option<&'a Value>) -> impl Iterator<Item = (&'a str, String)> {
    let module = Module::ALL.into_iter().find(|known| known.name() == module);
    let named = record.and_then(Value::as_object).into_iter().flatten();
    named.filter(|(name, _)| !SYSTEM_FIELDS.contains(&name.as_str())).map(move |(name, value)| {
        let text = shown(value);
        // Vtiger shows 0 where a number was left blank.
        let field = module.and_then(|module| module.fields().iter().find(|field| field.vtiger == name));
        let is_number = field.is_some_and(|field| matches!(field.kind, Kind::Integer | Kind::Money));
        let is_blank = is_number && text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
        (name.as_str(), if is_blank { String::new() } else { text })
    })
}

/// A value as text: of what it points to the id.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Object(reference) => reference.get("id").map(shown).unwrap_or_default(),
        other => other.to_string(),
    }
}
