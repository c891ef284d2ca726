//! Takes back what runs wrote. Values that stood before go back to the written side, where ours still stand (`values.rs`). What was
//! created goes to the CRM's bin, if it still shows what we wrote and nothing hangs on it (`created.rs`). What was deleted or marked
//! because the other side's record was deleted comes back, as far as the CRM allows (`removed.rs`). Conflicts that a former winner decided
//! are settled anew by the same means (`conflicts.rs`).
//!
//! Never over a newer edit of people: what a record shows is compared with what we wrote, not times, and it is read again right before
//! the write. The other side is not written, and nothing travels again by itself: what differs, or stays alone, is noted.

mod conflicts;
mod created;
mod history;
mod removed;
mod values;

use std::collections::BTreeSet;

use crmsync_core::{Side, Value};
use serde::{Deserialize, Serialize};

use self::history::History;
use super::apply::drain;
use super::error::Error;
use super::plan::field_label;
use super::run::pull_both;
use super::setup::{PairSetup, RunSetup};
use super::stage::Pulled;
use super::unknown::adopt_arrivals;
use crate::store::{RecordPlace, UndoWrite};

/// Lines of the journal that are read at once, and records that are looked at between two renewals of the lease.
const LINES_AT_ONCE: usize = 1_000;
/// Writes that are planned with one step of the store.
const WRITES_AT_ONCE: usize = 250;

/// What is to be taken back.
#[derive(Clone, Debug, Default)]
pub struct UndoRequest {
    /// Only what these runs wrote, first and last.
    pub runs: Option<(i64, i64)>,
    /// Only this record, and what it is linked to.
    pub record: Option<RecordPlace>,
    /// Only this field, by the API name of either side; records that were created or deleted stay as they are then.
    pub field: Option<String>,
    /// Write. Otherwise only tell.
    pub go: bool,
}

impl UndoRequest {
    fn means_run(&self, run: i64) -> bool {
        self.runs.is_none_or(|(first, last)| (first..=last).contains(&run))
    }

    fn means_row(&self, row: &str) -> bool {
        self.field.as_ref().is_none_or(|field| row.split(['=', '+']).any(|name| name == field))
    }
}

/// One value that goes back, or does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoValue {
    /// The connection whose record is written.
    pub connection: String,
    /// Module.
    pub module: String,
    /// Record.
    pub record: String,
    /// Field, by its label; "" for the whole record.
    pub field: String,
    /// What stands there now, as people read it.
    pub now: String,
    /// What stood there before; of a conflict that is settled anew what is to stand there.
    pub then: String,
    /// Why it cannot be taken back; "" if it can.
    pub why_not: String,
}

/// What becomes of a whole record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UndoAct {
    /// It was created, and goes to the CRM's bin.
    Recycle,
    /// It was deleted, and is created again.
    Create,
    /// It was marked, and the mark is taken off.
    Unmark,
}

/// One record that goes or comes back as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoRecord {
    /// The connection whose record it is.
    pub connection: String,
    /// Module.
    pub module: String,
    /// Record; of one that is created again the id that it had.
    pub record: String,
    /// What becomes of it.
    pub act: UndoAct,
    /// What that means, and what it does not bring back.
    pub told: String,
}

/// What an undo does, or did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoReport {
    /// Values that go back.
    pub values: Vec<UndoValue>,
    /// Records that go or come back as a whole.
    #[serde(default)]
    pub records: Vec<UndoRecord>,
    /// Values and records that do not, each with the reason.
    pub kept: Vec<UndoValue>,
    /// Records that were written. 0 if nothing was to be written yet.
    pub written: u64,
    /// Records that changed under our hands, or whose CRM refused: they are as they were.
    pub not_written: u64,
    /// What people should know.
    pub alarms: Vec<String>,
}

/// Takes back what was written, or tells what that would be.
///
/// # Errors
/// As for a run.
pub async fn undo(run: &RunSetup, request: &UndoRequest) -> Result<UndoReport, Error> {
    let mut report = UndoReport::default();
    let (pulled, histories) = look(run, request).await?;
    let doomed = created::judge(run, &histories, &mut report.kept).await?;
    for ((pair, history), pulled) in run.pairs.iter().zip(&histories).zip(&pulled) {
        let plan = async |found: &mut UndoReport| {
            let mut writes = removed::plan(run, pair, history, found).await?;
            writes.extend(values::plan(run, pair, history, &doomed, found).await?);
            Ok(writes)
        };
        carry_out(run, pair, *pulled, request.go, &mut report, plan).await?;
    }
    // Modules run in the order of their references: what points to others goes first.
    for ((pair, history), pulled) in run.pairs.iter().zip(&histories).zip(&pulled).rev() {
        let plan = async |found: &mut UndoReport| created::plan(run, pair, history, &doomed, found).await;
        carry_out(run, pair, *pulled, request.go, &mut report, plan).await?;
    }
    Ok(report)
}

