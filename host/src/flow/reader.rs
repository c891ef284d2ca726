//! Reads typed values out of parsed TOML and notes every problem on the way, instead of stopping at the first.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::problem::{Placed, Problem, Spot};

/// Reads one flow file.
pub(super) struct Reader<'a> {
    text: &'a str,
    /// The byte at which each line starts.
    line_starts: Vec<usize>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Reader<'a> {
        let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        Reader { text, line_starts: std::iter::once(0).chain(after_newlines).collect(), problems: Vec::new() }
    }

    /// Everything that was noted, in the order of the file.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort();
        self.problems.dedup();
        self.problems
    }

    pub(super) fn note(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// The place of a byte of the file.
    pub(super) fn spot(&self, at: usize) -> Spot {
        let at = self.text.floor_char_boundary(at);
        let line = self.line_starts.partition_point(|&start| start <= at);
        let column = self.text[self.line_starts[line - 1]..at].chars().count() + 1;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Spot { line: count(line), column: count(column) }
    }

    /// The place of a value or key.
    pub(super) fn spot_of<T>(&self, spanned: &Spanned<T>) -> Spot {
        self.spot(spanned.span().start)
    }

    /// A table's entries in the order of the file.
    pub(super) fn entries<'t, 'i>(
        table: &'t DeTable<'i>,
    ) -> Vec<(&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
    }

    /// Notes each key that is not one of the known ones.
    pub(super) fn known_keys(&mut self, table: &DeTable<'_>, known: &[&str]) {
        for (key, _) in Self::entries(table) {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let problem = Problem::new(self.spot_of(key), format!("unknown key `{name}`"));
                self.note(problem.nearest(name, known.iter().copied()));
            }
        }
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self, table: &DeTable<'_>, key: &str) -> Option<Placed<String>> {
        let value = table.get(key)?;
        self.text_of(key, value)
    }

    pub(super) fn text_of(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Placed<String>> {
        let spot = self.spot_of(value);
        match value.get_ref().as_str().map(str::trim) {
            Some("") => self.note(Problem::new(spot, format!("`{key}` is empty"))),
            Some(text) => return Some(Placed { value: text.to_owned(), spot }),
            None => self.wrong_type(key, "a text in quotes", value),
        }
        None
    }

    /// A whole number that is not negative.
    pub(super) fn number(&mut self, table: &DeTable<'_>, key: &str) -> Option<Placed<u64>> {
        let value = table.get(key)?;
        let number =
            value.get_ref().as_integer().and_then(|number| u64::from_str_radix(number.as_str(), number.radix()).ok());
        if number.is_none() {
            self.note(Problem::new(self.spot_of(value), format!("`{key}` must be a whole number, 0 or more")));
        }
        number.map(|number| Placed { value: number, spot: self.spot_of(value) })
    }

    /// One of a closed set of words.
    pub(super) fn word<T: Clone>(&mut self, table: &DeTable<'_>, key: &str, words: &[(&str, T)]) -> Option<Placed<T>> {
        let written = self.text(table, key)?;
        if let Some((_, meant)) = words.iter().find(|(word, _)| *word == written.value) {
            return Some(Placed { value: meant.clone(), spot: written.spot });
        }
        let all = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        let message = format!("`{key}` cannot be \"{}\"", written.value);
        self.note(Problem::new(written.spot, message).hint(format!("it is one of {all}")));
        None
    }

    /// A text, or a list of texts, as a list.
    pub(super) fn texts(&mut self, table: &DeTable<'_>, key: &str) -> Option<Vec<Placed<String>>> {
        let value = table.get(key)?;
        match value.get_ref() {
            DeValue::String(_) => self.text_of(key, value).map(|text| vec![text]),
            DeValue::Array(items) => Some(items.iter().filter_map(|item| self.text_of(key, item)).collect()),
            _ => {
                self.wrong_type(key, "a text or a list of texts", value);
                None
            }
        }
    }

    /// A table.
    pub(super) fn table<'t, 'i>(&mut self, table: &'t DeTable<'i>, key: &str) -> Option<&'t DeTable<'i>> {
        let value = table.get(key)?;
        let inner = value.get_ref().as_table();
        if inner.is_none() {
            self.wrong_type(key, "a table", value);
        }
        inner
    }

    /// Tables written as `[[key]]`, each with its place.
    pub(super) fn tables<'t, 'i>(&mut self, table: &'t DeTable<'i>, key: &str) -> Vec<Placed<&'t DeTable<'i>>> {
        let Some(value) = table.get(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.wrong_type(key, &format!("written as `[[{key}]]`"), value);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items {
            match item.get_ref().as_table() {
                Some(inner) => tables.push(Placed { value: inner, spot: self.spot_of(item) }),
                None => self.wrong_type(key, &format!("written as `[[{key}]]`"), item),
            }
        }
        tables
    }

    /// A table of texts, in the order of the file.
    pub(super) fn text_table(&mut self, key: &str, table: &DeTable<'_>) -> Vec<(Placed<String>, Placed<String>)> {
        let mut pairs = Vec::new();
        for (name, value) in Self::entries(table) {
            let spot = self.spot_of(name);
            if let Some(text) = self.text_of(&format!("{key}.{}", name.get_ref()), value) {
                pairs.push((Placed { value: name.get_ref().clone().into_owned(), spot }, text));
            }
        }
        pairs
    }

    pub(super) fn wrong_type(&mut self, key: &str, expected: &str, value: &Spanned<DeValue<'_>>) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let spot = self.spot_of(value);
        self.note(Problem::new(spot, format!("`{key}` must be {expected}, not {found}")));
    }
}
