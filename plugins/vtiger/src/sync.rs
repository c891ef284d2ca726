//! The operation `sync`: changes and deletes in one call, on the servers that can do it.
//!
//! There are three kinds of servers, and nothing says which one it is:
//!
//! - *Broken*: HTTP 500 without a body, as every stock release on current PHP answers. That is no trouble that passes.
//! - *Owner-only*: the parameter `syncType` is not registered, so that only the user's own records are listed, without a
//!   word about the others. A user who is no administrator is refused the type that lists all.
//! - *Full*: all changes of all owners, and ids of deleted records.
//!
//! A server is taken for full only after it has shown a record of another user: in the page that was asked for, or in a
//! page from the second of a record that a query has just shown. Whatever else happens leads to queries, which all servers
//! can do: a refusal, an answer that contradicts itself, times in another zone than UTC, a module where one user owns
//! everything. What was found out is kept for a day, so that it costs nothing in the usual pull; to find out takes one call
//! on a broken server, and up to four a module on others.
//!
//! `deleted` lists converted leads as well, so what became of a lead is looked for before anything is said of it. What is
//! listed as changed and as deleted at once counts as changed; the next reading of its second tells.

use std::collections::BTreeSet;

use crmsync_plugin::egress::Answer;
use crmsync_plugin::rows::{Row, Rows, column};
use crmsync_plugin::{Fault, Kind, Removal, state, warning};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cursor::{Changes, Seen};
use crate::login::Login;
use crate::lookup::{self, LEADS};
use crate::org::MODULES;
use crate::reader::{self, Reader};
use crate::vtql;
use crate::wire;

/// The type that lists the records of all owners.
const ALL_OWNERS: &str = "application";

/// Fields that `sync` may spell otherwise than queries do. A record that differs by who listed it would look like an edit.
const SPELLED_OTHERWISE: [&str; 2] = ["tags", "starred"];

/// How long what was found out holds.
const HOLDS_MS: i64 = 24 * 3_600_000;

/// The same where the server may only have been out of order for a moment.
const HOLDS_BRIEFLY_MS: i64 = 3_600_000;

/// Deleted records that a page may list; of more, queries and the host's own search tell.
const DELETED_MAX: usize = 1_000;

/// A page that `sync` gave.
pub(crate) struct Listed {
    /// Changed records, with the columns of the reader and one more.
    pub(crate) rows: Rows,
    /// Records that left, as far as that is sure.
    pub(crate) removed: Vec<Removal>,
    /// Records that left or are something else now.
    pub(crate) gone: Vec<String>,
    /// What it showed of the place.
    pub(crate) seen: Seen,
    /// It shows records of others than this user, and that its times are those of the records.
    pub(crate) proven: bool,
    /// Its time is that of its newest record. Where the newest change was a delete, it is later, or in another zone.
    in_zone: bool,
}

/// What `sync` said.
pub(crate) enum Said {
    /// A page.
    Page(Box<Listed>),
    /// Nothing to rely on: queries tell.
    Nothing,
    /// The same, after so many requests that the query has to wait for the next call.
    NothingYet,
}

/// Asks `sync` for the page at a place, if the server is known to list all records, or may be found out to.
///
/// # Errors
/// The connection's only.
pub(crate) fn ask(reader: &Reader, changes: &Changes) -> Result<Said, Fault> {
    let (login, module) = (Login::now(), reader.module());
    let Some(behind) = changes.behind() else { return Ok(Said::Nothing) };
    if !login.sees_all() || !MODULES.contains(&module) || reader.reads(&SPELLED_OTHERWISE) {
        return Ok(Said::Nothing);
    }
    let known = Verdict::known(&login, module);
    if known == Some(false) || (known.is_none() && !changes.is_at_start()) {
        return Ok(Said::Nothing);
    }
    let listed = page(&login, reader, behind).and_then(|listed| {
        // There was more, so something has to be there.
        if changes.is_at_start() || listed.seen.last.is_some() {
            Ok(listed)
        } else {
            Err(contradiction("an empty page"))
        }
    });
    let mut listed = match listed {
        Ok(listed) => listed,
        Err(fault) => {
            let rest = if known.is_some() { Said::Nothing } else { Said::NothingYet };
            return give_up(&login, module, fault).map(|()| rest);
        }
    };
    if known.is_none() {
        if !listed.proven {
            match shows_others(&login, reader) {
                Ok(proven) => listed.proven = proven,
                Err(fault) => return give_up(&login, module, fault).map(|()| Said::NothingYet),
            }
        }
        Verdict::keep(&login, module, listed.proven, HOLDS_MS);
        if !listed.proven {
            return Ok(Said::NothingYet);
        }
    }
    Ok(Said::Page(Box::new(listed)))
}

