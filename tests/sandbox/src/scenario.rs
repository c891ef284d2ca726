//! What must be true after the two sandbox CRMs were synchronised, worked out from the population alone.
//!
//! The rules, written here independently of the product, are those of the demonstration flow:
//!
//! - **Matching**: contacts and leads by e-mail address (trimmed, lower-cased) and last name (trimmed, inner blanks collapsed, case
//!   ignored); those without an e-mail address by first name, last name and the digits of the mobile number. Organizations by name.
//!   Where a record has a candidate and either of the two has another one, nothing is written for any of them.
//! - **First sync, matched**: a blank field is filled from the other side; two different values stay as they are.
//! - **First sync, unmatched**: the record is created on the other side; a lead without a company is not, as Zoho takes none.
//! - **Afterwards**: a field changed on one side goes to the other, an emptied field too; a field changed on both sides
//!   is Zoho's.
//! - **Deletes** are only reported: the other side keeps its record, and so do the references to it there. That a CRM empties the
//!   references to a record that it has deleted is nobody's edit.
//! - **Owner**: by the e-mail address of active users; at a create, the administrator if there is none; a matched
//!   record keeps its owner.
//! - **References** go over to records that are on both sides and belong together, whenever those were linked; others are left out. A
//!   module that is not synchronised has none of them.
//! - **Values** are carried over as [`carry`] says. Values that say the same in two spellings agree, and both stay.

pub mod carry;
mod edits;
mod model;
#[cfg(test)]
mod tests;
mod verify;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::people::{self, Counts, Module, Population, Side};

pub use edits::{HumanEdit, Op};
pub use verify::{Holdings, Mismatch, Verdict};

/// Up to where the story went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// After the first sync; nobody has edited anything yet.
    FirstSync,
    /// After the people's edits and the sync that followed them.
    AfterEdits,
}

/// A population, the edits that people make after the first sync, and what must come of both.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What both servers were seeded with.
    pub population: Population,
    modules: &'static [Module],
    edits: Vec<HumanEdit>,
}

/// What one side must hold of one person, lead or organization. Fields go by their Zoho name; `Owner` is an e-mail address, a reference
/// the number in the list of its target's module; blank fields are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The module.
    pub module: Module,
    /// The number in the module's list of the population; those whom an edit adds follow after it.
    pub person: usize,
    /// The side.
    pub side: Side,
    /// The record's id if it was seeded; `None` if it was created later, by an edit or by the synchronisation.
    pub id: Option<String>,
    /// What the record must show.
    pub record: Presence,
}

/// Whether a record must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// There must be no such record.
    Absent,
    /// There must be one with exactly these values.
    Live(BTreeMap<&'static str, String>),
}

/// A field that, by the rules, is not the same on both sides, and the reason that a report may give for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Exception {
    /// The module.
    pub module: Module,
    /// The side of `record`.
    pub side: Side,
    /// Id of the record whose value stays by itself.
    pub record: String,
    /// The field by its Zoho name; `*` for the whole record.
    pub field: &'static str,
    /// `differs`, `both-changed`, `no-counterpart-value`, `reference-not-linked`, `fallback-owner`, `stored-differently`,
    /// `more-than-one-match`, `mandatory-missing` or `removed`.
    pub reason: &'static str,
}

impl Scenario {
    /// The scenario of one seed in which contacts alone are synchronised, with `records` of them on each side.
    pub fn new(seed: u64, records: usize) -> Scenario {
        Scenario::of(seed, Counts::of(records), &[Module::Contacts])
    }

    /// The scenario of one seed in which all modules are synchronised.
    pub fn of_all_modules(seed: u64, counts: Counts) -> Scenario {
        Scenario::of(seed, counts, &Module::ALL)
    }

    fn of(seed: u64, counts: Counts, modules: &'static [Module]) -> Scenario {
        let population = people::generate_counts(seed, counts);
        let edits = edits::plan(seed, &population, modules);
        Scenario { population, modules, edits }
    }

    /// What people do at the two screens after the first sync, in this order, in each module: different fields of one record on both
    /// sides, one field on both sides, an edit of a record that exists on the other side only as a copy, an emptied
    /// field, a changed reference, a delete on each side, a new record on each side.
    pub fn human_edits(&self) -> &[HumanEdit] {
        &self.edits
    }

    /// What each side must hold.
    pub fn expected(&self, phase: Phase) -> Vec<Expected> {
        self.outcome(phase).0
    }

    /// The fields that may stay different, each with its reason.
    pub fn exceptions(&self, phase: Phase) -> Vec<Exception> {
        self.outcome(phase).1
    }

    fn outcome(&self, phase: Phase) -> (Vec<Expected>, Vec<Exception>) {
        let mut model = model::Model::seeded(&self.population, self.modules);
        model.first_sync();
        if phase == Phase::AfterEdits {
            model.edit_and_sync(&self.edits);
        }
        model.finish()
    }
}
