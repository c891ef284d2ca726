//! What runs wrote, read back for an undo; what hangs on a record; and the writes that take something back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crmsync_core::decide::Operation;
use crmsync_core::{Side, Value};

use super::decisions::{NewIntent, insert_intent};
use super::driver::from_json;
use super::links::{LINK_COLUMNS, LinkRow, link_by_id, parse_link, read_link, save_link};
use super::staging::{INBOX_COLUMNS, InboxRow, PresenceWord, id_column, inbox_row, parse_inbox, read_inbox};
use super::{Error, Lease, PairId, Store, Tx};

/// Links or inbox rows that are looked through in one step.
const LOOKED_THROUGH_AT_ONCE: i64 = 500;

/// Which lines to read.
#[derive(Clone, Debug, Default)]
pub struct WrittenQuery {
    /// Only of these runs, first and last.
    pub runs: Option<(i64, i64)>,
    /// Only this record of one of the pair's modules.
    pub record: Option<(Side, String)>,
    /// Only lines behind this number.
    pub after: i64,
    /// At most so many.
    pub most: usize,
}

/// What a line of the journal says that we did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The record was created.
    Created,
    /// It was changed.
    Updated,
    /// It was deleted.
    Deleted,
    /// It was marked, as the other one was deleted.
    Marked,
    /// Something was taken back in it.
    Undone,
    /// A conflict of earlier was settled anew.
    Settled,
    /// Both sides had changed a field, and this side's value was to be replaced: `before` is what was lost, `after` what stayed.
    Conflict,
}

const WRITTEN: [(&str, Written); 7] = [
    ("created", Written::Created),
    ("updated", Written::Updated),
    ("deleted", Written::Deleted),
    ("marked", Written::Marked),
    ("undone", Written::Undone),
    ("settled", Written::Settled),
    ("conflict", Written::Conflict),
];

/// A write that happened.
#[derive(Clone, Debug)]
pub struct WrittenLine {
    /// Number of its journal line.
    pub id: i64,
    /// The run that wrote it.
    pub run: i64,
    /// What was done.
    pub action: Written,
    /// The written side.
    pub side: Side,
    /// Left record.
    pub left_id: String,
    /// Right record.
    pub right_id: String,
    /// What stood there, by mapping row; of a mark by its field.
    pub before: BTreeMap<String, Vec<Value>>,
    /// What was written.
    pub after: BTreeMap<String, Vec<Value>>,
    /// Words.
    pub detail: String,
}

/// One write that takes something back.
#[derive(Clone, Debug)]
pub struct UndoWrite {
    /// The link of the record, 0 for a create.
    pub link: i64,
    /// The write. Its `source_seq` is the staged row of the record that was looked at, 0 if none was staged.
    pub intent: NewIntent,
}

