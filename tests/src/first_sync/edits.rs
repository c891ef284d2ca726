//! People edit linked records on both sides between two runs, in different fields and in the same one; then losers are restored.

use std::collections::{BTreeMap, BTreeSet};

use crmsync::engine::UndoReport;
use crmsync::store::JournalRow;
use crmsync_sandbox::people::Side;
use serde_json::Value;

use super::changes;
use super::joined::Pair;
use super::report::Report;
use super::stage::Stage;
use crate::Outcome;
use crate::crms::{SIDES, field_name, name};
use crate::workplace::FLOW;

const PART: &str = "B";
/// The field that Zoho's people edit, and the one that Vtiger's people do: carried as they are.
const OWN_FIELDS: [&str; 2] = ["Title", "Department"];
/// The field that both edit.
const SHARED_FIELD: &str = "Mailing_City";
/// Losers that are restored.
const RESTORED: usize = 5;

/// What people type, nowhere else.
fn typed(side: Side, what: &str, number: usize) -> String {
    format!("{} {what} {number}.", name(side))
}

/// Edits, and judges what became of each edit.
pub(super) async fn judge(stage: &Stage, pairs: &[Pair], edits: usize, report: &mut Report) -> Outcome<()> {
    let many = edits.min(pairs.len() / 2);
    let (apart, same) = (&pairs[..many], &pairs[many..many * 2]);
    report.tell(PART, "records edited on both sides, in different fields and in the same one, each", many);
    stage.apart().await?;
    for (number, pair) in apart.iter().enumerate() {
        for side in SIDES {
            let set = BTreeMap::from([(OWN_FIELDS[side as usize], typed(side, "own", number))]);
            stage.crms().edit(side, &pair[side as usize], &set).await?;
        }
    }
    for (number, pair) in same.iter().enumerate() {
        for side in SIDES {
            let set = BTreeMap::from([(SHARED_FIELD, typed(side, "both", number))]);
            stage.crms().edit(side, &pair[side as usize], &set).await?;
        }
    }
    let before = changes::ends(stage.crms()).await?;
    let runs = stage.calm("edits on both sides", report).await?;

    let shown = Shown::read(stage).await?;
    let mut lost = Vec::new();
    for (number, pair) in apart.iter().enumerate() {
        for editor in SIDES {
            shown.expect(pair, OWN_FIELDS[editor as usize], &typed(editor, "own", number), &mut lost);
        }
    }
    report.none(PART, "edits in different fields that are not on both sides", &lost);
    let mut lost = Vec::new();
    for (number, pair) in same.iter().enumerate() {
        shown.expect(pair, SHARED_FIELD, &typed(Side::Zoho, "both", number), &mut lost);
    }
    report.none(PART, "winner's values that are not on both sides", &lost);
    let log = stage.workplace.log().await?;
    let told: BTreeSet<(&str, String)> = log.iter().filter_map(loser).collect();
    let untold: Vec<String> = (0..many)
        .filter(|number| !told.contains(&(same[*number][1].as_str(), typed(Side::Vtiger, "both", *number))))
        .map(|number| typed(Side::Vtiger, "both", number))
        .collect();
    report.none(PART, "losers that are not in the sync log", &untold);
    let written = changes::of_updates(&changes::events_after(stage.crms(), before).await?);
    report.equal(PART, "values written: one for each edit that travels", written.len(), many * 3);
    restore(stage, &same[..RESTORED.min(same.len())], runs[0].run, report).await
}

/// The value that lost in a line of the sync log, with its Vtiger record.
fn loser(line: &JournalRow) -> Option<(&str, String)> {
    let values: Vec<crmsync_core::Value> = serde_json::from_str(&line.before).ok()?;
    let text = values.first()?.display();
    let is_loser = line.action == "conflict" && line.side == "right" && line.field.starts_with(SHARED_FIELD);
    is_loser.then_some((line.right_id.as_str(), text))
}

/// A person wants losers back: first where they stood, then everywhere.
async fn restore(stage: &Stage, pairs: &[Pair], run: i64, report: &mut Report) -> Outcome<()> {
    let run = run.to_string();
    let mut taken_back = 0;
    for [_, vtiger] in pairs {
        let which = ["--run", &run, "--record", vtiger, "--field", SHARED_FIELD, "--yes"];
        let undone: UndoReport = stage.ask(&[&["flow", "undo", FLOW], &which[..]].concat()).await?;
        taken_back += undone.written;
        stage.apart().await?;
    }
    report.equal(PART, "losers put back by `flow undo`", taken_back, pairs.len() as u64);
    let shown = Shown::read(stage).await?;
    let mut wrong = Vec::new();
    for (number, pair) in pairs.iter().enumerate() {
        for side in SIDES {
            shown.expect_on(side, pair, SHARED_FIELD, &typed(side, "both", number), &mut wrong);
        }
    }
    report.none(PART, "records that do not show their own side's value after it", &wrong);
    for [zoho, _] in pairs {
        let which = ["--record", zoho.as_str(), "--reason", "undone"];
        let _answered: Value =
            stage.ask(&[&["attention", "decide", FLOW, "take", name(Side::Vtiger)], &which[..]].concat()).await?;
    }
    stage.calm("restored losers go to the other side", report).await?;
    let shown = Shown::read(stage).await?;
    let mut wrong = Vec::new();
    for (number, pair) in pairs.iter().enumerate() {
        shown.expect(pair, SHARED_FIELD, &typed(Side::Vtiger, "both", number), &mut wrong);
    }
    report.none(PART, "losers that are not on both sides after `attention decide take`", &wrong);
    Ok(())
}

/// What both sides show of their contacts, by id.
struct Shown([BTreeMap<String, Value>; 2]);

impl Shown {
    async fn read(stage: &Stage) -> Outcome<Shown> {
        let mut sides = [BTreeMap::new(), BTreeMap::new()];
        for side in SIDES {
            let records = stage.crms().records(side).await?;
            sides[side as usize] = records
                .into_iter()
                .map(|record| (record["id"].as_str().unwrap_or_default().to_owned(), record))
                .collect();
        }
        Ok(Shown(sides))
    }

    fn expect(&self, pair: &Pair, field: &str, value: &str, wrong: &mut Vec<String>) {
        for side in SIDES {
            self.expect_on(side, pair, field, value, wrong);
        }
    }

    fn expect_on(&self, side: Side, pair: &Pair, field: &str, value: &str, wrong: &mut Vec<String>) {
        let id = &pair[side as usize];
        let found = self.0[side as usize].get(id).map(|record| changes::shown(&record[field_name(side, field)]));
        if found.as_deref() != Some(value) {
            wrong.push(format!("{id} in {} shows {found:?} in {field}, not `{value}`", name(side)));
        }
    }
}
