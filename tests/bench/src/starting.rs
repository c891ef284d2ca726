//! What it costs to start an instance: a call that does nothing, in a fresh instance and in one that is there.

use std::sync::Arc;

use crmsync::app::LOCAL_TENANT;
use crmsync::runtime::{Connector, StateCache};
use crmsync_cells::Batch;
use serde::Serialize;

use super::measure::{Comparison, Cost, alone, compare};
use super::world::World;
use super::{Failure, Options};

/// Calls in one turn, so that a turn is long for the clock.
const CALLS: usize = 200;
/// No module has this name, so every connector refuses it without asking anybody.
const NO_MODULE: &str = "-";

/// Microseconds for one instance.
#[derive(Debug, Serialize)]
pub(super) struct Starting {
    /// A transform's instance made, given an empty batch, and dropped. Every batch pays this once.
    pub(super) transform: Cost,
    pub(super) zoho: ConnectorStart,
    pub(super) vtiger: ConnectorStart,
}

/// A connector keeps its instance between calls; it starts once for each run and after each failure.
#[derive(Debug, Serialize)]
pub(super) struct ConnectorStart {
    /// The call that does nothing, in a fresh instance.
    pub(super) fresh: Cost,
    /// The same call in an instance that is there.
    pub(super) kept: Cost,
    /// The difference in processor time, in microseconds: the start alone.
    pub(super) start_us: f64,
}

pub(super) async fn measure(world: &World, options: &Options) -> Result<Starting, Failure> {
    let plugin = world.app.transform("transforms").await?;
    let nothing = async || {
        for _ in 0..CALLS {
            plugin.apply(&[], &[], Batch::default(), &[]).await??;
        }
        Ok(())
    };
    Ok(Starting {
        transform: alone(options.repetitions, CALLS, nothing).await?,
        zoho: connector(world, "zoho", options).await?,
        vtiger: connector(world, "vtiger", options).await?,
    })
}

async fn connector(world: &World, name: &str, options: &Options) -> Result<ConnectorStart, Failure> {
    let row = world.app.store().connection(LOCAL_TENANT, name).await?;
    let row = row.ok_or_else(|| format!("find connection `{name}`"))?;
    let door = world.app.door(LOCAL_TENANT, &row).await?;
    let plugin = world.app.connector(name).await?;
    let mut fresh = plugin.instance(Arc::clone(&door), Arc::new(StateCache::new()));
    let mut kept = plugin.instance(door, Arc::new(StateCache::new()));
    let (now_ms, repetitions) = (world.app.now_ms(), options.repetitions);
    let in_fresh = async || {
        for _ in 0..CALLS {
            fresh.forget();
            call(&mut fresh, now_ms).await?;
        }
        Ok(())
    };
    let in_kept = async || {
        for _ in 0..CALLS {
            call(&mut kept, now_ms).await?;
        }
        Ok(())
    };
    let Comparison { crmsync: fresh, native: kept, .. } = compare(repetitions, CALLS, in_fresh, in_kept).await?;
    Ok(ConnectorStart { fresh, kept, start_us: fresh.cpu_us - kept.cpu_us })
}

async fn call(connector: &mut Connector, now_ms: i64) -> Result<(), Failure> {
    match connector.fetch(now_ms, NO_MODULE, &[], &[]).await? {
        Err(_refused) => Ok(()),
        Ok(_) => Err(format!("start a connector: it knows a module `{NO_MODULE}`").into()),
    }
}
