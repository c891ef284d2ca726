//! A flow file as its owner wrote it, read and checked as far as that is possible without asking a CRM.

use crmsync_core::{DeletePolicy, FirstSync, Side, Winner};
use toml::de::{DeTable, DeValue};
use toml::value::{Date, Datetime};

use super::deletes::{self, MarkText};
use super::module::{self, ModulePair};
use super::problem::{Placed, Problem, Spot};
use super::reader::Reader;

/// The format that this version reads and writes.
const FORMAT: u64 = 1;
/// Longest flow file.
const FILE_BYTES_MAX: usize = 1 << 20;
/// Most module pairs of one flow.
const MODULES_MAX: usize = 100;
/// Longest name of a flow or connection, in characters.
const NAME_CHARS_MAX: usize = 64;
/// How often a flow runs if its file does not say.
const EVERY_MS_DEFAULT: u64 = 5 * MINUTE_MS;
/// A flow runs at most so often.
const EVERY_MS_MIN: u64 = 10 * SECOND_MS;
/// A flow runs at least so often.
const EVERY_MS_MAX: u64 = 7 * DAY_MS;

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A flow as its file states it. Index 0 of a pair is the first connection of `between` (left), 1 the second (right).
#[derive(Clone, Debug)]
pub struct Document {
    /// Name of the flow: letters, digits, `-` and `_`.
    pub name: String,
    /// The two connections.
    pub between: [String; 2],
    /// Time between the starts of two runs, in milliseconds.
    pub every_ms: u64,
    /// Records changed before this moment (milliseconds since 1970, midnight UTC) are matched, but join only when edited; none syncs all.
    pub records_from_ms: Option<i64>,
    /// Whose value stays when both sides changed one field; none if the newest does, or if every module goes one way.
    pub winner: Option<Side>,
    /// The value of the side whose record was saved last stays; of two saved at one moment the left one.
    pub newest: bool,
    /// Differences of records matched for the first time.
    pub first_sync: FirstSync,
    /// Start the CRMs' workflows and mails.
    pub automations: bool,
    /// What a delete on one side means for the other.
    pub deletes: Placed<DeletePolicy>,
    /// Where records say that the other side's was deleted, unless a module says so itself.
    pub mark: Option<MarkText>,
    /// When people are asked before records are taken for deleted.
    pub safety_stop: SafetyStop,
    /// Owners of records.
    pub owners: Owners,
    /// The module pairs, in the order of the file.
    pub modules: Vec<ModulePair>,
    /// What works, but perhaps not as meant.
    pub notes: Vec<Problem>,
}

/// Records that may vanish at once before people are asked; whichever is reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SafetyStop {
    /// Number of records, at least 1.
    pub records: u64,
    /// Percent of the known records, 1 to 100.
    pub percent: u64,
}

impl Default for SafetyStop {
    fn default() -> SafetyStop {
        SafetyStop { records: 50, percent: 5 }
    }
}

/// Who owns a record on the other side (S16). E-mail addresses are in small letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// Owner of new records whose owner has no counterpart, for each side.
    pub fallback: [Option<String>; 2],
    /// Left user's e-mail, right user's e-mail, where the two differ; in the order of the file, the first entry counts.
    pub table: Vec<(String, String)>,
}

impl Document {
    /// Reads a flow file.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file: mistakes of TOML alone if there are any, as the rest
    /// cannot be judged then.
    pub fn parse(text: &str) -> Result<Document, Vec<Problem>> {
        if text.len() > FILE_BYTES_MAX {
            let message = format!("the file is longer than {} KiB", FILE_BYTES_MAX / 1024);
            return Err(vec![Problem::new(Spot { line: 1, column: 1 }, message)]);
        }
        let mut reader = Reader::new(text);
        let root = read_toml(text, &mut reader)?;
        let document = read_document(&mut reader, &root);
        let problems = reader.into_problems();
        match document {
            Some(document) if problems.is_empty() => Ok(document),
            _ => Err(problems),
        }
    }

