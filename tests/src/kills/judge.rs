//! What was lost, doubled or skipped? Asked of the servers' records and histories; of the product only the sync log and the list of
//! outcomes are believed, as they are where a loser's value or a record that needs a person has to be found.

use std::collections::BTreeMap;

use crmsync::store::{JournalRow, OutcomeRow};
use crmsync_sandbox::history::{Actor, Event};
use crmsync_sandbox::people::Side;
use crmsync_sandbox::vtiger::column_chars_max;
use serde_json::Value;

use super::Report;
use super::people::{Edit, People, Roster, TAG_FIELD, What, rosters, text};
use crate::Outcome;
use crate::crms::{SIDES, SYSTEM_FIELDS, field_name};
use crate::workplace::Workplace;

/// Everything that a world leaves behind.
pub(super) struct Evidence<'a> {
    people: &'a People,
    rosters: [Roster; 2],
    events: [Vec<Event>; 2],
    journal: Vec<JournalRow>,
    outcomes: Vec<OutcomeRow>,
    /// Moments in the CRMs' clock between a kill and the next run.
    absences: &'a [(i64, i64)],
}

/// One thing that is not as it must be.
enum Wrong {
    Duplicate(u64, String),
    Lost(String),
    Skipped(String),
    Twice(String),
    Odd(String),
}

impl<'a> Evidence<'a> {
    pub(super) async fn gather(
        workplace: &Workplace,
        people: &'a People,
        absences: &'a [(i64, i64)],
    ) -> Outcome<Evidence<'a>> {
        let crms = &workplace.crms;
        Ok(Evidence {
            people,
            rosters: rosters(crms).await?,
            events: [crms.events(Side::Zoho).await?, crms.events(Side::Vtiger).await?],
            journal: workplace.log().await?,
            outcomes: workplace.outcomes().await?,
            absences,
        })
    }

    fn records(&self, side: Side, tag: &str) -> &[Value] {
        self.rosters[side as usize].get(tag).map_or(&[], Vec::as_slice)
    }

    /// Ids of this person's live records, on either side.
    fn ids(&self, tag: &str) -> Vec<&str> {
        SIDES.into_iter().flat_map(|side| self.records(side, tag)).filter_map(|record| record["id"].as_str()).collect()
    }

    /// When our log says that both records of this person became one thing; none if they never did.
    fn linked_at_ms(&self, tag: &str) -> Option<i64> {
        let ids = self.ids(tag);
        let about = |line: &&JournalRow| ids.contains(&line.left_id.as_str()) || ids.contains(&line.right_id.as_str());
        let lines =
            self.journal.iter().filter(about).filter(|line| ["linked", "created"].contains(&line.action.as_str()));
        lines.map(|line| line.at_ms).min()
    }

    fn is_listed(&self, tag: &str, kinds: &[&str], field: &str) -> bool {
        let ids = self.ids(tag);
        self.outcomes.iter().any(|outcome| {
            ids.contains(&outcome.record.as_str())
                && kinds.contains(&outcome.kind.as_str())
                && (outcome.field.is_empty() || outcome.field.split('=').next() == Some(field))
        })
    }

    /// What was made of one field, by whom, on each side.
    fn history(&self, ids: &[&str], field: &str) -> Vec<(Side, i64, Actor, String)> {
        let of = |side: Side| {
            let events = self.events[side as usize].iter().filter(|event| ids.contains(&event.id.as_str()));
            events.filter_map(move |event| {
                let after = event.after.as_ref()?;
                after.get(field_name(side, field))?;
                Some((side, event.at_ms, event.actor, text(after, side, field)))
            })
        };
        SIDES.into_iter().flat_map(of).collect()
    }

    /// The value is in the sync log as the one that lost to the other side's.
    fn is_loser(&self, value: &str) -> bool {
        self.journal.iter().any(|line| line.action == "conflict" && line.before.contains(value))
    }

    /// Whether a write of ours to this record only names people whom somebody had deleted there by then: the CRM shows nothing of
    /// that, and nobody can know before it was looked for.
    fn names_the_deleted(&self, side: Side, event: &Event) -> bool {
        let is_gone = |value: &Value| {
            let named = value["r"].as_str().and_then(|reference| reference.split_once('/'));
            let gone = |other: &Event| other.op == "delete" && other.at_ms <= event.at_ms;
            named.is_some_and(|(_, id)| self.events[side as usize].iter().any(|other| other.id == id && gone(other)))
        };
        let written = |line: &JournalRow| -> BTreeMap<String, Vec<Value>> {
            serde_json::from_str(&line.after).unwrap_or_default()
        };
        let lines = self.journal.iter().filter(|line| ["updated", "unknown"].contains(&line.action.as_str()));
        let mut about = lines.filter(|line| [&line.left_id, &line.right_id].contains(&&event.id));
        about.any(|line| !written(line).is_empty() && written(line).values().flatten().all(is_gone))
    }

    fn ours(&self) -> impl Iterator<Item = (Side, &Event)> {
        let ours = |side: Side| self.events[side as usize].iter().map(move |event| (side, event));
        SIDES.into_iter().flat_map(ours).filter(|(_, event)| event.actor == Actor::Api)
    }
}

