//! When flows run by themselves: their states, pause and resume, Sync Now, and the runs that nobody waits for.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::failure::Failure;
use super::identity;
use super::{connections, flows};
use crate::app::App;
use crate::egress::{Errand, Lane};
use crate::engine::{Progress, RunReport};
use crate::flow::Document;
use crate::scheduler::{Blocked, Cause, End, Flow, LastRun, Standing, State, standing};
use crate::store::{ConnectionState, RunRow, ScheduleChange, Scheduled};

/// The newest runs that are looked at: more failures in a row than this lengthen no pause any more.
const RUNS_LOOKED_AT: usize = 12;
/// Debug mode ends by itself after this time.
const DEBUG_MS: i64 = 24 * 60 * 60 * 1_000;

/// A flow with everything that decides when it runs.
#[derive(Clone, Debug)]
pub struct Watched {
    /// As it is stored.
    pub stored: Scheduled,
    /// As the scheduler sees it.
    pub flow: Flow,
}

impl Watched {
    /// How it stands now. `running` says that this process runs it.
    pub fn standing(&self, running: bool, now_ms: i64) -> Standing {
        standing(&self.flow, running, now_ms)
    }

    /// What keeps it from running, in words; "" if nothing does.
    pub fn why(&self) -> String {
        match &self.flow.blocked {
            _ if self.flow.paused_at_ms > 0 => "a person paused it".to_owned(),
            Some(Blocked::File(why)) => why.clone(),
            Some(Blocked::LoggedOut(connection)) => format!("`{connection}` is not logged in"),
            Some(Blocked::NotApproved) => "nobody approved what it would do now".to_owned(),
            Some(Blocked::Quota(connection, _)) => {
                format!("the share of scheduled runs in the day of `{connection}` is used up")
            }
            None => String::new(),
        }
    }

    /// The last run as people see it: one whose process is gone was interrupted.
    pub fn last_run(&self) -> Option<RunRow> {
        let mut run = self.stored.runs.first().cloned()?;
        if run.state == "running" && !self.flow.elsewhere && self.stored.holder.is_empty() {
            run.state = "interrupted".into();
        }
        Some(run)
    }
}

/// All flows with what decides when they run, by name. `every_ms` is the operator's interval for all of them, if there is one.
pub(super) async fn watch(app: &App, tenant: &str, every_ms: Option<i64>) -> Result<Vec<Watched>, Failure> {
    let now_ms = app.now_ms();
    let mut sides = BTreeMap::new();
    for row in app.store().connections(tenant).await? {
        let (set, rows) = app.store().usage(tenant, &row.name).await?;
        let (allowance, used) = app.budget_of(&row, &set, &rows)?;
        let quota_until_ms = used.goes_on_at_ms(&allowance, Lane::Background, now_ms);
        sides.insert(row.name, SideState { state: row.state, quota_until_ms });
    }
    let mut watched = Vec::new();
    for mut stored in app.store().scheduled(tenant, RUNS_LOOKED_AT).await? {
        let gone = app.is_gone(&stored.holder);
        if gone {
            stored.holder.clear();
        }
        let ours = stored.holder.split('/').next() == Some(app.holder());
        let elsewhere = !stored.holder.is_empty() && !ours && stored.held_until_ms > now_ms;
        let mut flow = Flow {
            name: stored.flow.name.clone(),
            between: Document::sides(&stored.flow.document).unwrap_or_default(),
            every_ms: 0,
            paused_at_ms: stored.schedule.paused_at_ms,
            blocked: None,
            asked_at_ms: stored.schedule.asked_at_ms,
            last: last(&stored.runs, now_ms),
            failures: in_a_row(&stored.runs, &["failed"]),
            interruptions: in_a_row(&stored.runs, &["interrupted", "running"]),
            elsewhere,
        };
        match Document::parse(&stored.flow.document) {
            Ok(document) => {
                flow.every_ms = every_ms.unwrap_or_else(|| i64::try_from(document.every_ms).unwrap_or(i64::MAX));
                flow.blocked = blocked(&stored, &flow, &sides);
            }
            Err(problems) => {
                let why = problems.first().map(|problem| format!("{}: {}", problem.line, problem.message));
                flow.blocked = Some(Blocked::File(why.unwrap_or_default()));
            }
        }
        watched.push(Watched { stored, flow });
    }
    Ok(watched)
}

/// What a connection lets its flows do.
struct SideState {
    state: ConnectionState,
    /// Scheduled runs have used up their share of its day, and go on at this moment.
    quota_until_ms: Option<i64>,
}

