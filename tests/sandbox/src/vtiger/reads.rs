//! `retrieve`, `query` and `sync`: what a user sees of the records.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::schema::{Entity, Module};
use super::store::{Record, Store, User};
use super::vtql::{Columns, Filter, Order, Query, parse};
use super::writes::{record_by_id, split_id};
use crate::crm::Twist;

/// Rows that one query answers at most, whatever its limit says; also the size of a `sync` page before ties.
const ROWS_MAX: usize = 100;
/// The first second of the year 10000: cursors from here on are taken for the beginning of time.
const YEAR_10000_S: i64 = 253_402_300_800;

/// Answers `retrieve`.
///
/// # Errors
///
/// As `record_by_id`.
pub(super) fn retrieve(store: &Store, id: &str, user: &User) -> Result<Value, Refusal> {
    let (prefix, number) = split_id(id).ok_or_else(|| Refusal::denied_for("id"))?;
    let directory = store.schema.by_prefix(prefix).filter(|module| module.entity != Entity::Record);
    let record = match directory {
        Some(module) => Cow::Owned(directory_record(store, module, number, user)?),
        None => Cow::Borrowed(record_by_id(store, id, user)?),
    };
    Ok(Value::Object(store.labelled(&record, user)))
}

fn directory_record(store: &Store, module: &Module, number: u64, user: &User) -> Result<Record, Refusal> {
    if module.entity == Entity::User && !user.administrator {
        return Err(Refusal::denied());
    }
    store.directory_row(module, number).ok_or_else(Refusal::denied)
}

/// Answers `query`.
///
/// # Errors
///
/// Syntax errors, modules and columns that do not exist for this user, and what VTQL calls internal errors.
pub(super) fn query(
    store: &Store,
    text: &str,
    user: &User,
    now_s: i64,
    twist: Option<Twist>,
) -> Result<Value, Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::denied_for("query"));
    }
    let query = parse(text)?;
    let module = store.schema.module(&query.module).filter(|module| module.is_visible_to(user.administrator));
    let module = module.ok_or_else(|| Refusal::denied_for(&format!("name : {}", query.module)))?;
    let positions = selected(&query, module, user)?;
    let filter = Filter::new(&query, module)?;
    let Some(order) = Order::new(&query, module) else { return Ok(json!([])) };

    let mut rows = store.rows(module);
    rows.retain(|row| filter.passes(|position| store.shown(row, position, user)));
    if query.columns == Columns::Count {
        // Counted by the database, which knows no permissions.
        return Ok(json!([{ "count": rows.len().to_string() }]));
    }
    order.sort(&mut rows, |row, position| store.shown(row, position, user).into_owned());
    let (offset, count) = query.limit.unwrap_or((0, ROWS_MAX));
    let mut page: Vec<_> = rows.into_iter().skip(offset).take(count.min(ROWS_MAX)).collect();
    // Permissions come after the limit, so a page can be short without being the last.
    page.retain(|row| store.may_read(user, row));
    let twist = twist.filter(|_| module.entity == Entity::Record);
    let shown: Vec<Value> = twisted(page, twist, now_s, |row| row.modified_s)
        .iter()
        .map(|row| Value::Object(projected(store, module, row, &positions, user)))
        .collect();
    Ok(Value::Array(shown))
}

/// Positions of the selected fields in the order asked; the id is always among them, at the end if it was not named.
fn selected(query: &Query, module: &Module, user: &User) -> Result<Vec<usize>, Refusal> {
    let Columns::Named(names) = &query.columns else { return Ok(module.order_for(user.administrator)) };
    let mut positions = Vec::with_capacity(names.len() + 1);
    for name in names {
        let position = module.position(name);
        positions.push(
            position.ok_or_else(|| Refusal::access(format!("Permission to access '.{name}.' attribute denied.")))?,
        );
    }
    positions.extend(module.position("id").filter(|id| !positions.contains(id)));
    Ok(positions)
}

