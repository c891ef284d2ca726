//! Pull: pages into the inbox, each with its cursor, until the side's head is reached. Nothing is decided here (S2).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crmsync_core::sabotage::{Sabotage, is_on};
use crmsync_core::{Fault, PairMapping, RemovalReason, Role, Side, Value, matching};

use super::error::Error;
use super::remote::{CallError, Cursor, RemoteRecord};
use super::setup::{CopyOf, KeyOf, PairSetup, RunSetup};
use super::view::values_of;
use crate::store::{CursorRow, InboxRow, KnownAs, PairId, Staged, StagedPage, copies_on};

/// Known ids have never been looked for since the stream of changes began anew.
pub(super) const NEVER_SWEPT: i64 = 0;

/// Grows when keys are spelled otherwise, so that staged records get new ones.
const KEYS_VERSION: u32 = 3;

/// Records that are read by id before they are decided, at once.
const UNSEEN_AT_ONCE: usize = 500;

/// What one pull brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pulled {
    /// Records read.
    pub(super) read: u64,
    /// Of them, records whose version was new to us.
    pub(super) fresh: u64,
    /// Everything that changed before this moment has been read. It is when the walk began, not when it ended: a
    /// record of an early page may have changed while the later ones were read.
    pub(super) read_at_ms: i64,
}

/// Reads one side to its head.
pub(super) async fn pull_to_head(run: &RunSetup, pair: &PairSetup, side: Side) -> Result<Pulled, Error> {
    let fields = pair.read_fields(side);
    // Another filter may mean records that nobody has touched since.
    let filter = pair.filters[side as usize].as_ref().map(|filter| format!("{filter:?}"));
    // I7: what changed while the login did not see it is listed by no stream of changes when it does again.
    let setup = run.side(side);
    let scope = Some(setup.visible_scope.clone())
        .filter(|scope| *scope != setup.scope_at_login && !is_on(Sabotage::HiddenIsSkipped));
    let field_set = texts_hash(&fields.iter().cloned().chain(filter).chain(scope).collect::<Vec<_>>());
    let what = format!("read {} from {}", pair.module(side).name, run.side(side).connection);
    let known = run.store.cursor(run.tenant(), pair.id, side).await?;
    // A first scan shows what is there: looking for what is not makes sense only later.
    let mut swept_at_ms = known.as_ref().map_or_else(|| run.now_ms(), |cursor| cursor.swept_at_ms);
    let had_cursor = known.is_some();
    // S11: a cursor of another plugin or another set of fields starts a new scan against the existing links.
    let known = known.filter(|cursor| cursor.plugin == run.side(side).plugin && cursor.field_set == field_set);
    if had_cursor && known.is_none() {
        // A stream that begins anew has forgotten the removals behind its beginning: known ids are looked for.
        swept_at_ms = NEVER_SWEPT;
        run.store.set_swept(&run.lease, pair.id, side, swept_at_ms).await?;
    }
    let mut scanning = known.as_ref().is_none_or(|cursor| !cursor.at_head && cursor.head_at_ms == 0);
    // A walk that an earlier run began has pages that were read long ago: it is finished, and then the head is read once more.
    let mut whole_walk = known.as_ref().is_none_or(|cursor| cursor.at_head);
    let mut began_at_ms = None;
    // A scan for another set of fields, or the rest of one.
    let whole = known.as_ref().map_or(had_cursor, |cursor| !cursor.at_head && cursor.head_at_ms == 0);
    let mut after = known.map(|cursor| (Cursor { format: cursor.format, data: cursor.data }, cursor.head_at_ms));
    let mut pulled = Pulled::default();
    let (mut restarted, mut scanned_again) = (false, false);
    for _ in 0..run.limits.pages_max {
        let asked_at_ms = run.now_ms();
        if whole_walk {
            began_at_ms.get_or_insert(asked_at_ms);
        }
        let (cursor, head_at_ms) = after.clone().unzip();
        let page = match super::call::pull(run, pair, side, &fields, cursor).await? {
            Ok(page) => page,
            Err(CallError::Fault(Fault::CursorExpired)) if is_on(Sabotage::ExpiredIsNoNews) => return Ok(pulled),
            Err(CallError::Fault(Fault::CursorExpired)) if !restarted && after.is_some() => {
                run.store.reset_cursor(&run.lease, pair.id, side).await?;
                (after, restarted, whole_walk, began_at_ms) = (None, true, true, None);
                (scanning, swept_at_ms) = (true, NEVER_SWEPT);
                continue;
            }
            Err(source) => return Err(failed(run, side, format!("read {}", pair.module(side).name), source)),
        };
        let more = page.more;
        // S2: nothing is decided before a scan has shown everything.
        let incomplete = scanning && !more && !page.complete && !is_on(Sabotage::IncompleteIsWhole);
        let head_at_ms = if more { head_at_ms.unwrap_or(0) } else { asked_at_ms };
        let next = page.next.clone();
        pulled.read += page.live.len() as u64;
        let population = page.population;
        let cursor = CursorRow {
            plugin: run.side(side).plugin.clone(),
            field_set: field_set.clone(),
            format: next.format,
            data: next.data.clone(),
            at_head: !more,
            head_at_ms,
            swept_at_ms,
        };
        let cursor = (!incomplete).then_some(cursor);
        let staged = StagedPage { whole, cursor, ..staged_page(run, pair, side, &fields, page.live, page.removed) };
        if is_on(Sabotage::CursorMovesEarly) {
            let ahead = StagedPage { live: vec![], removed: vec![], ..staged.clone() };
            run.store.stage_page(&run.lease, pair.id, side, ahead).await?;
        }
        // Rule 2: the page and the cursor behind it.
        pulled.fresh += run.store.stage_page(&run.lease, pair.id, side, staged).await?;
        if incomplete {
            run.store.reset_cursor(&run.lease, pair.id, side).await?;
            if std::mem::replace(&mut scanned_again, true) {
                let (connection, module) = (run.side(side).connection.clone(), pair.module(side).name.clone());
                return Err(Error::Incomplete { connection, module });
            }
            (after, whole_walk, began_at_ms) = (None, true, None);
            continue;
        }
        run.progress.step(&what, pulled.read, population);
        super::call::renew(run).await?;
        after = Some((next, head_at_ms));
        if !more {
            if let Some(began_at_ms) = began_at_ms {
                pulled.read_at_ms = began_at_ms;
                return Ok(pulled);
            }
            whole_walk = true;
            scanning = false;
        }
    }
    Err(Error::Endless {
        connection: run.side(side).connection.clone(),
        module: pair.module(side).name.clone(),
        pages: run.limits.pages_max,
    })
}

