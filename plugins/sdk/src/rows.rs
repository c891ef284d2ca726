//! Rows in and out, with the packed batches hidden.

use crmsync_cells::{Batch, Builder, Cell, Checked, Kind, Malformed, View};

use crate::bindings::connector::crmsync::plugin::batches;
use crate::connector::{PushOutcome, PushReport, PushRequest, Receipt, Snapshot};
use crate::fault::Fault;
use batches::Column;

/// A column with the kind that its plain values have.
pub fn column(name: impl Into<String>, kind: Kind) -> Column {
    Column { name: name.into(), kind: kind.code() }
}

/// Rows to read: the records of an answer, the values of a push, the input of a transform. Checked once when made, so that
/// reading cannot fail.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    columns: Vec<Column>,
    cells: Checked,
}

impl Rows {
    /// Rows from a batch of the contract.
    ///
    /// # Errors
    /// Names the rule of the packed form that the batch breaks.
    pub fn new(columns: Vec<Column>, batch: batches::Batch) -> Result<Rows, Malformed> {
        let batch = Batch { rows: batch.rows, kinds: batch.kinds, words: batch.words, text: batch.text };
        let cells = batch.into_checked(columns.len())?;
        Ok(Rows { columns, cells })
    }

    /// The values of a push.
    ///
    /// # Errors
    /// [`Fault::Other`] if the batch is malformed or has not one row for each row to write.
    pub fn of_push(request: &PushRequest) -> Result<Rows, Fault> {
        if request.values.rows as usize != request.rows.len() {
            return Err(Fault::other("malformed-batch", "the values do not have one row for each row to write"));
        }
        Rows::new(request.columns.clone(), request.values.clone())
            .map_err(|malformed| Fault::other("malformed-batch", malformed.to_string()))
    }

    /// The columns, in the order of the cells.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.cells.view().rows()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        let view = self.cells.view();
        (0..view.rows()).map(move |index| Row { view, index })
    }

    /// One row. Its cells are absent if there is no such row.
    pub fn row(&self, index: usize) -> Row<'_> {
        Row { view: self.cells.view(), index }
    }
}

/// One row to read.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    view: View<'a>,
    index: usize,
}

impl<'a> Row<'a> {
    /// The value in a column; absent if there is no such column.
    pub fn cell(&self, column: usize) -> Cell<'a> {
        self.view.cell(self.index, column)
    }

    /// The text in a column; "" if the cell holds no text.
    pub fn text(&self, column: usize) -> &'a str {
        self.cell(column).text().unwrap_or_default()
    }

    /// The values from a column to the last.
    pub fn cells_from(&self, column: usize) -> impl Iterator<Item = Cell<'a>> + use<'a> {
        let row = *self;
        (column..row.view.columns()).map(move |column| row.cell(column))
    }
}

/// Builds a batch row after row.
#[derive(Clone, Debug)]
pub struct RowsBuilder {
    columns: usize,
    cells: Builder,
}

impl RowsBuilder {
    /// No rows yet, with room for so many.
    pub fn new(columns: usize, rows: usize) -> RowsBuilder {
        RowsBuilder { columns, cells: Builder::new(columns, rows) }
    }

    /// Appends a row. Missing cells at its end are absent, surplus ones are left out.
    pub fn row<'a>(&mut self, cells: impl IntoIterator<Item = Cell<'a>>) {
        let cells = cells.into_iter().chain(core::iter::repeat(Cell::Absent));
        cells.take(self.columns).for_each(|cell| self.cells.push(cell));
    }

    /// The batch, as it crosses the boundary.
    pub fn finish(self) -> batches::Batch {
        let Batch { rows, kinds, words, text } = self.cells.finish();
        batches::Batch { rows, kinds, words, text }
    }
}

/// Builds the records of a page, record after record.
#[derive(Clone, Debug)]
pub struct SnapshotBuilder {
    columns: Vec<Column>,
    ids: Vec<String>,
    versions: Vec<String>,
    modified_ms: Vec<i64>,
    rows: RowsBuilder,
}

impl SnapshotBuilder {
    /// No records yet, with room for so many.
    pub fn new(columns: Vec<Column>, records: usize) -> SnapshotBuilder {
        SnapshotBuilder {
            ids: Vec::with_capacity(records),
            versions: Vec::with_capacity(records),
            modified_ms: Vec::with_capacity(records),
            rows: RowsBuilder::new(columns.len(), records),
            columns,
        }
    }

    /// Appends a record: its id, its version, the time of its last change in milliseconds since 1970 (0 if unknown) and its cells
    /// in the order of the columns.
    pub fn row<'a>(&mut self, id: &str, version: &str, modified_ms: i64, cells: impl IntoIterator<Item = Cell<'a>>) {
        self.ids.push(id.to_owned());
        self.versions.push(version.to_owned());
        self.modified_ms.push(modified_ms);
        self.rows.row(cells);
    }

    /// The ids so far.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// The records, as they cross the boundary.
    pub fn finish(self) -> Snapshot {
        let mut rows = self.rows.finish();
        // A batch without columns cannot count its rows by its cells.
        rows.rows = self.ids.len() as u32;
        Snapshot { columns: self.columns, ids: self.ids, versions: self.versions, modified_ms: self.modified_ms, rows }
    }
}