    /// The two connections of a flow file, whatever else is in it: also if this version cannot read the rest.
    pub fn sides(text: &str) -> Option<[String; 2]> {
        let table: toml::Table = text.parse().ok()?;
        let names =
            table.get("between")?.as_array()?.iter().map(|name| name.as_str().map(|name| name.trim().to_owned()));
        <[String; 2]>::try_from(names.collect::<Option<Vec<_>>>()?).ok()
    }

    /// Whose value stays in a module that both sides write: the winner, or the left side where nothing can ever be both changed.
    pub fn winner_or_left(&self) -> Side {
        self.winner.unwrap_or(Side::Left)
    }
}

/// Parses the TOML, with every mistake that the parser can recover from.
pub(super) fn read_toml<'i>(text: &'i str, reader: &mut Reader<'_>) -> Result<DeTable<'i>, Vec<Problem>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(root.into_inner());
    }
    let problems = errors.iter().map(|error| {
        Problem::new(
            reader.spot(error.span().map_or(0, |span| span.start)),
            format!("not valid TOML: {}", error.message()),
        )
    });
    let mut problems: Vec<Problem> = problems.collect();
    problems.sort();
    Err(problems)
}

pub(super) const KEYS: &[&str] = &[
    "format",
    "name",
    "between",
    "every",
    "records_from",
    "winner",
    "first_sync",
    "automations",
    "deletes",
    "mark",
    "safety_stop",
    "owners",
    "module",
];

fn read_document(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Option<Document> {
    reader.known_keys(root, KEYS);
    check_format(reader, root);
    let name = required(reader, root, "name", "a short name for the flow, such as name = \"sales\"");
    if let Some(name) = &name {
        check_name(reader, "name", name);
    }
    let every_ms = read_every(reader, root);
    let notes = root.get("every").map(|every| {
        let problem = Problem::new(reader.spot_of(every), "`every` counts while `crmsync serve` runs");
        problem.hint("without it, a run is a command: `crmsync flow run`")
    });
    let records_from_ms = read_records_from(reader, root);
    let first_sync = [("fill-empty", FirstSync::FillEmpty), ("winner", FirstSync::Winner), ("ask", FirstSync::Ask)];
    let first_sync = reader.word(root, "first_sync", &first_sync);
    let automations = reader.word(root, "automations", &[("off", false), ("on", true)]);
    let deletes = deletes::read(reader, root);
    let safety_stop = read_safety_stop(reader, root);
    // Everything below is written in the connections' names and cannot be judged without them.
    let between = read_between(reader, root)?;
    let names = [between[0].value.as_str(), between[1].value.as_str()];
    let (winner, newest) = match read_winner(reader, root, names, false).map(|winner| winner.value) {
        Some(Winner::Side(side)) => (Some(side), false),
        other => (None, other == Some(Winner::Newest)),
    };
    let owners = read_owners(reader, root, names);
    let mark = deletes::read_mark(reader, root, names);
    let modules = read_modules(reader, root, names);
    if winner.is_none() && !root.contains_key("winner") && modules.iter().any(ModulePair::goes_both_ways) {
        let problem = Problem::new(between[0].spot, "`winner` is missing, and modules go both ways");
        reader.note(problem.hint(format!(
            "say whose value stays when both sides changed one field: winner = \"{}\" or \"{}\"",
            names[0], names[1]
        )));
    }
    Some(Document {
        name: name?.value,
        between: names.map(str::to_owned),
        every_ms,
        records_from_ms,
        winner,
        newest,
        first_sync: first_sync.map_or(FirstSync::FillEmpty, |mode| mode.value),
        automations: automations.is_some_and(|on| on.value),
        deletes: deletes.unwrap_or(Placed { value: DeletePolicy::Report, spot: Spot { line: 1, column: 1 } }),
        mark,
        safety_stop,
        owners,
        modules,
        notes: notes.into_iter().collect(),
    })
}

fn required(reader: &mut Reader<'_>, root: &DeTable<'_>, key: &str, hint: &str) -> Option<Placed<String>> {
    if !root.contains_key(key) {
        reader.note(Problem::new(Spot { line: 1, column: 1 }, format!("`{key}` is missing")).hint(hint));
    }
    reader.text(root, key)
}

fn check_format(reader: &mut Reader<'_>, root: &DeTable<'_>) {
    if !root.contains_key("format") {
        let problem = Problem::new(Spot { line: 1, column: 1 }, "`format` is missing");
        reader.note(problem.hint(format!("the file begins with format = {FORMAT}")));
    }
    if let Some(format) = reader.number(root, "format").filter(|format| format.value != FORMAT) {
        let problem = Problem::new(format.spot, format!("format {} is not known to this version", format.value));
        reader.note(problem.hint(format!("it reads format {FORMAT}")));
    }
}

fn check_name(reader: &mut Reader<'_>, key: &str, name: &Placed<String>) {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    if !name.value.chars().all(allowed) || name.value.chars().count() > NAME_CHARS_MAX {
        let problem = Problem::new(name.spot, format!("`{key}` cannot be \"{}\"", name.value));
        reader.note(problem.hint(format!("use at most {NAME_CHARS_MAX} letters, digits, `-` and `_`")));
    }
}

