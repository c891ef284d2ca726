//! The seeded population that both sandbox CRMs start with: organizations, contacts and leads as they are, and what each CRM
//! shows of them.
//!
//! About six in ten records exist on both sides; the rest on one side only. Contacts belong to organizations of their own side, some
//! of which the other side does not have, and report to other contacts; organizations are members of others. The data is as untidy as
//! real data: names in capitals, phones in five spellings of one number, blanks where the other side has a value, different values in
//! one field, families that share an e-mail address, and a few records that fit two candidates on the other side. How many families
//! and such records there are can be chosen.
//! Every side's text is kept here as that side shows it, so expectations can be worked out without either server.

mod fields;
mod generate;
mod spelling;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

pub use fields::{Choices, FIELDS, Field, Kind, LEAD_SOURCE, Module, Reference, field};
pub use generate::{generate, generate_counts};
pub(crate) use words::{DEPARTMENTS, LAST_NAMES, TITLES};

/// Which of the two sandbox CRMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The Zoho sandbox.
    Zoho,
    /// The Vtiger sandbox.
    Vtiger,
}

/// Values of the mapped fields by their Zoho name, each as its side spells it. Blank fields are missing; the flag
/// `Email_Opt_Out` is always there as `true` or `false` where the module has it. Owner and references are not in here.
pub type Values = BTreeMap<&'static str, String>;

/// Everything that both servers are seeded with.
#[derive(Debug, Clone)]
pub struct Population {
    /// Users of either CRM; the first is the administrator of both.
    pub users: Vec<User>,
    /// Organizations.
    pub organizations: Vec<Person>,
    /// Contacts.
    pub people: Vec<Person>,
    /// Leads.
    pub leads: Vec<Person>,
    /// Groups of records that fit more than one candidate; nothing may be written for them.
    pub ambiguous: Vec<Ambiguous>,
    /// Numbers of the contacts of each family, in the order of the constellations; empty for simple families.
    pub families: Vec<Vec<usize>>,
    /// The highest number that a seeded Vtiger record has; the server's counter goes on from here.
    pub vtiger_number_max: u64,
}

/// A user, who may own records.
#[derive(Debug, Clone)]
pub struct User {
    /// First and last name.
    pub name: &'static str,
    /// The address by which owners are found on the other side.
    pub email: &'static str,
    /// Zoho's id, if the user exists there.
    pub zoho_id: Option<&'static str>,
    /// Vtiger's id with its prefix, if the user exists there.
    pub vtiger_id: Option<&'static str>,
    /// Vtiger's login name; empty for users who are not there.
    pub vtiger_name: &'static str,
    /// Whether the user may log in and be given records.
    pub active: bool,
}

impl User {
    /// The user's id on one side.
    pub fn id(&self, side: Side) -> Option<&'static str> {
        match side {
            Side::Zoho => self.zoho_id,
            Side::Vtiger => self.vtiger_id,
        }
    }
}

/// How many live records each side has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Contacts.
    pub contacts: usize,
    /// Organizations.
    pub organizations: usize,
    /// Leads.
    pub leads: usize,
    /// Contacts that share an e-mail address.
    pub families: Families,
    /// Contacts of one side that are twice on the other side, where nobody can tell which is which; none for the usual few.
    pub doubles: Option<usize>,
}

/// Families: contacts that share one e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// One of two for forty contacts, of whom nobody is on both sides.
    Simple,
    /// So many, with different people of one address on both sides in four constellations, all of which names tell apart.
    Mixed(usize),
}

impl Counts {
    /// The usual proportions to so many contacts: two organizations and two leads for five of them, and three of each at least.
    pub fn of(contacts: usize) -> Counts {
        let others = (contacts * 2 / 5).max(3);
        Counts { contacts, organizations: others, leads: others, families: Families::Simple, doubles: None }
    }

    /// The count of one module.
    pub fn of_module(self, module: Module) -> usize {
        match module {
            Module::Accounts => self.organizations,
            Module::Contacts => self.contacts,
            Module::Leads => self.leads,
        }
    }
}

/// A contact, lead or organization, and the record that each side has of it.
#[derive(Debug, Clone)]
pub struct Person {
    /// The scenario's own number, from 0; equal to the index in the module's list of the [`Population`].
    pub number: usize,
    /// The tidy truth, with Zoho's value where the two vocabularies differ.
    pub truth: Values,
    /// The record in Zoho.
    pub zoho: Option<Shown>,
    /// The record in Vtiger.
    pub vtiger: Option<Shown>,
    /// Whether this record is one of an [`Ambiguous`] group.
    pub ambiguous: bool,
}