fn blocked(stored: &Scheduled, flow: &Flow, sides: &BTreeMap<String, SideState>) -> Option<Blocked> {
    for name in &flow.between {
        match sides.get(name).map(|side| side.state) {
            None => return Some(Blocked::File(format!("the connection `{name}` is not there"))),
            Some(ConnectionState::Ready) => {}
            Some(ConnectionState::New | ConnectionState::LoggedOut) => return Some(Blocked::LoggedOut(name.clone())),
        }
    }
    let holds = stored.flow.approved.as_ref().is_some_and(|approval| {
        approval.settings_hash == stored.flow.settings_hash && approval.at_ms > stored.schedule.refused_at_ms
    });
    if !holds {
        return Some(Blocked::NotApproved);
    }
    let mut latest: Option<Blocked> = None;
    for name in &flow.between {
        let until_ms = sides.get(name).and_then(|side| side.quota_until_ms);
        if let Some(until_ms) = until_ms
            && !matches!(latest, Some(Blocked::Quota(_, other_ms)) if other_ms >= until_ms)
        {
            latest = Some(Blocked::Quota(name.clone(), until_ms));
        }
    }
    latest
}

/// The last run. A moment that is yet to come was noted before the clock was set back.
fn last(runs: &[RunRow], now_ms: i64) -> Option<LastRun> {
    let run = runs.first()?;
    let past = |at_ms: i64| at_ms.min(now_ms);
    let (end, ended_at_ms) = match run.state.as_str() {
        "done" => (End::Done, past(run.ended_at_ms)),
        "failed" => (End::Failed, past(run.ended_at_ms)),
        _ => (End::CutOff, past(run.started_at_ms)),
    };
    Some(LastRun { started_at_ms: past(run.started_at_ms), ended_at_ms, end })
}

fn in_a_row(runs: &[RunRow], states: &[&str]) -> u32 {
    runs.iter().take_while(|run| states.contains(&run.state.as_str())).count() as u32
}

/// Lets a flow no longer run by itself; a run that is going on ends by itself.
///
/// # Errors
/// There is none of this name.
pub async fn pause(app: &App, tenant: &str, name: &str) -> Result<(), Failure> {
    flows::get(app, tenant, name).await?;
    let before = app.store().schedule(tenant, name).await?;
    if before.paused_at_ms == 0 {
        app.store().change_schedule(tenant, name, ScheduleChange::Paused(app.now_ms())).await?;
    }
    Ok(())
}

/// Lets a flow run by itself again.
///
/// # Errors
/// There is none of this name.
pub async fn resume(app: &App, tenant: &str, name: &str) -> Result<(), Failure> {
    flows::get(app, tenant, name).await?;
    Ok(app.store().change_schedule(tenant, name, ScheduleChange::Resumed).await?)
}

/// Switches debug mode of a flow on for a day, or off. Gives the moment when it ends, 0 for off.
///
/// # Errors
/// There is none of this name.
pub async fn set_debug(app: &App, tenant: &str, name: &str, on: bool) -> Result<i64, Failure> {
    flows::get(app, tenant, name).await?;
    let until_ms = if on { app.now_ms() + DEBUG_MS } else { 0 };
    app.store().change_schedule(tenant, name, ScheduleChange::Debug(until_ms)).await?;
    Ok(until_ms)
}

/// Asks the service that runs in this data folder for a run: Sync Now. Who asks twice before it begins gets one.
///
/// # Errors
/// It runs already, or may not run.
pub async fn ask_for_run(app: &App, tenant: &str, name: &str) -> Result<(), Failure> {
    flows::get(app, tenant, name).await?;
    let watched = watch(app, tenant, None).await?;
    let Some(found) = watched.iter().find(|watched| watched.flow.name == name) else {
        return Err(Failure::input("flow.unknown", format!("there is no flow `{name}`"), ""));
    };
    let held = !found.stored.holder.is_empty() && found.stored.held_until_ms > app.now_ms();
    let why = found.why();
    let (code, hint) = match found.standing(held, app.now_ms()).state {
        State::Running => ("flow.busy", "it is being synced now; see its runs".to_owned()),
        State::Paused => ("flow.paused", format!("let it go on with `crmsync flow resume {name}`")),
        State::NeedsApproval => (
            "flow.not_approved",
            format!("run `crmsync flow preview {name}`, look at it, then `crmsync flow approve {name}`"),
        ),
        State::LoggedOut => match &found.flow.blocked {
            Some(Blocked::LoggedOut(side)) => {
                ("connection.logged_out", format!("run `crmsync connection login {side}`"))
            }
            _ => ("connection.logged_out", String::new()),
        },
        State::Unusable => ("flow.problems", format!("see `crmsync flow show {name}`, mend it and apply it again")),
        State::Waiting | State::Queued | State::Failing | State::WaitingForQuota => {
            app.store().change_schedule(tenant, name, ScheduleChange::Asked(app.now_ms())).await?;
            return Ok(());
        }
    };
    let why = if why.is_empty() { "a run of it is going on".to_owned() } else { why };
    Err(Failure::failed(code, format!("`{name}` cannot be synced now: {why}"), hint))
}

