//! Records that left: their CRM, or the filter. What that means for the other side's record.

use super::{Decision, Operation, Scope, Verdict, View, Write, has_news, reason};
use crate::policy::{DeletePolicy, LeavePolicy, Policy};
use crate::record::{Away, RemovalReason, Side};
use crate::sabotage::{Sabotage, is_on};

/// S18: what the filter does not mean is neither created nor updated. Of a linked record that left it the other side's may be marked or
/// recycled; one that was edited there stays (S14), and so do records that both filters say are none of theirs.
pub(super) fn decide_outside(view: &View, policy: &Policy) -> Decision {
    if !view.linked {
        return Decision::only(Verdict::OutOfScope(reason::OUTSIDE_FILTER.into()));
    }
    let mut decision = Decision::only(Verdict::OutOfScope(reason::LEFT_FILTER.into()));
    let Scope::Outside(Some(from)) = view.scope else { return decision };
    let to = from.other();
    let operation = match policy.when_it_leaves {
        LeavePolicy::StopUpdating => return decision,
        LeavePolicy::Mark if view.marked.contains(&to) => return decision,
        LeavePolicy::Mark => Operation::Mark,
        LeavePolicy::Recycle if has_news(view, to) => return decision,
        LeavePolicy::Recycle => Operation::Delete,
    };
    if !policy.direction.writes(to) {
        return decision;
    }
    if policy.hold {
        return Decision::only(Verdict::Waiting(reason::SAFETY_STOP.into()));
    }
    decision.writes.push(Write { side: to, operation, rows: vec![] });
    decision
}

/// One side left. In every mode an edit on the other side survives and is put before a person (S14).
pub(super) fn decide_removed(view: &View, policy: &Policy, gone: Side, why: RemovalReason) -> Decision {
    let survivor = gone.other();
    if why == RemovalReason::Converted && !is_on(Sabotage::ConvertedIsGone) {
        return Decision::only(Verdict::OutOfScope(reason::CONVERTED.into()));
    }
    if has_news(view, survivor) && !is_on(Sabotage::DeleteAgainstEdit) {
        return Decision::only(Verdict::NeedsAttention(reason::DELETE_AGAINST_EDIT.into()));
    }
    let mut decision = Decision::only(Verdict::Removed(gone, why));
    // Rule 5: what is only hidden, or lives on in another record, was not deleted.
    let is_delete = matches!(why, RemovalReason::Deleted | RemovalReason::Unknown) || is_on(Sabotage::MergedIsDeleted);
    // S18: what left the filter is not touched any more.
    if !is_delete || matches!(view.scope, Scope::Outside(_)) || !policy.direction.writes(survivor) {
        return decision;
    }
    let operation = match policy.deletes {
        DeletePolicy::Report => return decision,
        _ if policy.hold => return Decision::only(Verdict::Waiting(reason::SAFETY_STOP.into())),
        DeletePolicy::Mark => Operation::Mark,
        // Somebody took it back from the bin as the other one went there: that is no less than an edit.
        DeletePolicy::Recycle | DeletePolicy::Delete
            if view.came_back == Some(survivor) && !is_on(Sabotage::CrossingIsDelete) =>
        {
            return Decision::only(Verdict::NeedsAttention(reason::RESTORED_ALONE.into()));
        }
        DeletePolicy::Recycle | DeletePolicy::Delete => Operation::Delete,
    };
    decision.writes.push(Write { side: survivor, operation, rows: vec![] });
    decision
}

/// One side had left before. Nothing is deleted for that any more, whatever the policy says by now, unless a person said so of this very
/// record; and then only if nobody has edited it since.
pub(super) fn decide_away(view: &View, policy: &Policy, gone: Side, how: Away) -> Decision {
    let survivor = gone.other();
    let is_edited = view.rows.iter().any(|row| row.edited(survivor));
    let is_asked = view.delete_asked && policy.direction.writes(survivor);
    if let (true, false, Away::Kept(why)) = (is_asked, is_edited, how) {
        if policy.hold {
            return Decision::only(Verdict::Waiting(reason::SAFETY_STOP.into()));
        }
        let writes = vec![Write { side: survivor, operation: Operation::Delete, rows: vec![] }];
        return Decision { writes, ..Decision::only(Verdict::Removed(gone, why)) };
    }
    let verdict = match how {
        Away::Kept(RemovalReason::Converted) => Verdict::OutOfScope(reason::CONVERTED.into()),
        _ if has_news(view, gone.other()) => Verdict::NeedsAttention(reason::DELETE_AGAINST_EDIT.into()),
        Away::Both => Verdict::NeedsAttention(reason::RESTORED_ALONE.into()),
        Away::Kept(why) => Verdict::Removed(gone, why),
    };
    Decision::only(verdict)
}
