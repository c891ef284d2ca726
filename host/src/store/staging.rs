//! Rule 2: a cursor (`cursors.rs`) moves only together with the staged records of its page. The inbox and the match keys.

use std::collections::{BTreeMap, BTreeSet};

use crmsync_core::sabotage::{Sabotage, is_on};
use crmsync_core::{RemovalReason, Side, Value};
use rusqlite::Row;

use super::cursors::{CursorRow, save_cursor};
use super::driver::{from_json, to_json};
use super::keys::{forget_keys, put_keys};
use super::links::BOTH_LEFT;
use super::{Error, Lease, PairId, Store, Tx};

/// Stands between a CRM's version and the digest of the record's image in a stored version.
const DIGEST_MARK: char = '\u{1f}';

/// The version of a staged record: the CRM's, and a digest of the image (FNV-1a, 64 bits). CRMs that tell times in whole seconds give
/// one version to two edits of one second; the digest tells them apart.
fn image_version(version: &str, image: &BTreeMap<String, Value>) -> Result<String, Error> {
    if is_on(Sabotage::OneVersionASecond) {
        return Ok(version.to_owned());
    }
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in to_json("record image", image)?.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    Ok(format!("{version}{DIGEST_MARK}{hash:016x}"))
}

/// The part of a stored version that the CRM told; receipts and writes know no other.
pub fn told_version(stored: &str) -> &str {
    stored.split_once(DIGEST_MARK).map_or(stored, |(told, _)| told)
}

/// What an inbox row says of its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceWord {
    /// Read: the image is what it shows.
    Live,
    /// Not read again, only to be decided again.
    Unread,
    /// To be read before it is decided: a person decided something about it, and what it shows now is not known.
    Unseen,
    /// It left.
    Removed(RemovalReason),
}

impl PresenceWord {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            PresenceWord::Live => "live",
            PresenceWord::Unread => "unread",
            PresenceWord::Unseen => "unseen",
            PresenceWord::Removed(reason) => reason.as_str(),
        }
    }

    pub(super) fn parse(word: &str) -> PresenceWord {
        match word {
            "live" => PresenceWord::Live,
            "unread" => PresenceWord::Unread,
            "unseen" => PresenceWord::Unseen,
            reason => PresenceWord::Removed(RemovalReason::parse(reason)),
        }
    }
}

/// One live record of a page.
#[derive(Clone, Debug)]
pub struct Staged {
    /// Its id.
    pub record: String,
    /// Its version as the CRM tells it.
    pub version: String,
    /// Time of its last change as the CRM tells it.
    pub modified_at_ms: i64,
    /// Our key found in it, or "".
    pub create_key: String,
    /// What it shows, by field; absent fields left out.
    pub image: BTreeMap<String, Value>,
    /// Match keys as (rule, key).
    pub keys: Vec<(usize, String)>,
}

/// One page with the cursor behind it.
#[derive(Clone, Debug)]
pub struct StagedPage {
    /// Live records.
    pub live: Vec<Staged>,
    /// Records that left.
    pub removed: Vec<(String, RemovalReason)>,
    /// The walk reads a changed set of fields: known versions are staged too, as their images show other fields than before.
    pub whole: bool,
    /// Where to go on; none leaves the cursor where it is (records that were read by id).
    pub cursor: Option<CursorRow>,
}

/// How far a staged record has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboxState {
    /// To be decided.
    Staged,
    /// Decided; a person or another record is needed.
    Held,
    /// A create of it is on its way.
    Deciding,
}

/// One record that waits for a decision.
#[derive(Clone, Debug)]
pub struct InboxRow {
    /// Number of its staging.
    pub seq: i64,
    /// Side.
    pub side: Side,
    /// Id.
    pub record: String,
    /// How far it has come.
    pub state: InboxState,
    /// What is known of it.
    pub presence: PresenceWord,
    /// Version; of a removal whether it was told.
    pub version: String,
    /// Time of its last change as the CRM tells it, milliseconds since 1970.
    pub modified_at_ms: i64,
    /// Our key found in it, or "".
    pub create_key: String,
    /// What it shows.
    pub image: BTreeMap<String, Value>,
}

/// What stands in the place of a version in a removal that the log tells of.
pub(super) const TOLD: &str = "told";

