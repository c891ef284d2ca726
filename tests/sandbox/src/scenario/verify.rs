//! Holds what the two servers show against what they must show.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;
use serde_json::Value;

use super::carry::carry;
use super::edits::Op;
use super::{Exception, Expected, Phase, Presence, Scenario};
use crate::people::{FIELDS, Kind, Population, Side, field};

/// What is not as it must be, and what may be as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Fields and records that are wrong.
    pub mismatches: Vec<Mismatch>,
    /// Records beyond the first for one person on one side.
    pub duplicates: u64,
    /// Records that belong to nobody; also copies of records that may not be written for, and deleted ones come back.
    pub unexpected: Vec<String>,
    /// Edits of people that the final state does not show although the rules keep them.
    pub lost_updates: u64,
    /// Fields that are allowed to differ, with the reason for each.
    pub exceptions: Vec<Exception>,
}

impl Verdict {
    /// Whether everything is as it must be.
    pub fn is_clean(&self) -> bool {
        self.mismatches.is_empty() && self.duplicates == 0 && self.unexpected.is_empty() && self.lost_updates == 0
    }
}

/// One wrong field of one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// The person's number.
    pub person: usize,
    /// The side.
    pub side: Side,
    /// The record's id; empty if there is none.
    pub record: String,
    /// The field by its Zoho name; `*` for the whole record.
    pub field: String,
    /// What must be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

type Fields = BTreeMap<&'static str, String>;

impl Scenario {
    /// Judges the live contacts of both servers, in the form in which `/_sandbox/records/Contacts` gives them.
    pub fn verify(&self, phase: Phase, zoho: &[Value], vtiger: &[Value]) -> Verdict {
        let (expected, exceptions) = self.outcome(phase);
        let mut verdict = Verdict { exceptions, ..Verdict::default() };
        for (side, records) in [(Side::Zoho, zoho), (Side::Vtiger, vtiger)] {
            let expected: Vec<&Expected> = expected.iter().filter(|expected| expected.side == side).collect();
            let found: Vec<(String, Fields)> =
                records.iter().map(|record| read(&self.population, side, record)).collect();
            judge(side, &expected, &found, &mut verdict);
        }
        if phase == Phase::AfterEdits {
            verdict.lost_updates = self.lost_updates(&verdict.mismatches);
        }
        verdict
    }

    /// Edits with a mismatch in a field that they set, except those that the other side's edit of that field beats.
    fn lost_updates(&self, mismatches: &[Mismatch]) -> u64 {
        let zoho_edits: HashSet<(usize, &str)> = self
            .edits
            .iter()
            .filter(|edit| edit.side == Side::Zoho)
            .flat_map(|edit| edit.set.iter().map(|(name, _)| (edit.person, *name)))
            .collect();
        let wrong = |person: usize, name: &str| {
            mismatches
                .iter()
                .any(|mismatch| mismatch.person == person && [name, "*"].contains(&mismatch.field.as_str()))
        };
        let lost = self.edits.iter().filter(|edit| match edit.op {
            Op::Delete => wrong(edit.person, "*"),
            Op::Create | Op::Edit => edit.set.iter().any(|(name, _)| {
                let beaten = edit.side == Side::Vtiger && zoho_edits.contains(&(edit.person, *name));
                !beaten && wrong(edit.person, name)
            }),
        });
        lost.count() as u64
    }
}

