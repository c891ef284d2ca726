//! Decisions as cases: what both sides show, and what is decided.

use super::tests_support::{field, pair, row};
use super::*;
use crate::mapping::{Direction, Sameness};
use crate::policy::{DeletePolicy, FirstSync, LeavePolicy, Winner};

fn policy() -> Policy {
    Policy {
        direction: Direction::Both,
        winner: Side::Left,
        newest: false,
        first_sync: FirstSync::FillEmpty,
        deletes: DeletePolicy::Report,
        when_it_leaves: LeavePolicy::StopUpdating,
        hold: false,
    }
}

fn one_row() -> PairMapping {
    PairMapping { rows: vec![row("Phone")], match_rules: vec![] }
}

/// A decision about one row, in words: `right=2`, `settled`, `held right too-long`, `-`; conflicts and differences behind it.
fn told(decision: &Decision) -> String {
    let mut words = Vec::new();
    for write in &decision.writes {
        let values: Vec<_> = write.rows.iter().flat_map(|row| &row.values).map(Value::display).collect();
        words.push(format!("{}={}", write.side.as_str(), values.join(",")));
    }
    words.extend(decision.settled.iter().map(|_| "settled".to_owned()));
    words.extend(decision.differs.iter().map(|_| "differs".to_owned()));
    words.extend(
        decision
            .conflicts
            .iter()
            .map(|conflict| format!("conflict:{}", conflict.winner.map_or("joined", Side::as_str))),
    );
    words.extend(decision.held.iter().map(|held| format!("held:{}:{}", held.side.as_str(), held.reason)));
    if words.is_empty() { "-".into() } else { words.join(" ") }
}

#[test]
fn three_way_merge() {
    let check = |what: &str, left: (&str, &str), right: (&str, &str), expected: &str| {
        let view = pair(field(Some(left.0), left.1), field(Some(right.0), right.1));
        assert_eq!(told(&decide(&view, &one_row(), &policy())), expected, "{what}");
    };
    check("nothing changed", ("1", "1"), ("1", "1"), "-");
    check("bases differ for good", ("1", "1"), ("one", "one"), "-");
    check("left changed", ("1", "2"), ("1", "1"), "right=2");
    check("right changed", ("1", "1"), ("1", "2"), "left=2");
    check("right emptied", ("1", "1"), ("1", ""), "left=");
    check("same edit on both", ("1", "2"), ("1", "2"), "settled");
    check("different edits", ("1", "2"), ("1", "3"), "right=2 conflict:left");
    check("left changed to what right shows", ("1", "2"), ("2", "2"), "settled");
}

#[test]
fn a_value_of_ours_that_did_not_stay_is_told() {
    let check = |what: &str, shown: &str, right: &str, expected: &str| {
        let mut view = pair(field(Some("1"), shown), field(Some(right), right));
        view.rows[0].left.base.as_mut().expect("a base").sent = Some(vec![Value::text("2")]);
        assert_eq!(told(&decide(&view, &one_row(), &policy())), expected, "{what}");
    };
    check("it arrived", "2", "2", "settled");
    check("the former value stands, or stands again", "1", "2", "settled differs");
    check("and the other side shows it, too", "1", "1", "settled");
    check("a person wrote a third one", "3", "2", "right=3");
}

#[test]
fn what_is_owed_counts_as_changed_until_it_is_told() {
    let check = |what: &str, owed: Side, left: (&str, &str), right: (&str, &str), expected: &str| {
        let mut view = pair(field(Some(left.0), left.1), field(Some(right.0), right.1));
        view.rows[0].owed = owed.into();
        assert_eq!(told(&decide(&view, &one_row(), &policy())), expected, "{what}");
    };
    check("still to be written", Side::Right, ("2", "2"), ("1", "1"), "right=2");
    check("edited once more", Side::Right, ("2", "3"), ("1", "1"), "right=3");
    check("the other side got there by itself", Side::Right, ("2", "2"), ("1", "2"), "settled");
    check("the other side was edited meanwhile", Side::Right, ("2", "2"), ("1", "3"), "right=2 conflict:left");
    check("owed to the left", Side::Left, ("1", "1"), ("2", "2"), "left=2");
}