impl InboxRow {
    /// Whether the record left, and the log does not tell of it yet: a removal may be decided again and again, until people consent.
    pub fn leaves_untold(&self) -> bool {
        matches!(self.presence, PresenceWord::Removed(_)) && self.version != TOLD
    }
}

impl Store {
    /// Rule 2: stages a page and moves the cursor, both or neither. Gives the number of records that were new to us: known versions
    /// are passed over, so that a page may come twice.
    pub async fn stage_page(&self, lease: &Lease, pair: PairId, side: Side, page: StagedPage) -> Result<u64, Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            let mut fresh = 0;
            for record in &page.live {
                fresh += u64::from(stage_live(tx, &lease.tenant, pair, side, record, page.whole)?);
            }
            for (record, reason) in &page.removed {
                fresh += u64::from(stage_removal(tx, &lease.tenant, pair, side, record, *reason)?);
            }
            if let Some(cursor) = &page.cursor {
                save_cursor(tx, &lease.tenant, pair, side, cursor)?;
            }
            Ok(fresh)
        })
        .await
    }

    /// Ids of one side that should be there, after the given one, in order: those of links whose record did not leave, and unlinked live
    /// records. For sweeps.
    pub async fn known_ids(
        &self,
        tenant: &str,
        pair: PairId,
        side: Side,
        after: &str,
        most: usize,
    ) -> Result<Vec<String>, Error> {
        let (tenant, after) = (tenant.to_owned(), after.to_owned());
        self.step(move |tx| {
            let column = id_column(side);
            let sql = format!(
                "SELECT {column} AS id FROM link
                 WHERE tenant = ?1 AND pair = ?2 AND state <> 'ended' AND state <> '{own}-removed' AND {column} > ?4
                 UNION SELECT record AS id FROM inbox WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND presence IN ('live', 'unseen') AND record > ?4
                 ORDER BY id LIMIT ?5",
                own = side.as_str()
            );
            tx.all(&sql, (&tenant, pair, side.as_str(), &after, most as i64), |row| row.get(0))
        })
        .await
    }

    /// S12: puts all links before the next decision again if the mapping rows are not those that they were last decided by.
    pub async fn adopt_mapping(&self, lease: &Lease, pair: PairId, mapping_hash: String) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            let known: Option<String> = tx.one("SELECT mapping FROM pair WHERE id = ?1", [pair], |row| row.get(0))?;
            if known.as_ref() == Some(&mapping_hash) || is_on(Sabotage::NewRowsAreIgnored) {
                return Ok(());
            }
            tx.execute(
                "INSERT INTO inbox (tenant, pair, side, record, state, presence, version, modified_at_ms, create_key, image)
                 SELECT tenant, pair, 'left', left_id, 'staged', 'unread', '', 0, '', '{}' FROM link
                 WHERE tenant = ?1 AND pair = ?2 AND state <> 'ended' AND state = 'active' ON CONFLICT DO NOTHING",
                (&lease.tenant, pair),
            )?;
            tx.execute("UPDATE pair SET mapping = ?2 WHERE id = ?1", (pair, &mapping_hash))?;
            Ok(())
        })
        .await
    }

    /// How many records of one side are known: active links and unlinked live records. For sweeps.
    pub async fn known_records(&self, tenant: &str, pair: PairId, side: Side) -> Result<u64, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let column = id_column(side);
            let sql = format!(
                "SELECT (SELECT count(*) FROM link WHERE tenant = ?1 AND pair = ?2 AND state <> 'ended' AND state IN ('active', '{other}-removed'))
                 + (SELECT count(*) FROM inbox i WHERE i.tenant = ?1 AND i.pair = ?2 AND i.side = ?3 AND i.presence IN ('live', 'unseen')
                    AND NOT EXISTS (SELECT 1 FROM link l WHERE l.tenant = ?1 AND l.pair = ?2 AND l.{column} = i.record AND l.state <> 'ended'))",
                other = side.other().as_str()
            );
            let known: Option<i64> = tx.one(&sql, (&tenant, pair, side.as_str()), |row| row.get(0))?;
            Ok(known.unwrap_or(0) as u64)
        })
        .await
    }

    /// Those of these records that were read anew and wait to be decided.
    pub async fn staged_records(
        &self,
        tenant: &str,
        pair: PairId,
        side: Side,
        records: Vec<String>,
    ) -> Result<BTreeSet<String>, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let mut staged = BTreeSet::new();
            for record in records {
                let found = tx.one(
                    "SELECT 1 FROM inbox WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND record = ?4 AND state = 'staged' AND presence NOT IN ('unread', 'unseen')",
                    (&tenant, pair, side.as_str(), &record),
                    |_| Ok(()),
                )?;
                if found.is_some() {
                    staged.insert(record);
                }
            }
            Ok(staged)
        })
        .await
    }

    /// Staged records of one side, behind this id, that have to be read before they are decided.
    pub async fn unseen_records(
        &self,
        tenant: &str,
        pair: PairId,
        side: Side,
        after: &str,
        most: usize,
    ) -> Result<Vec<String>, Error> {
        let (tenant, after) = (tenant.to_owned(), after.to_owned());
        self.step(move |tx| {
            tx.all(
                "SELECT record FROM inbox WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND state = 'staged' AND presence = 'unseen'
                 AND record > ?4 ORDER BY record LIMIT ?5",
                (&tenant, pair, side.as_str(), &after, most as i64),
                |row| row.get(0),
            )
        })
        .await
    }

    /// Puts records before the next decision again of which something was left out for one of these reasons, noted before this
    /// moment. Gives their number.
    pub async fn touch_left_out(
        &self,
        lease: &Lease,
        pair: PairId,
        reasons: Vec<&'static str>,
        before_ms: i64,
    ) -> Result<u64, Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            let mut records = BTreeSet::new();
            for reason in reasons {
                records.extend(tx.all(
                    "SELECT side, record FROM outcome WHERE tenant = ?1 AND pair = ?2 AND reason = ?3 AND at_ms < ?4",
                    (&lease.tenant, pair, reason, before_ms),
                    |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
                )?);
            }
            for (side, record) in &records {
                let side = if side == "left" { Side::Left } else { Side::Right };
                touch_known(tx, &lease.tenant, pair, side, record)?;
            }
            Ok(records.len() as u64)
        })
        .await
    }
}

