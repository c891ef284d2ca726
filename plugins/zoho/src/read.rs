//! Reading records: the fields that a call asks for, spread over as many requests as Zoho needs for them.

use std::collections::{BTreeMap, HashMap, HashSet};

use crmsync_plugin::egress::{self, Answer, Request};
use crmsync_plugin::rows::{self, Row, Rows, SnapshotBuilder};
use crmsync_plugin::{Batch, Cell, Column, Fault, Fetched, Found, Kind, Removal, Snapshot, time};

use crate::convert::{Shape, Value};
use crate::fault;
use crate::schema::Schema;
use crate::wire::{self, LIST_FIELDS_MAX, LIST_IDS_MAX, MODIFIED_TIME};

/// Fields of one request besides [`MODIFIED_TIME`], which versions are made of, and the two that tell of a lead's conversion.
const CHUNK_FIELDS_MAX: usize = LIST_FIELDS_MAX - 3;
/// The module whose records can be converted. Zoho hides converted leads unless they are asked for.
const LEADS: &str = "Leads";
/// Says of a lead whether it was converted.
const CONVERTED: &str = "Converted__s";
/// The contact that it became.
const CONVERTED_CONTACT: &str = "Converted_Contact";
/// Requests that one page of records may need for its fields; with it, a call stays within the contract's number of requests.
const CHUNKS_MAX: usize = 4;
/// Criteria that one search takes.
const SEARCH_VALUES_MAX: usize = 10;

/// Columns that all rows of records begin with.
const ID: usize = 0;
const MODIFIED: usize = 1;
const FIRST_FIELD: usize = 2;

/// The fields that a call asks for.
pub(crate) struct Asked {
    /// Columns of the snapshot, one for each field.
    columns: Vec<Column>,
    /// Where each column comes from.
    sources: Vec<Source>,
    /// Fields of each request with their shapes. There is always one, which tells what records there are.
    chunks: Vec<Vec<(String, Shape)>>,
    /// Records that were converted are asked for too, and told apart.
    conversions: bool,
}

/// Where the values of a field come from.
enum Source {
    /// The module has no such field (any more), so it is not read.
    Nowhere,
    Id,
    ModifiedTime,
    Field {
        chunk: usize,
        place: usize,
    },
}

impl Asked {
    /// Plans the requests for these fields. Fields without a shape stay absent.
    ///
    /// # Errors
    /// [`Fault::Unsupported`] for more fields than one call can read.
    pub(crate) fn new(fields: &[String], shapes: &BTreeMap<String, Shape>) -> Result<Asked, Fault> {
        let mut chunks = vec![Vec::new()];
        let (mut columns, mut sources) = (Vec::with_capacity(fields.len()), Vec::with_capacity(fields.len()));
        for field in fields {
            let (kind, source) = match (field.as_str(), shapes.get(field)) {
                ("id", _) => (Kind::Text, Source::Id),
                (MODIFIED_TIME, _) => (Kind::Instant, Source::ModifiedTime),
                (_, None) => (Kind::Text, Source::Nowhere),
                (_, Some(shape)) => {
                    if chunks.last().is_some_and(|chunk| chunk.len() == CHUNK_FIELDS_MAX) {
                        chunks.push(Vec::new());
                    }
                    let chunk = chunks.len() - 1;
                    let place = chunks[chunk].len();
                    chunks[chunk].push((field.clone(), shape.clone()));
                    (shape.kind(), Source::Field { chunk, place })
                }
            };
            columns.push(rows::column(field, kind));
            sources.push(source);
        }
        if chunks.len() > CHUNKS_MAX {
            let most = CHUNKS_MAX * CHUNK_FIELDS_MAX;
            return Err(Fault::Unsupported(format!("more than {most} fields of one module cannot be read at once")));
        }
        Ok(Asked { columns, sources, chunks, conversions: false })
    }

    /// The same plan for this module, which may be one whose records are converted.
    pub(crate) fn of(self, module: &str) -> Asked {
        Asked { conversions: module == LEADS, ..self }
    }

    /// Makes the request that tells what records there are show converted ones, too.
    pub(crate) fn with_converted(&self, request: Request) -> Request {
        if self.conversions { request.query("converted", "both") } else { request }
    }

