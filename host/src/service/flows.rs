//! Flows: check and apply the file, preview, approve, run, and read what happened.

use std::sync::Arc;

use serde::Serialize;

use super::connections;
use super::effort;
use super::failure::Failure;
use super::keys;
use super::operator;
use super::outlook::Outlook;
use super::resolved::{Metadata, Resolved, in_depth, owners_are_known, resolve, setup};
use super::schedule::{self, Timetable};
use super::upkeep;
use crate::app::App;
use crate::egress::{Lane, on_errand};
use crate::engine::{self, FirstSync, Preview, Progress, RunOptions, RunReport};
use crate::flow::{self, Document, Misfit};
use crate::store::{
    Approval, ConnectionRow, ConnectionState, FlowRow, HeldRemovals, JournalQuery, JournalRow, Lease, OutcomeRow,
    RunRow,
};

/// An approval that led to no run within a day is asked for again (S6).
const APPROVAL_LIFE_MS: i64 = 24 * 60 * 60 * 1_000;

/// A person who answers waits at most so long for a run to end.
const SHORT_WAIT_MS: u64 = 20_000;
const SHORT_WAIT_TURN_MS: u64 = 250;

/// One module pair of a flow, for people.
#[derive(Clone, Debug, Serialize)]
pub struct ModuleSummary {
    /// Left module.
    pub left: String,
    /// Right module.
    pub right: String,
    /// both, to-left or to-right.
    pub direction: crmsync_core::Direction,
    /// Whose value stays when both sides changed one field, where a row says nothing else.
    pub winner: crmsync_core::Winner,
    /// What happens to differences of records that are matched for the first time.
    pub first_sync: crmsync_core::FirstSync,
    /// What a delete on one side means for the other.
    pub deletes: crmsync_core::DeletePolicy,
    /// Mapping rows: left fields, right fields, direction, transforms.
    pub rows: Vec<RowSummary>,
    /// Match keys, strongest first.
    pub match_keys: Vec<String>,
    /// Default rows that do not apply here, and why.
    pub left_out: Vec<flow::LeftOut>,
}

/// One mapping row, for people.
#[derive(Clone, Debug, Serialize)]
pub struct RowSummary {
    /// Left fields.
    pub left: Vec<String>,
    /// Right fields.
    pub right: Vec<String>,
    /// Which way values travel.
    pub direction: crmsync_core::Direction,
    /// Function on the way to the right, "" for none.
    pub to_right: String,
    /// Function on the way to the left.
    pub to_left: String,
    /// Whose value stays, if the row says it itself.
    pub winner: Option<crmsync_core::Winner>,
}

/// What a check of a flow file found.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// Name of the flow.
    pub name: String,
    /// Its connections.
    pub between: [String; 2],
    /// Its modules.
    pub modules: Vec<ModuleSummary>,
    /// What works, but perhaps not as meant, as `line:column: text`.
    pub warnings: Vec<String>,
    /// What it will cost each side day by day, left first; empty where that was not asked.
    #[serde(default)]
    pub outlook: Vec<Outlook>,
}

/// What applying a flow file did.
#[derive(Clone, Debug, Serialize)]
pub struct Applied {
    /// What the check found.
    #[serde(flatten)]
    pub checked: Checked,
    /// The flow's version.
    pub version: i64,
    /// The settings that an approval is about changed: a new preview is needed.
    pub needs_preview: bool,
}

/// One flow in a list.
#[derive(Clone, Debug, Serialize)]
pub struct FlowSummary {
    /// Name.
    pub name: String,
    /// Version.
    pub version: i64,
    /// Whether a preview of its present settings was approved.
    pub approved: bool,
    /// When the first sync came to its end; 0 before.
    pub first_sync_at_ms: i64,
    /// Deleted records that the safety stop holds until people consent.
    pub held_removals: Vec<HeldRemovals>,
    /// The last run, if there was one.
    pub last_run: Option<RunRow>,
    /// When it runs by itself.
    #[serde(flatten)]
    pub timetable: Timetable,
}

/// How to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunRequest {
    /// Look for removed records now.
    pub sweep: bool,
    /// Write at most so many records or pairs, a few of each kind, and leave the rest to a later run; none for all.
    pub trial: Option<usize>,
}