impl Person {
    /// The record on one side.
    pub fn shown(&self, side: Side) -> Option<&Shown> {
        match side {
            Side::Zoho => self.zoho.as_ref(),
            Side::Vtiger => self.vtiger.as_ref(),
        }
    }
}

/// A record as one side shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The record's id as that side's API spells it.
    pub id: String,
    /// The mapped fields.
    pub values: Values,
    /// Index of the owner in [`Population::users`].
    pub owner: usize,
    /// What it points to: by the field's Zoho name, the number in the list of the field's target.
    pub references: BTreeMap<&'static str, usize>,
    /// When the record was made, milliseconds since 1970, whole seconds.
    pub created_ms: i64,
    /// When it was last changed, milliseconds since 1970, whole seconds.
    pub modified_ms: i64,
}

impl Shown {
    /// The mapped fields under Vtiger's names, as the strings that its API takes.
    pub fn vtiger_fields(&self, module: Module) -> Vec<(&'static str, String)> {
        let fields = self.values.iter().filter_map(|(name, value)| Some((module.field(name)?, value)));
        fields.map(|(field, value)| (field.vtiger, to_vtiger_text(field, value))).collect()
    }

    /// The mapped fields in the JSON of Zoho's API.
    pub fn zoho_fields(&self, module: Module) -> Map<String, Value> {
        let fields = self.values.iter().filter_map(|(name, value)| Some((module.field(name)?, value)));
        fields.map(|(field, value)| (field.zoho.to_owned(), to_zoho_json(field, value))).collect()
    }
}

/// A value in the spelling of Vtiger's API, where only flags are spelled differently.
pub(crate) fn to_vtiger_text(field: &Field, value: &str) -> String {
    match (field.kind, value) {
        (Kind::Flag, "true") => "1".to_owned(),
        (Kind::Flag, _) => "0".to_owned(),
        _ => value.to_owned(),
    }
}

/// A value in the JSON of Zoho's API.
pub(crate) fn to_zoho_json(field: &Field, value: &str) -> Value {
    match field.kind {
        _ if value.is_empty() => Value::Null,
        Kind::Flag => json!(value == "true"),
        Kind::Integer | Kind::Money => value.parse::<serde_json::Number>().map_or_else(|_| json!(value), Value::Number),
        _ => json!(value),
    }
}

/// Records of which none can be told to be the counterpart of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ambiguous {
    /// Their module.
    pub module: Module,
    /// Ids of the records in Zoho.
    pub zoho: Vec<String>,
    /// Ids of the records in Vtiger.
    pub vtiger: Vec<String>,
    /// Why: always `more-than-one-match`.
    pub reason: &'static str,
}

impl Population {
    /// The records of one module.
    pub fn of(&self, module: Module) -> &[Person] {
        match module {
            Module::Accounts => &self.organizations,
            Module::Contacts => &self.people,
            Module::Leads => &self.leads,
        }
    }

    /// The contacts that Zoho is seeded with, by ascending id.
    pub fn zoho_contacts(&self) -> Vec<&Shown> {
        self.shown(Module::Contacts, Side::Zoho)
    }

    /// The contacts that Vtiger is seeded with, by ascending number.
    pub fn vtiger_contacts(&self) -> Vec<&Shown> {
        self.shown(Module::Contacts, Side::Vtiger)
    }

    /// The records of a module that one side is seeded with, by ascending id.
    pub fn shown(&self, module: Module, side: Side) -> Vec<&Shown> {
        let mut shown: Vec<&Shown> = self.of(module).iter().filter_map(|person| person.shown(side)).collect();
        // Ids of one side and module differ in their digits only, so the longer of two is the higher.
        shown.sort_by(|one, other| (one.id.len(), &one.id).cmp(&(other.id.len(), &other.id)));
        shown
    }

    /// The id, on one side, of what a record's reference points to; none if that side does not have it.
    pub fn pointed_to(&self, module: Module, side: Side, shown: &Shown, field: &str) -> Option<&str> {
        let target = module.reference(field)?.target;
        let number = shown.references.get(field)?;
        Some(self.of(target).get(*number)?.shown(side)?.id.as_str())
    }

    /// The users that one side has.
    pub fn users_of(&self, side: Side) -> impl Iterator<Item = &User> {
        self.users.iter().filter(move |user| user.id(side).is_some())
    }
}
