//! Changes of a module, a page at a time.
//!
//! Zoho lists records in the order of `Modified_Time`, from a time on (inclusive). So a place in the stream is a second: after each
//! page the walk goes on at the second of its last record, reading that second again. A record that changes moves towards the end of
//! the list and is met there, and nothing is skipped. Page tokens are needed only when one second has more records than a page. A token
//! is bound to its call, ends after a day and reaches no further than 100,000 records, so no place in the stream relies on one longer
//! than it must. Zoho does not say whether a token stands for a record or for a number of them. If for a number, a record that leaves the
//! second while it is listed, because it was changed or deleted, pulls another one over the border between two pages, where nobody sees
//! it. So such a second is listed again until two passes show equally many records: then none has left during the second of them.
//!
//! A change can become visible later than the time that it bears, and a second that is not over gets more changes. So what is read is
//! settled only up to [`MARGIN_MS`] before the reading: a finished walk is taken up again where it began to be unsettled. What changed
//! there comes twice, which is harmless, because versions tell that it is the same.
//!
//! A full scan is the same walk from the beginning of time. Deletes come from the list of deleted records, which is read when the walk
//! has come to its end, from the time at which the scan began. A pull without news costs two requests.

use std::collections::HashSet;

use crmsync_plugin::egress::Answer;
use crmsync_plugin::facts::Facts;
use crmsync_plugin::rows::{self, Row, Rows};
use crmsync_plugin::{Cell, Cursor, Fault, Kind, Page, Removal, time, warning};

use crate::cursor::{BigSecond, DeletedWalk, Place};
use crate::metadata;
use crate::read::{Asked, modified_micros};
use crate::schema::Schema;
use crate::wire::{self, ListInfo, PAGE_RECORDS_MAX};

/// How long a change may take to become visible, in milliseconds.
pub(crate) const MARGIN_MS: i64 = 60_000;
/// Most passes over a second with more records than a page. Whoever changes records of one second so often meets them again there.
const PASSES_MAX: u32 = 8;
/// How far the host's clock may be ahead of Zoho's, in milliseconds, where an answer does not tell Zoho's.
const SKEW_MS: i64 = 60_000;

/// At most one page of changes after the cursor.
pub(crate) fn pull(module: &str, fields: &[String], after: Option<Cursor>) -> Result<Page, Fault> {
    wire::check_module(module)?;
    let mut place = match &after {
        Some(cursor) => Place::of(cursor)?,
        None => Place { scanning: true, ..Place::default() },
    };
    let asked = asked(module, fields, &mut place)?;
    let mut listed = Listed::default();
    if place.walk.is_none() {
        listed = list(module, &asked, &mut place)?;
    }
    let mut removed = asked.converted(&listed.rows);
    if let Some(walk) = place.walk.clone() {
        let deleted = list_deleted(module, &mut place, &walk)?;
        let is_converted = |id: &str| removed.iter().any(|lead| lead.id == id);
        let deleted: Vec<Removal> = deleted.into_iter().filter(|gone| !is_converted(&gone.id)).collect();
        removed.extend(deleted);
    }
    let more = listed.more || place.walk.is_some();
    let complete = place.scanning && !more;
    let mut population = None;
    if complete {
        population = metadata::count(module)?;
        place.scanning = false;
    }
    // The list of deleted records was read later, so its word counts.
    let gone = removed.iter().map(|removal: &Removal| removal.id.clone()).collect();
    let live = asked.snapshot(module, &listed.rows, &gone)?;
    if listed.mismatches > 0 {
        // A field may have another type than it had: ask anew next time.
        warning!("{} values of `{module}` do not have the type that its metadata names", listed.mismatches);
        place.shapes.clear();
        Schema::forget(module);
    }
    Ok(Page { live, removed, next: place.into_cursor()?, more, complete, population })
}

