//! The records of the organization: live ones, the recycle bin, and how a record looks in JSON.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};
use time::UtcOffset;

use super::schema::{Field, Kind, Module};
use super::when;
use crate::crm::Rights;
use crate::people::{self, Population, Side};

/// A record that somebody deleted is in the recycle bin for so long; then only the fact remains.
const BIN_DAYS_MS: i64 = 60 * 24 * 3_600_000;
/// New ids begin here, above all seeded ones.
const NEW_ID_FIRST: u64 = 5_725_767_000_001_000_001;
/// Ids of users who are added later; those of the population are below.
const MEMBER_ID_FIRST: u64 = 5_725_767_000_000_320_001;
/// The module whose records can be converted.
pub(super) const LEADS: &str = "Leads";

/// A user of the organization.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) active: bool,
}

/// A live record. Values are kept as they were written: lookups and owners as ids, blanks not at all.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) id: u64,
    pub(super) values: Map<String, Value>,
    pub(super) created_ms: i64,
    pub(super) modified_ms: i64,
    created_by: usize,
    modified_by: usize,
}

/// A record in the recycle bin, or what is left of it.
#[derive(Debug, Clone)]
struct Deleted {
    /// As it was.
    record: Record,
    name: String,
    deleted_ms: i64,
    deleted_by: usize,
    created_by: usize,
    /// It was merged into another record and cannot be restored.
    merged: bool,
}

/// All records of all modules.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) members: Vec<Member>,
    pub(super) zone: UtcOffset,
    live: BTreeMap<&'static str, BTreeMap<u64, Record>>,
    bin: BTreeMap<&'static str, BTreeMap<u64, Deleted>>,
    /// Converted leads, which only a call that asks for them sees.
    converted: BTreeMap<u64, Record>,
    /// Who holds which value of a unique field, by module, field and value in lower case.
    holders: HashMap<(&'static str, &'static str), HashMap<String, u64>>,
    next_id: u64,
    /// What the programs' user, the first member, sees.
    pub(super) rights: Rights,
}

impl Store {
    /// The records of a population, untidy as they are.
    pub(super) fn seeded(modules: &[Module], population: &Population, zone: UtcOffset) -> Store {
        let members = population
            .users_of(Side::Zoho)
            .filter_map(|user| {
                Some(Member {
                    id: user.zoho_id?.to_owned(),
                    name: user.name.to_owned(),
                    email: user.email.to_owned(),
                    active: user.active,
                })
            })
            .collect();
        let mut store = Store {
            members,
            zone,
            live: modules.iter().map(|module| (module.api_name, BTreeMap::new())).collect(),
            bin: modules.iter().map(|module| (module.api_name, BTreeMap::new())).collect(),
            converted: BTreeMap::new(),
            holders: HashMap::new(),
            next_id: NEW_ID_FIRST,
            rights: Rights { administrator: true, hidden_percent: 0 },
        };
        for module in people::Module::ALL {
            for shown in population.shown(module, Side::Zoho) {
                let mut values = shown.zoho_fields(module);
                values.insert("Owner".to_owned(), json!(population.users[shown.owner].zoho_id));
                for reference in module.references() {
                    let target = population.pointed_to(module, Side::Zoho, shown, reference.zoho);
                    values.extend(target.map(|id| (reference.zoho.to_owned(), json!(id))));
                }
                store.seed(module.name(), &shown.id, values, shown.created_ms, shown.modified_ms);
            }
        }
        store
    }

    fn seed(&mut self, module: &'static str, id: &str, values: Map<String, Value>, created_ms: i64, modified_ms: i64) {
        if let Ok(id) = id.parse() {
            let record = Record { id, values, created_ms, modified_ms, created_by: 0, modified_by: 0 };
            self.live.entry(module).or_default().insert(id, record);
        }
    }

    /// The live records of a module by id.
    pub(super) fn live(&self, module: &Module) -> &BTreeMap<u64, Record> {
        &self.live[module.api_name]
    }

