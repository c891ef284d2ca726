//! Matching by index: the match keys of records that are in no link, and what they amount to.

use std::collections::BTreeMap;

use crmsync_core::Side;
use crmsync_core::sabotage::{Sabotage, is_on};

use super::choice::{Choice, choice_of};
use super::staging::{INBOX_COLUMNS, InboxRow, id_column, parse_inbox, read_inbox};
use super::{Error, Lease, PairId, Store, Tx};

impl Store {
    /// Judges all unlinked records by their match keys, strongest rule first: exactly one on each side is a pairing, several on a side
    /// are marked. Rows that a new verdict concerns are decided again.
    pub async fn refresh_pairings(&self, lease: &Lease, pair: PairId, rules: usize) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            refresh_pairings(tx, &lease.tenant, pair, rules)
        })
        .await
    }

    /// Gives staged unlinked records new match keys if the match rules are not those of their keys: `rules_hash` tells the rules apart,
    /// `keys` gives the keys of an image as (rule, key).
    ///
    /// Where rules name references, `references` has the pairs of the modules that they may point to, by side; keys are then made anew
    /// whenever something was staged or linked there.
    pub async fn rekey(
        &self,
        lease: &Lease,
        pair: PairId,
        rules_hash: String,
        references: [BTreeMap<String, PairId>; 2],
        keys: impl Fn(&InboxRow, &KnownAs<'_>) -> Result<Vec<(usize, String)>, Error> + Send + 'static,
    ) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            let rules_hash = with_links(tx, &lease.tenant, pair, &rules_hash, &references)?;
            let known: Option<String> =
                tx.one("SELECT match_rules FROM pair WHERE id = ?1", [pair], |row| row.get(0))?;
            if known.as_ref() == Some(&rules_hash) {
                return Ok(());
            }
            rekey(tx, &lease.tenant, pair, &references, &keys)?;
            tx.execute("UPDATE pair SET match_rules = ?2 WHERE id = ?1", (pair, &rules_hash))?;
            Ok(())
        })
        .await
    }
}

/// Gives a record new match keys.
pub(super) fn put_keys(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    side: Side,
    record: &str,
    keys: &[(usize, String)],
) -> Result<(), Error> {
    forget_keys(tx, tenant, pair, side, record)?;
    // A record without a counterpart takes no part in matching. One that is left alone keeps its keys: it is never paired, but whoever
    // looks like it is not simply copied next to it either.
    if choice_of(tx, tenant, pair, side, record)? == Some(Choice::New) {
        return Ok(());
    }
    let was_linked = format!(
        "SELECT 1 FROM link WHERE tenant = ?1 AND pair = ?2 AND {} = ?3 AND state = 'ended' LIMIT 1",
        id_column(side)
    );
    let was_linked = tx.one(&was_linked, (tenant, pair, record), |_| Ok(()))?.is_some();
    for (rule, key) in keys {
        // A link that ended was ended for a reason, and its copy is not joined again by itself.
        if was_linked && *rule == copies_on(side.other()) {
            continue;
        }
        tx.execute(
            "INSERT INTO match_key (tenant, pair, side, record, rule, key, verdict) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'open')",
            (tenant, pair, side.as_str(), record, *rule as i64, key),
        )?;
    }
    Ok(())
}

/// In place of a match rule's number: left records that are our copies, by our key in them, and the right ones that they would be copies of.
pub const COPIES_LEFT: usize = 1_000_000;
/// The same for copies on the right.
pub const COPIES_RIGHT: usize = 1_000_001;

/// The rule by which copies on this side are known.
pub fn copies_on(side: Side) -> usize {
    match side {
        Side::Left => COPIES_LEFT,
        Side::Right => COPIES_RIGHT,
    }
}

/// Records whose images are read at once.
const REKEY_ROWS: i64 = 500;

