//! What needs a person and what is noted, record by record and in groups of one reason, and what each shows.

use crmsync_core::Side;
use crmsync_core::decide::reason;

use super::links::{LinkRow, find_link};
use super::staging::{INBOX_COLUMNS, InboxRow, parse_inbox, read_inbox};
use super::{Error, PairId, RecordPlace, Store, Tx};

/// Which open points are meant; what is empty matches all.
#[derive(Clone, Debug, Default)]
pub struct PointQuery {
    /// Kinds of outcomes.
    pub kinds: Vec<&'static str>,
    /// Reason code.
    pub reason: String,
    /// A module of either side.
    pub module: String,
    /// Mapping row.
    pub field: String,
    /// The value that was left out.
    pub value: String,
    /// One record.
    pub record: Option<RecordPlace>,
    /// Behind this one, for pages: the number of points to pass over.
    pub skip: usize,
    /// At most so many.
    pub most: usize,
}

impl PointQuery {
    fn id(&self) -> &str {
        self.record.as_ref().map_or("", |record| &record.id)
    }

    fn id_module(&self) -> &str {
        self.record.as_ref().map_or("", |record| &record.module)
    }
}

/// One open point: a record, or a field of one, that is not simply in step.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Point {
    /// Number of the module pair.
    #[serde(skip)]
    pub pair: PairId,
    /// Left module.
    pub left_module: String,
    /// Right module.
    pub right_module: String,
    /// Left record, "" if there is none.
    pub left: String,
    /// Right record, "" if there is none.
    pub right: String,
    /// Kind of the outcome.
    pub kind: String,
    /// Reason code.
    pub reason: String,
    /// Mapping row, "" for the whole record.
    pub field: String,
    /// Words, or the value that was left out.
    pub detail: String,
    /// When it was noted, milliseconds since 1970.
    pub at_ms: i64,
}

impl Point {
    /// Whether it is about a linked pair.
    pub fn is_linked(&self) -> bool {
        !self.left.is_empty() && !self.right.is_empty()
    }

    /// The record under which the point is kept: of a linked pair the left one.
    pub fn place(&self) -> (Side, &str) {
        if self.left.is_empty() { (Side::Right, &self.right) } else { (Side::Left, &self.left) }
    }
}

/// Points that are alike.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PointGroup {
    /// Left module.
    pub left_module: String,
    /// Right module.
    pub right_module: String,
    /// Kind.
    pub kind: String,
    /// Reason code.
    pub reason: String,
    /// Mapping row, "" for whole records.
    pub field: String,
    /// The value that was left out, where that is what they have in common; else "".
    pub value: String,
    /// How many.
    pub count: u64,
    /// When the oldest was noted, milliseconds since 1970.
    pub since_ms: i64,
}

/// Reasons whose points have a value in common rather than words of their own.
const BY_VALUE: [&str; 2] = [reason::NO_COUNTERPART_VALUE, reason::OWNER_UNKNOWN];

impl Store {
    /// Open points of a flow.
    pub async fn points(&self, tenant: &str, flow: &str, query: PointQuery) -> Result<Vec<Point>, Error> {
        let (tenant, flow) = (tenant.to_owned(), flow.to_owned());
        self.step(move |tx| points(tx, &tenant, &flow, &query)).await
    }

    /// Open points of a flow, counted by what they have in common, the most frequent first.
    pub async fn point_groups(&self, tenant: &str, flow: &str, query: PointQuery) -> Result<Vec<PointGroup>, Error> {
        let (tenant, flow) = (tenant.to_owned(), flow.to_owned());
        self.step(move |tx| {
            let sql = format!(
                "SELECT p.left_module, p.right_module, o.kind, o.reason, o.field,
                        CASE WHEN o.reason IN ('{}', '{}') THEN o.detail ELSE '' END AS value, count(*), min(o.at_ms)
                 FROM outcome o JOIN pair p ON p.id = o.pair WHERE o.tenant = ?1 AND p.flow = ?2 AND {}
                 GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 7 DESC, 1, 3, 4, 5, 6",
                BY_VALUE[0],
                BY_VALUE[1],
                condition(&query)
            );
            tx.all(
                &sql,
                (
                    &tenant,
                    &flow,
                    &query.reason,
                    &query.module,
                    &query.field,
                    &query.value,
                    query.id(),
                    query.id_module(),
                ),
                |row| {
                    Ok(PointGroup {
                        left_module: row.get(0)?,
                        right_module: row.get(1)?,
                        kind: row.get(2)?,
                        reason: row.get(3)?,
                        field: row.get(4)?,
                        value: row.get(5)?,
                        count: row.get::<_, i64>(6)? as u64,
                        since_ms: row.get(7)?,
                    })
                },
            )
        })
        .await
    }

