//! What can only be judged when all rows of a module pair are known: fields written twice, mandatory fields, match rules.

use crmsync_core::mapping::MatchRule;
use crmsync_core::{MappingRow, Role, Side};

use super::lookup;
use super::module::{MatchText, ModulePair};
use super::pair::LeftOut;
use super::problem::{Placed, Problem};
use super::rows::{Context, Misfit, Origin, Resolved};

/// The name of a field that both rows write on one side, and the side.
fn written_by_both<'a>(first: &'a MappingRow, second: &MappingRow) -> Option<(Side, &'a str)> {
    Side::BOTH.into_iter().filter(|&side| first.direction.writes(side) && second.direction.writes(side)).find_map(
        |side| {
            let name = first.fields(side).iter().map(|field| field.name.as_str());
            let mut shared = name.filter(|name| second.fields(side).iter().any(|field| field.name == *name));
            shared.next().map(|name| (side, name))
        },
    )
}

/// A person's own row takes the place of preset rows that write a field of it. Two rows of the same origin must not.
pub(super) fn one_row_for_each_field(
    context: &Context<'_>,
    rows: Vec<Resolved>,
    left_out: &mut Vec<LeftOut>,
    problems: &mut Vec<Problem>,
) -> Vec<Resolved> {
    let mut kept: Vec<Resolved> = Vec::new();
    // Own rows first, so that a preset's row only ever meets rows that stay.
    let (own, preset): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.origin == Origin::Own);
    for new in own.into_iter().chain(preset) {
        let clash = kept.iter().find_map(|old| {
            let shared = written_by_both(&old.row, &new.row);
            (shared.is_some() || old.row.key == new.row.key).then_some((old, shared))
        });
        match clash {
            None => kept.push(new),
            Some((old, _)) if new.origin == Origin::Preset => {
                let why = format!("the row `{}` takes its place", old.row.key.0);
                left_out.push(LeftOut { row: new.row.key.0, why, paused: None });
            }
            Some((_, None)) => {
                let problem = Problem::new(new.spot, format!("`{}` is mapped twice", new.row.key.0));
                problems.push(problem.hint("remove one of the two rows"));
            }
            Some((old, Some((side, name)))) => {
                let message = format!(
                    "`{name}` of `{}` is written by two rows: `{}` and `{}`",
                    context.connections[side as usize], old.row.key.0, new.row.key.0
                );
                problems.push(
                    Problem::new(new.spot, message).hint("remove one, or make one go the other way with `direction`"),
                );
            }
        }
    }
    // The order of the file and of the display: what everybody has, then what this person added.
    let own_count = kept.iter().filter(|row| row.origin == Origin::Own).count();
    kept.rotate_left(own_count);
    kept
}

/// New records need a value in each mandatory field. Also gives a warning about an owner that no row gives.
pub(super) fn mandatory_fields(
    context: &Context<'_>,
    module: &ModulePair,
    rows: &[Resolved],
    warnings: &mut Vec<Problem>,
    problems: &mut Vec<Problem>,
) {
    for side in Side::BOTH.into_iter().filter(|&side| context.direction.writes(side)) {
        let connection = context.connections[side as usize];
        let is_written = |name: &str| {
            let mut writing = rows.iter().filter(|row| row.row.direction.writes(side));
            writing.any(|row| row.row.fields(side).iter().any(|field| field.name == name))
        };
        let demanded = context.fields[side as usize].iter().filter(|field| field.mandatory && !field.read_only);
        for field in demanded.filter(|field| !is_written(&field.name)) {
            if field.is_owner() {
                let message =
                    format!("no row says who owns new records: `{}` of `{connection}` is not mapped", field.name);
                warnings.push(Problem::new(module.spot, message).hint("the CRM decides, or refuses the record"));
                continue;
            }
            let message = format!("new records need `{}` of `{connection}`, and no row gives it a value", field.name);
            let problem = Problem::new(module.spot, message).hint(format!(
                "map it; with to-{connection} = {{ function = \"constant\", settings = {{ value = \"…\" }} }} blanks are filled"
            ));
            match context.misfit {
                Misfit::Refuse => problems.push(problem),
                // The CRM demands it since the flow was agreed to: what is there goes on, and the CRM refuses new records one by one.
                Misfit::Pause => warnings.push(problem),
            }
        }
    }
}

