//! What the connector has to know of a module's fields to read and write them, and where it keeps that.
//!
//! The truth is Zoho's metadata, at one call. The host's cache and the cursor keep copies, so that a run that finds nothing new
//! costs no call for it. Copies are dropped when a field is asked for that they do not have, or when a value does not fit.

use std::collections::BTreeMap;

use crmsync_plugin::{Cell, Fault, Kind, rows, state};
use serde::{Deserialize, Serialize};

use crate::convert::Shape;
use crate::wire;

/// API name of the field that holds nothing but our keys; the case does not matter.
const KEY_FIELD: &str = "crmsync_key";

/// The fields of one module that can be synced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Schema {
    /// API name → shape.
    pub(crate) shapes: BTreeMap<String, Shape>,
    /// API name of the unique field for our keys, if an administrator made one.
    pub(crate) key_field: Option<String>,
}

impl Schema {
    /// The fields of a module that are asked for, from the cache if it knows them all, else from Zoho.
    pub(crate) fn of_fields(module: &str, fields: &[String]) -> Result<Schema, Fault> {
        match Schema::cached(module) {
            Some(schema) if schema.covers(fields) => Ok(schema),
            _ => Schema::read(module),
        }
    }

    /// All fields of a module, from the cache or from Zoho.
    pub(crate) fn of_module(module: &str) -> Result<Schema, Fault> {
        Schema::cached(module).map_or_else(|| Schema::read(module), Ok)
    }

    /// All fields of a module from Zoho, into the cache.
    pub(crate) fn read(module: &str) -> Result<Schema, Fault> {
        wire::check_module(module)?;
        let answer = wire::read(wire::get("settings/fields").query("module", module))?;
        let columns = [
            ("api_name", Kind::Text),
            ("data_type", Kind::Text),
            ("/lookup/module/api_name", Kind::Text),
            ("/formula/return_type", Kind::Text),
            ("unique", Kind::Raw),
        ];
        let columns = columns.map(|(name, kind)| rows::column(name, kind)).to_vec();
        let (fields, _) = answer.records("/fields", columns)?;
        let mut schema = Schema::default();
        for field in fields.iter() {
            let name = field.text(0);
            let Some(shape) = Shape::of(field.text(1), field.text(2), field.text(3)) else { continue };
            if is_key_field(name, field.text(1), is_unique(field.cell(4))) {
                schema.key_field = Some(name.to_owned());
            }
            schema.shapes.insert(name.to_owned(), shape);
        }
        schema.keep(module);
        Ok(schema)
    }

    /// Drops the cached copy.
    pub(crate) fn forget(module: &str) {
        state::set(&cache_key(module), &[]);
    }

    /// The part of the schema that these fields need, for a cursor.
    pub(crate) fn only(&self, fields: &[String]) -> BTreeMap<String, Shape> {
        fields.iter().filter_map(|field| Some((field.clone(), self.shapes.get(field)?.clone()))).collect()
    }

    fn covers(&self, fields: &[String]) -> bool {
        fields.iter().all(|field| self.shapes.contains_key(field))
    }

    fn cached(module: &str) -> Option<Schema> {
        serde_json::from_slice(&state::get(&cache_key(module))?).ok()
    }

    fn keep(&self, module: &str) {
        // A schema that does not fit into the cache is read again, which costs a call and nothing else.
        if let Ok(json) = serde_json::to_vec(self) {
            state::set(&cache_key(module), &json);
        }
    }
}

/// Whether the metadata's `unique` says that no two records share a value. Zoho's descriptions and its answers spell it in several ways:
/// an object with `casesensitive` or `case_sensitive`, whose value is a boolean, a text or null, or just `true`. A field that is not
/// unique has `{}`.
pub(crate) fn is_unique(unique: Cell<'_>) -> bool {
    matches!(unique, Cell::Raw(json) if json == "true" || (json.starts_with('{') && json != "{}"))
}

/// Whether a field can be the one that holds our keys: made for us, text, and no two records share a value.
pub(crate) fn is_key_field(name: &str, data_type: &str, is_unique: bool) -> bool {
    is_unique && data_type == "text" && name.eq_ignore_ascii_case(KEY_FIELD)
}

fn cache_key(module: &str) -> String {
    format!("schema/{module}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unique_is_spelled_in_many_ways() {
        let check = |json: &str, unique: bool| assert_eq!(is_unique(Cell::Raw(json)), unique, "{json}");
        check("{}", false);
        check("false", false);
        check("true", true);
        check(r#"{"casesensitive":false}"#, true);
        check(r#"{"casesensitive":"false"}"#, true);
        check(r#"{"casesensitive":null}"#, true);
        check(r#"{"case_sensitive":true}"#, true);
        assert!(!is_unique(Cell::Absent) && !is_unique(Cell::Empty));
    }
}
