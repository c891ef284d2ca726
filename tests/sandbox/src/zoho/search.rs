//! `GET /crm/v8/{module}/search`: by criteria, e-mail address, phone number or word. Its index lags behind the records.

use serde_json::{Value, json};

use super::list::{Reading, numbered_page, per_page};
use super::profile::Profile;
use super::refusal::Refusal;
use super::schema::{self, Field, Kind, Module};
use super::store::{Record, Store};
use super::when;
use crate::crm::Twist;
use crate::http::Answer;

/// Criteria in one call.
const CRITERIA_MAX: usize = 10;

impl Reading<'_> {
    /// Answers a search; records changed within the last `lag_ms` are not found as they are.
    pub(super) fn search(&self, lag_ms: i64) -> Result<Answer, Refusal> {
        let per_page = per_page(self.params)?;
        let page = numbered_page(self.params, per_page)?;
        let wanted = self.wanted()?;
        let found: Vec<&Record> = self
            .store
            .live(self.module)
            .values()
            .rev()
            .filter(|record| record.modified_ms <= self.now_ms - lag_ms && self.is_known(record))
            .filter(|record| wanted.holds(self.store, self.module, record))
            .collect();
        let start = ((page - 1) * per_page).min(found.len());
        let rows = &found[start..(start + per_page).min(found.len())];
        if rows.is_empty() || self.twist == Some(Twist::Empty) {
            return Ok(Answer::empty(204));
        }
        let fields: Vec<&Field> = match self.params.get("fields") {
            Some(names) => names.split(',').filter_map(|name| self.module.field(name.trim())).collect(),
            None => self.module.fields.iter().collect(),
        };
        let more = start + rows.len() < found.len();
        let info = json!({"per_page": per_page, "count": rows.len(), "page": page, "more_records": more});
        Ok(self.answer(rows.iter().map(|record| self.row(record, &fields)).collect(), info))
    }

    fn wanted(&self) -> Result<Wanted, Refusal> {
        if let Some(criteria) = self.params.get("criteria") {
            return Parser::new(criteria, self.module).parse();
        }
        if let Some(email) = self.params.get("email") {
            return Ok(Wanted::AnyOf(Kind::Email, email.trim().to_lowercase()));
        }
        if let Some(phone) = self.params.get("phone") {
            return Ok(Wanted::AnyOf(Kind::Phone, phone.trim().to_lowercase()));
        }
        match self.params.get("word") {
            Some(word) if word.trim().chars().count() >= 2 => Ok(Wanted::Word(word.trim().to_lowercase())),
            Some(_) => Err(Refusal::invalid_param("word", "text")),
            None => Err(Refusal::new(400, "EXPECTED_PARAM_MISSING", "One of the expected parameter is missing")
                .with("param_names", json!(["criteria", "email", "phone", "word"]))),
        }
    }
}