/// Checks a flow file against both CRMs; changes nothing.
///
/// # Errors
/// Every problem of the file at once, or why a CRM could not be asked.
pub async fn check(app: &App, tenant: &str, file: &str, text: &str) -> Result<Checked, Failure> {
    same_sides(app, tenant, file, text).await?;
    let resolved = resolve(app, tenant, file, text, Metadata::Fresh, Misfit::Refuse).await?;
    owners_are_known(app, tenant, file, &resolved).await?;
    in_depth(app, tenant, &resolved).await
}

/// Checks a flow file and saves it as the flow's next version.
///
/// # Errors
/// As [`check`]; then nothing is saved.
pub async fn apply(app: &App, tenant: &str, file: &str, text: &str) -> Result<Applied, Failure> {
    same_sides(app, tenant, file, text).await?;
    let resolved = resolve(app, tenant, file, text, Metadata::Fresh, Misfit::Refuse).await?;
    owners_are_known(app, tenant, file, &resolved).await?;
    let name = &resolved.document.name;
    let before = app.store().flow(tenant, name).await?;
    let hash = resolved.settings_hash.clone();
    let version = app.store().apply_flow(tenant, name, text.to_owned(), hash.clone(), app.now_ms()).await?;
    let approved = before.and_then(|flow| flow.approved).is_some_and(|approval| approval.settings_hash == hash);
    Ok(Applied { checked: in_depth(app, tenant, &resolved).await?, version, needs_preview: !approved })
}

/// Changes settings in a flow's stored file, comments kept, and applies it: `winner`, `safety_stop.records`, `Contacts.direction`.
///
/// # Errors
/// A setting cannot be found, or the file that results is wrong; then nothing is saved.
pub async fn set(app: &App, tenant: &str, name: &str, settings: &[(String, String)]) -> Result<Applied, Failure> {
    let mut text = get(app, tenant, name).await?.document;
    for (key, value) in settings {
        if matches!(key.as_str(), "name" | "between" | "format") {
            return Err(Failure::input(
                "flow.fixed_setting",
                format!("`{key}` of a flow stays as it is"),
                "write a file for a new flow: `crmsync flow export` prints this one",
            ));
        }
        text =
            flow::set(&text, key, value).map_err(|error| Failure::input("flow.setting", error.message, error.hint))?;
    }
    apply(app, tenant, name, &text).await
}

/// Links, bases and cursors of a flow are about two organisations in an order. Under others they would be about unrelated records, and
/// a run would write over them.
async fn same_sides(app: &App, tenant: &str, file: &str, text: &str) -> Result<(), Failure> {
    let document = Document::parse(text).map_err(|problems| Failure::problems(file, &problems))?;
    let name = &document.name;
    let Some(before) = app.store().flow(tenant, name).await? else { return Ok(()) };
    let sides = Document::sides(&before.document);
    if sides.as_ref() != Some(&document.between) {
        let shown = |sides: &[String; 2]| format!("`{}` and `{}`", sides[0], sides[1]);
        let was = sides.as_ref().map_or_else(|| "other connections".to_owned(), shown);
        return Err(Failure::input(
            "flow.other_sides",
            format!("flow `{name}` is between {was}, not between {}, in this order", shown(&document.between)),
            format!(
                "what it knows of linked records does not hold for others: give the new flow another name, \
                 or end this one with `crmsync flow remove {name}`"
            ),
        ));
    }
    for side in &document.between {
        same_connection(&before, &connections::get(app, tenant, side).await?)?;
    }
    Ok(())
}

/// A connection that was removed and added again may lead to another organisation.
fn same_connection(flow: &FlowRow, connection: &ConnectionRow) -> Result<(), Failure> {
    if connection.created_at_ms <= flow.applied_at_ms {
        return Ok(());
    }
    let (name, side) = (&flow.name, &connection.name);
    Err(Failure::failed(
        "flow.other_connection",
        format!("the connection `{side}` was added anew after flow `{name}` was applied"),
        format!(
            "start a new flow under another name, or end this one with `crmsync flow remove {name}` and apply it again"
        ),
    ))
}

/// Removes a flow with all that it knows of linked records; the records themselves, its sync log and its runs stay. A flow of this name
/// begins with a first sync.
///
/// # Errors
/// There is none, or a run of it is going on.
pub async fn remove(app: &App, tenant: &str, name: &str) -> Result<(), Failure> {
    get(app, tenant, name).await?;
    let lease = take(app, tenant, name).await?;
    Ok(app.store().remove_flow(&lease).await?)
}

