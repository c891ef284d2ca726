//! Records of before a flow's start date that join because others point to them.

use std::collections::BTreeSet;

use crmsync_core::Side;
use crmsync_core::decide::reason;

use super::{Error, Lease, PairId, Store};

impl Store {
    /// Those of these records of a module to which a record of the flow points that could not be told of them.
    pub async fn referenced(
        &self,
        tenant: &str,
        flow: &str,
        module: &str,
        records: Vec<String>,
    ) -> Result<BTreeSet<String>, Error> {
        let (tenant, flow, module) = (tenant.to_owned(), flow.to_owned(), module.to_owned());
        self.step(move |tx| {
            let waiting: Vec<String> = tx.all(
                "SELECT DISTINCT o.detail FROM outcome o JOIN pair p ON p.id = o.pair AND p.tenant = ?1 AND p.flow = ?2
                 WHERE o.tenant = ?1 AND o.reason = ?3",
                (&tenant, &flow, reason::REFERENCE_NOT_LINKED),
                |row| row.get(0),
            )?;
            let waiting: BTreeSet<String> = waiting.into_iter().collect();
            Ok(records.into_iter().filter(|record| waiting.contains(&format!("{module}/{record}"))).collect())
        })
        .await
    }

    /// Puts records of before the start date before the next decision again to which others of the flow point by now.
    pub async fn touch_referenced(&self, lease: &Lease, pair: PairId, side: Side, module: &str) -> Result<(), Error> {
        let (lease, module) = (lease.clone(), module.to_owned());
        self.step(move |tx| {
            lease.check(tx)?;
            tx.execute(
                "UPDATE inbox SET state = 'staged' WHERE tenant = ?1 AND pair = ?2 AND side = ?3 AND state = 'held'
                 AND EXISTS (SELECT 1 FROM outcome o WHERE o.tenant = ?1 AND o.pair = ?2 AND o.side = ?3 AND o.record = inbox.record AND o.reason = ?4)
                 AND ?5 || '/' || record IN (SELECT o.detail FROM outcome o JOIN pair p ON p.id = o.pair AND p.tenant = ?1 AND p.flow = ?6
                     WHERE o.tenant = ?1 AND o.reason = ?7)",
                (
                    &lease.tenant,
                    pair,
                    side.as_str(),
                    reason::BEFORE_START_DATE,
                    &module,
                    &lease.flow,
                    reason::REFERENCE_NOT_LINKED,
                ),
            )?;
            Ok(())
        })
        .await
    }
}