    /// Those of the first request's rows that were converted.
    pub(crate) fn converted(&self, rows: &Rows) -> Vec<Removal> {
        if !self.conversions {
            return Vec::new();
        }
        let first = FIRST_FIELD + self.chunks[0].len();
        let converted = rows.iter().filter(|row| row.cell(first) == Cell::Boolean(true));
        let removal = |row: Row<'_>| Removal {
            id: row.text(ID).to_owned(),
            reason: "converted".to_owned(),
            into: match row.text(first + 1) {
                "" => String::new(),
                id => format!("Contacts/{id}"),
            },
        };
        converted.map(removal).collect()
    }

    /// The plan for a module, with its schema from wherever it is known.
    pub(crate) fn of_module(module: &str, fields: &[String]) -> Result<Asked, Fault> {
        wire::check_module(module)?;
        if fields.is_empty() {
            return Ok(Asked::new(fields, &BTreeMap::new())?.of(module));
        }
        Ok(Asked::new(fields, &Schema::of_fields(module, fields)?.shapes)?.of(module))
    }

    /// How many records one page should have, so that further requests for their fields stay few.
    pub(crate) fn page_records(&self) -> usize {
        match self.chunks.len() {
            0..=2 => wire::PAGE_RECORDS_MAX,
            3 => LIST_IDS_MAX * 2,
            _ => LIST_IDS_MAX,
        }
    }

    /// The parameter `fields` of the request that tells what records there are.
    pub(crate) fn first_fields(&self) -> String {
        self.fields(0)
    }

    /// The rows of that request's answer.
    pub(crate) fn first_rows(&self, answer: &Answer) -> Result<(Rows, u32), Fault> {
        self.rows(0, answer)
    }

    /// The rows as a snapshot, after reading the fields that did not fit into the first request. `skip` names records that are to
    /// be left out.
    ///
    /// A record that changes between the requests keeps the version of the first one, so the change is listed again later.
    pub(crate) fn snapshot(&self, module: &str, first: &Rows, skip: &HashSet<String>) -> Result<Snapshot, Fault> {
        let mut seen = HashSet::with_capacity(first.len());
        let listed: Vec<Row<'_>> =
            first.iter().filter(|row| !skip.contains(row.text(ID)) && seen.insert(row.text(ID))).collect();
        let further = self.read_further(module, &listed)?;
        let by_id: Vec<HashMap<&str, Row<'_>>> = further
            .iter()
            .map(|answers| answers.iter().flat_map(Rows::iter).map(|row| (row.text(ID), row)).collect())
            .collect();
        let mut snapshot = SnapshotBuilder::new(self.columns.clone(), listed.len());
        for row in listed {
            let id = row.text(ID);
            let modified = modified_micros(row)?;
            let values: Vec<Value<'_>> = self
                .sources
                .iter()
                .map(|source| match *source {
                    Source::Nowhere => Value::Cell(Cell::Absent),
                    Source::Id => Value::Cell(row.cell(ID)),
                    Source::ModifiedTime => Value::Cell(row.cell(MODIFIED)),
                    Source::Field { chunk, place } => {
                        let row = if chunk == 0 { Some(row) } else { by_id[chunk - 1].get(id).copied() };
                        let cell = row.map_or(Cell::Absent, |row| row.cell(FIRST_FIELD + place));
                        self.chunks[chunk][place].1.read(cell)
                    }
                })
                .collect();
            snapshot.row(id, &time::format_instant(modified), modified / 1_000, values.iter().map(Value::cell));
        }
        Ok(snapshot.finish())
    }

    /// The rows with the fields of all further requests, request by request.
    fn read_further(&self, module: &str, listed: &[Row<'_>]) -> Result<Vec<Vec<Rows>>, Fault> {
        if listed.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<&str> = listed.iter().map(|row| row.text(ID)).collect();
        (1..self.chunks.len())
            .map(|chunk| {
                let requests = ids.chunks(LIST_IDS_MAX).map(|ids| self.by_ids(module, chunk, ids)).collect();
                let answers = egress::send_all(requests).into_iter();
                answers.map(|answer| self.rows(chunk, &good(answer)?).map(|(rows, _)| rows)).collect()
            })
            .collect()
    }

    fn by_ids(&self, module: &str, chunk: usize, ids: &[&str]) -> Request {
        let request = wire::get(module).query("ids", ids.join(",")).query("fields", self.fields(chunk));
        if chunk == 0 { self.with_converted(request) } else { request }
    }

    fn fields(&self, chunk: usize) -> String {
        let names = self.chunks[chunk].iter().map(|(field, _)| field.as_str());
        let told = [CONVERTED, CONVERTED_CONTACT].into_iter().filter(|_| self.conversions && chunk == 0);
        core::iter::once(MODIFIED_TIME).chain(names).chain(told).collect::<Vec<_>>().join(",")
    }

    fn rows(&self, chunk: usize, answer: &Answer) -> Result<(Rows, u32), Fault> {
        let mut columns = vec![rows::column("id", Kind::Text), rows::column(MODIFIED_TIME, Kind::Instant)];
        columns.extend(self.chunks[chunk].iter().map(|(field, shape)| shape.wire_column(field)));
        if self.conversions && chunk == 0 {
            columns.push(rows::column(CONVERTED, Kind::Boolean));
            columns.push(rows::column(format!("/{CONVERTED_CONTACT}/id"), Kind::Text));
        }
        answer.records("/data", columns)
    }
}

/// When the record was last changed, in microseconds since 1970.
pub(crate) fn modified_micros(row: Row<'_>) -> Result<i64, Fault> {
    match row.cell(MODIFIED) {
        Cell::Instant(micros) => Ok(micros),
        _ => Err(Fault::other(
            "no-modified-time",
            "Zoho does not tell when a record was changed; may the user see that field?",
        )),
    }
}

