//! Writing records, up to 100 rows in a request.
//!
//! **Creates.** With a field for our keys (class A) a row carries its key, and the field is unique: a create that is repeated because
//! its answer was lost meets its own record and is refused as a duplicate, which counts as success. That is why rows are inserted and
//! not upserted: an upsert would overwrite what people have changed in the record since. Without the field (class B) nothing can be
//! repeated safely, and the engine has to look.
//!
//! **Updates** name the time since which their rows must be unchanged (`If-Unmodified-Since`); Zoho refuses rows changed after it, one
//! by one. The time belongs to the request, so rows share a request only if one time is right for all of them: the option `read-at`
//! (milliseconds of Zoho's clock at which all rows of the push were last read), else the version that they have in common. Zoho's times
//! have seconds only, so with `read-at` the last full second before it is named, and a change in the very second is refused rather than
//! overwritten; with a version, a change later in the version's own second cannot be told.
//!
//! **Automations** are switched off unless they are asked for.

use std::collections::BTreeMap;

use crmsync_plugin::egress::{Answer, Request};
use crmsync_plugin::rows::{self, PushReportBuilder, Row, Rows};
use crmsync_plugin::{Cell, Fault, Kind, Operation, PushReport, PushRequest, Receipt, time};

use crate::convert::{json_text, write_member};
use crate::fault::{self, CallRefusal, Refused};
use crate::pull::MARGIN_MS;
use crate::schema::Schema;
use crate::wire::{self, LIST_IDS_MAX, WRITE_ROWS_MAX};

/// Option: when all rows of the push were last read, in milliseconds of Zoho's clock.
const READ_AT: &str = "read-at";
/// Option: id of the layout that new records get.
const LAYOUT: &str = "layout";

/// Members of a body that let a write start nothing: no workflow, approval or blueprint, and no cadence, which is a feature of its own.
const NO_AUTOMATIONS: &str = r#","trigger":[],"skip_feature_execution":[{"name":"cadences"}]"#;

/// Writes rows.
pub(crate) fn push(request: &PushRequest) -> Result<PushReport, Fault> {
    wire::check_module(&request.module)?;
    let values = Rows::of_push(request)?;
    let has_keys = request.rows.iter().any(|row| row.op == Operation::Create && !row.key.is_empty());
    let key_field = if has_keys { Schema::of_module(&request.module)?.key_field } else { None };
    let report = PushReportBuilder::new(request.rows.len(), Vec::new());
    let mut push = Push { request, values, key_field, report };
    for batch in batches(request, &mut push.report) {
        if push.send(&batch) == Next::Stop {
            break;
        }
    }
    Ok(push.report.finish())
}

/// Rows that go into one request.
#[derive(Debug, PartialEq)]
struct Batch {
    call: Call,
    /// Indexes into the rows of the push.
    rows: Vec<usize>,
}

/// What the request does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Call {
    Insert,
    /// Rows changed after this time are refused.
    Update {
        unmodified_since: String,
    },
    Delete,
}

/// Whether more requests make sense.
#[derive(Debug, PartialEq)]
enum Next {
    Continue,
    Stop,
}

/// The requests for a push: creates first, then updates by the time that they name, then deletes.
fn batches(request: &PushRequest, report: &mut PushReportBuilder) -> Vec<Batch> {
    let read_at_ms = option(request, READ_AT).and_then(|text| text.parse::<i64>().ok());
    let mut by_call: BTreeMap<Call, Vec<usize>> = BTreeMap::new();
    for (index, row) in request.rows.iter().enumerate() {
        let call = match row.op {
            Operation::Create => Call::Insert,
            Operation::Delete => Call::Delete,
            Operation::Update => match unmodified_since(read_at_ms, &row.version) {
                Some(unmodified_since) => Call::Update { unmodified_since },
                None => {
                    // Nobody knows what the row was changed from, so it has to be read first.
                    report.failed(index, Fault::Changed);
                    continue;
                }
            },
        };
        by_call.entry(call).or_default().push(index);
    }
    let mut batches = Vec::new();
    for (call, rows) in by_call {
        let rows_max = if call == Call::Delete { LIST_IDS_MAX } else { WRITE_ROWS_MAX };
        batches.extend(rows.chunks(rows_max).map(|rows| Batch { call: call.clone(), rows: rows.to_vec() }));
    }
    batches
}

