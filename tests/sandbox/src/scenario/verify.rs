//! Holds what the two servers show against what they must show.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use serde_json::Value;

use super::carry::carry;
use super::edits::Op;
use super::{Exception, Expected, Phase, Presence, Scenario};
use crate::people::{Kind, Module, Population, Side};

/// What both servers hold of each module, Zoho's first, in the form in which `/_sandbox/records/{module}` gives it.
pub type Holdings = BTreeMap<Module, [Vec<Value>; 2]>;

/// What is not as it must be, and what may be as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Fields and records that are wrong.
    pub mismatches: Vec<Mismatch>,
    /// Records beyond the first for one person, lead or organization on one side.
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
    /// The module.
    pub module: Module,
    /// The number of the person, lead or organization.
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

/// A record as its server shows it, with its id.
type Found = (String, Fields);

/// Which record of the population, or of the edits, a side's record is.
type Known = HashMap<(Module, Side, String), usize>;

impl Scenario {
    /// Judges the live contacts of both servers, where contacts alone are synchronised.
    pub fn verify(&self, phase: Phase, zoho: &[Value], vtiger: &[Value]) -> Verdict {
        self.verify_modules(phase, &Holdings::from([(Module::Contacts, [zoho.to_vec(), vtiger.to_vec()])]))
    }

    /// Judges the live records of both servers.
    pub fn verify_modules(&self, phase: Phase, holdings: &Holdings) -> Verdict {
        let (expected, exceptions) = self.outcome(phase);
        let mut verdict = Verdict { exceptions, ..Verdict::default() };
        let mut known = seeded(&self.population);
        let mut matched = Vec::with_capacity(expected.len());
        for module in self.modules {
            for side in [Side::Zoho, Side::Vtiger] {
                let records = holdings.get(module).map_or(&[] as &[Value], |sides| &sides[side as usize]);
                let found = records.iter().map(|record| read(&self.population, *module, side, record)).collect();
                let expected = expected.iter().filter(|one| one.side == side && one.module == *module).collect();
                matched.extend(find(*module, expected, found, &mut verdict));
            }
        }
        for (expected, found) in &matched {
            if let Some((id, _)) = found {
                known.insert((expected.module, expected.side, id.clone()), expected.person);
            }
        }
        for (expected, found) in matched {
            compare(expected, found, &known, &mut verdict);
        }
        if phase == Phase::AfterEdits {
            verdict.lost_updates = self.lost_updates(&verdict.mismatches);
        }
        verdict
    }

    /// Edits with a mismatch in a field that they set, except those that the other side's edit of that field beats.
    fn lost_updates(&self, mismatches: &[Mismatch]) -> u64 {
        let zoho_edits: HashSet<(Module, usize, &str)> = self
            .edits
            .iter()
            .filter(|edit| edit.side == Side::Zoho)
            .flat_map(|edit| edit.set.iter().map(|(name, _)| (edit.module, edit.person, *name)))
            .collect();
        let wrong = |module: Module, person: usize, name: &str| {
            mismatches.iter().any(|mismatch| {
                let same = (mismatch.module, mismatch.person) == (module, person);
                same && [name, "*"].contains(&mismatch.field.as_str())
            })
        };
        let lost = self.edits.iter().filter(|edit| match edit.op {
            Op::Delete => wrong(edit.module, edit.person, "*"),
            Op::Create | Op::Edit => edit.set.iter().any(|(name, _)| {
                let beaten = edit.side == Side::Vtiger && zoho_edits.contains(&(edit.module, edit.person, *name));
                !beaten && wrong(edit.module, edit.person, name)
            }),
        });
        lost.count() as u64
    }
}

/// Everything that both servers were seeded with, by its id.
fn seeded(population: &Population) -> Known {
    let mut known = Known::new();
    for module in Module::ALL {
        for person in population.of(module) {
            for side in [Side::Zoho, Side::Vtiger] {
                if let Some(shown) = person.shown(side) {
                    known.insert((module, side, shown.id.clone()), person.number);
                }
            }
        }
    }
    known
}

/// Finds the record of each expectation: by its id, or for a copy by who it is about. What is left over is a duplicate or belongs to
/// nobody.
fn find<'a>(
    module: Module,
    expected: Vec<&'a Expected>,
    found: Vec<Found>,
    verdict: &mut Verdict,
) -> Vec<(&'a Expected, Option<Found>)> {
    let ids: HashSet<&str> = expected.iter().filter_map(|expected| expected.id.as_deref()).collect();
    let (mut by_id, mut copies): (HashMap<String, Fields>, HashMap<String, Vec<Found>>) = Default::default();
    for (id, fields) in found {
        if ids.contains(id.as_str()) {
            by_id.insert(id, fields);
        } else {
            copies.entry(key(module, &fields)).or_default().push((id, fields));
        }
    }
    let mut wanted_keys = HashSet::new();
    let mut matched = Vec::with_capacity(expected.len());
    for expected in expected {
        let wanted = match &expected.record {
            Presence::Live(wanted) => Some(wanted),
            Presence::Absent => None,
        };
        let record = match (&expected.id, wanted) {
            (Some(id), _) => by_id.remove_entry(id.as_str()),
            (None, Some(wanted)) => copies.get_mut(&key(module, wanted)).and_then(|copies| take(copies, wanted)),
            (None, None) => continue,
        };
        wanted_keys.extend(wanted.map(|wanted| key(module, wanted)));
        matched.push((expected, record));
    }
    for (key, copies) in copies {
        if wanted_keys.contains(&key) {
            verdict.duplicates += copies.len() as u64;
        } else {
            verdict.unexpected.extend(copies.into_iter().map(|(id, _)| id));
        }
    }
    matched
}

