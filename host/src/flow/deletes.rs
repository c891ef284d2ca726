//! What a flow says about records that leave: `deletes`, `when_it_leaves` of a filter, and for the modes "mark" where a record says that
//! the other side's left.

use crmsync_core::{DeletePolicy, LeavePolicy, MappingRow, Side, Value};
use toml::de::{DeTable, DeValue};

use super::describe::{FieldInfo, TEXT};
use super::document::Document;
use super::lookup;
use super::module::ModulePair;
use super::problem::{Placed, Problem, Spot};
use super::reader::Reader;
use super::rows::Context;

/// The contract's number for yes and no.
const BOOLEAN: u8 = 5;

const MODES: [(&str, DeletePolicy); 4] = [
    ("report", DeletePolicy::Report),
    ("mark", DeletePolicy::Mark),
    ("recycle", DeletePolicy::Recycle),
    ("delete", DeletePolicy::Delete),
];

const LEAVING: [(&str, LeavePolicy); 3] =
    [("stop-updating", LeavePolicy::StopUpdating), ("mark", LeavePolicy::Mark), ("recycle", LeavePolicy::Recycle)];

/// A `mark` as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkText {
    /// The field on each side, by API name or label.
    pub fields: [Option<Placed<String>>; 2],
    /// What it is to say: a text, or true for a checkbox.
    pub value: Value,
    /// Where the value stands.
    pub value_spot: Spot,
}

/// Where and how the records of one side say that the other side's was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// API name of the field.
    pub field: String,
    /// Kind of its values, the contract's number.
    pub kind: u8,
    /// What it says.
    pub value: Value,
}

/// Reads `deletes` of the flow or of one module.
pub(super) fn read(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Option<Placed<DeletePolicy>> {
    reader.word(table, "deletes", &MODES)
}

/// Reads `when_it_leaves` of one module.
pub(super) fn read_when_it_leaves(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    has_filter: bool,
) -> Option<Placed<LeavePolicy>> {
    let mode = reader.word(table, "when_it_leaves", &LEAVING)?;
    if !has_filter && mode.value != LeavePolicy::StopUpdating {
        let problem = Problem::new(mode.spot, "`when_it_leaves` is about a `filter`, and this module has none");
        reader.note(problem.hint("add `filter`, or remove `when_it_leaves`"));
    }
    Some(mode)
}

/// What a module pair does about records that leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaving {
    pub(super) deletes: DeletePolicy,
    pub(super) when_it_leaves: LeavePolicy,
    pub(super) marks: [Option<Mark>; 2],
}

/// Reads `mark` of the flow or of one module.
pub(super) fn read_mark(reader: &mut Reader<'_>, table: &DeTable<'_>, between: [&str; 2]) -> Option<MarkText> {
    let mark = reader.table(table, "mark")?;
    let spot = reader.spot_of(table.get("mark")?);
    reader.known_keys(mark, &[between[0], between[1], "value"]);
    let fields = between.map(|connection| reader.text(mark, connection));
    let value = match mark.get("value").map(|value| (value, value.get_ref())) {
        Some((value, DeValue::Boolean(true))) => Some((Value::Boolean(true), reader.spot_of(value))),
        Some((value, DeValue::String(_))) => {
            reader.text_of("value", value).map(|text| (Value::Text(text.value), text.spot))
        }
        Some((value, _)) => {
            reader.wrong_type("value", "a text, or true for a checkbox", value);
            None
        }
        None => {
            let problem = Problem::new(spot, "`mark` does not say what the field is to hold");
            reader.note(problem.hint("add value = \"Deleted in the other CRM\", or value = true for a checkbox"));
            None
        }
    };
    let (value, value_spot) = value?;
    Some(MarkText { fields, value, value_spot })
}