/// All flows.
pub async fn list(app: &App, tenant: &str) -> Result<Vec<FlowSummary>, Failure> {
    let watched = schedule::watch(app, tenant, None).await?;
    let summary = |watched: schedule::Watched| {
        let timetable = Timetable::of(&watched, false, app.now_ms());
        let last_run = watched.last_run();
        let flow = watched.stored.flow;
        FlowSummary {
            approved: flow.approved.as_ref().is_some_and(|approval| approval.settings_hash == flow.settings_hash),
            name: flow.name,
            version: flow.version,
            first_sync_at_ms: flow.first_sync_at_ms,
            held_removals: Vec::new(),
            last_run,
            timetable,
        }
    };
    let mut summaries: Vec<FlowSummary> = watched.into_iter().map(summary).collect();
    for summary in &mut summaries {
        summary.held_removals = app.store().held_removals(tenant, &summary.name).await?;
    }
    Ok(summaries)
}

/// The flow's file, as it was applied.
pub async fn document(app: &App, tenant: &str, name: &str) -> Result<String, Failure> {
    Ok(get(app, tenant, name).await?.document)
}

/// The flow's file and its mapping as it is now.
pub async fn show(app: &App, tenant: &str, name: &str) -> Result<(String, Checked), Failure> {
    let flow = get(app, tenant, name).await?;
    let resolved = resolve(app, tenant, name, &flow.document, Metadata::Recent, Misfit::Pause).await?;
    Ok((flow.document, resolved.checked()))
}

/// Reads both CRMs and shows what a run would do. Writes nothing to them.
///
/// # Errors
/// A CRM cannot be read, or another run holds the flow.
pub async fn preview(app: &App, tenant: &str, name: &str, progress: Arc<dyn Progress>) -> Result<Preview, Failure> {
    let (flow, resolved) = open(app, tenant, name, Metadata::Fresh).await?;
    let lease = take(app, tenant, name).await?;
    let sides = resolved.connections.clone();
    let outcome = journalled(app, &lease, "preview", async |run| {
        let (setup, hash) = setup(app, tenant, &flow, resolved, lease.clone(), run, progress).await?;
        let kept = flow.approved.as_ref().map_or(0, |approval| approval.preview);
        let mut preview = engine::preview(&setup, &hash, kept).await?;
        preview.efforts = effort::of(app, &sides, &setup.pairs, &preview).await?;
        // What a newer version reads into the same file is what was previewed, and what an approval is about.
        app.store().set_previewed(tenant, name, flow.version, hash, to_json(&preview)).await?;
        Ok(preview)
    })
    .await;
    app.store().release_lease(&lease).await?;
    outcome
}

/// Does the work of a run: begun in the store, and ended there whatever becomes of it.
pub(super) async fn journalled<T: Serialize>(
    app: &App,
    lease: &Lease,
    cause: &str,
    work: impl AsyncFnOnce(i64) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let run = app.store().begin_run(lease, cause, app.now_ms()).await?;
    let outcome = work(run).await;
    if let Err(error) = app.keep_states(&lease.tenant).await {
        // A cache: the next process asks the CRM again.
        tracing::debug!(%error, "what connectors keep for themselves was not kept");
    }
    let summary = outcome.as_ref().map(to_json).unwrap_or_else(|failure| to_json(&failure.message));
    let ended = app.store().end_run(lease, run, outcome.is_ok(), summary, app.now_ms()).await;
    // Why the run failed says more than why its end could not be noted.
    let answer = outcome?;
    ended?;
    Ok(answer)
}

/// Approves the last preview.
///
/// # Errors
/// There is none, or the settings changed since.
pub async fn approve(app: &App, tenant: &str, name: &str) -> Result<Preview, Failure> {
    let flow = get(app, tenant, name).await?;
    let again = format!("run `crmsync flow preview {name}` first");
    if flow.previewed.is_empty() {
        return Err(Failure::failed("flow.no_preview", format!("`{name}` has no preview to approve"), again));
    }
    let preview: Preview = serde_json::from_str(&flow.previewed).map_err(|error| {
        Failure::failed("flow.no_preview", format!("the preview of `{name}` cannot be read: {error}"), again.clone())
    })?;
    if preview.settings_hash != flow.settings_hash {
        return Err(Failure::failed(
            "flow.preview_outdated",
            format!("the settings of `{name}` changed after its preview"),
            again,
        ));
    }
    if app.now_ms() - preview.at_ms > APPROVAL_LIFE_MS {
        return Err(Failure::failed(
            "flow.preview_outdated",
            format!("the preview of `{name}` is older than a day"),
            again,
        ));
    }
    let approval = Approval {
        settings_hash: flow.settings_hash,
        at_ms: app.now_ms(),
        counts: preview.approved_counts(),
        preview: preview.run,
    };
    app.store().approve(tenant, name, approval).await?;
    Ok(preview)
}

