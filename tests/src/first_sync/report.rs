//! What the program found, as facts that are as expected or not.

use std::fmt::{self, Display};
use std::time::Instant;

use serde::Serialize;

/// One number, and what it had to be.
#[derive(Clone, Debug, Serialize)]
pub struct Fact {
    /// The part of the program.
    pub part: &'static str,
    /// What was looked at.
    pub what: String,
    /// What was found.
    pub found: String,
    /// What had to be found; "" for a number that is only told.
    pub expected: String,
    /// Whether it was.
    pub holds: bool,
}

/// Everything that was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Numbers, in the order in which they were found.
    pub facts: Vec<Fact>,
    /// Examples of what is not as expected, in words.
    pub examples: Vec<String>,
    /// What took how many seconds.
    pub seconds: Vec<(String, f64)>,
    /// Most memory that one of the product's processes took, in MiB.
    pub peak_rss_mib: f64,
    /// The command that took it.
    pub heaviest: String,
}

/// Examples that are kept of one thing that is wrong.
const EXAMPLES_MAX: usize = 5;

impl Report {
    /// Whether every number is as expected.
    pub fn is_clean(&self) -> bool {
        !self.facts.is_empty() && self.facts.iter().all(|fact| fact.holds)
    }

    /// A number that is only told.
    pub(super) fn tell(&mut self, part: &'static str, what: impl Into<String>, found: impl Display) {
        self.add(part, what.into(), found.to_string(), String::new(), true);
    }

    /// A number that has to be another one.
    pub(super) fn equal<T: PartialEq + Display>(
        &mut self,
        part: &'static str,
        what: impl Into<String>,
        found: T,
        expected: T,
    ) {
        let holds = found == expected;
        self.add(part, what.into(), found.to_string(), expected.to_string(), holds);
    }

    /// A number that may not be larger.
    pub(super) fn at_most(&mut self, part: &'static str, what: impl Into<String>, found: u64, most: u64) {
        self.add(part, what.into(), found.to_string(), format!("at most {most}"), found <= most);
    }

    /// A number that has to be there at all: without it a test shows nothing.
    pub(super) fn some(&mut self, part: &'static str, what: impl Into<String>, found: usize) {
        self.add(part, what.into(), found.to_string(), "some".to_owned(), found > 0);
    }

    /// Things that must not be there, with a few of them in words.
    pub(super) fn none(&mut self, part: &'static str, what: impl Into<String>, wrong: &[String]) {
        let what = what.into();
        self.examples.extend(wrong.iter().take(EXAMPLES_MAX).map(|example| format!("{part} {what}: {example}")));
        self.equal(part, what, wrong.len(), 0);
    }

    /// Notes how long something took that began then, and says on stderr that it is over.
    pub(super) fn took(&mut self, what: &str, since: Instant) {
        let seconds = since.elapsed().as_secs_f64();
        eprintln!("  {what}: {seconds:.1} s");
        self.seconds.push((what.to_owned(), seconds));
    }

    fn add(&mut self, part: &'static str, what: String, found: String, expected: String, holds: bool) {
        if !holds {
            eprintln!("  NOT AS EXPECTED: {part} {what}: {found}, expected {expected}");
        }
        self.facts.push(Fact { part, what, found, expected, holds });
    }
}

impl Display for Report {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fact in &self.facts {
            let Fact { part, what, found, expected, holds } = fact;
            let expected = if expected.is_empty() { String::new() } else { format!("   expected {expected}") };
            let mark = if *holds { "" } else { "   NOT AS EXPECTED" };
            writeln!(to, "{part}  {what:<72}{found:>8}{expected}{mark}")?;
        }
        for example in &self.examples {
            writeln!(to, "   {example}")?;
        }
        for (what, seconds) in &self.seconds {
            writeln!(to, "{what:<75}{seconds:>8.1} s")?;
        }
        writeln!(to, "{:<75}{:>8.0} MiB", "peak memory of the product, in", self.peak_rss_mib)?;
        writeln!(to, "    {}", self.heaviest)?;
        let wrong = self.facts.iter().filter(|fact| !fact.holds).count();
        match wrong {
            0 => write!(to, "All {} numbers are as expected.", self.facts.len()),
            wrong => write!(to, "{wrong} of {} numbers are NOT as expected.", self.facts.len()),
        }
    }
}
