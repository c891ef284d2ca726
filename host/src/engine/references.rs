//! References: what a record points to, on the other side.
//!
//! A reference goes over as soon as its target is linked, or matched, which is as good: matched records are linked before anything is
//! written. Modules run in the order of their references, so what points to another module finds its target in the same run. Within one
//! module (who reports to whom, who is a member of what) new records point to each other in circles: they are created without, and told in
//! a second pass. What points to something that is not linked is left out with a reason, and is looked at again whenever something was
//! linked.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crmsync_core::decide::{Operation, reason};
use crmsync_core::{Base, Presence, Role, Side, Value};

use super::error::Error;
use super::plan::{Decided, field_label};
use super::report::{PlanCounts, count};
use super::setup::{PairSetup, RunSetup};
use super::view::Shown;
use crate::store::{ListedItem, UnitRow};

/// What the references of a portion are on the other side: `Module/id` → `Module/id`, for modules that the flow has.
pub(super) async fn linked_references(
    run: &RunSetup,
    pair: &PairSetup,
    units: &[Shown],
    from: Side,
    planned: Option<&Planned>,
) -> Result<BTreeMap<String, String>, Error> {
    let mut wanted: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (index, row) in pair.mapping.rows.iter().enumerate() {
        if row.role == Role::Reference {
            for unit in units {
                for (module, id) in unit.rows[index][from as usize].iter().filter_map(Value::reference) {
                    wanted.entry(module).or_default().insert(id.to_owned());
                }
            }
        }
    }
    let mut linked = BTreeMap::new();
    for (module, ids) in wanted {
        let Some(target) = run.pairs.iter().find(|pair| pair.module(from).name == module) else { continue };
        let other_module = &target.module(from.other()).name;
        if let Some(planned) = planned {
            let new = ids.iter().map(|id| format!("{module}/{id}")).filter(|text| planned.is_created(from, text));
            // Only counted, never sent: the record has no id yet.
            linked.extend(new.map(|text| (text.clone(), promised(other_module, &text))));
        }
        let found = run.store.linked_to(run.tenant(), target.id, from, ids.into_iter().collect()).await?;
        for (id, other) in found {
            linked.insert(format!("{module}/{id}"), format!("{other_module}/{other}"));
        }
    }
    Ok(linked)
}

/// How a preview names the record that the run will create for this one (`Module/id`): it has no id yet.
pub(super) fn promised(module: &str, source: &str) -> String {
    format!("{module}/(copy of {source})")
}

/// A CRM that deletes a record empties the references to it, mostly without a trace in the records that had them. That is nobody's edit:
/// the other side keeps what it has. So where a reference was emptied, its target is asked for, and if it is gone the empty field is what
/// was agreed.
pub(super) async fn settle_lost_targets(
    run: &RunSetup,
    pair: &PairSetup,
    units: &mut [UnitRow],
    shown: &[Shown],
) -> Result<(), Error> {
    for side in Side::BOTH {
        let mut emptied: BTreeMap<String, BTreeMap<String, Vec<(usize, usize)>>> = BTreeMap::new();
        for (index, row) in pair.mapping.rows.iter().enumerate().filter(|(_, row)| row.role == Role::Reference) {
            for (at, (unit, shown)) in units.iter().zip(shown).enumerate() {
                let base = unit.link.as_ref().and_then(|link| link.bases.get(&row.key.0)?.side(side).as_ref());
                let is_empty = matches!(shown.rows[index][side as usize][..], [Value::Empty]);
                let was = base.and_then(|base| base.values.first()).and_then(Value::reference);
                if let (Presence::Live, true, Some((module, id))) = (shown.presence[side as usize], is_empty, was) {
                    let ids = emptied.entry(module.to_owned()).or_default();
                    ids.entry(id.to_owned()).or_default().push((at, index));
                }
            }
        }
        for (module, ids) in emptied {
            // Without a pair there is nothing that the other side could be told.
            let Some(target) = run.pairs.iter().find(|pair| pair.module(side).name == module) else { continue };
            let asked: Vec<String> = ids.keys().cloned().collect();
            let mut gone = Vec::new();
            for chunk in asked.chunks(target.module(side).fetch_rows.max(1)) {
                gone.extend(super::call::fetch(run, target, side, chunk, &[]).await?.absent);
            }
            for &(at, index) in gone.iter().filter_map(|id| ids.get(id)).flatten() {
                let row = &pair.mapping.rows[index];
                let bases = units[at].link.as_mut().and_then(|link| link.bases.get_mut(&row.key.0));
                if let Some(base) = bases.and_then(|bases| bases.side_mut(side).as_mut()) {
                    *base = Base::shown(base.row_hash, vec![Value::Empty]);
                }
            }
        }
    }
    Ok(())
}