/// Adds what the evidence shows to the report.
pub(super) fn judge(seed: u64, evidence: &Evidence<'_>, report: &mut Report) {
    report.edits += evidence.people.edits.len() as u64;
    report.conflicts += evidence.journal.iter().filter(|line| line.action == "conflict").count() as u64;
    let late = |event: &Event| evidence.absences.iter().any(|(from, to)| (*from + 1..=*to).contains(&event.at_ms));
    report.late_commits += evidence.ours().filter(|(_, event)| late(event)).count() as u64;
    for outcome in evidence.outcomes.iter().filter(|outcome| outcome.kind == "needs-attention") {
        *report.attention.entry(outcome.reason.clone()).or_default() += 1;
    }
    let wrongs = [presence(evidence), edits(evidence), deletes(evidence), twice(evidence), attention(evidence)];
    for wrong in wrongs.into_iter().flatten() {
        let story = match wrong {
            Wrong::Duplicate(count, story) => {
                report.duplicates += count;
                story
            }
            Wrong::Lost(story) => {
                report.lost_updates += 1;
                format!("lost: {story}")
            }
            Wrong::Skipped(story) => {
                report.skipped_changes += 1;
                format!("skipped: {story}")
            }
            Wrong::Twice(story) => {
                report.written_twice += 1;
                format!("written twice: {story}")
            }
            Wrong::Odd(story) => story,
        };
        report.problems.push(format!("world {seed}: {story}"));
    }
}

/// Everybody is on both sides, once.
fn presence(evidence: &Evidence<'_>) -> Vec<Wrong> {
    let people = evidence.people;
    let newcomers =
        people.edits.iter().filter(|edit| edit.what == What::Create).map(|edit| (edit.tag.clone(), [true, true]));
    let expected: BTreeMap<String, [bool; 2]> = people.seeded.clone().into_iter().chain(newcomers).collect();
    let mut wrong = Vec::new();
    for (tag, seeded) in &expected {
        for side in SIDES {
            let records = evidence.records(side, tag);
            if records.len() > 1 {
                let ids: Vec<&Value> = records.iter().map(|record| &record["id"]).collect();
                wrong.push(Wrong::Duplicate(
                    records.len() as u64 - 1,
                    format!("{tag} is {} times on {side:?}: {ids:?}", records.len()),
                ));
            }
            if people.deleted.contains(tag) {
                continue;
            }
            let must_be = if people.ambiguous.contains(tag) { seeded[side as usize] } else { true };
            match (records.is_empty(), must_be) {
                (true, true) if seeded[side as usize] && people.seeded.contains_key(tag) => {
                    wrong.push(Wrong::Odd(format!("the seeded record of {tag} on {side:?} is gone")));
                }
                (true, true) => wrong.push(Wrong::Skipped(format!("{tag} was never created on {side:?}"))),
                (false, false) => {
                    wrong.push(Wrong::Odd(format!("{tag} could not be told from others, and was copied to {side:?}")))
                }
                _ => {}
            }
        }
    }
    for side in SIDES {
        for tag in evidence.rosters[side as usize].keys().filter(|tag| !expected.contains_key(*tag)) {
            wrong.push(Wrong::Odd(format!("a record on {side:?} belongs to nobody: `{tag}`")));
        }
    }
    wrong
}

