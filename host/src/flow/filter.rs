//! Filters as people write them: `Lead_Status = "Qualified" and not (Country is empty)`.
//!
//! A condition names a field of its side by API name, or by label in backticks, and says one of: `is empty`, `is not empty`, `= value`,
//! `!= value`, `< <= > >=` for numbers and dates, `in ("a", "b")`, `contains "text"`, `starts with "text"`. Conditions are joined by
//! `and`, `or`, `not` and parentheses; `and` binds closer. An empty field is different from every value.

use crmsync_core::Value;
use crmsync_core::filter::{Filter, Test};

use super::describe::{BOOLEAN, DATE, DECIMAL, FieldInfo, INTEGER, LIST, REFERENCE, TEXT};
use super::lookup;
use super::problem::{Placed, Problem, Spot};

/// Longest filter, in characters.
const CHARS_MAX: usize = 4_000;
/// Parentheses and `not` within each other.
const DEPTH_MAX: usize = 32;
const DAY_US: i64 = 86_400_000_000;

/// A filter as written, before its fields are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The text, blanks tidied: what an approval covers.
    pub text: String,
    condition: Condition,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Empty(Placed<String>),
    Field(Placed<String>, Test, Placed<String>),
}

/// Reads a filter that stands at this spot of the file (the quote before its first character).
///
/// # Errors
/// The first thing that is not understood.
pub(super) fn parse(written: &Placed<String>) -> Result<Written, Problem> {
    let text = &written.value;
    if text.chars().count() > CHARS_MAX {
        return Err(Problem::new(written.spot, format!("a filter has at most {CHARS_MAX} characters")));
    }
    let tokens = tokens(text, written.spot)?;
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0, end: written.spot };
    let condition = parser.any()?;
    match parser.peek() {
        None => {}
        Some(token) => return Err(parser.expected("`and`, `or` or the end", Some(token))),
    }
    Ok(Written { text: tidied(text), condition })
}

