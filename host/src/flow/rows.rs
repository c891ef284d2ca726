//! One row of the file or a preset → one row of the core's mapping.

use crmsync_core::mapping::{Carry, Field, Sameness};
use crmsync_core::{Direction, MappingRow, Role, RowKey, Side, Value, Winner};

use super::carry::{self, Journey, Way, kind_name};
use super::describe::{
    BOOLEAN, Choice, DATE, DECIMAL, FieldInfo, FunctionInfo, INTEGER, Inversion, LIST, ModuleInfo, REFERENCE, TEXT,
};
use super::hash::{canonical_carrying, fnv1a, word};
use super::lookup;
use super::problem::{Placed, Problem, Spot};
use super::row::{Carrying, Row};

/// What the rows of one module pair are held against. Index 0 is left, 1 right.
pub(super) struct Context<'a> {
    pub(super) connections: [&'a str; 2],
    pub(super) modules: [&'a ModuleInfo; 2],
    pub(super) fields: [&'a [FieldInfo]; 2],
    pub(super) functions: &'a [FunctionInfo],
    /// Which way records of this pair travel.
    pub(super) direction: Direction,
    /// API names of all module pairs of the flow that are on.
    pub(super) linked: &'a [[String; 2]],
    pub(super) misfit: Misfit,
}

/// What becomes of a row of the person's own that does not fit what the CRMs say of themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The person writes the file now, and is told.
    Refuse,
    /// The person agreed to the file when the row did fit: a field has gone or cannot be written any more since then. The row rests, what
    /// was agreed about it stands, and everything else goes on (S12).
    Pause,
}

/// Who asked for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The person, in the flow file: what does not work is a problem.
    Own,
    /// A preset: what does not fit this installation is left out.
    Preset,
}

/// A row that fits both sides.
pub(super) struct Resolved {
    pub(super) row: MappingRow,
    pub(super) origin: Origin,
    pub(super) spot: Spot,
    /// Both sides spell equal things equally, so that the row can be part of a match rule.
    pub(super) comparable: bool,
    pub(super) warnings: Vec<Problem>,
}

