//! Changes one setting in the text of a flow file, and leaves everything else of it as it was written: comments, order, blanks.
//!
//! The text is cut at the places that the parser tells. The crate `toml_edit` would do it too; it asks for another build of what the
//! plugin runtime stands on, and what is needed here is small.

use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue};

use super::problem::nearest;

/// Why a setting could not be changed, in words for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EditError {
    /// What is wrong.
    pub message: String,
    /// What to do, "" if the message says it.
    pub hint: String,
}

fn wrong<T>(message: impl Into<String>, hint: impl Into<String>) -> Result<T, EditError> {
    Err(EditError { message: message.into(), hint: hint.into() })
}

/// The text with one setting changed: `winner`, `safety_stop.records`, `owners.fallback.NAME`, or one of a module, such as
/// `Contacts.direction` or `Contacts.field.Loyalty_Level.winner`. What reads as a TOML value is one, everything else is a text; an
/// empty value takes the setting out.
///
/// # Errors
/// The text is no TOML, or names something that cannot be found or changed. Whether the setting itself is known and good is not judged
/// here: whoever reads the text next does that.
pub fn set(text: &str, key: &str, value: &str) -> Result<String, EditError> {
    let root = DeTable::parse(text).map_err(|error| EditError {
        message: format!("the flow's file is not valid TOML: {}", error.message()),
        hint: "apply a good file first".into(),
    })?;
    let parts = path_of(key);
    let mut path: Vec<&str> = parts.iter().map(String::as_str).collect();
    if path.iter().any(|part| part.is_empty()) {
        return wrong(
            format!("`{key}` is not a setting"),
            "write it as winner=…, owners.fallback.NAME=… or Contacts.direction=…",
        );
    }
    let mut place = Place { table: root.get_ref(), start: Start::Root };
    if let Some(module) = module(root.get_ref(), &path)? {
        place = module;
        path.remove(0);
        if path.len() >= 2 && path[0] == "field" {
            place = row(&place, path[1])?;
            path.drain(..2);
        }
        if path.is_empty() {
            return wrong(format!("`{key}` is not a setting"), format!("write it as {key}.direction=…"));
        }
    }
    while path.len() > 1 {
        match place.table.get(path[0]) {
            Some(inner) => {
                let Some(table) = inner.get_ref().as_table() else {
                    return wrong(format!("`{}` of the flow's file is no table", path[0]), "");
                };
                place = Place { table, start: Start::of(text, inner) };
                path.remove(0);
            }
            None => break,
        }
    }
    match (place.table.get_key_value(path[0]), value.trim()) {
        (Some((key, _)), "") => remove(text, key, place.table.get(path[0]).map_or(0..0, Spanned::span)),
        (None, "") => wrong(format!("`{key}` is not set in the flow's file"), ""),
        (Some((_, _)), _) if path.len() > 1 => wrong(format!("`{}` of the flow's file is no table", path[0]), ""),
        (Some((_, known)), value) => {
            let span = known.span();
            if known.get_ref().as_table().is_some_and(|_| !text[span.clone()].starts_with('{')) {
                return wrong(format!("`{key}` is a table"), format!("change one of its settings: {key}.…"));
            }
            Ok(format!("{}{}{}", &text[..span.start], spelled(value), &text[span.end..]))
        }
        (None, value) => {
            let name = path.iter().map(|part| key_text(part)).collect::<Vec<_>>().join(".");
            Ok(place.insert(text, &format!("{name} = {}", spelled(value))))
        }
    }
}