/// Since when a row must not have changed, when everything up to a time was read and the row was last seen in a version.
///
/// A change of the last minute before that time may not have been in the lists yet, so an earlier time is named. A row that was itself
/// changed in that minute names its own time, so that it is not refused for the change that we know of; but never the second in which it
/// was read, as nobody can tell what of that second was seen.
fn unmodified_since(read_at_ms: Option<i64>, version: &str) -> Option<String> {
    let seen_us = time::parse_instant(version);
    let Some(read_at_ms) = read_at_ms else { return seen_us.map(time::format_instant) };
    let second_before_us = |ms: i64| (ms.div_euclid(1_000) - 1) * 1_000_000;
    let listed_us = second_before_us(read_at_ms - MARGIN_MS);
    let since_us = seen_us.unwrap_or(listed_us).clamp(listed_us, second_before_us(read_at_ms));
    Some(time::format_instant(since_us))
}

fn option<'a>(request: &'a PushRequest, name: &str) -> Option<&'a str> {
    request.options.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// A create that Zoho refused because a record has one of its unique values.
struct Duplicate {
    /// Row of the push.
    index: usize,
    /// Id of the record, "" if Zoho did not say.
    holder: String,
    /// The value is our key.
    by_key: bool,
}

struct Push<'a> {
    request: &'a PushRequest,
    values: Rows,
    key_field: Option<String>,
    report: PushReportBuilder,
}

