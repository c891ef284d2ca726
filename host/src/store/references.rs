//! What references are told by: which records are linked, and which left out references could go over by now.

use std::collections::BTreeMap;

use crmsync_core::Side;
use crmsync_core::decide::reason;

use super::decisions::find_pairing;
use super::driver::{Error, Store};
use super::staging::{id_column, touch_known};
use super::{Lease, PairId};

impl Store {
    /// For references: which of these records of one side are linked in a module of the flow, or matched and about to be, as (record,
    /// other record).
    pub async fn linked_to(
        &self,
        tenant: &str,
        pair: PairId,
        side: Side,
        records: Vec<String>,
    ) -> Result<BTreeMap<String, String>, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let sql = linked_to(side);
            let mut found = BTreeMap::new();
            for record in records {
                let linked = tx.one(&sql, (&tenant, pair, &record), |row| row.get::<_, String>(0))?;
                let other = match linked {
                    Some(other) => Some(other),
                    None => find_pairing(tx, &tenant, pair, side, &record)?.map(|(other, _)| other),
                };
                if let Some(other) = other {
                    found.insert(record, other);
                }
            }
            Ok(found)
        })
        .await
    }

    /// Puts the records of `pair` before the next decision again of which a reference to a record of the pair `target` was left out that is
    /// linked by now. `modules` are the target's modules, left and right. Gives the number of records that did not wait already.
    pub async fn touch_resolved_references(
        &self,
        lease: &Lease,
        pair: PairId,
        target: PairId,
        modules: [String; 2],
    ) -> Result<u64, Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            let mut touched = 0;
            for side in Side::BOTH {
                // What was left out is noted as `Module/id` of the side that shows it.
                let prefix = format!("{}/", modules[side as usize]);
                let sql = format!(
                    "SELECT DISTINCT o.side, o.record FROM outcome o
                     JOIN link l ON l.tenant = o.tenant AND l.pair = ?3 AND l.{own} = substr(o.detail, ?5) AND l.state <> 'ended'
                     WHERE o.tenant = ?1 AND o.pair = ?2 AND o.reason = ?4 AND substr(o.detail, 1, ?6) = ?7 AND l.state = 'active'
                       AND NOT EXISTS (SELECT 1 FROM inbox i WHERE i.tenant = o.tenant AND i.pair = o.pair AND i.side = o.side
                                       AND i.record = o.record AND i.state = 'staged')",
                    own = id_column(side)
                );
                let length = prefix.chars().count() as i64;
                let found = tx.all(
                    &sql,
                    (&lease.tenant, pair, target, reason::REFERENCE_NOT_LINKED, length + 1, length, &prefix),
                    |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
                )?;
                for (side, record) in &found {
                    let side = if side == "left" { Side::Left } else { Side::Right };
                    touch_known(tx, &lease.tenant, pair, side, record)?;
                }
                touched += found.len() as u64;
            }
            Ok(touched)
        })
        .await
    }
}

/// What a record is linked to. That the link has not ended is said as well, in the words of the index: SQLite does not conclude it.
fn linked_to(side: Side) -> String {
    format!(
        "SELECT {other} FROM link WHERE tenant = ?1 AND pair = ?2 AND {own} = ?3 AND state <> 'ended' AND state = 'active'",
        own = id_column(side),
        other = id_column(side.other())
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Sealer;

    #[tokio::test]
    async fn a_link_is_found_by_index() {
        let folder = std::env::temp_dir().join(format!("crmsync-references-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let sealer = Sealer::from_file(&folder.join("key")).expect("a key can be made");
        let store = Store::open(&folder.join("state.db"), sealer).expect("a database can be made");
        for side in Side::BOTH {
            let sql = format!("EXPLAIN QUERY PLAN {}", linked_to(side));
            let plan = store.step(move |tx| tx.all(&sql, ("t", 1, "r"), |row| row.get::<_, String>(3))).await;
            let plan = plan.expect("it is a statement").join("; ");
            assert!(plan.contains(&format!("link_by_{}", side.as_str())), "{plan}");
        }
        std::fs::remove_dir_all(&folder).expect("the folder can be removed");
    }
}
