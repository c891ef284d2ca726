//! The catalogue of functions, and what one of them does to one row.

use std::borrow::Cow;

use crmsync_plugin::{Cell, FunctionInfo, Step, time};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::parts::{Join, Split};
use crate::table::Table;
use crate::{name, phone, text};

/// Complaint about text that did not parse as its column's kind: no function touches it.
const DID_NOT_PARSE: &str = "did-not-parse";

/// One use of a function, its settings read.
pub(crate) enum Function {
    Trim { collapse: bool },
    PersonName,
    PhoneDigits,
    EmailLower,
    Table(Table),
    Join(Join),
    Split(Split),
    Constant(String),
}

/// One cell that a function made: a value of its input, or text of its own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Made<'a> {
    Cell(Cell<'a>),
    Text(String),
}

impl Made<'_> {
    pub(crate) const ABSENT: Made<'static> = Made::Cell(Cell::Absent);

    pub(crate) fn cell(&self) -> Cell<'_> {
        match self {
            Made::Cell(cell) => *cell,
            Made::Text(text) => Cell::text_or_empty(text),
        }
    }
}

impl<'a> From<Cow<'a, str>> for Made<'a> {
    fn from(text: Cow<'a, str>) -> Made<'a> {
        match text {
            Cow::Borrowed(text) => Made::Cell(Cell::text_or_empty(text)),
            Cow::Owned(text) => Made::Text(text),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrimSettings {
    #[serde(default)]
    collapse: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConstantSettings {
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoSettings {}

impl Function {
    /// The function that a step names, with the step's settings. The error is for the person who wrote the mapping.
    pub(crate) fn of_step(step: &Step) -> Result<Function, String> {
        let name = step.function.as_str();
        let Some(info) = catalogue().into_iter().find(|info| info.name == name) else {
            return Err(format!("there is no function `{name}`"));
        };
        check_count(name, "reads", step.inputs.len(), info.inputs_min, info.inputs_max)?;
        check_count(name, "gives", step.outputs.len(), info.outputs_min, info.outputs_max)?;
        Ok(match name {
            "trim" => Function::Trim { collapse: settings::<TrimSettings>(step)?.collapse },
            "table" => Function::Table(Table::forth(settings(step)?)?),
            "table-back" => Function::Table(Table::back(settings(step)?)?),
            "join" => Function::Join(settings(step)?),
            "split" => Function::Split(Split::new(settings(step)?)?),
            "constant" => Function::Constant(settings::<ConstantSettings>(step)?.value),
            _ => {
                settings::<NoSettings>(step)?;
                match name {
                    "person-name" => Function::PersonName,
                    "phone-digits" => Function::PhoneDigits,
                    _ => Function::EmailLower,
                }
            }
        })
    }

    /// Appends what the function makes of one row to `made`, one cell for each of its outputs, or gives the reason why it makes none.
    pub(crate) fn run<'a>(
        &self,
        inputs: &[Cell<'a>],
        outputs: usize,
        made: &mut Vec<Made<'a>>,
    ) -> Result<(), &'static str> {
        if inputs.iter().any(|cell| matches!(cell, Cell::Raw(_))) {
            return Err(DID_NOT_PARSE);
        }
        // Rule 4, absent is not empty: what was not read cannot be part of a value.
        if inputs.contains(&Cell::Absent) {
            made.resize(outputs, Made::ABSENT);
            return Ok(());
        }
        let first = inputs.first().copied().unwrap_or(Cell::Empty);
        match self {
            Function::Constant(value) if first == Cell::Empty => made.push(Made::Text(value.clone())),
            Function::Constant(_) => made.push(Made::Cell(first)),
            Function::Join(join) => {
                made.push(Made::Text(join.apply(inputs.iter().filter_map(|&cell| spelling(cell)))));
            }
            _ if first == Cell::Empty => made.resize(outputs, Made::Cell(Cell::Empty)),
            Function::Split(split) => {
                let text = spelling(first).unwrap_or_default();
                made.extend(split.apply(&text, outputs)?.into_iter().map(Made::Text));
                made.resize(outputs, Made::Cell(Cell::Empty));
            }
            Function::Table(table) => {
                let text = spelling(first).unwrap_or_default();
                let counterpart = table.apply(&text)?;
                made.push(counterpart.map_or(Made::Cell(first), |text| Made::Text(text.to_owned())));
            }
            Function::PhoneDigits => {
                made.push(Made::Text(phone::digits(&spelling(first).unwrap_or_default())?));
            }
            Function::Trim { collapse } => made.push(respell(first, |text| text::trim(text, *collapse))),
            Function::PersonName => made.push(respell(first, name::person_name)),
            Function::EmailLower => made.push(respell(first, text::email_lower)),
        }
        Ok(())
    }
}

/// Applies a rule of spelling to text; everything else has no spelling to change.
fn respell<'a>(cell: Cell<'a>, rule: impl Fn(&'a str) -> Cow<'a, str>) -> Made<'a> {
    match cell {
        Cell::Text(text) => rule(text).into(),
        other => Made::Cell(other),
    }
}

/// How a value is spelled where text is needed; none if there is no value.
fn spelling(cell: Cell<'_>) -> Option<Cow<'_, str>> {
    Some(match cell {
        Cell::Absent | Cell::Empty => return None,
        Cell::Integer(number) => number.to_string().into(),
        Cell::Boolean(yes) => if yes { "true" } else { "false" }.into(),
        Cell::Date(days) => time::format_date(days).into(),
        Cell::LocalDateTime(micros) => time::format_local(micros).into(),
        Cell::Time(micros) => time::format_time(micros).into(),
        Cell::Instant(micros) => time::format_instant(micros).into(),
        Cell::Text(text)
        | Cell::Decimal(text)
        | Cell::Reference(text)
        | Cell::List(text)
        | Cell::Rows(text)
        | Cell::Raw(text) => text.into(),
    })
}

fn settings<T: DeserializeOwned>(step: &Step) -> Result<T, String> {
    let text = if step.settings.is_empty() { "{}" } else { &step.settings };
    serde_json::from_str(text).map_err(|error| format!("the settings of `{}`: {error}", step.function))
}

fn check_count(name: &str, verb: &str, count: usize, least: u8, most: u8) -> Result<(), String> {
    if (usize::from(least)..=usize::from(most)).contains(&count) {
        return Ok(());
    }
    let allowed = match (least, most) {
        (1, 1) => "1 field".to_owned(),
        (least, most) if least == most => format!("{least} fields"),
        (least, most) => format!("{least} to {most} fields"),
    };
    Err(format!("`{name}` {verb} {allowed}, not {count}"))
}

const TRIM_SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"properties":{
"collapse":{"type":"boolean","default":false,"title":"Collapse inner blanks","description":"Make one blank of several, and of line breaks."}}}"#;

const TABLE_SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"required":["values"],"properties":{
"values":{"type":"object","additionalProperties":{"type":"string"},"title":"Values","description":"For each value its counterpart."},
"default":{"enum":[null,"keep"],"default":null,"title":"Without counterpart","description":"Leave the field out and report it, or keep the value as it is, unless it is the counterpart of another one."}}}"#;

const JOIN_SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"properties":{
"separator":{"type":"string","default":" ","title":"Separator","description":"Stands between two parts; empty parts are left out."}}}"#;

const SPLIT_SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"required":["separator"],"properties":{
"separator":{"type":"string","minLength":1,"title":"Separator","description":"Where the text is cut; the last field takes what remains."}}}"#;