/// The modes of one module pair, and where its records are marked.
///
/// # Errors
/// A CRM cannot do it, or the field does not fit.
pub(super) fn resolve(
    context: &Context<'_>,
    document: &Document,
    module: &ModulePair,
    rows: &[&MappingRow],
) -> Result<Leaving, Vec<Problem>> {
    let mode = module.deletes.clone().unwrap_or(document.deletes.clone());
    let mut problems = Vec::new();
    // Sides whose records are marked, with the words that say so.
    let mut marked: Vec<(Side, &str, Spot)> = Vec::new();
    let written = Side::BOTH.into_iter().filter(|&side| context.direction.writes(side));
    for side in written {
        match mode.value {
            DeletePolicy::Recycle | DeletePolicy::Delete => problems.extend(cannot_delete(context, side, &mode)),
            DeletePolicy::Mark => marked.push((side, "deletes", mode.spot)),
            DeletePolicy::Report => {}
        }
        // The other side's filter is what a record of this side goes by.
        let Some(leaves) = module.when_it_leaves.as_ref().filter(|_| module.filters[side.other() as usize].is_some())
        else {
            continue;
        };
        match leaves.value {
            LeavePolicy::Recycle => {
                let recycle = Placed { value: DeletePolicy::Recycle, spot: leaves.spot };
                problems.extend(cannot_delete(context, side, &recycle));
            }
            LeavePolicy::Mark => marked.push((side, "when_it_leaves", leaves.spot)),
            LeavePolicy::StopUpdating => {}
        }
    }
    let mut marks = [None, None];
    if let Some(&(_, key, spot)) = marked.first() {
        let Some(mark) = module.mark.as_ref().or(document.mark.as_ref()) else {
            let [left, right] = context.connections;
            let problem = Problem::new(spot, format!("`{key}` = \"mark\" needs to know which field to set"));
            let hint = format!("add mark = {{ {left} = \"FIELD\", {right} = \"FIELD\", value = \"Deleted\" }}");
            problems.push(problem.hint(hint));
            return Err(problems);
        };
        for (side, _, spot) in marked {
            match resolve_mark(context, mark, side, spot, rows) {
                Ok(found) => marks[side as usize] = Some(found),
                Err(problem) => problems.push(problem),
            }
        }
    }
    let when_it_leaves = module.when_it_leaves.as_ref().map_or(LeavePolicy::StopUpdating, |mode| mode.value);
    if problems.is_empty() { Ok(Leaving { deletes: mode.value, when_it_leaves, marks }) } else { Err(problems) }
}

fn cannot_delete(context: &Context<'_>, side: Side, mode: &Placed<DeletePolicy>) -> Option<Problem> {
    let (module, connection) = (context.modules[side as usize], context.connections[side as usize]);
    let name = &module.name;
    match mode.value {
        DeletePolicy::Delete if module.deletes_for_good => None,
        DeletePolicy::Delete if module.recycles => {
            let message = format!(
                "`deletes` = \"delete\": the CRM of `{connection}` lets programs move {name} to its recycle bin only, not delete them for good"
            );
            Some(Problem::new(mode.spot, message).hint("use \"recycle\"; the CRM empties its bin by itself"))
        }
        DeletePolicy::Recycle if module.recycles => None,
        _ => {
            let message = format!("the CRM of `{connection}` does not let programs delete {name} in this way");
            Some(Problem::new(mode.spot, message).hint("use \"report\" or \"mark\""))
        }
    }
}

fn resolve_mark(
    context: &Context<'_>,
    mark: &MarkText,
    side: Side,
    mode: Spot,
    rows: &[&MappingRow],
) -> Result<Mark, Problem> {
    let connection = context.connections[side as usize];
    let Some(written) = &mark.fields[side as usize] else {
        let problem = Problem::new(mode, format!("`mark` names no field of `{connection}`, whose records are marked"));
        return Err(problem.hint(format!("add {connection} = \"FIELD\" to `mark`")));
    };
    let field = lookup::field(context.fields[side as usize], written, connection)?;
    let wrong = |why: &str| Problem::new(written.spot, format!("`{}` cannot be the mark: {why}", field.name));
    if field.read_only {
        return Err(wrong("it cannot be written").hint("choose another field"));
    }
    if rows.iter().any(|row| row.fields(side).iter().any(|mapped| mapped.name == field.name)) {
        return Err(wrong("it is in the mapping, and the mark would travel to the other side")
            .hint("choose a field that is not synced, or `skip` it"));
    }
    if field.name == context.modules[side as usize].key_field {
        return Err(wrong("it holds our keys").hint("choose another field"));
    }
    fits(field, mark)?;
    Ok(Mark { field: field.name.clone(), kind: field.kind, value: mark.value.clone() })
}

