//! How values get to each side: the transform of a row, its opposite for the way back, and the tables that follow from picklists.
//!
//! Picklists of two CRMs rarely agree, and a value that the other side does not know must not become a new one there (many APIs accept
//! it silently). So a value goes by the row's table, then to an equal text among the other side's values, and else it is held back
//! with a reason. What follows from the picklists is no part of the row's hash: a new choice in a CRM is not a new mapping.

use std::collections::BTreeMap;

use crmsync_core::Side;
use crmsync_core::mapping::Carry;

use super::describe::{DECIMAL, FieldInfo, FunctionInfo, INTEGER, Inversion, TEXT};
use super::problem::{Problem, Spot, nearest};
use super::row::{Carrying, FunctionUse};

/// The plugin that every installation has, and its function for tables of values.
const STANDARD_PLUGIN: &str = "transforms";
const TABLE: &str = "table";

/// Values named in one message; the rest is counted.
const NAMED_MAX: usize = 5;

/// One way of a row, ready to be carried or as a table that picklists may still extend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As they are.
    AsIs,
    /// By a table.
    Table(BTreeMap<String, String>),
    /// By a function.
    Function(Carry),
}

impl Way {
    /// What the core is given.
    pub(super) fn into_carry(self) -> Option<Carry> {
        match self {
            Way::AsIs => None,
            Way::Table(values) => Some(Carry {
                plugin: STANDARD_PLUGIN.to_owned(),
                function: TABLE.to_owned(),
                settings: table_settings(&values),
            }),
            Way::Function(carry) => Some(carry),
        }
    }
}

fn table_settings(values: &BTreeMap<String, String>) -> String {
    serde_json::json!({ "values": values }).to_string()
}

/// The way to one side.
///
/// `stated` is what the row says of this way and `opposite` of the other one; `counts` are the fields read and given.
pub(super) fn way(
    stated: &Carrying,
    opposite: &Carrying,
    counts: (usize, usize),
    functions: &[FunctionInfo],
    spot: Spot,
) -> Result<Way, Problem> {
    let way = match stated {
        Carrying::AsIs => Way::AsIs,
        Carrying::Table(values) => Way::Table(values.clone()),
        Carrying::Function(written) => Way::Function(function(written, counts, functions)?),
        Carrying::Unstated => match opposite {
            Carrying::Unstated | Carrying::AsIs => Way::AsIs,
            Carrying::Table(values) => Way::Table(inverse_table(values, spot)?),
            Carrying::Function(written) => Way::Function(inverse_function(written, counts, functions)?),
        },
    };
    if let (Way::Table(_), (inputs, outputs)) = (&way, counts)
        && (inputs, outputs) != (1, 1)
    {
        return Err(Problem::new(spot, "`values` is for one field on each side"));
    }
    Ok(way)
}

/// S12: what loses information needs a rule for the way back.
fn one_way_only(spot: Spot, why: String) -> Problem {
    Problem::new(spot, why).hint("say how with `back`, or make the row one-way with `direction`")
}

fn inverse_table(values: &BTreeMap<String, String>, spot: Spot) -> Result<BTreeMap<String, String>, Problem> {
    let mut inverse: BTreeMap<String, String> = BTreeMap::new();
    for (value, counterpart) in values {
        if let Some(other) = inverse.insert(counterpart.clone(), value.clone()) {
            let why =
                format!("`{other}` and `{value}` both become `{counterpart}`, so `{counterpart}` has no way back");
            return Err(one_way_only(spot, why));
        }
    }
    Ok(inverse)
}

fn inverse_function(
    written: &FunctionUse,
    counts: (usize, usize),
    functions: &[FunctionInfo],
) -> Result<Carry, Problem> {
    let forth = find(written, functions)?;
    if forth.inversion == Inversion::No || forth.inverse.is_empty() {
        return Err(one_way_only(
            written.spot,
            format!("`{}` cannot be undone, and the row goes both ways", written.name),
        ));
    }
    let name = format!("{}/{}", forth.plugin, forth.inverse);
    function(&FunctionUse { name, ..written.clone() }, counts, functions)
}