#[test]
fn first_sync_fills_and_replaces_nothing() {
    let check = |what: &str, first_sync: FirstSync, left: &str, right: &str, expected: &str| {
        let view = pair(field(None, left), field(None, right));
        assert_eq!(told(&decide(&view, &one_row(), &Policy { first_sync, ..policy() })), expected, "{what}");
    };
    check("equal", FirstSync::FillEmpty, "1", "1", "settled");
    check("both blank", FirstSync::FillEmpty, "", "", "settled");
    check("right blank", FirstSync::FillEmpty, "1", "", "right=1");
    check("left blank", FirstSync::FillEmpty, "", "1", "left=1");
    check("different", FirstSync::FillEmpty, "1", "2", "settled differs");
    check("different, winner", FirstSync::Winner, "1", "2", "right=1 conflict:left");
    check("different, ask", FirstSync::Ask, "1", "2", "held:right:differs-ask");
}

#[test]
fn directions_bind_rows() {
    let check = |what: &str, direction: Direction, left: (&str, &str), right: (&str, &str), expected: &str| {
        let mut mapping = one_row();
        mapping.rows[0].direction = direction;
        let view = pair(field(Some(left.0), left.1), field(Some(right.0), right.1));
        assert_eq!(told(&decide(&view, &mapping, &policy())), expected, "{what}");
    };
    check("to right, left changed", Direction::ToRight, ("1", "2"), ("1", "1"), "right=2");
    check("to right, right changed", Direction::ToRight, ("1", "1"), ("1", "2"), "settled");
    check("to left, both changed", Direction::ToLeft, ("1", "2"), ("1", "3"), "left=3 conflict:right");
}

#[test]
fn what_cannot_be_carried_is_held() {
    let mut left = field(Some("1"), "2");
    left.carried = Carried::Held(reason::NO_COUNTERPART_VALUE.into());
    let decision = decide(&pair(left, field(Some("1"), "1")), &one_row(), &policy());
    assert_eq!(told(&decision), "held:right:no-counterpart-value");
    assert_eq!(decision.verdict, Verdict::Unchanged);

    let mut mapping = one_row();
    mapping.rows[0].right[0].length = Some(2);
    let decision = decide(&pair(field(Some("1"), "long"), field(Some("1"), "1")), &mapping, &policy());
    assert_eq!(told(&decision), "held:right:too-long");
    mapping.rows[0].right[0].mandatory = true;
    let decision = decide(&pair(field(Some("1"), ""), field(Some("1"), "1")), &mapping, &policy());
    assert_eq!(told(&decision), "held:right:mandatory-emptied");
}

#[test]
fn a_field_that_the_crm_does_not_let_us_write_is_told_and_owed() {
    let mut mapping = one_row();
    mapping.rows[0].right[0].read_only = true;
    mapping.rows[0].direction = Direction::ToLeft;
    let check = |what: &str, mapping: &PairMapping, left: (&str, &str), right: (&str, &str), expected: &str| {
        let view = pair(field(Some(left.0), left.1), field(Some(right.0), right.1));
        assert_eq!(told(&decide(&view, mapping, &policy())), expected, "{what}");
    };
    check("left changed", &mapping, ("1", "2"), ("1", "1"), "held:right:read-only");
    check("both changed to the same", &mapping, ("1", "2"), ("1", "2"), "settled");
    check("right changed", &mapping, ("1", "1"), ("1", "2"), "left=2");
    // Where the flow itself says one way, nothing is missing.
    mapping.rows[0].agreed = Direction::ToLeft;
    check("one way by the flow", &mapping, ("1", "2"), ("1", "1"), "settled");
}

#[test]
fn absent_is_never_written() {
    let mut left = field(Some("1"), "");
    left.shown = vec![Value::Absent];
    left.carried = Carried::Values(vec![Value::Absent]);
    assert_eq!(told(&decide(&pair(left.clone(), field(Some("1"), "1")), &one_row(), &policy())), "-");
    left.base = None;
    assert_eq!(told(&decide(&pair(left, field(None, "1")), &one_row(), &policy())), "-");
}

#[test]
fn another_row_hash_is_a_first_sync_of_its_field() {
    let check = |what: &str, left: (&str, &str), right: (&str, &str), owed: Option<Side>, expected: &str| {
        let mut view = pair(field(Some(left.0), left.1), field(Some(right.0), right.1));
        view.rows[0].left.base = Some(Base::shown(8, vec![Value::text(left.0)]));
        view.rows[0].owed = owed.map_or(Owed::Nobody, Owed::from);
        assert_eq!(told(&decide(&view, &one_row(), &policy())), expected, "{what}");
    };
    check("nobody changed anything", ("1", "1"), ("2", "2"), None, "settled differs");
    check("blank on one side", ("", ""), ("2", "2"), None, "left=2");
    check("one side was edited", ("1", "1"), ("1", "2"), None, "left=2");
    check("one side was emptied", ("1", ""), ("1", "1"), None, "right=");
    check("one side was not told yet", ("1", "1"), ("2", "2"), Some(Side::Right), "right=1");
    check("both were edited", ("1", "3"), ("1", "2"), None, "settled differs");
}

