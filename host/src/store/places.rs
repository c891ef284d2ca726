//! Where a record that people name by its id is known: CRMs and modules may have records of one id.

use crmsync_core::Side;

use super::staging::id_column;
use super::{Error, Store};

/// One record of one side.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordPlace {
    /// Its side.
    pub side: Side,
    /// Its module there.
    pub module: String,
    /// Its id.
    pub id: String,
}

impl Store {
    /// All records of a flow that have this id, each once: linked ones, ones that wait or are noted, and ones of the sync log.
    pub async fn places_of(&self, tenant: &str, flow: &str, id: &str) -> Result<Vec<RecordPlace>, Error> {
        let (tenant, flow, id) = (tenant.to_owned(), flow.to_owned(), id.to_owned());
        self.step(move |tx| {
            let pairs: Vec<(i64, [String; 2])> = tx.all(
                "SELECT id, left_module, right_module FROM pair WHERE tenant = ?1 AND flow = ?2 ORDER BY id",
                (&tenant, &flow),
                |row| Ok((row.get(0)?, [row.get(1)?, row.get(2)?])),
            )?;
            let mut places = Vec::new();
            for (pair, modules) in pairs {
                for side in Side::BOTH {
                    let sql = format!(
                        "SELECT 1 WHERE EXISTS (SELECT 1 FROM link WHERE tenant = ?1 AND pair = ?2 AND {own} = ?3)
                         OR EXISTS (SELECT 1 FROM inbox WHERE tenant = ?1 AND pair = ?2 AND side = ?4 AND record = ?3)
                         OR EXISTS (SELECT 1 FROM outcome WHERE tenant = ?1 AND pair = ?2 AND side = ?4 AND record = ?3)
                         OR EXISTS (SELECT 1 FROM journal WHERE tenant = ?1 AND pair = ?2 AND {own} = ?3)",
                        own = id_column(side)
                    );
                    let is_known = tx.one(&sql, (&tenant, pair, &id, side.as_str()), |_| Ok(()))?.is_some();
                    let place = RecordPlace { side, module: modules[side as usize].clone(), id: id.clone() };
                    if is_known && !places.contains(&place) {
                        places.push(place);
                    }
                }
            }
            Ok(places)
        })
        .await
    }
}