/// The text with one blank for several. Those within quotes belong to a value or a name, and stay.
fn tidied(text: &str) -> String {
    let (mut tidy, mut quote, mut blank) = (String::with_capacity(text.len()), None, false);
    for letter in text.trim().chars() {
        if quote.is_none() && letter.is_whitespace() {
            blank = true;
            continue;
        }
        if std::mem::take(&mut blank) {
            tidy.push(' ');
        }
        match quote {
            Some(open) if open == letter => quote = None,
            None if matches!(letter, '"' | '\'' | '`') => quote = Some(letter),
            _ => {}
        }
        tidy.push(letter);
    }
    tidy
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    /// A field, a keyword, a number or a date.
    Bare(String),
    /// A field in backticks.
    Quoted(String),
    /// A text.
    Text(String),
    /// A sign.
    Sign(&'static str),
}

type Token = Placed<Word>;

const SIGNS: [&str; 9] = ["!=", "<=", ">=", "=", "<", ">", "(", ")", ","];

fn tokens(text: &str, start: Spot) -> Result<Vec<Token>, Problem> {
    let mut tokens = Vec::new();
    let mut at = 0;
    // The place within one line; a text over several lines is told by its beginning.
    let is_one_line = !text.contains('\n');
    let spot = |at: usize| {
        let before = u32::try_from(text[..at].chars().count()).unwrap_or(u32::MAX);
        if is_one_line { Spot { column: start.column + 1 + before, ..start } } else { start }
    };
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let spot = spot(at);
        if first.is_whitespace() {
            at += first.len_utf8();
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            tokens.push(Placed { value: Word::Sign(sign), spot });
            at += sign.len();
        } else if matches!(first, '"' | '\'' | '`') {
            let Some(end) = rest[1..].find(first) else {
                return Err(Problem::new(spot, format!("a filter's text begins with {first} and does not end")));
            };
            let inner = rest[1..=end].to_owned();
            tokens.push(Placed { value: if first == '`' { Word::Quoted(inner) } else { Word::Text(inner) }, spot });
            at += end + 2;
        } else {
            let end = rest.find(|letter: char| letter.is_whitespace() || "!=<>(),\"'`".contains(letter));
            let end = end.filter(|end| *end > 0).unwrap_or(rest.len());
            tokens.push(Placed { value: Word::Bare(rest[..end].to_owned()), spot });
            at += end;
        }
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    end: Spot,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<&'a Token> {
        let token = self.peek();
        self.at += usize::from(token.is_some());
        token
    }

    fn is_keyword(&self, keyword: &str) -> bool {
        self.peek().is_some_and(|token| matches!(&token.value, Word::Bare(word) if word.eq_ignore_ascii_case(keyword)))
    }

    fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = self.is_keyword(keyword);
        self.at += usize::from(found);
        found
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = self.peek().is_some_and(|token| matches!(token.value, Word::Sign(other) if other == sign));
        self.at += usize::from(found);
        found
    }

    fn expected(&self, what: &str, found: Option<&Token>) -> Problem {
        let spot = found.map_or(self.end, |token| token.spot);
        let found = match found.map(|token| &token.value) {
            None => "the end".to_owned(),
            Some(Word::Bare(word)) => format!("`{word}`"),
            Some(Word::Quoted(word)) => format!("`{word}`"),
            Some(Word::Text(text)) => format!("\"{text}\""),
            Some(Word::Sign(sign)) => format!("`{sign}`"),
        };
        let problem = Problem::new(spot, format!("a filter needs {what} here, not {found}"));
        problem.hint("write it as: Lead_Status = \"Qualified\" and not (Country is empty)")
    }

    fn any(&mut self) -> Result<Condition, Problem> {
        let mut parts = vec![self.all()?];
        while self.take_keyword("or") {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Condition::Any))
    }

    fn all(&mut self) -> Result<Condition, Problem> {
        let mut parts = vec![self.single()?];
        while self.take_keyword("and") {
            parts.push(self.single()?);
        }
        Ok(one_or(parts, Condition::All))
    }

    fn single(&mut self) -> Result<Condition, Problem> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Problem::new(self.end, "a filter's parentheses are too deep"));
        }
        let condition = if self.take_keyword("not") {
            Condition::Not(Box::new(self.single()?))
        } else if self.take_sign("(") {
            let inner = self.any()?;
            if !self.take_sign(")") {
                return Err(self.expected("`)`", self.peek()));
            }
            inner
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn test(&mut self) -> Result<Condition, Problem> {
        let token = self.next();
        let field = match token.map(|token| (&token.value, token.spot)) {
            Some((Word::Bare(name) | Word::Quoted(name), spot)) => Placed { value: name.clone(), spot },
            _ => return Err(self.expected("a field", token)),
        };
        if self.take_keyword("is") {
            let negated = self.take_keyword("not");
            if !self.take_keyword("empty") {
                return Err(self.expected("`empty`", self.peek()));
            }
            return Ok(negate(negated, Condition::Empty(field)));
        }
        let negated = self.take_keyword("not");
        if self.take_keyword("in") {
            return Ok(negate(negated, self.list(&field)?));
        }
        if self.take_keyword("contains") {
            return Ok(negate(negated, Condition::Field(field, Test::Contains, self.value()?)));
        }
        if self.is_keyword("starts") {
            self.at += 1;
            if !self.take_keyword("with") {
                return Err(self.expected("`with`", self.peek()));
            }
            return Ok(negate(negated, Condition::Field(field, Test::StartsWith, self.value()?)));
        }
        let tests = [
            ("=", Test::Equal, false),
            ("!=", Test::Equal, true),
            ("<=", Test::AtMost, false),
            (">=", Test::AtLeast, false),
            ("<", Test::Below, false),
            (">", Test::Above, false),
        ];
        match tests.into_iter().find(|(sign, ..)| !negated && self.take_sign(sign)) {
            Some((_, test, negated)) => Ok(negate(negated, Condition::Field(field, test, self.value()?))),
            None => {
                Err(self.expected("`is empty`, `=`, `!=`, `<`, `>`, `in`, `contains` or `starts with`", self.peek()))
            }
        }
    }

    fn list(&mut self, field: &Placed<String>) -> Result<Condition, Problem> {
        if !self.take_sign("(") {
            return Err(self.expected("`(`", self.peek()));
        }
        let mut parts = Vec::new();
        loop {
            parts.push(Condition::Field(field.clone(), Test::Equal, self.value()?));
            if self.take_sign(")") {
                return Ok(one_or(parts, Condition::Any));
            }
            if !self.take_sign(",") {
                return Err(self.expected("`,` or `)`", self.peek()));
            }
        }
    }

    fn value(&mut self) -> Result<Placed<String>, Problem> {
        let token = self.next();
        match token.map(|token| (&token.value, token.spot)) {
            Some((Word::Text(text), spot)) if !text.trim().is_empty() => Ok(Placed { value: text.clone(), spot }),
            Some((Word::Bare(word), spot)) => Ok(Placed { value: word.clone(), spot }),
            Some((Word::Text(_), spot)) => {
                Err(Problem::new(spot, "a filter compares with an empty text").hint("write `is empty`"))
            }
            _ => Err(self.expected("a value", token)),
        }
    }
}

fn one_or(mut parts: Vec<Condition>, join: fn(Vec<Condition>) -> Condition) -> Condition {
    if parts.len() == 1 { parts.remove(0) } else { join(parts) }
}

