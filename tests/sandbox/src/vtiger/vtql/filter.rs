//! Conditions and orders, held against the fields of one module. Comparing follows the database, not common sense.

use std::cmp::Ordering;

use super::super::answer::Refusal;
use super::super::collation::{fold, is_like};
use super::super::schema::{Field, Kind, Module};
use super::super::value::leading_number;
use super::parser::{Condition, Operator, Query};

/// The `where` part of a query, ready to be asked about records.
#[derive(Debug)]
pub(in super::super) struct Filter {
    alternatives: Vec<Vec<Test>>,
}

/// One condition: the place of its field among the module's fields, and what the value there must be.
#[derive(Debug)]
struct Test {
    position: usize,
    operator: Operator,
    operand: Operand,
}

/// The literals of a condition, in the form in which the column is compared.
#[derive(Debug)]
enum Operand {
    Numbers(Vec<f64>),
    Texts(Vec<String>),
    /// `YYYY-MM-DD HH:MM:SS`, which sort as text.
    Times(Vec<String>),
    /// A folded pattern.
    Pattern(String),
    /// An owner without a prefix is no error and no match.
    Nothing,
}

impl Filter {
    /// Looks the columns of the conditions up and reads their literals.
    ///
    /// # Errors
    ///
    /// An unknown column is `ACCESS_DENIED`; an id or reference literal without `x` an internal error.
    pub(in super::super) fn new(query: &Query, module: &Module) -> Result<Self, Refusal> {
        let test = |condition: &Condition| {
            let position = module.position(&condition.column).ok_or_else(|| {
                Refusal::access(format!("Permission to access {} attribute denied.", condition.column))
            })?;
            let operand = operand(&module.fields[position], condition)?;
            Ok(Test { position, operator: condition.operator, operand })
        };
        let alternatives =
            query.alternatives.iter().map(|all| all.iter().map(test).collect()).collect::<Result<_, _>>()?;
        Ok(Self { alternatives })
    }

    /// Whether a record passes; `shown` gives its value at a field's position, as a client reads it.
    pub(in super::super) fn passes<S: AsRef<str>>(&self, shown: impl Fn(usize) -> S) -> bool {
        self.alternatives.is_empty()
            || self.alternatives.iter().any(|all| all.iter().all(|test| test.passes(shown(test.position).as_ref())))
    }
}

fn operand(field: &Field, condition: &Condition) -> Result<Operand, Refusal> {
    let values = &condition.values;
    if condition.operator == Operator::Like {
        return Ok(Operand::Pattern(fold(&values[0])));
    }
    Ok(match field.kind {
        Kind::Id | Kind::Reference(_) => {
            let numbers: Option<Vec<f64>> =
                values.iter().map(|value| value.split_once('x').map(|(_, number)| leading_number(number))).collect();
            Operand::Numbers(numbers.ok_or_else(Refusal::internal)?)
        }
        Kind::Owner => {
            let owners = values.iter().filter_map(|value| value.split_once('x'));
            let numbers: Vec<f64> = owners.map(|(_, number)| leading_number(number)).collect();
            if numbers.is_empty() { Operand::Nothing } else { Operand::Numbers(numbers) }
        }
        Kind::Boolean | Kind::Integer | Kind::Currency => {
            Operand::Numbers(values.iter().map(|value| leading_number(value)).collect())
        }
        Kind::Date | Kind::DateTime => Operand::Times(values.iter().map(|value| time_literal(value)).collect()),
        Kind::Text { .. } | Kind::LongText => Operand::Texts(values.iter().map(|value| fold(value)).collect()),
    })
}

impl Test {
    fn passes(&self, shown: &str) -> bool {
        match &self.operand {
            Operand::Numbers(numbers) => {
                // What reads as empty is NULL in these columns, and NULL compares to nothing.
                let Some(number) = column_number(shown) else { return false };
                self.holds(numbers.iter().map(|wanted| number.total_cmp(wanted)))
            }
            Operand::Times(_) if shown.is_empty() => false,
            Operand::Times(times) => {
                let time = time_literal(shown);
                self.holds(times.iter().map(|wanted| time.as_str().cmp(wanted)))
            }
            Operand::Texts(texts) => {
                let text = fold(shown);
                self.holds(texts.iter().map(|wanted| text.as_str().cmp(wanted)))
            }
            Operand::Pattern(pattern) => is_like(&fold(shown), pattern),
            Operand::Nothing => false,
        }
    }

