//! What is wrong with a flow file, where, and what was probably meant.

use std::fmt;

/// A place in the flow file. Lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

/// Something that was read from the flow file, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// What was read.
    pub value: T,
    /// Where it stands.
    pub spot: Spot,
}

/// One thing that is wrong (or, as a warning, doubtful), for the person who wrote the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Problem {
    /// Line of the flow file, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong: a fragment in lower case, names in backticks.
    pub message: String,
    /// What to do about it, or the name that was probably meant.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(spot: Spot, message: impl Into<String>) -> Problem {
        Problem { line: spot.line, column: spot.column, message: message.into(), hint: None }
    }

    /// The same with a hint.
    pub fn hint(self, hint: impl Into<String>) -> Problem {
        Problem { hint: Some(hint.into()), ..self }
    }

    /// The same with the nearest of the known names as its hint, if one is near.
    pub fn nearest<'a>(self, written: &str, known: impl IntoIterator<Item = &'a str>) -> Problem {
        match nearest(written, known) {
            Some(name) => self.hint(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// The same at another place: what a preset's row brings about is shown at the module that asked for the preset.
    pub fn moved_to(self, spot: Spot) -> Problem {
        Problem { line: spot.line, column: spot.column, ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// The known name that is nearest to a mistyped one; none if all are too far away to be meant. Case is ignored.
pub(super) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed: Vec<char> = written.to_lowercase().chars().collect();
    let mistakes_max = (typed.len() / 3).max(1);
    known
        .into_iter()
        .map(|name| (distance(&typed, &name.to_lowercase().chars().collect::<Vec<_>>()), name))
        .filter(|(mistakes, _)| *mistakes <= mistakes_max)
        .min_by_key(|(mistakes, _)| *mistakes)
        .map(|(_, name)| name)
}

/// Letters to add, drop, replace or swap with their neighbour (optimal string alignment).
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = vec![];
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let replaced = above[j - 1] + usize::from(left[i - 1] != right[j - 1]);
            let mut least = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_meant() {
        let known = ["winner", "every", "Last_Name", "First_Name"];
        let check = |written: &str, expected: Option<&str>| assert_eq!(nearest(written, known), expected, "{written}");
        check("winer", Some("winner"));
        check("wniner", Some("winner"));
        check("evry", Some("every"));
        check("LastName", Some("Last_Name"));
        check("name", None);
        check("loyalty", None);
        check("", None);
    }

    #[test]
    fn problems_read_as_one_line() {
        let problem = Problem::new(Spot { line: 3, column: 1 }, "unknown key `winer`").nearest("winer", ["winner"]);
        assert_eq!(problem.to_string(), "line 3, column 1: unknown key `winer`; did you mean `winner`?");
        let plain = Problem::new(Spot { line: 1, column: 2 }, "`name` is missing");
        assert_eq!(plain.to_string(), "line 1, column 2: `name` is missing");
    }
}
