//! Where a pull goes on, as a pure state machine: a scan by id, then walks through changes by `(modifiedtime, id)`.
//!
//! Four things make a change feed out of queries hard, and each has its answer here:
//!
//! - *Nobody tells the zone of `modifiedtime`.* It is the database's, UTC or not, and the `Date` header is in UTC. So a
//!   row's time is never compared with the clock: row times are compared with row times, and of the CRM's clock only
//!   differences count. A row of a second says that the database's clock had reached that second when the CRM answered.
//! - *A row becomes visible later than its time says*: when its transaction ends, or because its second was not over.
//!   What was read of the last seconds stays in [`Doubt`], and is read again when the CRM's clock has advanced far enough
//!   for nothing more to appear there.
//! - *The database's clock is set back at the end of daylight saving time*, if its zone has that. It is the same doubt
//!   with an hour more to wait: what is written in the repeated hour comes up to two hours late, but it comes.
//! - *A page can be short, or empty, without being the last*: rows that the user may not read are dropped after
//!   `limit`, and an order that the CRM does not understand gives nothing at all. Only a count of what is left tells
//!   the end from a hole.
//!
//! Reading a row twice is harmless, as the host knows its version. A pull without news is one query, once the doubts are
//! settled. Row times are seconds since 1970 as if the database's zone were UTC.
//!
//! Pages of one walk may come from queries or from the operation `sync` ([`crate::sync`]), in any order: the place is the
//! same. A page of `sync` ends with a whole second, and the next one starts behind it, so `sync` is asked from the second
//! before the one where a query would start. What `sync` alone has read stays unproven until it shows a record of
//! somebody else; a query that takes over starts there.
//!
//! Not covered: a database that is moved to a zone further west while the connector is in use (more than an hour back).
//! A new scan finds what such a move hides.

use crmsync_plugin::{Cursor, Fault};
use serde::{Deserialize, Serialize};

use crate::convert::timestamp;
use crate::schema::prefix_of;
use crate::vtql::{self, PAGE_ROWS};

/// Number of the cursor's format; raised when an old cursor cannot be read any more.
const FORMAT: u32 = 2;

/// How long a row may take from its `modifiedtime` until it can be read: the longest transaction, the longest request,
/// and differences between the clocks of one installation.
pub(crate) const OVERLAP_S: i64 = 60;

/// For each kind of doubt how far behind its newest row a write may still appear: late transactions; and those in the
/// hour that the end of daylight saving time repeats.
const LATE_S: [i64; 2] = [OVERLAP_S, OVERLAP_S + 3_600];

/// Records to look for that a cursor keeps: far less than a cursor may hold.
const GONE_MAX: usize = 500;

/// Both clocks show whole seconds, so a second is over at the latest two of them after it was seen.
const ROUNDING_S: i64 = 2;

/// The farthest second from 1970 in a cursor: a thousand times as far as any clock goes.
const SECONDS_MAX: u64 = 1 << 45;

/// Most rows in a cursor: more than any module has.
const COUNT_MAX: u64 = 1 << 45;

fn is_second(second: &i64) -> bool {
    second.unsigned_abs() <= SECONDS_MAX
}

fn is_id(text: &str) -> bool {
    prefix_of(text).is_some()
}

fn is_count(count: &u64) -> bool {
    *count <= COUNT_MAX
}

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
    /// There may be more behind it.
    pub(crate) more: bool,
    /// All rows of the last row's second were there, as they are in a page of `sync`.
    pub(crate) whole: bool,
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
    /// Whether records have to be looked for before a walk is really over.
    pub(crate) fn has_gone(&self) -> bool {
        matches!(self, Place::Changes(changes) if !changes.gone.is_empty())
    }

    /// The contract's form.
    pub(crate) fn encode(&self) -> Cursor {
        // Plain data with text keys always has a JSON form; an empty one would only mean a new scan.
        Cursor { format: FORMAT, data: serde_json::to_vec(self).unwrap_or_default() }
    }

    /// Reads the contract's form.
    ///
    /// # Errors
    /// `cursor-expired` if another version wrote it, or nobody did.
    pub(crate) fn decode(cursor: &Cursor) -> Result<Place, Fault> {
        let place = (cursor.format == FORMAT).then(|| serde_json::from_slice(&cursor.data).ok());
        place.flatten().filter(Place::is_plausible).ok_or(Fault::CursorExpired)
    }

    /// Whether all its numbers are some that a walk can come to: sums of them stay numbers.
    fn is_plausible(&self) -> bool {
        match self {
            Place::Scan(Scan { newest, clock, population, seen, after, skip }) => {
                let mut seconds = newest.iter().flat_map(|(newest, since)| [newest, since]).chain([clock]);
                let counts = [population, seen, skip];
                seconds.all(is_second) && counts.into_iter().all(is_count) && (after.is_empty() || is_id(after))
            }
            Place::Changes(Changes { from, after, skip, clock, began, settles, doubts, unproven, gone, .. }) => {
                let doubts = doubts.iter().flatten().flat_map(|doubt| [&doubt.from, &doubt.upto, &doubt.since]);
                // An empty id would be an empty literal, at which the CRM stumbles each time.
                let ids_are_ids =
                    after.iter().map(|(_, id)| id).chain(gone).all(|id| is_id(id)) && gone.len() <= GONE_MAX;
                let after = after.iter().map(|(second, _)| second);
                let others = [from, clock].into_iter().chain(began).chain(unproven).chain(settles.iter().flatten());
                doubts.chain(after).chain(others).all(is_second) && is_count(skip) && ids_are_ids
            }
        }
    }
}