/// Records by id.
pub(crate) fn fetch(module: &str, ids: &[String], fields: &[String]) -> Result<Fetched, Fault> {
    let asked = Asked::of_module(module, fields)?;
    // One id in the wrong form would make Zoho refuse all of them, and there is no record with such an id.
    let possible: Vec<&str> = ids.iter().map(String::as_str).filter(|id| is_id(id)).collect();
    let requests = possible.chunks(LIST_IDS_MAX).map(|ids| asked.by_ids(module, 0, ids)).collect();
    let (mut live, mut removed) = (SnapshotParts::default(), Vec::new());
    for answer in egress::send_all(requests) {
        let (rows, _) = asked.first_rows(&good(answer)?)?;
        let converted = asked.converted(&rows);
        live.add(asked.snapshot(module, &rows, &converted.iter().map(|lead| lead.id.clone()).collect())?);
        removed.extend(converted);
    }
    let live = live.join(&asked)?;
    let there: HashSet<&String> = live.ids.iter().collect();
    let absent = ids.iter().filter(|id| !there.contains(id)).cloned().collect();
    Ok(Fetched { live, absent, removed })
}

/// Records by the value of the key field. Zoho's search runs on an index that lags behind, and the answer says so.
pub(crate) fn find(module: &str, key_field: &str, values: &[String], fields: &[String]) -> Result<Found, Fault> {
    wire::check_module(module)?;
    if key_field.is_empty() || Schema::of_module(module)?.key_field.as_deref() != Some(key_field) {
        return Err(Fault::Unsupported(format!("`{key_field}` is not the field for keys of `{module}`")));
    }
    let mut with_key = fields.to_vec();
    with_key.push(key_field.to_owned());
    let mut with_key = Asked::of_module(module, &with_key)?;
    let requests = values
        .chunks(SEARCH_VALUES_MAX)
        .map(|values| {
            let criteria: Vec<_> =
                values.iter().map(|value| format!("({key_field}:equals:{})", escaped(value))).collect();
            wire::get(&format!("{module}/search"))
                .query("criteria", format!("({})", criteria.join("or")))
                .query("fields", with_key.first_fields())
        })
        .collect();
    let mut live = SnapshotParts::default();
    for answer in egress::send_all(requests) {
        let (rows, _) = with_key.first_rows(&good(answer)?)?;
        live.add(with_key.snapshot(module, &rows, &HashSet::new())?);
    }
    let live = live.join(&with_key)?;
    with_key.columns.pop();
    keep_exact(live, with_key.columns, values)
}

/// Keeps the records whose last column, the key, is one of the values: searching for `equals` finds more than that.
fn keep_exact(live: Snapshot, columns: Vec<Column>, values: &[String]) -> Result<Found, Fault> {
    let Snapshot { columns: with_key, ids, versions, modified_ms, rows } = live;
    let rows = rows_of(with_key, rows)?;
    let mut kept = SnapshotBuilder::new(columns, rows.len());
    let mut asked = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let key = row.text(rows.columns().len() - 1);
        let Some(place) = values.iter().position(|value| value == key) else { continue };
        asked.push(place as u32);
        kept.row(&ids[index], &versions[index], modified_ms[index], row.cells_from(0));
    }
    Ok(Found { asked, live: kept.finish(), consistent: false })
}

/// Snapshots of several requests, on their way to one.
#[derive(Default)]
struct SnapshotParts {
    parts: Vec<Snapshot>,
}

impl SnapshotParts {
    fn add(&mut self, part: Snapshot) {
        self.parts.push(part);
    }

    fn join(mut self, asked: &Asked) -> Result<Snapshot, Fault> {
        if self.parts.len() == 1 {
            return Ok(self.parts.remove(0));
        }
        let records = self.parts.iter().map(|part| part.ids.len()).sum();
        let mut joined = SnapshotBuilder::new(asked.columns.clone(), records);
        for part in self.parts {
            let rows = rows_of(part.columns, part.rows)?;
            for (index, row) in rows.iter().enumerate() {
                joined.row(&part.ids[index], &part.versions[index], part.modified_ms[index], row.cells_from(0));
            }
        }
        Ok(joined.finish())
    }
}

fn rows_of(columns: Vec<Column>, batch: Batch) -> Result<Rows, Fault> {
    Rows::new(columns, batch).map_err(|malformed| Fault::other("malformed-batch", malformed.to_string()))
}

fn good(answer: Result<Answer, Fault>) -> Result<Answer, Fault> {
    let answer = answer?;
    match answer.status() {
        200 | 204 | 304 => Ok(answer),
        _ => Err(fault::of_call(&answer).fault),
    }
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A value in a search criterion, with the characters that criteria are made of escaped.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for char in value.chars() {
        if matches!(char, '(' | ')' | ',' | ':' | '\\') {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}
