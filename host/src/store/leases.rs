//! The right to run a flow, until it expires. Each holder gets a larger fencing token than the one before.

use crmsync_core::sabotage::{Sabotage, is_on};

use super::{Error, Store, Tx};

/// A lease that was granted. Every commit of a run names it (rule 7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Tenant of the flow.
    pub tenant: String,
    /// The flow.
    pub flow: String,
    /// Fencing token.
    pub fence: i64,
}

impl Lease {
    /// Fails if somebody else took the flow over meanwhile.
    pub(super) fn check(&self, tx: &Tx<'_>) -> Result<(), Error> {
        let current = tx.one(
            "SELECT fence FROM lease WHERE tenant = ?1 AND flow = ?2 AND holder <> ''",
            (&self.tenant, &self.flow),
            |row| row.get::<_, i64>(0),
        )?;
        if current == Some(self.fence) || is_on(Sabotage::IgnoreTheFence) { Ok(()) } else { Err(Error::LeaseLost) }
    }
}

impl Store {
    /// Who holds the flow, "" if nobody does. An expired holder is still named.
    pub async fn lease_holder(&self, tenant: &str, flow: &str) -> Result<String, Error> {
        let (tenant, flow) = (tenant.to_owned(), flow.to_owned());
        self.step(move |tx| {
            let holder =
                tx.one("SELECT holder FROM lease WHERE tenant = ?1 AND flow = ?2", (&tenant, &flow), |row| row.get(0))?;
            Ok(holder.unwrap_or_default())
        })
        .await
    }

    /// Takes the flow if nobody holds it now, or only a holder that is known to be dead. None: another holder's lease has not expired.
    pub async fn take_lease(
        &self,
        tenant: &str,
        flow: &str,
        holder: &str,
        dead_holder: Option<&str>,
        now_ms: i64,
        ttl_ms: i64,
    ) -> Result<Option<Lease>, Error> {
        let (tenant, flow, holder) = (tenant.to_owned(), flow.to_owned(), holder.to_owned());
        let dead = dead_holder.unwrap_or_default().to_owned();
        self.step(move |tx| {
            tx.execute(
                "INSERT INTO lease (tenant, flow, holder, fence, expires_at_ms) VALUES (?1, ?2, '', 0, 0) ON CONFLICT DO NOTHING",
                (&tenant, &flow),
            )?;
            let taken = tx.execute(
                "UPDATE lease SET holder = ?3, fence = fence + 1, expires_at_ms = ?4
                 WHERE tenant = ?1 AND flow = ?2 AND (holder = '' OR holder = ?6 OR expires_at_ms <= ?5)",
                (&tenant, &flow, &holder, now_ms + ttl_ms, now_ms, &dead),
            )?;
            if taken == 0 {
                return Ok(None);
            }
            let fence = tx.one("SELECT fence FROM lease WHERE tenant = ?1 AND flow = ?2", (&tenant, &flow), |row| row.get(0))?;
            Ok(fence.map(|fence| Lease { tenant, flow, fence }))
        })
        .await
    }

    /// Keeps the lease for longer.
    pub async fn renew_lease(&self, lease: &Lease, now_ms: i64, ttl_ms: i64) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            tx.execute(
                "UPDATE lease SET expires_at_ms = ?3 WHERE tenant = ?1 AND flow = ?2",
                (&lease.tenant, &lease.flow, now_ms + ttl_ms),
            )?;
            Ok(())
        })
        .await
    }

    /// Gives the flow back.
    pub async fn release_lease(&self, lease: &Lease) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            tx.execute(
                "UPDATE lease SET holder = '', expires_at_ms = 0 WHERE tenant = ?1 AND flow = ?2 AND fence = ?3",
                (&lease.tenant, &lease.flow, lease.fence),
            )?;
            Ok(())
        })
        .await
    }
}