/// What a preview knows of the records that the run will create, so that it can count what comes of references to them.
#[derive(Debug, Default)]
pub(super) struct Planned {
    /// `Module/id` of the records on either side that will be created on the other one.
    created: [HashSet<String>; 2],
    /// Of the module that is looked at now: they are there for its own second pass only.
    of_this_module: [HashSet<String>; 2],
    /// References that were left out, and are filled in the second pass if their target is among the new records.
    left_out: Vec<LeftOut>,
}

#[derive(Debug)]
struct LeftOut {
    target: String,
    /// The side that shows the reference.
    from: Side,
    /// Its record, as the second pass tells a record once.
    record: String,
    label: String,
    /// The line of the preview, under the name that its count has; none for a new record, which has no blank to fill.
    fills: Option<(String, ListedItem)>,
    /// The line of the preview if it stays left out; none if nothing is listed.
    stays: Option<ListedItem>,
}

impl Planned {
    fn is_created(&self, from: Side, reference: &str) -> bool {
        self.created[from as usize].contains(reference)
    }

    /// Takes note of one decided unit. References that are left out so far are taken from its lines: only the end of the module tells
    /// what becomes of them.
    pub(super) fn note(&mut self, unit: &Decided, pair: &PairSetup, names: [&str; 2], lines: &mut Vec<ListedItem>) {
        for write in unit.writes().iter().filter(|write| write.operation == Operation::Create) {
            let from = write.side.other();
            let text = format!("{}/{}", pair.module(from).name, unit.record(from));
            self.of_this_module[from as usize].insert(text);
        }
        let is_new = unit.writes().iter().any(|write| write.operation == Operation::Create);
        for held in unit.held().iter().filter(|held| held.reason == reason::REFERENCE_NOT_LINKED) {
            let from = held.side.other();
            let Some((module, id)) = unit.shown(held.row, from).first().and_then(Value::reference) else { continue };
            let name = names[held.side as usize];
            let field = &pair.mapping.rows[held.row].key.0;
            let line =
                lines.iter().position(|line| line.reason == reason::REFERENCE_NOT_LINKED && line.field == *field);
            self.left_out.push(LeftOut {
                target: format!("{module}/{id}"),
                from,
                record: unit.record(from),
                label: field_label(&pair.mapping, held.row, held.side),
                fills: (!is_new).then(|| {
                    let label = field_label(&pair.mapping, held.row, held.side);
                    let item = ListedItem {
                        kind: "filled",
                        side: Some(held.side),
                        left_id: unit.record(Side::Left),
                        right_id: unit.record(Side::Right),
                        field: pair.mapping.rows[held.row].key.0.clone(),
                        label: label.clone(),
                        after: format!("the counterpart of {module}/{id}"),
                        ..ListedItem::default()
                    };
                    (format!("{name}: {label}"), item)
                }),
                stays: line.map(|line| lines.remove(line)),
            });
        }
    }

    /// The module is done: counts what its second pass will tell, and lets the modules behind it point to its new records. Gives the
    /// lines that a listing has of it.
    pub(super) fn end_of_module(&mut self, counts: &mut PlanCounts) -> Vec<ListedItem> {
        let mut items = Vec::new();
        let mut told: BTreeSet<(Side, String)> = BTreeSet::new();
        for left_out in std::mem::take(&mut self.left_out) {
            if !self.of_this_module[left_out.from as usize].contains(&left_out.target) {
                items.extend(left_out.stays);
                continue;
            }
            let name = format!("{}: {}", reason::REFERENCE_NOT_LINKED, left_out.label);
            if let Some(count) = counts.left_out.get_mut(&name) {
                *count -= 1;
            }
            if let Some((name, item)) = left_out.fills {
                count(&mut counts.fills, name);
                items.push(item);
            }
            if told.insert((left_out.from, left_out.record)) {
                match left_out.from.other() {
                    Side::Left => counts.update_left += 1,
                    Side::Right => counts.update_right += 1,
                }
            }
        }
        counts.left_out.retain(|_, count| *count > 0);
        for (created, new) in self.created.iter_mut().zip(&mut self.of_this_module) {
            created.extend(new.drain());
        }
        items
    }
}
