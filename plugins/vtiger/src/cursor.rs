//! Where a pull goes on, as a pure state machine: a scan by id, then walks through changes by `(modifiedtime, id)`.
//!
//! Three things make a change feed out of queries hard, and each has its answer here:
//!
//! - *`modifiedtime` counts whole seconds.* A second that was not over when its page was read can still get rows in
//!   front of the place where the walk stands. The next walk therefore starts at the first second that was read too
//!   early (`unsettled`). A page was read no earlier than its last row says, and than the clock that the CRM had told
//!   before it was asked.
//! - *A row becomes visible later than its time says*, when its transaction ends. Seconds that were read within
//!   [`OVERLAP_S`] of such a moment stay in `doubt`, and are read again once that time is over.
//! - *A page can be short, or empty, without being the last*: rows that the user may not read are dropped after
//!   `limit`, and an order that the CRM does not understand gives nothing at all. Only a count of what is left tells
//!   the end from a hole.
//!
//! Reading a row twice is harmless, as the host knows its version. All times are seconds of the CRM's clock in UTC.
//! Where an administrator has set the database to another zone, walks still go on behind the newest row that they saw,
//! never at the clock.

use crmsync_plugin::{Cursor, Fault};
use serde::{Deserialize, Serialize};

use crate::convert::timestamp;
use crate::vtql::{self, PAGE_ROWS};

/// Number of the cursor's format; raised when an old cursor cannot be read any more.
const FORMAT: u32 = 1;

/// How long a row may take from its `modifiedtime` until it can be read: the longest transaction, and differences
/// between clocks.
pub(crate) const OVERLAP_S: i64 = 60;

/// A place in a module's records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// In the first reading of all records.
    Scan(Scan),
    /// In the stream of changes.
    Changes(Changes),
}

/// What a page showed, as far as the place depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Number of rows.
    pub(crate) rows: u64,
    /// Time and id of the last row.
    pub(crate) last: Option<(i64, String)>,
    /// The CRM's clock when it answered.
    pub(crate) clock: i64,
}

/// What to do after a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// There may be more: go on at this place.
    Continue(Place),
    /// The page was empty where it should not be: count what is left before believing it.
    Confirm(Place),
    /// Nothing more now.
    End {
        /// Where the next pull starts.
        next: Place,
        /// A scan came to its end without a gap.
        complete: bool,
        /// Records in the module, if the CRM was asked.
        population: Option<u64>,
    },
}

impl Place {
    /// The contract's form.
    pub(crate) fn encode(&self) -> Cursor {
        // Plain data with text keys always has a JSON form; an empty one would only mean a new scan.
        Cursor { format: FORMAT, data: serde_json::to_vec(self).unwrap_or_default() }
    }

    /// Reads the contract's form.
    ///
    /// # Errors
    /// `cursor-expired` if another version wrote it.
    pub(crate) fn decode(cursor: &Cursor) -> Result<Place, Fault> {
        let place = (cursor.format == FORMAT).then(|| serde_json::from_slice(&cursor.data).ok());
        place.flatten().ok_or(Fault::CursorExpired)
    }
}

/// A reading of all records in the order of their ids. Ids only grow and are never used again, so no record can slip
/// behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scan {
    /// Where the changes start that this scan may have missed.
    from: i64,
    /// The CRM's clock in the last answer.
    clock: i64,
    /// Records in the module when the scan began.
    population: u64,
    /// Records seen.
    seen: u64,
    /// Id of the last record seen, "" at the beginning.
    after: String,
    /// Rows behind `after` that gave nothing because the user may not read them.
    skip: u64,
}

impl Scan {
    /// A scan that has not begun. `newest` is the largest `modifiedtime` of the module before, if it has a record.
    pub(crate) fn start(population: u64, newest: Option<i64>, clock: i64) -> Scan {
        let recent = clock - OVERLAP_S;
        let from = newest.map_or(recent, |newest| recent.min(newest + 1));
        Scan { from, clock, population, seen: 0, after: String::new(), skip: 0 }
    }