/// What a search looks for.
#[derive(Debug, PartialEq)]
enum Wanted {
    All(Vec<Wanted>),
    Any(Vec<Wanted>),
    Field {
        name: &'static str,
        operator: Operator,
        value: String,
    },
    /// Any field of this kind has exactly this value.
    AnyOf(Kind, String),
    /// Any text contains this.
    Word(String),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Operator {
    Equals,
    NotEqual,
    StartsWith,
    Contains,
    In,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Wanted {
    fn holds(&self, store: &Store, module: &Module, record: &Record) -> bool {
        match self {
            Wanted::All(parts) => parts.iter().all(|part| part.holds(store, module, record)),
            Wanted::Any(parts) => parts.iter().any(|part| part.holds(store, module, record)),
            Wanted::Field { name: "id", operator, value } => operator.holds(&record.id.to_string(), value),
            Wanted::Field { name, operator, value } => {
                module.field(name).is_some_and(|field| operator.holds(&comparable(&store.show(record, field)), value))
            }
            Wanted::AnyOf(kind, value) => module
                .fields
                .iter()
                .any(|field| field.kind == *kind && comparable(&store.show(record, field)) == *value),
            Wanted::Word(word) => {
                module.fields.iter().any(|field| comparable(&store.show(record, field)).contains(word.as_str()))
            }
        }
    }
}

impl Operator {
    fn of(text: &str) -> Option<Operator> {
        Some(match text {
            "equals" => Operator::Equals,
            "not_equal" => Operator::NotEqual,
            "starts_with" => Operator::StartsWith,
            "contains" => Operator::Contains,
            "in" => Operator::In,
            "less_than" => Operator::Less,
            "less_equal" => Operator::LessEqual,
            "greater_than" => Operator::Greater,
            "greater_equal" => Operator::GreaterEqual,
            _ => return None,
        })
    }

    fn holds(self, have: &str, value: &str) -> bool {
        let value = value.to_lowercase();
        let order = || match (when::parse(have), when::parse(&value)) {
            (Some(have), Some(value)) => have.cmp(&value),
            _ => have.cmp(value.as_str()),
        };
        match self {
            Operator::Equals => have == value || (when::parse(have).is_some() && order().is_eq()),
            Operator::NotEqual => have != value,
            Operator::StartsWith => have.starts_with(&value),
            Operator::Contains => have.contains(&value),
            Operator::In => value.split(',').any(|one| one.trim() == have),
            Operator::Less => order().is_lt(),
            Operator::LessEqual => order().is_le(),
            Operator::Greater => order().is_gt(),
            Operator::GreaterEqual => order().is_ge(),
        }
    }
}

/// A shown value as the index has it: lower-case text, a reference by its id.
fn comparable(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_lowercase(),
        Value::Object(reference) => reference.get("id").and_then(Value::as_str).unwrap_or_default().to_owned(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Reads `((Email:equals:a@b.example)and(Last_Name:starts_with:X))`. A backslash takes the next character as it is.
struct Parser<'a> {
    module: &'a Module,
    text: std::iter::Peekable<std::str::Chars<'a>>,
    criteria: usize,
}

/// Reads search criteria for contacts as the server does, for those who are to hold written criteria against what was meant: the field
/// and the values, one of which it must equal. None if the server refuses them, or they say anything else.
pub fn equals_one_of(criteria: &str) -> Option<(&'static str, Vec<String>)> {
    let modules = schema::modules(&Profile::parse("default").ok()?);
    let parts = match Parser::new(criteria, modules.first()?).parse().ok()? {
        Wanted::Any(parts) => parts,
        single => vec![single],
    };
    let mut values = Vec::with_capacity(parts.len());
    let mut field = None;
    for part in parts {
        let Wanted::Field { name, operator: Operator::Equals, value } = part else { return None };
        if *field.get_or_insert(name) != name {
            return None;
        }
        values.push(value);
    }
    Some((field?, values))
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, module: &'a Module) -> Parser<'a> {
        Parser { module, text: text.chars().peekable(), criteria: 0 }
    }

    fn parse(mut self) -> Result<Wanted, Refusal> {
        let wanted = self.joined()?;
        if self.text.next().is_some() || self.criteria > CRITERIA_MAX {
            return Err(invalid_query());
        }
        Ok(wanted)
    }

    /// Groups joined by one word, `and` or `or`.
    fn joined(&mut self) -> Result<Wanted, Refusal> {
        let mut parts = vec![self.group()?];
        let mut joined_by = None;
        while self.text.peek().is_some_and(char::is_ascii_alphabetic) {
            let mut word = String::new();
            while let Some(letter) = self.text.next_if(char::is_ascii_alphabetic) {
                word.push(letter);
            }
            if !["and", "or"].contains(&word.as_str()) || joined_by.as_ref().is_some_and(|joined| *joined != word) {
                return Err(invalid_query());
            }
            joined_by = Some(word);
            parts.push(self.group()?);
        }
        Ok(match joined_by.as_deref() {
            Some("or") => Wanted::Any(parts),
            Some(_) => Wanted::All(parts),
            None => parts.remove(0),
        })
    }

    fn group(&mut self) -> Result<Wanted, Refusal> {
        self.expect('(')?;
        let wanted = if self.text.peek() == Some(&'(') { self.joined()? } else { self.criterion()? };
        self.expect(')')?;
        Ok(wanted)
    }

    fn criterion(&mut self) -> Result<Wanted, Refusal> {
        self.criteria += 1;
        let field = self.until(':')?;
        self.expect(':')?;
        let operator = Operator::of(&self.until(':')?).ok_or_else(invalid_query)?;
        self.expect(':')?;
        let value = self.until(')')?;
        let name = match field.as_str() {
            "id" => "id",
            name => self.module.field(name).ok_or_else(invalid_query)?.api_name,
        };
        Ok(Wanted::Field { name, operator, value })
    }

    fn until(&mut self, end: char) -> Result<String, Refusal> {
        let mut text = String::new();
        while let Some(next) = self.text.next_if(|next| *next != end) {
            let next = if next == '\\' { self.text.next().ok_or_else(invalid_query)? } else { next };
            text.push(next);
        }
        Ok(text)
    }

    fn expect(&mut self, wanted: char) -> Result<(), Refusal> {
        self.text.next_if_eq(&wanted).map(|_| ()).ok_or_else(invalid_query)
    }
}

fn invalid_query() -> Refusal {
    Refusal::new(400, "INVALID_QUERY", "invalid query formed").with("param_name", "criteria")
}

#[cfg(test)]
mod tests {
    use super::super::{profile::Profile, schema};
    use super::*;

    #[test]
    fn criteria_nest_and_escape() {
        let modules = schema::modules(&Profile::parse("default").expect("a profile"));
        let parse = |text: &str| Parser::new(text, &modules[0]).parse();
        assert_eq!(
            parse(r"((Email:equals:a@b.example)and(Title:contains:a\)b))").expect("well-formed"),
            Wanted::All(vec![
                Wanted::Field { name: "Email", operator: Operator::Equals, value: "a@b.example".to_owned() },
                Wanted::Field { name: "Title", operator: Operator::Contains, value: "a)b".to_owned() },
            ])
        );
        for bad in [
            "",
            "Email:equals:x",
            "(Email:is:x)",
            "(Nothing:equals:x)",
            "((Email:equals:x)and(Title:equals:y)or(Title:equals:z))",
            "(Email:equals:x",
        ] {
            assert_eq!(parse(bad).expect_err(bad).code, "INVALID_QUERY", "{bad}");
        }
    }
}
