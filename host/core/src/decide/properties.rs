//! What holds for every view: decisions know no left and right, settle once they are carried out, and replace nothing in silence.

use proptest::prelude::*;

use super::tests_support::{pair, row};
use super::*;
use crate::mapping::Direction;
use crate::policy::{DeletePolicy, FirstSync, LeavePolicy, Winner};

/// Few values, so that sides agree often; one is long enough to be cut.
const TEXTS: [&str; 5] = ["", "a", "b", "Customer Care, Returns and Refunds", "Customer Care, Returns and Ref"];
const LISTS: [&str; 3] = [r#"["a"]"#, r#"["b"]"#, r#"["a","b"]"#];

fn text() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => prop::sample::select(&TEXTS[..]).prop_map(Value::text),
        2 => prop::sample::select(&LISTS[..]).prop_map(|list| Value::List(list.to_owned())),
        1 => any::<bool>().prop_map(Value::Boolean),
        1 => (0..3_i64).prop_map(Value::Integer),
    ]
}

fn base() -> impl Strategy<Value = Option<Base>> {
    let base = (prop::sample::select(vec![7_u64, 8]), text(), prop::option::weighted(0.3, text()));
    let base = base.prop_map(|(row_hash, shown, sent)| match sent {
        Some(sent) => Base::written(row_hash, vec![shown], vec![sent]),
        None => Base::shown(row_hash, vec![shown]),
    });
    prop::option::weighted(0.8, base)
}

fn side() -> impl Strategy<Value = FieldView> {
    let shown = prop_oneof![9 => text(), 1 => Just(Value::Absent)];
    (shown, base(), prop::bool::weighted(0.1)).prop_map(|(shown, base, held)| {
        let carried = Carried::Values(vec![shown.clone()]);
        let carried = if held { Carried::Held(reason::NO_COUNTERPART_VALUE.into()) } else { carried };
        FieldView { shown: vec![shown], base, carried }
    })
}

fn cell() -> impl Strategy<Value = RowView> {
    let owed = prop_oneof![
        8 => Just(Owed::Nobody),
        2 => prop::sample::select(vec![Owed::Left, Owed::Right, Owed::Both]),
    ];
    (side(), side(), owed, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(left, right, owed, differs, left_is_receipt, right_is_receipt)| RowView {
            left,
            right,
            owed,
            differs,
            left_is_receipt,
            right_is_receipt,
        },
    )
}

fn view() -> impl Strategy<Value = View> {
    let saved_last = prop::option::of(prop::sample::select(Side::BOTH.to_vec()));
    (prop::collection::vec(cell(), 1..4), saved_last).prop_map(|(rows, saved_last)| View {
        rows,
        saved_last,
        ..pair(empty(), empty())
    })
}

fn empty() -> FieldView {
    super::tests_support::field(None, "")
}

fn policy() -> impl Strategy<Value = Policy> {
    let directions =
        prop::sample::select(vec![Direction::Both, Direction::Both, Direction::ToLeft, Direction::ToRight]);
    let first = prop::sample::select(vec![FirstSync::FillEmpty, FirstSync::Winner, FirstSync::Ask]);
    (directions, prop::sample::select(Side::BOTH.to_vec()), any::<bool>(), first).prop_map(
        |(direction, winner, newest, first_sync)| Policy {
            direction,
            winner,
            newest,
            first_sync,
            deletes: DeletePolicy::Report,
            when_it_leaves: LeavePolicy::StopUpdating,
            hold: false,
        },
    )
}

/// Rules of rows; there are more than rows in a view.
fn rules() -> impl Strategy<Value = Vec<Option<Winner>>> {
    let rules = vec![
        Winner::Side(Side::Left),
        Winner::Side(Side::Right),
        Winner::Newest,
        Winner::NonEmpty,
        Winner::Longer,
        Winner::Union,
        Winner::Maximum,
        Winner::Ask,
    ];
    prop::collection::vec(prop::option::weighted(0.7, prop::sample::select(rules)), 3..4)
}

fn mapping(rows: usize, rules: &[Option<Winner>]) -> PairMapping {
    let row = |index: usize| MappingRow { winner: rules[index], ..row(&format!("f{index}")) };
    PairMapping { rows: (0..rows).map(row).collect(), match_rules: vec![] }
}

fn mirrored_mapping(mapping: &PairMapping) -> PairMapping {
    let mut mirror = mapping.clone();
    for row in &mut mirror.rows {
        if let Some(Winner::Side(side)) = row.winner {
            row.winner = Some(Winner::Side(side.other()));
        }
    }
    mirror
}

