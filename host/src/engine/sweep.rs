//! Looks for known records where a CRM does not announce removals. Absence is a removal only after all checks (rule 5, S13).

use crmsync_core::{RemovalReason, Side};

use super::error::Error;
use super::setup::{PairSetup, RunSetup};
use crate::store::StagedPage;

/// Ids that are read from the store at once.
const IDS_AT_ONCE: usize = 1_000;

/// Whether known ids of this side are to be looked for in this run.
pub(super) async fn is_due(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    edits_seen: bool,
    asked: bool,
) -> Result<bool, Error> {
    if !pair.module(side).needs_sweep {
        return Ok(false);
    }
    if asked || edits_seen {
        return Ok(true);
    }
    let cursor = run.store.cursor(run.tenant(), pair.id, side).await?;
    Ok(cursor.is_some_and(|cursor| run.now_ms() - cursor.swept_at_ms >= run.limits.sweep_every_ms))
}

/// Looks for all known ids of one side; those that are gone for sure are staged as removals. Gives their number and what people should
/// know. A count that fits proves nothing when records were `missed`: others may have come meanwhile.
pub(super) async fn sweep(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    missed: bool,
) -> Result<(u64, Vec<String>), Error> {
    let module = &pair.module(side).name;
    let connection = &run.side(side).connection;
    let known = run.store.known_records(run.tenant(), pair.id, side).await?;
    let population = super::call::count(run, pair, side).await?;
    if population == Some(known) && !missed {
        run.store.set_swept(&run.lease, pair.id, side, run.now_ms()).await?;
        return Ok((0, vec![]));
    }
    let absent = absent_ids(run, pair, side).await?;
    if let Some(alarm) = why_not_believed(run, side, module, known, population, absent.len() as u64) {
        return Ok((0, vec![format!("{connection}: {alarm}")]));
    }
    let gone = still_absent(run, pair, side, absent).await?;
    let count = gone.len() as u64;
    let removed = gone.into_iter().map(|id| (id, RemovalReason::Unknown)).collect();
    run.store
        .stage_page(&run.lease, pair.id, side, StagedPage { live: vec![], removed, whole: false, cursor: None })
        .await?;
    run.store.set_swept(&run.lease, pair.id, side, run.now_ms()).await?;
    Ok((count, vec![]))
}

async fn absent_ids(run: &RunSetup, pair: &PairSetup, side: Side) -> Result<Vec<String>, Error> {
    let mut absent = Vec::new();
    let mut looked_for = 0;
    let mut after = String::new();
    loop {
        let ids = run.store.known_ids(run.tenant(), pair.id, side, &after, IDS_AT_ONCE).await?;
        let Some(last) = ids.last() else { return Ok(absent) };
        after.clone_from(last);
        for chunk in ids.chunks(pair.module(side).fetch_rows.max(1)) {
            absent.extend(super::call::fetch(run, pair, side, chunk, &[]).await?.absent);
            looked_for += chunk.len() as u64;
            run.progress.step(&format!("look for removed {}", pair.module(side).name), looked_for, None);
            super::call::renew(run).await?;
        }
    }
}

/// The checks of S13 that speak against taking absent records for removed ones.
fn why_not_believed(
    run: &RunSetup,
    side: Side,
    module: &str,
    known: u64,
    population: Option<u64>,
    absent: u64,
) -> Option<String> {
    let setup = run.side(side);
    if absent == 0 {
        return None;
    }
    if setup.visible_scope != setup.scope_at_login {
        return Some(format!(
            "{absent} {module} are not visible any more, and what this login may see changed from `{}` to `{}`; nothing is taken for deleted",
            setup.scope_at_login, setup.visible_scope
        ));
    }
    if population.is_some_and(|population| population + absent < known) {
        return Some(format!(
            "{absent} of {known} {module} are not there, but the CRM counts only {}; nothing is taken for deleted",
            population.unwrap_or_default()
        ));
    }
    let most = run.limits.safety_stop_records.max(known * run.limits.safety_stop_percent / 100);
    (absent > most).then(|| {
        format!("{absent} of {known} {module} are not there any more: the safety stop holds, nothing is taken for deleted; see `crmsync flow show`")
    })
}

/// Looks once more after a grace: a record between two states of a CRM is not gone.
async fn still_absent(run: &RunSetup, pair: &PairSetup, side: Side, absent: Vec<String>) -> Result<Vec<String>, Error> {
    if absent.is_empty() {
        return Ok(absent);
    }
    tokio::time::sleep(std::time::Duration::from_millis(run.limits.sweep_grace_ms.max(0) as u64)).await;
    let mut gone = Vec::new();
    for chunk in absent.chunks(pair.module(side).fetch_rows.max(1)) {
        gone.extend(super::call::fetch(run, pair, side, chunk, &[]).await?.absent);
    }
    Ok(gone)
}