    fn holds(&self, mut comparisons: impl Iterator<Item = Ordering>) -> bool {
        comparisons.any(|ordering| match self.operator {
            Operator::Equal | Operator::In | Operator::Like => ordering.is_eq(),
            Operator::NotEqual => ordering.is_ne(),
            Operator::Less => ordering.is_lt(),
            Operator::Greater => ordering.is_gt(),
            Operator::LessOrEqual => ordering.is_le(),
            Operator::GreaterOrEqual => ordering.is_ge(),
        })
    }
}

/// The number in a shown value: of an id or reference what follows the `x`.
fn column_number(shown: &str) -> Option<f64> {
    if shown.is_empty() {
        return None;
    }
    Some(leading_number(shown.split_once('x').map_or(shown, |(_, number)| number)))
}

/// A date or time as the database reads it: `T` for the blank, midnight if there is no time, and for garbage a day
/// before all others.
fn time_literal(text: &str) -> String {
    let text = text.trim().replacen('T', " ", 1);
    let (date, time) = text.split_once(' ').unwrap_or((&text, "00:00:00"));
    let reads = |part: &str, separator: char, widths: [usize; 3]| {
        let numbers: Vec<&str> = part.split(separator).collect();
        numbers.len() == 3
            && numbers
                .iter()
                .zip(widths)
                .all(|(number, width)| number.len() == width && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let time = if time.len() == 5 { format!("{time}:00") } else { time.to_owned() };
    if reads(date, '-', [4, 2, 2]) && reads(&time, ':', [2, 2, 2]) {
        format!("{date} {time}")
    } else {
        "0000-00-00 00:00:00".to_owned()
    }
}

/// The `order by` part of a query.
#[derive(Debug)]
pub(in super::super) struct Order {
    /// Positions and whether they hold numbers.
    columns: Vec<(usize, bool)>,
    descending: bool,
}

/// What records are sorted by, one part for each column.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    Number(f64),
    Text(String),
}

impl Order {
    /// Looks the columns up; `None` if one of them is unknown, which empties the answer without an error.
    pub(in super::super) fn new(query: &Query, module: &Module) -> Option<Self> {
        let column = |name: &String| {
            let position = module.position(name)?;
            let is_text = matches!(
                module.fields[position].kind,
                Kind::Text { .. } | Kind::LongText | Kind::Date | Kind::DateTime
            );
            Some((position, !is_text))
        };
        Some(Self { columns: query.order_by.iter().map(column).collect::<Option<_>>()?, descending: query.descending })
    }

    /// Sorts records; ties stay in the order given.
    pub(in super::super) fn sort<R>(&self, records: &mut Vec<R>, shown: impl Fn(&R, usize) -> String) {
        if self.columns.is_empty() {
            return;
        }
        let mut keyed: Vec<(Vec<Part>, R)> = std::mem::take(records)
            .into_iter()
            .map(|record| {
                let part = |&(position, is_number): &(usize, bool)| {
                    let value = shown(&record, position);
                    match is_number {
                        true => Part::Number(column_number(&value).unwrap_or(f64::NEG_INFINITY)),
                        false => Part::Text(fold(&value)),
                    }
                };
                (self.columns.iter().map(part).collect(), record)
            })
            .collect();
        keyed.sort_by(|(left, _), (right, _)| self.compare(left, right));
        records.extend(keyed.into_iter().map(|(_, record)| record));
    }

    fn compare(&self, left: &[Part], right: &[Part]) -> Ordering {
        let last = self.columns.len() - 1;
        let mut orderings = left.iter().zip(right).enumerate().map(|(at, pair)| {
            let ordering = match pair {
                (Part::Number(left), Part::Number(right)) => left.total_cmp(right),
                (Part::Text(left), Part::Text(right)) => left.cmp(right),
                // One column always gives one kind of part.
                (Part::Number(_), Part::Text(_)) | (Part::Text(_), Part::Number(_)) => Ordering::Equal,
            };
            if at == last && self.descending { ordering.reverse() } else { ordering }
        });
        orderings.find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
    }
}
