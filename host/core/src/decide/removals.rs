//! Removals as cases: who left and why, what the flow says about deletes, and what is decided.

use super::tests_support::{field, pair, row};
use super::*;
use crate::mapping::Direction;
use crate::policy::{DeletePolicy, FirstSync, LeavePolicy};
use crate::record::Away;

const MODES: [DeletePolicy; 4] =
    [DeletePolicy::Report, DeletePolicy::Mark, DeletePolicy::Recycle, DeletePolicy::Delete];

fn decision(left: Presence, right: &str, deletes: DeletePolicy, direction: Direction) -> Decision {
    let mut view = pair(field(Some("1"), "1"), field(Some("1"), right));
    (view.left, view.right) = (left, Presence::Live);
    let policy = Policy { direction, deletes, ..recycling() };
    let decision = decide(&view, &PairMapping { rows: vec![row("Phone")], match_rules: vec![] }, &policy);
    assert!(decision.writes.iter().all(|write| write.side == Side::Right && write.rows.is_empty()));
    decision
}

/// In a word: the verdict, and the write if there is one.
fn told(decision: &Decision) -> String {
    let verdict = match &decision.verdict {
        Verdict::Removed(side, why) => format!("{} {}", side.as_str(), why.as_str()),
        Verdict::NeedsAttention(why) => format!("ask {why}"),
        Verdict::Waiting(why) => format!("wait {why}"),
        Verdict::OutOfScope(why) => format!("out {why}"),
        other => format!("{other:?}"),
    };
    let writes = decision.writes.iter().map(|write| format!(", {}", write.operation.as_str()));
    std::iter::once(verdict).chain(writes).collect()
}

#[test]
fn a_delete_does_what_the_flow_says() {
    let check = |deletes: DeletePolicy, expected: &str| {
        for why in [RemovalReason::Deleted, RemovalReason::Unknown] {
            let decided = decision(Presence::Removed(why), "1", deletes, Direction::Both);
            assert_eq!(told(&decided), expected.replace("WHY", why.as_str()), "{deletes:?}");
        }
    };
    check(DeletePolicy::Report, "left WHY");
    check(DeletePolicy::Mark, "left WHY, mark");
    check(DeletePolicy::Recycle, "left WHY, delete");
    check(DeletePolicy::Delete, "left WHY, delete");
}

#[test]
fn what_was_not_deleted_deletes_nothing() {
    for deletes in MODES {
        let check = |left: Presence, right: &str, direction: Direction, expected: &str| {
            assert_eq!(told(&decision(left, right, deletes, direction)), expected, "{left:?} {right} {deletes:?}");
        };
        use RemovalReason::{Converted, Deleted, Merged, NotVisible, Unknown};
        check(Presence::Removed(NotVisible), "1", Direction::Both, "left not-visible");
        check(Presence::Removed(Merged), "1", Direction::Both, "left merged");
        check(Presence::Removed(Converted), "1", Direction::Both, "out converted");
        check(Presence::Removed(Converted), "edited", Direction::Both, "out converted");
        // Delete against edit: the edit survives.
        check(Presence::Removed(Deleted), "edited", Direction::Both, "ask delete-against-edit");
        check(Presence::Removed(Unknown), "edited", Direction::Both, "ask delete-against-edit");
        // Deletes do not travel where records do not.
        check(Presence::Removed(Deleted), "1", Direction::ToLeft, "left deleted");
        // What left before the flow said so, or came back alone, stays.
        check(Presence::Away(Away::Kept(Deleted)), "1", Direction::Both, "left deleted");
        check(Presence::Away(Away::Kept(Converted)), "edited", Direction::Both, "out converted");
        check(Presence::Away(Away::Kept(Deleted)), "edited", Direction::Both, "ask delete-against-edit");
        check(Presence::Away(Away::Both), "1", Direction::Both, "ask restored-alone");
        check(Presence::Away(Away::Both), "edited", Direction::Both, "ask delete-against-edit");
    }
}

