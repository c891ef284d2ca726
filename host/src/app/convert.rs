//! Between the plugins' packed batches and the core's values. Lossless both ways, but for rows of an unknown operation.

use crmsync_cells::{Batch, Builder, Cell, Kind, View};
use crmsync_core::{Fault, RemovalReason, Value};

use crate::engine::{
    CallError, CheckReport, Choice, CreateClass, DeleteWays, FieldInfo, ModuleInfo, PushOutcome, PushReport, Receipt,
    RemoteRecord, User,
};
use crate::runtime::types;

/// One cell as a value of its own.
pub(super) fn value(cell: Cell<'_>) -> Value {
    match cell {
        Cell::Absent => Value::Absent,
        Cell::Empty => Value::Empty,
        Cell::Text(text) => Value::text(text),
        Cell::Integer(number) => Value::Integer(number),
        Cell::Decimal(text) => Value::Decimal(text.to_owned()),
        Cell::Boolean(yes) => Value::Boolean(yes),
        Cell::Date(days) => Value::Date(days),
        Cell::LocalDateTime(micros) => Value::LocalDateTime(micros),
        Cell::Time(micros) => Value::Time(micros),
        Cell::Instant(micros) => Value::Instant(micros),
        Cell::Reference(text) => Value::Reference(text.to_owned()),
        Cell::List(text) => Value::List(text.to_owned()),
        Cell::Rows(text) => Value::Rows(text.to_owned()),
        Cell::Raw(text) => Value::Raw(text.to_owned()),
    }
}

/// A value as a cell.
pub(super) fn cell(value: &Value) -> Cell<'_> {
    match value {
        Value::Absent => Cell::Absent,
        Value::Empty => Cell::Empty,
        Value::Text(text) => Cell::text_or_empty(text),
        Value::Integer(number) => Cell::Integer(*number),
        Value::Decimal(text) => Cell::Decimal(text),
        Value::Boolean(yes) => Cell::Boolean(*yes),
        Value::Date(days) => Cell::Date(*days),
        Value::LocalDateTime(micros) => Cell::LocalDateTime(*micros),
        Value::Time(micros) => Cell::Time(*micros),
        Value::Instant(micros) => Cell::Instant(*micros),
        Value::Reference(text) => Cell::Reference(text),
        Value::List(text) => Cell::List(text),
        Value::Rows(text) => Cell::Rows(text),
        Value::Raw(text) => Cell::Raw(text),
    }
}

/// Rows of values as a batch.
pub(super) fn batch<'a>(columns: usize, rows: impl ExactSizeIterator<Item = &'a Vec<Value>>) -> Batch {
    let mut builder = Builder::new(columns, rows.len());
    for row in rows {
        row.iter().for_each(|value| builder.push(cell(value)));
    }
    builder.finish()
}

/// Columns by name and the contract's number of their kind.
pub(super) fn columns(fields: &[(String, u8)]) -> Vec<types::Column> {
    let column = |(name, kind): &(String, u8)| types::Column {
        name: name.clone(),
        kind: Kind::from_code(*kind)
            .filter(|kind| !matches!(kind, Kind::Absent | Kind::Empty | Kind::Raw))
            .unwrap_or(Kind::Text),
    };
    fields.iter().map(column).collect()
}

/// A snapshot's records, each with one value for each field that was asked for: absent where the plugin gave none.
pub(super) fn records(snapshot: &types::Snapshot, fields: &[String]) -> Result<Vec<RemoteRecord>, CallError> {
    let view = checked(&snapshot.rows, snapshot.columns.len())?;
    let places = places(&snapshot.columns, fields.iter().map(String::as_str));
    let record = |row: usize| RemoteRecord {
        id: snapshot.ids[row].clone(),
        version: snapshot.versions[row].clone(),
        modified_at_ms: snapshot.modified_ms[row],
        values: places
            .iter()
            .map(|place| place.map_or(Value::Absent, |column| value(view.cell(row, column))))
            .collect(),
    };
    Ok((0..view.rows()).map(record).collect())
}

