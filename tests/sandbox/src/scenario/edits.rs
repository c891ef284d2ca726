//! What people do at the two screens after the first sync.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::people::{
    DEPARTMENTS, Kind, LAST_NAMES, Module, Person, Population, Side, TITLES, to_vtiger_text, to_zoho_json,
};
use crate::rng::Rng;

/// One thing that a person does to a record at the screen of one CRM.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HumanEdit {
    /// In which module.
    pub module: Module,
    /// Whose screen.
    pub side: Side,
    /// What is done.
    pub op: Op,
    /// The record's id; none for a create.
    pub id: Option<String>,
    /// The fields by their Zoho names with the text that is typed; blank empties a field. A reference is the id of the record chosen.
    pub set: Vec<(&'static str, String)>,
    /// The same references, as numbers in the lists of their targets.
    #[serde(skip)]
    pub(super) points_to: Vec<(&'static str, usize)>,
    /// The person's number.
    #[serde(skip)]
    pub(super) person: usize,
}

/// What an edit does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Makes a record.
    Create,
    /// Changes one.
    Edit,
    /// Deletes one.
    Delete,
}

impl HumanEdit {
    /// The path of the control route that does it.
    pub fn path(&self) -> &'static str {
        match self.op {
            Op::Create => "/_sandbox/person/create",
            Op::Edit => "/_sandbox/person/edit",
            Op::Delete => "/_sandbox/person/delete",
        }
    }

    /// The body for that route, with the fields under their side's own names.
    pub fn body(&self) -> Value {
        let mut set = Map::new();
        for (name, text) in &self.set {
            let (name, value) = match (self.module.field(name), self.module.reference(name), self.side) {
                (Some(field), _, Side::Zoho) => (field.zoho, to_zoho_json(field, text)),
                (Some(field), _, Side::Vtiger) => (field.vtiger, json!(to_vtiger_text(field, text))),
                (None, Some(reference), Side::Vtiger) => (reference.vtiger, json!(text)),
                (None, _, _) => (*name, json!(text)),
            };
            set.insert(name.to_owned(), value);
        }
        match &self.id {
            Some(id) => json!({"module": self.module, "id": id, "set": set}),
            None => json!({"module": self.module, "set": set}),
        }
    }
}

/// The edits of one seed. There are as many of each sort as there are hundreds of records in a module, from one to five.
pub(super) fn plan(seed: u64, population: &Population, modules: &[Module]) -> Vec<HumanEdit> {
    let mut edits: Vec<HumanEdit> = Vec::new();
    for module in modules {
        let part = if *module == Module::Contacts { "edits".to_owned() } else { format!("{} edits", module.name()) };
        let deleted =
            edits.iter().filter(|edit| edit.op == Op::Delete).map(|edit| (edit.module, edit.person)).collect();
        let rng = Rng::fork(seed, &part);
        let mut planner = Planner { module: *module, population, rng, edits: Vec::new(), deleted };
        planner.plan(modules);
        edits.extend(planner.edits);
    }
    edits
}

/// Fields that people edit in a module: one at the first screen, one at the second, those that both change, and one that is emptied.
struct Habits {
    zoho: &'static str,
    vtiger: &'static str,
    both: [&'static str; 3],
}

fn habits(module: Module) -> Habits {
    match module {
        Module::Accounts => {
            Habits { zoho: "Ticker_Symbol", vtiger: "Billing_City", both: ["Phone", "Employees", "Billing_City"] }
        }
        Module::Contacts => Habits { zoho: "Title", vtiger: "Department", both: ["Title", "Phone", "Mailing_City"] },
        Module::Leads => Habits { zoho: "Designation", vtiger: "City", both: ["Company", "Phone", "Designation"] },
    }
}

struct Planner<'a> {
    module: Module,
    population: &'a Population,
    rng: Rng,
    edits: Vec<HumanEdit>,
    /// Records that are deleted.
    deleted: BTreeSet<(Module, usize)>,
}

impl<'a> Planner<'a> {
    fn plan(&mut self, modules: &[Module]) {
        let habits = habits(self.module);
        let mut linked = self.shuffled(|person| person.zoho.is_some() && person.vtiger.is_some());
        let copied = self.shuffled(|person| person.zoho.is_some() != person.vtiger.is_some() && is_copied(person));
        let times = (self.population.shown(self.module, Side::Zoho).len() / 100).clamp(1, 5);
        for place in 0..times {
            if let Some(person) = linked.pop() {
                self.edit(person, Side::Zoho, habits.zoho);
                self.edit(person, Side::Vtiger, habits.vtiger);
            }
            if let Some(person) = linked.pop() {
                let name = habits.both[place % 3];
                self.edit(person, Side::Zoho, name);
                self.edit(person, Side::Vtiger, name);
            }
            if let Some(person) = copied.get(place) {
                let home = if person.zoho.is_some() { Side::Zoho } else { Side::Vtiger };
                self.edit(person, home, habits.zoho);
            }
            if let Some(at) = linked.iter().position(|person| has(person, Side::Zoho, "Description")) {
                let person = linked.remove(at);
                self.push(person.number, Side::Zoho, Op::Edit, Some(person), vec![("Description", String::new())]);
            }
            let references = self.module.references();
            for (index, reference) in references.iter().enumerate().filter(|(_, one)| modules.contains(&one.target)) {
                let side = if (place + index) % 2 == 0 { Side::Zoho } else { Side::Vtiger };
                if let Some(person) = linked.pop() {
                    self.point(person, side, reference.zoho, reference.target);
                }
            }
            for side in [Side::Zoho, Side::Vtiger] {
                if let Some(at) = linked.iter().rposition(|person| !self.is_pointed_to(person)) {
                    let person = linked.remove(at);
                    self.deleted.insert((self.module, person.number));
                    self.push(person.number, side, Op::Delete, Some(person), Vec::new());
                }
                self.create(self.population.of(self.module).len() + place * 2 + side as usize, side);
            }
        }
    }