const CONSTANT_SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"required":["value"],"properties":{
"value":{"type":"string","title":"Value","description":"The text to use; with a field to read, only where that field is empty."}}}"#;

/// All functions, as mappings can name them.
pub(crate) fn catalogue() -> Vec<FunctionInfo> {
    let info = |name: &str, inputs: (u8, u8), outputs: (u8, u8), inverse: (&str, &str), schema: &str, summary: &str| {
        FunctionInfo {
            name: name.to_owned(),
            summary: summary.to_owned(),
            inputs_min: inputs.0,
            inputs_max: inputs.1,
            outputs_min: outputs.0,
            outputs_max: outputs.1,
            inversion: inverse.0.to_owned(),
            inverse: inverse.1.to_owned(),
            settings_schema: schema.to_owned(),
        }
    };
    let one = (1, 1);
    vec![
        info("trim", one, one, ("stable", "trim"), TRIM_SCHEMA, "Removes blanks at both ends."),
        info(
            "person-name",
            one,
            one,
            ("stable", "person-name"),
            "",
            "Removes surplus blanks, and writes names in capitals or in small letters with a capital at each part.",
        ),
        info(
            "phone-digits",
            one,
            one,
            ("stable", "phone-digits"),
            "",
            "Keeps a phone number's digits, a leading + (also for 00) and an extension as x123; of several numbers none.",
        ),
        info(
            "email-lower",
            one,
            one,
            ("stable", "email-lower"),
            "",
            "Removes blanks at both ends and writes small letters.",
        ),
        info(
            "table",
            one,
            one,
            ("exact", "table-back"),
            TABLE_SCHEMA,
            "Replaces a value by its counterpart in a table.",
        ),
        info(
            "table-back",
            one,
            one,
            ("exact", "table"),
            TABLE_SCHEMA,
            "Reads the same table backwards; refused if two values have one counterpart.",
        ),
        info("join", (1, 16), one, ("no", ""), JOIN_SCHEMA, "Joins the parts that are not empty."),
        info("split", one, (1, 16), ("exact", "join"), SPLIT_SCHEMA, "Cuts a text at a separator."),
        info("constant", (0, 1), one, ("no", ""), CONSTANT_SCHEMA, "Gives one text, or fills an empty field with it."),
    ]
}
