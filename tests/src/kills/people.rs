//! The people of a world: who they are by a tag in each record, and what they do at the two screens.

use std::collections::{BTreeMap, BTreeSet};

use crmsync_sandbox::people::{self, Side};
use crmsync_sandbox::rng::Rng;
use serde_json::Value;

use crate::Outcome;
use crate::crms::{Crms, SIDES, field_name};
use crate::workplace::now_ms;

/// The field that holds a person's tag: it is mapped, carried as it is, and nobody here edits it afterwards.
pub(super) const TAG_FIELD: &str = "Assistant";
/// Fields that people edit: all carried as they are, and long enough on both sides for the texts below.
const FIELDS: [&str; 6] = ["Title", "Department", "Mailing_City", "Mailing_Zip", "Other_City", "Description"];
/// Records that people delete in one world: few enough to stay below the safety stop.
const DELETES_MAX: usize = 2;

/// One edit of one person, in the order in which they were made.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    /// Whose screen.
    pub(super) side: Side,
    /// Which person.
    pub(super) tag: String,
    /// What was done.
    pub(super) what: What,
    /// When, in our clock.
    pub(super) at_ms: i64,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A field, by its Zoho name, was given a text that occurs nowhere else.
    Set(&'static str, String),
    /// A record was made.
    Create,
    /// It was deleted.
    Delete,
}

/// Live records of one side by their person's tag.
pub(super) type Roster = BTreeMap<String, Vec<Value>>;

/// The people and what they have done so far.
pub(super) struct People {
    rng: Rng,
    /// Everything that was done, oldest first.
    pub(super) edits: Vec<Edit>,
    /// Tags of seeded people, with the sides that show them.
    pub(super) seeded: BTreeMap<String, [bool; 2]>,
    /// Tags of records that fit more than one candidate: nothing is written for them.
    pub(super) ambiguous: BTreeSet<String>,
    /// Tags of people with a deleted record.
    pub(super) deleted: BTreeSet<String>,
    number: u64,
}

impl People {
    /// Writes a tag into every record of both CRMs, the same one for the same person.
    pub(super) async fn tag(crms: &Crms, records: usize, seed: u64) -> Outcome<People> {
        let population = people::generate(seed, records);
        let mut people = People {
            rng: Rng::fork(seed, "kills"),
            edits: Vec::new(),
            seeded: BTreeMap::new(),
            ambiguous: BTreeSet::new(),
            deleted: BTreeSet::new(),
            number: 0,
        };
        for person in &population.people {
            let tag = format!("p{}-{seed}", person.number);
            for side in SIDES {
                if let Some(shown) = person.shown(side) {
                    crms.edit(side, &shown.id, &BTreeMap::from([(TAG_FIELD, tag.clone())])).await?;
                }
            }
            if person.ambiguous {
                people.ambiguous.insert(tag.clone());
            }
            people.seeded.insert(tag, SIDES.map(|side| person.shown(side).is_some()));
        }
        Ok(people)
    }

    /// Some minutes of office life.
    pub(super) async fn edit(&mut self, crms: &Crms) -> Outcome<()> {
        let rosters = rosters(crms).await?;
        for _ in 0..2 + self.rng.below(5) {
            match self.rng.below(100) {
                0..12 => self.create(crms).await?,
                12..18 => self.delete(crms, &rosters).await?,
                18..40 => self.set_on_both(crms, &rosters).await?,
                _ => {
                    let side = *self.rng.pick(&SIDES);
                    if let Some(tag) = self.somebody(&rosters, &[side]) {
                        let field = *self.rng.pick(&FIELDS);
                        self.set(crms, &rosters, side, &tag, field).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Two colleagues at two screens: the same field, or two fields of one record.
    async fn set_on_both(&mut self, crms: &Crms, rosters: &[Roster; 2]) -> Outcome<()> {
        let Some(tag) = self.somebody(rosters, &SIDES) else { return Ok(()) };
        let field = *self.rng.pick(&FIELDS);
        let other = if self.rng.chance(60) { field } else { *self.rng.pick(&FIELDS) };
        self.set(crms, rosters, Side::Zoho, &tag, field).await?;
        self.set(crms, rosters, Side::Vtiger, &tag, other).await
    }

    async fn set(
        &mut self,
        crms: &Crms,
        rosters: &[Roster; 2],
        side: Side,
        tag: &str,
        field: &'static str,
    ) -> Outcome<()> {
        let text = format!("edit {}.", self.next_number());
        for record in &rosters[side as usize][tag] {
            let id = record["id"].as_str().unwrap_or_default();
            crms.edit(side, id, &BTreeMap::from([(field, text.clone())])).await?;
        }
        self.note(side, tag, What::Set(field, text));
        Ok(())
    }

    /// A new person; now and then both offices meet them on the same day.
    async fn create(&mut self, crms: &Crms) -> Outcome<()> {
        let number = self.next_number();
        let tag = format!("n{number}");
        let set = BTreeMap::from([
            ("First_Name", "Nikita".to_owned()),
            ("Last_Name", format!("Newcomer{number}")),
            ("Email", format!("nikita{number}@new.example")),
            (TAG_FIELD, tag.clone()),
        ]);
        let first = *self.rng.pick(&SIDES);
        let both = self.rng.chance(25);
        for side in SIDES.into_iter().filter(|side| both || *side == first) {
            crms.create(side, &set).await?;
            self.note(side, &tag, What::Create);
        }
        Ok(())
    }

    async fn delete(&mut self, crms: &Crms, rosters: &[Roster; 2]) -> Outcome<()> {
        let side = *self.rng.pick(&SIDES);
        let Some(tag) = self.somebody(rosters, &[side]).filter(|_| self.deleted.len() < DELETES_MAX) else {
            return Ok(());
        };
        for record in &rosters[side as usize][&tag] {
            crms.delete(side, record["id"].as_str().unwrap_or_default()).await?;
        }
        self.deleted.insert(tag.clone());
        self.note(side, &tag, What::Delete);
        Ok(())
    }

    /// Somebody whom all these sides show, nobody has deleted, and who cannot be mixed up.
    fn somebody(&mut self, rosters: &[Roster; 2], sides: &[Side]) -> Option<String> {
        let shown = |tag: &&String| sides.iter().all(|side| rosters[*side as usize].contains_key(*tag));
        let known = rosters[sides[0] as usize].keys();
        let known: Vec<&String> =
            known.filter(shown).filter(|tag| !self.ambiguous.contains(*tag) && !self.deleted.contains(*tag)).collect();
        (!known.is_empty()).then(|| (*self.rng.pick(&known)).clone())
    }

    fn note(&mut self, side: Side, tag: &str, what: What) {
        self.edits.push(Edit { side, tag: tag.to_owned(), what, at_ms: now_ms() });
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }
}

/// What both sides show, by tag.
pub(super) async fn rosters(crms: &Crms) -> Outcome<[Roster; 2]> {
    let mut rosters = [Roster::new(), Roster::new()];
    for side in SIDES {
        for record in crms.records(side).await? {
            rosters[side as usize].entry(text(&record, side, TAG_FIELD)).or_default().push(record);
        }
    }
    Ok(rosters)
}

/// A field of a record as text, by its Zoho name.
pub(super) fn text(record: &Value, side: Side, field: &str) -> String {
    match &record[field_name(side, field)] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
