//! Shows what a run would do, without writing to any CRM: the same pull, the same match, the same decisions, only counted.

use crmsync_core::Side;

use super::error::Error;
use super::references::Planned;
use super::report::{PairPreview, Preview};
use super::run::{plan, pull_both};
use super::setup::RunSetup;
use super::unknown::adopt_arrivals;

/// Reads both sides and plans.
///
/// # Errors
/// As for a run, approval aside.
pub async fn preview(setup: &RunSetup, settings_hash: &str) -> Result<Preview, Error> {
    let mut preview = Preview {
        flow: setup.lease.flow.clone(),
        between: [setup.sides[0].connection.clone(), setup.sides[1].connection.clone()],
        settings_hash: settings_hash.to_owned(),
        ..Preview::default()
    };
    let mut planned = Planned::default();
    for pair in &setup.pairs {
        setup.store.recover_intents(&setup.lease, pair.id).await?;
        pull_both(setup, pair).await?;
        // Creates of an earlier run whose records have come are no work any more; telling so needs the store only.
        adopt_arrivals(setup, pair).await?;
        let plan = plan(setup, pair, &mut planned).await?;
        let calls = |side: Side, creates: u64, updates: u64| {
            let rows = pair.module(side).push_rows.max(1) as u64;
            creates.div_ceil(rows) + updates.div_ceil(rows)
        };
        preview.pairs.push(PairPreview {
            name: pair.name(),
            left: setup.store.known_records(setup.tenant(), pair.id, Side::Left).await?,
            right: setup.store.known_records(setup.tenant(), pair.id, Side::Right).await?,
            calls_left: calls(Side::Left, plan.create_left, plan.update_left),
            calls_right: calls(Side::Right, plan.create_right, plan.update_right),
            plan,
        });
    }
    preview.at_ms = setup.now_ms();
    Ok(preview)
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