fn judge(side: Side, expected: &[&Expected], found: &[(String, Fields)], verdict: &mut Verdict) {
    let seeded: HashSet<&str> = expected.iter().filter_map(|expected| expected.id.as_deref()).collect();
    let by_id: HashMap<&str, &Fields> = found.iter().map(|(id, fields)| (id.as_str(), fields)).collect();
    let mut copies: HashMap<String, Vec<&(String, Fields)>> = HashMap::new();
    for record in found.iter().filter(|(id, _)| !seeded.contains(id.as_str())) {
        copies.entry(key(&record.1)).or_default().push(record);
    }
    let mut known = BTreeSet::new();
    for expected in expected {
        let (id, fields) = match (&expected.id, &expected.record) {
            (Some(id), _) => (id.clone(), by_id.get(id.as_str()).copied()),
            (None, Presence::Absent) => continue,
            (None, Presence::Live(wanted)) => {
                match copies.get_mut(&key(wanted)).and_then(|copies| take(copies, wanted)) {
                    Some((id, fields)) => (id.clone(), Some(fields)),
                    None => (String::new(), None),
                }
            }
        };
        if let Presence::Live(wanted) = &expected.record {
            known.insert(key(wanted));
        }
        compare(side, expected, &id, fields, verdict);
    }
    for (key, copies) in copies {
        if known.contains(&key) {
            verdict.duplicates += copies.len() as u64;
        } else {
            verdict.unexpected.extend(copies.into_iter().map(|(id, _)| id.clone()));
        }
    }
}

/// Takes, of the records that could be this person's, the one that shows most of what it must.
fn take<'a>(copies: &mut Vec<&'a (String, Fields)>, wanted: &Fields) -> Option<&'a (String, Fields)> {
    let right = |fields: &Fields| wanted.iter().filter(|(name, value)| fields.get(*name) == Some(value)).count();
    let best = (0..copies.len()).max_by_key(|index| right(&copies[*index].1))?;
    Some(copies.remove(best))
}

fn compare(side: Side, expected: &Expected, id: &str, found: Option<&Fields>, verdict: &mut Verdict) {
    let mut wrong = |field: &str, expected_value: &str, found: &str| {
        verdict.mismatches.push(Mismatch {
            person: expected.person,
            side,
            record: id.to_owned(),
            field: field.to_owned(),
            expected: expected_value.to_owned(),
            found: found.to_owned(),
        });
    };
    match (&expected.record, found) {
        (Presence::Absent, None) => {}
        (Presence::Absent, Some(_)) => wrong("*", "no record", "a record"),
        (Presence::Live(_), None) => wrong("*", "a record", "no record"),
        (Presence::Live(wanted), Some(found)) => {
            let names = FIELDS.iter().map(|field| field.zoho).chain(["Owner", "Account_Name"]);
            for name in names.filter(|name| wanted.get(name) != found.get(name)) {
                let text = |fields: &Fields| fields.get(name).cloned().unwrap_or_default();
                wrong(name, &text(wanted), &text(found));
            }
        }
    }
}

/// Who a record is about, however it is spelled: e-mail address, names, mobile number.
fn key(fields: &Fields) -> String {
    ["Email", "Last_Name", "First_Name", "Mobile"]
        .into_iter()
        .filter_map(|name| carry(field(name)?, fields.get(name).map_or("", String::as_str), Side::Zoho))
        .map(|part| part.to_lowercase())
        .collect::<Vec<_>>()
        .join("\n")
}

/// A record as its server gives it, in the terms of the expectations.
fn read(population: &Population, side: Side, record: &Value) -> (String, Fields) {
    let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
    let mut fields = Fields::new();
    for field in FIELDS {
        let value = match (side, field.kind) {
            (Side::Zoho, Kind::Flag) => record[field.zoho].as_bool().unwrap_or_default().to_string(),
            (Side::Zoho, _) => text(field.zoho),
            (Side::Vtiger, Kind::Flag) => (text(field.vtiger) == "1").to_string(),
            (Side::Vtiger, _) => text(field.vtiger),
        };
        fields.insert(field.zoho, value);
    }
    let (owner, organization) = match side {
        Side::Zoho => (
            record["Owner"]["email"].as_str().unwrap_or_default().to_owned(),
            record["Account_Name"]["id"].as_str().unwrap_or_default().to_owned(),
        ),
        Side::Vtiger => {
            let id = text("assigned_user_id");
            let user = population.users.iter().find(|user| user.vtiger_id == Some(id.as_str()));
            (user.map_or(id, |user| user.email.to_owned()), text("account_id"))
        }
    };
    fields.insert("Owner", owner);
    fields.insert("Account_Name", organization);
    fields.retain(|_, value| !value.is_empty());
    (text("id"), fields)
}