fn function(written: &FunctionUse, counts: (usize, usize), functions: &[FunctionInfo]) -> Result<Carry, Problem> {
    let info = find(written, functions)?;
    let checks = [("reads", counts.0, info.inputs), ("gives", counts.1, info.outputs)];
    for (verb, count, (least, most)) in checks {
        if !(usize::from(least)..=usize::from(most)).contains(&count) {
            let allowed = match (least, most) {
                (least, most) if least == most => fields_of(usize::from(most)),
                (least, most) => format!("{least} to {}", fields_of(usize::from(most))),
            };
            let message = format!("`{}` {verb} {allowed}, and the row has {count}", written.name);
            return Err(Problem::new(written.spot, message));
        }
    }
    Ok(Carry { plugin: info.plugin.clone(), function: info.name.clone(), settings: written.settings.clone() })
}

fn find<'a>(written: &FunctionUse, functions: &'a [FunctionInfo]) -> Result<&'a FunctionInfo, Problem> {
    let (plugin, name) = match written.name.split_once('/') {
        Some((plugin, name)) => (Some(plugin), name),
        None => (None, written.name.as_str()),
    };
    let found: Vec<&FunctionInfo> = functions
        .iter()
        .filter(|function| function.name == name && plugin.is_none_or(|plugin| function.plugin == plugin))
        .collect();
    match found[..] {
        [only] => Ok(only),
        [] => {
            let known = functions.iter().filter(|function| plugin.is_none_or(|plugin| function.plugin == plugin));
            let problem = Problem::new(written.spot, format!("there is no transform `{}`", written.name));
            Err(problem.nearest(name, known.map(|function| function.name.as_str())))
        }
        _ => {
            let names = found.iter().map(|function| format!("`{}/{name}`", function.plugin)).collect::<Vec<_>>();
            let problem = Problem::new(written.spot, format!("several plugins have a transform `{name}`"));
            Err(problem.hint(format!("use {}", names.join(" or "))))
        }
    }
}

/// The fields of one row on its way to one side.
pub(super) struct Journey<'a> {
    /// The side that is written.
    pub(super) to: Side,
    /// Names of the connections, left first.
    pub(super) connections: [&'a str; 2],
    /// Fields that are read.
    pub(super) read: &'a [&'a FieldInfo],
    /// Fields that are written.
    pub(super) written: &'a [&'a FieldInfo],
}

