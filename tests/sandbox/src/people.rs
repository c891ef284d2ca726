//! The seeded population that both sandbox CRMs start with: people as they are, and what each CRM shows of them.
//!
//! About six in ten contacts exist on both sides; the rest on one side only. The data is as untidy as real data: names
//! in capitals, phones in five spellings of one number, blanks where the other side has a value, different values in
//! one field, families that share an e-mail address, and a few records that fit two candidates on the other side.
//! Every side's text is kept here as that side shows it, so expectations can be worked out without either server.

mod fields;
mod generate;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;

pub use fields::{FIELDS, Field, Kind, LEAD_SOURCES, field, lead_source_to_vtiger, lead_source_to_zoho};
pub use generate::generate;
pub(crate) use words::{DEPARTMENTS, LAST_NAMES, TITLES};

/// Which of the two sandbox CRMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The Zoho sandbox.
    Zoho,
    /// The Vtiger sandbox.
    Vtiger,
}

/// Values of the mapped fields by their Zoho name, each as its side spells it. Blank fields are missing; the flag
/// `Email_Opt_Out` is always there as `true` or `false`. Owner and organization are not in here.
pub type Values = BTreeMap<&'static str, String>;

/// Everything that both servers are seeded with.
#[derive(Debug, Clone)]
pub struct Population {
    /// Users of either CRM; the first is the administrator of both.
    pub users: Vec<User>,
    /// Organizations; each exists on both sides, with its own id on each.
    pub organizations: Vec<Organization>,
    /// Contacts.
    pub people: Vec<Person>,
    /// Groups of records that fit more than one candidate; nothing may be written for them.
    pub ambiguous: Vec<Ambiguous>,
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

/// An organization.
#[derive(Debug, Clone)]
pub struct Organization {
    /// Its name, the same on both sides and unique.
    pub name: String,
    /// City for its billing address.
    pub city: &'static str,
    /// Country for its billing address.
    pub country: &'static str,
    /// Zoho's id.
    pub zoho_id: String,
    /// Vtiger's id with its prefix.
    pub vtiger_id: String,
}

/// A person, and the contact record that each side has of them.
#[derive(Debug, Clone)]
pub struct Person {
    /// The scenario's own number, from 0; equal to the index in [`Population::people`].
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

/// A contact as one side shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The record's id as that side's API spells it.
    pub id: String,
    /// The mapped fields.
    pub values: Values,
    /// Index of the owner in [`Population::users`].
    pub owner: usize,
    /// Index of the organization in [`Population::organizations`].
    pub organization: Option<usize>,
    /// When the record was made, milliseconds since 1970, whole seconds.
    pub created_ms: i64,
    /// When it was last changed, milliseconds since 1970, whole seconds.
    pub modified_ms: i64,
}

impl Shown {
    /// The mapped fields under Vtiger's names, as the strings that its API returns.
    pub fn vtiger_fields(&self) -> Vec<(&'static str, String)> {
        self.values
            .iter()
            .filter_map(|(name, value)| Some((field(name)?.vtiger, to_vtiger_text(name, value))))
            .collect()
    }
}

/// A value in the spelling of Vtiger's API, where only flags are spelled differently.
pub(crate) fn to_vtiger_text(zoho_name: &str, value: &str) -> String {
    match (field(zoho_name).map(|field| field.kind), value) {
        (Some(Kind::Flag), "true") => "1".to_owned(),
        (Some(Kind::Flag), _) => "0".to_owned(),
        _ => value.to_owned(),
    }
}

/// Records of which none can be told to be the counterpart of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ambiguous {
    /// Ids of the records in Zoho.
    pub zoho: Vec<String>,
    /// Ids of the records in Vtiger.
    pub vtiger: Vec<String>,
    /// Why: always `more-than-one-match`.
    pub reason: &'static str,
}

impl Population {
    /// The contacts that Zoho is seeded with, by ascending id.
    pub fn zoho_contacts(&self) -> Vec<&Shown> {
        self.contacts(Side::Zoho)
    }

    /// The contacts that Vtiger is seeded with, by ascending number.
    pub fn vtiger_contacts(&self) -> Vec<&Shown> {
        self.contacts(Side::Vtiger)
    }

    /// The users that one side has.
    pub fn users_of(&self, side: Side) -> impl Iterator<Item = &User> {
        self.users.iter().filter(move |user| user.id(side).is_some())
    }

    fn contacts(&self, side: Side) -> Vec<&Shown> {
        let mut contacts: Vec<&Shown> = self.people.iter().filter_map(|person| person.shown(side)).collect();
        // Ids of one side differ in their digits only, so the longer of two is the higher.
        contacts.sort_by(|one, other| (one.id.len(), &one.id).cmp(&(other.id.len(), &other.id)));
        contacts
    }
}