/// Each edit is in the final state of both sides, replaced by a later one, or in the sync log.
fn edits(evidence: &Evidence<'_>) -> Vec<Wrong> {
    let mut by_field: BTreeMap<(&str, &str), Vec<(&Edit, &str)>> = BTreeMap::new();
    for edit in &evidence.people.edits {
        if let What::Set(field, value) = &edit.what
            && !evidence.people.deleted.contains(&edit.tag)
        {
            by_field.entry((&edit.tag, field)).or_default().push((edit, value));
        }
    }
    by_field.into_iter().flat_map(|((tag, field), edits)| one_field(evidence, tag, field, &edits)).collect()
}

fn one_field(evidence: &Evidence<'_>, tag: &str, field: &str, edits: &[(&Edit, &str)]) -> Vec<Wrong> {
    let [Some(left), Some(right)] =
        SIDES.map(|side| evidence.records(side, tag).first().map(|record| text(record, side, field)))
    else {
        // Told by `presence` already.
        return vec![];
    };
    let ids = evidence.ids(tag);
    let story = |value: &str| {
        let history = evidence.history(&ids, field);
        format!(
            "{tag} {ids:?} {field} = `{value}`; now `{left}` and `{right}`; all edits {edits:?}; history {history:?}"
        )
    };
    // What somebody typed over on the same screen was seen and replaced by people.
    let typed_over = |edit: &Edit| edits.iter().any(|(later, _)| later.side == edit.side && later.at_ms > edit.at_ms);
    let lost = |edits: &[(&Edit, &str)]| -> Vec<Wrong> {
        edits
            .iter()
            .filter(|(edit, value)| !typed_over(edit) && !evidence.is_loser(value))
            .map(|(_, value)| Wrong::Lost(story(value)))
            .collect()
    };
    if left.trim() == right.trim() || kept_by_vtiger(field, &left).trim() == right.trim() {
        // What came before the value that stands was replaced by it; what came later must have lost to it, in the open.
        let stands = edits.iter().position(|(_, value)| *value == left);
        return lost(&edits[stands.map_or(0, |place| place + 1)..]);
    }
    // Before the first sync has paired two records there is nothing to compare an edit with: both values stay, and that is listed (S5).
    let linked_at_ms = evidence.linked_at_ms(tag).unwrap_or(i64::MAX);
    let before_first_sync = edits.iter().all(|(edit, _)| edit.at_ms < linked_at_ms);
    if !(before_first_sync && evidence.is_listed(tag, &["differs"], field)) {
        return vec![Wrong::Skipped(story(edits.last().map_or("", |(_, value)| value)))];
    }
    let last_of = |side: Side| edits.iter().rfind(|(edit, _)| edit.side == side).copied();
    let shown = |side: Side| if side == Side::Zoho { &left } else { &right };
    let gone = SIDES.into_iter().filter_map(|side| last_of(side).filter(|(_, value)| value != shown(side)));
    lost(&gone.collect::<Vec<_>>())
}

/// What Vtiger makes of a text from Zoho: its database has no characters outside the basic plane, and its columns cut.
fn kept_by_vtiger(field: &str, text: &str) -> String {
    let kept: String = text.chars().map(|c| if c > '\u{ffff}' { "????".to_owned() } else { c.to_string() }).collect();
    let chars_max = column_chars_max("Contacts", field_name(Side::Vtiger, field)).unwrap_or(usize::MAX);
    kept.chars().take(chars_max).collect()
}

