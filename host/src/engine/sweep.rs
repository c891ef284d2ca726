//! Looks for known records where a CRM does not announce removals. Absence is a removal only after all checks (rule 5, S13).

use crmsync_core::sabotage::{Sabotage, is_on};
use crmsync_core::{RemovalReason, Side};

use super::error::Error;
use super::setup::{PairSetup, RunSetup};
use super::stage::NEVER_SWEPT;
use crate::store::StagedPage;

/// Ids that are read from the store at once.
const IDS_AT_ONCE: usize = 1_000;
/// So many records never leave together with all others.
const ALL_AT_ONCE_MIN: u64 = 5;

/// Whether known ids of this side are to be looked for in this run.
pub(super) async fn is_due(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    edits_seen: bool,
    asked: bool,
) -> Result<bool, Error> {
    // Where a login sees only some records their count never fits, and every sweep asks for all known ids.
    let is_cheap = run.side(side).visible_scope == "all";
    if asked || (edits_seen && is_cheap && pair.module(side).needs_sweep) {
        return Ok(true);
    }
    let Some(cursor) = run.store.cursor(run.tenant(), pair.id, side).await? else { return Ok(false) };
    Ok(if pair.module(side).needs_sweep {
        run.now_ms() - cursor.swept_at_ms >= run.limits.sweep_every_ms
    } else {
        // Removals are announced, but not those from before a stream that began anew.
        cursor.swept_at_ms == NEVER_SWEPT
    })
}

/// What looking for known records found.
#[derive(Debug, Default)]
pub(super) struct Swept {
    /// Records that are gone for sure and were staged as removals.
    pub(super) gone: u64,
    /// What people should know.
    pub(super) alarm: Option<String>,
    /// The safety stop holds what left.
    pub(super) held: bool,
}

/// Looks for all known ids of one side; those that are gone for sure are staged as removals.
pub(super) async fn sweep(run: &RunSetup, pair: &PairSetup, side: Side) -> Result<Swept, Error> {
    let known = run.store.known_records(run.tenant(), pair.id, side).await?;
    let population = super::call::count(run, pair, side).await?;
    let found = if population == Some(known) {
        Swept::default()
    } else {
        let absent = absent_ids(run, pair, side).await?;
        stage_gone(run, pair, side, absent, known, population).await?
    };
    // After an alarm as well: asking for the same ids in each run would tell nothing new.
    run.store.set_swept(&run.lease, pair.id, side, run.now_ms()).await?;
    Ok(found)
}

/// Looks once more for records that were not there when they were to be written. The CRM's count would tell nothing about just these.
pub(super) async fn look_for(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    missed: Vec<String>,
) -> Result<Swept, Error> {
    let known = run.store.known_records(run.tenant(), pair.id, side).await?;
    stage_gone(run, pair, side, missed, known, None).await
}

/// Stages those of the absent records that are gone by all the checks of S13.
async fn stage_gone(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    absent: Vec<String>,
    known: u64,
    population: Option<u64>,
) -> Result<Swept, Error> {
    if absent.is_empty() {
        return Ok(Swept::default());
    }
    let connection = &run.side(side).connection;
    let scope = super::call::visible_scope(run, side).await?;
    let module = &pair.module(side).name;
    let asked = Asked { known, population, absent: absent.len() as u64, announced: !pair.module(side).needs_sweep };
    if let Some(alarm) = why_not_believed(run, side, &scope, module, &asked) {
        return Ok(Swept { alarm: Some(format!("{connection}: {alarm}")), ..Swept::default() });
    }
    let mut removed = still_absent(run, pair, side, absent).await?;
    let absent = removed.len();
    removed.retain(|(_, why)| *why != RemovalReason::NotVisible);
    let hidden = absent - removed.len();
    let alarm = (hidden > 0).then(|| {
        format!(
            "{connection}: {hidden} of {known} {module} are still there, but hidden from this login or left out of its answers; nothing \
             is taken for deleted"
        )
    });
    // What the CRM explains (a converted lead) was not deleted, and nothing that the safety stop is about.
    let count = removed.iter().filter(|(_, why)| *why == RemovalReason::Unknown).count() as u64;
    if count > run.limits.safety_stop().most(known) && !is_consented(run, pair, side, count).await? {
        run.store.hold_removals(&run.lease, pair.id, side, count, known, run.now_ms()).await?;
        let held = format!(
            "{connection}: {count} of {known} {module} are not there any more: the safety stop holds, nothing is taken for deleted; {}",
            super::leaving::how_to_consent(run)
        );
        let alarm = alarm.into_iter().chain([held]).collect::<Vec<_>>().join("; ");
        return Ok(Swept { gone: 0, alarm: Some(alarm), held: true });
    }
    let gone = removed.len() as u64;
    let page = StagedPage { live: vec![], removed, whole: false, cursor: None };
    run.store.stage_page(&run.lease, pair.id, side, page).await?;
    Ok(Swept { gone, alarm, ..Swept::default() })
}

