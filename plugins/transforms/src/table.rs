//! Tables of values.
//!
//! Whether a table can be read backwards is a property of its settings, not of the function: `table` calls itself `exact` with the
//! inverse `table-back`, which takes the same settings and refuses them when two values have one counterpart. A mapping whose table is
//! many-to-one has to name a table of its own for the way back.
//!
//! With `"default": "keep"` a value without counterpart stays as it is, unless it stands on the other side of the table: with
//! `{"Gold": "A"}` a kept `A` would come back as `Gold`. Such a value is complained about, so that `exact` stays true.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// Complaint about a value that the table does not have.
const NO_COUNTERPART_VALUE: &str = "no-counterpart-value";

/// Complaint about a value that would be kept if the table did not make it of another one.
const COUNTERPART_OF_ANOTHER: &str = "counterpart-of-another-value";

/// Settings of `table` and `table-back`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    values: BTreeMap<String, String>,
    #[serde(default)]
    default: Option<Otherwise>,
}

/// What becomes of a value that the table does not have.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Otherwise {
    Keep,
}

/// A table, in the direction in which it is read.
#[derive(Debug)]
pub(crate) struct Table {
    values: BTreeMap<String, String>,
    /// Everything that stands on the side that values come to.
    counterparts: BTreeSet<String>,
    default: Option<Otherwise>,
}

impl Table {
    /// From a value to its counterpart.
    pub(crate) fn forth(settings: Settings) -> Result<Table, String> {
        if let Some(value) =
            settings.values.iter().find_map(|(value, counterpart)| counterpart.is_empty().then_some(value))
        {
            return Err(format!("the counterpart of `{value}` is empty; leave the value out instead"));
        }
        Ok(Table::new(settings.values, settings.default))
    }

    /// From a counterpart to its value.
    pub(crate) fn back(settings: Settings) -> Result<Table, String> {
        let Table { values: forth, default, .. } = Table::forth(settings)?;
        let mut values = BTreeMap::new();
        for (value, counterpart) in forth {
            if let Some(other) = values.insert(counterpart, value.clone()) {
                return Err(format!(
                    "`{other}` and `{value}` have one counterpart: the way back needs a table of its own"
                ));
            }
        }
        Ok(Table::new(values, default))
    }

    fn new(values: BTreeMap<String, String>, default: Option<Otherwise>) -> Table {
        let counterparts = values.values().cloned().collect();
        Table { values, counterparts, default }
    }

    /// The counterpart of a value; none if the value is to be kept.
    pub(crate) fn apply(&self, value: &str) -> Result<Option<&str>, &'static str> {
        match (self.values.get(value), self.default) {
            (Some(counterpart), _) => Ok(Some(counterpart)),
            (None, Some(Otherwise::Keep)) if self.counterparts.contains(value) => Err(COUNTERPART_OF_ANOTHER),
            (None, Some(Otherwise::Keep)) => Ok(None),
            (None, None) => Err(NO_COUNTERPART_VALUE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn settings(pairs: &[(&str, &str)], default: Option<Otherwise>) -> Settings {
        let values =
            pairs.iter().map(|(value, counterpart)| ((*value).to_owned(), (*counterpart).to_owned())).collect();
        Settings { values, default }
    }

    #[test]
    fn values_have_counterparts() {
        let table = Table::forth(settings(&[("Gold", "A"), ("Silver", "A")], None)).expect("a table");
        assert_eq!(table.apply("Silver"), Ok(Some("A")));
        assert_eq!(table.apply("gold"), Err(NO_COUNTERPART_VALUE));
        let keeping = Table::forth(settings(&[("Gold", "A")], Some(Otherwise::Keep))).expect("a table");
        assert_eq!(keeping.apply("Bronze"), Ok(None));
        assert_eq!(keeping.apply("A"), Err(COUNTERPART_OF_ANOTHER), "it would come back as Gold");
        let back = Table::back(settings(&[("Gold", "A")], Some(Otherwise::Keep))).expect("a table");
        assert_eq!((back.apply("A"), back.apply("Gold")), (Ok(Some("Gold")), Err(COUNTERPART_OF_ANOTHER)));
    }

    #[test]
    fn many_to_one_has_no_way_back() {
        let error =
            Table::back(settings(&[("Gold", "A"), ("Silver", "A")], None)).expect_err("two values, one counterpart");
        assert!(error.contains("`Gold` and `Silver`"), "{error}");
        assert!(Table::forth(settings(&[("Gold", "")], None)).is_err());
    }

    proptest! {
        #[test]
        fn back_undoes_forth_where_values_are_kept(
            values in proptest::collection::btree_map("[a-e]{1,2}", "[a-e]{1,2}", 0..8),
            value in "[a-e]{1,2}",
        ) {
            let both = || Settings { values: values.clone(), default: Some(Otherwise::Keep) };
            let forth = Table::forth(both()).expect("a table");
            if let (Ok(back), Ok(there)) = (Table::back(both()), forth.apply(&value)) {
                let there = there.unwrap_or(&value);
                prop_assert_eq!(back.apply(there).map(|again| again.unwrap_or(there)), Ok(value.as_str()));
            }
        }

        #[test]
        fn back_undoes_forth(values in proptest::collection::btree_map("[a-e]{1,2}", "[a-e]{1,2}", 0..8)) {
            let both = || Settings { values: values.clone(), default: None };
            let forth = Table::forth(both()).expect("a table");
            if let Ok(back) = Table::back(both()) {
                for value in values.keys() {
                    let there = forth.apply(value).expect("a value of the table").expect("a counterpart");
                    prop_assert_eq!(back.apply(there), Ok(Some(value.as_str())));
                }
            }
        }
    }
}
