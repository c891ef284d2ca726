//! The two sides as plain values, and the rules applied to them.

use std::collections::{BTreeMap, BTreeSet};

use super::carry::{agree, carry, is_stored_differently};
use super::edits::{HumanEdit, Op};
use super::{Exception, Expected, Presence};
use crate::people::{Field, Kind, Module, Population, Reference, Shown, Side, Values};

/// One record on one side.
#[derive(Debug, Clone)]
struct Held {
    id: Option<String>,
    deleted: bool,
    values: Values,
    owner: &'static str,
    /// By field, the number in the target's list.
    references: BTreeMap<&'static str, usize>,
}

/// Both records of one person, lead or organization.
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

/// Which record: its module and its number there.
type Who = (Module, usize);

pub(super) struct Model<'a> {
    population: &'a Population,
    /// The modules that are synchronised.
    modules: &'a [Module],
    pairs: BTreeMap<Who, Pair>,
    exceptions: BTreeSet<Exception>,
}

fn other(side: Side) -> Side {
    match side {
        Side::Zoho => Side::Vtiger,
        Side::Vtiger => Side::Zoho,
    }
}

impl<'a> Model<'a> {
    pub(super) fn seeded(population: &'a Population, modules: &'a [Module]) -> Model<'a> {
        let mut pairs = BTreeMap::new();
        for module in modules {
            for person in population.of(*module) {
                let side = |side: Side| person.shown(side).map(|shown| held(population, shown));
                let pair = Pair { zoho: side(Side::Zoho), vtiger: side(Side::Vtiger), ambiguous: person.ambiguous };
                pairs.insert((*module, person.number), pair);
            }
        }
        Model { population, modules, pairs, exceptions: BTreeSet::new() }
    }

    /// Fills blanks of matched records and creates unmatched ones; then references, as only now it is known who is on both sides.
    pub(super) fn first_sync(&mut self) {
        for who in self.pairs.keys().copied().collect::<Vec<_>>() {
            let pair = self.pairs[&who].clone();
            match (&pair.zoho, &pair.vtiger) {
                (Some(held), _) if pair.ambiguous => self.except(who, Side::Zoho, held, "*", "more-than-one-match"),
                (_, Some(held)) if pair.ambiguous => self.except(who, Side::Vtiger, held, "*", "more-than-one-match"),
                (Some(_), Some(_)) => self.fill_blanks(who),
                (Some(_), None) => self.create_copy(who, Side::Zoho),
                (None, Some(_)) => self.create_copy(who, Side::Vtiger),
                (None, None) => {}
            }
        }
        for who in self.pairs.keys().copied().collect::<Vec<_>>() {
            self.fill_references(who);
        }
    }

    /// Applies what people did, then carries over what changed.
    pub(super) fn edit_and_sync(&mut self, edits: &[HumanEdit]) {
        let mut touched: BTreeMap<Who, [BTreeSet<&'static str>; 2]> = BTreeMap::new();
        for edit in edits {
            let who = (edit.module, edit.person);
            match edit.op {
                Op::Create => {
                    self.create_by_person(edit);
                    self.create_copy(who, edit.side);
                }
                Op::Delete => self.delete(edit),
                Op::Edit => {
                    touched.entry(who).or_default()[edit.side as usize].extend(edit.set.iter().map(|(name, _)| *name));
                    self.write(edit);
                }
            }
        }
        for (who, [zoho, vtiger]) in touched {
            for name in vtiger.difference(&zoho) {
                self.carry_change(who, name, Side::Vtiger);
            }
            for name in &zoho {
                if vtiger.contains(name) {
                    self.note_conflict(who, name);
                }
                self.carry_change(who, name, Side::Zoho);
            }
        }
    }

    pub(super) fn finish(self) -> (Vec<Expected>, Vec<Exception>) {
        let mut expected = Vec::new();
        for ((module, person), pair) in &self.pairs {
            for side in [Side::Zoho, Side::Vtiger] {
                let held = pair.on(side);
                let record = match held {
                    Some(held) if !held.deleted => Presence::Live(shown(held)),
                    _ => Presence::Absent,
                };
                let id = held.and_then(|held| held.id.clone());
                expected.push(Expected { module: *module, person: *person, side, id, record });
            }
        }
        (expected, self.exceptions.into_iter().collect())
    }

    /// Whether both sides have the record and it is told to be one: only then references to it can go over.
    fn is_linked(&self, who: Who) -> bool {
        let there = |held: &Option<Held>| held.as_ref().is_some_and(|held| !held.deleted);
        self.pairs.get(&who).is_some_and(|pair| !pair.ambiguous && there(&pair.zoho) && there(&pair.vtiger))
    }

    fn fill_blanks(&mut self, who: Who) {
        let pair = self.pairs[&who].clone();
        let (Some(zoho), Some(vtiger)) = (&pair.zoho, &pair.vtiger) else { return };
        for field in who.0.fields() {
            match (zoho.values.get(field.zoho), vtiger.values.get(field.zoho)) {
                (Some(_), None) => self.put_over(who, field, Side::Zoho),
                (None, Some(_)) => self.put_over(who, field, Side::Vtiger),
                (Some(one), Some(two)) if !agree(field, one, two) => {
                    self.except(who, Side::Zoho, zoho, field.zoho, "differs");
                }
                _ => {}
            }
        }
        if zoho.owner != vtiger.owner {
            self.except(who, Side::Zoho, zoho, "Owner", "differs");
        }
    }

    fn fill_references(&mut self, who: Who) {
        let pair = self.pairs[&who].clone();
        let (Some(zoho), Some(vtiger)) = (&pair.zoho, &pair.vtiger) else { return };
        for reference in who.0.references() {
            if !self.modules.contains(&reference.target) {
                for (side, held) in [(Side::Zoho, zoho), (Side::Vtiger, vtiger)] {
                    if held.references.contains_key(reference.zoho) {
                        self.except(who, side, held, reference.zoho, "reference-not-linked");
                    }
                }
                continue;
            }
            match (zoho.references.get(reference.zoho), vtiger.references.get(reference.zoho)) {
                (Some(_), None) => self.point_over(who, reference, Side::Zoho),
                (None, Some(_)) => self.point_over(who, reference, Side::Vtiger),
                (Some(one), Some(two)) if one != two || !self.is_linked((reference.target, *one)) => {
                    self.except(who, Side::Zoho, zoho, reference.zoho, "differs");
                }
                _ => {}
            }
        }
    }

    /// Makes the record that the other side lacks, without its references.
    fn create_copy(&mut self, who: Who, from: Side) {
        let Some(source) = self.pairs[&who].on(from).cloned() else { return };
        let to = other(from);
        if who.0 == Module::Leads && to == Side::Zoho && !source.values.contains_key("Company") {
            self.except(who, from, &source, "*", "mandatory-missing");
            return;
        }
        let user = self.population.users.iter().find(|user| user.email == source.owner);
        let owner = match user.filter(|user| user.active && user.id(to).is_some()) {
            Some(user) => user.email,
            None => {
                self.except(who, from, &source, "Owner", "fallback-owner");
                self.population.users[0].email
            }
        };
        // A new record has the flag in any case; only `true` has to be said.
        let copy = Held { id: None, deleted: false, values: new_values(who.0), owner, references: BTreeMap::new() };
        if let Some(pair) = self.pairs.get_mut(&who) {
            *pair.on_mut(to) = Some(copy);
        }
        for field in who.0.fields().iter().filter(|field| source.values.contains_key(field.zoho)) {
            self.put_over(who, field, from);
        }
    }

    fn create_by_person(&mut self, edit: &HumanEdit) {
        let mut values = new_values(edit.module);
        values.extend(edit.set.iter().cloned());
        // At both screens it is the second user who works, and who makes a record owns it.
        let owner = self.population.users[1].email;
        let held = Held { id: None, deleted: false, values, owner, references: BTreeMap::new() };
        *self.pairs.entry((edit.module, edit.person)).or_default().on_mut(edit.side) = Some(held);
    }

    /// The CRM empties what pointed to the record on its own side.
    fn delete(&mut self, edit: &HumanEdit) {
        let Some(pair) = self.pairs.get_mut(&(edit.module, edit.person)) else { return };
        if let Some(held) = pair.on_mut(edit.side) {
            held.deleted = true;
        }
        if let Some(kept) = pair.on(other(edit.side)).cloned() {
            self.except((edit.module, edit.person), other(edit.side), &kept, "*", "removed");
        }
        for ((module, _), pair) in &mut self.pairs {
            let Some(held) = pair.on_mut(edit.side) else { continue };
            let pointing = module.references().iter().filter(|reference| reference.target == edit.module);
            for reference in pointing {
                if held.references.get(reference.zoho) == Some(&edit.person) {
                    held.references.remove(reference.zoho);
                }
            }
        }
    }

    fn write(&mut self, edit: &HumanEdit) {
        let pair = self.pairs.get_mut(&(edit.module, edit.person));
        let Some(held) = pair.and_then(|pair| pair.on_mut(edit.side).as_mut()) else { return };
        for (name, text) in edit.set.iter().filter(|(name, _)| edit.module.field(name).is_some()) {
            put(edit.module, &mut held.values, name, text.clone());
        }
        held.references.extend(edit.points_to.iter().copied());
    }

    /// Carries a changed field over, unless the other side says the same already.
    fn carry_change(&mut self, who: Who, name: &'static str, from: Side) {
        let pair = &self.pairs[&who];
        let (Some(zoho), Some(vtiger)) = (&pair.zoho, &pair.vtiger) else { return };
        if let Some(reference) = who.0.reference(name) {
            self.point_over(who, reference, from);
            return;
        }
        let Some(field) = who.0.field(name) else { return };
        let value = |held: &Held| held.values.get(name).cloned().unwrap_or_default();
        if !agree(field, &value(zoho), &value(vtiger)) {
            self.put_over(who, field, from);
        }
    }

    fn note_conflict(&mut self, who: Who, name: &'static str) {
        if let Some(vtiger) = self.pairs[&who].vtiger.clone() {
            self.except(who, Side::Vtiger, &vtiger, name, "both-changed");
        }
    }

    /// Writes one side's value into the other side's record, as that side will show it.
    fn put_over(&mut self, who: Who, field: &'static Field, from: Side) {
        let to = other(from);
        let Some(source) = self.pairs[&who].on(from).cloned() else { return };
        let value = source.values.get(field.zoho).cloned().unwrap_or_default();
        let Some(carried) = carry(field, &value, to) else {
            self.except(who, from, &source, field.zoho, "no-counterpart-value");
            return;
        };
        if is_stored_differently(field, &value, to) {
            self.except(who, from, &source, field.zoho, "stored-differently");
        }
        if let Some(held) = self.pairs.get_mut(&who).and_then(|pair| pair.on_mut(to).as_mut()) {
            put(who.0, &mut held.values, field.zoho, carried);
        }
    }

    /// Lets the other side's record point to what this side's points to, if it can.
    fn point_over(&mut self, who: Who, reference: &Reference, from: Side) {
        let Some(source) = self.pairs[&who].on(from).cloned() else { return };
        let Some(number) = source.references.get(reference.zoho).copied() else { return };
        if !self.is_linked((reference.target, number)) {
            self.except(who, from, &source, reference.zoho, "reference-not-linked");
        } else if let Some(held) = self.pairs.get_mut(&who).and_then(|pair| pair.on_mut(other(from)).as_mut()) {
            held.references.insert(reference.zoho, number);
        }
    }

    fn except(&mut self, who: Who, side: Side, held: &Held, field: &'static str, reason: &'static str) {
        if let Some(record) = held.id.clone() {
            self.exceptions.insert(Exception { module: who.0, side, record, field, reason });
        }
    }
}

fn held(population: &Population, shown: &Shown) -> Held {
    Held {
        id: Some(shown.id.clone()),
        deleted: false,
        values: shown.values.clone(),
        owner: population.users[shown.owner].email,
        references: shown.references.clone(),
    }
}

/// What a record shows that was just made: flags are never blank.
fn new_values(module: Module) -> Values {
    let flags = module.fields().iter().filter(|field| field.kind == Kind::Flag);
    flags.map(|field| (field.zoho, "false".to_owned())).collect()
}

fn put(module: Module, values: &mut Values, name: &'static str, text: String) {
    let is_flag = module.field(name).is_some_and(|field| field.kind == Kind::Flag);
    if text.is_empty() && !is_flag {
        values.remove(name);
    } else {
        values.insert(name, text);
    }
}

fn shown(held: &Held) -> BTreeMap<&'static str, String> {
    let mut record: BTreeMap<&'static str, String> = held.values.clone();
    record.insert("Owner", held.owner.to_owned());
    record.extend(held.references.iter().map(|(name, number)| (*name, number.to_string())));
    record
}
