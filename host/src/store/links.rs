//! Links: one thing known on both sides, with a base for each, as they are read and saved.

use std::collections::BTreeMap;

use crmsync_core::{Away, Base, Owed, RemovalReason, Side};
use rusqlite::Row;

use super::driver::{from_json, to_json};
use super::keys::forget_keys;
use super::leaving::Mark;
use super::staging::id_column;
use super::{Error, PairId, Tx};

/// Both bases of one mapping row, and what one side still owes the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RowBases {
    /// What the left side showed last.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Base>,
    /// What the right side showed last.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub right: Option<Base>,
    /// A write to these sides was decided and has not been acknowledged, or was held back.
    #[serde(rename = "o", default, skip_serializing_if = "Owed::is_nobody")]
    pub owed: Owed,
}

impl RowBases {
    /// The base of one side.
    pub fn side(&self, side: Side) -> &Option<Base> {
        match side {
            Side::Left => &self.left,
            Side::Right => &self.right,
        }
    }

    /// The base of one side, to be changed.
    pub fn side_mut(&mut self, side: Side) -> &mut Option<Base> {
        match side {
            Side::Left => &mut self.left,
            Side::Right => &mut self.right,
        }
    }
}

/// Bases of a link by mapping row.
pub type Bases = BTreeMap<String, RowBases>;

/// The word for a record that is away when the other one came back alone.
pub(super) const BOTH_LEFT: &str = "both";

/// One thing known on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRow {
    /// Number; 0 for a link that is not stored yet.
    pub id: i64,
    /// Grows when a link of the same records is ended and made anew.
    pub generation: i64,
    /// Which side's record left, if one did.
    pub removed: Option<Side>,
    /// How that record left; means nothing while both are there.
    pub away: Away,
    /// Marks of ours in its records: one for each side at most, both if each record left while the other one was away.
    pub marks: Vec<Mark>,
    /// One record left, and a person said that the other one goes as well.
    pub delete_asked: bool,
    /// Both records left: the link is history.
    pub ended: bool,
    /// Left record.
    pub left_id: String,
    /// Right record.
    pub right_id: String,
    /// Left version last seen.
    pub left_version: String,
    /// Right version last seen.
    pub right_version: String,
    /// Version that the left CRM gave to our last write, "" when it has been seen.
    pub left_receipt: String,
    /// The same of the right CRM.
    pub right_receipt: String,
    /// Key of the create that made one of the records, "" for matched ones.
    pub create_key: String,
    /// Updates in a row that were withdrawn or never answered.
    pub attempts: u32,
    /// Bases.
    pub bases: Bases,
}

impl LinkRow {
    /// A new link between two records.
    pub fn new(left_id: &str, right_id: &str) -> LinkRow {
        LinkRow {
            id: 0,
            generation: 1,
            removed: None,
            away: Away::Kept(RemovalReason::Unknown),
            marks: vec![],
            delete_asked: false,
            ended: false,
            left_id: left_id.to_owned(),
            right_id: right_id.to_owned(),
            left_version: String::new(),
            right_version: String::new(),
            left_receipt: String::new(),
            right_receipt: String::new(),
            create_key: String::new(),
            attempts: 0,
            bases: Bases::new(),
        }
    }

    /// The record's id on one side.
    pub fn id_of(&self, side: Side) -> &str {
        match side {
            Side::Left => &self.left_id,
            Side::Right => &self.right_id,
        }
    }

    /// The mark of ours in the record of one side.
    pub fn mark_on(&self, side: Side) -> Option<&Mark> {
        self.marks.iter().find(|mark| mark.side == side)
    }

    /// The version last seen on one side.
    pub fn version_of(&self, side: Side) -> &str {
        match side {
            Side::Left => &self.left_version,
            Side::Right => &self.right_version,
        }
    }

    /// The version that one side's CRM gave to our last write, "" when it has been seen.
    pub fn receipt_of(&self, side: Side) -> &str {
        match side {
            Side::Left => &self.left_receipt,
            Side::Right => &self.right_receipt,
        }
    }

    /// Notes what one side was seen at.
    pub fn see(&mut self, side: Side, version: &str, receipt: &str) {
        let (seen, written) = match side {
            Side::Left => (&mut self.left_version, &mut self.left_receipt),
            Side::Right => (&mut self.right_version, &mut self.right_receipt),
        };
        version.clone_into(seen);
        receipt.clone_into(written);
    }

    /// A write to this side was acknowledged: its receipt says nothing of what was sent before.
    pub(super) fn overtake(&mut self, side: Side) {
        for base in self.bases.values_mut().filter_map(|bases| bases.side_mut(side).as_mut()) {
            base.overtaken = base.sent.is_some();
        }
    }

    fn state(&self) -> &'static str {
        match self.removed {
            _ if self.ended => "ended",
            None => "active",
            Some(Side::Left) => "left-removed",
            Some(Side::Right) => "right-removed",
        }
    }

    fn removed_why(&self) -> &'static str {
        match (self.removed, self.away) {
            (None, _) => "",
            (Some(_), Away::Kept(why)) => why.as_str(),
            (Some(_), Away::Both) => BOTH_LEFT,
        }
    }
}