/// Builds the report of a push: every row is `not-sent` until something is said about it.
#[derive(Clone, Debug)]
pub struct PushReportBuilder {
    outcomes: Vec<PushOutcome>,
    columns: Vec<Column>,
    stored: RowsBuilder,
    stored_rows: u32,
    wait_ms: u64,
}

impl PushReportBuilder {
    /// A report of so many rows. `columns` are those of the values that the CRM says it stored; empty if it never says.
    pub fn new(rows: usize, columns: Vec<Column>) -> PushReportBuilder {
        let stored = RowsBuilder::new(columns.len(), 0);
        PushReportBuilder { outcomes: vec![PushOutcome::NotSent; rows], columns, stored, stored_rows: 0, wait_ms: 0 }
    }

    /// The row was written; the CRM does not say what it stored. Panics if there is no such row, as the other setters do.
    pub fn stored(&mut self, row: usize, receipt: Receipt) {
        self.outcomes[row] = PushOutcome::Stored(receipt);
    }

    /// The row was written, and the CRM says that it stored these values, in the order of the columns.
    pub fn stored_as<'a>(&mut self, row: usize, receipt: Receipt, values: impl IntoIterator<Item = Cell<'a>>) {
        self.stored.row(values);
        self.outcomes[row] = PushOutcome::Stored(Receipt { stored: Some(self.stored_rows), ..receipt });
        self.stored_rows += 1;
    }

    /// The row was not written, or nobody knows ([`Fault::UnknownOutcome`]).
    pub fn failed(&mut self, row: usize, fault: Fault) {
        self.outcomes[row] = PushOutcome::Failed(fault);
    }

    /// Whether nothing has been said about the row yet.
    pub fn is_open(&self, row: usize) -> bool {
        matches!(self.outcomes[row], PushOutcome::NotSent)
    }

    /// Asks the host to wait before the next call; the longest wait counts.
    pub fn wait(&mut self, wait_ms: u64) {
        self.wait_ms = self.wait_ms.max(wait_ms);
    }

    /// The report, as it crosses the boundary.
    pub fn finish(self) -> PushReport {
        let mut stored = self.stored.finish();
        stored.rows = self.stored_rows;
        PushReport { outcomes: self.outcomes, columns: self.columns, stored, wait_ms: self.wait_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(id: &str) -> Receipt {
        Receipt { id: id.to_owned(), version: String::new(), modified_ms: 0, stored: None, existed: false }
    }

    #[test]
    fn rows_have_as_many_cells_as_there_are_columns() {
        let mut builder = RowsBuilder::new(2, 2);
        builder.row([Cell::Text("a")]);
        builder.row([Cell::Text("b"), Cell::Empty, Cell::Text("surplus")]);
        let columns = vec![column("one", Kind::Text), column("two", Kind::Text)];
        let rows = Rows::new(columns, builder.finish()).expect("a well formed batch");
        let cells: Vec<Vec<Cell<'_>>> = rows.iter().map(|row| row.cells_from(0).collect()).collect();
        assert_eq!(cells, [[Cell::Text("a"), Cell::Absent], [Cell::Text("b"), Cell::Empty]]);
        assert_eq!((rows.row(1).text(0), rows.row(1).text(1), rows.row(9).cell(0)), ("b", "", Cell::Absent));
    }

    #[test]
    fn malformed_batches_are_refused() {
        let batch = batches::Batch { rows: 1, kinds: vec![2], words: vec![9], text: Vec::new() };
        assert!(Rows::new(vec![column("one", Kind::Text)], batch.clone()).is_err());
        assert!(Rows::new(Vec::new(), batch).is_err());
    }

    #[test]
    fn records_without_columns_are_counted() {
        let mut snapshot = SnapshotBuilder::new(Vec::new(), 0);
        snapshot.row("7", "v", 0, []);
        assert_eq!(snapshot.ids(), ["7"]);
        assert_eq!(snapshot.finish().rows.rows, 1);
    }

    #[test]
    fn reports_say_nothing_about_rows_that_were_not_sent() {
        let mut report = PushReportBuilder::new(4, vec![column("one", Kind::Text)]);
        report.stored(0, receipt("7"));
        report.stored_as(2, receipt("8"), [Cell::Text("kept")]);
        report.stored_as(3, receipt("9"), [Cell::Empty]);
        assert!(report.is_open(1) && !report.is_open(2));
        report.wait(5);
        report.wait(3);
        let report = report.finish();
        assert_eq!(report.outcomes[1], PushOutcome::NotSent);
        let rows_stored = report.outcomes.iter().map(|outcome| match outcome {
            PushOutcome::Stored(receipt) => receipt.stored,
            _ => None,
        });
        assert_eq!(rows_stored.collect::<Vec<_>>(), [None, None, Some(0), Some(1)]);
        assert_eq!((report.stored.rows, report.wait_ms), (2, 5));
    }
}
