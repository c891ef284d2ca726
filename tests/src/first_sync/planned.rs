//! The first sync against its preview: counts, values and records, by the servers' histories.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crmsync::engine::Preview;
use crmsync::store::ListingRow;
use crmsync_sandbox::history::Event;
use crmsync_sandbox::people::{Module, Side};
use crmsync_sandbox::scenario::{Exception, Phase};

use super::Options;
use super::changes::{self, Change};
use super::report::Report;
use super::stage::Stage;
use crate::Outcome;
use crate::crms::{SIDES, name};
use crate::product::Product;

const PART: &str = "A";
/// Reasons for which the population's own rules let a whole record wait for a person.
const FOR_PEOPLE: [&str; 2] = ["more-than-one-match", "mandatory-missing"];

/// That a new record belongs to the fallback owner is told by the preview and the create; once the record is in step it is nobody's
/// matter any more (S16).
const TOLD_ONCE: &str = "owner-unknown";

/// Syncs for the first time and judges.
pub(super) async fn judge(stage: &Stage, report: &mut Report) -> Outcome<()> {
    let (preview, listing) = previewed(stage, report).await?;
    let events = synced(stage, report).await?;
    for pair in &preview.pairs {
        report.tell(PART, format!("{}: matched, by the preview", pair.name), pair.plan.linked);
    }
    counts(&preview, &events, report);
    values(&listing, &events, report);
    for_people(stage, &listing, &events, report).await?;
    left_out(stage, &listing, report).await?;
    state(stage, report).await
}

/// A first sync in which the winner's values go over the others: every one of them was listed.
pub(super) async fn replacing(product: &Product, options: &Options, report: &mut Report) -> Outcome<()> {
    let fewer =
        Options { records: options.records / 5, doubles: 6, families: 8, seed: options.seed + 1, ..options.clone() };
    let stage = Stage::open(product, &fewer.people()).await?;
    stage.apply_with("first_sync   = \"fill-empty\"", "first_sync   = \"winner\"").await?;
    let (preview, listing) = previewed(&stage, report).await?;
    let events = synced(&stage, report).await?;
    let replaced = changes::of_updates(&events).into_iter().filter(Change::replaces).count();
    report.some(PART, "values that the winner replaced", replaced);
    counts(&preview, &events, report);
    values(&listing, &events, report);
    stage.weigh(report);
    Ok(())
}

async fn previewed(stage: &Stage, report: &mut Report) -> Outcome<(Preview, Vec<ListingRow>)> {
    let began = Instant::now();
    let preview = stage.preview().await?;
    report.took("preview", began);
    Ok((preview, stage.listing().await?))
}

/// The first sync and the runs behind it; gives all that happened on the servers.
async fn synced(stage: &Stage, report: &mut Report) -> Outcome<[Vec<Event>; 2]> {
    let ends = changes::ends(stage.crms()).await?;
    stage.approve().await?;
    let runs = stage.calm("first sync", report).await?;
    let later: u64 = runs[1..].iter().flat_map(|run| &run.pairs).map(super::stage::writes).sum();
    report.equal(PART, "records written by the runs behind the first sync", later, 0);
    report.equal(PART, "values that were left alone as the preview had not listed them", runs[0].unlisted, 0);
    let mut started = 0;
    for side in SIDES {
        started += stage.crms().automations(side).await?;
    }
    report.equal(PART, "automations, mails and cadences started where they can be switched off", started, 0);
    changes::events_after(stage.crms(), ends).await
}

/// What would be created, changed, filled and replaced, against what was.
fn counts(preview: &Preview, events: &[Vec<Event>; 2], report: &mut Report) {
    let changed = changes::of_updates(events);
    let new = changes::created(events);
    for pair in &preview.pairs {
        let (plan, module) = (&pair.plan, &pair.name);
        let sided =
            [(Side::Zoho, plan.create_left, plan.update_left), (Side::Vtiger, plan.create_right, plan.update_right)];
        for (side, create, update) in sided {
            let done = |op: &str| changes::count(events, module, side, op);
            report.equal(PART, format!("{module}: created in {}, as previewed", name(side)), done("create"), create);
            report.equal(PART, format!("{module}: changed in {}, as previewed", name(side)), done("update"), update);
        }
        // A record that we made ourselves has no blanks to fill: what it points to is told when that is there, too.
        let of_pair = changed.iter().filter(|change| change.module == *module && !new.contains(change.record.as_str()));
        let (filled, other): (Vec<&Change>, Vec<&Change>) = of_pair.partition(|change| change.before.is_empty());
        let replaced = other.iter().filter(|change| change.replaces()).count() as u64;
        let sum = |counts: &BTreeMap<String, u64>| counts.values().sum::<u64>();
        let filled = filled.len() as u64;
        report.equal(PART, format!("{module}: blank fields filled, as previewed"), filled, sum(&plan.fills));
        report.equal(PART, format!("{module}: values replaced, as previewed"), replaced, sum(&plan.replaces));
    }
}