#[test]
fn who_comes_back_as_the_other_one_leaves_is_not_deleted_for_that() {
    let mut view = pair(field(Some("1"), "1"), field(Some("1"), "1"));
    (view.left, view.came_back) = (Presence::Removed(RemovalReason::Deleted), Some(Side::Right));
    let mapping = PairMapping { rows: vec![row("Phone")], match_rules: vec![] };
    let check = |deletes: DeletePolicy, expected: &str| {
        let policy = Policy { deletes, ..recycling() };
        assert_eq!(told(&decide(&view, &mapping, &policy)), expected, "{deletes:?}");
    };
    check(DeletePolicy::Report, "left deleted");
    check(DeletePolicy::Mark, "left deleted, mark");
    check(DeletePolicy::Recycle, "ask restored-alone");
    check(DeletePolicy::Delete, "ask restored-alone");
}

fn recycling() -> Policy {
    Policy {
        direction: Direction::Both,
        winner: Side::Left,
        newest: false,
        first_sync: FirstSync::FillEmpty,
        deletes: DeletePolicy::Recycle,
        when_it_leaves: LeavePolicy::StopUpdating,
        hold: false,
    }
}

#[test]
fn an_edit_that_was_not_told_yet_counts_as_one() {
    let mut view = pair(field(Some("1"), "1"), field(Some("1"), "1"));
    view.left = Presence::Removed(RemovalReason::Deleted);
    view.rows[0].owed = Owed::Left;
    let mapping = PairMapping { rows: vec![row("Phone")], match_rules: vec![] };
    assert_eq!(told(&decide(&view, &mapping, &recycling())), "ask delete-against-edit");
    view.rows[0].owed = Owed::Right;
    assert_eq!(told(&decide(&view, &mapping, &recycling())), "left deleted, delete");
}

#[test]
fn both_gone_is_the_end() {
    let mut view = pair(field(Some("1"), "1"), field(Some("1"), "1"));
    let gone = [
        Presence::Removed(RemovalReason::Deleted),
        Presence::Away(Away::Kept(RemovalReason::Deleted)),
        Presence::Away(Away::Both),
        Presence::Missing,
    ];
    for left in gone {
        for right in gone {
            (view.left, view.right) = (left, right);
            let policy = Policy {
                direction: Direction::Both,
                winner: Side::Left,
                newest: false,
                first_sync: FirstSync::FillEmpty,
                deletes: DeletePolicy::Recycle,
                when_it_leaves: LeavePolicy::StopUpdating,
                hold: false,
            };
            let mapping = PairMapping { rows: vec![row("Phone")], match_rules: vec![] };
            assert_eq!(decide(&view, &mapping, &policy), Decision::only(Verdict::Forget), "{left:?} {right:?}");
        }
    }
}

#[test]
fn a_mark_goes_when_the_other_record_comes_back() {
    let mut view = pair(field(Some("1"), "2"), field(Some("1"), "1"));
    view.marked = vec![Side::Right];
    let mapping = PairMapping { rows: vec![row("Phone")], match_rules: vec![] };
    let policy = Policy {
        direction: Direction::Both,
        winner: Side::Left,
        newest: false,
        first_sync: FirstSync::FillEmpty,
        deletes: DeletePolicy::Mark,
        when_it_leaves: LeavePolicy::StopUpdating,
        hold: false,
    };
    let decided = decide(&view, &mapping, &policy);
    let operations: Vec<_> = decided.writes.iter().map(|write| (write.side, write.operation)).collect();
    assert_eq!(operations, [(Side::Right, Operation::Update), (Side::Right, Operation::Unmark)]);
    // Each was marked while the other one was away.
    view.marked = vec![Side::Right, Side::Left];
    let unmarks =
        decide(&view, &mapping, &policy).writes.into_iter().filter(|write| write.operation == Operation::Unmark);
    assert_eq!(unmarks.map(|write| write.side).collect::<Vec<_>>(), [Side::Right, Side::Left]);
}

/// A linked record that left, with a policy.
fn left(view: &View, policy: Policy) -> String {
    told(&decide(view, &PairMapping { rows: vec![row("Phone")], match_rules: vec![] }, &policy))
}