/// What became of records that `sync` listed as deleted, as far as the CRM tells it now.
///
/// # Errors
/// The connection's only.
pub(crate) fn look_for(module: &str, gone: &[String]) -> Result<Vec<Removal>, Fault> {
    match lookup::fetch(module, gone, &[]) {
        Ok(fetched) => {
            let told = |id: &String| fetched.removed.iter().find(|removal| removal.id == *id).cloned();
            Ok(fetched.absent.iter().map(|id| told(id).unwrap_or_else(|| deleted(id))).collect())
        }
        Err(fault @ (Fault::LoggedOut | Fault::RateLimited(_) | Fault::Transient(_))) => Err(fault),
        // The host looks for known records from time to time.
        Err(fault) => {
            warning!("what became of {} records of {module} is not known: {fault}", gone.len());
            Ok(Vec::new())
        }
    }
}

/// The page behind a second.
fn page(login: &Login, reader: &Reader, behind: i64) -> Result<Listed, Fault> {
    let request = wire::read("sync").query("modifiedTime", behind.to_string());
    let answer = request.query("elementType", reader.module()).query("syncType", ALL_OWNERS).send()?;
    if answer.status() == 500 {
        return Err(Fault::Unsupported("operation `sync`".to_owned()));
    }
    let mut columns = reader.wire().to_vec();
    let owner = columns.len();
    columns.push(column("assigned_user_id", Kind::Text));
    let rows = wire::rows_at(&answer, "/result/updated", &columns)?;
    let deleted = ids(&answer)?;
    let upto = whole_number(&answer, "/result/lastModifiedTime")?;
    let more = value(&answer, "/result/more")?.as_bool().ok_or_else(|| contradiction("no `more`"))?;
    let newest = check(reader, &rows, &deleted, behind)?;
    let is_empty = rows.is_empty() && deleted.is_empty();
    // Deleted records have no time. Else the page goes up to its newest record, unless the server counts in another zone.
    let is_upto = match newest {
        _ if is_empty => upto == behind && !more,
        Some((newest, _)) if deleted.is_empty() => upto == newest,
        Some((newest, _)) => upto >= newest,
        None => upto > behind,
    };
    if !is_upto {
        return Err(contradiction("a time that does not fit its records"));
    }
    let in_zone = newest.as_ref().is_some_and(|(second, _)| *second == upto);
    let last = newest.filter(|(second, _)| *second == upto).map(|(_, id)| id).or_else(|| deleted.last().cloned());
    let last = last.filter(|_| !is_empty).map(|id| (upto, id));
    let seen = Seen { rows: rows.len() as u64, last, clock: login.clock(&answer), more, whole: true };
    let proven = in_zone && rows.iter().any(|row| login.is_somebody_else(row.text(owner)));
    let (removed, gone) = left(reader.module(), &rows, deleted);
    Ok(Listed { rows, removed, gone, seen, proven, in_zone })
}

/// Time and id of the newest row, after making sure that the page is what it should be.
fn check(reader: &Reader, rows: &Rows, deleted: &[String], behind: i64) -> Result<Option<(i64, String)>, Fault> {
    if deleted.len() > DELETED_MAX {
        return Err(contradiction("more deleted records than a page may have"));
    }
    if !deleted.iter().all(|id| reader.schema().owns(id)) {
        return Err(contradiction("deleted records of another module"));
    }
    let mut newest: Option<(i64, String)> = None;
    for row in rows.iter() {
        let second = reader::second(&row).filter(|second| *second > behind);
        let Some(second) = second.filter(|_| reader.schema().owns(reader::id(&row)) && reader.is_whole(row)) else {
            return Err(contradiction("a record without a field, or from another time or module"));
        };
        if newest.as_ref().is_none_or(|(known, _)| second >= *known) {
            newest = Some((second, reader::id(&row).to_owned()));
        }
    }
    Ok(newest)
}

/// Of the records listed as deleted those that surely are, and those to look for.
fn left(module: &str, rows: &Rows, mut gone: Vec<String>) -> (Vec<Removal>, Vec<String>) {
    let live: BTreeSet<&str> = rows.iter().map(|row| reader::id(&row)).collect();
    gone.retain(|id| !live.contains(id.as_str()));
    if module == LEADS {
        return (Vec::new(), gone);
    }
    (gone.iter().map(|id| deleted(id)).collect(), Vec::new())
}

fn deleted(id: &str) -> Removal {
    Removal { id: id.to_owned(), reason: "deleted".to_owned(), into: String::new() }
}