/// A reading of all records in the order of their ids. Ids only grow and are never used again, so no record can slip
/// behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scan {
    /// The newest second before the scan, and the CRM's clock when it was seen; none if the module showed no row.
    newest: Option<(i64, i64)>,
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
    /// A scan that has not begun. `newest` is a recent `modifiedtime` that the module had when the CRM's clock was
    /// `clock`, the largest if the user may see it.
    pub(crate) fn start(population: u64, newest: Option<i64>, clock: i64) -> Scan {
        let newest = newest.map(|second| (second, clock));
        Scan { newest, clock, population, seen: 0, after: String::new(), skip: 0 }
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
        let next = match self.newest {
            // Whatever the scan may have missed was written since: in the newest second or later, but for what comes late.
            Some((newest, since)) => Changes {
                doubts: LATE_S.map(|late| Some(Doubt { from: newest - late, upto: newest, since })),
                ..Changes::from(newest, self.clock)
            },
            // Nothing tells what time it is in the database.
            None => Changes::from(0, self.clock),
        };
        Step::End { next: Place::Changes(next), complete, population: Some(population) }
    }
}

/// A walk through the changes, and what is known for the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changes {
    /// First second of the walk. Earlier ones are final, but for the doubts.
    from: i64,
    /// The last row that the walk passed; none at its beginning.
    after: Option<(i64, String)>,
    /// Rows behind it that gave nothing because the user may not read them.
    skip: u64,
    /// The CRM's clock in the last answer.
    clock: i64,
    /// The CRM's clock in the walk's first answer with rows.
    began: Option<i64>,
    /// For each kind of doubt, the last second that this walk reads for good.
    settles: [Option<i64>; 2],
    /// What is to be read once more, for each kind of doubt.
    doubts: [Option<Doubt>; 2],
    /// Everything of the second in `after` was read, not only up to its id.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    whole: bool,
    /// First second of what only `sync` has read since it last showed a record of somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unproven: Option<i64>,
    /// Records that `sync` listed as deleted, of which it has to be found out what became of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    gone: Vec<String>,
    /// They are all that is left of a walk that has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    ended: bool,
}

/// Seconds that were read before everything in them had surely become visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Doubt {
    /// The first second.
    from: i64,
    /// The last one, which the database's clock had reached…
    upto: i64,
    /// … when the CRM's clock was this. Later doubts join without moving it, so that a busy module cannot put it off.
    since: i64,
}

impl Changes {
    fn from(from: i64, clock: i64) -> Changes {
        Changes {
            from,
            after: None,
            skip: 0,
            clock,
            began: None,
            settles: [None; 2],
            doubts: [None; 2],
            whole: false,
            unproven: None,
            gone: Vec::new(),
            ended: false,
        }
    }