impl Journey<'_> {
    fn name(&self, field: &FieldInfo, side: Side) -> String {
        format!("`{}` of `{}`", field.name, self.connections[side as usize])
    }

    /// Values that are not changed on the way must fit the fields they get to.
    pub(super) fn check_kinds(&self, way: &Way, spot: Spot) -> Result<(), Problem> {
        if matches!(way, Way::Function(_)) {
            return Ok(());
        }
        if self.read.len() != self.written.len() {
            let message = format!(
                "{} of `{}` cannot become {} of `{}` as they are",
                fields_of(self.read.len()),
                self.connections[self.to.other() as usize],
                self.written.len(),
                self.connections[self.to as usize]
            );
            return Err(Problem::new(spot, message).hint("name a transform for each way with `to-…`"));
        }
        for (from, to) in self.read.iter().zip(self.written) {
            let kind = if matches!(way, Way::Table(_)) { TEXT } else { from.kind };
            if kind != to.kind && (kind, to.kind) != (INTEGER, DECIMAL) {
                let message = format!(
                    "{} ({}) cannot become {} ({}) as it is",
                    self.name(from, self.to.other()),
                    kind_name(kind),
                    self.name(to, self.to),
                    kind_name(to.kind)
                );
                return Err(Problem::new(spot, message).hint(format!(
                    "name a transform with `to-{}`, or map another field",
                    self.connections[self.to as usize]
                )));
            }
        }
        Ok(())
    }

    /// Extends a way by what the picklists of both fields say. Also gives warnings about values that will be held back.
    ///
    /// `trusted` keeps counterparts that the written field does not list: the person who wrote them may know better than the
    /// CRM's description. A preset does not.
    pub(super) fn with_choices(&self, way: Way, trusted: bool, spot: Spot) -> (Way, Vec<Problem>) {
        let ([from], [to]) = (self.read, self.written) else { return (way, Vec::new()) };
        let mut table = match way {
            Way::Table(table) => table,
            Way::AsIs if to.kind == TEXT && !to.choices.is_empty() => BTreeMap::new(),
            way => return (way, Vec::new()),
        };
        let mut warnings = Vec::new();
        if !to.choices.is_empty() {
            let listed = |value: &String| to.choices.iter().any(|choice| choice.value == *value);
            if trusted {
                let strange: Vec<&str> = table.values().filter(|value| !listed(value)).map(String::as_str).collect();
                if !strange.is_empty() {
                    let message = format!("{} does not list {}", self.name(to, self.to), named_values(&strange));
                    warnings.push(Problem::new(spot, message).hint("check the spelling, or add the value in the CRM"));
                }
            } else {
                table.retain(|_, counterpart| listed(counterpart));
            }
            let sources = if from.choices.is_empty() { &to.choices } else { &from.choices };
            for choice in sources {
                let equal = to.choices.iter().find(|other| other.value == choice.value);
                let equal = equal.or_else(|| to.choices.iter().find(|other| other.label == choice.label));
                if let Some(equal) = equal {
                    table.entry(choice.value.clone()).or_insert_with(|| equal.value.clone());
                }
            }
        }
        let gaps: Vec<&str> = from
            .choices
            .iter()
            .map(|choice| choice.value.as_str())
            .filter(|value| !table.contains_key(*value))
            .collect();
        if !gaps.is_empty() {
            let message = format!(
                "{} has values without a counterpart in {}: {}",
                self.name(from, self.to.other()),
                self.name(to, self.to),
                named_values(&gaps)
            );
            warnings.push(Problem::new(spot, message).hint(self.row_for(from, to, &gaps)));
        }
        (Way::Table(table), warnings)
    }
}

impl Journey<'_> {
    /// The row that maps these values, ready to be filled in: nearest values where some are near, `…` elsewhere.
    fn row_for(&self, from: &FieldInfo, to: &FieldInfo, gaps: &[&str]) -> String {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let pairs = gaps.iter().take(NAMED_MAX).map(|value| {
            let near = nearest(value, to.choices.iter().map(|choice| choice.value.as_str())).unwrap_or("…");
            let (left, right) = if self.to == Side::Right { (*value, near) } else { (near, *value) };
            format!("{} = {}", quoted(left), quoted(right))
        });
        let pairs: Vec<String> = pairs.collect();
        let (left, right) = if self.to == Side::Right { (from, to) } else { (to, from) };
        format!(
            "they are left out and reported; to map them: [[module.field]] {} = {}, {} = {}, values = {{ {} }}",
            self.connections[0],
            quoted(&left.name),
            self.connections[1],
            quoted(&right.name),
            pairs.join(", ")
        )
    }
}

fn fields_of(count: usize) -> String {
    if count == 1 { "1 field".to_owned() } else { format!("{count} fields") }
}

fn named_values(values: &[&str]) -> String {
    let mut named = values.iter().take(NAMED_MAX).map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
    if values.len() > NAMED_MAX {
        named.push_str(&format!(" and {} more", values.len() - NAMED_MAX));
    }
    named
}

/// What people call a kind of the contract.
pub(super) fn kind_name(kind: u8) -> &'static str {
    match kind {
        2 => "text",
        3 => "whole number",
        4 => "decimal number",
        5 => "yes or no",
        6 => "date",
        7 => "date and time without zone",
        8 => "time of day",
        9 => "date and time",
        10 => "reference",
        11 => "list",
        12 => "rows",
        _ => "of unknown kind",
    }
}