fn read_between(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Option<[Placed<String>; 2]> {
    const HINT: &str = "name two connections, such as between = [\"left\", \"right\"]; see: crmsync connection list";
    let Some(value) = root.get("between") else {
        reader.note(Problem::new(Spot { line: 1, column: 1 }, "`between` is missing").hint(HINT));
        return None;
    };
    let spot = reader.spot_of(value);
    if !value.get_ref().is_array() {
        reader.wrong_type("between", "a list of two connections", value);
        return None;
    }
    let names = reader.texts(root, "between")?;
    let Ok([left, right]) = <[Placed<String>; 2]>::try_from(names) else {
        reader.note(Problem::new(spot, "`between` must name two connections").hint(HINT));
        return None;
    };
    if left.value == right.value {
        let problem = Problem::new(right.spot, "`between` names the same connection twice");
        reader.note(problem.hint("a flow keeps two connections in step"));
        return None;
    }
    for name in [&left, &right] {
        check_name(reader, "between", name);
        if module::is_key(&name.value)
            || name.value.starts_with("to-")
            || RULES.iter().any(|(rule, _)| *rule == name.value)
        {
            let problem = Problem::new(
                name.spot,
                format!("a connection named `{}` cannot be told from a word of this file", name.value),
            );
            reader.note(problem.hint("give the connection another name"));
        }
    }
    Some([left, right])
}

/// Rules for conflicts besides the connections' names. The first may be a whole flow's.
const RULES: [(&str, Winner); 6] = [
    ("newest", Winner::Newest),
    ("non-empty", Winner::NonEmpty),
    ("longer", Winner::Longer),
    ("union", Winner::Union),
    ("maximum", Winner::Maximum),
    ("ask", Winner::Ask),
];

/// `winner`: the name of one of the two connections, or a rule; `of_row` allows all rules.
pub(super) fn read_winner(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    between: [&str; 2],
    of_row: bool,
) -> Option<Placed<Winner>> {
    let sides = [(between[0], Winner::Side(Side::Left)), (between[1], Winner::Side(Side::Right))];
    let rules = if of_row { &RULES[..] } else { &RULES[..1] };
    reader.word(table, "winner", &[&sides, rules].concat())
}

fn read_every(reader: &mut Reader<'_>, root: &DeTable<'_>) -> u64 {
    const HINT: &str =
        "write it as \"5 minutes\": a number and seconds, minutes, hours or days, from 10 seconds to 7 days";
    let Some(written) = reader.text(root, "every") else { return EVERY_MS_DEFAULT };
    match parse_duration_ms(&written.value).filter(|ms| (EVERY_MS_MIN..=EVERY_MS_MAX).contains(ms)) {
        Some(ms) => ms,
        None => {
            reader.note(Problem::new(written.spot, format!("`every` cannot be \"{}\"", written.value)).hint(HINT));
            EVERY_MS_DEFAULT
        }
    }
}

fn parse_duration_ms(text: &str) -> Option<u64> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit.trim() {
        "second" | "seconds" => SECOND_MS,
        "minute" | "minutes" => MINUTE_MS,
        "hour" | "hours" => HOUR_MS,
        "day" | "days" => DAY_MS,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit_ms)
}

