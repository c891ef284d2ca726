//! Finds what a person named: modules and fields by API name or label, rows by any of their fields' names, labels or meanings.

use crmsync_core::{MappingRow, Side};

use super::describe::{FieldInfo, ModuleInfo, SideInfo};
use super::problem::{Placed, Problem};

/// Finds one of several things that have an API name and a label. The exact name goes before another case, a name before a label.
///
/// `what` says what is looked for and where, such as ``module of `east` ``.
fn named<'a, T>(
    all: &'a [T],
    names: impl Fn(&'a T) -> (&'a str, &'a str),
    written: &Placed<String>,
    what: &str,
) -> Result<&'a T, Problem> {
    let same = |left: &str| left.to_lowercase() == written.value.to_lowercase();
    let steps: [&dyn Fn(&'a T) -> bool; 3] =
        [&|thing| names(thing).0 == written.value, &|thing| same(names(thing).0), &|thing| same(names(thing).1)];
    for step in steps {
        let found: Vec<&T> = all.iter().filter(|thing| step(thing)).collect();
        match found[..] {
            [] => {}
            [only] => return Ok(only),
            _ => {
                let api_names =
                    found.iter().map(|thing| format!("`{}`", names(thing).0)).collect::<Vec<_>>().join(", ");
                let message = format!("more than one {what} is called `{}`", written.value);
                return Err(Problem::new(written.spot, message).hint(format!("use the API name: {api_names}")));
            }
        }
    }
    let known = all.iter().flat_map(|thing| [names(thing).0, names(thing).1]);
    Err(Problem::new(written.spot, format!("there is no {what} called `{}`", written.value))
        .nearest(&written.value, known))
}

impl SideInfo {
    /// The module that a person named by API name or label.
    ///
    /// # Errors
    /// There is none, or a label fits several.
    pub fn module(&self, written: &Placed<String>) -> Result<&ModuleInfo, Problem> {
        let what = format!("module of `{}`", self.connection);
        named(&self.modules, |module| (&module.name, &module.label), written, &what)
    }
}

/// The field that a person named by API name or label.
pub(super) fn field<'a>(
    fields: &'a [FieldInfo],
    written: &Placed<String>,
    connection: &str,
) -> Result<&'a FieldInfo, Problem> {
    named(fields, |field| (&field.name, &field.label), written, &format!("field of `{connection}`"))
}

/// Words of people for the contract's codes, where the code itself is not what people say.
const SPOKEN: [(&str, &str); 12] = [
    ("first-name", "given-name"),
    ("last-name", "family-name"),
    ("surname", "family-name"),
    ("e-mail", "email"),
    ("mail", "email"),
    ("mobile", "phone-mobile"),
    ("cell", "phone-mobile"),
    ("phone", "phone-work"),
    ("birthday", "birth-date"),
    ("title", "job-title"),
    ("source", "lead-source"),
    ("organization-name", "name"),
];

/// Why no row, or no single row, is what was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoRow {
    /// None has such a field; the name that was probably meant.
    Unknown(Option<String>),
    /// Several have.
    Several(Vec<String>),
}

impl NoRow {
    /// As a problem at a part of a `match` or `skip`.
    pub(super) fn problem(self, key: &str, written: &Placed<String>) -> Problem {
        match self {
            NoRow::Unknown(near) => {
                let problem =
                    Problem::new(written.spot, format!("`{key}`: no synced field is called `{}`", written.value));
                match near {
                    Some(name) => problem.hint(format!("did you mean `{name}`?")),
                    None => problem,
                }
            }
            NoRow::Several(keys) => {
                let problem = Problem::new(written.spot, format!("`{key}`: `{}` may be several rows", written.value));
                problem.hint(format!("use an API name: {}", keys.join(", ")))
            }
        }
    }
}

/// The index of the row that has a field with this API name, label or meaning on either side; in this order of precedence.
pub(super) fn row(rows: &[&MappingRow], fields: [&[FieldInfo]; 2], written: &str) -> Result<usize, NoRow> {
    let lower = written.to_lowercase();
    let spoken = lower.split([' ', '_', '-']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
    let code = SPOKEN.iter().find(|(word, _)| *word == spoken).map_or(spoken.as_str(), |(_, code)| code);
    let steps: [&dyn Fn(&FieldInfo) -> bool; 4] = [
        &|field| field.name == written,
        &|field| field.name.to_lowercase() == lower,
        &|field| field.label.to_lowercase() == lower,
        &|field| field.meaning == code,
    ];
    let infos = |row: &MappingRow| {
        let of_side = |side: Side| {
            let names: Vec<String> = row.fields(side).iter().map(|field| field.name.clone()).collect();
            fields[side as usize].iter().filter(move |info| names.contains(&info.name))
        };
        of_side(Side::Left).chain(of_side(Side::Right)).collect::<Vec<_>>()
    };
    for step in steps {
        let found: Vec<usize> = (0..rows.len()).filter(|&index| infos(rows[index]).into_iter().any(step)).collect();
        match found[..] {
            [] => {}
            [only] => return Ok(only),
            _ => return Err(NoRow::Several(found.iter().map(|&index| format!("`{}`", rows[index].key.0)).collect())),
        }
    }
    let all: Vec<&FieldInfo> = rows.iter().flat_map(|row| infos(row)).collect();
    let known = all.iter().flat_map(|field| [field.name.as_str(), field.label.as_str()]);
    Err(NoRow::Unknown(super::problem::nearest(written, known).map(str::to_owned)))
}