/// Resolves one row.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn resolve(context: &Context<'_>, written: &Row, origin: Origin) -> Result<Resolved, Vec<Problem>> {
    if let Some(value) = &written.constant {
        return resolve_constant(context, written, value, origin);
    }
    let [left, right] = find_fields(context, written)?;
    let fields = [left.as_slice(), right.as_slice()];
    let role = role(context, written, fields).map_err(|problem| vec![problem])?;
    let mut warnings = Vec::new();
    let agreed = agreed_direction(context, written).map_err(|problem| vec![problem])?;
    let direction =
        writable_direction(context, written, fields, agreed, &mut warnings).map_err(|problem| vec![problem])?;
    check_link(context, written, &role, fields, origin, &mut warnings).map_err(|problem| vec![problem])?;
    check_winner(context, written, fields).map_err(|problem| vec![problem])?;

    let mut carries = [None, None];
    let mut comparable = role == Role::Plain && left.len() == right.len();
    let mut problems = Vec::new();
    for to in Side::BOTH.into_iter().filter(|&to| agreed.writes(to)) {
        let journey = Journey {
            to,
            connections: context.connections,
            read: fields[to.other() as usize],
            written: fields[to as usize],
        };
        match row_way(context, written, &role, &journey) {
            // What cannot be written today is carried all the same, to see whether both sides agree.
            Ok(way) if !direction.writes(to) => carries[to as usize] = way.into_carry(),
            Err(_) if !direction.writes(to) => {}
            Ok(way) => {
                let (way, doubts) = journey.with_choices(way, origin == Origin::Own, written.spot);
                warnings.extend(doubts);
                comparable &= is_comparable(&way, context.functions);
                carries[to as usize] = way.into_carry();
            }
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let key = key(fields);
    let hash = row_hash(&key, agreed, written, &role);
    let [to_left, to_right] = carries;
    let row = mapping_row(key, hash, fields, (direction, agreed), (to_left, to_right), written, role);
    Ok(Resolved { row, origin, spot: written.spot, comparable, warnings })
}

/// A value for new records of one side.
fn resolve_constant(
    context: &Context<'_>,
    written: &Row,
    constant: &Placed<Value>,
    origin: Origin,
) -> Result<Resolved, Vec<Problem>> {
    let [left, right] = find_fields(context, written)?;
    let fields = [left.as_slice(), right.as_slice()];
    let direction = agreed_direction(context, written).map_err(|problem| vec![problem])?;
    let to = if left.is_empty() { Side::Right } else { Side::Left };
    let field = fields[to as usize][0];
    let name = format!("`{}` of `{}`", field.name, context.connections[to as usize]);
    let problem = |message: String, hint: &str| vec![Problem::new(constant.spot, message).hint(hint)];
    if field.kind == REFERENCE {
        return Err(problem(format!("{name} is a reference"), "owners of new records are named in [owners] fallback"));
    }
    if field.read_only {
        return Err(problem(format!("{name} cannot be written"), "name another field"));
    }
    let Some(value) = constant.value.fitted(field.kind) else {
        let message = format!("{name} ({}) cannot be given `{}`", kind_name(field.kind), constant.value.display());
        return Err(problem(message, "write a value of that kind"));
    };
    let mut warnings = Vec::new();
    let is_listed = |choice: &Choice| Value::text(&choice.value) == value;
    if !field.choices.is_empty() && !field.choices.iter().any(is_listed) {
        let message = format!("{name} does not list `{}`", value.display());
        let known = field.choices.iter().map(|choice| choice.value.as_str());
        warnings.push(Problem::new(constant.spot, message).nearest(&value.display(), known));
    }
    let (key, role) = (key(fields), Role::Constant(value));
    let hash = row_hash(&key, direction, written, &Role::Plain);
    let row = mapping_row(key, hash, fields, (direction, direction), (None, None), written, role);
    Ok(Resolved { row, origin, spot: written.spot, comparable: false, warnings })
}

/// What both sides agree on: fields, direction, ways and sameness, as the flow states them. What a CRM says of itself (labels, choices,
/// a field that is read-only today) does not count, so that no agreement is lost by it.
fn row_hash(key: &str, agreed: Direction, written: &Row, role: &Role) -> u64 {
    let carry = written.carry.each_ref().map(canonical_carrying);
    let (agreed, sameness, role) = (word(&agreed), word(&written.sameness), word(role));
    fnv1a(&format!("row 1\n{key}\n{agreed} {sameness} {role}\n{carry:?}"))
}

fn mapping_row(
    key: String,
    hash: u64,
    fields: [&[&FieldInfo]; 2],
    (direction, agreed): (Direction, Direction),
    (to_left, to_right): (Option<Carry>, Option<Carry>),
    written: &Row,
    role: Role,
) -> MappingRow {
    let [left, right] = fields.map(|side| side.iter().map(|info| core_field(info)).collect());
    let sameness: Sameness = written.sameness;
    MappingRow {
        key: RowKey(key),
        hash,
        left,
        right,
        direction,
        agreed,
        to_right,
        to_left,
        sameness,
        winner: written.winner.as_ref().map(|winner| winner.value),
        role,
    }
}

fn core_field(info: &FieldInfo) -> Field {
    Field {
        name: info.name.clone(),
        label: info.label.clone(),
        kind: info.kind,
        mandatory: info.mandatory,
        read_only: info.read_only,
        length: info.length,
    }
}

fn key(fields: [&[&FieldInfo]; 2]) -> String {
    fields.map(|side| side.iter().map(|info| info.name.as_str()).collect::<Vec<_>>().join("+")).join("=")
}

type Found<'a> = Vec<&'a FieldInfo>;

fn find_fields<'a>(context: &Context<'a>, written: &Row) -> Result<[Found<'a>; 2], Vec<Problem>> {
    let mut problems = Vec::new();
    let found = Side::BOTH.map(|side| {
        let (connection, all) = (context.connections[side as usize], context.fields[side as usize]);
        let mut fields: Found<'a> = Vec::new();
        for name in &written.fields[side as usize] {
            match lookup::field(all, name, connection) {
                Ok(field) if field.name == context.modules[side as usize].key_field => {
                    let message = format!("`{}` of `{connection}` holds the keys of new records", field.name);
                    problems.push(Problem::new(name.spot, message).hint("map another field"));
                }
                Ok(field) => fields.push(field),
                Err(problem) => problems.push(problem),
            }
        }
        fields
    });
    if problems.is_empty() { Ok(found) } else { Err(problems) }
}

