//! The questions: what must hold after every event, and what must hold when all is calm. The letters are those of the design.
//!
//! Checked at each write: I8 and I13 (no write before the moment that its CRM named, no call repeated before). At each commit: I9. After
//! each event: I2, I3, I5, I6, and the bound of I13. At rest: I1, I4, I7, I12, I14 (`audit.rs`). By small worlds: I10 (two tenants in one
//! database) and I15 (an old copy of it is put back), both in `tenants.rs`.
//!
//! What this level cannot ask: I11, as logins and refreshes are the door's (its own tests have callers and hosts that want one at once); of
//! I13 that *no* call goes to a CRM that asked for time, which is the door's as well; of I15 what becomes of records that nothing is
//! known by, which are copied once more: a known gap of the product.

use std::collections::{BTreeMap, BTreeSet};

use crmsync::store::{JournalRow, OutcomeRow};
use crmsync_core::retry::ATTEMPTS_MAX;
use crmsync_core::{DeletePolicy, FirstSync, Side, Value};

use crate::crm::{Fields, number};
use crate::people::{FIELDS, POISON, TAGS, tags_of};
use crate::world::{FLOWS, MARK, MARK_FIELD, World};

/// Records by code.
type ByCode = BTreeMap<String, Vec<Fields>>;

/// Who a record is.
pub(crate) fn code_of(fields: &Fields) -> String {
    fields["Code"].display()
}

impl World {
    fn by_code(&self, crm: usize) -> ByCode {
        let mut by_code = ByCode::new();
        for fields in self.crms[crm].live().into_values() {
            by_code.entry(code_of(&fields)).or_default().push(fields);
        }
        by_code
    }

    /// After every event.
    pub(crate) fn check_always(&self) {
        let mut wrong = Vec::new();
        let people = self.people();
        for (number, crm) in self.crms.iter().enumerate() {
            let name = crm.habits.name;
            for (code, records) in self.by_code(number) {
                if records.len() > 1 && !people.restored.contains(&code) {
                    wrong.push(format!("I2: {code} is {} times in {name}", records.len()));
                }
            }
            let state = crm.lock();
            wrong.extend(state.idle.iter().map(|what| format!("I5: an update changed nothing in {name}: {what}")));
            for (_, fields) in &state.deleted_by_host {
                let code = code_of(fields);
                let by_people = (0..self.crms.len())
                    .any(|other| other != number && people.ever_deleted.contains(&(code.clone(), other)));
                if self.kind.deletes != DeletePolicy::Recycle || !by_people {
                    wrong.push(format!("I6: {code} was deleted in {name}, and nobody had deleted it"));
                }
            }
        }
        // The left one of each flow enforces our key.
        if self.disk.tried_too_often(ATTEMPTS_MAX, Some(Side::Left)) > 0 {
            wrong.push("I13: a write was tried more often than a person is asked for".into());
        }
        if self.disk.linked_twice() > 0 {
            wrong.push("I3: a record is in two links".into());
        }
        self.log.lock().violations.extend(wrong);
    }

    /// S5: a first sync that only fills blanks, or asks, replaces nothing.
    pub(crate) fn check_first_sync(&self) {
        if self.kind.first_sync == FirstSync::Winner {
            return;
        }
        let mut wrong = Vec::new();
        let people = self.people();
        for ((code, crm, field), value) in &self.differing {
            let is_edited = people.edits.iter().any(|edit| edit.code == *code && edit.field == *field);
            let by_code = self.by_code(*crm);
            let shown = by_code.get(code).and_then(|records| records[0].get(*field));
            if !is_edited && shown != Some(value) {
                wrong.push(format!("S5: {code}.{field} was {value:?} in CRM {crm} and is {shown:?}"));
            }
        }
        drop(people);
        self.log.lock().violations.extend(wrong);
    }

    /// When all is calm.
    pub(crate) async fn check_at_rest(&mut self) {
        let before = self.writes();
        for _ in 0..2 {
            for flow in 0..self.settings.len() {
                self.tick(5_000);
                self.calm_run(flow).await;
            }
        }
        if self.writes() != before {
            self.log.violation("I1: a run with nothing to do wrote something".into());
        }
        self.check_always();
        self.check_log().await;
        let mut rests = Vec::new();
        for flow in 0..self.settings.len() {
            rests.push(Rest::of(self, flow).await);
        }
        // What waits for a person in one flow does so in the other one, too, which gets the record from it.
        let all: Vec<_> = rests.iter().map(|rest| [&rest.twins, &rest.open, &rest.asked].map(Clone::clone)).collect();
        for [twins, open, asked] in all {
            for rest in &mut rests {
                rest.twins.extend(twins.iter().cloned());
                rest.open.extend(open.iter().cloned());
                rest.asked.extend(asked.iter().cloned());
            }
        }
        let wrong: Vec<String> = rests.iter().flat_map(Rest::questions).collect();
        self.log.lock().violations.extend(wrong);
    }
}