/// Reads these records by id and stages what they show now, if that is news; ids that are not there are given back.
pub(super) async fn reread(run: &RunSetup, pair: &PairSetup, side: Side, ids: &[String]) -> Result<Vec<String>, Error> {
    Ok(reread_as(run, pair, side, ids, false).await?.into_iter().map(|(id, _)| id).collect())
}

/// The same, and stages what is no news as well; with what the CRM says of those that are not there.
pub(super) async fn reread_whole(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    ids: &[String],
) -> Result<Vec<(String, RemovalReason)>, Error> {
    reread_as(run, pair, side, ids, true).await
}

async fn reread_as(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    ids: &[String],
    whole: bool,
) -> Result<Vec<(String, RemovalReason)>, Error> {
    let fields = pair.read_fields(side);
    let mut absent = Vec::new();
    for chunk in ids.chunks(pair.module(side).fetch_rows.max(1)) {
        let fetched = super::call::fetch(run, pair, side, chunk, &fields).await?;
        let page = StagedPage { whole, ..staged_page(run, pair, side, &fields, fetched.live, vec![]) };
        run.store.stage_page(&run.lease, pair.id, side, page).await?;
        let why = |id: &String| fetched.removed.iter().find(|(gone, _)| gone == id).map(|(_, why)| *why);
        absent.extend(fetched.absent.iter().map(|id| (id.clone(), why(id).unwrap_or(RemovalReason::Unknown))));
    }
    Ok(absent)
}

pub(super) fn failed(run: &RunSetup, side: Side, call: String, source: CallError) -> Error {
    Error::Call { connection: run.side(side).connection.clone(), call, source }
}

/// What is staged of these records; the cursor stays where it is.
fn staged_page(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    fields: &[String],
    shown: Vec<RemoteRecord>,
    removed: Vec<(String, RemovalReason)>,
) -> StagedPage {
    let copies = Copies::of(run, pair);
    // A record twice in one page (a duplicated or shifting listing) counts once, as it was shown last.
    let mut seen = BTreeSet::new();
    let mut live: Vec<Staged> = Vec::with_capacity(shown.len());
    for record in shown.into_iter().rev() {
        if seen.insert(record.id.clone()) {
            live.push(staged(&copies, pair, side, fields, record));
        }
    }
    live.reverse();
    StagedPage { live, removed, whole: false, cursor: None }
}

fn staged(copies: &Copies, pair: &PairSetup, side: Side, fields: &[String], record: RemoteRecord) -> Staged {
    let image: BTreeMap<String, Value> =
        fields.iter().cloned().zip(record.values).filter(|(_, value)| value.is_read()).collect();
    let create_key = match image.get(&pair.module(side).key_field) {
        Some(Value::Text(text)) => text.strip_prefix(super::KEY_MARK).map(|_| text.clone()).unwrap_or_default(),
        _ => String::new(),
    };
    // What it refers to may not be matched yet: keys with references are made when it is.
    let mut keys = match_keys(&pair.mapping, side, &image, &|_| Ok(None)).unwrap_or_default();
    keys.extend(copies.keys(side, &record.id, &create_key));
    Staged {
        record: record.id,
        version: record.version,
        modified_at_ms: record.modified_at_ms,
        create_key,
        image,
        keys,
    }
}

/// By what copies of ours are known again, whatever became of the database since they were made (I15).
struct Copies {
    key_of: Arc<KeyOf>,
    modules: [String; 2],
    /// Whether records of the left and the right module carry our keys.
    carry_keys: [bool; 2],
}