/// Whether the field takes the value.
fn fits(field: &FieldInfo, mark: &MarkText) -> Result<(), Problem> {
    let wrong =
        |why: String| Problem::new(mark.value_spot, format!("`{}` does not take this value: {why}", field.name));
    match &mark.value {
        Value::Text(text) if field.kind == TEXT => {
            if field.length.is_some_and(|most| text.chars().count() > most as usize) {
                return Err(wrong(format!("it keeps {} characters", field.length.unwrap_or_default())));
            }
            let known = field.choices.iter().map(|choice| choice.value.as_str());
            if !field.choices.is_empty() && !known.clone().any(|value| value == text) {
                return Err(wrong("it is none of its choices".into()).nearest(text, known));
            }
            Ok(())
        }
        Value::Boolean(_) if field.kind == BOOLEAN => Ok(()),
        Value::Boolean(_) => Err(wrong("it is no checkbox".into()).hint("write a text in quotes")),
        _ => Err(wrong(format!("it holds no text but {}", field.native))
            .hint("choose a text field, or a checkbox with true")),
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::fixture::{SALES, left, right};
    use crate::flow::{Document, resolve};

    /// The mode and marks of each module, or what is wrong.
    fn told(from: &str, to: &str) -> Vec<String> {
        let text = SALES.replacen(from, to, 1);
        assert_ne!(text, SALES, "{from}");
        let document = match Document::parse(&text) {
            Ok(document) => document,
            Err(problems) => return problems.into_iter().map(|problem| problem.to_string()).collect(),
        };
        match resolve(&document, [&left(), &right()], &crate::flow::fixture::functions(), crate::flow::Misfit::Refuse) {
            Ok(pairs) => pairs
                .into_iter()
                .map(|pair| {
                    let marks =
                        pair.marks.iter().flatten().map(|mark| format!(" {}={}", mark.field, mark.value.display()));
                    format!("{:?}{}", pair.policy.deletes, marks.collect::<String>())
                })
                .collect(),
            Err(problems) => problems.into_iter().map(|problem| problem.to_string()).collect(),
        }
    }

    #[test]
    fn modes() {
        const REPORT: &str = "deletes      = \"report\"";
        assert_eq!(told(REPORT, "deletes = \"recycle\""), ["Recycle", "Recycle", "Recycle"]);
        assert_eq!(told(REPORT, ""), ["Report", "Report", "Report"]);
        let problems = told(REPORT, "deletes = \"never\"");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("it is one of \"report\", \"mark\", \"recycle\", \"delete\""), "{problems:?}");
        let problems = told(REPORT, "deletes = \"delete\"");
        assert!(problems[0].contains("recycle bin only"), "{problems:?}");
        let problems = told(REPORT, "deletes = \"mark\"");
        assert!(problems[0].contains("needs to know which field"), "{problems:?}");
    }

    #[test]
    fn one_module_may_differ() {
        let check = |lines: &str, expected: &[&str]| {
            assert_eq!(told("skip   = [\"Fax\"]", &format!("skip = [\"Fax\"]\n{lines}")), expected, "{lines}");
        };
        check("deletes = \"recycle\"", &["Report", "Report", "Recycle"]);
        check(
            "deletes = \"mark\"\nmark = { east = \"Fax\", west = \"fax\", value = \"Gone\" }",
            &["Report", "Report", "Mark Fax=Gone fax=Gone"],
        );
    }

    #[test]
    fn what_becomes_of_records_that_leave_the_filter() {
        let check = |lines: &str, expected: &str| {
            let found = told("skip   = [\"Fax\"]", &format!("skip = [\"Fax\"]\n{lines}"));
            assert!(found.iter().any(|found| found.contains(expected)), "{lines}: {found:#?}");
        };
        const FILTER: &str = "filter = { east = 'Last_Name is not empty' }\n";
        const MARK: &str = "mark = { east = \"Fax\", west = \"fax\", value = \"Gone\" }\n";
        check("when_it_leaves = \"recycle\"", "`when_it_leaves` is about a `filter`, and this module has none");
        check(&format!("{FILTER}when_it_leaves = \"delete\""), "`when_it_leaves` cannot be \"delete\"");
        check(
            &format!("{FILTER}when_it_leaves = \"mark\""),
            "`when_it_leaves` = \"mark\" needs to know which field to set",
        );
        check(&format!("{FILTER}when_it_leaves = \"recycle\""), "Report");
        // Only the records of the side that has no filter of its own here are ever marked.
        check(&format!("{FILTER}{MARK}when_it_leaves = \"mark\""), "Report fax=Gone");
    }

    #[test]
    fn a_mark_has_to_fit() {
        let check = |mark: &str, expected: &str| {
            let text = format!("skip = [\"Fax\"]\ndeletes = \"mark\"\nmark = {{ {mark} }}");
            let problems = told("skip   = [\"Fax\"]", &text);
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{mark}: {problems:#?}");
        };
        check("east = \"Fax\", value = \"Gone\"", "`mark` names no field of `west`");
        check("east = \"Fix\", west = \"fax\", value = \"Gone\"", "there is no field of `east` called `Fix`");
        check("east = \"Last_Name\", west = \"fax\", value = \"Gone\"", "it is in the mapping");
        check("east = \"Fax\", west = \"fax\", value = true", "it is no checkbox");
        check("east = \"Fax\", west = \"fax\", value = 7", "`value` must be a text, or true for a checkbox");
        check("east = \"Fax\", west = \"fax\"", "`mark` does not say what the field is to hold");
    }
}