/// The match rules of the pair. A preset's rule that lacks a row is left out, a person's is a problem.
pub(super) fn match_rules(
    context: &Context<'_>,
    module: &ModulePair,
    preset: Option<&[MatchText]>,
    rows: &[Resolved],
    left_out: &mut Vec<LeftOut>,
    problems: &mut Vec<Problem>,
) -> Vec<MatchRule> {
    let mut rules = Vec::new();
    let (written, is_own) = match (&module.match_rules, preset) {
        (Some(own), _) => (own.as_slice(), true),
        (None, preset) => (preset.unwrap_or_default(), false),
    };
    for text in written {
        match match_rule(context, text, rows) {
            Ok(rule) => rules.push(rule),
            Err(problem) if is_own => problems.push(problem),
            Err(problem) => {
                left_out.push(LeftOut { row: format!("match {}", text.label), why: problem.message, paused: None })
            }
        }
    }
    if rules.is_empty() && !is_own {
        let problem = Problem::new(module.spot, "`match` is missing: records that are on both sides would be doubled");
        problems.push(
            problem.hint("say how to know them, such as match = [\"email + last name\"]; match = [] if none are"),
        );
    }
    rules
}

fn match_rule(context: &Context<'_>, text: &MatchText, rows: &[Resolved]) -> Result<MatchRule, Problem> {
    let all: Vec<&MappingRow> = rows.iter().map(|row| &row.row).collect();
    let mut indexes = Vec::new();
    for part in &text.parts {
        let index = lookup::row(&all, context.fields, part)
            .map_err(|why| why.problem("match", &Placed { value: part.clone(), spot: text.spot }))?;
        if rows[index].row.role == Role::Reference {
            check_reference_part(context, &rows[index].row, part, text)?;
        } else if !rows[index].comparable {
            let message =
                format!("`match`: the values of `{part}` cannot be compared, as the sides spell them differently");
            let hint = "use fields with plain values, or references to records that are matched before";
            return Err(Problem::new(text.spot, message).hint(hint));
        }
        if !indexes.contains(&index) {
            indexes.push(index);
        }
    }
    let guards =
        (0..rows.len()).filter(|index| !indexes.contains(index) && is_persons_name(context, &rows[*index].row));
    Ok(MatchRule { label: text.label.clone(), guards: guards.collect(), rows: indexes })
}

/// Records are known by what they refer to only if that was matched before them.
fn check_reference_part(context: &Context<'_>, row: &MappingRow, part: &str, text: &MatchText) -> Result<(), Problem> {
    let targets = |side: Side| {
        let field = &row.fields(side)[0].name;
        let info = context.fields[side as usize].iter().find(|info| info.name == *field);
        info.map(|info| info.targets.as_slice()).unwrap_or_default()
    };
    let own = context.modules.map(|module| module.name.as_str());
    let is_before = context.linked.iter().any(|[left, right]| {
        targets(Side::Left).contains(left)
            && targets(Side::Right).contains(right)
            && [left.as_str(), right.as_str()] != own
    });
    if is_before {
        return Ok(());
    }
    let named = targets(Side::Left).iter().map(|target| format!("`{target}`")).collect::<Vec<_>>().join(", ");
    let message = format!("`match`: `{part}` points to {named}, which this flow does not match before");
    Err(Problem::new(text.spot, message).hint("add a [[module]] for it, or match by other fields"))
}

/// First and last names: people who share an e-mail address or a phone are told apart by them.
fn is_persons_name(context: &Context<'_>, row: &MappingRow) -> bool {
    let is_name = |side: Side| {
        let mut names = row.fields(side).iter().map(|field| field.name.as_str());
        names.any(|name| {
            let info = context.fields[side as usize].iter().find(|info| info.name == name);
            info.is_some_and(|info| matches!(info.meaning.as_str(), "given-name" | "family-name"))
        })
    };
    row.role == Role::Plain && Side::BOTH.into_iter().all(is_name)
}
