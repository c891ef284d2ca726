//! Small views for the tests of decisions.

use super::*;
use crate::mapping::{Direction, Field, RowKey, Sameness};

/// A both-ways text row whose field has the same name on both sides.
pub(crate) fn row(name: &str) -> MappingRow {
    let field =
        Field { name: name.into(), label: name.into(), kind: 2, mandatory: false, read_only: false, length: None };
    MappingRow {
        key: RowKey(format!("{name}={name}")),
        hash: 7,
        left: vec![field.clone()],
        right: vec![field],
        direction: Direction::Both,
        agreed: Direction::Both,
        to_right: None,
        to_left: None,
        sameness: Sameness::Text,
        winner: None,
        role: Role::Plain,
    }
}

/// One side of a row: `shown` against `base` (`None`: no agreement yet), carried as it is.
pub(crate) fn field(base: Option<&str>, shown: &str) -> FieldView {
    FieldView {
        shown: vec![Value::text(shown)],
        base: base.map(|text| Base::shown(7, vec![Value::text(text)])),
        carried: Carried::Values(vec![Value::text(shown)]),
    }
}

/// A linked pair with one row.
pub(crate) fn pair(left: FieldView, right: FieldView) -> View {
    View {
        left: Presence::Live,
        right: Presence::Live,
        more_than_one_match: false,
        match_in_doubt: false,
        linked: true,
        scope: Scope::In,
        marked: vec![],
        delete_asked: false,
        came_back: None,
        saved_last: None,
        rows: vec![RowView {
            left,
            right,
            owed: Owed::Nobody,
            differs: false,
            left_is_receipt: false,
            right_is_receipt: false,
        }],
    }
}