    /// Whether there is nothing to read at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.population == 0
    }

    /// Condition on the rows of the next page.
    pub(crate) fn condition(&self) -> String {
        vtql::after_id(&self.after)
    }

    /// Rows to skip in the next page.
    pub(crate) fn skip(&self) -> u64 {
        self.skip
    }

    /// Goes on after a page.
    pub(crate) fn advance(mut self, seen: Seen) -> Step {
        self.clock = seen.clock;
        self.seen += seen.rows;
        let Some((_, id)) = seen.last else { return Step::Confirm(Place::Scan(self)) };
        self.after = id;
        self.skip = 0;
        // All records that were there at the beginning have smaller ids than those made since, so that many rows are
        // all of them.
        if self.seen >= self.population {
            let population = self.population;
            return self.end(true, population);
        }
        Step::Continue(Place::Scan(self))
    }

    /// Goes on after an empty page. `rest` rows fulfil the condition of that page, `total` are in the module.
    /// `sees_all` says that no row is hidden from this user.
    ///
    /// # Errors
    /// `transient` if the CRM contradicts itself: asking again later continues here.
    pub(crate) fn confirm(mut self, rest: u64, total: u64, sees_all: bool) -> Result<Step, Fault> {
        if rest == 0 {
            let complete = !sees_all || self.seen >= total;
            return Ok(self.end(complete, total));
        }
        if sees_all {
            return Err(hole(rest));
        }
        self.skip += PAGE_ROWS;
        Ok(if self.skip < rest { Step::Continue(Place::Scan(self)) } else { self.end(true, total) })
    }

    /// The end of the scan: changes since its beginning come next.
    pub(crate) fn end(self, complete: bool, population: u64) -> Step {
        let next = Place::Changes(Changes::from(self.from, self.clock));
        Step::End { next, complete, population: Some(population) }
    }
}

/// A walk through the changes, and what is known for the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changes {
    /// First second of the walk.
    from: i64,
    /// The last row that the walk passed; none at its beginning.
    after: Option<(i64, String)>,
    /// Rows behind it that gave nothing because the user may not read them.
    skip: u64,
    /// The CRM's clock in the last answer.
    clock: i64,
    /// The first second that this walk read before it was over.
    unsettled: Option<i64>,
    /// Seconds that were read before every transaction in them had surely ended.
    doubt: Option<Doubt>,
}

/// Seconds to read again: every transaction that could still add to them ends within [`OVERLAP_S`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Doubt {
    /// The first second.
    from: i64,
    /// The CRM's clock when the doubt arose. Later doubts join it without moving it, so that a busy module cannot put
    /// it off.
    since: i64,
}

impl Changes {
    fn from(from: i64, clock: i64) -> Changes {
        Changes { from, after: None, skip: 0, clock, unsettled: None, doubt: None }
    }

    /// Takes the seconds in doubt into a walk that is about to begin, if they can be settled now.
    pub(crate) fn begin(mut self) -> Changes {
        let due = self.doubt.filter(|doubt| self.is_at_start() && self.clock >= doubt.since + OVERLAP_S);
        if let Some(doubt) = due {
            self.from = self.from.min(doubt.from);
            self.doubt = None;
        }
        self
    }

    /// Whether the walk has not passed any row yet.
    pub(crate) fn is_at_start(&self) -> bool {
        self.after.is_none() && self.skip == 0
    }

    /// Condition on the rows of the next page.
    pub(crate) fn condition(&self) -> String {
        match &self.after {
            Some((second, id)) => vtql::after_change(&timestamp(*second), id),
            None => vtql::since(&timestamp(self.from)),
        }
    }

    /// Rows to skip in the next page.
    pub(crate) fn skip(&self) -> u64 {
        self.skip
    }

    /// Goes on after a page. `sees_all` says that no row is hidden from this user.
    pub(crate) fn advance(mut self, seen: Seen, sees_all: bool) -> Step {
        let told_before = std::mem::replace(&mut self.clock, seen.clock);
        let Some((second, id)) = seen.last else {
            // An empty first page leaves the place where it is, so nothing can be lost by believing it.
            let believed = self.is_at_start() && sees_all;
            return if believed { self.end() } else { Step::Confirm(Place::Changes(self)) };
        };
        let full = seen.rows >= PAGE_ROWS;
        // The clock of the last pull is old. Asking for the first page of many once more, now that the clock is known,
        // settles it, and the whole walk need not be read again.
        if full && self.is_at_start() && told_before <= second && second < self.clock {
            return Step::Continue(Place::Changes(self));
        }
        self.note(second, told_before);
        self.after = Some((second, id));
        self.skip = 0;
        if full || !sees_all { Step::Continue(Place::Changes(self)) } else { self.end() }
    }

