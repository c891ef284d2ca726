//! One page of a scan or of the changes. The decisions are [`crate::cursor`]'s; here they meet the network.

use crmsync_plugin::egress::send_all;
use crmsync_plugin::rows::Rows;
use crmsync_plugin::{Cursor, Fault, Kind, Page, Removal, rows};

use crate::cursor::{Changes, Place, Scan, Seen, Step};
use crate::login::Login;
use crate::reader::{self, Reader};
use crate::sync::{self, Said};
use crate::vtql::{self, BY_CHANGE, BY_ID, PAGE_ROWS};
use crate::wire;

/// Records that are looked for in one call: leads take one request each and some for all.
const GONE_AT_ONCE: usize = 3;

/// At most one page after the cursor. One request as a rule: a query, or `sync` for changes where it lists everything. Two
/// more at the beginning of a scan, two where a page was empty, and some once a day to find out what `sync` is good for.
///
/// # Errors
/// `cursor-expired` for a cursor of another version; what the CRM's refusal means.
pub(crate) fn pull(module: &str, fields: &[String], after: Option<Cursor>) -> Result<Page, Fault> {
    let place = after.as_ref().map(Place::decode).transpose()?;
    Reader::with(module, fields, None, |reader| match place.clone() {
        None => begin_scan(reader),
        Some(Place::Scan(scan)) => scan_page(reader, scan),
        Some(Place::Changes(changes)) => changes_page(reader, changes),
    })
}

/// Before the first page: where changes start, and how many records the scan has to bring.
fn begin_scan(reader: &Reader) -> Result<Page, Fault> {
    let module = reader.module();
    let mut answers =
        send_all(vec![wire::query(vtql::count(module, "")), wire::query(vtql::newest(module))]).into_iter();
    let mut next = || answers.next().unwrap_or_else(|| Err(Fault::Transient("the host gave no answer".to_owned())));
    let (counted, newest) = (next()?, next()?);
    let population = wire::count(&counted)?;
    let columns = [rows::column("id", Kind::Text), rows::column("modifiedtime", Kind::Text)];
    // Both were asked side by side: the later clock is one that the newest row was there for.
    let clock = Login::now().clock(&counted).max(Login::now().clock(&newest));
    let scan = Scan::start(population, reader::newest(&wire::rows(&newest, &columns)?), clock);
    if scan.is_empty() {
        return Ok(page(reader, None, Vec::new(), scan.end(true, 0)));
    }
    scan_page(reader, scan)
}

fn scan_page(reader: &Reader, scan: Scan) -> Result<Page, Fault> {
    let condition = scan.condition();
    let (rows, seen) = ask(reader, &condition, BY_ID, scan.skip())?;
    let step = match scan.advance(seen) {
        Step::Confirm(Place::Scan(scan)) => {
            let ([rest, total], _) = counts(reader, [&condition, ""])?;
            scan.confirm(rest, total, Login::now().sees_all())?
        }
        step => step,
    };
    Ok(page(reader, Some(&rows), Vec::new(), step))
}

fn changes_page(reader: &Reader, mut changes: Changes) -> Result<Page, Fault> {
    let gone = changes.take_gone(GONE_AT_ONCE);
    if !gone.is_empty() {
        let removed = sync::look_for(reader.module(), &gone)?;
        return Ok(page(reader, None, removed, changes.looked()));
    }
    let changes = changes.begin();
    match sync::ask(reader, &changes)? {
        Said::Page(listed) => {
            let mut changes = changes.by_sync(listed.proven);
            changes.look_for(listed.gone);
            // An administrator sees all, and others are not given such a page.
            let step = changes.advance(listed.seen, true);
            Ok(page(reader, Some(&listed.rows), listed.removed, step))
        }
        Said::Nothing => queried_page(reader, changes.by_query()),
        Said::NothingYet => Ok(page(reader, None, Vec::new(), Step::Continue(Place::Changes(changes.by_query())))),
    }
}

fn queried_page(reader: &Reader, changes: Changes) -> Result<Page, Fault> {
    let condition = changes.condition();
    // Where rows may be hidden, an empty page says nothing, so the count comes first: no change is one request all the
    // same.
    if changes.is_at_start() && !Login::now().sees_all() {
        let ([rest], clock) = counts(reader, [&condition])?;
        if rest == 0 {
            return Ok(page(reader, None, Vec::new(), changes.nothing(clock)));
        }
    }
    let (rows, seen) = ask(reader, &condition, BY_CHANGE, changes.skip())?;
    let sees_all = Login::now().sees_all();
    let step = match changes.advance(seen, sees_all) {
        Step::Confirm(Place::Changes(changes)) => {
            let ([rest], _) = counts(reader, [&condition])?;
            changes.confirm(rest, sees_all)?
        }
        step => step,
    };
    // Queries show no deleted records: the host finds them with `fetch`.
    Ok(page(reader, Some(&rows), Vec::new(), step))
}

fn ask(reader: &Reader, condition: &str, order: &str, skip: u64) -> Result<(Rows, Seen), Fault> {
    let query = vtql::page(reader.select(), reader.module(), condition, order, skip);
    let answer = wire::query(query).send()?;
    let rows = wire::rows(&answer, reader.wire())?;
    let (count, last) = (rows.len() as u64, reader::last(&rows)?);
    let clock = Login::now().clock(&answer);
    Ok((rows, Seen { rows: count, last, clock, more: count >= PAGE_ROWS, whole: false }))
}

/// How many rows fulfil each condition, and the CRM's clock.
fn counts<const N: usize>(reader: &Reader, conditions: [&str; N]) -> Result<([u64; N], i64), Fault> {
    let requests = conditions.iter().map(|condition| wire::query(vtql::count(reader.module(), condition))).collect();
    let (mut counts, mut clock) = ([0; N], i64::MIN);
    for (count, answer) in counts.iter_mut().zip(send_all(requests)) {
        let answer = answer?;
        *count = wire::count(&answer)?;
        clock = clock.max(Login::now().clock(&answer));
    }
    Ok((counts, clock))
}

fn page(reader: &Reader, rows: Option<&Rows>, removed: Vec<Removal>, step: Step) -> Page {
    let mut live = reader.snapshot(rows.map_or(0, Rows::len));
    rows.into_iter().flat_map(Rows::iter).for_each(|row| reader.add(row, &mut live));
    let (next, more, complete, population) = match step {
        Step::Continue(next) | Step::Confirm(next) => (next, true, false, None),
        // The walk is over, but what it found to look for is not.
        Step::End { next, complete, population } => (next.clone(), next.has_gone(), complete, population),
    };
    Page { live: live.finish(), removed, next: next.encode(), more, complete, population }
}