/// Consents to the deletes that the safety stop holds: the next run carries them out.
///
/// # Errors
/// There is nothing to consent to.
pub async fn approve_deletes(app: &App, tenant: &str, name: &str) -> Result<Vec<HeldRemovals>, Failure> {
    get(app, tenant, name).await?;
    let held = app.store().consent_to_removals(tenant, name, app.now_ms()).await?;
    if held.is_empty() {
        return Err(Failure::failed(
            "flow.nothing_held",
            format!("the safety stop holds no deletes of `{name}`"),
            format!("to approve a preview: crmsync flow approve {name}"),
        ));
    }
    Ok(held)
}

/// Runs a flow once.
///
/// # Errors
/// Nobody approved it (S6), another run holds it, or a CRM cannot be used.
pub async fn run(
    app: &App,
    tenant: &str,
    name: &str,
    request: RunRequest,
    progress: Arc<dyn Progress>,
) -> Result<RunReport, Failure> {
    let cause = if request.trial.is_some() { "trial" } else { "asked" };
    run_as(app, tenant, name, request, (cause, Lane::Interactive), progress).await
}

/// The same, with the reason that its journal names, and the lane of its calls.
pub(super) async fn run_as(
    app: &App,
    tenant: &str,
    name: &str,
    request: RunRequest,
    (cause, lane): (&str, Lane),
    progress: Arc<dyn Progress>,
) -> Result<RunReport, Failure> {
    let errand = schedule::errand(app, tenant, name, lane).await?;
    let outcome = on_errand(errand, run_once(app, tenant, name, request, cause, progress)).await;
    app.tell_usage().await;
    if let Err(failure) = upkeep::remove_old(app, tenant).await {
        tracing::warn!("old rows could not be removed: {}", failure.message);
    }
    outcome
}

async fn run_once(
    app: &App,
    tenant: &str,
    name: &str,
    request: RunRequest,
    cause: &str,
    progress: Arc<dyn Progress>,
) -> Result<RunReport, Failure> {
    let (flow, resolved) = open(app, tenant, name, Metadata::Recent).await?;
    let approval = approved(app, &flow, &resolved)?;
    let first_sync =
        (flow.first_sync_at_ms == 0).then_some(FirstSync { counts: approval.counts, preview: approval.preview });
    let lease = take(app, tenant, name).await?;
    let (sides, resting) = (resolved.connections.clone(), resolved.resting());
    let outcome = journalled(app, &lease, cause, async |run| {
        let (setup, _) = setup(app, tenant, &flow, resolved, lease.clone(), run, progress).await?;
        let options = RunOptions { sweep: request.sweep, first_sync, trial: request.trial };
        let mut report = engine::run(&setup, &options).await;
        if let Ok(report) = &mut report {
            report.alarms.extend(resting);
        }
        if let Err(engine::Error::Call { connection, source, .. }) = &report
            && matches!(source, engine::CallError::Fault(crmsync_core::Fault::LoggedOut))
            && let Some(side) = sides.iter().find(|side| side.name == *connection)
        {
            let state = ConnectionState::LoggedOut;
            app.store().set_connection_checked(tenant, side, state, None, String::new()).await?;
        }
        Ok(report?)
    })
    .await;
    app.store().release_lease(&lease).await?;
    outcome
}

/// Lines of a flow's sync log.
pub async fn log(app: &App, tenant: &str, name: &str, query: JournalQuery) -> Result<Vec<JournalRow>, Failure> {
    let lines = app.store().journal(tenant, name, query).await?;
    if lines.is_empty() {
        // The log of a flow that was removed can be read; a name that never was one is a mistake.
        get(app, tenant, name).await?;
    }
    Ok(lines)
}