    /// Goes on after an empty page behind which `rest` rows fulfil its condition.
    ///
    /// # Errors
    /// `transient` if the CRM contradicts itself: asking again later continues here.
    pub(crate) fn confirm(mut self, rest: u64, sees_all: bool) -> Result<Step, Fault> {
        if rest == 0 {
            return Ok(self.end());
        }
        if sees_all {
            return Err(hole(rest));
        }
        self.skip += PAGE_ROWS;
        Ok(if self.skip < rest { Step::Continue(Place::Changes(self)) } else { self.end() })
    }

    /// The end of the walk. The next one starts behind the newest second seen, or at the first that was read too early.
    pub(crate) fn end(self) -> Step {
        let behind_newest = self.after.as_ref().map_or(self.from, |(second, _)| second + 1);
        let from = self.unsettled.map_or(behind_newest, |unsettled| unsettled.min(behind_newest));
        let next = Changes { doubt: self.doubt, ..Changes::from(from, self.clock) };
        Step::End { next: Place::Changes(next), complete: false, population: None }
    }

    /// Keeps in mind that a page up to this second was asked for when the CRM's clock had told `told_before`.
    fn note(&mut self, second: i64, told_before: i64) {
        let read_at = second.max(told_before);
        if read_at == second {
            self.unsettled = Some(self.unsettled.map_or(second, |known| known.min(second)));
        }
        if read_at - OVERLAP_S <= second {
            let from = read_at - OVERLAP_S;
            let doubt = self.doubt.get_or_insert(Doubt { from, since: self.clock });
            doubt.from = doubt.from.min(from);
        }
    }
}

