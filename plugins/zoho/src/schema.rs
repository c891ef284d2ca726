//! What the connector has to know of a module's fields to read and write them, and where it keeps that.
//!
//! The truth is Zoho's metadata, at one call. The host's cache and the cursor keep copies, so that a run that finds nothing new
//! costs no call for it. Copies are dropped when a field is asked for that they do not have, or when a value does not fit.

use std::collections::{BTreeMap, BTreeSet};

use crmsync_plugin::egress::Answer;
use crmsync_plugin::facts::Facts;
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
    /// When Zoho said so, in milliseconds since 1970.
    #[serde(default)]
    at_ms: i64,
    /// Fields that some layout requires, when that was asked for the last time.
    #[serde(default)]
    pub(crate) required: Option<Required>,
}

/// Fields that some layout of a module requires.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Required {
    at_ms: i64,
    pub(crate) fields: BTreeSet<String>,
}

/// What `describe` said of a module serves `modules` for so long. The host asks for both every hour, so that `modules` tells what was true
/// when the last run with news of that kind began; whenever people look, it drops what is remembered and both are asked for.
const RECENT_MS: i64 = 24 * 60 * 60 * 1_000;
/// Layouts are asked for once a day. One that demands more meanwhile is told by the refusal of a record that lacks it.
const LAYOUTS_RECENT_MS: i64 = 24 * 60 * 60 * 1_000;

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

    /// All fields of a module, as `describe` was told not long ago, or from Zoho.
    pub(crate) fn recent(module: &str) -> Result<Schema, Fault> {
        match Schema::cached(module).filter(|schema| is_within(schema.at_ms, RECENT_MS)) {
            Some(schema) => Ok(schema),
            None => Schema::read(module),
        }
    }

    /// All fields of a module from Zoho, into the cache.
    pub(crate) fn read(module: &str) -> Result<Schema, Fault> {
        Schema::of_answer(module, &Schema::ask(module)?)
    }

    /// What Zoho says of the fields of a module.
    pub(crate) fn ask(module: &str) -> Result<Answer, Fault> {
        wire::check_module(module)?;
        wire::read(wire::get("settings/fields").query("module", module))
    }

    /// The same as [`Schema::read`], of an answer that is there already.
    pub(crate) fn of_answer(module: &str, answer: &Answer) -> Result<Schema, Fault> {
        let columns = COLUMNS.map(|(name, kind)| rows::column(name, kind)).to_vec();
        let (fields, _) = answer.records("/fields", columns)?;
        let required = Schema::cached(module).and_then(|schema| schema.required);
        let mut schema = Schema { at_ms: Facts::of_call().now_ms(), required, ..Schema::default() };
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

    /// The fields that layouts require, if that was asked for within the day.
    pub(crate) fn known_required(&self) -> Option<&BTreeSet<String>> {
        self.required
            .as_ref()
            .filter(|required| is_within(required.at_ms, LAYOUTS_RECENT_MS))
            .map(|known| &known.fields)
    }

    /// Keeps what the layouts require.
    pub(crate) fn keep_required(mut self, module: &str, fields: BTreeSet<String>) {
        self.required = Some(Required { at_ms: Facts::of_call().now_ms(), fields });
        self.keep(module);
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

/// What a schema needs of each field.
const COLUMNS: [(&str, Kind); 5] = [
    ("api_name", Kind::Text),
    ("data_type", Kind::Text),
    ("/lookup/module/api_name", Kind::Text),
    ("/formula/return_type", Kind::Text),
    ("unique", Kind::Raw),
];

/// Whether a moment is not longer ago than this; never, where the host does not tell the time.
fn is_within(at_ms: i64, most_ms: i64) -> bool {
    at_ms > 0 && (0..most_ms).contains(&(Facts::of_call().now_ms() - at_ms))
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