/// The fields to read, by the shapes in the cursor if it has them all, and those shapes into the cursor.
fn asked(module: &str, fields: &[String], place: &mut Place) -> Result<Asked, Fault> {
    if !fields.iter().all(|field| place.shapes.contains_key(field)) {
        place.shapes = Schema::of_fields(module, fields)?.only(fields);
    }
    Ok(Asked::new(fields, &place.shapes)?.of(module))
}

/// One page of the list.
#[derive(Default)]
struct Listed {
    rows: Rows,
    mismatches: u32,
    /// The list goes on.
    more: bool,
}

/// Lists records from the place on and moves the place behind them. At the end of the list it starts a walk through the deleted records.
fn list(module: &str, asked: &Asked, place: &mut Place) -> Result<Listed, Fault> {
    let answer = send_list(module, asked, place)?;
    let settled_ms = clock_ms(&answer) - MARGIN_MS;
    if place.scanning && place.since_ms.is_none() && place.deleted_since_ms == 0 {
        place.deleted_since_ms = settled_ms;
    }
    let (rows, mismatches) = asked.first_rows(&answer)?;
    let info = wire::value::<ListInfo>(&answer, "/info")?.unwrap_or_default();
    let last_ms = last_modified_ms(&rows)?;
    if last_ms > Some(settled_ms) {
        place.unsettled_since_ms =
            Some(place.unsettled_since_ms.map_or(settled_ms, |since_ms| since_ms.min(settled_ms)));
    }
    let second_ends = !info.more_records || last_ms > place.since_ms;
    if second_ends && let (Some(ended), Some(since_ms)) = (place.big.take(), place.since_ms) {
        let by_token = place.page_token.take().is_some();
        place.big = next_pass(module, ended, rows_of_second(&rows, place.since_ms));
        if place.big.is_none() && by_token {
            // What follows the second may have been pulled over the border too, so it is listed anew.
            place.since_ms = Some(since_ms + 1_000);
        }
        if place.big.is_some() || by_token {
            return Ok(Listed { rows, mismatches, more: true });
        }
    }
    if !info.more_records {
        place.since_ms = place.unsettled_since_ms.take().or(Some(settled_ms));
        place.page_token = None;
        place.walk = Some(DeletedWalk { page: 1, then_since_ms: settled_ms, last_ms: None });
    } else if last_ms > place.since_ms {
        place.since_ms = last_ms;
        place.page_token = None;
    } else {
        // The whole page is of the second that the walk is at.
        place.big.get_or_insert_default().shown += rows.len() as u32;
        place.page_token = info.next_page_token;
        if place.page_token.is_none() {
            return Err(Fault::Transient("Zoho says that there is more, but not where".to_owned()));
        }
    }
    Ok(Listed { rows, mismatches, more: info.more_records })
}

/// The next pass over a second whose pass has ended with so many of its records; none if that pass has surely shown them all.
fn next_pass(module: &str, ended: BigSecond, shown: u32) -> Option<BigSecond> {
    let BigSecond { shown: before, passes, .. } = BigSecond { shown: ended.shown + shown, ..ended };
    if ended.before == Some(before) {
        return None;
    }
    if passes + 1 >= PASSES_MAX {
        warning!(
            "records of one second of `{module}` kept changing while they were listed; one of them may be missing"
        );
        return None;
    }
    Some(BigSecond { shown: 0, before: Some(before), passes: passes + 1 })
}

fn send_list(module: &str, asked: &Asked, place: &mut Place) -> Result<Answer, Fault> {
    let since_ms = place.since_ms;
    let request = |token: Option<&str>| {
        let mut request = wire::get(module)
            .query("fields", asked.first_fields())
            .query("per_page", asked.page_records().to_string())
            .query("sort_by", wire::MODIFIED_TIME)
            .query("sort_order", "asc");
        if let Some(token) = token {
            request = request.query("page_token", token);
        }
        request = asked.with_converted(request);
        match since_ms {
            Some(since_ms) => request.header("if-modified-since", time::format_instant(since_ms * 1_000)),
            None => request,
        }
    };
    match wire::read(request(place.page_token.as_deref())) {
        // The token has ended or is bound to other fields: the second is listed from its beginning.
        Err(Fault::CursorExpired | Fault::Other(_)) if place.page_token.is_some() => {
            if let Some(big) = &mut place.big {
                big.shown = 0;
            }
            wire::read(request(None))
        }
        answer => answer,
    }
}