pub(super) const LINK_COLUMNS: &str = "id, generation, state, left_id, right_id, left_version, right_version, left_receipt, right_receipt, create_key, attempts, bases, removed_why, marked, delete_asked";

pub(super) fn read_link(row: &Row<'_>) -> rusqlite::Result<(LinkRow, String, String)> {
    let state: String = row.get(2)?;
    let removed = match state.as_str() {
        "left-removed" => Some(Side::Left),
        "right-removed" => Some(Side::Right),
        _ => None,
    };
    let link = LinkRow {
        id: row.get(0)?,
        generation: row.get(1)?,
        removed,
        away: match row.get::<_, String>(12)?.as_str() {
            BOTH_LEFT => Away::Both,
            why => Away::Kept(RemovalReason::parse(why)),
        },
        marks: vec![],
        delete_asked: row.get::<_, i64>(14)? != 0,
        ended: state == "ended",
        left_id: row.get(3)?,
        right_id: row.get(4)?,
        left_version: row.get(5)?,
        right_version: row.get(6)?,
        left_receipt: row.get(7)?,
        right_receipt: row.get(8)?,
        create_key: row.get(9)?,
        attempts: row.get(10)?,
        bases: Bases::new(),
    };
    Ok((link, row.get(11)?, row.get(13)?))
}

pub(super) fn parse_link((link, bases, marked): (LinkRow, String, String)) -> Result<LinkRow, Error> {
    let marks = match marked.as_str() {
        "" => vec![],
        // As it was written while there was room for one.
        one if one.starts_with('{') => vec![from_json("mark", one)?],
        list => from_json("marks", list)?,
    };
    Ok(LinkRow { bases: from_json("bases", &bases)?, marks, ..link })
}

pub(super) fn find_link(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    side: Side,
    record: &str,
) -> Result<Option<LinkRow>, Error> {
    let sql = format!(
        "SELECT {LINK_COLUMNS} FROM link WHERE tenant = ?1 AND pair = ?2 AND {} = ?3 AND state <> 'ended'",
        id_column(side)
    );
    tx.one(&sql, (tenant, pair, record), read_link)?.map(parse_link).transpose()
}

/// The link with this number.
pub(super) fn link_by_id(tx: &Tx<'_>, id: i64) -> Result<Option<LinkRow>, Error> {
    let sql = format!("SELECT {LINK_COLUMNS} FROM link WHERE id = ?1");
    tx.one(&sql, [id], read_link)?.map(parse_link).transpose()
}

/// Makes the link, or saves it; gives its number.
pub(super) fn save_link(tx: &Tx<'_>, tenant: &str, pair: PairId, link: &LinkRow, now_ms: i64) -> Result<i64, Error> {
    let bases = to_json("bases", &link.bases)?;
    let marked = if link.marks.is_empty() { String::new() } else { to_json("marks", &link.marks)? };
    if link.id != 0 {
        tx.execute(
            "UPDATE link SET state = ?2, left_version = ?3, right_version = ?4, left_receipt = ?5, right_receipt = ?6, attempts = ?7,
             bases = ?8, removed_why = ?9, marked = ?10, delete_asked = ?11 WHERE id = ?1",
            (
                link.id,
                link.state(),
                &link.left_version,
                &link.right_version,
                &link.left_receipt,
                &link.right_receipt,
                link.attempts,
                &bases,
                link.removed_why(),
                &marked,
                i64::from(link.delete_asked),
            ),
        )?;
        return Ok(link.id);
    }
    for side in Side::BOTH {
        forget_keys(tx, tenant, pair, side, link.id_of(side))?;
        tx.execute(
            "DELETE FROM choice WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND record = ?4",
            (tenant, pair, side.as_str(), link.id_of(side)),
        )?;
    }
    // I2: a link that is made anew after one of its records was in another that ended is the next generation.
    let mut generation = link.generation;
    for side in Side::BOTH {
        generation = generation.max(next_generation(tx, tenant, pair, side, link.id_of(side))?);
    }
    tx.insert(
        "INSERT INTO link (tenant, pair, generation, state, left_id, right_id, left_version, right_version, left_receipt, right_receipt,
                           create_key, bases, linked_at_ms, removed_why)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        (
            tenant,
            pair,
            generation,
            link.state(),
            &link.left_id,
            &link.right_id,
            &link.left_version,
            &link.right_version,
            &link.left_receipt,
            &link.right_receipt,
            &link.create_key,
            &bases,
            now_ms,
            link.removed_why(),
        ),
    )
}

/// The number of a record's next link: 1, or one more than that of its last link that ended.
pub(super) fn next_generation(tx: &Tx<'_>, tenant: &str, pair: PairId, side: Side, record: &str) -> Result<i64, Error> {
    let sql = format!(
        "SELECT max(generation) FROM link WHERE tenant = ?1 AND pair = ?2 AND {} = ?3 AND state = 'ended'",
        id_column(side)
    );
    let former = tx.one(&sql, (tenant, pair, record), |row| row.get::<_, Option<i64>>(0))?.flatten();
    Ok(former.unwrap_or(0) + 1)
}
