//! `crmsync flow …` and `crmsync log`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::args::{FlowCommand, LogOptions, Switch};
use super::output::{Output, moment};
use super::progress::Lines;
use super::table::{Table, neutral};
use crate::app::{App, LOCAL_TENANT};
use crate::engine::{Preview, RunReport};
use crate::service::{self, Failure, RunRequest};
use crate::store::{ExchangeRow, HeldRemovals, JournalQuery, JournalRow};
use crmsync_core::Side;

pub(super) async fn run(app: &App, command: FlowCommand, output: Output) -> Result<ExitCode, Failure> {
    match command {
        FlowCommand::Check { file } => {
            let (name, text) = read(&file)?;
            let checked = service::check_flow(app, LOCAL_TENANT, &name, &text).await?;
            output.answer(&checked, |checked| format!("{name} is good.\n\n{}", modules(checked)));
        }
        FlowCommand::Apply { file } => {
            let (name, text) = read(&file)?;
            let applied = service::apply(app, LOCAL_TENANT, &name, &text).await?;
            output.answer(&applied, applied_text);
        }
        FlowCommand::Schema => {
            let schema: serde_json::Value = serde_json::from_str(crate::flow::SCHEMA).unwrap_or_default();
            output.answer(&schema, |_| crate::flow::SCHEMA.trim_end().to_owned());
        }
        FlowCommand::Set { name, settings } => {
            let applied = service::set(app, LOCAL_TENANT, &name, &settings).await?;
            output.answer(&applied, applied_text);
        }
        FlowCommand::Export { name, file } => {
            let text = service::document(app, LOCAL_TENANT, &name).await?;
            match file {
                Some(file) => {
                    std::fs::write(&file, &text).map_err(|error| {
                        Failure::environment("flow.file", format!("cannot write {}: {error}", file.display()), "")
                    })?;
                    output.answer(&serde_json::json!({ "name": name, "wrote": file }), |_| {
                        format!("wrote {}", file.display())
                    });
                }
                None => output.answer(&serde_json::json!({ "name": name, "file": text }), |_| {
                    text.trim_end().lines().map(neutral).collect::<Vec<_>>().join("\n")
                }),
            }
        }
        FlowCommand::List => {
            let flows = service::list_flows(app, LOCAL_TENANT).await?;
            output.answer(&flows, |flows| flow_list(flows));
            if !flows.is_empty() && service::running_at(app).is_none() {
                output.note("nothing runs by itself now: `crmsync serve` is not running");
            }
        }
        FlowCommand::Show { name, mapping } => {
            if mapping {
                let (_, checked) = service::show(app, LOCAL_TENANT, &name).await?;
                output.answer(&checked, mapping_table);
            } else {
                // What was stored is shown without asking anybody: also when a CRM is away.
                let file = service::document(app, LOCAL_TENANT, &name).await?;
                output.answer(&serde_json::json!({ "name": name, "file": file }), |_| {
                    file.trim_end().lines().map(neutral).collect::<Vec<_>>().join("\n")
                });
            }
        }
        FlowCommand::Remove { name } => {
            service::remove_flow(app, LOCAL_TENANT, &name).await?;
            output.answer(&serde_json::json!({ "removed": name }), |_| {
                format!("removed `{name}`. Its records stay as they are, and so does its sync log: crmsync log {name}")
            });
        }
        FlowCommand::Undo(options) => return super::undo::undo(app, options, output).await,
        FlowCommand::Settle(options) => return super::undo::settle(app, options, output).await,
        FlowCommand::Preview { name, list: None, csv: None, .. } => {
            let progress = Arc::new(Lines::new());
            let preview = service::preview(app, LOCAL_TENANT, &name, progress.clone()).await;
            progress.end();
            let preview = preview?;
            let samples = if output.json { String::new() } else { super::listing::samples(app, &name).await? };
            output.answer(&preview, |preview| {
                format!(
                    "{}{}{samples}\nNothing was written. Every line of it: crmsync flow preview {name} --list all. To let runs do this: \
                     crmsync flow approve {name}",
                    preview_text(preview),
                    super::listing::effort_text(preview),
                )
            });
        }
        FlowCommand::Preview { name, list, most, csv } => {
            let what = list.filter(|what| what != "all").unwrap_or_default();
            super::listing::show(app, &name, &what, most, csv.as_deref(), output).await?;
        }
        FlowCommand::Approve { name, deletes: true } => {
            let held = service::approve_deletes(app, LOCAL_TENANT, &name).await?;
            let between = service::between(app, LOCAL_TENANT, &name).await?;
            output.answer(&held, |held| {
                format!(
                    "{}\nThe next run does it, if it comes within a day: crmsync flow run {name}",
                    held_text(held, &between)
                )
            });
        }
        FlowCommand::Approve { name, deletes: false } => {
            let preview = service::approve(app, LOCAL_TENANT, &name).await?;
            output.answer(&preview, |_| format!("approved. Next: crmsync flow run {name}"));
        }
        FlowCommand::Pause { name } => {
            service::pause(app, LOCAL_TENANT, &name).await?;
            output.answer(&serde_json::json!({ "paused": name }), |_| {
                format!("`{name}` runs no more by itself. To let it go on: crmsync flow resume {name}")
            });
        }
        FlowCommand::Resume { name } => {
            service::resume(app, LOCAL_TENANT, &name).await?;
            output.answer(&serde_json::json!({ "resumed": name }), |_| {
                format!("`{name}` runs by itself again while `crmsync serve` runs")
            });
        }
        FlowCommand::Debug { name, switch } => {
            let until_ms = service::set_debug(app, LOCAL_TENANT, &name, switch == Switch::On).await?;
            let answer = serde_json::json!({ "flow": name, "debug_until_ms": until_ms });
            output.answer(&answer, |_| match until_ms {
                0 => format!("debug mode of `{name}` is off"),
                until_ms => {
                    format!("debug mode of `{name}` is on until {}: crmsync log {name} --debug", moment(until_ms))
                }
            });
        }
        FlowCommand::Run { name, sweep, trial, wait_s } => {
            let progress = Arc::new(Lines::new());
            let patience = std::time::Duration::from_secs(wait_s.into());
            let request = RunRequest { sweep, trial: trial.map(usize::from) };
            let report = service::run_when_free(app, &name, request, patience, progress.clone()).await;
            progress.end();
            let report = report?;
            if trial.is_some() {
                let tried = service::tried(app, LOCAL_TENANT, &name, report.run).await?;
                output.answer(&serde_json::json!({ "report": report, "records": tried }), |_| {
                    format!("{}\n\n{}", run_text(&report), tried_text(&name, &report, &tried))
                });
            } else {
                output.answer(&report, run_text);
            }
            if !report.alarms.is_empty() {
                // Whoever runs this from a timer must hear of it.
                return Ok(ExitCode::FAILURE);
            }
        }
        FlowCommand::Outcomes { name } => {
            let outcomes = service::outcomes(app, LOCAL_TENANT, &name).await?;
            let between = service::between(app, LOCAL_TENANT, &name).await?;
            output.answer(&outcomes, |outcomes| {
                let mut table = Table::new(&["MODULE", "SIDE", "RECORD", "WHAT", "REASON", "FIELD", "DETAIL"]);
                for outcome in outcomes {
                    let module = if outcome.side == "left" { &outcome.left_module } else { &outcome.right_module };
                    table.row([
                        module,
                        &sided(&outcome.side, &between),
                        &outcome.record,
                        &outcome.kind,
                        &outcome.reason,
                        &outcome.field,
                        &outcome.detail,
                    ]);
                }
                table.text(None)
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn log(app: &App, options: LogOptions, output: Output) -> Result<(), Failure> {
    let between = service::between(app, LOCAL_TENANT, &options.flow).await?;
    if options.debug {
        let lines = service::debug_lines(app, LOCAL_TENANT, &options.flow, options.most).await?;
        output.answer(&lines, |lines| debug_table(lines));
        return Ok(());
    }
    if let (Some(record), None, None) = (&options.record, options.run, &options.action) {
        let story = service::story(app, LOCAL_TENANT, &options.flow, record).await?;
        output.answer(&story, story_text);
        return Ok(());
    }
    let record = match &options.record {
        // What is not known has left no line.
        Some(record) => match service::find_record(app, LOCAL_TENANT, &options.flow, record).await? {
            Some(record) => Some(record),
            None => {
                output.answer(&Vec::<JournalRow>::new(), |lines| log_table(lines, &between));
                return Ok(());
            }
        },
        None => None,
    };
    let query = JournalQuery { record, run: options.run, action: options.action, after: 0, most: options.most };
    let lines = service::log(app, LOCAL_TENANT, &options.flow, query).await?;
    output.answer(&lines, |lines| log_table(lines, &between));
    Ok(())
}

fn read(file: &Path) -> Result<(String, String), Failure> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::input("flow.file", format!("cannot read {name}: {error}"), "give the path of a flow file")
    })?;
    Ok((name, text))
}

fn applied_text(applied: &service::Applied) -> String {
    let flow = &applied.checked.name;
    let next = if applied.needs_preview { "a new preview is needed: crmsync flow preview" } else { "crmsync flow run" };
    format!("applied `{flow}`, version {}.\n\n{}\nNext: {next} {flow}", applied.version, modules(&applied.checked))
}

fn modules(checked: &service::Checked) -> String {
    let mut table = Table::new(&["MODULE", "DIRECTION", "FIELDS", "MATCHED BY", "LEFT OUT"]).numbers(2);
    for module in &checked.modules {
        table.row([
            &format!("{} = {}", module.left, module.right),
            &sided(&module.direction, &checked.between),
            &module.rows.len().to_string(),
            &module.match_keys.join(", then "),
            &module.left_out.len().to_string(),
        ]);
    }
    let mut text = table.text(None);
    for warning in &checked.warnings {
        text.push_str(&format!("note: {}\n", neutral(warning)));
    }
    for outlook in &checked.outlook {
        text.push_str(&outlook_text(outlook));
    }
    text
}

/// What one side will see day by day.
fn outlook_text(outlook: &service::Outlook) -> String {
    let name = neutral(&outlook.connection);
    let allowed = match (outlook.allowed_a_day, outlook.allowed_a_minute) {
        (Some(day), _) => format!("; its edition ({}) allows {day} or more", neutral(&outlook.edition)),
        (None, Some(minute)) => format!("; it allows {minute} a minute"),
        (None, None) => "; no limit of its is known".to_owned(),
    };
    let mut text = format!("{name}: {} calls a day to look for changes{allowed}\n", outlook.calls_a_day);
    if let Some((day, least_s)) = outlook.allowed_a_day.zip(outlook.every_s_min) {
        let too_many = outlook.calls_a_day * 100 > day * 70;
        let fix = if too_many { " THAT IS TOO MANY: change `every`" } else { "" };
        text.push_str(&format!(
            "  with 30 % left to people and other programs, `every` can be as short as {least_s} seconds.{fix}\n"
        ));
    }
    for create in outlook.creates.iter().filter(|create| !create.hint.is_empty()) {
        text.push_str(&format!("  creates in {}: {}\n", neutral(&create.module), neutral(&create.hint)));
    }
    text
}

fn mapping_table(checked: &service::Checked) -> String {
    let [left, right] = &checked.between;
    let mut text = String::new();
    for module in &checked.modules {
        text.push_str(&format!(
            "{}: direction {}, winner {}, first sync {}, deletes {}; matched by {}\n",
            neutral(&format!("{} = {}", module.left, module.right)),
            sided(&module.direction, &checked.between),
            sided(&module.winner, &checked.between),
            sided(&module.first_sync, &checked.between),
            sided(&module.deletes, &checked.between),
            neutral(&module.match_keys.join(", then ")),
        ));
        let mut table = Table::new(&[left, right, "WAY", "THERE", "BACK", "WINNER"]);
        for row in &module.rows {
            let winner = row.winner.map(|winner| sided(&winner, &checked.between)).unwrap_or_default();
            table.row([
                &row.left.join(" + "),
                &row.right.join(" + "),
                &sided(&row.direction, &checked.between),
                &row.to_right,
                &row.to_left,
                &winner,
            ]);
        }
        text.push_str(&table.text(None));
        for left_out in &module.left_out {
            text.push_str(&format!("left out: {}: {}\n", neutral(&left_out.row), neutral(&left_out.why)));
        }
        text.push('\n');
    }
    for warning in &checked.warnings {
        text.push_str(&format!("note: {}\n", neutral(warning)));
    }
    text.trim_end().to_owned()
}

/// A policy's word, with the connections' names for left and right.
fn sided<T: serde::Serialize>(value: &T, between: &[String; 2]) -> String {
    let word = match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(serde_json::Value::Object(map)) => {
            map.values().next().and_then(|word| word.as_str()).unwrap_or_default().to_owned()
        }
        _ => String::new(),
    };
    match word.as_str() {
        "left" => between[0].clone(),
        "right" => between[1].clone(),
        "to-left" => format!("to-{}", between[0]),
        "to-right" => format!("to-{}", between[1]),
        _ => word,
    }
}

/// Deletes that the safety stop holds, as people read them.
fn held_text(held: &[HeldRemovals], between: &[String; 2]) -> String {
    let mut table = Table::new(&["MODULE", "SIDE", "DELETED", "OF", "APPROVED"]).numbers(2).numbers(3);
    for held in held {
        let module = if held.side == Side::Left { &held.left_module } else { &held.right_module };
        let consented = if held.consented > 0 { held.consented.to_string() } else { "no".into() };
        table.row([
            module,
            &between[held.side as usize],
            &held.removed.to_string(),
            &held.known.to_string(),
            &consented,
        ]);
    }
    table.text(None)
}

fn flow_list(flows: &[service::FlowSummary]) -> String {
    let mut table = Table::new(&["FLOW", "VERSION", "APPROVED", "FIRST SYNC", "LAST RUN", "STATE", "HELD DELETES"])
        .numbers(1)
        .numbers(6);
    for flow in flows {
        let first = if flow.first_sync_at_ms == 0 { "not yet".to_owned() } else { moment(flow.first_sync_at_ms) };
        let last = flow
            .last_run
            .as_ref()
            .map(|run| {
                let alarms = serde_json::from_str::<RunReport>(&run.summary).map_or(0, |report| report.alarms.len());
                let alarms = if alarms > 0 { format!(", alarms: {alarms}") } else { String::new() };
                format!("{} {}{alarms}", moment(run.started_at_ms), run.state)
            })
            .unwrap_or_default();
        let approved = if flow.approved { "yes" } else { "no" };
        let state = flow.timetable.state.as_str();
        let held = flow.held_removals.iter().map(|held| held.removed).sum::<u64>();
        let held = if held > 0 { held.to_string() } else { String::new() };
        table.row([&flow.name, &flow.version.to_string(), approved, &first, &last, state, &held]);
    }
    table.text(None)
}

/// A preview as people read it.
pub(super) fn preview_text(preview: &Preview) -> String {
    let [left, right] = &preview.between;
    let mut text = String::new();
    for pair in &preview.pairs {
        let plan = &pair.plan;
        let mut table = Table::new(&[&pair.name, left, right]).numbers(1).numbers(2);
        table.row(["records", &pair.left.to_string(), &pair.right.to_string()]);
        table.row(["matched, will be linked", &plan.linked.to_string(), &plan.linked.to_string()]);
        table.row(["will be created", &plan.create_left.to_string(), &plan.create_right.to_string()]);
        table.row(["will be changed", &plan.update_left.to_string(), &plan.update_right.to_string()]);
        for (what, left, right) in [
            ("will be flagged as deleted", plan.mark_left, plan.mark_right),
            ("will be deleted", plan.delete_left, plan.delete_right),
        ] {
            if left + right > 0 {
                table.row([what, &left.to_string(), &right.to_string()]);
            }
        }
        table.row(["write calls needed", &pair.calls_left.to_string(), &pair.calls_right.to_string()]);
        text.push_str(&table.text(None));
        let total = |counts: &BTreeMap<String, u64>| counts.values().sum::<u64>();
        text.push_str(&format!("  blank fields to fill     {}\n", total(&plan.fills)));
        text.push_str(&format!("  values to replace        {}{}\n", total(&plan.replaces), list(&plan.replaces)));
        text.push_str(&format!("  differ, stay as they are {}{}\n", total(&plan.differs), list(&plan.differs)));
        text.push_str(&format!("  fields left out          {}{}\n", total(&plan.left_out), list(&plan.left_out)));
        text.push_str(&format!(
            "  need attention           {}{}\n",
            total(&plan.needs_attention),
            list(&plan.needs_attention)
        ));
    }
    text
}

/// A run as people read it.
pub(super) fn run_text(report: &RunReport) -> String {
    let [left, right] = &report.between;
    let mut text = String::new();
    for pair in &report.pairs {
        let mut table = Table::new(&[&pair.name, left, right]).numbers(1).numbers(2);
        table.row(["records", &pair.left.to_string(), &pair.right.to_string()]);
        table.row(["created", &pair.created_left.to_string(), &pair.created_right.to_string()]);
        table.row(["changed", &pair.updated_left.to_string(), &pair.updated_right.to_string()]);
        for (what, left, right) in [
            ("flagged as deleted", pair.marked_left, pair.marked_right),
            ("deleted", pair.deleted_left, pair.deleted_right),
        ] {
            if left + right > 0 {
                table.row([what, &left.to_string(), &right.to_string()]);
            }
        }
        text.push_str(&table.text(None));
        text.push_str(&format!(
            "  linked {}, both changed {}, waiting {}\n",
            pair.linked, pair.conflicts, pair.waiting
        ));
        if pair.held_removals > 0 {
            text.push_str(&format!("  deletes held by the safety stop {}\n", pair.held_removals));
        }
        for (what, counts) in
            [("need attention", &pair.needs_attention), ("fields left out", &pair.left_out), ("removed", &pair.removed)]
        {
            if !counts.is_empty() {
                text.push_str(&format!("  {what} {}{}\n", counts.values().sum::<u64>(), list(counts)));
            }
        }
    }
    if report.unlisted > 0 {
        text.push_str(&format!(
            "  the world changed since the preview: {} values that it did not list were left as they are on both sides (differs-ask in \
             `crmsync flow outcomes`)\n",
            report.unlisted
        ));
    }
    for alarm in &report.alarms {
        text.push_str(&format!("  ALARM: {}\n", neutral(alarm)));
    }
    text.push_str(&format!("  run {} took {:.1} s", report.run, report.took_ms as f64 / 1_000.0));
    text
}

fn list(counts: &BTreeMap<String, u64>) -> String {
    if counts.is_empty() {
        return String::new();
    }
    let parts: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    format!("   ({})", neutral(&parts.join(", ")))
}

/// What a trial wrote, record by record.
fn tried_text(name: &str, report: &RunReport, tried: &[service::Tried]) -> String {
    let [left, right] = &report.between;
    let mut table = Table::new(&["MODULE", "WHAT", left, right, "FIELDS"]).numbers(4);
    for record in tried {
        table.row([&record.module, &record.what, &record.left_id, &record.right_id, &record.fields.to_string()]);
    }
    let example = tried.first().map_or("ID", |record| {
        if record.left_id.is_empty() { record.right_id.as_str() } else { record.left_id.as_str() }
    });
    format!(
        "{}Look at them in both CRMs; what was written to one: crmsync log {name} --record {}\nThe rest: crmsync flow run {name}",
        table.text(None),
        neutral(example)
    )
}

fn debug_table(lines: &[ExchangeRow]) -> String {
    let mut table =
        Table::new(&["WHEN", "CONNECTION", "REQUEST", "PARAMETERS", "WRITES", "STATUS", "MS", "SENT", "CAME"]);
    for column in 4..9 {
        table = table.numbers(column);
    }
    for line in lines {
        let status = if line.status == 0 { "none".to_owned() } else { line.status.to_string() };
        table.row([
            &moment(line.at_ms),
            &line.connection,
            &format!("{} {} {}", line.method, line.origin, line.path),
            &line.parameters,
            &line.rows_written.to_string(),
            &status,
            &line.took_ms.to_string(),
            &line.sent_bytes.to_string(),
            &line.answer_bytes.to_string(),
        ]);
    }
    table.text(None)
}

fn story_text(story: &service::Story) -> String {
    let place = |side: usize| match story.ids[side].as_str() {
        "" => format!("{}: none", story.between[side]),
        id => format!("{}: {} {id}", story.between[side], story.modules[side]),
    };
    let mut text = neutral(&format!("{}   {}", place(0), place(1)));
    text.push('\n');
    for line in &story.lines {
        text.push_str(&neutral(&format!("{}  run {}  {}", moment(line.at_ms), line.run, line.text)));
        text.push('\n');
    }
    text.push_str(&format!("now: {}\n{}", neutral(&story.now), super::attention::points_text(&story.open)));
    text.trim_end().to_owned()
}

fn log_table(lines: &[JournalRow], between: &[String; 2]) -> String {
    let [left, right] = between;
    let mut table = Table::new(&["WHEN", "RUN", "MODULE", left, right, "WHAT HAPPENED"]).numbers(1);
    for line in lines {
        let module = if line.side == "right" { &line.right_module } else { &line.left_module };
        table.row([
            &moment(line.at_ms),
            &line.run.to_string(),
            module,
            &line.left_id,
            &line.right_id,
            &service::in_words(line, between),
        ]);
    }
    let width = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    table.text(Some(width.unwrap_or(200)))
}