/// Whether people said that so many records of this side are gone.
async fn is_consented(run: &RunSetup, pair: &PairSetup, side: Side, gone: u64) -> Result<bool, Error> {
    let held = run.store.held_of(run.tenant(), pair.id, side).await?;
    Ok(held.is_some_and(|held| held.covers(gone, run.now_ms())))
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

/// What was asked, and what was answered in numbers.
struct Asked {
    /// Records that are known.
    known: u64,
    /// Records that the CRM counts.
    population: Option<u64>,
    /// Known records that are not there.
    absent: u64,
    /// The CRM announces what is removed, elsewhere than here.
    announced: bool,
}

/// The checks of S13 that speak against taking absent records for removed ones.
fn why_not_believed(run: &RunSetup, side: Side, scope: &str, module: &str, asked: &Asked) -> Option<String> {
    let setup = run.side(side);
    let &Asked { known, population, absent, announced } = asked;
    if is_on(Sabotage::TrustAbsence) {
        return None;
    }
    if scope != setup.scope_at_login && !is_on(Sabotage::IgnoreScope) {
        return Some(format!(
            "{absent} {module} are not visible any more, and what this login may see changed from `{}` to `{scope}`; nothing is taken for deleted",
            setup.scope_at_login
        ));
    }
    if absent == known && known >= ALL_AT_ONCE_MIN && !is_on(Sabotage::AllMayLeave) {
        return Some(format!(
            "none of the {known} known {module} is there any more, which is no news to believe; nothing is taken for deleted: see what this login may read"
        ));
    }
    if population.is_some_and(|population| population + absent < known) {
        return Some(format!(
            "{absent} of {known} {module} are not there, but the CRM counts only {}; nothing is taken for deleted",
            population.unwrap_or_default()
        ));
    }
    // New records may be counted that nobody has read yet: then the next run tells.
    if announced && population.is_some_and(|population| population + absent > known) {
        return Some(format!(
            "{absent} of {known} {module} are not there, but the CRM still counts {}; nothing is taken for deleted",
            population.unwrap_or_default()
        ));
    }
    if announced && scope != "all" {
        return Some(format!(
            "{absent} of {known} {module} are not there, and the CRM announced no delete of them: they may be hidden from this login, which \
             does not see all records; nothing is taken for deleted"
        ));
    }
    None
}

/// Looks once more after a grace: a record between two states of a CRM is not gone.
async fn still_absent(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    absent: Vec<String>,
) -> Result<Vec<(String, RemovalReason)>, Error> {
    if is_on(Sabotage::NoSecondLook) {
        return Ok(absent.into_iter().map(|id| (id, RemovalReason::Unknown)).collect());
    }
    tokio::time::sleep(std::time::Duration::from_millis(run.limits.sweep_grace_ms.max(0) as u64)).await;
    let mut gone = Vec::new();
    for chunk in absent.chunks(pair.module(side).fetch_rows.max(1)) {
        let fetched = super::call::fetch(run, pair, side, chunk, &[]).await?;
        let why = |id: &String| fetched.removed.iter().find(|(gone, _)| gone == id).map(|(_, why)| *why);
        gone.extend(fetched.absent.iter().map(|id| (id.clone(), why(id).unwrap_or(RemovalReason::Unknown))));
    }
    Ok(gone)
}