/// The parts of a path: dots between them, and in quotes where a part has dots of its own.
fn path_of(key: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut in_quotes = false;
    for letter in key.chars() {
        match letter {
            '"' => in_quotes = !in_quotes,
            '.' if !in_quotes => parts.push(String::new()),
            letter => parts.last_mut().into_iter().for_each(|part| part.push(letter)),
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

/// Where the settings of a table stand.
#[derive(Clone, Debug)]
enum Start {
    /// At the top of the file.
    Root,
    /// Below a header, whose first byte is here.
    Header(usize),
    /// Between braces.
    Inline(std::ops::Range<usize>),
}

impl Start {
    fn of(text: &str, value: &Spanned<DeValue<'_>>) -> Start {
        let span = value.span();
        if text[span.clone()].starts_with('{') { Start::Inline(span) } else { Start::Header(span.start) }
    }
}

struct Place<'t, 'i> {
    table: &'t DeTable<'i>,
    start: Start,
}

impl Place<'_, '_> {
    /// The text with one more setting at the end of this table's own.
    fn insert(&self, text: &str, setting: &str) -> String {
        if let Start::Inline(span) = &self.start {
            let inside = text[span.start + 1..span.end - 1].trim_end();
            let comma = if inside.trim().is_empty() || inside.trim_end().ends_with(',') { "" } else { "," };
            return format!("{}{{{inside}{comma} {setting} }}{}", &text[..span.start], &text[span.end..]);
        }
        // Settings below other headers belong to other tables.
        let own = self.table.iter().filter(|(key, value)| !is_header(text, key) && !has_headers(text, value));
        let last = own.max_by_key(|(_, value)| value.span().end);
        let (at, indent) = match (last, &self.start) {
            (Some((key, value)), _) => {
                let line = text[..key.span().start].rfind('\n').map_or(0, |at| at + 1);
                let indent: String = text[line..].chars().take_while(|letter| matches!(letter, ' ' | '\t')).collect();
                (end_of_line(text, value.span().end), indent)
            }
            (None, Start::Header(header)) => {
                let line = text[..*header].rfind('\n').map_or(0, |at| at + 1);
                let indent: String = text[line..].chars().take_while(|letter| matches!(letter, ' ' | '\t')).collect();
                (end_of_line(text, *header), indent)
            }
            (None, _) => (0, String::new()),
        };
        let newline = if at > 0 && !text[..at].ends_with('\n') { "\n" } else { "" };
        format!("{}{newline}{indent}{setting}\n{}", &text[..at], &text[at..])
    }
}

/// Whether the key stands in a header such as `[owners]` or `[[module]]`.
fn is_header(text: &str, key: &Spanned<DeString<'_>>) -> bool {
    let line = text[..key.span().start].rfind('\n').map_or(0, |at| at + 1);
    text[line..].trim_start().starts_with('[')
}

/// Whether the value's own settings stand below headers.
fn has_headers(text: &str, value: &Spanned<DeValue<'_>>) -> bool {
    match value.get_ref() {
        DeValue::Array(items) => {
            items.iter().any(|item| item.get_ref().is_table() && !text[item.span()].starts_with('{'))
        }
        _ => false,
    }
}

/// The byte behind the line of this one.
fn end_of_line(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1)
}

/// The module that the first part of a path names, by its name on either side; none if it names no module.
fn module<'t, 'i>(root: &'t DeTable<'i>, path: &[&str]) -> Result<Option<Place<'t, 'i>>, EditError> {
    let Some(modules) = root.get("module").and_then(|value| value.get_ref().as_array()) else { return Ok(None) };
    let sides: Vec<&str> = root
        .get("between")
        .and_then(|value| value.get_ref().as_array())
        .map(|sides| sides.iter().filter_map(|side| side.get_ref().as_str()).collect())
        .unwrap_or_default();
    let found = named(modules, &sides, path[0]);
    if let [only] = found[..] {
        return Ok(only.get_ref().as_table().map(|table| Place { table, start: Start::Header(only.span().start) }));
    }
    if found.len() > 1 {
        return wrong(
            format!("more than one module of the flow is called `{}`", path[0]),
            "edit the file, and apply it",
        );
    }
    let known: Vec<&str> = modules.iter().flat_map(|module| names(module, &sides)).collect();
    let is_near = !root.contains_key(path[0]) && path.len() > 1;
    match nearest(path[0], known.iter().copied()) {
        Some(near) if is_near => {
            wrong(format!("the flow has no module `{}`", path[0]), format!("did you mean `{near}`?"))
        }
        _ => Ok(None),
    }
}

/// The person's own row of a module that has this field on either side.
fn row<'t, 'i>(module: &Place<'t, 'i>, name: &str) -> Result<Place<'t, 'i>, EditError> {
    let none = DeArray::new();
    let rows = module.table.get("field").and_then(|value| value.get_ref().as_array()).unwrap_or(&none);
    let sides: Vec<&str> = module.table.iter().map(|(key, _)| key.get_ref().as_ref()).collect();
    let place = |row: &Spanned<DeValue<'i>>| row.span().start;
    let found: Vec<usize> = named(rows, &sides, name).iter().map(|row| place(row)).collect();
    let rows = module.table.get("field").and_then(|value| value.get_ref().as_array());
    let row = rows.into_iter().flat_map(|rows| rows.iter()).find(|row| found == [place(row)]);
    match row.and_then(|row| row.get_ref().as_table().map(|table| (row, table))) {
        Some((row, table)) => Ok(Place { table, start: Start::Header(row.span().start) }),
        None => wrong(
            format!("the module has no row of its own for `{name}`"),
            "default rows are changed by a row of your own: add [[module.field]] to the file, and apply it",
        ),
    }
}

fn names<'a>(item: &'a Spanned<DeValue<'_>>, sides: &[&str]) -> Vec<&'a str> {
    let Some(table) = item.get_ref().as_table() else { return Vec::new() };
    sides.iter().filter_map(|side| table.get(*side)).filter_map(|name| name.get_ref().as_str()).collect()
}

fn named<'a, 'i>(items: &'a DeArray<'i>, sides: &[&str], name: &str) -> Vec<&'a Spanned<DeValue<'i>>> {
    let is_it = |item: &&Spanned<DeValue<'i>>| names(item, sides).iter().any(|known| known.eq_ignore_ascii_case(name));
    items.iter().filter(is_it).collect()
}

/// Takes a setting out, with its line.
fn remove(text: &str, key: &Spanned<DeString<'_>>, value: std::ops::Range<usize>) -> Result<String, EditError> {
    let line = text[..key.span().start].rfind('\n').map_or(0, |at| at + 1);
    let rest = text[value.end..end_of_line(text, value.end)].trim();
    let alone = text[line..key.span().start].trim().is_empty() && (rest.is_empty() || rest.starts_with('#'));
    if !alone {
        let name = key.get_ref();
        return wrong(format!("`{name}` shares its line with other settings"), "edit the file, and apply it");
    }
    Ok(format!("{}{}", &text[..line], &text[end_of_line(text, value.end)..]))
}

/// A value as TOML spells it.
fn spelled(value: &str) -> String {
    let value = value.trim();
    let probe = format!("x = {value}");
    // It has to end where the text ends: behind a comment the rest of its line would be part of that.
    let ends = |table: &DeTable<'_>| table.values().map(|value| value.span().end).max();
    let is_one = DeTable::parse(&probe).is_ok_and(|table| {
        let table = table.get_ref();
        table.len() == 1 && ends(table) == Some(probe.len())
    });
    if is_one && !value.contains('\n') { value.to_owned() } else { toml::Value::from(value).to_string() }
}

/// A name as TOML spells it before a `=`.
pub(super) fn key_text(name: &str) -> String {
    let is_bare = name.bytes().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'_'));
    match is_bare && !name.is_empty() {
        true => name.to_owned(),
        // TOML's escapes are those of JSON, and one more.
        false => serde_json::Value::from(name).to_string().replace('\u{7f}', "\\u007f"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# sales
format  = 1
between = [\"east\", \"wester\"]    # names
winner  = \"east\"   # stays
safety_stop = { records = 50, percent = 5 }

[owners]   # by e-mail
fallback = { east = \"a@x.example\" }

[[module]]
east   = \"Contacts\"
wester = \"Contacts\"
# direction = \"both\"

  [[module.field]]
  east   = \"Level\"
  wester = \"cf_857\"

[[module]]
east   = \"Accounts\"
wester = \"Organizations\"
";

    /// What differs from the file: lines that went, then lines that came.
    fn check(key: &str, value: &str, expected: &[&str]) {
        let new = set(FILE, key, value).unwrap();
        let (old, now): (Vec<&str>, Vec<&str>) = (FILE.lines().collect(), new.lines().collect());
        let gone = old.iter().filter(|line| !now.contains(line)).map(|line| format!("-{line}"));
        let came = now.iter().filter(|line| !old.contains(line)).map(|line| format!("+{line}"));
        assert_eq!(gone.chain(came).collect::<Vec<_>>(), expected, "{key}={value}\n{new}");
        new.parse::<toml::Table>().unwrap();
    }

    #[test]
    fn one_setting_changes_and_nothing_else() {
        check("winner", "wester", &["-winner  = \"east\"   # stays", "+winner  = \"wester\"   # stays"]);
        check("every", "10 minutes", &["+every = \"10 minutes\""]);
        check(
            "safety_stop.records",
            "100",
            &["-safety_stop = { records = 50, percent = 5 }", "+safety_stop = { records = 100, percent = 5 }"],
        );
        check(
            "owners.fallback.wester",
            "b@x.example",
            &[
                "-fallback = { east = \"a@x.example\" }",
                "+fallback = { east = \"a@x.example\", wester = \"b@x.example\" }",
            ],
        );
        check("owners.table.\"a@x.example\"", "c@x.example", &["+table.\"a@x.example\" = \"c@x.example\""]);
        check("Contacts.direction", "to-wester", &["+direction = \"to-wester\""]);
        check("organizations.skip", "[\"Fax\"]", &["+skip = [\"Fax\"]"]);
        check("Contacts.field.cf_857.winner", "wester", &["+  winner = \"wester\""]);
        check("winner", "", &["-winner  = \"east\"   # stays"]);
    }

    #[test]
    fn a_comment_in_a_value_swallows_nothing() {
        let new = set(FILE, "safety_stop.records", "7 # few").unwrap();
        let table: toml::Table = new.parse().unwrap();
        assert_eq!(table["safety_stop"]["percent"].as_integer(), Some(5), "{new}");
        assert_eq!(
            table["safety_stop"]["records"].as_str(),
            Some("7 # few"),
            "whoever reads it next says that it is no number"
        );
    }

    #[test]
    fn a_setting_goes_to_its_own_table() {
        let new = set(FILE, "Contacts.direction", "to-wester").unwrap();
        let table: toml::Table = new.parse().unwrap();
        let modules = table["module"].as_array().unwrap();
        assert_eq!(modules[0]["direction"].as_str(), Some("to-wester"), "{new}");
        assert!(modules[1].get("direction").is_none() && modules[0]["field"][0].get("direction").is_none(), "{new}");
        let new = set(FILE, "every", "1 hour").unwrap();
        assert_eq!(new.parse::<toml::Table>().unwrap()["every"].as_str(), Some("1 hour"), "{new}");
        let new = set(FILE, "Accounts.direction", "off").unwrap();
        assert_eq!(new.parse::<toml::Table>().unwrap()["module"][1]["direction"].as_str(), Some("off"), "{new}");
    }

    #[test]
    fn what_cannot_be_changed_is_told() {
        let check = |key: &str, value: &str, expected: &str| {
            let error = set(FILE, key, value).unwrap_err();
            assert!(format!("{} {}", error.message, error.hint).contains(expected), "{key}: {error:?}");
        };
        check("Contact.direction", "off", "did you mean `Contacts`?");
        check("Contacts.field.Levl.winner", "east", "no row of its own");
        check("winner.x", "1", "no table");
        check("owners", "1", "is a table");
        check("every", "", "is not set");
        check("safety_stop.records", "", "shares its line");
        check("a..b", "1", "is not a setting");
    }
}
