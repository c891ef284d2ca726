//! What a flow will cost when it runs by itself: calls a day at each side, against what the CRM's edition allows, and how fresh its data
//! can be for that.

use serde::Serialize;

use crate::app::App;
use crate::engine::{CheckReport, CreateClass, ModuleInfo};
use crate::flow::Pair;
use crate::store::ConnectionRow;

use super::failure::Failure;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// Part of a day's calls that is left to people and other programs, in percent.
const RESERVE_PERCENT: u64 = 30;

/// One side of a flow, as it will be day by day.
#[derive(Clone, Debug, Serialize)]
pub struct Outlook {
    /// Name of the connection.
    pub connection: String,
    /// Edition as the CRM says, "" if it does not.
    pub edition: String,
    /// Calls a day that looking for changes takes, without any change.
    pub calls_a_day: u64,
    /// Calls a day that the edition allows at least; none if that is not known.
    pub allowed_a_day: Option<u64>,
    /// Calls a minute that the CRM allows; none if it documents no such limit.
    pub allowed_a_minute: Option<u32>,
    /// The shortest pause between runs that leaves people and other programs their part, in seconds; none if no limit is known.
    pub every_s_min: Option<u64>,
    /// By module: what creates rely on, and what would make them safer, "" if nothing would.
    pub creates: Vec<CreateSafety>,
}

/// How safely records are created in one module.
#[derive(Clone, Debug, Serialize)]
pub struct CreateSafety {
    /// Module.
    pub module: String,
    /// A, B or C.
    pub class: CreateClass,
    /// What to do about it.
    pub hint: String,
}

/// Both sides, left first.
pub(super) async fn of(
    app: &App,
    sides: &[ConnectionRow; 2],
    checks: [&CheckReport; 2],
    modules: &[Vec<ModuleInfo>; 2],
    pairs: &[Pair],
    every_ms: u64,
) -> Result<Vec<Outlook>, Failure> {
    let mut outlooks = Vec::with_capacity(2);
    for index in 0..2 {
        let manifest = app.manifest(&sides[index].plugin).await?;
        let mut calls_a_run = 0;
        let mut creates = Vec::new();
        for pair in pairs {
            let name = [&pair.left_module, &pair.right_module][index];
            let Some(module) = modules[index].iter().find(|module| module.name == *name) else { continue };
            // A CRM that announces removals lists them apart from changes.
            calls_a_run += if module.needs_sweep { 1 } else { 2 };
            creates.push(safety(&sides[index].name, module));
        }
        let runs_a_day = DAY_MS / every_ms.max(1);
        let budget = manifest.budget.as_ref().map(|budget| budget.of(&checks[index].edition));
        let allowed_a_day = budget.and_then(|budget| budget.per_day);
        let per_minute = manifest.limits.and_then(|limits| limits.requests_per_minute);
        let usable = allowed_a_day.map(|allowed| (allowed * (100 - RESERVE_PERCENT) / 100).max(1));
        outlooks.push(Outlook {
            connection: sides[index].name.clone(),
            edition: checks[index].edition.clone(),
            calls_a_day: calls_a_run * runs_a_day,
            allowed_a_day,
            allowed_a_minute: per_minute.or(budget.and_then(|budget| budget.per_minute)),
            every_s_min: usable.map(|usable| (calls_a_run * DAY_MS / 1_000).div_ceil(usable).max(1)),
            creates,
        });
    }
    Ok(outlooks)
}

fn safety(connection: &str, module: &ModuleInfo) -> CreateSafety {
    let prepare = format!("`crmsync connection prepare {connection} {}` says how to make it so", module.name);
    let hint = match module.create_class {
        CreateClass::A => String::new(),
        CreateClass::B => format!(
            "a create whose answer is lost is looked up after {} s before it is repeated; with a unique field for our keys it could be \
             repeated at once: {prepare}",
            module.quiesce_ms / 1_000
        ),
        CreateClass::C => format!("a create whose answer is lost needs a person; {prepare}"),
    };
    CreateSafety { module: module.name.clone(), class: module.create_class, hint }
}