impl Push<'_> {
    fn send(&mut self, batch: &Batch) -> Next {
        let (request, sent) = self.write_request(batch);
        if sent.is_empty() {
            return Next::Continue;
        }
        match request.writes(sent.iter().map(|&row| row as u32)).send() {
            Ok(answer) => self.settle(&answer, batch, &sent),
            Err(fault) => self.all_failed(&sent, fault),
        }
    }

    /// The request, and the rows in it: those that Zoho cannot have the values of have failed.
    fn write_request(&mut self, batch: &Batch) -> (Request, Vec<usize>) {
        let module = &self.request.module;
        let request = match &batch.call {
            Call::Delete => {
                let ids: Vec<&str> = batch.rows.iter().map(|&row| self.request.rows[row].id.as_str()).collect();
                let workflows = self.request.automations.to_string();
                let request = wire::delete(module).query("ids", ids.join(",")).query("wf_trigger", workflows);
                return (request, batch.rows.clone());
            }
            Call::Insert => wire::insert(module),
            Call::Update { unmodified_since } => wire::update(module).header("if-unmodified-since", unmodified_since),
        };
        let mut body = "{\"data\":[".to_owned();
        let mut sent = Vec::with_capacity(batch.rows.len());
        for &row in &batch.rows {
            match self.row_object(row) {
                Ok(object) => {
                    if !sent.is_empty() {
                        body.push(',');
                    }
                    body.push_str(&object);
                    sent.push(row);
                }
                Err(fault) => self.report.failed(row, fault),
            }
        }
        body.push(']');
        if !self.request.automations {
            body.push_str(NO_AUTOMATIONS);
        }
        body.push('}');
        (request.json(body), sent)
    }

    fn row_object(&self, index: usize) -> Result<String, Fault> {
        let row = &self.request.rows[index];
        let mut object = "{".to_owned();
        if row.op == Operation::Update {
            write_member(&mut object, "id", Cell::text_or_empty(&row.id))?;
        } else {
            if let Some(field) = &self.key_field {
                write_member(&mut object, field, Cell::text_or_empty(&row.key))?;
            }
            if let Some(layout) = option(self.request, LAYOUT) {
                object.push_str(if object.ends_with('{') { "" } else { "," });
                object.push_str(&format!("\"Layout\":{{\"id\":{}}}", json_text(layout)));
            }
        }
        let values = self.values.row(index);
        for (column, cell) in self.values.columns().iter().zip(values.cells_from(0)) {
            write_member(&mut object, &column.name, cell)?;
        }
        object.push('}');
        Ok(object)
    }

    /// Reads what became of each row.
    fn settle(&mut self, answer: &Answer, batch: &Batch, sent: &[usize]) -> Next {
        let outcomes = match read_outcomes(answer) {
            Ok(Some(outcomes)) if outcomes.len() == sent.len() => outcomes,
            Ok(Some(outcomes)) if answer.status() < 300 => {
                let fault = format!("{} rows were sent, Zoho answered about {}", sent.len(), outcomes.len());
                return self.all_failed(sent, Fault::UnknownOutcome(fault));
            }
            Err(unreadable) if answer.status() < 300 => return self.all_failed(sent, unreadable),
            outcomes => {
                let refused = outcomes.ok().flatten().unwrap_or_default();
                return self.call_refused(answer, &refused, sent);
            }
        };
        let mut duplicates = Vec::new();
        for (row, &index) in outcomes.iter().zip(sent) {
            match outcome_of(row, batch.call != Call::Insert, &self.request.rows[index].id) {
                Ok(receipt) => self.report.stored(index, receipt),
                Err(Fault::Duplicate(holder)) if batch.call == Call::Insert && self.has_key(index) => {
                    let by_key = self.key_field.as_deref() == Some(row.text(FIELD));
                    duplicates.push(Duplicate { index, holder, by_key });
                }
                Err(fault) => self.not_executed(index, fault),
            }
        }
        self.settle_duplicates(duplicates);
        Next::Continue
    }

    fn has_key(&self, index: usize) -> bool {
        self.key_field.is_some() && !self.request.rows[index].key.is_empty()
    }

    /// A create that met a record with its own key has been done before, by an attempt whose answer was lost. Zoho names only one of
    /// the fields that collide, so records that were met by another field are asked for their key.
    fn settle_duplicates(&mut self, duplicates: Vec<Duplicate>) {
        let unclear = |duplicate: &&Duplicate| !duplicate.by_key && !duplicate.holder.is_empty();
        let unclear: Vec<&str> = duplicates.iter().filter(unclear).map(|duplicate| duplicate.holder.as_str()).collect();
        let keys = self.keys_of(&unclear);
        for Duplicate { index, holder, by_key } in duplicates {
            let key = keys.as_ref().map(|keys| keys.get(&holder));
            match key {
                _ if by_key && !holder.is_empty() => self.report.stored(index, existing(holder)),
                Ok(Some(key)) if *key == self.request.rows[index].key => self.report.stored(index, existing(holder)),
                Ok(_) if !by_key => self.report.failed(index, Fault::Duplicate(holder)),
                // It may be our own record: whoever looks for the key will know.
                _ => self.report.failed(index, Fault::UnknownOutcome("cannot tell whose record it met".to_owned())),
            }
        }
    }

    /// Record id → key of these records.
    fn keys_of(&self, ids: &[&str]) -> Result<BTreeMap<String, String>, Fault> {
        let mut keys = BTreeMap::new();
        let Some(field) = &self.key_field else { return Ok(keys) };
        for ids in ids.chunks(LIST_IDS_MAX) {
            let answer =
                wire::read(wire::get(&self.request.module).query("ids", ids.join(",")).query("fields", field))?;
            let columns = vec![rows::column("id", Kind::Text), rows::column(field, Kind::Text)];
            let (records, _) = answer.records("/data", columns)?;
            keys.extend(records.iter().map(|row| (row.text(0).to_owned(), row.text(1).to_owned())));
        }
        Ok(keys)
    }

    /// Zoho refused the whole call, or did not get to answer it.
    fn call_refused(&mut self, answer: &Answer, outcomes: &Rows, sent: &[usize]) -> Next {
        let CallRefusal { fault, before_execution, body } = fault::of_call(answer);
        if !before_execution {
            let reason = format!("Zoho answered HTTP {} to a write", answer.status());
            return self.all_failed(sent, Fault::UnknownOutcome(reason));
        }
        let flat = Refused {
            code: &body.code,
            message: &body.message,
            field: body.details.api_name.as_deref().unwrap_or_default(),
            path: body.details.json_path.as_deref().unwrap_or_default(),
            holder: "",
        };
        // A refusal that names one row is about that row alone: the others were not looked at, and are sent again without it.
        let named = outcomes.iter().map(refused_of).chain([flat]).find_map(|refused| {
            let index = *sent.get(row_of_path(refused.path)?)?;
            Some((index, refused))
        });
        let Some((index, refused)) = named else {
            sent.iter().for_each(|&row| self.not_executed(row, fault.clone()));
            return Next::Stop;
        };
        let names_record = self.request.rows[index].op != Operation::Create;
        self.report.failed(index, fault::of_row(&refused, names_record));
        // A wait of nothing: the host admitted these rows too, and may send them again at once.
        sent.iter().filter(|&&row| row != index).for_each(|&row| self.report.failed(row, Fault::RateLimited(0)));
        Next::Stop
    }

    /// An answered refusal of a row. The host admitted the row, so it has to hear that nothing was done: an unsent row that was admitted
    /// would count as a write whose outcome nobody knows.
    fn not_executed(&mut self, index: usize, fault: Fault) {
        if let Fault::RateLimited(wait_ms) = fault {
            self.report.wait(wait_ms);
        }
        self.report.failed(index, fault);
    }

    /// The same fault for all rows of a request that got no answer; where it was not even tried, the rows stay unsent.
    fn all_failed(&mut self, sent: &[usize], fault: Fault) -> Next {
        match fault {
            Fault::RateLimited(wait_ms) => self.report.wait(wait_ms),
            fault => sent.iter().for_each(|&row| self.report.failed(row, fault.clone())),
        }
        Next::Stop
    }
}

