//! Values on their way to the other side: owners by e-mail, references by links, everything else through transforms, a whole portion
//! of units at once, so that a plugin is called twice for hundreds of records.

use std::collections::BTreeMap;

use crmsync_core::decide::{Carried, reason};
use crmsync_core::{MappingRow, Role, Side, Value};
use futures_util::future::BoxFuture;

use super::error::Error;
use super::references::{Planned, linked_references};
use super::remote::{CallError, TransformStep, Transformed};
use super::setup::{PairSetup, RunSetup};
use super::view::Shown;

/// Carries both sides of all units: `[unit][side][row]`.
///
/// `planned` are records that a preview counts as created: references to them go over as they will in the run.
pub(super) async fn carry_all(
    run: &RunSetup,
    pair: &PairSetup,
    units: &[Shown],
    planned: Option<&Planned>,
) -> Result<Vec<[Vec<Carried>; 2]>, Error> {
    let left = carry_from(run, pair, units, Side::Left, planned).await?;
    let right = carry_from(run, pair, units, Side::Right, planned).await?;
    Ok(left.into_iter().zip(right).map(|(left, right)| [left, right]).collect())
}

async fn carry_from(
    run: &RunSetup,
    pair: &PairSetup,
    units: &[Shown],
    from: Side,
    planned: Option<&Planned>,
) -> Result<Vec<Vec<Carried>>, Error> {
    let linked = linked_references(run, pair, units, from, planned).await?;
    let mut carried: Vec<Vec<Carried>> = units
        .iter()
        .map(|unit| {
            let values = pair.mapping.rows.iter().zip(&unit.rows);
            values.map(|(row, shown)| plain(run, row, unit, &shown[from as usize], from, &linked)).collect()
        })
        .collect();
    transform(run, pair, units, from, &mut carried).await?;
    Ok(carried)
}

/// Everything that needs no plugin.
fn plain(
    run: &RunSetup,
    row: &MappingRow,
    unit: &Shown,
    shown: &[Value],
    from: Side,
    linked: &BTreeMap<String, String>,
) -> Carried {
    let to = from.other();
    match row.role {
        Role::Owner => owner(run, shown, from, !unit.is_there(to)),
        Role::Reference => reference(shown, linked),
        Role::Plain => fit(shown, row, to),
        Role::Constant(_) => Carried::Values(Vec::new()),
    }
}

/// Values without a transform fit the other side's kinds or are held back.
fn fit(shown: &[Value], row: &MappingRow, to: Side) -> Carried {
    let fields = row.fields(to);
    if shown.len() != fields.len() {
        return Carried::Held(reason::DID_NOT_PARSE.into());
    }
    let fitted: Option<Vec<Value>> = shown.iter().zip(fields).map(|(value, field)| value.fitted(field.kind)).collect();
    fitted.map_or_else(|| Carried::Held(reason::DID_NOT_PARSE.into()), Carried::Values)
}

/// S16: by table; a fallback for new records only, never written back.
fn owner(run: &RunSetup, shown: &[Value], from: Side, is_new: bool) -> Carried {
    let table = &run.side(from).owners;
    let known = shown.first().and_then(Value::reference).and_then(|(_, id)| table.users.get(id));
    match (known, &table.fallback) {
        (Some(user), _) => Carried::Values(vec![Value::Reference(format!("Users/{user}"))]),
        (None, Some(user)) if is_new => Carried::Values(vec![Value::Reference(format!("Users/{user}"))]),
        _ => Carried::Held(reason::OWNER_UNKNOWN.into()),
    }
}

fn reference(shown: &[Value], linked: &BTreeMap<String, String>) -> Carried {
    match shown {
        [Value::Empty] => Carried::Values(vec![Value::Empty]),
        [Value::Reference(text)] => match linked.get(text) {
            Some(other) => Carried::Values(vec![Value::Reference(other.clone())]),
            None => Carried::Held(reason::REFERENCE_NOT_LINKED.into()),
        },
        _ => Carried::Held(reason::DID_NOT_PARSE.into()),
    }
}