/// Takes, of the records that could be this person's, the one that shows most of what it must.
fn take(copies: &mut Vec<Found>, wanted: &Fields) -> Option<Found> {
    let right = |fields: &Fields| wanted.iter().filter(|(name, value)| fields.get(*name) == Some(value)).count();
    let best = (0..copies.len()).max_by_key(|index| right(&copies[*index].1))?;
    Some(copies.remove(best))
}

fn compare(expected: &Expected, found: Option<Found>, known: &Known, verdict: &mut Verdict) {
    let (id, found) = found.map_or((String::new(), None), |(id, fields)| (id, Some(fields)));
    let mut wrong = |field: &str, expected_value: &str, found: &str| {
        verdict.mismatches.push(Mismatch {
            module: expected.module,
            person: expected.person,
            side: expected.side,
            record: id.clone(),
            field: field.to_owned(),
            expected: expected_value.to_owned(),
            found: found.to_owned(),
        });
    };
    match (&expected.record, found) {
        (Presence::Absent, None) => {}
        (Presence::Absent, Some(_)) => wrong("*", "no record", "a record"),
        (Presence::Live(_), None) => wrong("*", "a record", "no record"),
        (Presence::Live(wanted), Some(mut found)) => {
            for reference in expected.module.references() {
                let person =
                    |id: String| known.get(&(reference.target, expected.side, id.clone())).map_or(id, usize::to_string);
                if let Some(id) = found.remove(reference.zoho) {
                    found.insert(reference.zoho, person(id));
                }
            }
            let references = expected.module.references().iter().map(|reference| reference.zoho);
            let names = expected.module.fields().iter().map(|field| field.zoho).chain(references).chain(["Owner"]);
            for name in names.filter(|name| wanted.get(name) != found.get(name)) {
                let text = |fields: &Fields| fields.get(name).cloned().unwrap_or_default();
                wrong(name, &text(wanted), &text(&found));
            }
        }
    }
}

/// Who or what a record is about, however it is spelled.
fn key(module: Module, fields: &Fields) -> String {
    let names: &[&str] = match module {
        Module::Accounts => &["Account_Name"],
        Module::Contacts | Module::Leads => &["Email", "Last_Name", "First_Name", "Mobile"],
    };
    let part = |name: &&str| {
        let text = fields.get(*name).map_or("", String::as_str);
        carry(module.field(name)?, text, Side::Zoho)
    };
    let parts = names.iter().filter_map(part);
    parts
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase())
        .collect::<Vec<_>>()
        .join("\n")
}

/// A record as its server gives it, in the terms of the expectations; references as ids.
fn read(population: &Population, module: Module, side: Side, record: &Value) -> Found {
    let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
    let mut fields = Fields::new();
    for field in module.fields() {
        let value = match (side, field.kind) {
            (Side::Zoho, Kind::Flag) => record[field.zoho].as_bool().unwrap_or_default().to_string(),
            (Side::Zoho, Kind::Integer | Kind::Money) => match &record[field.zoho] {
                Value::Number(number) => number.to_string(),
                _ => String::new(),
            },
            (Side::Zoho, _) => text(field.zoho),
            (Side::Vtiger, Kind::Flag) => (text(field.vtiger) == "1").to_string(),
            (Side::Vtiger, Kind::Integer | Kind::Money) => amount(&text(field.vtiger)),
            (Side::Vtiger, _) => text(field.vtiger),
        };
        fields.insert(field.zoho, value);
    }
    for reference in module.references() {
        let id = match side {
            Side::Zoho => record[reference.zoho]["id"].as_str().unwrap_or_default().to_owned(),
            Side::Vtiger => text(reference.vtiger),
        };
        fields.insert(reference.zoho, id);
    }
    let owner = match side {
        Side::Zoho => record["Owner"]["email"].as_str().unwrap_or_default().to_owned(),
        Side::Vtiger => {
            let id = text("assigned_user_id");
            let user = population.users.iter().find(|user| user.vtiger_id == Some(id.as_str()));
            user.map_or(id, |user| user.email.to_owned())
        }
    };
    fields.insert("Owner", owner);
    fields.retain(|_, value| !value.is_empty());
    (text("id"), fields)
}

/// A number without zeros at its end; Vtiger's 0 is nothing.
fn amount(text: &str) -> String {
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    if text == "0" { String::new() } else { text.to_owned() }
}