pub(super) fn id_column(side: Side) -> &'static str {
    match side {
        Side::Left => "left_id",
        Side::Right => "right_id",
    }
}

fn stage_live(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    side: Side,
    record: &Staged,
    whole: bool,
) -> Result<bool, Error> {
    let seen = image_version(&record.version, &record.image)?;
    let linked = tx.one(
        &format!(
            "SELECT {version}_version, {version}_receipt, state FROM link WHERE tenant = ?1 AND pair = ?2 AND {id} = ?3 AND state <> 'ended'",
            version = side.as_str(),
            id = id_column(side)
        ),
        (tenant, pair, &record.record),
        |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?)),
    )?;
    let linked = match linked {
        Some(linked) => Some(linked),
        None if is_on(Sabotage::BackIsNew) => None,
        None => reopen_link(tx, tenant, pair, side, &record.record)?,
    };
    let known = tx.one(
        "SELECT version, presence FROM inbox WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND record = ?4",
        (tenant, pair, side.as_str(), &record.record),
        |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
    )?;
    let waits_already = known.as_ref().is_some_and(|(version, presence)| *version == seen && presence == "live");
    // A record that comes back from the bin is news whatever its version; its partner, which stayed, is none.
    let came_back = format!("{}-removed", side.as_str());
    let settled_already = known.is_none()
        && linked.as_ref().is_some_and(|(version, receipt, state)| {
            // A version without a digest is that of a receipt which told what was stored.
            (*version == seen || *version == record.version) && receipt.is_empty() && *state != came_back
        });
    if !whole && (waits_already || settled_already) {
        return Ok(false);
    }
    let image = to_json("record image", &record.image)?;
    put_inbox(
        tx,
        tenant,
        pair,
        side,
        &record.record,
        PresenceWord::Live,
        &seen,
        record.modified_at_ms,
        &record.create_key,
        &image,
    )?;
    if linked.is_none() {
        put_keys(tx, tenant, pair, side, &record.record, &record.keys)?;
    }
    Ok(true)
}