#[test]
fn news_of_both_are_not_adopted_before_both_were_read() {
    let (left, right) = (field(Some("1"), "2"), field(Some("1"), "3"));
    let mut view = pair(left, right);
    let mapping = PairMapping { rows: vec![MappingRow { hash: 8, ..row("Phone") }], match_rules: vec![] };
    assert_eq!(decide(&view, &mapping, &policy()).differs, [0]);
    view.right = Presence::Unread;
    let decision = decide(&view, &mapping, &policy());
    assert_eq!((decision.unread.as_slice(), decision.settled.len(), decision.differs.len()), (&[0][..], 0, 0));
}

#[test]
fn a_conflict_is_told_even_if_the_winner_has_to_wait() {
    let mut left = field(Some("1"), "2");
    left.carried = Carried::Held(reason::NO_COUNTERPART_VALUE.into());
    let decision = decide(&pair(left, field(Some("1"), "3")), &one_row(), &policy());
    assert_eq!(told(&decision), "conflict:left held:right:no-counterpart-value");
}

#[test]
fn what_a_crm_made_of_our_write_goes_nowhere() {
    let mut right = field(None, "????");
    right.base = Some(Base::written(7, vec![Value::text("old")], vec![Value::text("🙂")]));
    let mut view = pair(field(Some("🙂"), "🙂"), right);
    view.rows[0].right_is_receipt = true;
    assert_eq!(told(&decide(&view, &one_row(), &policy())), "settled");
    view.rows[0].right_is_receipt = false;
    view.rows[0].right.shown = vec![Value::text("typed")];
    view.rows[0].right.carried = Carried::Values(vec![Value::text("typed")]);
    assert_eq!(told(&decide(&view, &one_row(), &policy())), "left=typed");
}

#[test]
fn an_unanswered_write_that_arrived_is_not_repeated() {
    let (sent, cut) = ("Customer Care, Returns and Refunds", "Customer Care, Returns and Ref");
    let check = |shown: &str, expected: &str| {
        let mut right = field(None, shown);
        right.base = Some(Base::written(7, vec![Value::text("old")], vec![Value::text(sent)]));
        let mut view = pair(field(Some(sent), sent), right);
        view.rows[0].owed = Owed::Right;
        assert_eq!(told(&decide(&view, &one_row(), &policy())), expected, "{shown}");
    };
    check(sent, "settled");
    check(cut, "settled");
    check("old", &format!("right={sent}"));
    check("typed", &format!("right={sent} conflict:left"));
}

#[test]
fn spelling_alone_is_no_difference() {
    let mut mapping = one_row();
    mapping.rows[0].sameness = Sameness::Phone;
    let view = pair(field(None, "(415) 555-0101"), field(None, "4155550101"));
    assert_eq!(told(&decide(&view, &mapping, &policy())), "settled");
}

#[test]
fn a_single_record_is_created_on_the_other_side() {
    let mut view = pair(field(None, "1"), field(None, ""));
    view.right = Presence::Missing;
    let decision = decide(&view, &one_row(), &policy());
    assert_eq!(decision.writes[0].operation, Operation::Create);
    assert_eq!(told(&decision), "right=1");

    let decision = decide(&view, &one_row(), &Policy { direction: Direction::ToLeft, ..policy() });
    assert_eq!(decision.verdict, Verdict::OutOfScope(reason::ONE_WAY.into()));

    let mut mapping = one_row();
    mapping.rows[0].right[0].mandatory = true;
    view.rows[0].left = field(None, "");
    let decision = decide(&view, &mapping, &policy());
    assert_eq!(decision.verdict, Verdict::NeedsAttention(reason::MANDATORY_MISSING.into()));
    assert!(decision.writes.is_empty());
}

#[test]
fn several_candidates_are_a_persons_matter() {
    let mut view = pair(field(None, "1"), field(None, ""));
    view.right = Presence::Missing;
    view.more_than_one_match = true;
    let decision = decide(&view, &one_row(), &policy());
    assert_eq!(decision.verdict, Verdict::NeedsAttention(reason::MORE_THAN_ONE_MATCH.into()));
    assert!(decision.writes.is_empty());
}

fn sides(row: &mut RowView) -> [&mut FieldView; 2] {
    [&mut row.left, &mut row.right]
}