fn projected(store: &Store, module: &Module, row: &Record, positions: &[usize], user: &User) -> Map<String, Value> {
    let value = |&position: &usize| {
        (module.fields[position].name.to_owned(), Value::String(store.shown(row, position, user).into_owned()))
    };
    positions.iter().map(value).collect()
}

/// A page as a scripted fault bends it.
fn twisted<R: Clone>(page: Vec<R>, twist: Option<Twist>, now_s: i64, modified_s: impl Fn(&R) -> i64) -> Vec<R> {
    match twist {
        None => page,
        Some(Twist::Empty) => Vec::new(),
        Some(Twist::Cut { rows }) => page.into_iter().take(rows).collect(),
        Some(Twist::Duplicate) => page.iter().flat_map(|row| [row.clone(), row.clone()]).collect(),
        Some(Twist::Stale { lag_ms }) => {
            page.into_iter().filter(|row| modified_s(row) < now_s - lag_ms / 1_000).collect()
        }
    }
}

/// What a client asks `sync` for.
#[derive(Debug)]
pub(super) struct SyncRequest<'a> {
    /// Records changed after this second, and not in it, are wanted.
    pub(super) cursor: &'a str,
    pub(super) module: &'a str,
    pub(super) mode: &'a str,
}

/// Answers `sync` on a server where it works.
///
/// # Errors
///
/// PHP dies of a cursor that is no number or 0 and of a missing module; an unknown module is denied, and `application`
/// mode to all but administrators.
pub(super) fn sync(
    store: &Store,
    request: &SyncRequest<'_>,
    user: &User,
    now_s: i64,
    twist: Option<Twist>,
) -> Result<Value, Refusal> {
    let cursor_s = request.cursor.parse().ok().filter(|cursor| *cursor > 0).ok_or(Refusal::Fatal)?;
    if request.module.is_empty() {
        return Err(Refusal::Fatal);
    }
    let module = store.schema.module(request.module).ok_or_else(Refusal::denied)?;
    if module.entity != Entity::Record {
        return Ok(json!({ "updated": [], "deleted": [], "lastModifiedTime": cursor_s, "more": false }));
    }
    if request.mode == "application" && !user.administrator {
        return Err(Refusal::access("Only admin users can perform application sync"));
    }
    let after_s = if cursor_s >= YEAR_10000_S { 0 } else { cursor_s };
    let mut changed: Vec<&Record> = store
        .records_of(module.name)
        .filter(|record| record.modified_s > after_s && in_mode(store, module, record, request.mode, user))
        .collect();
    changed.sort_by_key(|record| (record.modified_s, record.number));
    // A page ends with the second of its hundredth record, all of that second included.
    let last_s = changed.get(ROWS_MAX - 1).or(changed.last()).map(|record| record.modified_s);
    let more = changed.iter().any(|record| Some(record.modified_s) > last_s);
    changed.retain(|record| Some(record.modified_s) <= last_s);
    let (deleted, updated): (Vec<&Record>, Vec<&Record>) =
        changed.into_iter().partition(|record| record.deleted || record.converted);
    let updated: Vec<Value> = twisted(updated, twist, now_s, |record| record.modified_s)
        .into_iter()
        .map(|record| Value::Object(store.row(record, user)))
        .collect();
    let deleted: Vec<Value> = twisted(deleted, twist, now_s, |record| record.modified_s)
        .into_iter()
        .map(|record| Value::String(store.id_of(record)))
        .collect();
    Ok(json!({
        "updated": updated,
        "deleted": deleted,
        "more": more,
        "lastModifiedTime": last_s.unwrap_or(cursor_s),
    }))
}

/// Whether the mode covers the record's owner. Any mode but the two known ones means the caller's own records.
fn in_mode(store: &Store, module: &Module, record: &Record, mode: &str, user: &User) -> bool {
    let position = module.position("assigned_user_id");
    let owner: u64 = position.and_then(|position| record.values[position].parse().ok()).unwrap_or(0);
    match mode {
        "application" => true,
        "userandgroup" => owner == user.number || (store.user(owner).is_none() && user.groups.contains(&owner)),
        _ => owner == user.number,
    }
}