/// Every value that an update of ours wrote, against the line that the preview listed for it.
fn values(listing: &[ListingRow], events: &[Vec<Event>; 2], report: &mut Report) {
    let mut lines: BTreeMap<(&str, Side, &str, &str), &ListingRow> = BTreeMap::new();
    for row in listing.iter().filter(|row| row.kind == "filled" || row.kind == "replaced") {
        let side = if row.side == "left" { Side::Zoho } else { Side::Vtiger };
        let (record, fields) = match (side, row.field.split_once('=')) {
            (Side::Zoho, Some((fields, _))) => (row.left_id.as_str(), fields),
            (Side::Vtiger, Some((_, fields))) => (row.right_id.as_str(), fields),
            (_, None) => continue,
        };
        for field in fields.split('+') {
            lines.insert((&row.left_module, side, record, field), row);
        }
    }
    let (mut unseen, mut otherwise) = (Vec::new(), Vec::new());
    let mut seen = 0;
    let new = changes::created(events);
    for change in changes::of_updates(events).into_iter().filter(|change| !new.contains(change.record.as_str())) {
        let line = lines.get(&(change.module.as_str(), change.side, change.record.as_str(), change.field.as_str()));
        match line {
            None => unseen.push(format!("{change:?}")),
            Some(line) if !says(&line.before, &change.before) => {
                otherwise.push(format!("{change:?} was listed as {line:?}"))
            }
            Some(line) if change.replaces() && line.kind != "replaced" => {
                otherwise.push(format!("{change:?} was listed as {line:?}"))
            }
            Some(_) => seen += 1,
        }
    }
    report.tell(PART, "values written, each with its line in the preview's listing", seen);
    report.none(PART, "values written that the preview did not list", &unseen);
    report.none(PART, "values written over others than those listed", &otherwise);
}

/// Whether a line's text is this value: references are listed with their module, flags in words.
fn says(listed: &str, shown: &str) -> bool {
    let as_flag = match shown {
        "0" | "false" => "no",
        "1" | "true" => "yes",
        other => other,
    };
    listed == shown || listed == as_flag || listed.rsplit('/').next() == Some(shown) || listed.trim() == shown.trim()
}

/// Exactly the records of whom nobody can tell need a person, and nothing was written for them.
async fn for_people(
    stage: &Stage,
    listing: &[ListingRow],
    events: &[Vec<Event>; 2],
    report: &mut Report,
) -> Outcome<()> {
    let expected: BTreeSet<(String, String)> = stage
        .scenario
        .exceptions(Phase::FirstSync)
        .into_iter()
        .filter(|exception| exception.field == "*" && FOR_PEOPLE.contains(&exception.reason))
        .map(|Exception { record, reason, .. }| (record, reason.to_owned()))
        .collect();
    let record = |row: &ListingRow| if row.left_id.is_empty() { row.right_id.clone() } else { row.left_id.clone() };
    let listed: BTreeSet<(String, String)> = listing
        .iter()
        .filter(|row| row.kind == "needs-attention")
        .map(|row| (record(row), row.reason.clone()))
        .collect();
    let outcomes = stage.workplace.outcomes().await?;
    let noted: BTreeSet<(String, String)> = outcomes
        .iter()
        .filter(|outcome| ["needs-attention", "failed", "waiting"].contains(&outcome.kind.as_str()))
        .map(|outcome| (outcome.record.clone(), outcome.reason.clone()))
        .collect();
    let doubles = stage.scenario.population.ambiguous.iter().filter(|group| group.module == Module::Contacts);
    report.tell(PART, "contacts that are twice on the other side, planted", doubles.count());
    report.tell(PART, "records that need a person, planted (of all modules)", expected.len());
    for (who, found) in [("by the preview", &listed), ("by the outcomes", &noted)] {
        let more: Vec<String> = found.difference(&expected).map(|one| format!("{one:?}")).collect();
        let fewer: Vec<String> = expected.difference(found).map(|one| format!("{one:?}")).collect();
        report.none(PART, format!("need a person without need, {who}"), &more);
        report.none(PART, format!("planted, and nobody is asked, {who}"), &fewer);
    }
    let planted: BTreeSet<&str> = expected.iter().map(|(record, _)| record.as_str()).collect();
    let touched: Vec<String> = changes::ours(events)
        .filter(|(_, event)| planted.contains(event.id.as_str()))
        .map(|(side, event)| format!("{} in {}: {:?}", event.id, name(side), event.after))
        .collect();
    report.none(PART, "writes to records that need a person", &touched);
    Ok(())
}

/// Fields that the preview said would be left out, wait or differ, against those that the outcomes list.
async fn left_out(stage: &Stage, listing: &[ListingRow], report: &mut Report) -> Outcome<()> {
    let mut counted: BTreeMap<(&str, &str, &str), [usize; 2]> = BTreeMap::new();
    let outcomes = stage.workplace.outcomes().await?;
    for row in listing {
        counted.entry((&row.kind, &row.reason, &row.field)).or_default()[0] += 1;
    }
    for outcome in &outcomes {
        counted.entry((&outcome.kind, &outcome.reason, &outcome.field)).or_default()[1] += 1;
    }
    for kind in ["left-out", "differs", "waiting", "out-of-scope"] {
        let of_kind = || counted.iter().filter(|((of, reason, _), _)| *of == kind && *reason != TOLD_ONCE);
        report.tell(PART, format!("`{kind}`, by the outcomes"), of_kind().map(|(_, [_, noted])| noted).sum::<usize>());
        let other = of_kind().filter(|(_, [listed, noted])| listed != noted);
        let words = other.map(|((_, reason, field), [listed, noted])| {
            format!("{reason} {field}: {listed} previewed, {noted} noted")
        });
        report.none(PART, format!("`{kind}` otherwise than previewed"), &words.collect::<Vec<_>>());
    }
    Ok(())
}

/// What both servers hold, against what the population's own rules say.
async fn state(stage: &Stage, report: &mut Report) -> Outcome<()> {
    let began = Instant::now();
    let verdict = stage.scenario.verify_modules(Phase::FirstSync, &stage.holdings().await?);
    report.took("compare both servers with the population's rules", began);
    let mismatches: Vec<String> = verdict.mismatches.iter().map(|mismatch| format!("{mismatch:?}")).collect();
    report.none(PART, "fields that are not as the population's rules say", &mismatches);
    report.none(PART, "records that belong to nobody", &verdict.unexpected);
    report.equal(PART, "duplicates", verdict.duplicates, 0);
    Ok(())
}
