//! Records by id and by key, a hundred to a query.

use std::collections::{BTreeMap, BTreeSet};

use crmsync_plugin::egress::send_all;
use crmsync_plugin::rows::{Rows, column};
use crmsync_plugin::{Fault, Fetched, Found, Kind, Removal};

use crate::fault::Doing;
use crate::login::Login;
use crate::reader::{self, Reader};
use crate::vtql::{self, BY_ID, PAGE_ROWS};
use crate::wire;

/// Characters that the CRM keeps of `source`; it cuts the rest without a word.
pub(crate) const SOURCE_CHARS_MAX: usize = 100;

/// Queries that one `find` may send: keys are unique, so one is the rule.
const FIND_QUERIES_MAX: usize = 7;

/// Absent leads that are counted one by one at most, behind the question for converted ones.
const LEAD_COUNTS_MAX: usize = 5;

/// The module whose records can be converted.
pub(crate) const LEADS: &str = "Leads";

/// Records by id. One that is deleted and one that the user may not see are absent alike, but the latter is still counted, as counts know no
/// permissions. A converted lead is absent too, but `retrieve` still gives it, so absent leads are asked for one by one.
///
/// # Errors
/// What the CRM's refusal means.
pub(crate) fn fetch(module: &str, ids: &[String], fields: &[String]) -> Result<Fetched, Fault> {
    Reader::with(module, fields, None, |reader| fetch_with(reader, ids))
}

fn fetch_with(reader: &Reader, ids: &[String]) -> Result<Fetched, Fault> {
    let module = reader.module();
    let own: BTreeSet<&str> = ids.iter().map(String::as_str).filter(|id| reader.schema().owns(id)).collect();
    let own: Vec<&str> = own.into_iter().collect();
    let around = vtql::rows(reader.select(), module, &vtql::one_of::<&str>("id", &[]));
    let queries = vtql::fitting(&around, &own).into_iter();
    let queries = queries.map(|run| wire::query(vtql::rows(reader.select(), module, &vtql::one_of("id", run))));
    let mut live = reader.snapshot(own.len());
    for answer in send_all(queries.collect()) {
        wire::rows(&answer?, reader.wire())?.iter().for_each(|row| reader.add(row, &mut live));
    }
    let absent: Vec<String> = {
        let found: BTreeSet<&str> = live.ids().iter().map(String::as_str).collect();
        ids.iter().filter(|id| !found.contains(id.as_str())).cloned().collect()
    };
    let missing: Vec<&str> = absent.iter().map(String::as_str).filter(|id| own.contains(id)).collect();
    let mut removed = if module == LEADS { converted(&missing)? } else { Vec::new() };
    // The host allows one request more for each absent id, and a few; leads have used up theirs.
    let requests_left = if module == LEADS { LEAD_COUNTS_MAX } else { missing.len() };
    let explained: BTreeSet<&str> = removed.iter().map(|removal| removal.id.as_str()).collect();
    let missing: Vec<&str> = missing.into_iter().filter(|id| !explained.contains(id)).collect();
    let hidden = hidden(module, &missing, requests_left)?;
    removed.extend(hidden);
    Ok(Fetched { live: live.finish(), absent, removed })
}

/// Those of the absent records that the CRM still counts: the user may not see them, or an answer was cut. One query where there is none,
/// as usual. Where some are and there are too many to be counted one by one, all of them are taken for hidden: nothing is lost by that.
fn hidden(module: &str, absent: &[&str], requests_left: usize) -> Result<Vec<Removal>, Fault> {
    let count = |ids: &[&str]| wire::query(vtql::count(module, &vtql::one_of("id", ids)));
    let counted = |answer: Result<_, Fault>| wire::count(&answer?);
    let around = vtql::count(module, &vtql::one_of::<&str>("id", &[]));
    let mut there = 0;
    for answer in send_all(vtql::fitting(&around, absent).into_iter().map(count).collect()) {
        there += counted(answer)?;
    }
    let mut hidden: Vec<&str> = absent.to_vec();
    if there == 0 {
        return Ok(Vec::new());
    }
    if there < absent.len() as u64 && absent.len() <= requests_left {
        hidden.clear();
        for (id, answer) in absent.iter().zip(send_all(absent.iter().map(|id| count(&[id])).collect())) {
            hidden.extend((counted(answer)? > 0).then_some(*id));
        }
    }
    let removal = |id: &str| Removal { id: id.to_owned(), reason: "not-visible".to_owned(), into: String::new() };
    Ok(hidden.into_iter().map(removal).collect())
}

