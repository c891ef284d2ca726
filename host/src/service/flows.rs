//! Flows: check and apply the file, preview, approve, run, and read what happened.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crmsync_core::{DeletePolicy, Policy, Side};
use serde::Serialize;

use super::connections::{self, StoredCheck};
use super::effort;
use super::failure::{Failure, call_failed};
use super::outlook::{self, Outlook};
use super::schedule::{self, Timetable};
use super::upkeep;
use crate::app::App;
use crate::egress::{Lane, on_errand};
use crate::engine::{
    self, CheckReport, FirstSync, Limits, MarkSetup, ModuleInfo, OwnerTable, PairSetup, Preview, Progress, Remote,
    RunOptions, RunReport, RunSetup, SideSetup, User,
};
use crate::flow::{self, Document, Pair, SideInfo};
use crate::store::{
    Approval, ConnectionRow, ConnectionState, FlowRow, HeldRemovals, JournalQuery, JournalRow, Lease, OutcomeRow,
    RunRow,
};

/// An approval that led to no run within a day is asked for again (S6).
const APPROVAL_LIFE_MS: i64 = 24 * 60 * 60 * 1_000;
/// A run trusts what a CRM said about itself for so long: modules, fields, users, who we are. Everything else asks anew.
const METADATA_LIFE_MS: i64 = 60 * 60 * 1_000;

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
    let resolved = resolve(app, tenant, file, text, Metadata::Fresh).await?;
    owners_are_known(app, tenant, file, &resolved).await?;
    in_depth(app, tenant, &resolved).await
}

/// What a check finds, with owners and the outlook of both sides.
async fn in_depth(app: &App, tenant: &str, resolved: &Resolved) -> Result<Checked, Failure> {
    let mut checked = resolved.checked();
    let mut users = Vec::with_capacity(2);
    let mut checks = Vec::with_capacity(2);
    for (connection, crm) in resolved.connections.iter().zip(&resolved.crms) {
        // What was asked a moment ago for the same check is not asked again.
        let asked = Asked { app, tenant, connection: &connection.name, metadata: Metadata::Recent };
        let known: Vec<User> = asked.or_recent("users", || crm.users(), "list the users").await?;
        let owner = |user: User| flow::UserInfo { name: user.name, email: user.email, active: user.active };
        users.push(known.into_iter().map(owner).collect::<Vec<_>>());
        checks.push(check_or_recent(app, tenant, connection, Metadata::Recent).await?);
    }
    let owns = |pair: &Pair| pair.mapping.rows.iter().any(|row| row.role == crmsync_core::Role::Owner);
    if resolved.pairs.iter().any(owns) {
        let gaps = flow::owner_gaps(&resolved.document, [&users[0], &users[1]]);
        checked.warnings.extend(gaps.iter().map(warning));
    }
    let every_ms = resolved.document.every_ms;
    let (sides, modules, pairs) = (&resolved.connections, &resolved.modules, &resolved.pairs);
    checked.outlook = outlook::of(app, sides, [&checks[0], &checks[1]], modules, pairs, every_ms).await?;
    Ok(checked)
}

/// A warning in one line: its place, what it is, and what to do.
fn warning(problem: &flow::Problem) -> String {
    let hint = problem.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{}:{}: {}{hint}", problem.line, problem.column, problem.message)
}

