//! The link that a decision leaves behind: what both sides were seen at, what was agreed on, and what is still owed (rule 3).

use crmsync_core::decide::{Operation, RowView, Verdict, reason};
use crmsync_core::sabotage::{Sabotage, is_on};
use crmsync_core::{Away, Base, Owed, PairMapping, Presence, Role, Side, Value};

use super::plan::Decided;
use super::setup::PairSetup;
use crate::store::{LinkRow, PresenceWord, RowBases};

impl Decided {
    /// The link to save: what both sides were seen at, their bases, and what is owed (rule 3).
    pub(super) fn link(&self, pair: &PairSetup) -> Option<LinkRow> {
        let mut link = match &self.unit.link {
            // Its staged records stay: what was edited meanwhile travels when the filter means them again. A write needs its link.
            Some(link) if self.leaves_link_alone() => {
                let mut link = link.clone();
                self.forget_what_is_not_marked(&mut link);
                return (!self.decision.writes.is_empty()).then_some(link);
            }
            // So do those that left the filter and wait for consent.
            Some(_) if self.gone().is_none() && matches!(self.decision.verdict, Verdict::Waiting(_)) => return None,
            Some(link) => link.clone(),
            None if self.becomes_linked() => LinkRow::new(&self.record(Side::Left), &self.record(Side::Right)),
            None => return None,
        };
        let gone = self.gone();
        let waits = matches!(&self.decision.verdict, Verdict::Waiting(why) if why == reason::SAFETY_STOP);
        if let Some((gone, _)) = gone.filter(|_| waits || self.leaves()) {
            // The other one had left before, and is back.
            link.removed = link.removed.filter(|&side| Some(side) != self.view.came_back);
            self.see_live(&mut link);
            self.forget_what_is_not_marked(&mut link);
            self.owe_to_the_removed(&mut link, gone, &pair.mapping);
            return Some(link);
        }
        // An answer that was not carried out now is over: the record came back, or was edited since.
        link.delete_asked = false;
        link.removed = gone.map(|(side, _)| side).filter(|_| self.decision.verdict != Verdict::Forget);
        link.away = match &self.decision.verdict {
            Verdict::NeedsAttention(why) if why == reason::RESTORED_ALONE => Away::Both,
            _ => gone.map_or(link.away, |(_, how)| how),
        };
        link.ended = self.decision.verdict == Verdict::Forget;
        // A mark in a record that lies in the bin is taken off should it come back, also from the end of its link.
        let is_away = link.removed.is_some() || link.ended;
        let is_unmarked = |side: Side| {
            self.decision.writes.iter().any(|write| write.operation == Operation::Unmark && write.side == side)
        };
        link.marks.retain(|mark| is_away || is_unmarked(mark.side) || pair.mark(mark.side).is_none());
        if self.decision.writes.is_empty() {
            // What was tried has arrived, or is not wanted any more.
            link.attempts = 0;
        }
        self.see_live(&mut link);
        match link.removed {
            Some(gone) => self.owe_to_the_removed(&mut link, gone, &pair.mapping),
            None if link.ended => {}
            None => self.save_bases(&mut link, &pair.mapping, &pair.paused),
        }
        Some(link)
    }

    /// A mark that nobody answered, and that the record does not show: until it is written, it is not there.
    fn forget_what_is_not_marked(&self, link: &mut LinkRow) {
        let is_missing = |side: Side| {
            let is_written =
                self.decision.writes.iter().any(|write| (write.side, write.operation) == (side, Operation::Mark));
            is_written && self.view.presence(side) == Presence::Live && !is_on(Sabotage::DoubtedMarkStands)
        };
        link.marks.retain(|mark| !is_missing(mark.side));
    }

    fn see_live(&self, link: &mut LinkRow) {
        for side in Side::BOTH {
            if let Some(row) = self.unit.side(side).filter(|row| row.presence == PresenceWord::Live) {
                link.see(side, &row.version, "");
            }
        }
    }

