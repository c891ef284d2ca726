//! Writing rows: one request each, because Vtiger has no bulk write, in groups over the parallel sessions.
//!
//! Updates are sent with `revise`, never with `update`, which wants all mandatory fields and encodes an unsent
//! description once more each time. Every write starts the CRM's workflows; the API has no way to leave them out.

use crmsync_plugin::egress::{Answer, Request, send_all};
use crmsync_plugin::rows::{PushReportBuilder, Row, Rows, column};
use crmsync_plugin::{Cell, Column, Fault, Kind, Operation, PushReport, PushRequest, PushRow, Receipt};
use serde_json::{Map, Value};

use crate::convert::{self, Converted};
use crate::fault::{Doing, may_not_change};
use crate::login;
use crate::lookup::{self, SOURCE_CHARS_MAX};
use crate::reader::modified_ms;
use crate::schema::{Field, Modules, SOURCE_FIELD, Schema};
use crate::vtql::PAGE_ROWS;
use crate::wire;

/// Requests side by side. The CRM serialises those of one session, so it is the number of sessions in the manifest.
const SESSIONS: usize = 4;

/// Option with the names of the fields that pulls read, comma between: with it receipts carry the version that a pull
/// will give.
const VERSION_FIELDS: &str = "version-fields";

/// Writes rows until all are written or the CRM asks to wait.
///
/// # Errors
/// Only before the first row was sent.
pub(crate) fn push(request: &PushRequest) -> Result<PushReport, Fault> {
    let writer = Writer::open(request)?;
    let mut report = PushReportBuilder::new(request.rows.len(), writer.columns.clone());
    let mut ready: Vec<(usize, Request)> = Vec::with_capacity(request.rows.len());
    for (index, row) in request.rows.iter().enumerate() {
        match writer.request(index, row) {
            Ok(http) => ready.push((index, http)),
            Err(fault) => report.failed(index, fault),
        }
    }
    let mut denied = Vec::new();
    while !ready.is_empty() {
        let group: Vec<_> = ready.drain(..ready.len().min(SESSIONS)).collect();
        let (rows, requests): (Vec<usize>, Vec<Request>) = group.into_iter().unzip();
        let mut stop = false;
        for (index, answer) in rows.into_iter().zip(send_all(requests)) {
            stop |= writer.settle(index, &request.rows[index], answer, &mut report, &mut denied);
        }
        if stop {
            break;
        }
    }
    writer.tell_why(&denied, &mut report);
    Ok(report.finish())
}

struct Writer<'a> {
    request: &'a PushRequest,
    values: Rows,
    schema: Schema,
    modules: Modules,
    fields: Vec<Option<Field>>,
    columns: Vec<Column>,
    /// Fields whose values go into a receipt's version; none if the host did not name them.
    version_fields: Option<Vec<String>>,
}

impl<'a> Writer<'a> {
    fn open(request: &'a PushRequest) -> Result<Writer<'a>, Fault> {
        let values = Rows::of_push(request)?;
        let names: Vec<String> = request.columns.iter().map(|column| column.name.clone()).collect();
        let schema = login::schema(&request.module, &names)?;
        let fields: Vec<Option<Field>> = names.iter().map(|name| schema.field(name).cloned()).collect();
        let targets: Vec<&[String]> = fields.iter().flatten().map(|field| field.targets.as_slice()).collect();
        let modules = login::modules(&targets)?;
        let kind = |field: &Option<Field>| field.as_ref().map_or(Kind::Text, |field| field.native.kind());
        let columns = names.iter().zip(&fields).map(|(name, field)| column(name, kind(field))).collect();
        let version_fields = request.options.iter().find(|(name, _)| name == VERSION_FIELDS);
        let version_fields = version_fields.map(|(_, list)| list.split(',').map(str::to_owned).collect());
        Ok(Writer { request, values, schema, modules, fields, columns, version_fields })
    }

    /// The request that writes a row.
    fn request(&self, index: usize, row: &PushRow) -> Result<Request, Fault> {
        let number = index as u32;
        if row.op != Operation::Create && !self.schema.owns(&row.id) {
            return Err(Fault::rejected("", "not-an-id", "the id is not one of this module"));
        }
        Ok(match row.op {
            Operation::Create => {
                let element = self.new_element(self.values.row(index), &row.key)?;
                let module = self.request.module.clone();
                wire::write("create", pairs([("elementType", module), ("element", element)]), number)
            }
            Operation::Update => {
                let element = self.changes(self.values.row(index), &row.id)?;
                wire::write("revise", pairs([("element", element)]), number)
            }
            Operation::Delete => wire::write("delete", pairs([("id", row.id.clone())]), number),
        })
    }

    /// The JSON of a new record. Empty cells are what an unsent field is anyway.
    fn new_element(&self, row: Row<'_>, key: &str) -> Result<String, Fault> {
        let mut element = self.element(row, |cell| !matches!(cell, Cell::Absent | Cell::Empty))?;
        if let Some(key_field) = self.schema.key_field.as_deref().filter(|_| !key.is_empty()) {
            if key_field == SOURCE_FIELD && key.chars().count() > SOURCE_CHARS_MAX {
                return Err(Fault::rejected(key_field, "key-too-long", "the CRM would cut the key"));
            }
            element.insert(key_field.to_owned(), Value::from(key));
        }
        let missing = self.schema.fields.iter().find(|field| field.mandatory && !element.contains_key(&field.name));
        match missing {
            Some(field) => Err(mandatory(&field.name)),
            None => Ok(Value::Object(element).to_string()),
        }
    }

    /// The JSON of what changes in a record.
    fn changes(&self, row: Row<'_>, id: &str) -> Result<String, Fault> {
        let mut element = self.element(row, |cell| cell != Cell::Absent)?;
        if element.is_empty() {
            // It would change nothing but the time of the last change, and look like somebody's edit.
            return Err(Fault::rejected("", "nothing-to-write", "the update has no value"));
        }
        let is_emptied = |field: &&Field| field.mandatory && element.get(&field.name) == Some(&Value::from(""));
        if let Some(field) = self.schema.fields.iter().find(is_emptied) {
            return Err(mandatory(&field.name));
        }
        element.insert("id".to_owned(), Value::from(id));
        Ok(Value::Object(element).to_string())
    }

    fn element(&self, row: Row<'_>, takes: impl Fn(Cell<'_>) -> bool) -> Result<Map<String, Value>, Fault> {
        let mut element = Map::new();
        for (column, cell) in self.columns.iter().zip(row.cells_from(0)).filter(|(_, cell)| takes(*cell)) {
            if self.schema.field(&column.name).is_none() {
                // The CRM ignores unknown names and says that all is well.
                return Err(Fault::rejected(&column.name, "no-such-field", "the CRM has no such field"));
            }
            element.insert(column.name.clone(), Value::from(convert::write(&column.name, cell)?));
        }
        Ok(element)
    }