/// API names of a row's fields, left first; a field that is not there is named as the row names it.
pub(super) fn known_names(context: &Context<'_>, written: &Row) -> [Vec<String>; 2] {
    Side::BOTH.map(|side| {
        let name = |name| {
            let known = lookup::field(context.fields[side as usize], name, context.connections[side as usize]);
            known.map_or_else(|_| name.value.clone(), |field| field.name.clone())
        };
        written.fields[side as usize].iter().map(name).collect()
    })
}

/// Owners and references are carried by users and links, and only to their like.
fn role(context: &Context<'_>, written: &Row, fields: [&[&FieldInfo]; 2]) -> Result<Role, Problem> {
    let all = || fields.iter().flat_map(|side| side.iter());
    if !all().any(|field| field.kind == REFERENCE) {
        return Ok(Role::Plain);
    }
    let is_stated = written.carry.iter().any(|carrying| matches!(carrying, Carrying::Table(_) | Carrying::Function(_)));
    let ([left], [right]) = (fields[0], fields[1]) else {
        return Err(Problem::new(written.spot, "a reference is mapped in a row of its own, one field on each side"));
    };
    match (all().all(|field| field.kind == REFERENCE), left.is_owner(), right.is_owner()) {
        (true, true, true) if !is_stated => Ok(Role::Owner),
        (true, false, false) if !is_stated => Ok(Role::Reference),
        (true, true, true) | (true, false, false) => {
            let problem = Problem::new(written.spot, "owners and references take no transform");
            Err(problem.hint("owners go by e-mail and [owners.table], references by the records that are linked"))
        }
        _ => {
            let name = |side: usize, field: &FieldInfo| format!("`{}` of `{}`", field.name, context.connections[side]);
            let message = format!("{} and {} do not refer to the same kind of thing", name(0, left), name(1, right));
            Err(Problem::new(written.spot, message))
        }
    }
}

fn direction_of(writes: impl Fn(Side) -> bool) -> Option<Direction> {
    match (writes(Side::Left), writes(Side::Right)) {
        (true, true) => Some(Direction::Both),
        (true, false) => Some(Direction::ToLeft),
        (false, true) => Some(Direction::ToRight),
        (false, false) => None,
    }
}

/// The way that the row and its module allow.
fn agreed_direction(context: &Context<'_>, written: &Row) -> Result<Direction, Problem> {
    let Some(stated) = &written.direction else { return Ok(context.direction) };
    direction_of(|side| stated.value.writes(side) && context.direction.writes(side)).ok_or_else(|| {
        let problem = Problem::new(stated.spot, "the row goes one way and its module the other");
        problem.hint("remove the row's `direction`, or the row")
    })
}

/// The way that is left when a side cannot be written.
fn writable_direction(
    context: &Context<'_>,
    written: &Row,
    fields: [&[&FieldInfo]; 2],
    agreed: Direction,
    warnings: &mut Vec<Problem>,
) -> Result<Direction, Problem> {
    let read_only = |side: Side| fields[side as usize].iter().find(|field| field.read_only);
    let describe = |side: Side| {
        read_only(side).map(|field| format!("`{}` of `{}`", field.name, context.connections[side as usize]))
    };
    let blocked: Vec<String> =
        Side::BOTH.into_iter().filter(|&side| agreed.writes(side)).filter_map(describe).collect();
    if blocked.is_empty() {
        return Ok(agreed);
    }
    let message = format!("{} cannot be written", blocked.join(" and "));
    let left = direction_of(|side| agreed.writes(side) && read_only(side).is_none());
    match (left, &written.direction) {
        // A row that was agreed to goes on as far as it can.
        (Some(left), stated) if stated.is_none() || context.misfit == Misfit::Pause => {
            warnings.push(Problem::new(written.spot, message).hint("values only travel the other way"));
            Ok(left)
        }
        (_, Some(stated)) => Err(Problem::new(stated.spot, message).hint("give the row another `direction`")),
        (_, None) => Err(Problem::new(written.spot, message).hint("map another field, or remove the row")),
    }
}

