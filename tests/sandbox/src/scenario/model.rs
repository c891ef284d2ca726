//! The two sides as plain values, and the rules applied to them.

use std::collections::{BTreeMap, BTreeSet};

use super::carry::{agree, carry, is_stored_differently};
use super::edits::{HumanEdit, Op};
use super::{Exception, Expected, Presence};
use crate::people::{FIELDS, Field, Kind, Person, Population, Shown, Side, Values};

/// One person's record on one side.
#[derive(Debug, Clone)]
struct Held {
    id: Option<String>,
    deleted: bool,
    values: Values,
    owner: &'static str,
    organization: Option<String>,
}

/// Both records of one person.
#[derive(Debug, Clone, Default)]
struct Pair {
    zoho: Option<Held>,
    vtiger: Option<Held>,
    ambiguous: bool,
}

impl Pair {
    fn on(&self, side: Side) -> Option<&Held> {
        match side {
            Side::Zoho => self.zoho.as_ref(),
            Side::Vtiger => self.vtiger.as_ref(),
        }
    }

    fn on_mut(&mut self, side: Side) -> &mut Option<Held> {
        match side {
            Side::Zoho => &mut self.zoho,
            Side::Vtiger => &mut self.vtiger,
        }
    }
}

pub(super) struct Model<'a> {
    population: &'a Population,
    pairs: BTreeMap<usize, Pair>,
    exceptions: BTreeSet<Exception>,
}

fn other(side: Side) -> Side {
    match side {
        Side::Zoho => Side::Vtiger,
        Side::Vtiger => Side::Zoho,
    }
}

