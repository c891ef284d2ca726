//! Bodies into batches (S9): an answer's array of objects, read straight into packed cells.
//!
//! The body is read once, from left to right; no tree is built. Rows of one answer mostly have their members in one order, so
//! each name is first compared with the one that stood at its place in the row before.

use std::collections::HashMap;

use crmsync_cells::{Batch, Builder, Cell, Kind};

use super::cell::convert;
use super::json::{DEPTH_MAX, POINTER_BYTES_MAX, Pointer, Scanner, Shape, Value, array_index, seek};

/// Most rows of one batch.
pub const BATCH_ROWS_MAX: u32 = 10_000;
/// Most columns of one batch.
pub const BATCH_COLUMNS_MAX: usize = 2_000;
/// Most bytes of text in one batch.
pub const BATCH_TEXT_BYTES_MAX: usize = 16 << 20;

/// Why a body does not give what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// The body is not JSON: position and reason.
    #[error("not JSON {0}")]
    NotJson(String),
    /// Nothing at this pointer, or not an array.
    #[error("{0}")]
    NoSuch(String),
    /// Deeper than 64 levels, or larger than a batch may be.
    #[error("{0}")]
    TooLarge(String),
}

/// Reads the array at an RFC 6901 pointer as a batch. A column's name is a pointer relative to the row if it starts with `/`, else
/// the name of a member. A missing member becomes absent; null, `""` and `[]` become empty; what has the asked kind without loss
/// becomes that kind; everything else raw text. Gives the batch and the number of cells that became raw text. An empty body has
/// no rows. Of two members with one name the last counts.
///
/// # Errors
/// See [`BodyFault`].
pub fn parse_records(body: &[u8], pointer: &str, columns: &[(String, Kind)]) -> Result<(Batch, u32), BodyFault> {
    let rows_at = pointer_or_fault(pointer)?;
    if columns.len() > BATCH_COLUMNS_MAX {
        return Err(BodyFault::TooLarge(format!("more than {BATCH_COLUMNS_MAX} columns")));
    }
    if columns.iter().any(|(name, _)| name.len() > POINTER_BYTES_MAX) {
        return Err(BodyFault::TooLarge(format!("a column's name is longer than {POINTER_BYTES_MAX} bytes")));
    }
    let mut scanner = Scanner::new(body)?;
    if scanner.is_at_end() {
        return Ok((Builder::new(columns.len(), 0).finish(), 0));
    }
    let plan = Plan::new(columns)?;
    let found = seek(&mut scanner, &rows_at.segments, &mut |scanner| match scanner.shape() {
        Shape::Array => read_rows(scanner, &plan, columns).map(Some),
        _ => scanner.value().map(|_| None),
    })?;
    scanner.end()?;
    found.flatten().ok_or_else(|| BodyFault::NoSuch(format!("no array at `{pointer}`")))
}

/// The JSON text of the value at an RFC 6901 pointer; none if there is no such value. Of two members with one name the last counts.
///
/// # Errors
/// The body is not JSON, is nested too deeply, or the pointer is not one.
pub fn read_pointer(body: &[u8], pointer: &str) -> Result<Option<String>, BodyFault> {
    let pointer = pointer_or_fault(pointer)?;
    let mut scanner = Scanner::new(body)?;
    if scanner.is_at_end() {
        return Ok(None);
    }
    let found = seek(&mut scanner, &pointer.segments, &mut |scanner| {
        scanner.shape();
        let start = scanner.position();
        scanner.value()?;
        Ok(scanner.since(start))
    })?;
    scanner.end()?;
    Ok(found.map(str::to_owned))
}