    /// What people change while the other record lies in the bin is owed to it: should it be restored, it is told. A row that was changed
    /// meanwhile is adopted only then (S12); until it is, its bases are those of the former agreement, and follow what the survivor shows.
    fn owe_to_the_removed(&self, link: &mut LinkRow, gone: Side, mapping: &PairMapping) {
        let survivor = gone.other();
        if self.view.presence(survivor) != Presence::Live {
            return;
        }
        for (row, cell) in mapping.rows.iter().zip(&self.view.rows) {
            if let Some(bases) = link.bases.get_mut(&row.key.0) {
                follow(bases, cell, survivor);
            }
        }
    }

    fn save_bases(&self, link: &mut LinkRow, mapping: &PairMapping, paused: &[String]) {
        // S12: a row that was taken out of the mapping is no agreement any more; should it come back, it is adopted anew.
        link.bases.retain(|key, _| {
            is_on(Sabotage::RowsAreRemembered)
                || (paused.contains(key) && !is_on(Sabotage::PauseForgets))
                || mapping.rows.iter().any(|row| row.key.0 == *key)
        });
        for (index, row) in mapping.rows.iter().enumerate() {
            if matches!(row.role, Role::Constant(_)) {
                continue;
            }
            let cell = &self.view.rows[index];
            let read = Side::BOTH.into_iter().all(|side| cell.side(side).shown.iter().all(Value::is_read));
            let read = read && !self.decision.unread.contains(&index);
            // Rule 4: a row that was not read on both sides is not decided, and keeps what is known of it. What one of them shows is not
            // shown again: the record may rest by the time the other one's field is back.
            if !read {
                let read = Side::BOTH.into_iter().filter(|&side| self.view.presence(side) == Presence::Live);
                if let Some(bases) = link.bases.get_mut(&row.key.0).filter(|_| !is_on(Sabotage::HalfReadIsForgotten)) {
                    read.for_each(|side| follow(bases, cell, side));
                }
                continue;
            }
            let owed = self.owed(index);
            let known = link.bases.entry(row.key.0.clone()).or_default();
            let mut bases = RowBases { owed, ..RowBases::default() };
            for side in Side::BOTH {
                let field = cell.side(side);
                let kept = known.side_mut(side).take().filter(|base| base.row_hash == row.hash);
                // A side that was not read again keeps its base, with what we sent and have not seen yet.
                *bases.side_mut(side) = match (self.view.presence(side), kept) {
                    (Presence::Unread, Some(base)) => Some(base),
                    _ => Some(Base::shown(row.hash, field.shown.clone())),
                };
            }
            *known = bases;
        }
    }

    /// The sides that still have to be told of this row.
    fn owed(&self, row: usize) -> Owed {
        let writes = self.decision.writes.iter().filter(|write| write.rows.iter().any(|change| change.row == row));
        let held = self.decision.held.iter().filter(|held| held.row == row && !reason::is_question(&held.reason));
        let sides = writes.map(|write| write.side).chain(held.map(|held| held.side));
        sides.fold(Owed::Nobody, Owed::and)
    }
}

/// What one side shows in a row about which nothing can be decided now: an edit is owed to the other side, and what the side made of what
/// we sent is known. What is owed to the side itself may be newer than that, and stays. The agreement is the former one, also of a row
/// that means something else by now (S12).
fn follow(bases: &mut RowBases, cell: &RowView, side: Side) {
    let shown = &cell.side(side).shown;
    let has_moved = |base: &&Base| base.values != *shown && shown.iter().all(Value::is_read);
    let Some(row_hash) = bases.side(side).as_ref().filter(has_moved).map(|base| base.row_hash) else { return };
    if cell.edited(side) {
        bases.owed = bases.owed.and(side.other());
    } else if is_on(Sabotage::ArrivalPaysDebts) {
        bases.owed = bases.owed.without(side);
    }
    *bases.side_mut(side) = Some(Base::shown(row_hash, shown.clone()));
}
