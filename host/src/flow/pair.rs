//! One module pair of a flow, from the preset's rows and the person's own to the core's mapping.

use crmsync_core::{Filter, PairMapping, Policy, Side};

use super::checks;
use super::deletes::{self, Mark};
use super::depth;
use super::document::{Document, Owners};
use super::filter::Fields;
use super::lookup::{self, NoRow};
use super::module::{FieldSet, ModulePair};
use super::preset::{self, Preset};
use super::problem::{Placed, Problem};
use super::row::Row;
use super::rows::{self, Context, Misfit, Origin, Resolved};

/// What one module pair of a flow does.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// API name of the left module.
    pub left_module: String,
    /// API name of the right module.
    pub right_module: String,
    /// Rows and match rules.
    pub mapping: PairMapping,
    /// Direction, winner, first sync, deletes.
    pub policy: Policy,
    /// Which records of each side are synced, left first; none is all.
    pub filters: [Option<Filter>; 2],
    /// Where the left and the right record say that the other one was deleted.
    pub marks: [Option<Mark>; 2],
    /// Start the CRMs' automations.
    pub automations: bool,
    /// Records changed before this moment (milliseconds since 1970) join only when edited; none syncs all.
    pub records_from_ms: Option<i64>,
    /// Owners that differ between the sides, and those of records that nobody else can own.
    pub owners: Owners,
    /// Rows and match rules that do not apply here and now, for `flow show --mapping`.
    pub left_out: Vec<LeftOut>,
    /// What works, but perhaps not as meant.
    pub warnings: Vec<Problem>,
}

/// A row or match rule that is left out: a default one that does not apply here, or one of the person's own that rests.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LeftOut {
    /// The row (`left fields=right fields`) or rule (`match …`).
    pub row: String,
    /// Why.
    pub why: String,
    /// Its fields are not there, perhaps for a while only, and what was agreed about them stands (S12): whose row it is.
    #[serde(skip)]
    pub paused: Option<Origin>,
}