impl<'a> Model<'a> {
    pub(super) fn seeded(population: &'a Population) -> Model<'a> {
        let held = |person: &Person, side: Side| person.shown(side).map(|shown| held(population, shown, side));
        let pairs = population
            .people
            .iter()
            .map(|person| {
                let (zoho, vtiger) = (held(person, Side::Zoho), held(person, Side::Vtiger));
                (person.number, Pair { zoho, vtiger, ambiguous: person.ambiguous })
            })
            .collect();
        Model { population, pairs, exceptions: BTreeSet::new() }
    }

    /// Fills blanks of matched records and creates unmatched ones.
    pub(super) fn first_sync(&mut self) {
        for number in self.pairs.keys().copied().collect::<Vec<_>>() {
            let pair = self.pairs[&number].clone();
            match (&pair.zoho, &pair.vtiger) {
                (Some(held), _) if pair.ambiguous => self.except(Side::Zoho, held, "*", "more-than-one-match"),
                (_, Some(held)) if pair.ambiguous => self.except(Side::Vtiger, held, "*", "more-than-one-match"),
                (Some(_), Some(_)) => self.fill_blanks(number),
                (Some(_), None) => self.create_copy(number, Side::Zoho),
                (None, Some(_)) => self.create_copy(number, Side::Vtiger),
                (None, None) => {}
            }
        }
    }

    /// Applies what people did, then carries over what changed.
    pub(super) fn edit_and_sync(&mut self, edits: &[HumanEdit]) {
        let mut touched: BTreeMap<usize, [BTreeSet<&'static str>; 2]> = BTreeMap::new();
        for edit in edits {
            match edit.op {
                Op::Create => {
                    self.create_by_person(edit);
                    self.create_copy(edit.person, edit.side);
                }
                Op::Delete => self.delete(edit),
                Op::Edit => {
                    touched.entry(edit.person).or_default()[edit.side as usize]
                        .extend(edit.set.iter().map(|(name, _)| *name));
                    self.write(edit.person, edit.side, &edit.set);
                }
            }
        }
        for (number, [zoho, vtiger]) in touched {
            for name in vtiger.difference(&zoho) {
                self.carry_change(number, name, Side::Vtiger);
            }
            for name in &zoho {
                if vtiger.contains(name) {
                    self.note_conflict(number, name);
                }
                self.carry_change(number, name, Side::Zoho);
            }
        }
    }

    pub(super) fn finish(self) -> (Vec<Expected>, Vec<Exception>) {
        let mut expected = Vec::new();
        for (person, pair) in &self.pairs {
            for side in [Side::Zoho, Side::Vtiger] {
                let held = pair.on(side);
                let record = match held {
                    Some(held) if !held.deleted => Presence::Live(shown(held)),
                    _ => Presence::Absent,
                };
                expected.push(Expected { person: *person, side, id: held.and_then(|held| held.id.clone()), record });
            }
        }
        (expected, self.exceptions.into_iter().collect())
    }

    fn fill_blanks(&mut self, number: usize) {
        let pair = self.pairs[&number].clone();
        let (Some(zoho), Some(vtiger)) = (&pair.zoho, &pair.vtiger) else { return };
        for field in FIELDS {
            match (zoho.values.get(field.zoho), vtiger.values.get(field.zoho)) {
                (Some(_), None) => self.put_over(number, field, Side::Zoho),
                (None, Some(_)) => self.put_over(number, field, Side::Vtiger),
                (Some(one), Some(two)) if !agree(field, one, two) => {
                    self.except(Side::Zoho, zoho, field.zoho, "differs");
                }
                _ => {}
            }
        }
        if zoho.owner != vtiger.owner {
            self.except(Side::Zoho, zoho, "Owner", "differs");
        }
        for (side, held) in [(Side::Zoho, zoho), (Side::Vtiger, vtiger)] {
            if held.organization.is_some() {
                self.except(side, held, "Account_Name", "reference-not-linked");
            }
        }
    }

    /// Makes the record that the other side lacks.
    fn create_copy(&mut self, number: usize, from: Side) {
        let Some(source) = self.pairs[&number].on(from).cloned() else { return };
        let to = other(from);
        let user = self.population.users.iter().find(|user| user.email == source.owner);
        let owner = match user.filter(|user| user.active && user.id(to).is_some()) {
            Some(user) => user.email,
            None => {
                self.except(from, &source, "Owner", "fallback-owner");
                self.population.users[0].email
            }
        };
        if source.organization.is_some() {
            self.except(from, &source, "Account_Name", "reference-not-linked");
        }
        let mut values = Values::new();
        // A new record has the flag in any case; only `true` has to be said.
        values.insert("Email_Opt_Out", "false".to_owned());
        let copy = Held { id: None, deleted: false, values, owner, organization: None };
        if let Some(pair) = self.pairs.get_mut(&number) {
            *pair.on_mut(to) = Some(copy);
        }
        for field in FIELDS.iter().filter(|field| source.values.contains_key(field.zoho)) {
            self.put_over(number, field, from);
        }
    }

    fn create_by_person(&mut self, edit: &HumanEdit) {
        let mut values: Values = edit.set.iter().cloned().collect();
        values.insert("Email_Opt_Out", "false".to_owned());
        // At both screens it is the second user who works, and who makes a record owns it.
        let owner = self.population.users[1].email;
        let held = Held { id: None, deleted: false, values, owner, organization: None };
        *self.pairs.entry(edit.person).or_default().on_mut(edit.side) = Some(held);
    }

    fn delete(&mut self, edit: &HumanEdit) {
        let Some(pair) = self.pairs.get_mut(&edit.person) else { return };
        if let Some(held) = pair.on_mut(edit.side) {
            held.deleted = true;
        }
        if let Some(kept) = pair.on(other(edit.side)).cloned() {
            self.except(other(edit.side), &kept, "*", "removed");
        }
    }

    fn write(&mut self, number: usize, side: Side, set: &[(&'static str, String)]) {
        let Some(held) = self.pairs.get_mut(&number).and_then(|pair| pair.on_mut(side).as_mut()) else { return };
        for (name, text) in set {
            put(&mut held.values, name, text.clone());
        }
    }

    /// Carries a changed field over, unless the other side says the same already.
    fn carry_change(&mut self, number: usize, name: &'static str, from: Side) {
        let pair = &self.pairs[&number];
        let (Some(field), Some(zoho), Some(vtiger)) = (crate::people::field(name), &pair.zoho, &pair.vtiger) else {
            return;
        };
        let value = |held: &Held| held.values.get(name).cloned().unwrap_or_default();
        if !agree(field, &value(zoho), &value(vtiger)) {
            self.put_over(number, field, from);
        }
    }

    fn note_conflict(&mut self, number: usize, name: &'static str) {
        if let Some(vtiger) = self.pairs[&number].vtiger.clone() {
            self.except(Side::Vtiger, &vtiger, name, "both-changed");
        }
    }

    /// Writes one side's value into the other side's record, as that side will show it.
    fn put_over(&mut self, number: usize, field: &'static Field, from: Side) {
        let to = other(from);
        let Some(source) = self.pairs[&number].on(from).cloned() else { return };
        let value = source.values.get(field.zoho).cloned().unwrap_or_default();
        let Some(carried) = carry(field, &value, to) else {
            self.except(from, &source, field.zoho, "no-counterpart-value");
            return;
        };
        if is_stored_differently(field, &value, to) {
            self.except(from, &source, field.zoho, "stored-differently");
        }
        if let Some(held) = self.pairs.get_mut(&number).and_then(|pair| pair.on_mut(to).as_mut()) {
            put(&mut held.values, field.zoho, carried);
        }
    }

    fn except(&mut self, side: Side, held: &Held, field: &'static str, reason: &'static str) {
        if let Some(record) = held.id.clone() {
            self.exceptions.insert(Exception { side, record, field, reason });
        }
    }
}

fn held(population: &Population, shown: &Shown, side: Side) -> Held {
    Held {
        id: Some(shown.id.clone()),
        deleted: false,
        values: shown.values.clone(),
        owner: population.users[shown.owner].email,
        organization: shown.organization.map(|index| {
            let organization = &population.organizations[index];
            match side {
                Side::Zoho => organization.zoho_id.clone(),
                Side::Vtiger => organization.vtiger_id.clone(),
            }
        }),
    }
}

fn put(values: &mut Values, name: &'static str, text: String) {
    let is_flag = FIELDS.iter().any(|field| field.zoho == name && field.kind == Kind::Flag);
    if text.is_empty() && !is_flag {
        values.remove(name);
    } else {
        values.insert(name, text);
    }
}

fn shown(held: &Held) -> BTreeMap<&'static str, String> {
    let mut record: BTreeMap<&'static str, String> = held.values.clone();
    record.insert("Owner", held.owner.to_owned());
    if let Some(organization) = &held.organization {
        record.insert("Account_Name", organization.clone());
    }
    record
}