/// A reference can be carried only if the records that it points to are linked by a module pair of the same flow.
fn check_link(
    context: &Context<'_>,
    written: &Row,
    role: &Role,
    fields: [&[&FieldInfo]; 2],
    origin: Origin,
    warnings: &mut Vec<Problem>,
) -> Result<(), Problem> {
    let ([left], [right], Role::Reference) = (fields[0], fields[1], role) else { return Ok(()) };
    let points_to = |field: &FieldInfo, module: &String| field.targets.is_empty() || field.targets.contains(module);
    if context.linked.iter().any(|[l, r]| points_to(left, l) && points_to(right, r)) {
        return Ok(());
    }
    let message = format!(
        "`{}` points to {}, which this flow does not sync",
        left.name,
        left.targets.iter().map(|target| format!("`{target}`")).collect::<Vec<_>>().join(", ")
    );
    let problem = Problem::new(written.spot, message).hint("add a [[module]] for it");
    match origin {
        // Each record would be reported for a field that nobody asked for.
        Origin::Preset => Err(problem),
        Origin::Own => {
            warnings.push(problem);
            Ok(())
        }
    }
}

/// A rule that compares or joins values needs values that can be.
fn check_winner(context: &Context<'_>, written: &Row, fields: [&[&FieldInfo]; 2]) -> Result<(), Problem> {
    let Some(winner) = &written.winner else { return Ok(()) };
    let (word, allowed, what): (_, &[&[u8]], _) = match winner.value {
        Winner::Maximum => (
            "maximum",
            &[&[INTEGER, DECIMAL], &[BOOLEAN], &[DATE], &[7], &[8], &[9]],
            "numbers, dates, times or yes and no",
        ),
        Winner::Union => ("union", &[&[LIST]], "lists"),
        Winner::Longer => ("longer", &[&[TEXT]], "texts"),
        _ => return Ok(()),
    };
    let all: Vec<&FieldInfo> = fields.iter().flat_map(|side| side.iter().copied()).collect();
    if allowed.iter().any(|kinds| all.iter().all(|field| kinds.contains(&field.kind))) {
        return Ok(());
    }
    let kind = |side: usize| fields[side].iter().map(|field| kind_name(field.kind)).collect::<Vec<_>>().join(", ");
    let message = format!(
        "`winner` = \"{word}\" is for {what} on both sides, and `{}` has {}, `{}` {}",
        context.connections[0],
        kind(0),
        context.connections[1],
        kind(1)
    );
    let names = context.connections.map(|name| format!("\"{name}\"")).join(", ");
    Err(Problem::new(winner.spot, message).hint(format!("use {names}, \"newest\", \"non-empty\" or \"ask\"")))
}

fn row_way(context: &Context<'_>, written: &Row, role: &Role, journey: &Journey<'_>) -> Result<Way, Problem> {
    if *role != Role::Plain {
        return Ok(Way::AsIs);
    }
    let (stated, opposite) = (&written.carry[journey.to as usize], &written.carry[journey.to.other() as usize]);
    let counts = (journey.read.len(), journey.written.len());
    let way = carry::way(stated, opposite, counts, context.functions, written.spot)?;
    journey.check_kinds(&way, written.spot)?;
    Ok(way)
}

fn is_comparable(way: &Way, functions: &[FunctionInfo]) -> bool {
    match way {
        Way::AsIs => true,
        Way::Table(values) => values.iter().all(|(value, counterpart)| value == counterpart),
        Way::Function(carry) => functions.iter().any(|info| {
            info.plugin == carry.plugin && info.name == carry.function && info.inversion == Inversion::Stable
        }),
    }
}