fn hole(rest: u64) -> Fault {
    Fault::Transient(format!("the CRM gave an empty page although it counts {rest} more records"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(rows: u64, second: i64, id: &str, clock: i64) -> Seen {
        Seen { rows, last: Some((second, id.to_owned())), clock }
    }

    fn nothing(clock: i64) -> Seen {
        Seen { rows: 0, last: None, clock }
    }

    fn changes(step: Step) -> Changes {
        match step {
            Step::Continue(Place::Changes(next)) | Step::Confirm(Place::Changes(next)) => next,
            Step::End { next: Place::Changes(next), .. } => next,
            other => panic!("not in the changes: {other:?}"),
        }
    }

    fn scan(step: Step) -> Scan {
        match step {
            Step::Continue(Place::Scan(next)) | Step::Confirm(Place::Scan(next)) => next,
            other => panic!("not in the scan: {other:?}"),
        }
    }

    #[test]
    fn a_scan_ends_when_all_are_seen() {
        let begun = scan(Scan::start(250, Some(500), 10_000).advance(seen(100, 0, "12x100", 10_001)));
        assert_eq!(begun.condition(), "id > '12x100'");
        let more = scan(begun.advance(seen(100, 0, "12x200", 10_002)));
        let Step::End { next, complete: true, population: Some(250) } = more.advance(seen(50, 0, "12x250", 10_003))
        else {
            panic!("the scan has an end");
        };
        assert_eq!(next, Place::Changes(Changes::from(501, 10_003)), "behind the newest row before the scan");
        assert!(Scan::start(0, None, 0).is_empty());
    }

    #[test]
    fn a_scan_takes_recent_changes_again() {
        assert_eq!(Scan::start(1, Some(9_990), 10_000).from, 10_000 - OVERLAP_S);
        assert_eq!(Scan::start(0, None, 10_000).from, 10_000 - OVERLAP_S);
        assert_eq!(Scan::start(1, Some(5_000), 1_000_000).from, 5_001, "a database in a zone behind UTC");
    }

    #[test]
    fn an_empty_page_is_believed_after_a_count_only() {
        let at = |population: u64| scan(Scan::start(population, None, 0).advance(seen(90, 0, "12x90", 1)));
        let asked = |population: u64| scan(at(population).advance(nothing(2)));
        let end = |step: Result<Step, Fault>| match step.expect("an end") {
            Step::End { complete, population, .. } => (complete, population),
            other => panic!("not an end: {other:?}"),
        };
        assert_eq!(end(asked(100).confirm(0, 90, true)), (true, Some(90)), "ten were deleted meanwhile");
        assert_eq!(end(asked(100).confirm(0, 100, true)), (false, Some(100)), "a gap");
        assert_eq!(end(asked(100).confirm(0, 100, false)), (true, Some(100)), "hidden rows");
        assert!(matches!(asked(100).confirm(10, 100, true), Err(Fault::Transient(_))));
        assert_eq!(end(asked(100).confirm(10, 100, false)), (true, Some(100)));
        let behind = scan(asked(1_000).confirm(150, 1_000, false).expect("more behind the hidden rows"));
        assert_eq!((behind.skip(), behind.condition().as_str()), (100, "id > '12x90'"));
        assert_eq!(scan(behind.advance(seen(1, 0, "12x300", 3))).skip(), 0);
    }

    #[test]
    fn nothing_new_is_one_page_and_moves_nothing() {
        let start = Changes::from(500, 1_000);
        let next = changes(start.clone().begin().advance(nothing(1_300), true));
        assert_eq!(next, Changes::from(500, 1_300));
        assert!(matches!(start.advance(nothing(1_300), false), Step::Confirm(_)), "rows may be hidden");
    }

    #[test]
    fn a_second_that_was_not_over_is_read_again() {
        let next = changes(Changes::from(500, 1_000).advance(seen(3, 1_200, "12x7", 1_300), true));
        assert_eq!(
            next.condition(),
            vtql::since(&timestamp(1_200)),
            "the clock told before the page was older than its row"
        );
        let again = changes(next.begin().advance(seen(1, 1_200, "12x7", 1_600), true));
        assert_eq!(again.condition(), vtql::since(&timestamp(1_201)), "now it is over");
    }

    #[test]
    fn recent_seconds_are_read_once_more_later() {
        let next = changes(Changes::from(500, 1_000).advance(seen(3, 1_020, "12x7", 1_021), true));
        let soon = changes(next.begin().advance(seen(1, 1_020, "12x7", 1_040), true));
        assert_eq!(soon.clone().begin().condition(), vtql::since(&timestamp(1_021)), "not yet");
        let later = changes(soon.begin().advance(nothing(1_100), true)).begin();
        assert_eq!(later.condition(), vtql::since(&timestamp(1_020 - OVERLAP_S)));
        let settled = changes(later.advance(seen(3, 1_020, "12x7", 1_400), true));
        assert_eq!(settled, Changes::from(1_021, 1_400));
    }

    #[test]
    fn many_changes_are_walked_by_key() {
        let first = changes(Changes::from(500, 1_000).advance(seen(100, 1_050, "12x100", 1_300), true));
        assert!(first.is_at_start(), "the first page is asked for again with a fresh clock");
        let first = changes(first.advance(seen(100, 1_050, "12x100", 1_301), true));
        assert_eq!(first.condition(), vtql::after_change(&timestamp(1_050), "12x100"));
        let last = changes(first.advance(nothing(1_302), true));
        assert!(matches!(last.clone().confirm(7, true), Err(Fault::Transient(_))));
        let next = changes(last.confirm(0, true).expect("an end"));
        assert_eq!(next, Changes::from(1_051, 1_302), "settled at once");
    }

    #[test]
    fn cursors_come_back_or_expire() {
        let place = Place::Changes(changes(Changes::from(500, 1_000).advance(seen(100, 1_000, "12x7", 1_000), true)));
        assert_eq!(Place::decode(&place.encode()), Ok(place.clone()));
        let newer = Cursor { format: FORMAT + 1, ..place.encode() };
        assert_eq!(Place::decode(&newer), Err(Fault::CursorExpired));
        assert_eq!(Place::decode(&Cursor { format: FORMAT, data: b"{}".to_vec() }), Err(Fault::CursorExpired));
    }
}
