//! Calls to a CRM with the engine's patience: waits that the CRM asks for, a few repetitions of reads, a lease kept alive.

use crmsync_core::sabotage::{Sabotage, is_on};
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
) -> Result<Result<Page, CallError>, Error> {
    let mut patience = Patience::new(run);
    loop {
        let page = run.side(side).remote.pull(&pair.module(side).name, fields, after.clone());
        match with_lease(run, page).await? {
            Ok(page) => return Ok(Ok(page)),
            Err(error) => {
                if let Err(error) = patience.wait_after(error).await {
                    return Ok(Err(error));
                }
            }
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
        match with_lease(run, run.side(side).remote.fetch(&pair.module(side).name, ids, fields)).await? {
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
        match with_lease(run, run.side(side).remote.find(&module.name, &module.key_field, keys, fields)).await? {
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
        match with_lease(run, run.side(side).remote.count(module)).await? {
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

/// What the login may see now: asked anew, as an administrator may have changed it since the run began.
pub(super) async fn visible_scope(run: &RunSetup, side: Side) -> Result<String, Error> {
    let mut patience = Patience::new(run);
    loop {
        match with_lease(run, run.side(side).remote.check()).await? {
            Ok(check) => return Ok(check.visible_scope),
            Err(error) => {
                patience
                    .wait_after(error)
                    .await
                    .map_err(|source| failed(run, side, "check the login".into(), source))?;
            }
        }
    }
}

/// Waits for a call and keeps the lease meanwhile, as one call may last longer than a lease. A lost lease drops the call.
pub(super) async fn with_lease<T>(run: &RunSetup, call: impl Future<Output = T>) -> Result<T, Error> {
    let mut call = std::pin::pin!(call);
    let pause = std::time::Duration::from_millis((run.limits.lease_ms / 3).max(1) as u64);
    loop {
        tokio::select! {
            biased;
            answer = &mut call => return Ok(answer),
            () = tokio::time::sleep(pause) => renew(run).await?,
        }
    }
}

/// Sleeps and keeps the lease meanwhile.
pub(super) async fn sleep(run: &RunSetup, wait_ms: i64) -> Result<(), Error> {
    with_lease(run, tokio::time::sleep(std::time::Duration::from_millis(wait_ms.max(0) as u64))).await?;
    renew(run).await
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
        if is_on(Sabotage::NoPatience) {
            return Ok(());
        }
        if wait_ms > self.left_ms {
            return Err(error);
        }
        self.left_ms -= wait_ms.max(1);
        self.run.progress.step("wait for a CRM that asks for time", 0, None);
        match sleep(self.run, wait_ms).await {
            Ok(()) => Ok(()),
            // The lease is lost: whatever comes next says so, in its own words.
            Err(_) => Err(error),
        }
    }
}