fn mirrored_view(view: &View) -> View {
    let rows = view.rows.iter().map(|cell| RowView {
        left: cell.right.clone(),
        right: cell.left.clone(),
        owed: match cell.owed {
            Owed::Left => Owed::Right,
            Owed::Right => Owed::Left,
            owed => owed,
        },
        differs: cell.differs,
        left_is_receipt: cell.right_is_receipt,
        right_is_receipt: cell.left_is_receipt,
    });
    let saved_last = view.saved_last.map(Side::other);
    View { left: view.right, right: view.left, rows: rows.collect(), saved_last, ..view.clone() }
}

fn mirrored_policy(policy: &Policy) -> Policy {
    let direction = match policy.direction {
        Direction::Both => Direction::Both,
        Direction::ToLeft => Direction::ToRight,
        Direction::ToRight => Direction::ToLeft,
    };
    Policy { direction, winner: policy.winner.other(), ..*policy }
}

fn mirrored(mut decision: Decision) -> Decision {
    decision.writes.iter_mut().for_each(|write| write.side = write.side.other());
    decision.writes.sort_by_key(|write| write.side);
    decision.conflicts.iter_mut().for_each(|conflict| conflict.winner = conflict.winner.map(Side::other));
    decision.held.iter_mut().for_each(|held| held.side = held.side.other());
    decision.held.sort_by_key(|held| (held.row, held.side));
    decision
}

/// The view after the decision was carried out: what was written stands, and each side's base is what it shows. What was held back is
/// owed still.
fn carried_out(view: &View, mapping: &PairMapping, decision: &Decision) -> View {
    let mut after = view.clone();
    for (index, cell) in after.rows.iter_mut().enumerate() {
        for write in &decision.writes {
            let Some(change) = write.rows.iter().find(|change| change.row == index) else { continue };
            let field = if write.side == Side::Left { &mut cell.left } else { &mut cell.right };
            // A list that got entries of the other side keeps its own, also the one that has no counterpart there.
            let is_held =
                matches!(field.carried, Carried::Held(_)) && mapping.rows[index].winner == Some(Winner::Union);
            field.shown.clone_from(&change.values);
            if !is_held {
                field.carried = Carried::Values(change.values.clone());
            }
        }
        let held = decision.held.iter().filter(|held| held.row == index && !reason::is_question(&held.reason));
        cell.owed = held.fold(Owed::Nobody, |owed, held| owed.and(held.side));
        if cell.was_read() {
            for field in [&mut cell.left, &mut cell.right] {
                field.base = Some(Base::shown(7, field.shown.clone()));
            }
        }
    }
    after
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn sides_are_equal_before_it(view in view(), policy in policy(), rules in rules()) {
        let mapping = mapping(view.rows.len(), &rules);
        let decision = decide(&view, &mapping, &policy);
        let mirror = decide(&mirrored_view(&view), &mirrored_mapping(&mapping), &mirrored_policy(&policy));
        prop_assert_eq!(mirrored(mirror), decision);
    }

    #[test]
    fn it_settles(view in view(), policy in policy(), rules in rules()) {
        let mapping = mapping(view.rows.len(), &rules);
        let after = carried_out(&view, &mapping, &decide(&view, &mapping, &policy));
        let again = decide(&after, &mapping, &policy);
        prop_assert!(again.writes.is_empty(), "{:?}", again);
        // Joined lists of which each side has an entry that the other one cannot hold stay apart: nobody loses, and nothing is written.
        let stay_apart = |row: usize| again.held.iter().filter(|held| held.row == row).count() == 2;
        let is_open = |conflict: &Conflict| conflict.winner.is_some() || !stay_apart(conflict.row);
        prop_assert!(!again.conflicts.iter().any(is_open), "{:?}", again);
    }

    #[test]
    fn it_writes_nothing_that_stands_and_nothing_unread(view in view(), policy in policy(), rules in rules()) {
        let mapping = mapping(view.rows.len(), &rules);
        for write in decide(&view, &mapping, &policy).writes {
            prop_assert!(policy.direction.writes(write.side));
            for change in write.rows {
                let cell = &view.rows[change.row];
                prop_assert_ne!(&change.values, &cell.side(write.side).shown);
                prop_assert!(cell.was_read());
            }
        }
    }

    #[test]
    fn an_edit_that_is_replaced_is_told(view in view(), policy in policy(), rules in rules()) {
        let mapping = mapping(view.rows.len(), &rules);
        let decision = decide(&view, &mapping, &policy);
        for write in &decision.writes {
            for change in &write.rows {
                if view.rows[change.row].edited(write.side) {
                    let told = decision.conflicts.iter().any(|conflict| conflict.row == change.row);
                    // Two new agreements about an edited row follow the rule of a first sync, which fills blanks only.
                    let blank = view.rows[change.row].side(write.side).shown.iter().all(|value| !value.is_filled());
                    prop_assert!(told || blank, "{:?}", view.rows[change.row]);
                }
            }
        }
    }
}