fn policy(deletes: DeletePolicy, when_it_leaves: LeavePolicy, hold: bool) -> Policy {
    let (direction, winner, first_sync) = (Direction::Both, Side::Left, FirstSync::FillEmpty);
    Policy { direction, winner, newest: false, first_sync, deletes, when_it_leaves, hold }
}

#[test]
fn the_safety_stop_holds_what_would_be_written() {
    let mut view = pair(field(Some("1"), "1"), field(Some("1"), "1"));
    view.left = Presence::Removed(RemovalReason::Deleted);
    let stop = LeavePolicy::StopUpdating;
    assert_eq!(left(&view, policy(DeletePolicy::Recycle, stop, true)), "wait safety-stop");
    assert_eq!(left(&view, policy(DeletePolicy::Mark, stop, true)), "wait safety-stop");
    assert_eq!(left(&view, policy(DeletePolicy::Report, stop, true)), "left deleted");
}

#[test]
fn a_record_that_leaves_the_filter_does_what_the_flow_says() {
    let check = |base: &str, shown: &str, leaves: LeavePolicy, hold: bool, marked: Option<Side>, expected: &str| {
        let mut view = pair(field(Some("1"), "2"), field(Some(base), shown));
        (view.scope, view.marked) = (Scope::Outside(Some(Side::Left)), marked.into_iter().collect());
        let told = left(&view, policy(DeletePolicy::Recycle, leaves, hold));
        assert_eq!(told, expected, "{shown} {leaves:?} {hold} {marked:?}");
    };
    check("1", "1", LeavePolicy::StopUpdating, false, None, "out left-filter");
    check("1", "1", LeavePolicy::Mark, false, None, "out left-filter, mark");
    check("1", "3", LeavePolicy::Mark, false, None, "out left-filter, mark");
    check("1", "1", LeavePolicy::Mark, false, Some(Side::Right), "out left-filter");
    check("1", "1", LeavePolicy::Recycle, false, None, "out left-filter, delete");
    // What people edited there is not thrown away.
    check("1", "3", LeavePolicy::Recycle, false, None, "out left-filter");
    check("1", "1", LeavePolicy::Recycle, true, None, "wait safety-stop");
    check("1", "1", LeavePolicy::Mark, true, None, "wait safety-stop");

    let mut view = pair(field(Some("1"), "1"), field(Some("1"), "1"));
    view.scope = Scope::Outside(None);
    assert_eq!(left(&view, policy(DeletePolicy::Recycle, LeavePolicy::Recycle, false)), "out left-filter");
    (view.scope, view.linked) = (Scope::Outside(Some(Side::Left)), false);
    assert_eq!(left(&view, policy(DeletePolicy::Recycle, LeavePolicy::Recycle, false)), "out outside-filter");
    view.linked = true;
    let one_way = Policy { direction: Direction::ToLeft, ..policy(DeletePolicy::Recycle, LeavePolicy::Recycle, false) };
    assert_eq!(left(&view, one_way), "out left-filter");
}

#[test]
fn a_person_may_say_that_the_other_record_goes_as_well() {
    use RemovalReason::{Deleted, Merged};
    let check = |how: Away, shown: &str, owed: Owed, hold: bool, expected: &str| {
        let mut view = pair(field(Some("1"), "1"), field(Some("1"), shown));
        (view.left, view.delete_asked, view.rows[0].owed) = (Presence::Away(how), true, owed);
        assert_eq!(left(&view, policy(DeletePolicy::Report, LeavePolicy::StopUpdating, hold)), expected, "{how:?}");
    };
    check(Away::Kept(Deleted), "1", Owed::Nobody, false, "left deleted, delete");
    check(Away::Kept(Merged), "1", Owed::Nobody, false, "left merged, delete");
    // The edit that was asked about; and one that came after the answer.
    check(Away::Kept(Deleted), "1", Owed::Left, false, "left deleted, delete");
    check(Away::Kept(Deleted), "2", Owed::Nobody, false, "ask delete-against-edit");
    check(Away::Kept(Deleted), "1", Owed::Nobody, true, "wait safety-stop");
    check(Away::Both, "1", Owed::Nobody, false, "ask restored-alone");
}
