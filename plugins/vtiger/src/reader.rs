//! Rows of queries as records: which columns to ask for, and how their texts become cells, versions and times.

use crmsync_plugin::rows::{Row, Rows, SnapshotBuilder, column};
use crmsync_plugin::{Cell, Column, Fault, Kind};

use crate::convert::{self, Converted, seconds};
use crate::fault::missing_field;
use crate::login;
use crate::schema::{Field, Modules, Schema};
use crate::vtql;

/// Where the record's own columns lie in a row; the fields that were asked for follow.
const ID: usize = 0;
const MODIFIED: usize = 1;
const FIELDS: usize = 2;

/// Reads one module's records with one set of fields.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    module: String,
    schema: Schema,
    modules: Modules,
    /// The fields in the order in which they were asked for; none where the CRM has no such field.
    fields: Vec<Option<Field>>,
    columns: Vec<Column>,
    wire: Vec<Column>,
    select: String,
}

impl Reader {
    /// Prepares reading a module. A field that the CRM does not have gives absent cells: one that vanished must not
    /// stop the others. `also` is one more column for [`Reader::key`].
    ///
    /// # Errors
    /// `unsupported` if the module is not there, or the additional column.
    pub(crate) fn open(module: &str, fields: &[String], also: Option<&str>) -> Result<Reader, Fault> {
        if !vtql::is_name(module) {
            return Err(Fault::Unsupported(format!("module `{module}`")));
        }
        let schema = login::schema(module, fields)?;
        let known: Vec<Option<Field>> =
            fields.iter().map(|name| schema.field(name).filter(|field| vtql::is_name(&field.name)).cloned()).collect();
        if let Some(name) = also.filter(|name| schema.field(name).is_none() || !vtql::is_name(name)) {
            return Err(Fault::Unsupported(format!("field `{name}`")));
        }
        let targets: Vec<&[String]> = known.iter().flatten().map(|field| field.targets.as_slice()).collect();
        let modules = login::modules(&targets)?;
        let kind = |field: &Option<Field>| field.as_ref().map_or(Kind::Text, |field| field.native.kind());
        let columns = fields.iter().zip(&known).map(|(name, field)| column(name, kind(field))).collect();
        let names: Vec<&str> = fields.iter().map(String::as_str).chain(also).collect();
        let wire = ["id", "modifiedtime"].into_iter().chain(names.iter().copied());
        let wire: Vec<Column> = wire.map(|name| column(name, Kind::Text)).collect();
        let named = known.iter().flatten().map(|field| field.name.as_str()).chain(also);
        let select = select(named);
        Ok(Reader { module: module.to_owned(), schema, modules, fields: known, columns, wire, select })
    }

    /// Reads with a reader. If the CRM denies a field that it had when the module was last looked at, the module is looked
    /// at again, and the field is absent from then on: an administrator has deleted it, or hidden it from this user.
    ///
    /// # Errors
    /// Those of [`Reader::open`] and of `read`.
    pub(crate) fn with<T>(
        module: &str,
        fields: &[String],
        also: Option<&str>,
        read: impl Fn(&Reader) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let outcome = read(&Reader::open(module, fields, also)?);
        match outcome.as_ref().err().and_then(missing_field) {
            Some(field) => {
                login::look_again(module, field)?;
                read(&Reader::open(module, fields, also)?)
            }
            None => outcome,
        }
    }

    /// The module's name.
    pub(crate) fn module(&self) -> &str {
        &self.module
    }

    /// What is known about the module.
    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// What stands after `select`.
    pub(crate) fn select(&self) -> &str {
        &self.select
    }

    /// The columns to ask an answer for.
    pub(crate) fn wire(&self) -> &[Column] {
        &self.wire
    }

    /// Whether one of these fields is read.
    pub(crate) fn reads(&self, names: &[&str]) -> bool {
        self.fields.iter().flatten().any(|field| names.contains(&field.name.as_str()))
    }

    /// Whether a row has all fields that the CRM has.
    pub(crate) fn is_whole(&self, row: Row<'_>) -> bool {
        let mut fields = self.fields.iter().enumerate();
        fields.all(|(index, field)| field.is_none() || row.cell(FIELDS + index) != Cell::Absent)
    }

    /// An empty snapshot for so many records.
    pub(crate) fn snapshot(&self, records: usize) -> SnapshotBuilder {
        SnapshotBuilder::new(self.columns.clone(), records)
    }

    /// Appends a row to a snapshot.
    pub(crate) fn add(&self, row: Row<'_>, live: &mut SnapshotBuilder) {
        let wire = |index: usize| row.cell(FIELDS + index);
        let cells: Vec<Converted<'_>> = self
            .fields
            .iter()
            .enumerate()
            .map(|(index, field)| match field {
                Some(field) => convert::read(field, wire(index), &self.modules),
                None => Converted::As(Cell::Absent),
            })
            .collect();
        let raw = self.fields.iter().enumerate();
        let raw = raw.filter_map(|(index, field)| field.as_ref().map(|field| (field.name.as_str(), wire(index))));
        let version = convert::version(row.text(MODIFIED), raw);
        live.row(row.text(ID), &version, modified_ms(row.text(MODIFIED)), cells.iter().map(Converted::cell));
    }

    /// The wire text of the additional column.
    pub(crate) fn key<'a>(&self, row: Row<'a>) -> &'a str {
        row.text(FIELDS + self.fields.len())
    }
}

/// Id of a row.
pub(crate) fn id<'a>(row: &Row<'a>) -> &'a str {
    row.text(ID)
}

/// Second in which a row was changed; none if it has no time.
pub(crate) fn second(row: &Row<'_>) -> Option<i64> {
    seconds(row.text(MODIFIED))
}

/// Second and id of the last row; none if there is no row.
///
/// # Errors
/// `transient` if the row has no id or time: a place in the stream cannot be made of it.
pub(crate) fn last(rows: &Rows) -> Result<Option<(i64, String)>, Fault> {
    let Some(index) = rows.len().checked_sub(1) else { return Ok(None) };
    let row = rows.row(index);
    match (id(&row), seconds(row.text(MODIFIED))) {
        ("", _) | (_, None) => Err(Fault::Transient("the CRM gave a row without id or modifiedtime".to_owned())),
        (id, Some(second)) => Ok(Some((second, id.to_owned()))),
    }
}

/// The largest time of rows in descending order; none if there is no row, or it has no time.
pub(crate) fn newest(rows: &Rows) -> Option<i64> {
    seconds(rows.iter().next()?.text(MODIFIED))
}

/// Milliseconds since 1970 of `modifiedtime`, 0 if it is none.
pub(crate) fn modified_ms(modified: &str) -> i64 {
    seconds(modified).map_or(0, |seconds| seconds * 1_000)
}

/// The columns by name; everything if the names alone would not fit into a request.
fn select<'a>(fields: impl Iterator<Item = &'a str>) -> String {
    let mut names = vec!["id", "modifiedtime"];
    for name in fields {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let list = names.join(",");
    if vtql::encoded_bytes(&list) > vtql::QUERY_BYTES_MAX / 2 { "*".to_owned() } else { list }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_once_and_fit() {
        assert_eq!(select(["lastname", "modifiedtime", "lastname"].into_iter()), "id,modifiedtime,lastname");
        let many: Vec<String> = (0..600).map(|number| format!("cf_{number}")).collect();
        assert_eq!(select(many.iter().map(String::as_str)), "*");
    }

    #[test]
    fn times_are_milliseconds() {
        assert_eq!(modified_ms("2026-11-23 18:13:06"), 1_795_457_586_000);
        assert_eq!(modified_ms(""), 0);
    }
}