/// S14: a record that comes back from the bin comes back to its link, even if the other one had left too. Gives what is known of
/// the link, as a record that stages itself asks for it.
fn reopen_link(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    side: Side,
    record: &str,
) -> Result<Option<(String, String, String)>, Error> {
    let ended: Option<(i64, String, String)> = tx.one(
        &format!(
            "SELECT e.id, e.{other}, e.reopened_by FROM link e WHERE e.tenant = ?1 AND e.pair = ?2 AND e.{id} = ?3 AND e.state = 'ended' AND e.reopened_by IN ('both', ?4)
             AND NOT EXISTS (SELECT 1 FROM link l WHERE l.tenant = ?1 AND l.pair = ?2 AND l.{other} = e.{other} AND l.state <> 'ended')
             ORDER BY e.generation DESC, e.id DESC LIMIT 1",
            id = id_column(side),
            other = id_column(side.other())
        ),
        (tenant, pair, record, side.as_str()),
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let Some((ended, partner, reopened_by)) = ended else { return Ok(None) };
    let state = if reopened_by == "both" {
        // The other record may be there, unlinked, only because it came back earlier; then it would have opened the link itself.
        format!("{}-removed", side.other().as_str())
    } else {
        // The other one was kept without a partner.
        stage_unseen(tx, tenant, pair, side.other(), &partner)?;
        "active".to_owned()
    };
    let why = if state == "active" { "" } else { BOTH_LEFT };
    let reopen = "UPDATE link SET state = ?2, reopened_by = 'both', removed_why = ?3 WHERE id = ?1";
    tx.execute(reopen, (ended, &state, why))?;
    // Whatever a person chose for one of them was chosen for a record without a partner.
    tx.execute(
        "DELETE FROM choice WHERE tenant = ?1 AND pair = ?2 AND EXISTS (SELECT 1 FROM link l WHERE l.id = ?3
         AND ((choice.side = 'left' AND choice.record = l.left_id) OR (choice.side = 'right' AND choice.record = l.right_id)))",
        (tenant, pair, ended),
    )?;
    Ok(Some((String::new(), String::new(), state)))
}

fn stage_removal(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    side: Side,
    record: &str,
    reason: RemovalReason,
) -> Result<bool, Error> {
    let gone_word = format!("{}-removed", side.as_str());
    let linked = tx.one(
        &format!(
            "SELECT state FROM link WHERE tenant = ?1 AND pair = ?2 AND {} = ?3 AND state <> 'ended'",
            id_column(side)
        ),
        (tenant, pair, record),
        |row| row.get::<_, String>(0),
    )?;
    let known = tx.one(
        "SELECT state, presence FROM inbox WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND record = ?4",
        (tenant, pair, side.as_str(), record),
        |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
    )?;
    // Told before, its removal waits for people's consent, or its counterpart's delete is on its way. A better reason is news.
    let told = known.as_ref().filter(|(_, presence)| matches!(PresenceWord::parse(presence), PresenceWord::Removed(_)));
    let is_better = !matches!(reason, RemovalReason::Deleted | RemovalReason::Unknown);
    if told.is_some_and(|(state, presence)| state == "deciding" || presence == reason.as_str() || !is_better) {
        return Ok(false);
    }
    let concerns_us = linked.as_ref().is_some_and(|state| *state != gone_word) || known.is_some();
    if concerns_us {
        put_inbox(tx, tenant, pair, side, record, PresenceWord::Removed(reason), "", 0, "", "{}")?;
        forget_keys(tx, tenant, pair, side, record)?;
    }
    Ok(concerns_us)
}

#[expect(clippy::too_many_arguments, reason = "one column each, from three callers with nothing else in common")]
fn put_inbox(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    side: Side,
    record: &str,
    presence: PresenceWord,
    version: &str,
    modified_at_ms: i64,
    create_key: &str,
    image: &str,
) -> Result<(), Error> {
    // Deleted and inserted, never updated: the new number tells a settled create that its record was staged anew meanwhile.
    tx.execute(
        "DELETE FROM inbox WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND record = ?4",
        (tenant, pair, side.as_str(), record),
    )?;
    tx.execute(
        "INSERT INTO inbox (tenant, pair, side, record, state, presence, version, modified_at_ms, create_key, image)
         VALUES (?1, ?2, ?3, ?4, 'staged', ?5, ?6, ?7, ?8, ?9)",
        (tenant, pair, side.as_str(), record, presence.as_str(), version, modified_at_ms, create_key, image),
    )?;
    Ok(())
}