    /// One live record; the id as the API spells it.
    pub(super) fn get(&self, module: &str, id: &str) -> Option<&Record> {
        self.live.get(module)?.get(&id.parse().ok()?)
    }

    /// Makes a record and returns its id.
    pub(super) fn create(&mut self, module: &Module, values: Map<String, Value>, by: usize, now_ms: i64) -> u64 {
        // Real ids have gaps, because one counter serves the whole organization.
        self.next_id += 1 + self.next_id % 3;
        let (id, now_ms) = (self.next_id, when::second(now_ms));
        let record = Record { id, values, created_ms: now_ms, modified_ms: now_ms, created_by: by, modified_by: by };
        self.hold(module, id, &record.values);
        self.live.entry(module.api_name).or_default().insert(id, record);
        id
    }

    /// Writes values into a record; null takes one away. The modified time moves even if nothing changes.
    pub(super) fn update(&mut self, module: &Module, id: u64, values: Map<String, Value>, by: usize, now_ms: i64) {
        if self.live(module).contains_key(&id) {
            self.hold(module, id, &values);
        }
        let Some(record) = self.live.get_mut(module.api_name).and_then(|records| records.get_mut(&id)) else { return };
        for (name, value) in values {
            if value.is_null() {
                record.values.shift_remove(&name);
            } else {
                record.values.insert(name, value);
            }
        }
        record.modified_ms = when::second(now_ms).max(record.modified_ms);
        record.modified_by = by;
    }

    /// Moves a record to the recycle bin. Lookups to it become empty without a trace in their records' times.
    pub(super) fn delete(&mut self, module: &Module, id: u64, by: usize, now_ms: i64) {
        for field in module.unique_fields() {
            self.release(module, field, id);
        }
        let Some(record) = self.live.get_mut(module.api_name).and_then(|records| records.remove(&id)) else { return };
        let name = self.name_of(module, &record);
        let deleted = Deleted {
            name,
            deleted_ms: when::second(now_ms),
            deleted_by: by,
            created_by: record.created_by,
            record,
            merged: false,
        };
        self.bin.entry(module.api_name).or_default().insert(id, deleted);
        let id = id.to_string();
        for record in self.live.values_mut().flat_map(BTreeMap::values_mut) {
            record.values.retain(|name, value| !is_lookup_to(module.api_name, name) || value.as_str() != Some(&id));
        }
    }

    /// Takes a record back from the recycle bin; false if it is not there, or not to be had any more. The service's description does
    /// not say what becomes of the modified time: it moves here, so that a list of changes shows what came back.
    pub(super) fn restore(&mut self, module: &Module, id: u64, by: usize, now_ms: i64) -> bool {
        let bin = self.bin.entry(module.api_name).or_default();
        let kept = |deleted: &Deleted| !deleted.merged && deleted.deleted_ms + BIN_DAYS_MS > now_ms;
        if !bin.get(&id).is_some_and(kept) {
            return false;
        }
        let Some(Deleted { mut record, .. }) = bin.remove(&id) else { return false };
        record.modified_ms = when::second(now_ms).max(record.modified_ms);
        record.modified_by = by;
        self.hold(module, id, &record.values);
        self.live.entry(module.api_name).or_default().insert(id, record);
        true
    }

    /// Adds a user, or changes the one of this name; gives the id.
    pub(super) fn set_member(&mut self, name: &str, email: &str, active: bool) -> String {
        if let Some(member) = self.members.iter_mut().find(|member| member.name == name) {
            (member.email, member.active) = (email.to_owned(), active);
            return member.id.clone();
        }
        let id = format!("{}", MEMBER_ID_FIRST + self.members.len() as u64);
        self.members.push(Member { id: id.clone(), name: name.to_owned(), email: email.to_owned(), active });
        id
    }

