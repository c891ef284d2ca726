//! The JSON Schema of the flow file, for editors: put `#:schema flow.schema.json` into the first line of a file.

/// The schema, as it is published.
pub const SCHEMA: &str = include_str!("../../schema/flow.schema.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::flow::{document, module, row};

    /// A key that the reader knows and the schema does not (or the other way round) would be red in an editor, or never offered.
    #[test]
    fn the_schema_has_the_keys_that_the_reader_reads() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let check = |place: &str, expected: &[&str]| {
            let keys = schema.pointer(place).and_then(Value::as_object).unwrap_or_else(|| panic!("{place}"));
            let keys: BTreeSet<&str> = keys.keys().map(String::as_str).collect();
            assert_eq!(keys, expected.iter().copied().collect::<BTreeSet<&str>>(), "{place}");
        };
        check("/properties", document::KEYS);
        check("/definitions/module/properties", &module::KEYS);
        check("/definitions/row/properties", &row::KEYS);
    }

    #[test]
    fn what_must_be_there_is_the_same() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let required: Vec<&str> =
            schema["required"].as_array().unwrap().iter().filter_map(serde_json::Value::as_str).collect();
        let whole = "format = 1\nname = \"a\"\nbetween = [\"east\", \"west\"]\nwinner = \"east\"\n[[module]]\neast = \"A\"\nwest = \"B\"\n";
        document::Document::parse(whole).unwrap();
        for key in required {
            let lines = whole.lines().filter(|line| !line.starts_with(key) && !line.starts_with(&format!("[[{key}")));
            let without: String = lines.map(|line| format!("{line}\n")).collect();
            assert!(document::Document::parse(&without).is_err(), "`{key}`");
        }
    }
}