/// How many of a page's records are of the second that the walk is at.
fn rows_of_second(rows: &Rows, since_ms: Option<i64>) -> u32 {
    let is_of_it = |row: &Row<'_>| modified_micros(*row).is_ok_and(|micros| Some(micros / 1_000) == since_ms);
    rows.iter().filter(is_of_it).count() as u32
}

/// When the last record of the page was changed, after making sure that the page is in order: if it were not, going on at its end
/// would skip records.
fn last_modified_ms(rows: &Rows) -> Result<Option<i64>, Fault> {
    let mut last = None;
    for row in rows.iter() {
        let modified = Some(modified_micros(row)? / 1_000);
        if modified < last {
            return Err(Fault::other("unexpected-order", "Zoho's list is not in the order of its change times"));
        }
        last = modified;
    }
    Ok(last)
}

/// Lists one page of deleted records and moves the place behind it.
fn list_deleted(module: &str, place: &mut Place, walk: &DeletedWalk) -> Result<Vec<Removal>, Fault> {
    let request = wire::get(&format!("{module}/deleted"))
        .query("type", "all")
        .query("page", walk.page.to_string())
        .query("per_page", PAGE_RECORDS_MAX.to_string())
        .header("if-modified-since", time::format_instant(place.deleted_since_ms * 1_000));
    let answer = match wire::read(request) {
        Err(Fault::Other((code, _))) if walk.page > 1 && code == "DISCRETE_PAGINATION_LIMIT_EXCEEDED" => {
            place.walk = match walk.last_ms.filter(|last_ms| *last_ms > place.deleted_since_ms) {
                // Everything before has been read, so a walk from there gets further.
                Some(last_ms) => {
                    place.deleted_since_ms = last_ms;
                    Some(DeletedWalk { page: 1, ..*walk })
                }
                // Zoho shows no more of them. What was not read is not passed over; a new scan is the way out.
                None => {
                    warning!("more records of `{module}` were deleted at once than Zoho lists; some will be missed");
                    None
                }
            };
            return Ok(Vec::new());
        }
        answer => answer?,
    };
    let columns = [("id", Kind::Text), ("deleted_time", Kind::Instant)];
    let (rows, _) = answer.records("/data", columns.map(|(name, kind)| rows::column(name, kind)).to_vec())?;
    let info = wire::value::<ListInfo>(&answer, "/info")?.unwrap_or_default();
    if info.more_records {
        let after = if walk.page == 1 { Some(place.deleted_since_ms) } else { walk.last_ms };
        place.walk = Some(DeletedWalk { page: walk.page + 1, last_ms: last_deleted_ms(&rows, after), ..*walk });
    } else {
        place.deleted_since_ms = walk.then_since_ms;
        place.walk = None;
    }
    let mut seen = HashSet::new();
    let ids = rows.iter().map(|row| row.text(0)).filter(|id| seen.insert(*id));
    Ok(ids.map(|id| Removal { id: id.to_owned(), reason: "deleted".to_owned(), into: String::new() }).collect())
}

/// When the last record of a page was deleted, if the records come in the order of those times, and behind those before; none if not.
fn last_deleted_ms(rows: &Rows, after_ms: Option<i64>) -> Option<i64> {
    rows.iter().try_fold(after_ms?, |last_ms, row| match row.cell(1) {
        Cell::Instant(micros) => Some(micros / 1_000).filter(|at_ms| *at_ms >= last_ms),
        _ => None,
    })
}

/// Zoho's clock, or a time that it has certainly passed.
fn clock_ms(answer: &Answer) -> i64 {
    wire::server_clock_ms(answer).unwrap_or_else(|| Facts::of_call().now_ms() - SKEW_MS)
}