impl Store {
    /// What runs wrote in a pair, oldest first.
    pub async fn written_lines(
        &self,
        tenant: &str,
        pair: PairId,
        query: WrittenQuery,
    ) -> Result<Vec<WrittenLine>, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let (first, last) = query.runs.unwrap_or((0, i64::MAX));
            let (side, record) = query.record.map_or(("", String::new()), |(side, record)| (side.as_str(), record));
            let actions = WRITTEN.map(|(word, _)| format!("'{word}'")).join(", ");
            let sql = format!(
                "SELECT id, action, side, left_id, right_id, before, after, run, detail, field FROM journal
                 WHERE tenant = ?1 AND pair = ?2 AND id > ?3 AND run BETWEEN ?4 AND ?5 AND action IN ({actions})
                 AND (?6 = '' OR (?8 = 'left' AND left_id = ?6) OR (?8 = 'right' AND right_id = ?6)) ORDER BY id LIMIT ?7"
            );
            let rows = tx.all(&sql, (&tenant, pair, query.after, first, last, &record, query.most as i64, side), |row| {
                let texts: (String, String) = (row.get(5)?, row.get(6)?);
                let action: String = row.get(1)?;
                let known = WRITTEN.into_iter().find(|(word, _)| *word == action);
                let line = WrittenLine {
                    id: row.get(0)?,
                    run: row.get(7)?,
                    action: known.map_or(Written::Updated, |(_, action)| action),
                    side: if row.get::<_, String>(2)? == "left" { Side::Left } else { Side::Right },
                    left_id: row.get(3)?,
                    right_id: row.get(4)?,
                    before: BTreeMap::new(),
                    after: BTreeMap::new(),
                    detail: row.get(8)?,
                };
                Ok((line, texts, row.get::<_, String>(9)?))
            })?;
            let parse = |(line, (before, after), field): (WrittenLine, (String, String), String)| {
                let values = |json: &str| match line.action {
                    Written::Conflict => Ok(BTreeMap::from([(field.clone(), from_json("journal values", json)?)])),
                    _ => values_by_row(json),
                };
                Ok(WrittenLine { before: values(&before)?, after: values(&after)?, ..line })
            };
            rows.into_iter().map(parse).collect()
        })
        .await
    }

    /// The staged row of a record, whatever it says.
    pub async fn inbox_record(
        &self,
        tenant: &str,
        pair: PairId,
        side: Side,
        record: &str,
    ) -> Result<Option<InboxRow>, Error> {
        let (tenant, record) = (tenant.to_owned(), record.to_owned());
        self.step(move |tx| inbox_row(tx, &tenant, pair, side, &record)).await
    }

    /// The newest link of two records that is history, if there is one.
    pub async fn ended_link(&self, tenant: &str, pair: PairId, ids: [String; 2]) -> Result<Option<LinkRow>, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let sql = format!(
                "SELECT {LINK_COLUMNS} FROM link WHERE tenant = ?1 AND pair = ?2 AND left_id = ?3 AND right_id = ?4 AND state = 'ended'
                 ORDER BY generation DESC, id DESC LIMIT 1"
            );
            tx.one(&sql, (&tenant, pair, &ids[0], &ids[1]), read_link)?.map(parse_link).transpose()
        })
        .await
    }

    /// The living record of one side that an undo made in place of this one, which was deleted: the one whose link goes on where the
    /// deleted one's ended.
    pub async fn successor(
        &self,
        tenant: &str,
        pair: PairId,
        side: Side,
        record: &str,
    ) -> Result<Option<String>, Error> {
        let (tenant, record) = (tenant.to_owned(), record.to_owned());
        self.step(move |tx| {
            let sql = format!(
                "SELECT l.{own} FROM link e JOIN link l ON l.tenant = e.tenant AND l.pair = e.pair AND l.{other} = e.{other}
                 WHERE e.tenant = ?1 AND e.pair = ?2 AND e.{own} = ?3 AND e.state = 'ended' AND l.state IN ('active', '{}-removed')
                 ORDER BY e.id DESC LIMIT 1",
                side.other().as_str(),
                own = id_column(side),
                other = id_column(side.other())
            );
            tx.one(&sql, (&tenant, pair, &record), |row| row.get(0))
        })
        .await
    }

    /// Records of one side of a pair that point to one of `targets` (`Module/id`), each with what it points to: by the mapping rows
    /// `rows`, whose fields on that side are `fields`. What was read last counts.
    pub async fn pointing_to(
        &self,
        tenant: &str,
        pair: PairId,
        side: Side,
        rows: Vec<String>,
        fields: Vec<String>,
        targets: Arc<BTreeSet<String>>,
    ) -> Result<BTreeSet<(String, String)>, Error> {
        let mut found = BTreeSet::new();
        let (rows, fields) = (Arc::new(rows), Arc::new(fields));
        for part in [Part::Links, Part::Inbox] {
            let mut after = 0;
            loop {
                let (tenant, targets) = (tenant.to_owned(), Arc::clone(&targets));
                let (rows, fields) = (Arc::clone(&rows), Arc::clone(&fields));
                let look = move |tx: &Tx<'_>| match part {
                    Part::Links => linked_pointing_to(tx, &tenant, pair, side, &rows, &targets, after),
                    Part::Inbox => staged_pointing_to(tx, &tenant, pair, side, &fields, &targets, after),
                };
                let (pointing, last) = self.step(look).await?;
                found.extend(pointing);
                let Some(last) = last else { break };
                after = last;
            }
        }
        Ok(found)
    }

    /// Rule 1: stores writes that take something back. A link with an open write gets none.
    pub async fn plan_undo(&self, lease: &Lease, pair: PairId, run: i64, writes: Vec<UndoWrite>) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            writes.iter().try_for_each(|write| plan_one(tx, &lease, pair, run, write))
        })
        .await
    }
}

