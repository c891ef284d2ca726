//! Runs that have nothing to do: they write nothing, move nobody's modified time, and cost few calls.

use std::time::Instant;

use crmsync_sandbox::history::{Call, CallKind};
use crmsync_sandbox::people::Module;

use super::report::Report;
use super::stage::{Stage, writes};
use crate::Outcome;
use crate::crms::{SIDES, name};

const PART: &str = "C";
/// A run without news costs three data calls a module: two lists at Zoho, one query at Vtiger.
const DATA_CALLS_MAX: u64 = 9;
/// Whoever looks for removed records asks each side for its count of each module.
const SWEEP_CALLS_MAX: u64 = DATA_CALLS_MAX + 6;

/// Time between two runs that read recent changes again: longer than any that a connector leaves in doubt.
const SETTLING_MS: i64 = 2 * 60 * 60 * 1_000;
/// So many cheap runs in a row, and nothing is in doubt any more.
const QUIET_RUNS: usize = 3;
/// More runs, and it never ends.
const SETTLING_RUNS_MAX: usize = 12;
const DAY_HOURS: i64 = 24;
/// Characters of a call's address that an example shows, from its end.
const PATH_CHARS: usize = 160;

/// How a run comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// As usual.
    Plain,
    /// Somebody asks to look for removed records.
    Sweep,
    /// So many hours after the one before: whatever is due by the hour or the day is due.
    Hours(i64),
}

impl Kind {
    /// The kind of one run of so many: first those of one hour, then those of the days behind it.
    fn of(number: usize, runs: usize) -> Kind {
        match number {
            _ if number * 2 >= runs => Kind::Hours([2, 5, 26][number % 3]),
            _ if number % 5 == 2 => Kind::Sweep,
            _ => Kind::Plain,
        }
    }
}

/// Runs so often with nothing to do, and judges.
pub(super) async fn judge(stage: &Stage, runs: usize, report: &mut Report) -> Outcome<()> {
    settle(stage, report).await?;
    let before = stage.holdings().await?;
    let began = Instant::now();
    let (mut written, mut most) = (0, [0; 3]);
    let mut costs: Vec<String> = Vec::new();
    let mut described = 0;
    for number in 0..runs {
        let kind = Kind::of(number, runs);
        let places = places(stage).await?;
        let run = match kind {
            Kind::Plain => stage.run(false).await?,
            Kind::Sweep => stage.run(true).await?,
            Kind::Hours(hours) => {
                stage.workplace.hours_pass(hours).await?;
                stage.workplace.run(false).await.map_err(|failure| format!("a run with nothing to do: {failure:?}"))?
            }
        };
        written += run.pairs.iter().map(writes).sum::<u64>();
        let calls = calls_after(stage, places).await?;
        let of_kind = |kind: CallKind| calls.iter().flatten().filter(|call| call.kind == kind).count() as u64;
        let data = of_kind(CallKind::Read) + of_kind(CallKind::Write);
        written += of_kind(CallKind::Write);
        let kind_at = match kind {
            Kind::Plain => 0,
            Kind::Sweep => 1,
            Kind::Hours(_) => 2,
        };
        most[kind_at] = most[kind_at].max(data);
        let per_module = descriptions(&calls);
        // After a day the connectors ask for everything anew.
        if !matches!(kind, Kind::Hours(DAY_HOURS..)) {
            described = described.max(per_module);
        }
        costs.push(format!(
            "{kind:?}: {data} data, {} metadata, {} auth",
            of_kind(CallKind::Metadata),
            of_kind(CallKind::Auth)
        ));
        if data > if kind == Kind::Plain { DATA_CALLS_MAX } else { SWEEP_CALLS_MAX } {
            let reads = calls.iter().flatten().filter(|call| call.kind == CallKind::Read);
            let ends: Vec<&str> = reads.map(|call| end_of(&call.path)).collect();
            report.examples.push(format!("run {number}, {kind:?}: {ends:#?}"));
        }
    }
    report.took(&format!("{runs} runs with nothing to do"), began);
    costs.dedup();
    for cost in costs {
        report.tell(PART, "calls of a run", cost);
    }
    report.equal(PART, format!("writes of {runs} runs with nothing to do"), written, 0);
    report.at_most(PART, "data calls of a run with nothing to do, three modules", most[0], DATA_CALLS_MAX);
    report.at_most(PART, "data calls when removed records are looked for", most[1], SWEEP_CALLS_MAX);
    report.at_most(PART, "data calls when hours have passed", most[2], SWEEP_CALLS_MAX);
    report.at_most(PART, "descriptions of one module and side, in a run of another hour", described, 1);
    let after = stage.holdings().await?;
    let mut moved = Vec::new();
    for module in Module::ALL {
        for side in SIDES {
            let (then, now) = (&before[&module][side as usize], &after[&module][side as usize]);
            let differ = then.iter().zip(now).filter(|(then, now)| then != now);
            moved.extend(differ.map(|(then, now)| format!("{} in {}: {then} {now}", module.name(), name(side))));
            if then.len() != now.len() {
                moved.push(format!("{} in {}: {} records, then {}", module.name(), name(side), then.len(), now.len()));
            }
        }
    }
    report.none(PART, "records that are not exactly as before, modified times included", &moved);
    Ok(())
}

fn end_of(path: &str) -> &str {
    path.char_indices().rev().nth(PATH_CHARS).map_or(path, |(at, _)| &path[at..])
}

/// For a while after writes recent changes are read once or twice more, at other times in each module: runs until that is over.
async fn settle(stage: &Stage, report: &mut Report) -> Outcome<()> {
    let began = Instant::now();
    let mut costs = Vec::new();
    for _ in 0..SETTLING_RUNS_MAX {
        stage.crms().advance(SETTLING_MS).await?;
        let places = places(stage).await?;
        stage.run(false).await?;
        let calls = calls_after(stage, places).await?;
        costs.push(calls.iter().flatten().filter(|call| call.kind == CallKind::Read).count() as u64);
        if costs.len() >= QUIET_RUNS && costs.iter().rev().take(QUIET_RUNS).all(|cost| *cost <= DATA_CALLS_MAX) {
            break;
        }
    }
    report.tell(PART, "data calls of the runs that read recent changes again", format!("{costs:?}"));
    report.took("runs that read recent changes again", began);
    Ok(())
}

async fn places(stage: &Stage) -> Outcome<[u64; 2]> {
    let calls = calls_after(stage, [0, 0]).await?;
    Ok(calls.map(|calls| calls.last().map_or(0, |call| call.seq)))
}

async fn calls_after(stage: &Stage, places: [u64; 2]) -> Outcome<[Vec<Call>; 2]> {
    let mut calls = [Vec::new(), Vec::new()];
    for side in SIDES {
        calls[side as usize] = stage.crms().calls(side).await?;
        calls[side as usize].retain(|call| call.seq > places[side as usize]);
    }
    Ok(calls)
}

/// How often one module's fields were asked for on one side, at most.
fn descriptions(calls: &[Vec<Call>; 2]) -> u64 {
    let of = |side: usize, module: &str| {
        let about = [format!("settings/fields?module={module}"), format!("operation=describe&elementType={module}")];
        calls[side].iter().filter(|call| about.iter().any(|about| call.path.contains(about))).count() as u64
    };
    let sides = [0, 1].into_iter();
    sides.flat_map(|side| Module::ALL.map(|module| of(side, module.name()))).max().unwrap_or(0)
}
