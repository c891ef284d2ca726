//! Shows what a run would do, without writing to any CRM: the same pull, the same match, the same decisions, only counted.

use crmsync_core::Side;

use super::apply::portion_rows;
use super::error::Error;
use super::references::Planned;
use super::report::{PairPreview, PlannedCalls, Preview};
use super::run::{Listing, plan, pull_both};
use super::setup::{PairSetup, RunSetup};
use super::unknown::adopt_arrivals;

/// Reads both sides and plans.
///
/// What was listed before is replaced, but for the listing of `approved` (0 for none), which runs may still stand on.
///
/// # Errors
/// As for a run, approval aside.
pub async fn preview(setup: &RunSetup, settings_hash: &str, approved: i64) -> Result<Preview, Error> {
    setup.store.begin_listing(&setup.lease, approved).await?;
    let mut preview = Preview {
        flow: setup.lease.flow.clone(),
        between: [setup.sides[0].connection.clone(), setup.sides[1].connection.clone()],
        settings_hash: settings_hash.to_owned(),
        run: setup.run,
        ..Preview::default()
    };
    let mut planned = Planned::default();
    for pair in &setup.pairs {
        setup.store.recover_intents(&setup.lease, pair.id, pair.mapping.keys(), setup.run, setup.now_ms()).await?;
        pull_both(setup, pair).await?;
        // Creates of an earlier run whose records have come are no work any more; telling so needs the store only.
        adopt_arrivals(setup, pair).await?;
        let plan = plan(setup, pair, Listing::Write, &mut planned).await?;
        let calls = [
            planned_calls(pair, Side::Left, plan.create_left, plan.update_left),
            planned_calls(pair, Side::Right, plan.create_right, plan.update_right),
        ];
        preview.pairs.push(PairPreview {
            name: pair.name(),
            left: setup.store.known_records(setup.tenant(), pair.id, Side::Left).await?,
            right: setup.store.known_records(setup.tenant(), pair.id, Side::Right).await?,
            calls_left: calls[0].create + calls[0].update,
            calls_right: calls[1].create + calls[1].update,
            calls,
            plan,
        });
    }
    preview.at_ms = setup.now_ms();
    Ok(preview)
}

/// Calls for so many creates and updates, as the outbox is drained.
fn planned_calls(pair: &PairSetup, side: Side, creates: u64, updates: u64) -> PlannedCalls {
    let module = pair.module(side);
    let rows = module.push_rows.max(1) as u64;
    let portion = portion_rows(module.push_rows) as u64;
    let read_before = if module.conditional_updates { 0 } else { updates.div_ceil(portion) };
    PlannedCalls {
        create: creates.div_ceil(rows),
        update: updates.div_ceil(rows),
        read_before,
        read_after: creates.div_ceil(portion) + updates.div_ceil(portion),
    }
}

impl Preview {
    /// The counts that an approval of this preview is about, by pair and kind.
    pub fn approved_counts(&self) -> std::collections::BTreeMap<String, u64> {
        let pairs = self.pairs.iter();
        pairs
            .flat_map(|pair| {
                pair.plan.approved().into_iter().map(|(what, count)| (format!("{}/{what}", pair.name), count))
            })
            .collect()
    }
}