    /// Live records of the other side that share a match key with this one, strongest key first.
    pub async fn candidates(
        &self,
        tenant: &str,
        pair: PairId,
        side: Side,
        record: &str,
    ) -> Result<Vec<InboxRow>, Error> {
        let (tenant, record) = (tenant.to_owned(), record.to_owned());
        self.step(move |tx| {
            let sql = format!(
                "SELECT {INBOX_COLUMNS} FROM inbox b WHERE b.tenant = ?1 AND b.pair = ?2 AND b.side = ?3 AND b.record IN (
                    SELECT other.record FROM match_key own JOIN match_key other
                    ON other.tenant = own.tenant AND other.pair = own.pair AND other.rule = own.rule AND other.key = own.key AND other.side = ?3
                    WHERE own.tenant = ?1 AND own.pair = ?2 AND own.side = ?4 AND own.record = ?5) ORDER BY b.record LIMIT 50"
            );
            let rows = tx.all(&sql, (&tenant, pair, side.other().as_str(), side.as_str(), &record), read_inbox)?;
            rows.into_iter().map(parse_inbox).collect()
        })
        .await
    }

    /// The staged image of a record that is in no link, if it was read.
    pub async fn unlinked_record(
        &self,
        tenant: &str,
        pair: PairId,
        side: Side,
        record: &str,
    ) -> Result<Option<InboxRow>, Error> {
        let (tenant, record) = (tenant.to_owned(), record.to_owned());
        self.step(move |tx| {
            let sql = format!(
                "SELECT {INBOX_COLUMNS} FROM inbox WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND record = ?4 AND presence = 'live'"
            );
            tx.one(&sql, (&tenant, pair, side.as_str(), &record), read_inbox)?.map(parse_inbox).transpose()
        })
        .await
    }

    /// The living link of a record.
    pub async fn link_of(
        &self,
        tenant: &str,
        pair: PairId,
        side: Side,
        record: &str,
    ) -> Result<Option<LinkRow>, Error> {
        let (tenant, record) = (tenant.to_owned(), record.to_owned());
        self.step(move |tx| find_link(tx, &tenant, pair, side, &record)).await
    }
}

/// The condition of a query, with its texts as `?3` to `?8` behind tenant and flow.
fn condition(query: &PointQuery) -> String {
    let kinds = if query.kinds.is_empty() {
        "1 = 1".to_owned()
    } else {
        let kinds: Vec<String> = query.kinds.iter().map(|kind| format!("'{kind}'")).collect();
        format!("o.kind IN ({})", kinds.join(", "))
    };
    let record = match query.record.as_ref().map(|record| record.side) {
        None => "?7 = '' AND ?8 = ''".to_owned(),
        Some(Side::Left) => "o.side = 'left' AND o.record = ?7 AND p.left_module = ?8".to_owned(),
        // What concerns linked records is kept under the left one.
        Some(Side::Right) => "p.right_module = ?8 AND ((o.side = 'right' AND o.record = ?7) OR (o.side = 'left' AND EXISTS (SELECT 1 FROM link l
             WHERE l.tenant = o.tenant AND l.pair = o.pair AND l.left_id = o.record AND l.right_id = ?7 AND l.state <> 'ended')))"
            .to_owned(),
    };
    format!(
        "{kinds} AND (?3 = '' OR o.reason = ?3) AND (?4 = '' OR p.left_module = ?4 OR p.right_module = ?4) AND (?5 = '' OR o.field = ?5)
         AND (?6 = '' OR o.detail = ?6) AND ({record})"
    )
}

fn points(tx: &Tx<'_>, tenant: &str, flow: &str, query: &PointQuery) -> Result<Vec<Point>, Error> {
    let sql = format!(
        "SELECT o.pair, p.left_module, p.right_module, o.side, o.record, o.kind, o.reason, o.field, o.detail, o.at_ms,
                COALESCE((SELECT l.right_id FROM link l WHERE o.side = 'left' AND l.tenant = o.tenant AND l.pair = o.pair
                          AND l.left_id = o.record AND l.state <> 'ended'), '')
         FROM outcome o JOIN pair p ON p.id = o.pair WHERE o.tenant = ?1 AND p.flow = ?2 AND {}
         ORDER BY o.pair, o.kind, o.reason, o.field, o.side, o.record LIMIT ?9 OFFSET ?10",
        condition(query)
    );
    let pages = (query.most as i64, query.skip as i64);
    tx.all(
        &sql,
        (
            tenant,
            flow,
            &query.reason,
            &query.module,
            &query.field,
            &query.value,
            query.id(),
            query.id_module(),
            pages.0,
            pages.1,
        ),
        |row| {
            let (side, record): (String, String) = (row.get(3)?, row.get(4)?);
            let partner: String = row.get(10)?;
            let (left, right) = if side == "left" { (record, partner) } else { (String::new(), record) };
            Ok(Point {
                pair: row.get(0)?,
                left_module: row.get(1)?,
                right_module: row.get(2)?,
                left,
                right,
                kind: row.get(5)?,
                reason: row.get(6)?,
                field: row.get(7)?,
                detail: row.get(8)?,
                at_ms: row.get(9)?,
            })
        },
    )
}
