//! `crmsync flow undo` and `crmsync flow settle`.

use std::process::ExitCode;
use std::sync::Arc;

use super::args::{SettleOptions, UndoOptions};
use super::output::Output;
use super::progress::Lines;
use super::table::{Table, neutral};
use crate::app::{App, LOCAL_TENANT};
use crate::engine::{UndoRecord, UndoReport, UndoRequest, UndoValue};
use crate::service::{self, Failure};
use crate::store::RecordPlace;

/// Values and records that are shown; the others are in `--json`.
const SHOWN_MAX: usize = 40;

pub(super) async fn undo(app: &App, options: UndoOptions, output: Output) -> Result<ExitCode, Failure> {
    let (name, go) = (options.name, options.yes);
    let request = UndoRequest {
        runs: options.run.map(|run| (run, run)).or(options.since.map(|run| (run, i64::MAX))),
        record: record(app, &name, options.record).await?,
        field: options.field,
        go,
    };
    let progress = Arc::new(Lines::new());
    let report = service::undo(app, LOCAL_TENANT, &name, request, progress.clone()).await;
    progress.end();
    Ok(answer(report?, output, |report| undo_text(report, &name, go)))
}

pub(super) async fn settle(app: &App, options: SettleOptions, output: Output) -> Result<ExitCode, Failure> {
    let (name, go) = (options.name, options.yes);
    let request = UndoRequest {
        runs: options.since.map(|run| (run, i64::MAX)),
        record: record(app, &name, options.record).await?,
        field: options.field,
        go,
    };
    let progress = Arc::new(Lines::new());
    let report = service::settle(app, LOCAL_TENANT, &name, request, progress.clone()).await;
    progress.end();
    Ok(answer(report?, output, |report| settle_text(report, &name, go)))
}

/// The record that is meant.
async fn record(app: &App, flow: &str, named: Option<String>) -> Result<Option<RecordPlace>, Failure> {
    let Some(named) = named else { return Ok(None) };
    match service::find_record(app, LOCAL_TENANT, flow, &named).await? {
        Some(record) => Ok(Some(record)),
        None => Err(Failure::input(
            "undo.no_record",
            format!("flow `{flow}` knows no record {named}"),
            format!("give its id on either side; what was written: crmsync log {flow}"),
        )),
    }
}

fn answer(report: UndoReport, output: Output, text: impl Fn(&UndoReport) -> String) -> ExitCode {
    output.answer(&report, text);
    let is_done = report.not_written == 0 && report.alarms.is_empty();
    if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn undo_text(report: &UndoReport, flow: &str, go: bool) -> String {
    let mut text = records_text(if go { "records" } else { "records that would go or come back" }, &report.records);
    let title = if go { "values taken back" } else { "values that would go back" };
    text.push_str(&values_text(title, ["NOW", "BEFORE"], &report.values));
    text.push_str(&values_text("stay as they are", ["NOW", "BEFORE"], &report.kept));
    text.push_str(&alarms_text(report));
    if report.values.is_empty() && report.records.is_empty() {
        text.push_str("Nothing can be taken back.");
        return text;
    }
    text.push_str(&written_text(report, flow, go));
    if go && !report.values.is_empty() {
        text.push_str(&format!(
            ". Both sides differ now, which is noted: crmsync attention list {flow} --reason undone"
        ));
    }
    if go && !report.records.is_empty() {
        text.push_str(&format!(
            ". Records that stay without a counterpart are noted: crmsync attention list {flow} --all"
        ));
    }
    text
}

fn settle_text(report: &UndoReport, flow: &str, go: bool) -> String {
    let title = if go { "values settled anew" } else { "values that would be settled anew" };
    let columns = if go { ["STOOD", "STANDS NOW"] } else { ["STANDS NOW", "WOULD BECOME"] };
    let mut text = values_text(title, columns, &report.values);
    text.push_str(&values_text("stay as they are", ["STANDS NOW", "WAS LOST"], &report.kept));
    text.push_str(&alarms_text(report));
    if report.values.is_empty() {
        text.push_str("No conflict of earlier would end otherwise by the winner of today.");
        return text;
    }
    text.push_str(&written_text(report, flow, go));
    text
}

fn written_text(report: &UndoReport, flow: &str, go: bool) -> String {
    if !go {
        return "Nothing was written. To do this: the same command with --yes".to_owned();
    }
    let mut text = format!("{} record(s) were written", report.written);
    if report.not_written > 0 {
        text.push_str(&format!(
            ", {} were not: they changed meanwhile, or the CRM refused or did not answer (crmsync log {flow})",
            report.not_written
        ));
    }
    text
}

fn alarms_text(report: &UndoReport) -> String {
    report.alarms.iter().map(|alarm| format!("ALARM: {}\n", neutral(alarm))).collect()
}

fn records_text(title: &str, records: &[UndoRecord]) -> String {
    if records.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["CRM", "MODULE", "RECORD", "WHAT BECOMES OF IT"]);
    for UndoRecord { connection, module, record, told, .. } in records.iter().take(SHOWN_MAX) {
        table.row([connection, module, record, told]);
    }
    format!("{title}: {}\n{}{}\n", records.len(), table.text(Some(240)), more_text(records.len()))
}

fn values_text(title: &str, [now_title, then_title]: [&str; 2], values: &[UndoValue]) -> String {
    if values.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["CRM", "MODULE", "RECORD", "FIELD", now_title, then_title, "WHY NOT"]);
    for value in values.iter().take(SHOWN_MAX) {
        let UndoValue { connection, module, record, field, now, then, why_not } = value;
        table.row([connection, module, record, field, now, then, why_not]);
    }
    format!("{title}: {}\n{}{}\n", values.len(), table.text(Some(200)), more_text(values.len()))
}

fn more_text(count: usize) -> String {
    match count.saturating_sub(SHOWN_MAX) {
        0 => String::new(),
        more => format!("… and {more} more (--json shows all)\n"),
    }
}