/// On whose behalf a run's calls are made.
pub(super) async fn errand(app: &App, tenant: &str, name: &str, lane: Lane) -> Result<Errand, Failure> {
    let debug = app.store().schedule(tenant, name).await?.debug_until_ms > app.now_ms();
    Ok(Errand { lane, debug: debug.then(|| name.to_owned()) })
}

/// A run that nobody waits for. Whatever becomes of it is in the store afterwards: also why it could not even begin.
pub(super) async fn run_unattended(
    app: &App,
    tenant: &str,
    name: &str,
    cause: Cause,
    progress: Arc<dyn Progress>,
) -> Result<RunReport, Failure> {
    if cause == Cause::Asked {
        app.store().change_schedule(tenant, name, ScheduleChange::Begun).await?;
    }
    let began_at_ms = app.now_ms();
    let word = if cause == Cause::Asked { "sync-now" } else { "scheduled" };
    let lane = if cause == Cause::Asked { Lane::Interactive } else { Lane::Background };
    let outcome = flows::run_as(app, tenant, name, flows::RunRequest::default(), (word, lane), progress).await;
    let Err(failure) = &outcome else { return outcome };
    match failure.code {
        "flow.not_approved" => {
            app.store().change_schedule(tenant, name, ScheduleChange::Refused(app.now_ms())).await?;
        }
        "connection.logged_out" => note_logged_out(app, tenant, name).await?,
        _ => {}
    }
    // Somebody else's run is no failure of this one: it was begun between our look and our turn.
    let holder = app.store().lease_holder(tenant, name).await?;
    let elsewhere = failure.code == "flow.busy" && holder.split('/').next() != Some(app.holder());
    if elsewhere && cause == Cause::Asked {
        // Whoever asked has been promised a run.
        app.store().change_schedule(tenant, name, ScheduleChange::Asked(began_at_ms)).await?;
    }
    let begun = app.store().runs(tenant, name, 1).await?.pop().is_some_and(|run| run.started_at_ms >= began_at_ms);
    if !begun && !elsewhere {
        let summary = serde_json::to_string(&failure.message).unwrap_or_default();
        app.store().note_failed_run(tenant, name, word, began_at_ms, app.now_ms(), summary).await?;
    }
    outcome
}

/// A run met a login that does not work any more: asks both connections, so that the right one says so.
async fn note_logged_out(app: &App, tenant: &str, name: &str) -> Result<(), Failure> {
    let flow = flows::get(app, tenant, name).await?;
    for side in Document::sides(&flow.document).iter().flatten() {
        let row = connections::get(app, tenant, side).await?;
        if row.state == ConnectionState::Ready
            && let Err(failure) = identity::check(app, tenant, side).await
            && failure.code == "connection.logged_out"
        {
            let state = ConnectionState::LoggedOut;
            app.store().set_connection_checked(tenant, &row, state, None, String::new()).await?;
        }
    }
    Ok(())
}

/// A flow's timetable for people, in a list.
#[derive(Clone, Debug, Serialize)]
pub struct Timetable {
    /// State.
    pub state: State,
    /// What keeps it from running, "" if nothing does.
    pub why: String,
    /// When it runs next by itself, while the service runs.
    pub next_at_ms: Option<i64>,
    /// Time between the starts of two runs, in milliseconds.
    pub every_ms: i64,
    /// Debug mode is on until this moment, 0 for off.
    pub debug_until_ms: i64,
}

impl Timetable {
    /// Of a flow that this process may be running.
    pub fn of(watched: &Watched, running: bool, now_ms: i64) -> Timetable {
        let Standing { state, next_at_ms } = watched.standing(running, now_ms);
        let debug_until_ms = watched.stored.schedule.debug_until_ms;
        Timetable {
            state,
            why: watched.why(),
            next_at_ms,
            every_ms: watched.flow.every_ms,
            debug_until_ms: if debug_until_ms > now_ms { debug_until_ms } else { 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(state: &str, started_at_ms: i64) -> RunRow {
        let (cause, summary) = ("scheduled".to_owned(), String::new());
        RunRow { id: 1, cause, state: state.to_owned(), started_at_ms, ended_at_ms: started_at_ms + 10, summary }
    }

    #[test]
    fn a_process_that_dies_with_each_run_is_noticed() {
        let states = |states: &[&str]| -> u32 {
            let runs: Vec<RunRow> = states.iter().map(|state| run(state, 0)).collect();
            in_a_row(&runs, &["interrupted", "running"])
        };
        // The newest one still says that it is running: nobody has begun another since its process died.
        assert_eq!(states(&["running", "interrupted", "interrupted", "done"]), 3);
        assert_eq!(states(&["done", "interrupted"]), 0);
    }

    #[test]
    fn a_run_of_the_future_does_not_hold_up_the_next() {
        let last = last(&[run("done", 9_000)], 1_000).expect("a run");
        assert_eq!((last.started_at_ms, last.ended_at_ms), (1_000, 1_000));
    }
}