/// Puts a record before the next decision, which reads it first.
pub(super) fn stage_unseen(tx: &Tx<'_>, tenant: &str, pair: PairId, side: Side, record: &str) -> Result<(), Error> {
    put_inbox(tx, tenant, pair, side, record, PresenceWord::Unseen, "", 0, "", "{}")
}

/// Puts a linked record before the next decision again, without having read it.
pub(super) fn touch(tx: &Tx<'_>, tenant: &str, pair: PairId, side: Side, record: &str) -> Result<(), Error> {
    let known = tx.execute(
        "UPDATE inbox SET state = 'staged' WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND record = ?4",
        (tenant, pair, side.as_str(), record),
    )?;
    if known == 0 {
        put_inbox(tx, tenant, pair, side, record, PresenceWord::Unread, "", 0, "", "{}")?;
    }
    Ok(())
}

/// Puts a linked record, or one that waits unlinked, before the next decision again.
pub(super) fn touch_known(tx: &Tx<'_>, tenant: &str, pair: PairId, side: Side, record: &str) -> Result<(), Error> {
    let linked = tx.one(
        &format!(
            "SELECT 1 FROM link WHERE tenant = ?1 AND pair = ?2 AND {} = ?3 AND state <> 'ended'",
            id_column(side)
        ),
        (tenant, pair, record),
        |_| Ok(()),
    )?;
    if linked.is_some() {
        return touch(tx, tenant, pair, side, record);
    }
    tx.execute(
        "UPDATE inbox SET state = 'staged' WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND record = ?4 AND state = 'held'",
        (tenant, pair, side.as_str(), record),
    )?;
    Ok(())
}

pub(super) fn unlinked_since(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    side: Side,
    since_ms: i64,
    most: i64,
) -> Result<Vec<InboxRow>, Error> {
    let sql = format!(
        "SELECT {INBOX_COLUMNS} FROM inbox i WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND modified_at_ms >= ?4 AND presence = 'live'
         AND NOT EXISTS (SELECT 1 FROM link l WHERE l.tenant = ?1 AND l.pair = ?2 AND l.{id} = i.record AND l.state <> 'ended')
         ORDER BY modified_at_ms LIMIT ?5",
        id = id_column(side)
    );
    tx.all(&sql, (tenant, pair, side.as_str(), since_ms, most), read_inbox)?.into_iter().map(parse_inbox).collect()
}

pub(super) const INBOX_COLUMNS: &str = "seq, side, record, state, presence, version, modified_at_ms, create_key, image";

pub(super) fn read_inbox(row: &Row<'_>) -> rusqlite::Result<(InboxRow, String)> {
    let side: String = row.get(1)?;
    let inbox = InboxRow {
        seq: row.get(0)?,
        side: if side == "left" { Side::Left } else { Side::Right },
        record: row.get(2)?,
        state: match row.get::<_, String>(3)?.as_str() {
            "staged" => InboxState::Staged,
            "held" => InboxState::Held,
            _ => InboxState::Deciding,
        },
        presence: PresenceWord::parse(&row.get::<_, String>(4)?),
        version: row.get(5)?,
        modified_at_ms: row.get(6)?,
        create_key: row.get(7)?,
        image: BTreeMap::new(),
    };
    Ok((inbox, row.get(8)?))
}

pub(super) fn parse_inbox((inbox, image): (InboxRow, String)) -> Result<InboxRow, Error> {
    Ok(InboxRow { image: from_json("record image", &image)?, ..inbox })
}

/// The staged row of one record.
pub(super) fn inbox_row(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    side: Side,
    record: &str,
) -> Result<Option<InboxRow>, Error> {
    let is_own = if is_on(Sabotage::RecordOfAnybody) { "?1 <> '' AND ?2 <> 0" } else { "tenant = ?1 AND pair = ?2" };
    tx.one(
        &format!("SELECT {INBOX_COLUMNS} FROM inbox WHERE {is_own} AND side = ?3 AND record = ?4"),
        (tenant, pair, side.as_str(), record),
        read_inbox,
    )?
    .map(parse_inbox)
    .transpose()
}

pub(super) fn inbox_by_seq(tx: &Tx<'_>, seq: i64) -> Result<Option<InboxRow>, Error> {
    tx.one(&format!("SELECT {INBOX_COLUMNS} FROM inbox WHERE seq = ?1"), [seq], read_inbox)?
        .map(parse_inbox)
        .transpose()
}