/// Whether `sync` lists what a query lists: the newest records of other users. Where nobody else owns anything, that cannot be shown.
fn shows_others(login: &Login, reader: &Reader) -> Result<bool, Fault> {
    let [id, modified, owner] = [0, 1, 2];
    let columns = ["id", "modifiedtime", "assigned_user_id"].map(|name| column(name, Kind::Text));
    let query = vtql::newest_of_others(reader.module(), login.fact("user-id"));
    let rows = wire::rows(&wire::query(query).send()?, &columns)?;
    let others: Vec<Row<'_>> = rows.iter().filter(|row| login.is_somebody_else(row.text(owner))).collect();
    let Some(newest) = others.iter().map(|row| row.text(modified)).max() else { return Ok(false) };
    let Some(second) = crate::convert::seconds(newest) else { return Ok(false) };
    let listed = page(login, reader, second - 1)?;
    let shown: BTreeSet<&str> = listed
        .rows
        .iter()
        .filter(|row| reader::second(row) == Some(second) && login.is_somebody_else(row.text(reader.wire().len())))
        .map(|row| reader::id(&row))
        .collect();
    let all = others.iter().filter(|row| row.text(modified) == newest).all(|row| shown.contains(row.text(id)));
    if all && !listed.in_zone {
        // A page from behind their second must not list them, or the server means another second.
        page(login, reader, second)?;
    }
    Ok(all)
}

/// Notes that `sync` is not to be relied on for a while.
///
/// # Errors
/// The fault, if it is not about `sync`: a query would meet it, too.
pub(crate) fn give_up(login: &Login, module: &str, fault: Fault) -> Result<(), Fault> {
    match fault {
        Fault::LoggedOut | Fault::RateLimited(_) => return Err(fault),
        Fault::Transient(_) => Verdict::keep(login, module, false, HOLDS_BRIEFLY_MS),
        // It is the server that cannot do it, whatever the module.
        Fault::Unsupported(_) => MODULES.iter().for_each(|module| Verdict::keep(login, module, false, HOLDS_MS)),
        _ => Verdict::keep(login, module, false, HOLDS_MS),
    }
    Ok(())
}

fn contradiction(what: &str) -> Fault {
    Fault::other("sync-contradiction", format!("the CRM's list of changes has {what}"))
}

fn value(answer: &Answer, pointer: &str) -> Result<Value, Fault> {
    let text = answer.read(pointer)?.ok_or_else(|| contradiction("a part missing"))?;
    serde_json::from_str(&text).map_err(|_| contradiction("a part that is no JSON"))
}

fn whole_number(answer: &Answer, pointer: &str) -> Result<i64, Fault> {
    let value = value(answer, pointer)?;
    let number = value.as_i64().or_else(|| value.as_str()?.parse().ok());
    number.ok_or_else(|| contradiction("a time that is no number"))
}

/// The ids of `deleted`. PHP makes an object of a list with holes.
fn ids(answer: &Answer) -> Result<Vec<String>, Fault> {
    let elements: Vec<Value> = match value(answer, "/result/deleted")? {
        Value::Array(list) => list,
        Value::Object(members) => members.into_iter().map(|(_, value)| value).collect(),
        _ => return Err(contradiction("no list of deleted records")),
    };
    let id = |value: Value| value.as_str().map(str::to_owned).ok_or_else(|| contradiction("an id that is no text"));
    elements.into_iter().map(id).collect()
}

/// What was found out about one module; it may vanish with the cache.
#[derive(Serialize, Deserialize)]
struct Verdict {
    /// It is about this user of this installation.
    login: String,
    /// All records are listed.
    full: bool,
    /// When it was found out, by the host's clock.
    since_ms: i64,
    /// How long it holds.
    holds_ms: i64,
}

impl Verdict {
    fn known(login: &Login, module: &str) -> Option<bool> {
        let verdict: Verdict = serde_json::from_slice(&state::get(&key(module))?).ok()?;
        let age_ms = login.now_ms() - verdict.since_ms;
        let holds = (0..verdict.holds_ms).contains(&age_ms) && verdict.login == who(login);
        holds.then_some(verdict.full)
    }

    /// A full cache only costs requests, so nobody asks whether it took the verdict.
    fn keep(login: &Login, module: &str, full: bool, holds_ms: i64) {
        let verdict = Verdict { login: who(login), full, since_ms: login.now_ms(), holds_ms };
        if let Ok(bytes) = serde_json::to_vec(&verdict) {
            state::set(&key(module), &bytes);
        }
    }
}

fn who(login: &Login) -> String {
    format!("{} {}", login.fact("user-id"), login.setting("base_url"))
}

fn key(module: &str) -> String {
    format!("1/sync/{module}")
}
