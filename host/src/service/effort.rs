//! What a planned run would cost each side: calls, time by the CRM's limits, automations that would start.

use crate::app::App;
use crate::engine::{Effort, PairSetup, PlannedCalls, Preview};
use crate::runtime::manifest::Automations;
use crate::store::ConnectionRow;

use super::failure::Failure;

/// The effort of a preview for both sides, left first.
pub(super) async fn of(
    app: &App,
    sides: &[ConnectionRow; 2],
    pairs: &[PairSetup],
    preview: &Preview,
) -> Result<Vec<Effort>, Failure> {
    let mut efforts = Vec::with_capacity(2);
    for (index, side) in sides.iter().enumerate() {
        let manifest = app.manifest(&side.plugin).await?;
        let automations_always = manifest.automations == Automations::Always;
        let mut effort = Effort { connection: side.name.clone(), automations_always, ..Effort::default() };
        for (pair, planned) in pairs.iter().zip(&preview.pairs) {
            effort.calls = sum(effort.calls, planned.calls[index]);
            let plan = &planned.plan;
            let writes = [plan.create_left + plan.update_left, plan.create_right + plan.update_right][index];
            if writes > 0 && (automations_always || pair.automations) {
                *effort.automations.entry(pair.modules[index].label.clone()).or_default() += writes;
            }
        }
        let per_minute = manifest.limits.and_then(|limits| limits.requests_per_minute).filter(|limit| *limit > 0);
        effort.seconds_min = per_minute.map(|limit| (effort.calls.total() * 60).div_ceil(u64::from(limit)));
        efforts.push(effort);
    }
    Ok(efforts)
}

fn sum(left: PlannedCalls, right: PlannedCalls) -> PlannedCalls {
    PlannedCalls {
        create: left.create + right.create,
        update: left.update + right.update,
        read_before: left.read_before + right.read_before,
        read_after: left.read_after + right.read_after,
    }
}