fn places<'a>(columns: &[types::Column], fields: impl Iterator<Item = &'a str>) -> Vec<Option<usize>> {
    fields.map(|name| columns.iter().position(|column| column.name == name)).collect()
}

fn checked(batch: &Batch, columns: usize) -> Result<View<'_>, CallError> {
    batch.check(columns).map_err(|broken| CallError::Plugin(format!("the plugin's batch is malformed: {broken}")))
}

/// What became of a push, with the stored values in the order of the request's fields.
pub(super) fn push_report(report: &types::PushReport, fields: &[(String, u8)]) -> Result<PushReport, CallError> {
    let stored = checked(&report.stored, report.columns.len())?;
    let places = places(&report.columns, fields.iter().map(|(name, _)| name.as_str()));
    let outcome = |outcome: &types::PushOutcome| match outcome {
        types::PushOutcome::Stored(receipt) => PushOutcome::Stored(Receipt {
            id: receipt.id.clone(),
            version: receipt.version.clone(),
            stored: receipt.stored.map(|row| {
                let cell = |place: &Option<usize>| {
                    place.map_or(Value::Absent, |column| value(stored.cell(row as usize, column)))
                };
                places.iter().map(cell).collect()
            }),
            existed: receipt.existed,
        }),
        types::PushOutcome::Failed(refused) => PushOutcome::Failed(fault(refused)),
        types::PushOutcome::NotSent => PushOutcome::NotSent,
    };
    Ok(PushReport { outcomes: report.outcomes.iter().map(outcome).collect(), wait_ms: report.wait_ms })
}

/// The rows that a transform gave.
pub(super) fn value_rows(batch: &Batch, columns: usize) -> Result<Vec<Vec<Value>>, CallError> {
    let view = checked(batch, columns)?;
    Ok((0..view.rows()).map(|row| (0..columns).map(|column| value(view.cell(row, column))).collect()).collect())
}

/// A typed refusal in the core's words.
pub(super) fn fault(fault: &types::Fault) -> Fault {
    match fault {
        types::Fault::LoggedOut => Fault::LoggedOut,
        types::Fault::RateLimited(wait_ms) => Fault::RateLimited(*wait_ms),
        types::Fault::Transient(why) => Fault::Transient(why.clone()),
        types::Fault::Gone => Fault::Gone,
        types::Fault::Changed => Fault::Changed,
        types::Fault::Rejected(types::Rejection { field, code, message }) => {
            Fault::Rejected { field: field.clone(), code: code.clone(), message: message.clone() }
        }
        types::Fault::Duplicate(id) => Fault::Duplicate(id.clone()),
        types::Fault::CursorExpired => Fault::CursorExpired,
        types::Fault::Unsupported(what) => Fault::Unsupported(what.clone()),
        types::Fault::UnknownOutcome(why) => Fault::UnknownOutcome(why.clone()),
        types::Fault::Other { code, message } => Fault::Other { code: code.clone(), message: message.clone() },
    }
}

pub(super) fn removal_reason(reason: types::RemovalReason) -> RemovalReason {
    match reason {
        types::RemovalReason::Deleted => RemovalReason::Deleted,
        types::RemovalReason::Merged => RemovalReason::Merged,
        types::RemovalReason::Converted => RemovalReason::Converted,
        types::RemovalReason::NotVisible => RemovalReason::NotVisible,
        types::RemovalReason::Unknown => RemovalReason::Unknown,
    }
}