/// Checks a flow file and saves it as the flow's next version.
///
/// # Errors
/// As [`check`]; then nothing is saved.
pub async fn apply(app: &App, tenant: &str, file: &str, text: &str) -> Result<Applied, Failure> {
    same_sides(app, tenant, file, text).await?;
    let resolved = resolve(app, tenant, file, text, Metadata::Fresh).await?;
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
    let resolved = resolve(app, tenant, name, &flow.document, Metadata::Recent).await?;
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
        app.store().set_previewed(tenant, name, to_json(&preview)).await?;
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
    let sides = resolved.connections.clone();
    let outcome = journalled(app, &lease, cause, async |run| {
        let (setup, _) = setup(app, tenant, &flow, resolved, lease.clone(), run, progress).await?;
        let options = RunOptions { sweep: request.sweep, first_sync, trial: request.trial };
        let report = engine::run(&setup, &options).await;
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

/// How old the CRMs' descriptions of themselves may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metadata {
    /// Asked now.
    Fresh,
    /// Asked within the hour.
    Recent,
}

pub(super) async fn open(
    app: &App,
    tenant: &str,
    name: &str,
    metadata: Metadata,
) -> Result<(FlowRow, Resolved), Failure> {
    let flow = get(app, tenant, name).await?;
    let resolved = resolve(app, tenant, name, &flow.document, metadata).await?;
    for connection in &resolved.connections {
        same_connection(&flow, connection)?;
    }
    Ok((flow, resolved))
}

/// S6: the approval that this run stands on.
fn approved(app: &App, flow: &FlowRow, resolved: &Resolved) -> Result<Approval, Failure> {
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

/// A flow file held against both CRMs.
pub(super) struct Resolved {
    document: Document,
    pairs: Vec<Pair>,
    settings_hash: String,
    connections: [ConnectionRow; 2],
    crms: [Arc<dyn Remote>; 2],
    modules: [Vec<ModuleInfo>; 2],
    metadata: Metadata,
}

impl Resolved {
    /// Whether the flow writes this mapping row of a module pair to this side.
    pub(super) fn writes(&self, modules: [&str; 2], row: &str, to: Side) -> bool {
        let mut pairs = self.pairs.iter();
        let pair = pairs.find(|pair| [pair.left_module.as_str(), pair.right_module.as_str()] == modules);
        let row = pair.and_then(|pair| {
            let row = pair.mapping.rows.iter().find(|known| known.key.0 == row)?;
            Some(pair.policy.direction.writes(to) && row.direction.writes(to))
        });
        row.unwrap_or(false)
    }

    fn checked(&self) -> Checked {
        let module = |pair: &Pair| ModuleSummary {
            left: pair.left_module.clone(),
            right: pair.right_module.clone(),
            direction: pair.policy.direction,
            winner: match pair.policy.newest {
                true => crmsync_core::Winner::Newest,
                false => crmsync_core::Winner::Side(pair.policy.winner),
            },
            first_sync: pair.policy.first_sync,
            deletes: pair.policy.deletes,
            rows: pair.mapping.rows.iter().map(row_summary).collect(),
            match_keys: pair.mapping.match_rules.iter().map(|rule| rule.label.clone()).collect(),
            left_out: pair.left_out.clone(),
        };
        let warnings = self.document.notes.iter().chain(self.pairs.iter().flat_map(|pair| &pair.warnings));
        Checked {
            name: self.document.name.clone(),
            between: self.document.between.clone(),
            modules: self.pairs.iter().map(module).collect(),
            warnings: warnings.map(warning).collect(),
            outlook: Vec::new(),
        }
    }
}

fn row_summary(row: &crmsync_core::MappingRow) -> RowSummary {
    let names = |fields: &[crmsync_core::mapping::Field]| fields.iter().map(|field| field.name.clone()).collect();
    let function = |side: Side| match &row.role {
        crmsync_core::Role::Constant(value) if !row.fields(side).is_empty() => format!("constant {}", value.display()),
        _ => row.carry(side).map(|carry| carry.function.clone()).unwrap_or_default(),
    };
    RowSummary {
        left: names(&row.left),
        right: names(&row.right),
        direction: row.direction,
        to_right: function(Side::Right),
        to_left: function(Side::Left),
        winner: row.winner,
    }
}

async fn resolve(app: &App, tenant: &str, file: &str, text: &str, metadata: Metadata) -> Result<Resolved, Failure> {
    // First: under a misspelt connection every line that names it looks wrong.
    for name in Document::sides(text).iter().flatten() {
        connections::get(app, tenant, name).await?;
    }
    let document = Document::parse(text).map_err(|problems| Failure::problems(file, &problems))?;
    let mut connections = Vec::with_capacity(2);
    for name in &document.between {
        connections.push(connections::get(app, tenant, name).await?);
    }
    let connections: [ConnectionRow; 2] = connections.try_into().map_err(|_| too_few())?;
    let left = describe(app, tenant, &connections[0], &document, Side::Left, metadata).await?;
    let right = describe(app, tenant, &connections[1], &document, Side::Right, metadata).await?;
    let (_, functions) = app.transforms().await?;
    let functions: Vec<flow::FunctionInfo> = functions.into_iter().map(function_info).collect();
    let infos = [&left.info, &right.info];
    let pairs = flow::resolve(&document, infos, &functions).map_err(|problems| Failure::problems(file, &problems))?;
    let settings_hash = flow::settings_hash(&document, infos).map_err(|problems| Failure::problems(file, &problems))?;
    Ok(Resolved {
        document,
        pairs,
        settings_hash,
        connections,
        crms: [left.crm, right.crm],
        modules: [left.modules, right.modules],
        metadata,
    })
}

/// S16: who is to own new records must be an active user there.
async fn owners_are_known(app: &App, tenant: &str, file: &str, resolved: &Resolved) -> Result<(), Failure> {
    const SHOWN_MAX: usize = 8;
    for (index, (connection, crm)) in resolved.connections.iter().zip(&resolved.crms).enumerate() {
        let Some(email) = &resolved.document.owners.fallback[index] else { continue };
        let asked = Asked { app, tenant, connection: &connection.name, metadata: resolved.metadata };
        let users: Vec<User> = asked.or_recent("users", || crm.users(), "list the users").await?;
        let active = users.iter().filter(|user| user.active && !user.email.is_empty());
        let known: Vec<&str> = active.map(|user| user.email.as_str()).collect();
        if !known.iter().any(|known| known.eq_ignore_ascii_case(email)) {
            return Err(Failure::input(
                "flow.unknown_owner",
                format!(
                    "{file}: `{}` has no active user with the address `{email}`, which `[owners]` names",
                    connection.name
                ),
                format!("known there: {}", known.iter().take(SHOWN_MAX).copied().collect::<Vec<_>>().join(", ")),
            ));
        }
    }
    Ok(())
}

fn too_few() -> Failure {
    Failure::input("flow.problems", "a flow is between two connections", "")
}

/// What one side says about itself.
struct Described {
    crm: Arc<dyn Remote>,
    modules: Vec<ModuleInfo>,
    info: SideInfo,
}

async fn describe(
    app: &App,
    tenant: &str,
    connection: &ConnectionRow,
    document: &Document,
    side: Side,
    metadata: Metadata,
) -> Result<Described, Failure> {
    let name = &connection.name;
    connections::usable(app, connection).await?;
    let crm: Arc<dyn Remote> = Arc::new(app.crm(tenant, connection).await?);
    let asked = Asked { app, tenant, connection: name, metadata };
    let modules = asked.or_recent("modules", || crm.modules(), "list the modules").await?;
    let mut info = SideInfo {
        connection: name.clone(),
        plugin: connection.plugin.clone(),
        modules: modules.iter().map(module_info).collect(),
        fields: BTreeMap::new(),
    };
    for module in document.modules.iter().filter(|module| module.direction.is_some()) {
        // A module that does not exist is a problem of the file, told with its line by the resolver.
        let Ok(known) = info.module(&module.names[side as usize]) else { continue };
        let known = known.name.clone();
        let topic = format!("fields/{known}");
        if let Entry::Vacant(unknown) = info.fields.entry(known.clone()) {
            let fields = asked.or_recent(&topic, || crm.describe(&known), &format!("describe {known}")).await?;
            unknown.insert(fields.into_iter().map(field_info).collect());
        }
    }
    Ok(Described { crm, modules, info })
}

/// One connection's descriptions, asked for or remembered.
struct Asked<'a> {
    app: &'a App,
    tenant: &'a str,
    connection: &'a str,
    metadata: Metadata,
}

impl Asked<'_> {
    /// What the CRM said about a topic: remembered if that is recent enough, else asked and remembered.
    async fn or_recent<T, F>(&self, topic: &str, ask: impl FnOnce() -> F, call: &str) -> Result<T, Failure>
    where
        T: Serialize + serde::de::DeserializeOwned,
        F: Future<Output = Result<T, engine::CallError>>,
    {
        let store = self.app.store();
        if self.metadata == Metadata::Recent
            && let Some((document, at_ms)) = store.metadata(self.tenant, self.connection, topic).await?
            && self.app.now_ms() - at_ms < METADATA_LIFE_MS
            && let Ok(remembered) = serde_json::from_str(&document)
        {
            return Ok(remembered);
        }
        let said = ask().await.map_err(|error| call_failed(self.connection, call, &error))?;
        store.put_metadata(self.tenant, self.connection, topic, to_json(&said), self.app.now_ms()).await?;
        Ok(said)
    }
}

fn module_info(module: &ModuleInfo) -> flow::ModuleInfo {
    flow::ModuleInfo {
        name: module.name.clone(),
        label: module.label.clone(),
        key_field: module.key_field.clone(),
        recycles: module.deletes.recycle,
        deletes_for_good: module.deletes.for_good,
    }
}

fn field_info(field: engine::FieldInfo) -> flow::FieldInfo {
    let choice = |choice: engine::Choice| flow::Choice { value: choice.value, label: choice.label };
    flow::FieldInfo {
        name: field.name,
        label: field.label,
        kind: field.kind,
        native: field.native,
        mandatory: field.mandatory,
        read_only: field.read_only,
        unique: field.unique,
        length: field.length,
        choices: field.choices.into_iter().map(choice).collect(),
        targets: field.targets,
        meaning: field.meaning,
    }
}

fn function_info((plugin, function): (String, crate::runtime::types::FunctionInfo)) -> flow::FunctionInfo {
    use crate::runtime::types::Inversion;
    flow::FunctionInfo {
        plugin,
        name: function.name,
        inputs: function.inputs,
        outputs: function.outputs,
        inversion: match function.inversion {
            Inversion::No => flow::Inversion::No,
            Inversion::Exact => flow::Inversion::Exact,
            Inversion::Stable => flow::Inversion::Stable,
        },
        inverse: function.inverse,
    }
}

/// Everything that one run of the engine is given.
pub(super) async fn setup(
    app: &App,
    tenant: &str,
    flow: &FlowRow,
    resolved: Resolved,
    lease: Lease,
    run: i64,
    progress: Arc<dyn Progress>,
) -> Result<(RunSetup, String), Failure> {
    let mut checks = Vec::with_capacity(2);
    let mut users = Vec::with_capacity(2);
    for (connection, crm) in resolved.connections.iter().zip(&resolved.crms) {
        let asked = Asked { app, tenant, connection: &connection.name, metadata: resolved.metadata };
        checks.push(check_or_recent(app, tenant, connection, resolved.metadata).await?);
        users.push(asked.or_recent("users", || crm.users(), "list the users").await?);
    }
    let mut pairs = Vec::with_capacity(resolved.pairs.len());
    for pair in &resolved.pairs {
        let id = app.store().pair(tenant, &flow.name, &pair.left_module, &pair.right_module).await?;
        pairs.push(PairSetup {
            id,
            modules: [
                module(&resolved.modules[0], &pair.left_module)?,
                module(&resolved.modules[1], &pair.right_module)?,
            ],
            mapping: pair.mapping.clone(),
            paused: pair.left_out.iter().filter(|out| out.paused).map(|out| out.row.clone()).collect(),
            // S13: a first sync never deletes, so its preview does not say so either.
            policy: match flow.first_sync_at_ms {
                0 => Policy { deletes: DeletePolicy::Report, ..pair.policy },
                _ => pair.policy,
            },
            filters: pair.filters.clone(),
            records_from_ms: pair.records_from_ms,
            automations: pair.automations,
            marks: pair.marks.clone().map(|mark| mark.map(mark_setup)),
        });
    }
    let owners = owner_tables(&resolved.document, [&users[0], &users[1]], [&checks[0], &checks[1]]);
    let [left_owners, right_owners] = owners;
    let [left, right] = resolved.crms;
    let side = |index: usize, remote: Arc<dyn Remote>, owners: OwnerTable| SideSetup {
        connection: resolved.connections[index].name.clone(),
        plugin: resolved.connections[index].plugin.clone(),
        remote,
        owners,
        visible_scope: checks[index].visible_scope.clone(),
        scope_at_login: scope_at_login(&resolved.connections[index], &checks[index]),
    };
    let sides = [side(0, left, left_owners), side(1, right, right_owners)];
    let (transforms, _) = app.transforms().await?;
    let limits = Limits {
        safety_stop_records: resolved.document.safety_stop.records,
        safety_stop_percent: resolved.document.safety_stop.percent,
        ..Limits::default()
    };
    let setup = RunSetup {
        lease,
        run,
        store: app.store().clone(),
        sides,
        pairs,
        transforms: Arc::new(transforms),
        clock: app.clock(),
        new_key: Arc::new(new_key),
        limits,
        progress,
    };
    Ok((setup, resolved.settings_hash))
}

fn mark_setup(mark: flow::Mark) -> MarkSetup {
    MarkSetup { field: mark.field, kind: mark.kind, value: mark.value }
}

fn module(modules: &[ModuleInfo], name: &str) -> Result<ModuleInfo, Failure> {
    let found = modules.iter().find(|module| module.name == name).cloned();
    found.ok_or_else(|| Failure::failed("flow.module_gone", format!("the module `{name}` is not there any more"), ""))
}

/// Who and where we are: asked, or remembered from within the hour.
async fn check_or_recent(
    app: &App,
    tenant: &str,
    connection: &ConnectionRow,
    metadata: Metadata,
) -> Result<CheckReport, Failure> {
    let known = StoredCheck::of(connection).filter(|_| connection.state == ConnectionState::Ready);
    match known {
        Some(known) if metadata == Metadata::Recent && app.now_ms() - known.last_at_ms < METADATA_LIFE_MS => {
            Ok(known.last)
        }
        _ => connections::check(app, tenant, &connection.name).await,
    }
}

fn scope_at_login(connection: &ConnectionRow, now: &CheckReport) -> String {
    StoredCheck::of(connection).map_or_else(|| now.visible_scope.clone(), |known| known.at_login.visible_scope)
}

/// S16: owners by e-mail of active users, then by the file's table; what nobody can own gets the fallback, else our own user.
fn owner_tables(document: &Document, users: [&Vec<User>; 2], checks: [&CheckReport; 2]) -> [OwnerTable; 2] {
    let by_email = users.map(|users| {
        let active = users.iter().filter(|user| user.active && !user.email.is_empty());
        active.map(|user| (user.email.to_lowercase(), user.id.clone())).collect::<HashMap<_, _>>()
    });
    Side::BOTH.map(|side| {
        let (own, other) = (side as usize, side.other() as usize);
        let mut table = OwnerTable::default();
        for user in users[own].iter().filter(|user| !user.email.is_empty()) {
            let email = user.email.to_lowercase();
            let named = document.owners.table.iter().find_map(|(left, right)| {
                let (from, to) = if side == Side::Left { (left, right) } else { (right, left) };
                (from.to_lowercase() == email).then(|| to.to_lowercase())
            });
            if let Some(id) = by_email[other].get(named.as_ref().unwrap_or(&email)) {
                table.users.insert(user.id.clone(), id.clone());
            }
        }
        let fallback =
            document.owners.fallback[other].as_ref().and_then(|email| by_email[other].get(&email.to_lowercase()));
        let own_user = Some(&checks[other].user_id).filter(|id| !id.is_empty());
        table.fallback = fallback.or(own_user).cloned();
        table
    })
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
    let holder = format!("{}/{}", app.holder(), new_key());
    let before = app.store().lease_holder(tenant, name).await?;
    let dead = app.is_gone(&before).then_some(before.as_str());
    let lease = app.store().take_lease(tenant, name, &holder, dead, app.now_ms(), Limits::default().lease_ms).await?;
    lease.ok_or_else(|| {
        Failure::failed(
            "flow.busy",
            format!("another run of `{name}` is going on"),
            "wait for its end; `crmsync flow list` shows it",
        )
    })
}

/// A key of ours that is never given twice: 128 random bits.
fn new_key() -> String {
    let mut bytes = [0_u8; 16];
    // Without randomness no create may be keyed; the process stops rather than repeat a key.
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    let mut key = engine::KEY_MARK.to_owned();
    for byte in bytes {
        key.push_str(&format!("{byte:02x}"));
    }
    key
}

fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