/// A view of one row with both sides edited, in the kinds of the rule.
fn both_edited(winner: Winner, left: Value, right: Value) -> (View, PairMapping) {
    let mut mapping = one_row();
    mapping.rows[0].winner = Some(winner);
    let mut view = pair(field(Some("old"), "x"), field(Some("old"), "y"));
    for (field, value) in sides(&mut view.rows[0]).into_iter().zip([left, right]) {
        (field.shown, field.carried) = (vec![value.clone()], Carried::Values(vec![value]));
    }
    (view, mapping)
}

#[test]
fn a_rows_rule_ends_its_conflicts() {
    let check = |winner: Winner, left: Value, right: Value, expected: &str| {
        let (view, mapping) = both_edited(winner, left, right);
        assert_eq!(told(&decide(&view, &mapping, &policy())), expected, "{winner:?}");
    };
    let text = |text: &str| Value::text(text);
    let list = |text: &str| Value::List(text.into());
    check(Winner::Side(Side::Right), text("1"), text("2"), "left=2 conflict:right");
    check(Winner::NonEmpty, text(""), text("2"), "left=2 conflict:right");
    check(Winner::NonEmpty, text("1"), text("2"), "right=1 conflict:left");
    check(Winner::Longer, text("1"), text("22"), "left=22 conflict:right");
    check(Winner::Maximum, Value::Boolean(false), Value::Boolean(true), "left=yes conflict:right");
    check(Winner::Ask, text("1"), text("2"), "held:right:both-changed-ask");
    check(Winner::Union, list(r#"["a"]"#), list(r#"["b"]"#), r#"left=["a","b"] right=["b","a"] conflict:joined"#);
    check(Winner::Union, list(r#"["a"]"#), list(r#"["a","b"]"#), r#"left=["a","b"] conflict:joined"#);
}

#[test]
fn the_side_that_was_saved_last_wins_where_the_flow_says_so() {
    let check = |newest: bool, rule: Option<Winner>, saved_last: Option<Side>, expected: &str| {
        let (mut view, mut mapping) = both_edited(Winner::Ask, Value::text("1"), Value::text("2"));
        mapping.rows[0].winner = rule;
        view.saved_last = saved_last;
        assert_eq!(told(&decide(&view, &mapping, &Policy { newest, ..policy() })), expected);
    };
    check(true, None, Some(Side::Right), "left=2 conflict:right");
    check(true, None, None, "right=1 conflict:left");
    check(false, None, Some(Side::Right), "right=1 conflict:left");
    check(false, Some(Winner::Newest), Some(Side::Right), "left=2 conflict:right");
    check(true, Some(Winner::Side(Side::Left)), Some(Side::Right), "right=1 conflict:left");
    // A tie of another rule falls to the flow's own.
    check(true, Some(Winner::Longer), Some(Side::Right), "left=2 conflict:right");
}

#[test]
fn a_question_is_asked_once_and_an_edit_answers_it() {
    let (mut view, mapping) = both_edited(Winner::Ask, Value::text("1"), Value::text("2"));
    for field in sides(&mut view.rows[0]) {
        field.base = Some(Base::shown(7, field.shown.clone()));
    }
    assert_eq!(told(&decide(&view, &mapping, &policy())), "-");
    view.rows[0].right.shown = vec![Value::text("3")];
    view.rows[0].right.carried = Carried::Values(vec![Value::text("3")]);
    assert_eq!(told(&decide(&view, &mapping, &policy())), "left=3");
}

#[test]
fn joined_lists_are_owed_to_both_until_each_is_told() {
    let check = |owed: Owed, left: &str, right: &str, expected: &str| {
        let list = |text: &str| Value::List(text.into());
        let (mut view, mapping) = both_edited(Winner::Union, list(left), list(right));
        for field in sides(&mut view.rows[0]) {
            field.base = Some(Base::shown(7, field.shown.clone()));
        }
        view.rows[0].owed = owed;
        assert_eq!(told(&decide(&view, &mapping, &policy())), expected, "{owed:?}");
    };
    check(Owed::Both, r#"["a"]"#, r#"["b"]"#, r#"left=["a","b"] right=["b","a"] conflict:joined"#);
    check(Owed::Right, r#"["a","b"]"#, r#"["b"]"#, r#"right=["a","b"]"#);
    check(Owed::Both, r#"["a","b"]"#, r#"["b","a"]"#, "settled");
}

#[test]
fn a_first_sync_by_winner_follows_the_rows_rule() {
    let (mut view, mapping) = both_edited(Winner::Longer, Value::text("1"), Value::text("22"));
    for field in sides(&mut view.rows[0]) {
        field.base = None;
    }
    let by_winner = Policy { first_sync: FirstSync::Winner, ..policy() };
    assert_eq!(told(&decide(&view, &mapping, &by_winner)), "left=22 conflict:right");
    let mut asking = mapping;
    asking.rows[0].winner = Some(Winner::Ask);
    assert_eq!(told(&decide(&view, &asking, &by_winner)), "held:right:differs-ask");
}

#[test]
fn old_records_are_known_and_left_alone() {
    let mut view = pair(field(None, "1"), field(None, ""));
    (view.scope, view.linked) = (Scope::Old, false);
    assert_eq!(told(&decide(&view, &one_row(), &policy())), "settled", "a matched pair is linked as it is");
    view.right = Presence::Missing;
    let decision = decide(&view, &one_row(), &policy());
    assert_eq!(decision.verdict, Verdict::OutOfScope(reason::BEFORE_START_DATE.into()));

    let mut view = pair(field(Some("1"), "2"), field(Some("1"), "1"));
    view.scope = Scope::Old;
    assert_eq!(told(&decide(&view, &one_row(), &policy())), "right=2", "what is linked goes on");
}

#[test]
fn what_is_outside_the_filter_gets_no_updates_and_is_no_delete() {
    let check = |linked: bool, right: Presence, expected: Verdict| {
        let mut view = pair(field(Some("1"), "2"), field(Some("1"), "1"));
        (view.scope, view.linked, view.right) = (Scope::Outside(Some(Side::Left)), linked, right);
        let decision = decide(&view, &one_row(), &policy());
        assert_eq!((decision.verdict, decision.writes.is_empty()), (expected, true));
    };
    check(true, Presence::Unread, Verdict::OutOfScope(reason::LEFT_FILTER.into()));
    check(false, Presence::Missing, Verdict::OutOfScope(reason::OUTSIDE_FILTER.into()));
    check(false, Presence::Live, Verdict::OutOfScope(reason::OUTSIDE_FILTER.into()));
}

#[test]
fn a_match_in_doubt_is_a_persons_matter() {
    let mut view = pair(field(None, "1"), field(None, "1"));
    view.match_in_doubt = true;
    let decision = decide(&view, &one_row(), &policy());
    assert_eq!(decision.verdict, Verdict::NeedsAttention(reason::MATCH_IN_DOUBT.into()));
}

#[test]
fn a_constant_is_given_to_new_records_only() {
    let mut mapping = one_row();
    let mut constant = row("Source");
    (constant.left, constant.role) = (vec![], Role::Constant(Value::text("Zoho")));
    constant.direction = Direction::ToRight;
    mapping.rows.push(constant);
    let mut view = pair(field(None, "1"), field(None, ""));
    let mut cell = view.rows[0].clone();
    (cell.left.shown, cell.left.carried) = (vec![], Carried::Values(vec![]));
    view.rows.push(cell);
    view.right = Presence::Missing;
    assert_eq!(told(&decide(&view, &mapping, &policy())), "right=1,Zoho");
    view.right = Presence::Live;
    assert_eq!(told(&decide(&view, &mapping, &policy())), "right=1");
    (view.left, view.right) = (Presence::Missing, Presence::Live);
    view.rows[0].right = field(None, "1");
    assert_eq!(told(&decide(&view, &mapping, &policy())), "left=1", "the left side has no such field");
}

#[test]
fn a_conflict_of_earlier_ends_by_the_rules_of_today() {
    let check = |winner: Option<Winner>, policy: Policy, expected: Option<(Side, &str)>| {
        let row = MappingRow { winner, ..row("Phone") };
        let cell = pair(field(None, "longest"), field(None, "short")).rows.remove(0);
        let decided = decide_again(&row, &cell, &policy).map(|(side, values)| (side, values.unwrap()));
        let expected = expected.map(|(side, value)| (side, vec![Value::text(value)]));
        assert_eq!(decided, expected, "{winner:?}");
    };
    check(None, policy(), Some((Side::Left, "longest")));
    check(None, Policy { winner: Side::Right, ..policy() }, Some((Side::Right, "short")));
    check(Some(Winner::Side(Side::Right)), policy(), Some((Side::Right, "short")));
    check(Some(Winner::Longer), Policy { winner: Side::Right, ..policy() }, Some((Side::Left, "longest")));
    check(None, Policy { direction: Direction::ToLeft, ..policy() }, Some((Side::Right, "short")));
    // Who saved last is not known any more; and the others leave no side's value as it is.
    check(None, Policy { newest: true, ..policy() }, None);
    check(Some(Winner::Newest), policy(), None);
    check(Some(Winner::Ask), policy(), None);
}