    /// Takes the seconds in doubt into a walk that is about to begin, if it can settle them: if the CRM's clock has
    /// advanced so far since that nothing more can appear in them.
    pub(crate) fn begin(mut self) -> Changes {
        if !self.is_at_start() {
            return self;
        }
        for (kind, late) in LATE_S.into_iter().enumerate() {
            let due = self.doubts[kind].filter(|doubt| self.clock >= doubt.since + late + ROUNDING_S);
            if let Some(doubt) = due {
                self.from = self.from.min(doubt.from);
                self.settles[kind] = Some(doubt.upto);
                self.doubts[kind] = None;
            }
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

    /// The second behind which `sync` has to start for the next page; none if it knows no such second. `sync` leaves out
    /// the second that it is given, so it is given the one before.
    pub(crate) fn behind(&self) -> Option<i64> {
        let second = match self.after {
            Some((second, _)) if self.whole => second,
            Some((second, _)) => second - 1,
            None => self.from - 1,
        };
        Some(second).filter(|second| *second > 0)
    }

    /// The place before a page of `sync` is taken in. `proven` says that the page shows records of others than this user.
    pub(crate) fn by_sync(mut self, proven: bool) -> Changes {
        self.unproven = (!proven).then(|| self.unproven.map_or(self.from, |second| second.min(self.from)));
        self
    }

    /// The place for a query: it reads again what only `sync` has read, if nothing has shown since that `sync` listed
    /// everything.
    pub(crate) fn by_query(self) -> Changes {
        match self.unproven {
            Some(second) => {
                let from = self.from.min(second);
                Changes { from, after: None, skip: 0, whole: false, unproven: None, ..self }
            }
            None => self,
        }
    }

    /// Keeps records to look for, at most [`GONE_MAX`]: what is more is left to the host's own search.
    pub(crate) fn look_for(&mut self, gone: Vec<String>) {
        for id in gone {
            if self.gone.len() < GONE_MAX && !self.gone.contains(&id) {
                self.gone.push(id);
            }
        }
    }

    /// Takes out some of the records to look for.
    pub(crate) fn take_gone(&mut self, most: usize) -> Vec<String> {
        self.gone.drain(..self.gone.len().min(most)).collect()
    }

    /// Goes on after records were looked for.
    pub(crate) fn looked(self) -> Step {
        if !self.ended || !self.gone.is_empty() {
            return Step::Continue(Place::Changes(self));
        }
        Step::End { next: Place::Changes(Changes { ended: false, ..self }), complete: false, population: None }
    }

    /// Goes on after a page. `sees_all` says that no row is hidden from this user.
    pub(crate) fn advance(mut self, seen: Seen, sees_all: bool) -> Step {
        self.clock = seen.clock;
        let Some((second, id)) = seen.last else {
            // An empty first page leaves the place where it is, so nothing can be lost by believing it.
            let believed = self.is_at_start() && sees_all;
            return if believed { self.end() } else { Step::Confirm(Place::Changes(self)) };
        };
        let full = seen.more;
        if full && self.is_at_start() {
            // Many rows. If the clock that is known now lets a doubt be settled, one walk does both.
            let begun = self.clone().begin();
            if begun != self {
                return Step::Continue(Place::Changes(begun));
            }
            // A second with so many rows that it fills the page was read before: it will be read again when that
            // settles it.
            let [doubt, _] = self.doubts;
            if second == self.from && doubt.is_some_and(|doubt| (doubt.from..=doubt.upto).contains(&second)) {
                return Step::Continue(Place::Changes(Changes { from: second + 1, ..self }));
            }
        }
        self.began.get_or_insert(seen.clock);
        self.after = Some((second, id));
        self.whole = seen.whole;
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

    /// The end of a walk that found nothing to read, when the CRM's clock was this.
    pub(crate) fn nothing(self, clock: i64) -> Step {
        Changes { clock, ..self }.end()
    }

    /// The end of the walk. The next one starts behind the newest second seen, or with it as long as it is in doubt.
    fn end(self) -> Step {
        let mut next = Changes {
            doubts: self.doubts,
            unproven: self.unproven,
            ended: !self.gone.is_empty(),
            gone: self.gone.clone(),
            ..Changes::from(self.from, self.clock)
        };
        if let Some((newest, _)) = self.after {
            for (kind, late) in LATE_S.into_iter().enumerate() {
                next.doubts[kind] = self.doubts[kind].or_else(|| self.doubt(newest, kind, late));
            }
            let [doubt, _] = next.doubts;
            next.from = if doubt.is_some() { newest } else { newest + 1 };
        }
        Step::End { next: Place::Changes(next), complete: false, population: None }
    }

    /// What this walk leaves in doubt. Its first pages were read when the database's clock was behind the newest row by
    /// as much as the walk took.
    fn doubt(&self, newest: i64, kind: usize, late: i64) -> Option<Doubt> {
        let walked = self.clock - self.began.unwrap_or(self.clock);
        // What waited for the longer time is settled for the shorter one too.
        let settled = self.settles[kind..].iter().flatten().max().map_or(i64::MIN, |second| second + 1);
        let from = (newest - late - walked.max(0)).max(self.from).max(settled);
        (from <= newest).then_some(Doubt { from, upto: newest, since: self.clock })
    }
}

fn hole(rest: u64) -> Fault {
    Fault::Transient(format!("the CRM gave an empty page although it counts {rest} more records"))
}

#[cfg(test)]
mod tests;
