//! One `[[module.field]]`: a row of the mapping as a person, or a preset, writes it.

use std::collections::BTreeMap;

use crmsync_core::mapping::Sameness;
use crmsync_core::{Direction, Value, Winner};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::read_winner;
use super::problem::{Placed, Problem, Spot};
use super::reader::Reader;

/// Most fields of one side in one row.
const ROW_FIELDS_MAX: usize = 16;

/// One use of a transform as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionUse {
    /// `function`, or `plugin/function` where several plugins have one of that name.
    pub name: String,
    /// Settings as JSON with sorted keys, or "".
    pub settings: String,
    /// Where it stands.
    pub spot: Spot,
}

/// How values get to one side, as far as the row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carrying {
    /// Not said: the opposite of the way to the other side, or as they are.
    Unstated,
    /// As they are, said so.
    AsIs,
    /// By this table.
    Table(BTreeMap<String, String>),
    /// By a transform.
    Function(FunctionUse),
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// API names or labels of the fields on each side, left first, at least one each; with a constant none on one of them.
    pub fields: [Vec<Placed<String>>; 2],
    /// What new records of the side that has a field are given.
    pub constant: Option<Placed<Value>>,
    /// How values get to the left side and to the right side.
    pub carry: [Carrying; 2],
    /// Which way values travel; none is the module's.
    pub direction: Option<Placed<Direction>>,
    /// Whose value stays when both changed; none is the flow's winner.
    pub winner: Option<Placed<Winner>>,
    /// When both sides mean the same.
    pub sameness: Sameness,
    /// Where the row stands.
    pub spot: Spot,
}

impl Row {
    /// The same row for a flow that names the sides the other way round.
    pub fn flipped(mut self) -> Row {
        self.fields.swap(0, 1);
        self.carry.swap(0, 1);
        if let Some(direction) = &mut self.direction {
            direction.value = match direction.value {
                Direction::Both => Direction::Both,
                Direction::ToLeft => Direction::ToRight,
                Direction::ToRight => Direction::ToLeft,
            };
        }
        if let Some(Placed { value: Winner::Side(side), .. }) = &mut self.winner {
            *side = side.other();
        }
        self
    }

    /// The row as written, for people: its left fields, `=`, its right fields.
    pub fn written(&self) -> String {
        let names =
            |fields: &[Placed<String>]| fields.iter().map(|field| field.value.as_str()).collect::<Vec<_>>().join("+");
        format!("{}={}", names(&self.fields[0]), names(&self.fields[1]))
    }
}

/// Keys of a row besides the connections' names and `to-…`.
pub(super) const KEYS: [&str; 7] = ["values", "back", "transform", "direction", "winner", "same", "constant"];

const SAMENESS: [(&str, Sameness); 5] = [
    ("text", Sameness::Text),
    ("name", Sameness::Name),
    ("email", Sameness::Email),
    ("phone", Sameness::Phone),
    ("website", Sameness::Website),
];

/// Reads one row; none if it does not name fields on both sides.
pub(super) fn read(reader: &mut Reader<'_>, table: &DeTable<'_>, spot: Spot, between: [&str; 2]) -> Option<Row> {
    let [left, right] = between;
    let ways = between.map(|connection| format!("to-{connection}"));
    reader.known_keys(table, &[&[left, right, &ways[0], &ways[1]], &KEYS[..]].concat());
    if let Some(value) = table.get("constant") {
        return read_constant(reader, table, value, spot, between);
    }
    let fields = between.map(|connection| {
        if !table.contains_key(connection) {
            let problem = Problem::new(spot, format!("the field of `{connection}` is missing"));
            reader.note(problem.hint(format!("add {connection} = \"…\"; see: crmsync connection fields {connection}")));
        }
        let fields = reader.texts(table, connection)?;
        check_fields(reader, connection, spot, &fields);
        Some(fields)
    });
    let directions =
        [("both", Direction::Both), (ways[0].as_str(), Direction::ToLeft), (ways[1].as_str(), Direction::ToRight)];
    let direction = reader.word(table, "direction", &directions);
    let winner = read_winner(reader, table, between, true);
    let sameness = reader.word(table, "same", &SAMENESS);
    let carry = read_carry(reader, table, &ways);
    let [Some(left), Some(right)] = fields else { return None };
    Some(Row {
        fields: [left, right],
        constant: None,
        carry,
        direction,
        winner,
        sameness: sameness.map_or(Sameness::Text, |sameness| sameness.value),
        spot,
    })
}