/// Settles the conflicts anew that ended by other rules than those of today, or tells what that would be.
///
/// # Errors
/// As for a run.
pub async fn settle(run: &RunSetup, request: &UndoRequest) -> Result<UndoReport, Error> {
    let mut report = UndoReport::default();
    let (pulled, histories) = look(run, request).await?;
    for ((pair, history), pulled) in run.pairs.iter().zip(&histories).zip(pulled) {
        let plan = async |found: &mut UndoReport| conflicts::plan(run, pair, history, found).await;
        carry_out(run, pair, pulled, request.go, &mut report, plan).await?;
    }
    Ok(report)
}

/// Reads both CRMs to their heads, and the sync log.
async fn look(run: &RunSetup, request: &UndoRequest) -> Result<(Vec<[Pulled; 2]>, Vec<History>), Error> {
    let mut pulled = Vec::with_capacity(run.pairs.len());
    for pair in &run.pairs {
        run.store.recover_intents(&run.lease, pair.id, pair.mapping.keys(), run.run, run.now_ms()).await?;
        // All of them first: what hangs on a record may be in another module.
        pulled.push(pull_both(run, pair).await?);
        adopt_arrivals(run, pair).await?;
    }
    let mut histories = Vec::with_capacity(run.pairs.len());
    for pair in &run.pairs {
        histories.push(History::read(run, pair, request).await?);
    }
    Ok((pulled, histories))
}

/// Plans and writes until nothing changes under our hands any more.
async fn carry_out(
    run: &RunSetup,
    pair: &PairSetup,
    mut pulled: [Pulled; 2],
    go: bool,
    report: &mut UndoReport,
    plan: impl AsyncFn(&mut UndoReport) -> Result<Vec<UndoWrite>, Error>,
) -> Result<(), Error> {
    let (mut planned, mut written) = (None, 0);
    for _ in 0..run.limits.rounds_max {
        let mut found = UndoReport::default();
        let writes = plan(&mut found).await?;
        // What is told is what the first look found.
        if planned.is_none() {
            planned = Some(writes.len() as u64);
            report.values.extend(found.values);
            report.records.extend(found.records);
            report.kept.extend(found.kept);
        }
        if !go || writes.is_empty() {
            break;
        }
        run.progress.step(&format!("take back {}", pair.name()), written, planned);
        for portion in writes.chunks(WRITES_AT_ONCE) {
            run.store.plan_undo(&run.lease, pair.id, run.run, portion.to_vec()).await?;
        }
        let drained = drain(run, pair, [pulled[0].read_at_ms, pulled[1].read_at_ms]).await?;
        written += drained.writes();
        report.alarms.extend(drained.alarms);
        if drained.again == 0 {
            break;
        }
        // A CRM that tells times in whole seconds takes no condition within the second of the last change.
        super::call::sleep(run, run.limits.round_pause_ms as i64).await?;
        pulled = pull_both(run, pair).await?;
        adopt_arrivals(run, pair).await?;
    }
    report.written += written;
    if go {
        report.not_written += planned.unwrap_or(0).saturating_sub(written);
    }
    Ok(())
}

/// A record of one side that stays as it is.
fn kept(run: &RunSetup, pair: &PairSetup, side: Side, record: &str, why_not: impl Into<String>) -> UndoValue {
    UndoValue {
        connection: run.side(side).connection.clone(),
        module: pair.module(side).name.clone(),
        record: record.to_owned(),
        field: String::new(),
        now: String::new(),
        then: String::new(),
        why_not: why_not.into(),
    }
}

/// A value of one side, by its mapping row, that goes back or stays.
fn value(
    run: &RunSetup,
    pair: &PairSetup,
    (side, record): (Side, &str),
    key: &str,
    [now, then]: [&[Value]; 2],
    why_not: &str,
) -> UndoValue {
    let shown = |values: &[Value]| values.iter().map(Value::display).collect::<Vec<_>>().join(", ");
    let row = pair.mapping.rows.iter().position(|row| row.key.0 == key);
    UndoValue {
        field: row.map_or(key.to_owned(), |row| field_label(&pair.mapping, row, side)),
        now: shown(now),
        then: shown(then),
        ..kept(run, pair, side, record, why_not)
    }
}

/// A record of one side that goes or comes back as a whole.
fn whole(run: &RunSetup, pair: &PairSetup, side: Side, record: &str, act: UndoAct, told: String) -> UndoRecord {
    let UndoValue { connection, module, record, .. } = kept(run, pair, side, record, "");
    UndoRecord { connection, module, record, act, told }
}

/// `Module/id`, as references are written.
fn reference_to(pair: &PairSetup, side: Side, record: &str) -> String {
    format!("{}/{record}", pair.module(side).name)
}

/// Records by their side.
type Places = BTreeSet<(Side, String)>;