    /// Whether an edit lets somebody of this module point to this record.
    fn is_pointed_to(&self, person: &Person) -> bool {
        let points = |edit: &HumanEdit| {
            edit.points_to.iter().any(|(field, number)| {
                *number == person.number && self.module.reference(field).is_some_and(|one| one.target == self.module)
            })
        };
        self.edits.iter().any(points)
    }

    fn shuffled(&mut self, wanted: impl Fn(&Person) -> bool) -> Vec<&'a Person> {
        let mut people: Vec<&Person> =
            self.population.of(self.module).iter().filter(|person| !person.ambiguous && wanted(person)).collect();
        for last in (1..people.len()).rev() {
            people.swap(last, self.rng.below(last + 1));
        }
        people
    }

    /// Somebody is moved to another organization, boss or group: to one that both sides have and keep.
    fn point(&mut self, person: &Person, side: Side, field: &'static str, target: Module) {
        let targets = self.population.of(target);
        let is_other = |other: &&Person| {
            let own = target == self.module && other.number == person.number;
            let gone = self.deleted.contains(&(target, other.number));
            !own && !gone && !other.ambiguous && other.zoho.is_some() && other.vtiger.is_some()
        };
        let known: Vec<&Person> = targets.iter().filter(is_other).collect();
        let free = |other: &&&Person| {
            let now = [Side::Zoho, Side::Vtiger]
                .map(|side| person.shown(side).and_then(|shown| shown.references.get(field).copied()));
            !now.contains(&Some(other.number))
        };
        let known: Vec<&Person> = known.iter().filter(free).copied().collect();
        if known.is_empty() {
            return;
        }
        let other = *self.rng.pick(&known);
        let id = other.shown(side).map(|shown| shown.id.clone()).unwrap_or_default();
        self.push(person.number, side, Op::Edit, Some(person), vec![(field, id)]);
        if let Some(edit) = self.edits.last_mut() {
            edit.points_to = vec![(field, other.number)];
        }
    }

    /// A value that neither side has: its number occurs nowhere else.
    fn edit(&mut self, person: &Person, side: Side, name: &'static str) {
        let number = 1_000 + self.edits.len();
        let kind = self.module.field(name).map(|field| field.kind);
        let value = match (name, kind) {
            ("Title" | "Designation", _) => format!("{} {number}", self.rng.pick(TITLES)),
            ("Department", _) => format!("{} {number}", self.rng.pick(DEPARTMENTS)),
            ("Ticker_Symbol", _) => format!("T{number}"),
            ("Company", _) => format!("Renamed {number} Ltd"),
            (_, Some(Kind::Phone)) => format!("+47 700 0{number}"),
            (_, Some(Kind::Integer)) => (20_000 + number).to_string(),
            _ => format!("Newtown {number}"),
        };
        self.push(person.number, side, Op::Edit, Some(person), vec![(name, value)]);
    }

    fn create(&mut self, person: usize, side: Side) {
        let (last, last_ascii) = *self.rng.pick(LAST_NAMES);
        let title = (*self.rng.pick(TITLES)).to_owned();
        let somebody = |domain: &str| {
            vec![
                ("First_Name", "Nikita".to_owned()),
                ("Last_Name", last.to_owned()),
                ("Email", format!("nikita.{last_ascii}{person}@{domain}.example")),
                ("Mobile", format!("+47 900 {person:05}")),
            ]
        };
        let set = match self.module {
            Module::Accounts => vec![
                ("Account_Name", format!("Newfound {person} Ltd")),
                ("Phone", format!("+47 800 {person:05}")),
                ("Employees", (30_000 + person).to_string()),
                ("Billing_City", "Newtown".to_owned()),
            ],
            Module::Contacts => [somebody("new"), vec![("Title", title)]].concat(),
            Module::Leads => {
                [somebody("lead"), vec![("Company", format!("Startup {person} Ltd")), ("Designation", title)]].concat()
            }
        };
        self.push(person, side, Op::Create, None, set);
    }

    fn push(&mut self, number: usize, side: Side, op: Op, person: Option<&Person>, set: Vec<(&'static str, String)>) {
        let id = person.and_then(|person| Some(person.shown(side)?.id.clone()));
        self.edits.push(HumanEdit { module: self.module, side, op, id, set, points_to: Vec::new(), person: number });
    }
}

/// Whether the other side takes the record: Zoho wants a lead to have a company.
fn is_copied(person: &Person) -> bool {
    let is_lead = person.truth.contains_key("Company");
    !is_lead || person.zoho.is_some() || has(person, Side::Vtiger, "Company")
}

fn has(person: &Person, side: Side, name: &str) -> bool {
    person.shown(side).is_some_and(|shown| shown.values.contains_key(name))
}