/// A deleted record stays deleted, and people are told.
fn deletes(evidence: &Evidence<'_>) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    for edit in evidence.people.edits.iter().filter(|edit| edit.what == What::Delete) {
        let (tag, other) = (edit.tag.as_str(), if edit.side == Side::Zoho { Side::Vtiger } else { Side::Zoho });
        let was_linked = evidence.linked_at_ms(tag).is_some_and(|linked_at_ms| linked_at_ms < edit.at_ms);
        if !was_linked {
            // Before it was linked, a person who is on the other side too is simply created again.
            continue;
        }
        if !evidence.records(edit.side, tag).is_empty() {
            wrong.push(Wrong::Odd(format!("{tag} was deleted on {:?} and came back", edit.side)));
        }
        if !evidence.records(other, tag).is_empty()
            && !evidence.is_listed(tag, &["removed", "needs-attention"], "")
            && !told(evidence, tag)
        {
            wrong.push(Wrong::Skipped(format!(
                "nobody was told that {tag} {:?} was deleted on {:?}",
                evidence.ids(tag),
                edit.side
            )));
        }
    }
    wrong
}

fn told(evidence: &Evidence<'_>, tag: &str) -> bool {
    let ids = evidence.ids(tag);
    let about = |line: &JournalRow| ids.contains(&line.left_id.as_str()) || ids.contains(&line.right_id.as_str());
    evidence.journal.iter().any(|line| ["removed", "attention"].contains(&line.action.as_str()) && about(line))
}

/// No write of ours changed nothing, and none created anybody for the second time, unless a person had deleted the first one.
fn twice(evidence: &Evidence<'_>) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    for side in SIDES {
        let mut made: BTreeMap<&str, String> = BTreeMap::new();
        for event in &evidence.events[side as usize] {
            let ours = event.actor == Actor::Api;
            match event.op.as_str() {
                "create" if ours => {
                    let tag = event.after.as_ref().map(|after| text(after, side, TAG_FIELD)).unwrap_or_default();
                    let again = made.values().filter(|known| **known == tag).count();
                    if again > 0 {
                        wrong.push(Wrong::Twice(format!("{tag} was created {} times on {side:?}", again + 1)));
                    }
                    made.insert(&event.id, tag);
                }
                "update" if ours && !changes_something(event) && !evidence.names_the_deleted(side, event) => {
                    let id = &event.id;
                    wrong.push(Wrong::Twice(format!(
                        "{id} on {side:?} was written with what it showed already (event {})",
                        event.seq
                    )));
                }
                "delete" if ours => wrong.push(Wrong::Odd(format!("{} on {side:?} was deleted by us", event.id))),
                "delete" => drop(made.remove(event.id.as_str())),
                _ => {}
            }
        }
    }
    wrong
}

fn changes_something(event: &Event) -> bool {
    let after = event.after.as_ref().and_then(Value::as_object);
    let before = event.before.as_ref();
    after.into_iter().flatten().any(|(name, value)| {
        !SYSTEM_FIELDS.contains(&name.as_str()) && before.and_then(|before| before.get(name)) != Some(value)
    })
}

/// Only records that a person has to look at are handed to people.
fn attention(evidence: &Evidence<'_>) -> Vec<Wrong> {
    let ambiguous: Vec<&str> = evidence.people.ambiguous.iter().flat_map(|tag| evidence.ids(tag)).collect();
    let is_odd = |outcome: &&OutcomeRow| match outcome.reason.as_str() {
        "more-than-one-match" => !ambiguous.contains(&outcome.record.as_str()),
        "delete-against-edit" => evidence.people.deleted.is_empty(),
        _ => true,
    };
    let odd = evidence.outcomes.iter().filter(|outcome| outcome.kind == "needs-attention").filter(is_odd);
    odd.map(|outcome| {
        let what = if outcome.field.is_empty() { "" } else { field_name(Side::Zoho, &outcome.field) };
        Wrong::Odd(format!(
            "{} needs attention without need: {} {what} {}",
            outcome.record, outcome.reason, outcome.detail
        ))
    })
    .collect()
}