fn negate(negated: bool, condition: Condition) -> Condition {
    if negated { Condition::Not(Box::new(condition)) } else { condition }
}

/// What the fields of a filter's side are.
pub(super) struct Fields<'a> {
    pub(super) connection: &'a str,
    pub(super) fields: &'a [FieldInfo],
}

impl Written {
    /// The filter by API names, with values in the kinds of their fields; and what works, but perhaps not as meant.
    ///
    /// # Errors
    /// Fields that are not there, and values that they cannot have.
    pub(super) fn resolve(&self, of: &Fields<'_>) -> Result<(Filter, Vec<Problem>), Vec<Problem>> {
        let (mut warnings, mut problems) = (Vec::new(), Vec::new());
        let filter = resolve(&self.condition, of, &mut warnings, &mut problems);
        if problems.is_empty() { Ok((filter, warnings)) } else { Err(problems) }
    }
}

fn resolve(condition: &Condition, of: &Fields<'_>, warnings: &mut Vec<Problem>, problems: &mut Vec<Problem>) -> Filter {
    let mut parts = |conditions: &[Condition]| -> Vec<Filter> {
        conditions.iter().map(|part| resolve(part, of, warnings, problems)).collect()
    };
    match condition {
        Condition::All(conditions) => Filter::All(parts(conditions)),
        Condition::Any(conditions) => Filter::Any(parts(conditions)),
        Condition::Not(condition) => Filter::Not(Box::new(resolve(condition, of, warnings, problems))),
        Condition::Empty(name) => match lookup::field(of.fields, name, of.connection) {
            Ok(field) => Filter::Empty(field.name.clone()),
            Err(problem) => {
                problems.push(problem);
                Filter::Empty(String::new())
            }
        },
        Condition::Field(name, test, written) => {
            let fitted = lookup::field(of.fields, name, of.connection).and_then(|field| {
                let value = fitted(field, *test, written)?;
                warnings.extend(unlisted(field, *test, written, of.connection));
                Ok(Filter::Field(field.name.clone(), *test, value))
            });
            fitted.unwrap_or_else(|problem| {
                problems.push(problem);
                Filter::Empty(String::new())
            })
        }
    }
}

/// The written value as the field holds it.
fn fitted(field: &FieldInfo, test: Test, written: &Placed<String>) -> Result<Value, Problem> {
    let text = written.value.trim();
    let is_order = !matches!(test, Test::Equal | Test::Contains | Test::StartsWith);
    let wrong = |what: &str| Problem::new(written.spot, format!("`{}` {what}", field.name));
    let part = matches!(test, Test::Contains | Test::StartsWith);
    match field.kind {
        TEXT if !is_order => Ok(Value::text(text)),
        LIST if matches!(test, Test::Equal | Test::Contains) => Ok(Value::text(text)),
        INTEGER | DECIMAL if !part => {
            let is_number = text.parse::<f64>().is_ok_and(f64::is_finite) && !text.contains(['e', 'E']);
            let number = text.parse::<i64>().map(Value::Integer).ok();
            number
                .or_else(|| is_number.then(|| Value::Decimal(text.to_owned())))
                .ok_or_else(|| wrong(&format!("is a number, and \"{text}\" is none")))
        }
        BOOLEAN if test == Test::Equal => match text.to_lowercase().as_str() {
            "yes" | "true" | "1" => Ok(Value::Boolean(true)),
            "no" | "false" | "0" => Ok(Value::Boolean(false)),
            _ => Err(wrong(&format!("is yes or no, not \"{text}\""))),
        },
        DATE | 7 | 9 if !part => {
            let days = days_of(text)
                .ok_or_else(|| wrong(&format!("is a date, and \"{text}\" is none")).hint("write it as 2024-01-31"))?;
            Ok(match field.kind {
                DATE => Value::Date(days),
                7 => Value::LocalDateTime(days * DAY_US),
                _ => Value::Instant(days * DAY_US),
            })
        }
        REFERENCE => Err(wrong("is a reference").hint("a filter can only say that it `is empty` or `is not empty`")),
        _ if is_order => Err(wrong("has no order").hint("`<` and `>` are for numbers and dates")),
        _ => Err(wrong("cannot be tested so").hint("use `=`, `in` or `is empty`")),
    }
}

/// Days since 1970 of an ISO date.
pub(super) fn days_of(text: &str) -> Option<i64> {
    let date = text.parse::<toml::value::Datetime>().ok()?;
    let date = date.date.filter(|_| date.time.is_none())?;
    let month = time::Month::try_from(date.month).ok()?;
    let date = time::Date::from_calendar_date(i32::from(date.year), month, date.day).ok()?;
    Some(date.midnight().assume_utc().unix_timestamp() / 86_400)
}

