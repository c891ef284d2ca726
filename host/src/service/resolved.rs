//! A flow file held against both CRMs, and everything that one run of the engine is given because of it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crmsync_core::Side;
use serde::Serialize;

use super::connections;
use super::failure::{Failure, call_failed};
use super::flows::{Checked, ModuleSummary, RowSummary, to_json};
use super::identity::{self, StoredCheck};
use super::keys;
use super::operator;
use super::outlook;
use crate::app::App;
use crate::engine::{
    self, CheckReport, Limits, MarkSetup, ModuleInfo, OwnerTable, PairSetup, Progress, Remote, RunSetup, SideSetup,
    User,
};
use crate::flow::{self, Document, Misfit, Origin, Pair, SideInfo};
use crate::store::{ConnectionRow, ConnectionState, FlowRow, Lease};

/// A run trusts what a CRM said about itself for so long: modules, fields, users, who we are. Everything else asks anew.
const METADATA_LIFE_MS: i64 = 60 * 60 * 1_000;

/// How old the CRMs' descriptions of themselves may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metadata {
    /// Asked now.
    Fresh,
    /// Asked within the hour.
    Recent,
}

/// A flow file held against both CRMs.
pub(super) struct Resolved {
    pub(super) document: Document,
    pub(super) pairs: Vec<Pair>,
    pub(super) settings_hash: String,
    pub(super) connections: [ConnectionRow; 2],
    pub(super) crms: [Arc<dyn Remote>; 2],
    pub(super) modules: [Vec<ModuleInfo>; 2],
    pub(super) metadata: Metadata,
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

    /// Rows of the flow's file that rest, because a CRM has not what they need any more.
    pub(super) fn resting(&self) -> Vec<String> {
        let mut told = Vec::new();
        for pair in &self.pairs {
            for row in pair.left_out.iter().filter(|row| row.paused == Some(Origin::Own)) {
                told.push(format!(
                    "the row `{}` of {} rests: {}. No value of it is cleared or written, and it goes on when the CRM has it again; \
                     to give it up, take the row out of the flow's file and apply that",
                    row.row, pair.left_module, row.why
                ));
            }
        }
        told
    }

    /// What the flow would do and a login may not: a run would find it out record by record.
    fn refused_rights(&self) -> Vec<String> {
        let mut told = Vec::new();
        for pair in &self.pairs {
            for side in Side::BOTH.into_iter().filter(|&side| pair.policy.direction.writes(side)) {
                let name = [&pair.left_module, &pair.right_module][side as usize];
                let Some(module) = self.modules[side as usize].iter().find(|module| module.name == *name) else {
                    continue;
                };
                let meant = |verb: &&str| *verb != "delete" || pair.policy.deletes_records();
                let refused: Vec<&str> = module.refused.iter().map(String::as_str).filter(meant).collect();
                if !refused.is_empty() {
                    let [connection, other] = [side, side.other()].map(|side| &self.connections[side as usize].name);
                    told.push(format!(
                        "the login of `{connection}` may not {} {name}; give it that right in the CRM, or let the module go one way: \
                         direction = \"to-{other}\"",
                        refused.join(" or ")
                    ));
                }
            }
        }
        told
    }

    /// Why a person's answer cannot delete a record of this side of a module pair; none if it can.
    pub(super) fn why_not_delete(&self, modules: [&str; 2], side: Side) -> Option<String> {
        let mut pairs = self.pairs.iter();
        let pair = pairs.find(|pair| [pair.left_module.as_str(), pair.right_module.as_str()] == modules);
        let name = modules[side as usize];
        let module = self.modules[side as usize].iter().find(|module| module.name == name);
        let connection = &self.connections[side as usize].name;
        if !pair.is_some_and(|pair| pair.policy.direction.writes(side)) {
            return Some(format!("the flow does not write {name} of {connection}"));
        }
        let recycles = module.is_some_and(|module| module.deletes.recycle);
        (!recycles).then(|| format!("{connection} has no bin for {name}: delete it there"))
    }

    pub(super) fn checked(&self) -> Checked {
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
        let warnings = warnings.map(warning).chain(self.refused_rights());
        Checked {
            name: self.document.name.clone(),
            between: self.document.between.clone(),
            modules: self.pairs.iter().map(module).collect(),
            warnings: warnings.collect(),
            outlook: Vec::new(),
        }
    }
}

/// What a check finds, with owners and the outlook of both sides.
pub(super) async fn in_depth(app: &App, tenant: &str, resolved: &Resolved) -> Result<Checked, Failure> {
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

pub(super) async fn resolve(
    app: &App,
    tenant: &str,
    file: &str,
    text: &str,
    metadata: Metadata,
    misfit: Misfit,
) -> Result<Resolved, Failure> {
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
    let pairs =
        flow::resolve(&document, infos, &functions, misfit).map_err(|problems| Failure::problems(file, &problems))?;
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
pub(super) async fn owners_are_known(app: &App, tenant: &str, file: &str, resolved: &Resolved) -> Result<(), Failure> {
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
    let crm: Arc<dyn Remote> = Arc::new(match metadata {
        Metadata::Fresh => app.crm_anew(tenant, connection).await?,
        Metadata::Recent => app.crm(tenant, connection).await?,
    });
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
            paused: pair.left_out.iter().filter(|out| out.paused.is_some()).map(|out| out.row.clone()).collect(),
            // S13: a first sync never deletes, so its preview does not say so either.
            policy: match flow.first_sync_at_ms {
                0 => pair.policy.without_deletes(),
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
        lease_ms: operator::lease_ms(),
        ..Limits::default()
    };
    let keys = keys::of_copies(app, tenant, &flow.name, resolved.connections.each_ref());
    let setup = RunSetup {
        lease,
        run,
        store: app.store().clone(),
        sides,
        pairs,
        transforms: Arc::new(transforms),
        clock: app.clock(),
        new_key: Arc::new(keys::new_key),
        key_of: Arc::new(keys),
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
        _ => identity::check(app, tenant, &connection.name).await,
    }
}

fn scope_at_login(connection: &ConnectionRow, now: &CheckReport) -> String {
    StoredCheck::of(connection).map_or_else(|| now.visible_scope.clone(), |known| known.at_login.visible_scope)
}

/// S16: owners by e-mail of active users, then by the file's table; what nobody can own gets the fallback, else our own user. An address
/// that several users share is nobody's: which of them is meant only a person knows.
fn owner_tables(document: &Document, users: [&Vec<User>; 2], checks: [&CheckReport; 2]) -> [OwnerTable; 2] {
    let by_email = users.map(|users| {
        let active = users.iter().filter(|user| user.active && !user.email.is_empty());
        let mut by_email: HashMap<String, Option<String>> = HashMap::new();
        for user in active {
            let known = by_email.entry(user.email.to_lowercase());
            known.and_modify(|id| *id = None).or_insert_with(|| Some(user.id.clone()));
        }
        by_email.into_iter().filter_map(|(email, id)| Some((email, id?))).collect::<HashMap<String, String>>()
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