    /// Says what became of a row; true if no more rows should be sent.
    fn settle(
        &self,
        index: usize,
        row: &PushRow,
        answer: Result<Answer, Fault>,
        report: &mut PushReportBuilder,
        denied: &mut Vec<usize>,
    ) -> bool {
        let doing = doing(row.op);
        let answered = answer.is_ok();
        match answer.and_then(|answer| wire::result(&answer, doing)) {
            Ok(_) if row.op == Operation::Delete => report.stored(index, receipt(&row.id, String::new(), 0)),
            Ok(Value::Object(record)) => self.stored(index, row, &record, report),
            Ok(_) => report.failed(index, Fault::UnknownOutcome("the CRM's answer holds no record".to_owned())),
            Err(Fault::Gone) => denied.push(index),
            Err(fault @ (Fault::RateLimited(_) | Fault::Transient(_))) => {
                if let Fault::RateLimited(wait_ms) = fault {
                    report.wait(wait_ms);
                }
                // With an answer the CRM refused a row that the host admitted, and the host has to hear that nothing was done. Without
                // one, nothing of the row has reached the CRM and it stays unsent.
                if answered {
                    report.failed(index, fault);
                }
                return true;
            }
            Err(fault) => {
                report.failed(index, fault);
                // A refusal at the door, or silence, would meet the next rows too.
                return !answered;
            }
        }
        false
    }

    /// Says of rows that the CRM denied whether their records are gone or only not this user's to change: one query for a
    /// hundred of them.
    fn tell_why(&self, denied: &[usize], report: &mut PushReportBuilder) {
        let rows = &self.request.rows;
        for indexes in denied.chunks(PAGE_ROWS as usize) {
            let ids: Vec<&str> = indexes.iter().map(|&index| rows[index].id.as_str()).collect();
            let readable = lookup::readable(&self.request.module, &ids);
            for &index in indexes {
                let fault = match &readable {
                    Ok(readable) if readable.contains(&rows[index].id) => may_not_change(doing(rows[index].op)),
                    Ok(_) => Fault::Gone,
                    // Nothing was written, and nobody knows why: it must not look like a removal.
                    Err(_) => Fault::Transient("the CRM denied the write and does not tell why".to_owned()),
                };
                report.failed(index, fault);
            }
        }
    }

    fn stored(&self, index: usize, row: &PushRow, record: &Map<String, Value>, report: &mut PushReportBuilder) {
        let text = |name: &str| convert::of_answer(record, name).text().unwrap_or_default();
        let id = if row.op == Operation::Create { text("id") } else { row.id.as_str() };
        if !self.schema.owns(id) {
            return report.failed(index, Fault::UnknownOutcome("the CRM's answer does not name the record".to_owned()));
        }
        if self.fields.iter().flatten().any(|field| !record.contains_key(&field.name)) {
            // The CRM ignores values of fields that it does not have (any more). The next write looks first.
            login::forget(&self.request.module);
        }
        let modified = text("modifiedtime");
        let version = self.version_fields.as_ref().map(|fields| {
            let known = fields.iter().filter(|name| self.schema.field(name).is_some());
            convert::version(modified, known.map(|name| (name.as_str(), convert::of_answer(record, name))))
        });
        let cells: Vec<Converted<'_>> = self
            .fields
            .iter()
            .map(|field| match field {
                Some(field) => convert::read(field, convert::of_answer(record, &field.name), &self.modules),
                None => Converted::As(Cell::Absent),
            })
            .collect();
        let receipt = receipt(id, version.unwrap_or_default(), modified_ms(modified));
        report.stored_as(index, receipt, cells.iter().map(Converted::cell));
    }
}

fn doing(op: Operation) -> Doing {
    match op {
        Operation::Create => Doing::Create,
        Operation::Update => Doing::Revise,
        Operation::Delete => Doing::Delete,
    }
}

fn receipt(id: &str, version: String, modified_ms: i64) -> Receipt {
    Receipt { id: id.to_owned(), version, modified_ms, stored: None, existed: false }
}

/// The CRM's own words for it, without asking it.
fn mandatory(field: &str) -> Fault {
    Fault::rejected(field, "MANDATORY_FIELDS_MISSING", format!("{field} does not have a value"))
}

fn pairs<const N: usize>(pairs: [(&str, String); N]) -> Vec<(String, String)> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