/// One call for all rows that name a transform; the cells that it could not carry are held back with its reason.
async fn transform(
    run: &RunSetup,
    pair: &PairSetup,
    units: &[Shown],
    from: Side,
    carried: &mut [Vec<Carried>],
) -> Result<(), Error> {
    let to = from.other();
    let there: Vec<usize> = (0..units.len()).filter(|&unit| units[unit].is_there(from)).collect();
    let mut columns: Vec<(String, u8)> = Vec::new();
    let mut steps: Vec<TransformStep> = Vec::new();
    let mut sources: Vec<(usize, usize)> = Vec::new();
    let mut targets: Vec<usize> = Vec::new();
    let mut outputs = 0;
    for (index, row) in pair.mapping.rows.iter().enumerate() {
        let (Some(carry), Role::Plain) = (row.carry(to), &row.role) else { continue };
        let inputs = row.fields(from).iter().enumerate().map(|(at, field)| {
            columns.push((field.name.clone(), field.kind));
            sources.push((index, at));
            columns.len() - 1
        });
        let inputs = inputs.collect();
        let filled = row.fields(to).len();
        steps.push(TransformStep {
            plugin: carry.plugin.clone(),
            function: carry.function.clone(),
            settings: carry.settings.clone(),
            inputs,
            outputs: (outputs..outputs + filled).collect(),
        });
        outputs += filled;
        targets.push(index);
    }
    if steps.is_empty() || there.is_empty() {
        return Ok(());
    }
    let rows: Vec<Vec<Value>> = there
        .iter()
        .map(|&unit| sources.iter().map(|&(row, at)| units[unit].rows[row][from as usize][at].clone()).collect())
        .collect();
    let made = apply(run, &steps, &columns, &rows).await?;
    let broken = made.complaints.iter().filter(|(_, _, why)| why == reason::TRANSFORM_FAILED).count();
    if rows.len() > 1 && broken == rows.len() * steps.len() {
        // That is no matter of records; nothing is decided on it.
        return Err(Error::Transform(CallError::Plugin("the transforms break on every record".into())));
    }
    for (&unit, values) in there.iter().zip(&made.rows) {
        for (step, &row) in steps.iter().zip(&targets) {
            let outputs: Vec<Value> = step.outputs.iter().map(|&output| values[output].clone()).collect();
            carried[unit][row] = fit(&outputs, &pair.mapping.rows[row], to);
        }
    }
    for (at, step, why) in made.complaints {
        if let (Some(&unit), Some(&row)) = (there.get(at), targets.get(step)) {
            carried[unit][row] = Carried::Held(why);
        }
    }
    Ok(())
}

/// I12: a record on which a plugin breaks is found by halves and held back; the others go on.
fn apply<'a>(
    run: &'a RunSetup,
    steps: &'a [TransformStep],
    columns: &'a [(String, u8)],
    rows: &'a [Vec<Value>],
) -> BoxFuture<'a, Result<Transformed, Error>> {
    Box::pin(async move {
        let error = match super::call::with_lease(run, run.transforms.apply(steps, columns, rows)).await? {
            Ok(made) => return Ok(made),
            Err(error) => error,
        };
        match rows.len() {
            // A fault that has nothing to do with records would be the same for each of them.
            1 if matches!(error, CallError::Plugin(_)) && steps.len() > 1 => {
                step_by_step(run, steps, columns, &rows[0]).await
            }
            1 if matches!(error, CallError::Plugin(_)) => {
                let outputs = steps.iter().map(|step| step.outputs.len()).sum();
                let complaints = (0..steps.len()).map(|step| (0, step, reason::TRANSFORM_FAILED.to_owned()));
                Ok(Transformed { rows: vec![vec![Value::Absent; outputs]], complaints: complaints.collect() })
            }
            0 | 1 => Err(Error::Transform(error)),
            count => {
                let (first, second) = rows.split_at(count / 2);
                let mut made = apply(run, steps, columns, first).await?;
                let rest = apply(run, steps, columns, second).await?;
                made.rows.extend(rest.rows);
                made.complaints
                    .extend(rest.complaints.into_iter().map(|(row, step, why)| (row + first.len(), step, why)));
                Ok(made)
            }
        }
    })
}

/// The fields of a record on which a plugin breaks, each for itself, so that only those are held back that break it.
async fn step_by_step(
    run: &RunSetup,
    steps: &[TransformStep],
    columns: &[(String, u8)],
    row: &[Value],
) -> Result<Transformed, Error> {
    let width = steps.iter().map(|step| step.outputs.len()).sum();
    let mut made = Transformed { rows: vec![vec![Value::Absent; width]], complaints: vec![] };
    for (index, step) in steps.iter().enumerate() {
        let own_columns: Vec<_> = step.inputs.iter().map(|&input| columns[input].clone()).collect();
        let own_row = step.inputs.iter().map(|&input| row[input].clone()).collect();
        let alone = TransformStep {
            inputs: (0..own_columns.len()).collect(),
            outputs: (0..step.outputs.len()).collect(),
            ..step.clone()
        };
        let given = apply(run, &[alone], &own_columns, &[own_row]).await?;
        for (&place, value) in step.outputs.iter().zip(given.rows.into_iter().flatten()) {
            made.rows[0][place] = value;
        }
        made.complaints.extend(given.complaints.into_iter().map(|(_, _, why)| (0, index, why)));
    }
    Ok(made)
}
