//! Calls to a CRM with the engine's patience: waits that the CRM asks for, a few repetitions of reads, a lease kept alive.

use crmsync_core::{Fault, Side, retry};

use super::error::Error;
use super::remote::{CallError, Cursor, Fetched, Found, Page};
use super::setup::{PairSetup, RunSetup};
use super::stage::failed;

/// One page, with patience.
pub(super) async fn pull(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    fields: &[String],
    after: Option<Cursor>,
) -> Result<Page, CallError> {
    let mut patience = Patience::new(run);
    loop {
        match run.side(side).remote.pull(&pair.module(side).name, fields, after.clone()).await {
            Ok(page) => return Ok(page),
            Err(error) => patience.wait_after(error).await?,
        }
    }
}

/// Records by id, with patience.
pub(super) async fn fetch(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    ids: &[String],
    fields: &[String],
) -> Result<Fetched, Error> {
    let mut patience = Patience::new(run);
    loop {
        match run.side(side).remote.fetch(&pair.module(side).name, ids, fields).await {
            Ok(fetched) => return Ok(fetched),
            Err(error) => patience
                .wait_after(error)
                .await
                .map_err(|source| failed(run, side, format!("read {} by id", pair.module(side).name), source))?,
        }
    }
}

/// Records by key, with patience.
pub(super) async fn find(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    keys: &[String],
    fields: &[String],
) -> Result<Found, Error> {
    let module = pair.module(side);
    let mut patience = Patience::new(run);
    loop {
        match run.side(side).remote.find(&module.name, &module.key_field, keys, fields).await {
            Ok(found) => return Ok(found),
            Err(error) => patience
                .wait_after(error)
                .await
                .map_err(|source| failed(run, side, format!("look for new records of {}", module.name), source))?,
        }
    }
}

/// How many records the login can see, with patience.
pub(super) async fn count(run: &RunSetup, pair: &PairSetup, side: Side) -> Result<Option<u64>, Error> {
    let module = &pair.module(side).name;
    let mut patience = Patience::new(run);
    loop {
        match run.side(side).remote.count(module).await {
            Ok(count) => return Ok(count),
            Err(error) => {
                patience
                    .wait_after(error)
                    .await
                    .map_err(|source| failed(run, side, format!("count {module}"), source))?;
            }
        }
    }
}

/// Rule 7: keeps the lease; fails when somebody else holds it.
pub(super) async fn renew(run: &RunSetup) -> Result<(), Error> {
    run.store.renew_lease(&run.lease, run.now_ms(), run.limits.lease_ms).await.map_err(Error::from)
}

/// How long one read may still be waited for.
pub(super) struct Patience<'a> {
    run: &'a RunSetup,
    left_ms: i64,
    attempts: u32,
}

impl<'a> Patience<'a> {
    pub(super) fn new(run: &'a RunSetup) -> Patience<'a> {
        Patience { run, left_ms: run.limits.wait_ms_max, attempts: 0 }
    }

    /// Waits as the fault asks, or gives the error back when waiting makes no sense or lasts too long.
    pub(super) async fn wait_after(&mut self, error: CallError) -> Result<(), CallError> {
        self.attempts += 1;
        let CallError::Fault(fault) = &error else { return Err(error) };
        let now_ms = self.run.now_ms();
        let wait_ms = match retry::after_fault(fault, self.attempts, now_ms) {
            retry::Next::RetryAt(at_ms) => at_ms - now_ms,
            // A read has no outcome that could be unknown.
            retry::Next::FindOut if matches!(fault, Fault::UnknownOutcome(_)) => retry::backoff_ms(self.attempts),
            _ => return Err(error),
        };
        if wait_ms > self.left_ms {
            return Err(error);
        }
        self.left_ms -= wait_ms.max(1);
        tokio::time::sleep(std::time::Duration::from_millis(wait_ms.max(0) as u64)).await;
        Ok(())
    }
}