fn plan_one(tx: &Tx<'_>, lease: &Lease, pair: PairId, run: i64, write: &UndoWrite) -> Result<(), Error> {
    let intent = &write.intent;
    if intent.operation == Operation::Create {
        let open = tx.one(
            "SELECT 1 FROM intent WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND source = ?4 AND operation = 'create'",
            (&lease.tenant, pair, intent.side.as_str(), &intent.source),
            |_| Ok(()),
        )?;
        return if open.is_some() { Ok(()) } else { insert_intent(tx, lease, pair, run, 0, intent) };
    }
    let Some(mut link) = link_by_id(tx, write.link)? else { return Ok(()) };
    // The other side of the same link may be taken back in this run, too.
    let busy = tx.one(
        "SELECT 1 FROM intent WHERE tenant = ?1 AND pair = ?2 AND link = ?3 AND link <> 0 AND (run <> ?4 OR side = ?5)",
        (&lease.tenant, pair, link.id, run, intent.side.as_str()),
        |_| Ok(()),
    )?;
    if busy.is_some() {
        return Ok(());
    }
    if intent.body.settle {
        // Should only one of both sides be written, the other one is told by the next run.
        for change in &intent.body.rows {
            let bases = link.bases.entry(change.row.clone()).or_default();
            bases.owed = bases.owed.and(intent.side);
        }
        save_link(tx, &lease.tenant, pair, &link, 0)?;
    }
    insert_intent(tx, lease, pair, run, link.id, intent)
}

fn values_by_row(json: &str) -> Result<BTreeMap<String, Vec<Value>>, Error> {
    if json.is_empty() { Ok(BTreeMap::new()) } else { from_json("journal values", json) }
}

/// Where references are looked for.
#[derive(Clone, Copy, Debug)]
enum Part {
    Links,
    Inbox,
}

/// What one step found, and the number to go on from; none at the end.
type Found = (Vec<(String, String)>, Option<i64>);

fn pointed<'a>(values: impl Iterator<Item = &'a Value>, targets: &BTreeSet<String>) -> Option<String> {
    let mut references = values.filter_map(|value| match value {
        Value::Reference(text) => Some(text),
        _ => None,
    });
    references.find(|text| targets.contains(*text)).cloned()
}

fn linked_pointing_to(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    side: Side,
    rows: &[String],
    targets: &BTreeSet<String>,
    after: i64,
) -> Result<Found, Error> {
    let sql = format!(
        "SELECT {LINK_COLUMNS} FROM link WHERE tenant = ?1 AND pair = ?2 AND id > ?3 AND state IN ('active', '{}-removed') ORDER BY id LIMIT ?4",
        side.other().as_str()
    );
    let (mut found, mut last) = (Vec::new(), None);
    for link in tx.all(&sql, (tenant, pair, after, LOOKED_THROUGH_AT_ONCE), read_link)? {
        let link = parse_link(link)?;
        last = Some(link.id);
        let bases = rows.iter().filter_map(|row| link.bases.get(row)?.side(side).as_ref());
        let values = bases.flat_map(|base| base.sent.as_ref().unwrap_or(&base.values));
        let Some(target) = pointed(values, targets) else { continue };
        let record = link.id_of(side);
        let staged = inbox_row(tx, tenant, pair, side, record)?;
        if staged.is_none_or(|row| row.presence != PresenceWord::Live) {
            found.push((record.to_owned(), target));
        }
    }
    Ok((found, last))
}

fn staged_pointing_to(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    side: Side,
    fields: &[String],
    targets: &BTreeSet<String>,
    after: i64,
) -> Result<Found, Error> {
    let sql = format!(
        "SELECT {INBOX_COLUMNS} FROM inbox WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND seq > ?4 AND presence = 'live' ORDER BY seq LIMIT ?5"
    );
    let (mut found, mut last) = (Vec::new(), None);
    for row in tx.all(&sql, (tenant, pair, side.as_str(), after, LOOKED_THROUGH_AT_ONCE), read_inbox)? {
        let row = parse_inbox(row)?;
        last = Some(row.seq);
        if let Some(target) = pointed(fields.iter().filter_map(|field| row.image.get(field)), targets) {
            found.push((row.record, target));
        }
    }
    Ok((found, last))
}