/// `now_ms` is the middle of the call, against which the CRM's clock is held.
pub(super) fn check_report(report: types::CheckReport, now_ms: i64) -> CheckReport {
    CheckReport {
        org_kind: match report.org_kind {
            types::OrgKind::Production => "production",
            types::OrgKind::Sandbox => "sandbox",
            types::OrgKind::Unknown => "unknown",
        }
        .to_owned(),
        visible_scope: match report.visible_scope {
            types::VisibleScope::All => "all",
            types::VisibleScope::Own => "own",
            types::VisibleScope::Unknown => "unknown",
        }
        .to_owned(),
        clock_ahead_ms: report.server_clock_ms.map(|server_ms| server_ms - now_ms),
        org_id: report.org_id,
        org_name: report.org_name,
        user_id: report.user_id,
        user_name: report.user_name,
        time_zone: report.time_zone,
        currency: report.currency,
        edition: report.edition,
        version: report.version,
        missing: report.missing,
        extra: report.extra,
    }
}

pub(super) fn module(module: types::ModuleInfo) -> ModuleInfo {
    ModuleInfo {
        create_class: match module.create_class {
            types::CreateClass::A => CreateClass::A,
            types::CreateClass::B => CreateClass::B,
            types::CreateClass::C => CreateClass::C,
        },
        conditional_updates: module.update_guard == types::UpdateGuard::Conditional,
        needs_sweep: module.removals == types::Removals::Sweep,
        quiesce_ms: i64::try_from(module.quiesce_ms).unwrap_or(i64::MAX),
        push_rows: module.push_rows as usize,
        fetch_rows: module.fetch_rows as usize,
        deletes: delete_ways(&module.extra),
        refused: refused(&module.extra),
        name: module.name,
        label: module.label,
        key_field: module.key_field,
    }
}

/// The open fact `deletes` of a module: the words `recycle` and `for-good`, comma between. A connector that says nothing deletes nothing.
fn delete_ways(extra: &[(String, String)]) -> DeleteWays {
    let words = extra.iter().filter(|(name, _)| name == "deletes").flat_map(|(_, words)| words.split(','));
    words.fold(DeleteWays::default(), |ways, word| match word.trim() {
        "recycle" => DeleteWays { recycle: true, ..ways },
        "for-good" => DeleteWays { for_good: true, ..ways },
        _ => ways,
    })
}

/// The open facts `creatable`, `editable` and `deletable` of a module, where they are `false`, as what this login may not do.
fn refused(extra: &[(String, String)]) -> Vec<String> {
    let rights = [("creatable", "create"), ("editable", "edit"), ("deletable", "delete")];
    let is_refused = |name: &str| extra.iter().any(|(known, word)| known == name && word == "false");
    rights.into_iter().filter(|(name, _)| is_refused(name)).map(|(_, verb)| verb.to_owned()).collect()
}

pub(super) fn field(field: types::FieldInfo) -> FieldInfo {
    FieldInfo {
        kind: field.kind.code(),
        choices: field.choices.into_iter().map(|choice| Choice { value: choice.value, label: choice.label }).collect(),
        name: field.name,
        label: field.label,
        native: field.native,
        mandatory: field.mandatory,
        read_only: field.read_only,
        unique: field.unique,
        length: field.length,
        targets: field.targets,
        meaning: field.meaning,
    }
}

pub(super) fn user(user: types::User) -> User {
    User {
        kind: if user.is_group { "group" } else { "user" }.to_owned(),
        id: user.id,
        name: user.name,
        email: user.email,
        active: user.active,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cross_the_boundary_unchanged() {
        let row = vec![
            Value::Absent,
            Value::Empty,
            Value::Text("Åse".into()),
            Value::Integer(-5),
            Value::Decimal("1.5".into()),
            Value::Boolean(true),
            Value::Date(3),
            Value::LocalDateTime(4),
            Value::Time(5),
            Value::Instant(6),
            Value::Reference("Accounts/1".into()),
            Value::List("[\"a\"]".into()),
            Value::Rows("[{}]".into()),
            Value::Raw("?".into()),
        ];
        let packed = batch(row.len(), [&row].into_iter());
        assert_eq!(value_rows(&packed, row.len()).expect("well formed"), vec![row]);
    }
}