/// `constant`: one field of one side, and the value that new records are given there.
fn read_constant(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    value: &Spanned<DeValue<'_>>,
    spot: Spot,
    between: [&str; 2],
) -> Option<Row> {
    for key in KEYS.iter().filter(|key| **key != "constant" && table.contains_key(**key)) {
        let at = table.get(*key).map_or(spot, |value| reader.spot_of(value));
        let problem = Problem::new(at, format!("a row with a `constant` has no `{key}`"));
        reader.note(problem.hint("it only gives new records a value"));
    }
    let named: Vec<&str> = between.into_iter().filter(|connection| table.contains_key(*connection)).collect();
    if named.len() != 1 {
        let problem = Problem::new(spot, "a row with a `constant` names one field of one side");
        reader.note(problem.hint(format!("keep {} = \"…\" or {} = \"…\"", between[0], between[1])));
        return None;
    }
    let value_spot = reader.spot_of(value);
    let given = match value.get_ref() {
        DeValue::String(text) if !text.trim().is_empty() => Some(Value::text(text.trim())),
        DeValue::Boolean(yes) => Some(Value::Boolean(*yes)),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::Integer),
        DeValue::Float(number) => Some(Value::Decimal(number.as_str().to_owned())),
        DeValue::Datetime(date) => super::filter::days_of(&date.to_string()).map(Value::Date),
        _ => None,
    };
    let Some(given) = given else {
        reader.note(Problem::new(value_spot, "`constant` must be a text, a number, true or false, or a date"));
        return None;
    };
    let fields = between.map(|connection| reader.text(table, connection).into_iter().collect::<Vec<_>>());
    if fields.iter().all(Vec::is_empty) {
        return None;
    }
    let to = if fields[0].is_empty() { Direction::ToRight } else { Direction::ToLeft };
    Some(Row {
        fields,
        constant: Some(Placed { value: given, spot: value_spot }),
        carry: [Carrying::Unstated, Carrying::Unstated],
        direction: Some(Placed { value: to, spot }),
        winner: None,
        sameness: Sameness::Text,
        spot,
    })
}

fn check_fields(reader: &mut Reader<'_>, connection: &str, row: Spot, fields: &[Placed<String>]) {
    if !(1..=ROW_FIELDS_MAX).contains(&fields.len()) {
        let spot = fields.first().map_or(row, |field| field.spot);
        reader.note(Problem::new(spot, format!("`{connection}` must name 1 to {ROW_FIELDS_MAX} fields")));
    }
    for (index, field) in fields.iter().enumerate() {
        if fields[..index].iter().any(|earlier| earlier.value == field.value) {
            reader.note(Problem::new(field.spot, format!("`{connection}` names `{}` twice", field.value)));
        }
    }
}

/// The ways in which values get to the left and to the right side. A row states one of: a table (`values`), one function for both
/// ways (`transform`), or a function for each way (`to-…`); and with the first two, how values get `back`.
fn read_carry(reader: &mut Reader<'_>, table: &DeTable<'_>, ways: &[String; 2]) -> [Carrying; 2] {
    let stated: Vec<&str> = ["values", "transform", ways[0].as_str(), ways[1].as_str()]
        .into_iter()
        .filter(|key| table.contains_key(*key))
        .collect();
    if let [first, second, ..] = stated[..]
        && (first == "values" || first == "transform")
    {
        let spot = table.get(second).map_or_else(Spot::default, |value| reader.spot_of(value));
        let problem = Problem::new(spot, format!("a row has either `{first}` or `{second}`"));
        reader.note(problem.hint(format!("keep one of them, or use `{}` and `{}`", ways[0], ways[1])));
    }
    if let Some(values) = reader.table(table, "values") {
        return read_values(reader, table, values);
    }
    let [mut to_left, mut to_right] = [ways[0].as_str(), ways[1].as_str()].map(|way| read_function(reader, table, way));
    if table.contains_key("transform") {
        to_right = read_function(reader, table, "transform");
    }
    read_back_of_function(reader, table, &mut to_left, &mut to_right);
    [to_left, to_right]
}