impl Copies {
    fn of(run: &RunSetup, pair: &PairSetup) -> Copies {
        Copies {
            key_of: Arc::clone(&run.key_of),
            modules: pair.modules.each_ref().map(|module| module.name.clone()),
            carry_keys: pair.modules.each_ref().map(|module| !module.key_field.is_empty()),
        }
    }

    /// Keys of a record of one side, as (rule, key): the one that it carries, and the one that its own first copy carries.
    fn keys(&self, side: Side, record: &str, create_key: &str) -> Vec<(usize, String)> {
        let mut keys = Vec::new();
        if !create_key.is_empty() {
            keys.push((copies_on(side), create_key.to_owned()));
        }
        if self.carry_keys[side.other() as usize] {
            let modules = self.modules.each_ref().map(String::as_str);
            keys.push((copies_on(side.other()), (self.key_of)(&CopyOf { modules, from: side, record, generation: 1 })));
        }
        keys
    }
}

/// Match keys of a record as (rule, key). What it refers to counts as the thing that both sides know it as.
fn match_keys(
    mapping: &PairMapping,
    side: Side,
    image: &BTreeMap<String, Value>,
    known_as: &KnownAs<'_>,
) -> Result<Vec<(usize, String)>, crate::store::Error> {
    let mut rows: Vec<Vec<Value>> = mapping.rows.iter().map(|row| values_of(image, row, side)).collect();
    for (row, values) in mapping.rows.iter().zip(&mut rows).filter(|(row, _)| row.role == Role::Reference) {
        debug_assert_eq!(row.fields(side).len(), values.len());
        for value in values {
            *value = match &*value {
                Value::Reference(reference) => known_as(reference)?.map_or(Value::Empty, Value::Text),
                _ => Value::Empty,
            };
        }
    }
    let rules = mapping.match_rules.iter().enumerate();
    let keys = rules.filter_map(|(index, rule)| {
        matching::key(rule, &mapping.rows, |row| rows[row].as_slice()).map(|key| (index, key))
    });
    Ok(keys.collect())
}

/// The pairs by which references in match rules are known, by their modules on each side.
fn referenced_pairs(run: &RunSetup, pair: &PairSetup) -> [BTreeMap<String, PairId>; 2] {
    let mut rows = pair.mapping.match_rules.iter().flat_map(|rule| &rule.rows);
    if !rows.any(|&row| pair.mapping.rows[row].role == Role::Reference) {
        return [BTreeMap::new(), BTreeMap::new()];
    }
    let others = || run.pairs.iter().filter(|other| other.id != pair.id);
    Side::BOTH.map(|side| others().map(|other| (other.module(side).name.clone(), other.id)).collect())
}

/// Matches what is staged, by keys of today's match rules; and if the mapping rows are others than before, all links are looked at.
pub(super) async fn match_staged(run: &RunSetup, pair: &PairSetup) -> Result<(), Error> {
    read_unseen(run, pair).await?;
    let rows = pair.mapping.rows.iter().map(|row| format!("{} {}", row.key.0, row.hash)).collect::<Vec<_>>();
    run.store.adopt_mapping(&run.lease, pair.id, texts_hash(&rows)).await?;
    let rules = pair.mapping.match_rules.iter().map(|rule| {
        let rows: Vec<_> =
            rule.rows.iter().map(|&row| &pair.mapping.rows[row]).map(|row| (&row.key.0, row.sameness)).collect();
        format!("{KEYS_VERSION} {rows:?}")
    });
    let mapping = pair.mapping.clone();
    let rules_hash = texts_hash(&rules.collect::<Vec<_>>());
    let copies = Copies::of(run, pair);
    let keys = move |row: &InboxRow, known_as: &KnownAs<'_>| {
        let mut keys = match_keys(&mapping, row.side, &row.image, known_as)?;
        keys.extend(copies.keys(row.side, &row.record, &row.create_key));
        Ok(keys)
    };
    run.store.rekey(&run.lease, pair.id, rules_hash, referenced_pairs(run, pair), keys).await?;
    run.store.refresh_pairings(&run.lease, pair.id, pair.mapping.match_rules.len()).await?;
    Ok(())
}

/// Reads records about which people decided something, so that what they show can be decided about. One that is not there waits: the
/// sweep, or the next run, says what became of it.
async fn read_unseen(run: &RunSetup, pair: &PairSetup) -> Result<(), Error> {
    for side in Side::BOTH {
        let mut after = String::new();
        loop {
            let ids = run.store.unseen_records(run.tenant(), pair.id, side, &after, UNSEEN_AT_ONCE).await?;
            let Some(last) = ids.last() else { break };
            after.clone_from(last);
            reread(run, pair, side, &ids).await?;
            super::call::renew(run).await?;
        }
    }
    Ok(())
}

/// A short hash of texts (FNV-1a, 64 bits): of the fields that a walk reads, as another set is another walk, or of match rules.
fn texts_hash(fields: &[String]) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in fields.iter().flat_map(|field| field.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}
