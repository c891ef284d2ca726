//! What goes by itself after a while (S22), and what debug mode kept until then.

use super::failure::Failure;
use super::{flows, operator};
use crate::app::App;
use crate::store::{ExchangeRow, Removed};

/// Old rows are looked for so often.
const SWEEP_EVERY_MS: i64 = DAY_MS;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Most requests of debug mode in one answer.
pub const DEBUG_LINES_MAX: usize = 10_000;

/// Removes what is older than it may be kept, at most once a day. None if that was done already.
///
/// # Errors
/// The store fails.
pub async fn remove_old(app: &App, tenant: &str) -> Result<Option<Removed>, Failure> {
    let now_ms = app.now_ms();
    let kept_ms = operator::keep_days() * DAY_MS;
    Ok(app.store().remove_old(tenant, now_ms - kept_ms, now_ms - SWEEP_EVERY_MS, now_ms).await?)
}

/// The newest requests that debug mode of a flow kept, oldest first.
///
/// # Errors
/// There is no such flow.
pub async fn debug_lines(app: &App, tenant: &str, name: &str, most: usize) -> Result<Vec<ExchangeRow>, Failure> {
    flows::get(app, tenant, name).await?;
    Ok(app.store().exchanges(tenant, name, most.min(DEBUG_LINES_MAX)).await?)
}