/// New match keys for all staged records that are in no link.
fn rekey(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    references: &[BTreeMap<String, PairId>; 2],
    keys: &impl Fn(&InboxRow, &KnownAs<'_>) -> Result<Vec<(usize, String)>, Error>,
) -> Result<(), Error> {
    let sql = format!(
        "SELECT {INBOX_COLUMNS} FROM inbox i WHERE tenant = ?1 AND pair = ?2 AND seq > ?3 AND presence = 'live'
         AND NOT EXISTS (SELECT 1 FROM link l WHERE l.tenant = ?1 AND l.pair = ?2 AND i.side = 'left' AND l.left_id = i.record AND l.state <> 'ended')
         AND NOT EXISTS (SELECT 1 FROM link l WHERE l.tenant = ?1 AND l.pair = ?2 AND i.side = 'right' AND l.right_id = i.record AND l.state <> 'ended')
         ORDER BY seq LIMIT ?4"
    );
    let mut after = 0;
    loop {
        let rows = tx.all(&sql, (tenant, pair, after, REKEY_ROWS), read_inbox)?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        after = last.seq;
        for row in rows {
            let row = parse_inbox(row)?;
            let known_as = |reference: &str| known_as(tx, tenant, references, row.side, reference);
            let keys = keys(&row, &known_as)?;
            put_keys(tx, tenant, pair, row.side, &row.record, &keys)?;
        }
    }
}

/// What both sides know a referenced record (`Module/id`) as; none if it is neither linked nor matched.
pub type KnownAs<'a> = dyn Fn(&str) -> Result<Option<String>, Error> + 'a;

fn known_as(
    tx: &Tx<'_>,
    tenant: &str,
    references: &[BTreeMap<String, PairId>; 2],
    side: Side,
    reference: &str,
) -> Result<Option<String>, Error> {
    let Some((module, id)) = reference.split_once('/') else { return Ok(None) };
    let Some(&pair) = references[side as usize].get(module) else { return Ok(None) };
    let own = id_column(side);
    let linked =
        format!("SELECT left_id FROM link WHERE tenant = ?1 AND pair = ?2 AND {own} = ?3 AND state <> 'ended'");
    let matched = format!("SELECT left_id FROM pairing WHERE tenant = ?1 AND pair = ?2 AND {own} = ?3");
    for sql in [linked, matched] {
        if let Some(left) = tx.one(&sql, (tenant, pair, id), |row| row.get::<_, String>(0))? {
            return Ok(Some(format!("{pair}/{left}")));
        }
    }
    Ok(None)
}

/// The hash of match rules; with references, also of what is staged and of what the referenced records are known as.
fn with_links(
    tx: &Tx<'_>,
    tenant: &str,
    pair: PairId,
    rules_hash: &str,
    references: &[BTreeMap<String, PairId>; 2],
) -> Result<String, Error> {
    let mut pairs: Vec<PairId> = references[0].values().copied().collect();
    if pairs.is_empty() {
        return Ok(rules_hash.to_owned());
    }
    pairs.sort_unstable();
    let number = |sql: &str, pair: PairId| -> Result<i64, Error> {
        Ok(tx.one(sql, (tenant, pair), |row| row.get::<_, Option<i64>>(0))?.flatten().unwrap_or(0))
    };
    let mut spelled =
        format!("{rules_hash} {}", number("SELECT max(seq) FROM inbox WHERE tenant = ?1 AND pair = ?2", pair)?);
    for pair in pairs {
        let newest = number("SELECT max(id) FROM link WHERE tenant = ?1 AND pair = ?2", pair)?;
        let links = number("SELECT count(*) FROM link WHERE tenant = ?1 AND pair = ?2 AND state <> 'ended'", pair)?;
        let pairings = number("SELECT count(*) FROM pairing WHERE tenant = ?1 AND pair = ?2", pair)?;
        spelled.push_str(&format!(" {pair}:{newest}:{links}:{pairings}"));
    }
    Ok(spelled)
}

/// Takes a record out of matching.
pub(super) fn forget_keys(tx: &Tx<'_>, tenant: &str, pair: PairId, side: Side, record: &str) -> Result<(), Error> {
    tx.execute(
        "DELETE FROM match_key WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND record = ?4",
        (tenant, pair, side.as_str(), record),
    )?;
    tx.execute(
        &format!("DELETE FROM pairing WHERE tenant = ?1 AND pair = ?2 AND {} = ?3", id_column(side)),
        (tenant, pair, record),
    )?;
    Ok(())
}

/// Judges all unlinked records by their match keys; see [`super::Store::refresh_pairings`].
fn refresh_pairings(tx: &Tx<'_>, tenant: &str, pair: PairId, rules: usize) -> Result<(), Error> {
    tx.execute("DELETE FROM pairing WHERE tenant = ?1 AND pair = ?2", (tenant, pair))?;
    tx.execute(
        "UPDATE match_key SET verdict = 'open' WHERE tenant = ?1 AND pair = ?2 AND verdict <> 'open'",
        (tenant, pair),
    )?;
    let most = if is_on(Sabotage::GuessAmongSeveral) { i64::MAX } else { 1 };
    // What we made ourselves is known for certain, so it comes before everything that people thought of.
    let copies = [COPIES_LEFT, COPIES_RIGHT].into_iter().filter(|_| !is_on(Sabotage::CopiesAreStrangers));
    for rule in copies.chain(0..rules).map(|rule| rule as i64) {
        // A record that a stronger rule has judged takes no part in a weaker one.
        tx.execute(
            "INSERT INTO pairing (tenant, pair, left_id, right_id, rule)
             SELECT ?1, ?2, MIN(CASE WHEN k.side = 'left' THEN k.record END), MIN(CASE WHEN k.side = 'right' THEN k.record END), ?3
             FROM match_key k
             LEFT JOIN choice c ON c.tenant = k.tenant AND c.pair = k.pair AND c.side = k.side AND c.record = k.record
             WHERE k.tenant = ?1 AND k.pair = ?2 AND k.rule = ?3 AND k.verdict = 'open'
             GROUP BY k.key
             HAVING SUM(CASE WHEN k.side = 'left' THEN 1 ELSE 0 END) BETWEEN 1 AND ?4 AND SUM(CASE WHEN k.side = 'right' THEN 1 ELSE 0 END) BETWEEN 1 AND ?4
                AND COUNT(c.record) = 0",
            (tenant, pair, rule, most),
        )?;
        let judge = |verdict: &str, condition: &str| {
            tx.execute(
                &format!(
                    "UPDATE match_key SET verdict = '{verdict}' WHERE tenant = ?1 AND pair = ?2 AND verdict = 'open'
                     AND (side, record) IN (SELECT k.side, k.record FROM match_key k
                        WHERE k.tenant = ?1 AND k.pair = ?2 AND k.rule = ?3 AND k.verdict = 'open' AND {condition})"
                ),
                (tenant, pair, rule),
            )
        };
        judge(
            "match",
            "((k.side = 'left' AND EXISTS (SELECT 1 FROM pairing p WHERE p.tenant = ?1 AND p.pair = ?2 AND p.left_id = k.record))
              OR (k.side = 'right' AND EXISTS (SELECT 1 FROM pairing p WHERE p.tenant = ?1 AND p.pair = ?2 AND p.right_id = k.record)))",
        )?;
        judge(
            "several",
            "k.key IN (SELECT g.key FROM match_key g WHERE g.tenant = ?1 AND g.pair = ?2 AND g.rule = ?3 AND g.verdict = 'open'
             GROUP BY g.key HAVING COUNT(DISTINCT g.side) = 2)",
        )?;
    }
    // A record that was held because of several candidates, or for whom a partner came, is decided again. Partners of whom a person
    // has to tell, or whom the flow does not mean, are not: they were decided as they stand.
    tx.execute(
        "UPDATE inbox SET state = 'staged' WHERE tenant = ?1 AND pair = ?2 AND state = 'held' AND (
            (EXISTS (SELECT 1 FROM match_key k WHERE k.tenant = ?1 AND k.pair = ?2 AND k.side = inbox.side AND k.record = inbox.record AND k.verdict = 'match')
                AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.tenant = ?1 AND o.pair = ?2 AND o.side = 'left' AND o.reason IN ('match-in-doubt', 'outside-filter')
                    AND o.record = CASE inbox.side WHEN 'left' THEN (SELECT p.left_id FROM pairing p WHERE p.tenant = ?1 AND p.pair = ?2 AND p.left_id = inbox.record)
                        ELSE (SELECT p.left_id FROM pairing p WHERE p.tenant = ?1 AND p.pair = ?2 AND p.right_id = inbox.record) END))
            OR (NOT EXISTS (SELECT 1 FROM match_key k WHERE k.tenant = ?1 AND k.pair = ?2 AND k.side = inbox.side AND k.record = inbox.record AND k.verdict = 'match')
                AND NOT EXISTS (SELECT 1 FROM link l WHERE l.tenant = ?1 AND l.pair = ?2 AND l.state <> 'ended' AND inbox.side = 'left' AND l.left_id = inbox.record)
                AND NOT EXISTS (SELECT 1 FROM link l WHERE l.tenant = ?1 AND l.pair = ?2 AND l.state <> 'ended' AND inbox.side = 'right' AND l.right_id = inbox.record)
                AND (EXISTS (SELECT 1 FROM outcome o WHERE o.tenant = ?1 AND o.pair = ?2 AND o.side = inbox.side AND o.record = inbox.record AND o.reason = 'match-in-doubt')
                    OR (inbox.side = 'right' AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.tenant = ?1 AND o.pair = ?2 AND o.side = 'right' AND o.record = inbox.record))))
            OR (EXISTS (SELECT 1 FROM outcome o WHERE o.tenant = ?1 AND o.pair = ?2 AND o.side = inbox.side AND o.record = inbox.record AND o.reason = 'more-than-one-match')
                AND NOT EXISTS (SELECT 1 FROM match_key k WHERE k.tenant = ?1 AND k.pair = ?2 AND k.side = inbox.side AND k.record = inbox.record AND k.verdict = 'several')))",
        (tenant, pair),
    )?;
    Ok(())
}