fn read_function(reader: &mut Reader<'_>, table: &DeTable<'_>, key: &str) -> Carrying {
    let Some(value) = table.get(key) else { return Carrying::Unstated };
    let spot = reader.spot_of(value);
    let function = match value.get_ref() {
        DeValue::Table(inner) => {
            reader.known_keys(inner, &["function", "settings"]);
            if !inner.contains_key("function") {
                let problem = Problem::new(spot, format!("`{key}` does not name a function"));
                reader.note(problem.hint("write { function = \"…\", settings = { … } }"));
            }
            let settings = reader.table(inner, "settings").map(|settings| json_table(reader, settings));
            let settings = settings.filter(|settings| !settings.is_empty());
            reader.text(inner, "function").map(|name| FunctionUse {
                name: name.value,
                settings: settings.map_or_else(String::new, |settings| serde_json::Value::Object(settings).to_string()),
                spot: name.spot,
            })
        }
        DeValue::String(_) => {
            reader.text_of(key, value).map(|name| FunctionUse { name: name.value, settings: String::new(), spot })
        }
        _ => {
            reader.wrong_type(key, "a function's name or a table", value);
            None
        }
    };
    function.map_or(Carrying::Unstated, Carrying::Function)
}

/// `back` beside a function: only `"keep"` says something that `to-…` does not.
fn read_back_of_function(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    to_left: &mut Carrying,
    to_right: &mut Carrying,
) {
    let Some(back) = table.get("back") else { return };
    let spot = reader.spot_of(back);
    let other_way = match (&*to_left, &*to_right) {
        (Carrying::Unstated, Carrying::Function(_)) => to_left,
        (Carrying::Function(_), Carrying::Unstated) => to_right,
        _ => {
            let problem = Problem::new(spot, "`back` needs `values`, `transform` or one `to-…` to be the way back of");
            reader.note(problem);
            return;
        }
    };
    if back.get_ref().as_str() == Some("keep") {
        *other_way = Carrying::AsIs;
    } else {
        let problem =
            Problem::new(spot, "beside a function `back` can only be \"keep\": values travel back as they are");
        reader.note(problem.hint("for another way back name a function for each way with `to-…`"));
    }
}

/// `values` reads left to right; `back` says how right values become left ones where the table alone does not tell.
fn read_values(reader: &mut Reader<'_>, row: &DeTable<'_>, values: &DeTable<'_>) -> [Carrying; 2] {
    let forth = reader.text_table("values", values);
    let to_left = match row.get("back") {
        None => Carrying::Unstated,
        Some(back) => read_back_of_values(reader, back, &forth),
    };
    [to_left, Carrying::Table(to_map(forth))]
}

fn read_back_of_values(
    reader: &mut Reader<'_>,
    back: &Spanned<DeValue<'_>>,
    forth: &[(Placed<String>, Placed<String>)],
) -> Carrying {
    match back.get_ref() {
        DeValue::String(word) if word == "keep" => Carrying::AsIs,
        DeValue::String(word) if word == "table" => {
            // Where several values share a counterpart, the first one in the file is the way back.
            let mut inverse = BTreeMap::new();
            for (value, counterpart) in forth {
                inverse.entry(counterpart.value.clone()).or_insert_with(|| value.value.clone());
            }
            Carrying::Table(inverse)
        }
        DeValue::Table(table) => Carrying::Table(to_map(reader.text_table("back", table))),
        _ => {
            let problem = Problem::new(reader.spot_of(back), "`back` must be \"table\", \"keep\" or a table of values");
            reader.note(problem.hint(
                "\"table\" reads `values` backwards, the first of several; \"keep\" lets values travel as they are",
            ));
            Carrying::Unstated
        }
    }
}

fn to_map(pairs: Vec<(Placed<String>, Placed<String>)>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(value, counterpart)| (value.value, counterpart.value)).collect()
}

/// Settings of a function as JSON. Keys are sorted, so that their order in the file means nothing.
fn json_table(reader: &mut Reader<'_>, table: &DeTable<'_>) -> serde_json::Map<String, serde_json::Value> {
    let mut entries = Reader::entries(table);
    entries.sort_by(|(left, _), (right, _)| left.get_ref().cmp(right.get_ref()));
    let json = entries.into_iter().map(|(key, value)| (key.get_ref().clone().into_owned(), json(reader, value)));
    json.collect()
}

fn json(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> serde_json::Value {
    let number = match value.get_ref() {
        DeValue::String(text) => return text.as_ref().into(),
        DeValue::Boolean(yes) => return (*yes).into(),
        DeValue::Array(items) => return items.iter().map(|item| json(reader, item)).collect(),
        DeValue::Table(table) => return json_table(reader, table).into(),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(Into::into),
        DeValue::Float(number) => {
            number.as_str().parse().ok().and_then(serde_json::Number::from_f64).map(serde_json::Value::Number)
        }
        DeValue::Datetime(_) => None,
    };
    number.unwrap_or_else(|| {
        let problem = Problem::new(reader.spot_of(value), "a function's settings cannot hold this value");
        reader.note(problem.hint("write it as a text in quotes"));
        serde_json::Value::Null
    })
}