/// Columns of the rows of an answer to a write.
const CODE: usize = 0;
const MESSAGE: usize = 1;
const ID: usize = 2;
const MODIFIED: usize = 3;
const FIELD: usize = 4;
const PATH: usize = 5;
const HOLDER: usize = 6;
const ERROR_CODE: usize = 7;
const OUTCOME_COLUMNS: [(&str, Kind); 11] = [
    ("code", Kind::Text),
    ("message", Kind::Text),
    ("/details/id", Kind::Text),
    ("/details/Modified_Time", Kind::Instant),
    ("/details/api_name", Kind::Text),
    ("/details/json_path", Kind::Text),
    ("/details/duplicate_record/id", Kind::Text),
    // Of several errors of one row the first is told; the next attempt tells the next one.
    ("/details/errors/0/code", Kind::Text),
    ("/details/errors/0/message", Kind::Text),
    ("/details/errors/0/details/api_name", Kind::Text),
    ("/details/errors/0/details/json_path", Kind::Text),
];

/// What Zoho says about each row; none if it says something about the call only.
fn read_outcomes(answer: &Answer) -> Result<Option<Rows>, Fault> {
    if answer.read("/data/0")?.is_none() {
        return Ok(None);
    }
    let columns = OUTCOME_COLUMNS.map(|(name, kind)| rows::column(name, kind)).to_vec();
    answer.records("/data", columns).map(|(outcomes, _)| Some(outcomes))
}

/// What became of one row.
fn outcome_of(row: Row<'_>, names_record: bool, known_id: &str) -> Result<Receipt, Fault> {
    if row.text(CODE) != "SUCCESS" {
        return Err(fault::of_row(&refused_of(row), names_record));
    }
    let id = if row.text(ID).is_empty() { known_id } else { row.text(ID) };
    if id.is_empty() {
        return Err(Fault::UnknownOutcome("Zoho created a record and does not say which".to_owned()));
    }
    let (version, modified_ms) = match row.cell(MODIFIED) {
        Cell::Instant(micros) => (time::format_instant(micros), micros / 1_000),
        _ => (String::new(), 0),
    };
    Ok(Receipt { id: id.to_owned(), version, modified_ms, stored: None, existed: false })
}

/// The receipt of a create that was done before. What the record holds now is for the next pull to tell: people may have changed it.
fn existing(id: String) -> Receipt {
    Receipt { id, version: String::new(), modified_ms: 0, stored: None, existed: true }
}

fn refused_of<'a>(row: Row<'a>) -> Refused<'a> {
    let code = row.text(CODE);
    if code == "MULTIPLE_OR_MULTI_ERRORS" && !row.text(ERROR_CODE).is_empty() {
        return Refused {
            code: row.text(ERROR_CODE),
            message: row.text(ERROR_CODE + 1),
            field: row.text(ERROR_CODE + 2),
            path: row.text(ERROR_CODE + 3),
            holder: "",
        };
    }
    let holder = if row.text(HOLDER).is_empty() { row.text(ID) } else { row.text(HOLDER) };
    Refused { code, message: row.text(MESSAGE), field: row.text(FIELD), path: row.text(PATH), holder }
}

/// The row that a JSON path such as `$.data[3].Email` is about.
fn row_of_path(path: &str) -> Option<usize> {
    path.strip_prefix("$.data[")?.split_once(']')?.0.parse().ok()
}
