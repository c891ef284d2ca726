//! What a check of a flow finds beyond mistakes: texts that will not fit, users who have no counterpart, addresses that stand for
//! several users. Each with what to do about it.

use std::collections::BTreeMap;

use crmsync_core::{Role, Side};

use super::describe::{FieldInfo, TEXT};
use super::document::Document;
use super::module::ModulePair;
use super::problem::{Problem, Spot};
use super::rows::{Context, Resolved};

/// Users named in one message; the rest is counted.
const USERS_NAMED_MAX: usize = 5;

/// One user of a CRM, as far as owners go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// Full name.
    pub name: String,
    /// E-mail address, or "".
    pub email: String,
    /// May own records now.
    pub active: bool,
}

/// Texts of one side that may be longer than the other side keeps.
pub(super) fn lengths(context: &Context<'_>, module: &ModulePair, rows: &[Resolved]) -> Vec<Problem> {
    let mut warnings = Vec::new();
    for row in rows.iter().map(|row| &row.row).filter(|row| row.role == Role::Plain) {
        for to in Side::BOTH.into_iter().filter(|&to| context.direction.writes(to) && row.direction.writes(to)) {
            let ([from], [into]) = (row.fields(to.other()), row.fields(to)) else { continue };
            let (Some(from), Some(into)) = (info(context, to.other(), &from.name), info(context, to, &into.name))
            else {
                continue;
            };
            let (Some(longest), Some(kept)) = (from.length, into.length) else { continue };
            // A transform or a table may give something shorter.
            let as_it_is = row.carry(to).is_none() && from.kind == TEXT && into.kind == TEXT && into.choices.is_empty();
            if as_it_is && longest > kept {
                let [of_from, of_into] = [to.other(), to].map(|side| context.connections[side as usize]);
                let message = format!(
                    "`{}` of `{of_from}` takes {longest} characters, `{}` of `{of_into}` keeps {kept}",
                    from.name, into.name
                );
                warnings.push(Problem::new(module.spot, message).hint(format!(
                    "longer values are left out and listed as too-long, never cut; make the field longer in `{of_into}`, or leave \
                     it out with skip = [\"{}\"]",
                    from.name
                )));
            }
        }
    }
    warnings
}

fn info<'a>(context: &'a Context<'_>, side: Side, name: &str) -> Option<&'a FieldInfo> {
    context.fields[side as usize].iter().find(|field| field.name == name)
}

/// Users whose records would get another owner, or none, on the other side; left users first (S16).
pub fn owner_gaps(document: &Document, users: [&[UserInfo]; 2]) -> Vec<Problem> {
    let spot = Spot { line: 1, column: 1 };
    let mut warnings = Vec::new();
    let active =
        users.map(|users| users.iter().filter(|user| user.active && !user.email.is_empty()).collect::<Vec<_>>());
    for side in Side::BOTH {
        let connection = &document.between[side as usize];
        let mut by_email: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for user in &active[side as usize] {
            by_email.entry(user.email.to_lowercase()).or_default().push(&user.name);
        }
        for (email, names) in by_email.iter().filter(|(_, names)| names.len() > 1) {
            let message = format!(
                "`{connection}` has {} active users with the address `{email}`: {}",
                names.len(),
                names.join(", ")
            );
            warnings.push(
                Problem::new(spot, message).hint("owners are known by their address: give each user one of their own"),
            );
        }
        let other = &active[side.other() as usize];
        let has_counterpart = |email: &str| {
            let named = document.owners.table.iter().find_map(|(left, right)| {
                let (from, to) = if side == Side::Left { (left, right) } else { (right, left) };
                (from == email).then_some(to)
            });
            let wanted = named.map_or(email, String::as_str);
            other.iter().any(|user| user.email.eq_ignore_ascii_case(wanted))
        };
        let alone: Vec<&String> = by_email.keys().filter(|email| !has_counterpart(email)).collect();
        if !alone.is_empty() {
            warnings.push(alone_problem(document, side, &alone));
        }
    }
    warnings
}

fn alone_problem(document: &Document, side: Side, alone: &[&String]) -> Problem {
    let [connection, other] = [side, side.other()].map(|side| &document.between[side as usize]);
    let mut named = alone.iter().take(USERS_NAMED_MAX).map(|email| format!("`{email}`")).collect::<Vec<_>>().join(", ");
    if alone.len() > USERS_NAMED_MAX {
        named.push_str(&format!(" and {} more", alone.len() - USERS_NAMED_MAX));
    }
    let message = format!("users of `{connection}` without a counterpart of the same address in `{other}`: {named}");
    let pairs = alone.iter().take(USERS_NAMED_MAX).map(|email| match side {
        Side::Left => format!("\"{email}\" = \"…\""),
        Side::Right => format!("\"…\" = \"{email}\""),
    });
    let fallback = match &document.owners.fallback[side.other() as usize] {
        Some(email) => format!("new records of theirs go to `{email}`"),
        None => "new records of theirs go to the user who is logged in".to_owned(),
    };
    Problem::new(Spot { line: 1, column: 1 }, message).hint(format!(
        "{fallback}; to name their counterparts: [owners] table = {{ {} }}",
        pairs.collect::<Vec<_>>().join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(owners: &str) -> Document {
        let text = format!(
            "format = 1\nname = \"a\"\nbetween = [\"east\", \"west\"]\nwinner = \"east\"\n[owners]\n{owners}\n[[module]]\neast = \"A\"\nwest = \"B\"\n"
        );
        Document::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    fn user(email: &str, active: bool) -> UserInfo {
        UserInfo { name: email.split('@').next().unwrap_or_default().to_owned(), email: email.to_owned(), active }
    }

    #[test]
    fn users_without_a_counterpart_are_told_with_a_table_to_fill_in() {
        let left = [user("anna@x.example", true), user("Bob@x.example", true), user("gone@x.example", false)];
        let right = [user("bob@x.example", true), user("carl@x.example", true)];
        let told = owner_gaps(&document("fallback = { west = \"bob@x.example\" }"), [&left, &right]);
        let lines: Vec<String> = told.iter().map(Problem::to_string).collect();
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(lines[0].contains("`anna@x.example`") && lines[0].contains("go to `bob@x.example`"), "{}", lines[0]);
        assert!(lines[0].contains("table = { \"anna@x.example\" = \"…\" }"), "{}", lines[0]);
        assert!(lines[1].contains("\"…\" = \"carl@x.example\"") && lines[1].contains("logged in"), "{}", lines[1]);
        let named = document("table = { \"anna@x.example\" = \"carl@x.example\" }");
        assert_eq!(owner_gaps(&named, [&left, &right]), []);
    }

    #[test]
    fn one_address_of_two_users_is_told() {
        let left = [user("office@x.example", true), user("OFFICE@x.example", true)];
        let right = [user("office@x.example", true)];
        let told = owner_gaps(&document(""), [&left, &right]);
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(told[0].message.contains("2 active users"), "{}", told[0].message);
    }
}
