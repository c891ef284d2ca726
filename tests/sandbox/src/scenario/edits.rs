//! What people do at the two screens after the first sync.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::people::{DEPARTMENTS, LAST_NAMES, Person, Population, Side, TITLES, field, to_vtiger_text};
use crate::rng::Rng;

/// One thing that a person does to a contact at the screen of one CRM.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HumanEdit {
    /// Whose screen.
    pub side: Side,
    /// What is done.
    pub op: Op,
    /// The record's id; none for a create.
    pub id: Option<String>,
    /// The fields by their Zoho names with the text that is typed; blank empties a field.
    pub set: Vec<(&'static str, String)>,
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
            match (self.side, field(name)) {
                (Side::Vtiger, Some(field)) => set.insert(field.vtiger.to_owned(), json!(to_vtiger_text(name, text))),
                _ => set.insert((*name).to_owned(), json!(text)),
            };
        }
        match &self.id {
            Some(id) => json!({"module": "Contacts", "id": id, "set": set}),
            None => json!({"module": "Contacts", "set": set}),
        }
    }
}

/// The edits of one seed. There are as many of each sort as there are hundreds of contacts, from one to five.
pub(super) fn plan(seed: u64, population: &Population) -> Vec<HumanEdit> {
    let mut planner = Planner { rng: Rng::fork(seed, "edits"), edits: Vec::new() };
    let mut linked = planner.shuffled(population, |person| person.zoho.is_some() && person.vtiger.is_some());
    let copied = planner.shuffled(population, |person| person.zoho.is_some() != person.vtiger.is_some());
    let times = (population.zoho_contacts().len() / 100).clamp(1, 5);
    for place in 0..times {
        if let Some(person) = linked.pop() {
            planner.edit(person, Side::Zoho, "Title");
            planner.edit(person, Side::Vtiger, "Department");
        }
        if let Some(person) = linked.pop() {
            let name = ["Title", "Phone", "Mailing_City"][place % 3];
            planner.edit(person, Side::Zoho, name);
            planner.edit(person, Side::Vtiger, name);
        }
        if let Some(person) = copied.get(place) {
            let home = if person.zoho.is_some() { Side::Zoho } else { Side::Vtiger };
            planner.edit(person, home, "Title");
        }
        if let Some(at) = linked.iter().position(|person| has(person, Side::Zoho, "Description")) {
            let person = linked.remove(at);
            planner.push(person.number, Side::Zoho, Op::Edit, Some(person), vec![("Description", String::new())]);
        }
        for side in [Side::Zoho, Side::Vtiger] {
            if let Some(person) = linked.pop() {
                planner.push(person.number, side, Op::Delete, Some(person), Vec::new());
            }
            planner.create(population.people.len() + place * 2 + side as usize, side);
        }
    }
    planner.edits
}

struct Planner {
    rng: Rng,
    edits: Vec<HumanEdit>,
}

impl Planner {
    fn shuffled<'a>(&mut self, population: &'a Population, wanted: impl Fn(&Person) -> bool) -> Vec<&'a Person> {
        let mut people: Vec<&Person> =
            population.people.iter().filter(|person| !person.ambiguous && wanted(person)).collect();
        for last in (1..people.len()).rev() {
            people.swap(last, self.rng.below(last + 1));
        }
        people
    }

    /// A value that neither side has: its number occurs nowhere else.
    fn edit(&mut self, person: &Person, side: Side, name: &'static str) {
        let number = 1_000 + self.edits.len();
        let value = match name {
            "Title" => format!("{} {number}", self.rng.pick(TITLES)),
            "Department" => format!("{} {number}", self.rng.pick(DEPARTMENTS)),
            "Phone" => format!("+47 700 0{number}"),
            _ => format!("Newtown {number}"),
        };
        self.push(person.number, side, Op::Edit, Some(person), vec![(name, value)]);
    }

    fn create(&mut self, person: usize, side: Side) {
        let (last, last_ascii) = *self.rng.pick(LAST_NAMES);
        let set = vec![
            ("First_Name", "Nikita".to_owned()),
            ("Last_Name", last.to_owned()),
            ("Email", format!("nikita.{last_ascii}{person}@new.example")),
            ("Mobile", format!("+47 900 {person:05}")),
            ("Title", (*self.rng.pick(TITLES)).to_owned()),
        ];
        self.push(person, side, Op::Create, None, set);
    }

    fn push(&mut self, number: usize, side: Side, op: Op, person: Option<&Person>, set: Vec<(&'static str, String)>) {
        let id = person.and_then(|person| Some(person.shown(side)?.id.clone()));
        self.edits.push(HumanEdit { side, op, id, set, person: number });
    }
}

fn has(person: &Person, side: Side, name: &str) -> bool {
    person.shown(side).is_some_and(|shown| shown.values.contains_key(name))
}