/// `records_from`, of the flow or of one module: none is "all".
pub(super) fn read_records_from(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Option<i64> {
    let value = table.get("records_from")?;
    let written = match value.get_ref() {
        DeValue::String(text) if text == "all" => return None,
        DeValue::String(text) => text.parse().ok(),
        DeValue::Datetime(moment) => Some(*moment),
        _ => None,
    };
    let date = written.filter(|moment: &Datetime| moment.time.is_none()).and_then(|moment| moment.date);
    let midnight_ms = date.and_then(midnight_ms);
    if midnight_ms.is_none() {
        let problem = Problem::new(reader.spot_of(value), "`records_from` must be \"all\" or a date");
        reader
            .note(problem.hint("write it as \"2024-01-31\": older records are matched, and join when they are edited"));
    }
    midnight_ms
}

fn midnight_ms(date: Date) -> Option<i64> {
    let month = time::Month::try_from(date.month).ok()?;
    let date = time::Date::from_calendar_date(i32::from(date.year), month, date.day).ok()?;
    Some(date.midnight().assume_utc().unix_timestamp() * 1_000)
}

fn read_safety_stop(reader: &mut Reader<'_>, root: &DeTable<'_>) -> SafetyStop {
    let mut stop = SafetyStop::default();
    let Some(table) = reader.table(root, "safety_stop") else { return stop };
    reader.known_keys(table, &["records", "percent"]);
    if let Some(records) = reader.number(table, "records") {
        stop.records = records.value;
        if records.value == 0 {
            reader.note(Problem::new(records.spot, "`records` must be at least 1"));
        }
    }
    if let Some(percent) = reader.number(table, "percent") {
        stop.percent = percent.value;
        if !(1..=100).contains(&percent.value) {
            reader.note(Problem::new(percent.spot, "`percent` must be from 1 to 100"));
        }
    }
    stop
}

fn read_owners(reader: &mut Reader<'_>, root: &DeTable<'_>, between: [&str; 2]) -> Owners {
    let mut owners = Owners::default();
    let Some(table) = reader.table(root, "owners") else { return owners };
    reader.known_keys(table, &["fallback", "table"]);
    if let Some(fallback) = reader.table(table, "fallback") {
        reader.known_keys(fallback, &between);
        for (side, connection) in between.iter().enumerate() {
            let written = reader.text(fallback, connection);
            owners.fallback[side] = written.and_then(|written| read_email(reader, connection, &written));
        }
    }
    if let Some(emails) = reader.table(table, "table") {
        for (left, right) in reader.text_table("table", emails) {
            let pair = (read_email(reader, "table", &left), read_email(reader, "table", &right));
            if let (Some(left), Some(right)) = pair {
                owners.table.push((left, right));
            }
        }
    }
    owners
}

fn read_email(reader: &mut Reader<'_>, key: &str, written: &Placed<String>) -> Option<String> {
    let parts = written.value.split_once('@');
    let looks_right = parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    if !looks_right || written.value.contains(char::is_whitespace) {
        let problem = Problem::new(written.spot, format!("`{key}`: \"{}\" is not an e-mail address", written.value));
        reader.note(problem.hint("users are known by their e-mail address in the CRM"));
        return None;
    }
    Some(written.value.to_lowercase())
}

fn read_modules(reader: &mut Reader<'_>, root: &DeTable<'_>, between: [&str; 2]) -> Vec<ModulePair> {
    let tables = reader.tables(root, "module");
    if tables.is_empty() {
        let hint = format!("add [[module]] with {} = \"…\" and {} = \"…\"", between[0], between[1]);
        reader.note(Problem::new(Spot { line: 1, column: 1 }, "no module is synced").hint(hint));
    }
    if let Some(first_too_many) = tables.get(MODULES_MAX) {
        reader.note(Problem::new(first_too_many.spot, format!("a flow has at most {MODULES_MAX} modules")));
    }
    let read =
        tables.iter().take(MODULES_MAX).filter_map(|table| module::read(reader, table.value, table.spot, between));
    read.collect()
}

#[cfg(test)]
mod tests;