/// What one flow has come to.
struct Rest<'a> {
    world: &'a World,
    flow: usize,
    sides: [usize; 2],
    by_code: [ByCode; 2],
    journal: Vec<JournalRow>,
    outcomes: Vec<OutcomeRow>,
    /// Entities of which people see twins, after a record came back from the bin.
    twins: BTreeSet<String>,
    /// Entities of which a person has to say what becomes of them.
    open: BTreeSet<String>,
    /// Entities whose create, or update, only a person can tell about.
    asked: BTreeSet<String>,
}

impl<'a> Rest<'a> {
    async fn of(world: &'a World, flow: usize) -> Rest<'a> {
        let journal = world.journal(flow).await;
        let store = &world.hosts[0];
        let outcomes = store.outcomes(world.tenant, FLOWS[flow]).await.expect("outcomes can be read");
        let sides = world.sides_of(flow);
        let by_code = sides.map(|crm| world.by_code(crm));
        let mut rest = Rest {
            world,
            flow,
            sides,
            by_code,
            journal,
            outcomes,
            twins: BTreeSet::new(),
            open: BTreeSet::new(),
            asked: BTreeSet::new(),
        };
        let restored = world.people().restored.clone();
        rest.twins = rest.entities_with(&["late-twin"]).into_iter().filter(|code| restored.contains(code)).collect();
        // Without our key in it nothing says whose copy comes back: one that was deleted before anybody had heard of it is not found when it
        // is looked for, and made again.
        if sides.iter().any(|&crm| world.crms[crm].habits.keyless) {
            let several = rest.by_code.iter().flatten().filter(|(_, records)| records.len() > 1);
            let codes: Vec<String> = several.map(|(code, _)| code.clone()).collect();
            rest.twins.extend(codes.into_iter().filter(|code| restored.contains(code)));
        }
        rest.open = rest.entities_with(&["restored-alone", "delete-against-edit"]);
        rest.asked = rest.entities_with(&["outcome-unknown", "attempts-used-up", "differs-ask"]);
        // What breaks the connector is tried again and again; so is what the same record shows besides.
        let is_poisoned = |fields: &&Fields| fields.values().any(|value| value.display().starts_with(POISON));
        let records = rest.by_code.iter().flat_map(BTreeMap::values).flatten();
        let poisoned: Vec<String> = records.filter(is_poisoned).map(code_of).collect();
        rest.asked.extend(poisoned);
        rest
    }

    /// Entities about which something was noted for one of these reasons.
    fn entities_with(&self, reasons: &[&str]) -> BTreeSet<String> {
        let noted = self.outcomes.iter().filter(|outcome| reasons.contains(&outcome.reason.as_str()));
        noted.filter_map(|outcome| self.entity_of(outcome)).collect()
    }

    /// Who an outcome is about: of a linked pair it names the left record, which may be gone.
    fn entity_of(&self, outcome: &OutcomeRow) -> Option<String> {
        let side = usize::from(outcome.side == "right");
        let found = self.world.crms[self.sides[side]].live().remove(&outcome.record);
        let right_of = || {
            let rights = self.world.crms[self.sides[1]].live();
            let mut lines = self.journal.iter().filter(|line| line.left_id == outcome.record);
            lines.find_map(|line| rights.get(&line.right_id).cloned())
        };
        found.or_else(right_of).map(|fields| code_of(&fields))
    }

    fn show(&self, side: usize, code: &str, field: &str) -> Value {
        let records = self.by_code[side].get(code);
        records.and_then(|records| records[0].get(field)).cloned().unwrap_or(Value::Empty)
    }

    fn questions(&self) -> Vec<String> {
        let mut wrong = self.duplicates();
        wrong.extend(self.entities());
        wrong.extend(self.edits());
        wrong.extend(self.lists());
        wrong.extend(self.unseen());
        wrong.extend(self.deletes());
        wrong.extend(self.unexpected());
        wrong
    }

    fn duplicates(&self) -> Vec<String> {
        let codes = self.by_code.iter().enumerate().flat_map(|(side, codes)| codes.iter().map(move |one| (side, one)));
        codes
            .filter(|(_, (code, records))| records.len() > 1 && !self.twins.contains(*code))
            .map(|(side, (code, records))| format!("I2: {code} is {} times on side {side}", records.len()))
            .collect()
    }

    /// I1: who is on both sides shows the same, and who is not has a reason.
    fn entities(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let people = self.world.people();
        let codes: BTreeSet<&String> = self.by_code.iter().flat_map(BTreeMap::keys).collect();
        for code in codes {
            let is_settled = !self.twins.contains(code) && !self.asked.contains(code) && !self.open.contains(code);
            if !is_settled {
                continue;
            }
            if people.is_out(code) {
                wrong.extend(self.left_alone(code, people.ended.contains(code)));
                continue;
            }
            if (0..2).any(|side| self.is_marked(side, code)) {
                wrong.push(format!("{code} is marked, and it is on both sides"));
            }
            if self.by_code.iter().any(|side| !side.contains_key(code)) {
                wrong.push(format!("I1: {code} is on one side only of {}", FLOWS[self.flow]));
                continue;
            }
            for field in self.world.settings[self.flow].edited() {
                wrong.extend(self.difference(code, field, &people));
            }
        }
        wrong
    }

    fn is_marked(&self, side: usize, code: &str) -> bool {
        self.show(side, code, MARK_FIELD) == Value::text(MARK)
    }

    /// What becomes of the other record of one that a person deleted.
    fn left_alone(&self, code: &str, ended: bool) -> Option<String> {
        let lives_on = |side: usize| self.by_code[side].contains_key(code);
        if self.flow > 0 || ended || lives_on(0) == lives_on(1) {
            return None;
        }
        let side = usize::from(lives_on(1));
        let live = self.world.crms[self.sides[side]].live();
        let was_linked = self.journal.iter().any(|line| {
            let id = if side == 0 { &line.left_id } else { &line.right_id };
            line.action == "removed" && live.get(id).is_some_and(|fields| code_of(fields) == code)
        });
        match self.world.kind.deletes {
            DeletePolicy::Mark if was_linked && !self.is_marked(side, code) => {
                Some(format!("{code} is not marked on side {side}"))
            }
            DeletePolicy::Recycle if was_linked => Some(format!("{code} stays on side {side}")),
            _ => None,
        }
    }

    /// S5, S12, S17: what differs between both sides is listed.
    fn is_listed(&self, code: &str, field: &str) -> bool {
        let listed = self.outcomes.iter().filter(|outcome| {
            matches!(outcome.kind.as_str(), "differs" | "left-out" | "needs-attention")
                && outcome.field.starts_with(field)
        });
        listed.into_iter().any(|outcome| self.entity_of(outcome).as_deref() == Some(code))
    }

    fn difference(&self, code: &str, field: &'static str, people: &crate::people::People) -> Option<String> {
        if self.world.loose.contains(field) {
            return None;
        }
        let (left, right) = (self.show(0, code, field), self.show(1, code, field));
        let [left_crm, right_crm] = self.sides.map(|crm| &self.world.crms[crm]);
        let agree = left == right
            || right_crm.keep(field, left.clone()) == right
            || left_crm.keep(field, right.clone()) == left;
        if agree || self.is_listed(code, field) {
            return None;
        }
        let blank = !left.is_filled() || !right.is_filled();
        let edited = people.edits.iter().any(|edit| edit.code == code && edit.field == field);
        (blank || edited).then(|| format!("I1: {code}.{field} is {left:?} and {right:?}"))
    }

    /// I4: each edit stands, was followed by another, or is in the log as the loser.
    fn edits(&self) -> Vec<String> {
        let people = self.world.people();
        let fields = self.world.settings[self.flow].edited();
        let mut wrong = Vec::new();
        for (index, edit) in people.edits.iter().enumerate().filter(|(_, edit)| fields.contains(&edit.field)) {
            let is_settled = !people.is_out(&edit.code)
                && [&self.open, &self.twins, &self.asked].iter().all(|set| !set.contains(&edit.code));
            let later =
                people.edits[index + 1..].iter().any(|other| other.code == edit.code && other.field == edit.field);
            if !is_settled || later || edit.value.display().starts_with(POISON) {
                continue;
            }
            // A blank is filled by what is agreed anew on its row.
            if !edit.value.is_filled() && self.world.adopted.contains(edit.field) {
                continue;
            }
            if !self.stands(edit) && !self.is_lost_to_another(edit) {
                wrong.push(format!("I4: {}.{} = {:?} is lost", edit.code, edit.field, edit.value));
            }
        }
        wrong
    }

    /// Whole: a text that one side cut must not come back cut to the side where it was typed. Capitals are what a CRM makes of it.
    fn stands(&self, edit: &crate::people::Edit) -> bool {
        let typed = edit.value.display();
        (0..2).any(|side| {
            let shown = self.show(side, &edit.code, edit.field);
            let is_capital = self.sides.iter().any(|&crm| self.world.crms[crm].habits.capitals == Some(edit.field));
            shown == edit.value || (is_capital && shown.display() == typed.to_uppercase())
        })
    }

    fn is_lost_to_another(&self, edit: &crate::people::Edit) -> bool {
        let quoted = format!("{:?}", edit.value.display());
        let key = format!("{0}={0}", edit.field);
        self.journal
            .iter()
            .filter(|line| line.action == "conflict")
            .any(|line| if edit.value.is_filled() { line.before.contains(&quoted) } else { line.field == key })
    }

    fn lists(&self) -> Vec<String> {
        let people = self.world.people();
        if !self.world.settings[self.flow].fields().contains(&TAGS) {
            return vec![];
        }
        let is_open = |code: &String| {
            people.is_out(code) || [&self.open, &self.twins, &self.asked].iter().any(|set| set.contains(code))
        };
        let lost = people.tags.iter().filter(|(code, tag)| {
            let has = |side: &ByCode| side.get(code).is_some_and(|records| tags_of(&records[0]).contains(tag));
            !is_open(code) && !self.by_code.iter().all(has)
        });
        lost.map(|(code, tag)| format!("I4: {code} lacks the entry {tag}")).collect()
    }

    /// I7: nothing in a CRM is newer than what was seen of it.
    fn unseen(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for side in Side::BOTH {
            let crm = &self.world.crms[self.sides[side as usize]];
            let state = crm.lock();
            for (id, row) in state.rows.iter().filter(|(_, row)| !row.deleted) {
                let record = crm.record(&state, *id, row, &[]);
                if !self.world.disk.has_seen(self.world.pairs[self.flow], side, &record.id, &record.version) {
                    let who = code_of(&row.fields);
                    let name = crm.habits.name;
                    wrong.push(format!("I7: {who} ({id}) at {} was not seen in {name}", record.version));
                }
            }
        }
        wrong
    }

    /// What brings a deleted record back: the log holds all that it showed. A record that a person has taken back from the bin is there by
    /// itself, and where nobody had heard of the delete yet, nobody ever does.
    fn deletes(&self) -> Vec<String> {
        if self.flow > 0 {
            return vec![];
        }
        let mut wrong = Vec::new();
        for side in 0..2 {
            let state = self.world.crms[self.sides[side]].lock();
            let is_away = |id: &String| !state.taken_back.contains(&number(id));
            for (id, fields) in state.deleted_by_host.iter().filter(|(id, _)| is_away(id)) {
                let is_about = |line: &&JournalRow| {
                    line.action == "deleted" && id == if side == 0 { &line.left_id } else { &line.right_id }
                };
                let images =
                    self.journal.iter().filter(is_about).map(|line| {
                        serde_json::from_str::<BTreeMap<String, Vec<Value>>>(&line.before).unwrap_or_default()
                    });
                let is_whole = |image: &BTreeMap<String, Vec<Value>>| {
                    FIELDS.iter().filter(|field| !self.world.adopted.contains(*field)).all(|field| {
                        let kept = image.get(&format!("{field}={field}")).map(|values| values[0].display());
                        kept.unwrap_or_default() == fields.get(*field).map(Value::display).unwrap_or_default()
                    })
                };
                let images: Vec<_> = images.collect();
                if !images.iter().any(is_whole) {
                    let code = code_of(fields);
                    wrong
                        .push(format!("{code} was deleted on side {side} with {fields:?}, and the log has {images:?}"));
                }
            }
        }
        wrong
    }

    fn unexpected(&self) -> Vec<String> {
        let people = self.world.people();
        let mut wrong = Vec::new();
        for outcome in self.outcomes.iter().filter(|outcome| outcome.kind == "needs-attention") {
            let by_nature = match outcome.reason.as_str() {
                "delete-against-edit" | "late-twin" | "restored-alone" | "differs-ask" => true,
                "outcome-unknown" => self.world.crms[self.sides[1]].module().key_field.is_empty(),
                "attempts-used-up" => people.types_poison,
                // Administrators closed the field, and all that was to be written was in it.
                "refused-by-crm" => {
                    self.world.adopted.contains(outcome.field.as_str())
                        || self.world.loose.contains(outcome.field.as_str())
                }
                _ => false,
            };
            if !by_nature {
                wrong.push(format!("unexpected: {outcome:?}"));
            }
        }
        wrong
    }
}
