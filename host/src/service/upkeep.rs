//! What goes by itself after a while (S22), and what debug mode kept until then.

use super::failure::Failure;
use super::flows;
use crate::app::App;
use crate::store::{ExchangeRow, Removed};

/// Old rows are looked for so often.
const SWEEP_EVERY_MS: i64 = DAY_MS;
/// Sync logs, previews, runs and debug mode's requests are kept for so many days if `CRMSYNC_KEEP_DAYS` does not say otherwise.
const KEEP_DAYS: i64 = 30;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Most requests of debug mode in one answer.
pub const DEBUG_LINES_MAX: usize = 10_000;

/// Removes what is older than it may be kept, at most once a day. None if that was done already.
///
/// # Errors
/// The store fails.
pub async fn remove_old(app: &App, tenant: &str) -> Result<Option<Removed>, Failure> {
    let now_ms = app.now_ms();
    let days = keep_days(std::env::var("CRMSYNC_KEEP_DAYS").ok().as_deref());
    Ok(app.store().remove_old(tenant, now_ms - days * DAY_MS, now_ms - SWEEP_EVERY_MS, now_ms).await?)
}

/// What an operator wrote; what is no number of days keeps for as long as usual, as nothing is lost by that.
fn keep_days(written: Option<&str>) -> i64 {
    written.and_then(|text| text.trim().parse().ok()).filter(|days| (1..=36_500).contains(days)).unwrap_or(KEEP_DAYS)
}

/// The newest requests that debug mode of a flow kept, oldest first.
///
/// # Errors
/// There is no such flow.
pub async fn debug_lines(app: &App, tenant: &str, name: &str, most: usize) -> Result<Vec<ExchangeRow>, Failure> {
    flows::get(app, tenant, name).await?;
    Ok(app.store().exchanges(tenant, name, most.min(DEBUG_LINES_MAX)).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_days() {
        for (written, days) in
            [(None, 30), (Some("7"), 7), (Some(" 90 "), 90), (Some("0"), 30), (Some("-1"), 30), (Some("soon"), 30)]
        {
            assert_eq!(keep_days(written), days, "{written:?}");
        }
    }
}
