//! One `[[module]]` of a flow file.

use crmsync_core::{DeletePolicy, Direction, LeavePolicy};
use toml::de::DeTable;

use super::deletes::{self, MarkText};
use super::document::read_records_from;
use super::filter;
use super::problem::{Placed, Problem, Spot};
use super::reader::Reader;
use super::row::{self, Row};

/// Most rows that a module lists itself.
const ROWS_MAX: usize = 500;

/// Which rows a module begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldSet {
    /// Those of the bundled preset for the two plugins and modules.
    Default,
    /// None: only what the file lists.
    None,
}

/// One match rule as written, such as `email + last name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchText {
    /// The rule, blanks tidied.
    pub label: String,
    /// Its parts: API names, labels or meanings of fields.
    pub parts: Vec<String>,
    /// Where it stands.
    pub spot: Spot,
}

/// One module of each side, and what is to be done with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModulePair {
    /// API name or label of the module on each side, left first.
    pub names: [Placed<String>; 2],
    /// The rows to begin with.
    pub fields: FieldSet,
    /// Fields (API names or labels of either side) whose preset rows are left out.
    pub skip: Vec<Placed<String>>,
    /// Match rules, strongest first; none takes the preset's.
    pub match_rules: Option<Vec<MatchText>>,
    /// Which way records travel; none is switched off.
    pub direction: Option<Direction>,
    /// Which records of each side are synced, left first; none is all.
    pub filters: [Option<filter::Written>; 2],
    /// What becomes of the other record when one leaves the filter.
    pub when_it_leaves: Option<Placed<LeavePolicy>>,
    /// Records changed before this moment (milliseconds since 1970) join only when edited; the outer none is the flow's, the inner one
    /// syncs all.
    pub records_from_ms: Option<Option<i64>>,
    /// What a delete means, if not what the flow says.
    pub deletes: Option<Placed<DeletePolicy>>,
    /// Where records say that the other side's was deleted, if not where the flow says.
    pub mark: Option<MarkText>,
    /// The person's own rows.
    pub rows: Vec<Row>,
    /// Where the module stands.
    pub spot: Spot,
}

impl ModulePair {
    /// Whether both sides of the module are written, so that both can have changed one field.
    pub fn goes_both_ways(&self) -> bool {
        self.direction == Some(Direction::Both)
    }
}

pub(super) const KEYS: [&str; 10] =
    ["fields", "skip", "match", "direction", "filter", "when_it_leaves", "records_from", "deletes", "mark", "field"];

/// Whether a word is a key of a module or row and so cannot be a connection's name.
pub(super) fn is_key(word: &str) -> bool {
    KEYS.contains(&word) || row::KEYS.contains(&word)
}

/// Reads one module; `between` are the words that name the sides. None if it does not even say which modules.
pub(super) fn read(reader: &mut Reader<'_>, table: &DeTable<'_>, spot: Spot, between: [&str; 2]) -> Option<ModulePair> {
    let [left, right] = between;
    reader.known_keys(table, &[&[left, right], &KEYS[..]].concat());
    let names = between.map(|connection| {
        if !table.contains_key(connection) {
            let problem = Problem::new(spot, format!("the module of `{connection}` is missing"));
            reader.note(problem.hint(format!("add {connection} = \"…\"; see: crmsync connection fields {connection}")));
        }
        reader.text(table, connection)
    });
    let fields = reader.word(table, "fields", &[("default", FieldSet::Default), ("none", FieldSet::None)]);
    let (to_left, to_right) = (format!("to-{left}"), format!("to-{right}"));
    let directions = [
        ("both", Some(Direction::Both)),
        (to_left.as_str(), Some(Direction::ToLeft)),
        (to_right.as_str(), Some(Direction::ToRight)),
        ("off", None),
    ];
    let direction = reader.word(table, "direction", &directions);
    let skip = reader.texts(table, "skip").unwrap_or_default();
    let fields = fields.map_or(FieldSet::Default, |fields| fields.value);
    if let (FieldSet::None, Some(first)) = (fields, skip.first()) {
        let problem = Problem::new(first.spot, "`skip` leaves out default fields, and `fields` is \"none\"");
        reader.note(problem.hint("remove `skip`"));
    }
    let match_rules = read_match(reader, table);
    let filters = read_filters(reader, table, between);
    let when_it_leaves = deletes::read_when_it_leaves(reader, table, filters.iter().any(Option::is_some));
    let records_from_ms = table.contains_key("records_from").then(|| read_records_from(reader, table));
    let deletes = deletes::read(reader, table);
    let mark = deletes::read_mark(reader, table, between);
    let tables = reader.tables(table, "field");
    if let Some(first_too_many) = tables.get(ROWS_MAX) {
        reader.note(Problem::new(first_too_many.spot, format!("a module has at most {ROWS_MAX} rows")));
    }
    let rows =
        tables.iter().take(ROWS_MAX).filter_map(|table| row::read(reader, table.value, table.spot, between)).collect();
    let [Some(left), Some(right)] = names else { return None };
    Some(ModulePair {
        names: [left, right],
        fields,
        skip,
        match_rules,
        filters,
        when_it_leaves,
        records_from_ms,
        direction: direction.map_or(Some(Direction::Both), |direction| direction.value),
        deletes,
        mark,
        rows,
        spot,
    })
}

/// `filter`, one condition for each side.
fn read_filters(reader: &mut Reader<'_>, table: &DeTable<'_>, between: [&str; 2]) -> [Option<filter::Written>; 2] {
    let Some(filters) = reader.table(table, "filter") else { return [None, None] };
    reader.known_keys(filters, &between);
    between.map(|connection| {
        let written = reader.text(filters, connection)?;
        match filter::parse(&written) {
            Ok(filter) => Some(filter),
            Err(problem) => {
                reader.note(problem);
                None
            }
        }
    })
}

fn read_match(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Option<Vec<MatchText>> {
    let written = reader.texts(table, "match")?;
    let mut rules = Vec::new();
    for Placed { value, spot } in written {
        let parts: Vec<String> = value.split('+').map(|part| part.trim().to_owned()).collect();
        if parts.iter().any(String::is_empty) {
            let problem = Problem::new(spot, format!("`match`: \"{value}\" has an empty part"));
            reader.note(problem.hint("write fields joined by +, such as \"email + last name\""));
            continue;
        }
        rules.push(MatchText { label: parts.join(" + "), parts, spot });
    }
    Some(rules)
}