/// Resolves one module pair.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn resolve(
    context: &Context<'_>,
    document: &Document,
    module: &ModulePair,
    plugins: [&str; 2],
) -> Result<Pair, Vec<Problem>> {
    let (mut left_out, mut warnings, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    let preset = find_preset(context, module, plugins, &mut problems);
    let mut resolved = Vec::new();
    if let Some(preset) = &preset {
        resolved = preset_rows(context, module, preset, &mut left_out, &mut problems);
    }
    for row in &module.rows {
        match rows::resolve(context, row, Origin::Own) {
            Ok(row) => resolved.push(row),
            Err(wrong) if context.misfit == Misfit::Pause => pause(context, row, &wrong, &mut resolved, &mut left_out),
            Err(wrong) => problems.extend(wrong),
        }
    }
    if !problems.is_empty() {
        // Missing rows would only bring further complaints that vanish with the first ones.
        return Err(problems);
    }
    let mut resolved = checks::one_row_for_each_field(context, resolved, &mut left_out, &mut problems);
    if resolved.is_empty() {
        problems.push(Problem::new(module.spot, "the module has no rows").hint("add [[module.field]]"));
    }
    checks::mandatory_fields(context, module, &resolved, &mut warnings, &mut problems);
    let preset_match = preset.as_ref().and_then(|preset| preset.match_rules.as_deref());
    let match_rules = checks::match_rules(context, module, preset_match, &resolved, &mut left_out, &mut problems);
    let filters = filters(context, module, &mut warnings, &mut problems);
    let rows: Vec<_> = resolved.iter().map(|row| &row.row).collect();
    let leaving = deletes::resolve(context, document, module, &rows).map_err(|wrong| problems.extend(wrong));
    let (Ok(leaving), true) = (leaving, problems.is_empty()) else { return Err(problems) };
    warnings.extend(depth::lengths(context, module, &resolved));
    warnings.extend(resolved.iter_mut().flat_map(|row| row.warnings.drain(..)));
    let [left_module, right_module] = context.modules.map(|module| module.name.clone());
    Ok(Pair {
        left_module,
        right_module,
        mapping: PairMapping { rows: resolved.into_iter().map(|row| row.row).collect(), match_rules },
        policy: Policy {
            direction: context.direction,
            winner: document.winner_or_left(),
            newest: document.newest,
            first_sync: document.first_sync,
            deletes: leaving.deletes,
            when_it_leaves: leaving.when_it_leaves,
            hold: false,
        },
        filters,
        marks: leaving.marks,
        automations: document.automations,
        records_from_ms: module.records_from_ms.unwrap_or(document.records_from_ms),
        owners: document.owners.clone(),
        left_out,
        warnings,
    })
}

/// A row of the person's own rests, and no default row takes its place meanwhile: nobody agreed to that one.
fn pause(context: &Context<'_>, row: &Row, why: &[Problem], resolved: &mut Vec<Resolved>, left_out: &mut Vec<LeftOut>) {
    let names = rows::known_names(context, row);
    let key = names.each_ref().map(|side| side.join("+")).join("=");
    resolved.retain(|known| {
        let meets = |side: Side| known.row.fields(side).iter().any(|field| names[side as usize].contains(&field.name));
        let is_instead = known.origin == Origin::Preset && Side::BOTH.into_iter().any(meets);
        if is_instead {
            let why = format!("the row `{key}` takes its place");
            left_out.push(LeftOut { row: known.row.key.0.clone(), why, paused: None });
        }
        !is_instead
    });
    let why = why.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>().join("; ");
    left_out.push(LeftOut { row: key, why, paused: Some(Origin::Own) });
}

fn filters(
    context: &Context<'_>,
    module: &ModulePair,
    warnings: &mut Vec<Problem>,
    problems: &mut Vec<Problem>,
) -> [Option<Filter>; 2] {
    Side::BOTH.map(|side| {
        let written = module.filters[side as usize].as_ref()?;
        let fields = Fields { connection: context.connections[side as usize], fields: context.fields[side as usize] };
        match written.resolve(&fields) {
            Ok((filter, doubts)) => {
                warnings.extend(doubts);
                Some(filter)
            }
            Err(wrong) => {
                problems.extend(wrong);
                None
            }
        }
    })
}

fn find_preset(
    context: &Context<'_>,
    module: &ModulePair,
    plugins: [&str; 2],
    problems: &mut Vec<Problem>,
) -> Option<Preset> {
    if module.fields == FieldSet::None {
        return None;
    }
    let names = context.modules.map(|module| module.name.as_str());
    let preset = preset::find(plugins, names, module.spot);
    if preset.is_none() {
        let [left, right] = names;
        let [of_left, of_right] = context.connections;
        let message = format!("there are no default fields for `{left}` of `{of_left}` and `{right}` of `{of_right}`");
        problems
            .push(Problem::new(module.spot, message).hint("set fields = \"none\" and list them as [[module.field]]"));
    }
    preset
}

/// The preset's rows that fit both sides and are not skipped.
fn preset_rows(
    context: &Context<'_>,
    module: &ModulePair,
    preset: &Preset,
    left_out: &mut Vec<LeftOut>,
    problems: &mut Vec<Problem>,
) -> Vec<Resolved> {
    let mut resolved: Vec<Resolved> = Vec::new();
    let mut absent: Vec<&str> = Vec::new();
    for row in &preset.rows {
        match rows::resolve(context, row, Origin::Preset) {
            Ok(row) => resolved.push(row),
            Err(why) => {
                absent.extend(row.fields.iter().flatten().map(|field| field.value.as_str()));
                let why = why.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join("; ");
                left_out.push(LeftOut { row: row.written(), why, paused: Some(Origin::Preset) });
            }
        }
    }
    for skipped in &module.skip {
        let rows: Vec<_> = resolved.iter().map(|row| &row.row).collect();
        match lookup::row(&rows, context.fields, &skipped.value) {
            Ok(index) => {
                let row = resolved.remove(index);
                left_out.push(LeftOut { row: row.row.key.0, why: "the flow skips it".to_owned(), paused: None });
            }
            // Skipping what is left out anyway (or twice) is no mistake.
            Err(NoRow::Unknown(_)) if is_out(context, &absent, left_out, skipped) => {}
            Err(why) => problems.push(why.problem("skip", skipped)),
        }
    }
    resolved
}

/// Whether the person means a field, by API name or label, whose default row is left out already.
fn is_out(context: &Context<'_>, absent: &[&str], left_out: &[LeftOut], skipped: &Placed<String>) -> bool {
    let mut names = vec![skipped.value.as_str()];
    for side in Side::BOTH {
        let found = lookup::field(context.fields[side as usize], skipped, context.connections[side as usize]);
        names.extend(found.ok().map(|field| field.name.as_str()));
    }
    let mut out = absent.iter().copied().chain(left_out.iter().flat_map(|out| out.row.split(['=', '+'])));
    out.any(|name| names.iter().any(|written| written.eq_ignore_ascii_case(name)))
}