    /// Takes a lead from the live ones and notes what became of it; nothing else of it changes.
    pub(super) fn convert(&mut self, id: u64, became: [(&'static str, Option<u64>); 2], by: usize, now_ms: i64) {
        let Some(mut lead) = self.live.get_mut(LEADS).and_then(|leads| leads.remove(&id)) else { return };
        lead.values.insert("Converted__s".to_owned(), json!(true));
        for (field, made) in became {
            if let Some(made) = made {
                lead.values.insert(field.to_owned(), json!(made.to_string()));
            }
        }
        lead.modified_ms = when::second(now_ms).max(lead.modified_ms);
        lead.modified_by = by;
        self.converted.insert(id, lead);
    }

    /// The converted leads; none in other modules.
    pub(super) fn converted(&self, module: &Module) -> impl Iterator<Item = &Record> {
        self.converted.values().filter(move |_| module.api_name == LEADS)
    }

    /// A converted lead.
    pub(super) fn converted_lead(&self, module: &str, id: &str) -> Option<&Record> {
        self.converted.get(&id.parse().ok()?).filter(|_| module == LEADS)
    }

    /// Takes a record away because it became part of another one, which everything that pointed to it points to now.
    pub(super) fn merge(&mut self, module: &Module, id: u64, into: u64, by: usize, now_ms: i64) {
        let (old, new) = (id.to_string(), into.to_string());
        let points = |name: &str, value: &Value| is_lookup_to(module.api_name, name) && value.as_str() == Some(&old);
        for record in self.live.values_mut().flat_map(BTreeMap::values_mut).filter(|record| record.id != id) {
            let own = record.id == into;
            for (_, value) in record.values.iter_mut().filter(|(name, value)| points(name, value)) {
                // The survivor cannot be above itself.
                *value = if own { Value::Null } else { json!(new) };
            }
            record.values.retain(|_, value| !value.is_null());
        }
        self.delete(module, id, by, now_ms);
        if let Some(deleted) = self.bin.get_mut(module.api_name).and_then(|bin| bin.get_mut(&id)) {
            deleted.merged = true;
        }
    }

    /// The live record that has this value in a unique field; case does not matter.
    pub(super) fn holder(&self, module: &Module, field: &Field, value: &str) -> Option<u64> {
        self.holders.get(&(module.api_name, field.api_name))?.get(&value.to_lowercase()).copied()
    }

    /// Notes the values of unique fields that a record is about to have, in the place of those that it had.
    fn hold(&mut self, module: &Module, id: u64, values: &Map<String, Value>) {
        for field in module.unique_fields() {
            let Some(value) = values.get(field.api_name) else { continue };
            self.release(module, field, id);
            if let Some(value) = value.as_str() {
                let holders = self.holders.entry((module.api_name, field.api_name)).or_default();
                holders.insert(value.to_lowercase(), id);
            }
        }
    }

    fn release(&mut self, module: &Module, field: &Field, id: u64) {
        let held = self.get(module.api_name, &id.to_string()).map(|record| text(record, field.api_name).to_lowercase());
        if let Some(held) = held
            && let Some(holders) = self.holders.get_mut(&(module.api_name, field.api_name))
        {
            holders.remove(&held);
        }
    }

    /// The deleted records of a module, last deleted first, as `/deleted` shows them.
    pub(super) fn deleted(&self, module: &Module, since_ms: Option<i64>, now_ms: i64) -> Vec<Value> {
        let mut rows: Vec<(&u64, &Deleted)> = self.bin[module.api_name]
            .iter()
            .filter(|(_, deleted)| since_ms.is_none_or(|since_ms| deleted.deleted_ms >= since_ms))
            .collect();
        rows.sort_by_key(|(id, deleted)| std::cmp::Reverse((deleted.deleted_ms, **id)));
        rows.into_iter()
            .map(|(id, deleted)| {
                let recycled = !deleted.merged && deleted.deleted_ms + BIN_DAYS_MS > now_ms;
                json!({
                    "deleted_by": if recycled { self.by(deleted.deleted_by) } else { Value::Null },
                    "id": id.to_string(),
                    "display_name": if recycled { json!(deleted.name) } else { Value::Null },
                    "type": if recycled { "recycle" } else { "permanent" },
                    "created_by": self.by(deleted.created_by),
                    "deleted_time": when::show(deleted.deleted_ms, self.zone),
                })
            })
            .collect()
    }

    /// One field of a record, as every answer shows it.
    pub(super) fn show(&self, record: &Record, field: &Field) -> Value {
        match (field.kind, field.api_name) {
            (Kind::User, "Created_By") => self.by(record.created_by),
            (Kind::User, _) => self.by(record.modified_by),
            (Kind::DateTime, "Created_Time") => json!(when::show(record.created_ms, self.zone)),
            (Kind::DateTime, _) => json!(when::show(record.modified_ms, self.zone)),
            (_, "Full_Name") => json!(full_name(record)),
            (kind, name) => match (kind, record.values.get(name)) {
                (Kind::Boolean, value) => value.cloned().unwrap_or(json!(false)),
                (Kind::Owner, Some(Value::String(id))) => self.owner(id),
                (Kind::Lookup(target), Some(Value::String(id))) => self.lookup(target, id),
                (_, value) => value.cloned().unwrap_or(Value::Null),
            },
        }
    }

    /// The whole record with its id first, and without the keys that begin with `$`.
    pub(super) fn show_all(&self, module: &Module, record: &Record) -> Value {
        let mut shown = Map::new();
        shown.insert("id".to_owned(), json!(record.id.to_string()));
        for field in &module.fields {
            shown.insert(field.api_name.to_owned(), self.show(record, field));
        }
        Value::Object(shown)
    }

    /// The name that lookups and deleted records show.
    pub(super) fn name_of(&self, module: &Module, record: &Record) -> String {
        match module.name_field {
            "Full_Name" => full_name(record),
            name => text(record, name).to_owned(),
        }
    }

    /// The member with this id.
    pub(super) fn member(&self, id: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    /// The owner of a record, with name and e-mail address.
    pub(super) fn owner(&self, id: &str) -> Value {
        match self.member(id) {
            Some(member) => json!({"name": member.name, "id": member.id, "email": member.email}),
            None => Value::Null,
        }
    }

    /// The author of a change, without the e-mail address, as the answers to writes have it.
    pub(super) fn author(&self, member: usize) -> Value {
        json!({"name": self.members[member].name, "id": self.members[member].id})
    }

    fn by(&self, member: usize) -> Value {
        self.owner(&self.members[member].id)
    }

    fn lookup(&self, target: &str, id: &str) -> Value {
        match self.get(target, id) {
            Some(record) if target == "Contacts" => json!({"name": full_name(record), "id": id}),
            Some(record) => json!({"name": text(record, "Account_Name"), "id": id}),
            None => Value::Null,
        }
    }
}

impl Record {
    pub(super) fn created_by(&self) -> usize {
        self.created_by
    }
}

/// Whether a stored field of this name points to records of a module.
fn is_lookup_to(module: &str, field: &str) -> bool {
    match module {
        // An organization's own name has the same field name as a contact's lookup; an id is never a name.
        "Accounts" => matches!(field, "Account_Name" | "Parent_Account" | "Converted_Account"),
        "Contacts" => matches!(field, "Reporting_To" | "Converted_Contact"),
        _ => false,
    }
}

/// First and last name, as Zoho puts them together.
fn full_name(record: &Record) -> String {
    format!("{} {}", text(record, "First_Name"), text(record, "Last_Name")).trim().to_owned()
}

/// A text of a record; blank if there is none.
pub(super) fn text<'a>(record: &'a Record, name: &str) -> &'a str {
    record.values.get(name).and_then(Value::as_str).unwrap_or_default()
}