/// A picklist that does not list the value that it is compared with.
fn unlisted(field: &FieldInfo, test: Test, written: &Placed<String>, connection: &str) -> Option<Problem> {
    let is_listed = |choice: &super::describe::Choice| choice.value.eq_ignore_ascii_case(written.value.trim());
    if test != Test::Equal || field.choices.is_empty() || field.choices.iter().any(is_listed) {
        return None;
    }
    let message = format!("`{}` of `{connection}` does not list `{}`", field.name, written.value);
    Some(Problem::new(written.spot, message).nearest(&written.value, field.choices.iter().map(|it| it.value.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::fixture::left;

    fn resolved(text: &str) -> Result<(Filter, Vec<Problem>), Vec<Problem>> {
        let spot = Spot { line: 3, column: 10 };
        let written = parse(&Placed { value: text.to_owned(), spot }).map_err(|problem| vec![problem])?;
        let fields = &left().fields["Contacts"];
        written.resolve(&Fields { connection: "east", fields })
    }

    #[test]
    fn conditions_are_read_as_people_mean_them() {
        let check = |text: &str, expected: &str| {
            let (filter, warnings) = resolved(text).unwrap_or_else(|problems| panic!("{text}: {problems:#?}"));
            assert_eq!((format!("{filter:?}").as_str(), warnings.len()), (expected, 0), "{text}");
        };
        check("Title = \"CEO\"", "Field(\"Title\", Equal, Text(\"CEO\"))");
        check("`Last Name` starts with 'Mc'", "Field(\"Last_Name\", StartsWith, Text(\"Mc\"))");
        check("Email_Opt_Out = no", "Field(\"Email_Opt_Out\", Equal, Boolean(false))");
        check("Date_of_Birth >= 1970-01-02", "Field(\"Date_of_Birth\", AtLeast, Date(1))");
        check("Title != CEO", "Not(Field(\"Title\", Equal, Text(\"CEO\")))");
        check("Account_Name is not empty", "Not(Empty(\"Account_Name\"))");
        check(
            "Title in (\"A\", \"B\")",
            "Any([Field(\"Title\", Equal, Text(\"A\")), Field(\"Title\", Equal, Text(\"B\"))])",
        );
        check(
            "Title is empty or Phone is empty and not (Email contains \"acme\")",
            "Any([Empty(\"Title\"), All([Empty(\"Phone\"), Not(Field(\"Email\", Contains, Text(\"acme\")))])])",
        );
    }

    #[test]
    fn blanks_within_a_value_belong_to_it() {
        let text = |text: &str| {
            parse(&Placed { value: text.to_owned(), spot: Spot { line: 1, column: 1 } }).expect("it is a filter").text
        };
        assert_eq!(text(" Title  =\n'a  b'  and `Last Name` is empty "), "Title = 'a  b' and `Last Name` is empty");
        // An approval of the one is none of the other.
        assert_ne!(text("Title = \"a  b\""), text("Title = \"a b\""));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let check = |text: &str, expected: &str| {
            let problems = match resolved(text) {
                Ok((_, warnings)) => warnings,
                Err(problems) => problems,
            };
            assert_eq!(problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; "), expected, "{text}");
        };
        check(
            "Titel = \"CEO\"",
            "line 3, column 11: there is no field of `east` called `Titel`; did you mean `Title`?",
        );
        check(
            "Date_of_Birth > \"soon\"",
            "line 3, column 27: `Date_of_Birth` is a date, and \"soon\" is none; write it as 2024-01-31",
        );
        check("Title > \"A\"", "line 3, column 19: `Title` has no order; `<` and `>` are for numbers and dates");
        check(
            "Account_Name = \"ACME\"",
            "line 3, column 26: `Account_Name` is a reference; a filter can only say that it `is empty` or `is not empty`",
        );
        check(
            "Lead_Source = \"Cold Cal\"",
            "line 3, column 25: `Lead_Source` of `east` does not list `Cold Cal`; did you mean `Cold Call`?",
        );
        check(
            "Title = \"CEO\" Phone is empty",
            "line 3, column 25: a filter needs `and`, `or` or the end here, not `Phone`; write it as: Lead_Status = \"Qualified\" and not (Country is empty)",
        );
        check("Title = \"\"", "line 3, column 19: a filter compares with an empty text; write `is empty`");
        check(
            "(Title is empty",
            "line 3, column 10: a filter needs `)` here, not the end; write it as: Lead_Status = \"Qualified\" and not (Country is empty)",
        );
        check("Title = \"CEO", "line 3, column 19: a filter's text begins with \" and does not end");
    }
}