/// The text of the scalar at a pointer: a string without its quotes, a number or boolean as it is spelled. None for null, arrays,
/// objects, nothing, and for a body that is not JSON: the gate asks this of answers of any kind.
pub fn scalar_at(body: &[u8], pointer: &str) -> Option<String> {
    let pointer = Pointer::parse(pointer)?;
    let mut scanner = Scanner::new(body).ok()?;
    let value = seek(&mut scanner, &pointer.segments, &mut |scanner| scanner.value()).ok()??;
    match value {
        Value::Text(text) => text.decode(&mut String::new()).map(str::to_owned),
        Value::Number(source) => Some(source.to_owned()),
        Value::Boolean(yes) => Some(yes.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn pointer_or_fault(pointer: &str) -> Result<Pointer, BodyFault> {
    if pointer.len() > POINTER_BYTES_MAX {
        return Err(BodyFault::TooLarge(format!("a pointer longer than {POINTER_BYTES_MAX} bytes")));
    }
    Pointer::parse(pointer)
        .ok_or_else(|| BodyFault::NoSuch(format!("`{pointer}` is not a JSON pointer of at most {DEPTH_MAX} levels")))
}

/// The columns as a tree of names, so that one walk over a row finds all of them.
struct Plan {
    /// The row itself is node 0.
    nodes: Vec<Node>,
}

#[derive(Default)]
struct Node {
    /// Columns that want this very value.
    columns: Vec<usize>,
    /// Columns that want something inside of it.
    below: Vec<usize>,
    by_name: HashMap<String, usize>,
    by_index: HashMap<usize, usize>,
}

impl Plan {
    fn new(columns: &[(String, Kind)]) -> Result<Plan, BodyFault> {
        let mut nodes = vec![Node::default()];
        for (column, (name, _)) in columns.iter().enumerate() {
            let segments = if name.starts_with('/') { pointer_or_fault(name)?.segments } else { vec![name.clone()] };
            let mut node = 0;
            for segment in segments {
                nodes[node].below.push(column);
                node = match nodes[node].by_name.get(&segment) {
                    Some(&child) => child,
                    None => {
                        let child = nodes.len();
                        nodes.push(Node::default());
                        if let Some(index) = array_index(&segment) {
                            nodes[node].by_index.insert(index, child);
                        }
                        nodes[node].by_name.insert(segment, child);
                        child
                    }
                };
            }
            nodes[node].columns.push(column);
        }
        Ok(Plan { nodes })
    }
}

fn read_rows(scanner: &mut Scanner<'_>, plan: &Plan, columns: &[(String, Kind)]) -> Result<(Batch, u32), BodyFault> {
    const ROWS_EXPECTED: usize = 200;
    let mut builder = Builder::new(columns.len(), ROWS_EXPECTED);
    let mut row = Row { plan, values: vec![None; columns.len()], shapes: vec![Vec::new(); plan.nodes.len()] };
    let (mut rows, mut mismatches, mut text_bytes) = (0_u32, 0_u32, 0_usize);
    let (mut scratch, mut first) = (String::new(), true);
    scanner.open()?;
    while scanner.element(&mut first)? {
        rows += 1;
        if rows > BATCH_ROWS_MAX {
            return Err(BodyFault::TooLarge(format!("more than {BATCH_ROWS_MAX} rows")));
        }
        row.values.fill(None);
        row.read(scanner, 0)?;
        for (value, (_, kind)) in row.values.iter().zip(columns) {
            let (cell, fits) = value.map_or((Cell::Absent, true), |value| convert(value, *kind, &mut scratch));
            mismatches += u32::from(!fits);
            text_bytes += cell.text().map_or(0, str::len);
            // Several columns may want one value, so the text is not bound by the body's size: not even within one row.
            if text_bytes > BATCH_TEXT_BYTES_MAX {
                return Err(BodyFault::TooLarge(format!("more than {BATCH_TEXT_BYTES_MAX} bytes of text")));
            }
            builder.push(cell);
        }
    }
    let mut batch = builder.finish();
    batch.rows = rows;
    Ok((batch, mismatches))
}

/// The row that is being read.
struct Row<'a, 'p> {
    plan: &'p Plan,
    /// One for each column; none is absent.
    values: Vec<Option<Value<'a>>>,
    /// For each node the names of the object read last, in their order, and what each of them is.
    shapes: Vec<Vec<(&'a str, Option<usize>)>>,
}

impl<'a> Row<'a, '_> {
    fn read(&mut self, scanner: &mut Scanner<'a>, node: usize) -> Result<(), BodyFault> {
        let plan = self.plan;
        let Node { columns, below, .. } = &plan.nodes[node];
        if below.is_empty() {
            let value = scanner.value()?;
            columns.iter().for_each(|&column| self.values[column] = Some(value));
            return Ok(());
        }
        // An earlier member of the same name does not count, nor does anything inside of it.
        below.iter().for_each(|&column| self.values[column] = None);
        let shape = scanner.shape();
        let start = scanner.position();
        let value = match shape {
            Shape::Object => {
                self.read_object(scanner, node)?;
                Value::Object(scanner.since(start))
            }
            Shape::Array => {
                self.read_array(scanner, node)?;
                Value::Array(scanner.since(start))
            }
            Shape::Scalar => {
                let value = scanner.value()?;
                // A lookup that was cleared is `null` as a whole: what would be inside of it is empty, not unread (rule 4).
                if matches!(value, Value::Null) {
                    below.iter().for_each(|&column| self.values[column] = Some(Value::Null));
                }
                value
            }
        };
        columns.iter().for_each(|&column| self.values[column] = Some(value));
        Ok(())
    }

    fn read_object(&mut self, scanner: &mut Scanner<'a>, node: usize) -> Result<(), BodyFault> {
        let (mut first, mut place) = (true, 0);
        scanner.open()?;
        while let Some(name) = scanner.member(&mut first)? {
            let child = match self.shapes[node].get(place) {
                Some(&(seen, child)) if seen == name.source => child,
                _ => {
                    let child = name
                        .decode(&mut String::new())
                        .and_then(|name| self.plan.nodes[node].by_name.get(name).copied());
                    self.shapes[node].truncate(place);
                    self.shapes[node].push((name.source, child));
                    child
                }
            };
            match child {
                Some(child) => self.read(scanner, child)?,
                None => drop(scanner.value()?),
            }
            place += 1;
        }
        Ok(())
    }

    fn read_array(&mut self, scanner: &mut Scanner<'a>, node: usize) -> Result<(), BodyFault> {
        let (mut first, mut index) = (true, 0);
        scanner.open()?;
        while scanner.element(&mut first)? {
            match self.plan.nodes[node].by_index.get(&index) {
                Some(&child) => self.read(scanner, child)?,
                None => drop(scanner.value()?),
            }
            index += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