/// The names of a flow's connections, left first; `left` and `right` of one that was removed, whose log can still be read.
pub async fn between(app: &App, tenant: &str, name: &str) -> Result<[String; 2], Failure> {
    let flow = app.store().flow(tenant, name).await?;
    Ok(flow.map_or_else(|| ["left".to_owned(), "right".to_owned()], |flow| sides_of(&flow)))
}

/// Records and fields of a flow that are not simply in step.
pub async fn outcomes(app: &App, tenant: &str, name: &str) -> Result<Vec<OutcomeRow>, Failure> {
    get(app, tenant, name).await?;
    Ok(app.store().outcomes(tenant, name).await?)
}

/// The newest runs of a flow, newest first.
pub async fn runs(app: &App, tenant: &str, name: &str, most: usize) -> Result<Vec<RunRow>, Failure> {
    get(app, tenant, name).await?;
    Ok(app.store().runs(tenant, name, most).await?)
}

pub(super) async fn get(app: &App, tenant: &str, name: &str) -> Result<FlowRow, Failure> {
    match app.store().flow(tenant, name).await? {
        Some(flow) => Ok(flow),
        None => {
            let names: Vec<String> = app.store().flows(tenant).await?.into_iter().map(|flow| flow.name).collect();
            let hint = if names.is_empty() {
                "there is none yet: `crmsync flow apply FILE`".to_owned()
            } else {
                format!("known flows: {}", names.join(", "))
            };
            Err(Failure::input("flow.unknown", format!("there is no flow `{name}`"), hint))
        }
    }
}

pub(super) async fn open(
    app: &App,
    tenant: &str,
    name: &str,
    metadata: Metadata,
) -> Result<(FlowRow, Resolved), Failure> {
    let flow = get(app, tenant, name).await?;
    let resolved = resolve(app, tenant, name, &flow.document, metadata, Misfit::Pause).await?;
    for connection in &resolved.connections {
        same_connection(&flow, connection)?;
    }
    Ok((flow, resolved))
}

/// S6: the approval that this run stands on.
pub(super) fn approved(app: &App, flow: &FlowRow, resolved: &Resolved) -> Result<Approval, Failure> {
    let name = &flow.name;
    let steps = format!("run `crmsync flow preview {name}`, look at it, then `crmsync flow approve {name}`");
    let Some(approval) = flow.approved.clone() else {
        return Err(Failure::failed("flow.not_approved", format!("nobody has approved what `{name}` would do"), steps));
    };
    if approval.settings_hash != resolved.settings_hash {
        return Err(Failure::failed(
            "flow.not_approved",
            format!("the settings of `{name}` changed since the approval"),
            steps,
        ));
    }
    if flow.first_sync_at_ms == 0 && app.now_ms() - approval.at_ms > APPROVAL_LIFE_MS {
        return Err(Failure::failed(
            "flow.not_approved",
            format!("the approval of `{name}` is older than a day"),
            steps,
        ));
    }
    Ok(approval)
}

/// The connections of a flow, left first.
pub(super) fn sides_of(flow: &FlowRow) -> [String; 2] {
    Document::sides(&flow.document).unwrap_or_default()
}

/// Takes the flow for a person's short work: waits a moment for a run to end.
pub(super) async fn take_soon(app: &App, tenant: &str, name: &str) -> Result<Lease, Failure> {
    let mut turns = SHORT_WAIT_MS / SHORT_WAIT_TURN_MS;
    loop {
        match take(app, tenant, name).await {
            Err(failure) if failure.code == "flow.busy" && turns > 0 => turns -= 1,
            taken => return taken,
        }
        tokio::time::sleep(std::time::Duration::from_millis(SHORT_WAIT_TURN_MS)).await;
    }
}

/// Takes the flow, from a process that is gone at once.
async fn take(app: &App, tenant: &str, name: &str) -> Result<Lease, Failure> {
    let holder = format!("{}/{}", app.holder(), keys::new_key());
    let before = app.store().lease_holder(tenant, name).await?;
    let dead = app.is_gone(&before).then_some(before.as_str());
    let lease = app.store().take_lease(tenant, name, &holder, dead, app.now_ms(), operator::lease_ms()).await?;
    lease.ok_or_else(|| {
        Failure::failed(
            "flow.busy",
            format!("another run of `{name}` is going on"),
            "wait for its end; `crmsync flow list` shows it",
        )
    })
}

pub(super) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