/// Those of the leads that queries do not find, but that are there: they were converted. What they became the CRM does not
/// tell.
fn converted(leads: &[&str]) -> Result<Vec<Removal>, Fault> {
    let mut converted = Vec::new();
    let requests = leads.iter().map(|id| wire::read("retrieve").query("id", *id)).collect();
    for (id, answer) in leads.iter().zip(send_all(requests)) {
        match wire::result(&answer?, Doing::Read) {
            Ok(_) => {
                let reason = "converted".to_owned();
                converted.push(Removal { id: (*id).to_owned(), reason, into: String::new() });
            }
            // Deleted, never there, or not for this user: the CRM has one word for all of them.
            Err(Fault::Other((code, _))) if code == "ACCESS_DENIED" => {}
            Err(Fault::Gone) => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(converted)
}

/// Which of these records the user may read, at most [`PAGE_ROWS`] of them.
///
/// # Errors
/// What the CRM's refusal means.
pub(crate) fn readable(module: &str, ids: &[&str]) -> Result<BTreeSet<String>, Fault> {
    let answer = wire::query(vtql::rows("id", module, &vtql::one_of("id", ids))).send()?;
    let rows = wire::rows(&answer, &[column("id", Kind::Text)])?;
    Ok(rows.iter().map(|row| row.text(0).to_owned()).collect())
}

/// Records whose key field has one of these values. Queries read what is committed, so the answer is consistent, unless
/// the CRM counts records with these values that it does not show to this user.
///
/// # Errors
/// `unsupported` if the module has no such field, or if so many records carry the values that they are no keys.
pub(crate) fn find(module: &str, key_field: &str, values: &[String], fields: &[String]) -> Result<Found, Fault> {
    Reader::with(module, fields, Some(key_field), |reader| find_with(reader, key_field, values))
}

fn find_with(reader: &Reader, key_field: &str, values: &[String]) -> Result<Found, Fault> {
    let module = reader.module();
    // An empty literal is an error in the CRM, and an empty value is nobody's key.
    let asked: BTreeMap<String, u32> =
        (0..).zip(values).filter(|(_, value)| !value.is_empty()).map(|(index, value)| (value.clone(), index)).collect();
    let stored: Vec<&str> = asked.keys().map(String::as_str).collect();
    let (mut live, mut found) = (reader.snapshot(stored.len()), Vec::new());
    let (mut queries_left, mut consistent) = (FIND_QUERIES_MAX, true);
    let around = key_query(reader, &vtql::one_of::<&str>(key_field, &[]), "0x0000000000");
    for run in vtql::fitting(&around, &stored) {
        let condition = vtql::one_of(key_field, run);
        let (mut after, mut shown) = (Some(String::new()), 0);
        while let Some(id) = after {
            if queries_left == 0 {
                return Err(Fault::Unsupported(format!("`{key_field}` as a key: too many records have one value")));
            }
            queries_left -= 1;
            let answer = wire::query(key_query(reader, &condition, &id)).send()?;
            let rows = wire::rows(&answer, reader.wire())?;
            shown += rows.len() as u64;
            for row in rows.iter() {
                if let Some(index) = asked_for(&asked, reader.key(row)) {
                    found.push(index);
                    reader.add(row, &mut live);
                }
            }
            after = behind(&rows);
        }
        if !Login::now().sees_all() {
            consistent &= wire::count(&wire::query(vtql::count(module, &condition)).send()?)? <= shown;
        }
    }
    Ok(Found { asked: found, live: live.finish(), consistent })
}

fn key_query(reader: &Reader, condition: &str, after: &str) -> String {
    let condition = match vtql::after_id(after).as_str() {
        "" => condition.to_owned(),
        behind => format!("{condition} and {behind}"),
    };
    vtql::page(reader.select(), reader.module(), &condition, BY_ID, 0)
}

/// The id behind which there may be more rows; none if this page was surely the last. Where rows are hidden, a short
/// page need not be.
fn behind(rows: &Rows) -> Option<String> {
    let last = rows.len().checked_sub(1)?;
    let more = rows.len() as u64 >= PAGE_ROWS || !Login::now().sees_all();
    more.then(|| reader::id(&rows.row(last)).to_owned())
}

/// The CRM compares without case, accents and trailing blanks; only the first and the last of these are meant here.
fn asked_for(asked: &BTreeMap<String, u32>, stored: &str) -> Option<u32> {
    let same = |value: &str| value.trim_end().to_lowercase() == stored.trim_end().to_lowercase();
    let exact = asked.get(stored).copied();
    exact.or_else(|| asked.iter().find(|(value, _)| same(value)).map(|(_, index)| *index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_is_found() {
        let asked = BTreeMap::from([("ase@example.com".to_owned(), 0), ("K1".to_owned(), 1), ("k1".to_owned(), 2)]);
        assert_eq!(asked_for(&asked, "k1"), Some(2));
        assert_eq!(asked_for(&asked, "Ase@Example.com "), Some(0));
        assert_eq!(asked_for(&asked, "åse@example.com"), None);
    }
}
