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

/// What a record is linked to, unless that has left by what was read last: its removal is decided together with the records that point to
/// it, and a CRM refuses a reference to what is not there. That the link has not ended is said as well, in the words of the index: SQLite
/// does not conclude it.
fn linked_to(side: Side) -> String {
    format!(
        "SELECT {other} FROM link l WHERE tenant = ?1 AND pair = ?2 AND {own} = ?3 AND state <> 'ended' AND state = 'active'
           AND NOT EXISTS (SELECT 1 FROM inbox i WHERE i.tenant = l.tenant AND i.pair = l.pair AND i.side = '{side}' AND i.record = l.{other}
                           AND i.presence NOT IN ('live', 'unread', 'unseen'))",
        own = id_column(side),
        other = id_column(side.other()),
        side = side.other().as_str()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::links::{LinkRow, save_link};
    use crate::store::{Sealer, Tx};

    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let folder = std::env::temp_dir().join(format!("crmsync-references-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&folder).expect("a folder can be made");
            Folder(folder)
        }

        fn store(&self) -> Store {
            let sealer = Sealer::from_file(&self.0.join("key")).expect("a key can be made");
            Store::open(&self.0.join("state.db"), sealer).expect("a database can be made")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _gone = std::fs::remove_dir_all(&self.0);
        }
    }

    #[tokio::test]
    async fn what_has_left_is_nothing_to_point_to() {
        let folder = Folder::new("left");
        let store = folder.store();
        let link = |tx: &Tx<'_>| save_link(tx, "t", 1, &LinkRow::new("left-1", "right-1"), 0);
        store.step(move |tx| link(tx)).await.expect("a link");
        let check = async |presence: &'static str, is_there: bool| {
            let stage = move |tx: &Tx<'_>| {
                tx.execute("DELETE FROM inbox", [])?;
                tx.execute(
                    "INSERT INTO inbox (tenant, pair, side, record, state, presence, version, modified_at_ms, create_key, image)
                     VALUES ('t', 1, 'right', 'right-1', 'staged', ?1, '', 0, '', '{}')",
                    [presence],
                )
            };
            store.step(move |tx| stage(tx).map(drop)).await.expect("staged");
            let found = store.linked_to("t", 1, Side::Left, vec!["left-1".to_owned()]).await.expect("an answer");
            assert_eq!(found.contains_key("left-1"), is_there, "{presence}");
            // Its own side is another matter: the record that is pointed to there is the one that left.
            let back = store.linked_to("t", 1, Side::Right, vec!["right-1".to_owned()]).await.expect("an answer");
            assert!(back.contains_key("right-1"), "{presence}");
        };
        check("live", true).await;
        check("unread", true).await;
        check("unseen", true).await;
        check("deleted", false).await;
        check("unknown", false).await;
    }

    #[tokio::test]
    async fn a_link_is_found_by_index() {
        let folder = Folder::new("index");
        let store = folder.store();
        for side in Side::BOTH {
            let sql = format!("EXPLAIN QUERY PLAN {}", linked_to(side));
            let plan = store.step(move |tx| tx.all(&sql, ("t", 1, "r"), |row| row.get::<_, String>(3))).await;
            let plan = plan.expect("it is a statement").join("; ");
            assert!(plan.contains(&format!("link_by_{}", side.as_str())), "{plan}");
        }
    }
}
