//! Hashes that outlive a restart and a new version: of a mapping row, and of the settings that an approval covers.

use std::fmt::Write;

use crmsync_core::{Value, Winner};
use serde::Serialize;

use super::deletes::MarkText;
use super::describe::SideInfo;
use super::document::Document;
use super::module::{FieldSet, ModulePair};
use super::preset;
use super::problem::Problem;
use super::row::{Carrying, Row};

/// FNV-1a, 64 bits: small, stable for ever, and nobody gains by a collision in their own flow.
pub(super) fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The word under which a choice is stored: it stays when an enum's variant is renamed.
pub(super) fn word(choice: &impl Serialize) -> String {
    match serde_json::to_value(choice) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("choices are stored as words, not {other:?}"),
    }
}

/// Hash of everything that an approval covers (S6), as 16 hexadecimal digits.
///
/// It changes when the connections, a module, the mapping (the bundled preset's too), a match rule, a winner, the start date, the first
/// sync, automations, owners, deletes or the safety stop change; not with comments, the name, `every`, the order of keys, or when a
/// field appears or vanishes in a CRM. `sides` are needed to know the modules by their API names.
///
/// # Errors
/// A module is not known to its side.
pub fn settings_hash(document: &Document, sides: [&SideInfo; 2]) -> Result<String, Vec<Problem>> {
    let mut text = String::new();
    let mut line = |key: &str, value: &dyn std::fmt::Debug| {
        // Debug spelling quotes and escapes texts, so that no value can pass for a line of its own.
        writeln!(text, "{key} {value:?}").expect("a string takes everything");
    };
    line("between", &document.between);
    line("records-from", &document.records_from_ms);
    line("winner", &document.winner.map(|side| side.as_str()));
    if document.newest {
        line("winner", &"newest");
    }
    line("first-sync", &word(&document.first_sync));
    line("automations", &document.automations);
    line("deletes", &word(&document.deletes.value));
    if let Some(mark) = &document.mark {
        line("mark", &canonical_mark(mark));
    }
    line("safety-stop", &(document.safety_stop.records, document.safety_stop.percent));
    line("owner-fallback", &document.owners.fallback);
    line("owner-table", &document.owners.table);
    let mut problems = Vec::new();
    for module in &document.modules {
        match canonical_module(module, sides) {
            Ok(module) => text.push_str(&module),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(format!("{:016x}", fnv1a(&text))) } else { Err(problems) }
}

fn canonical_module(module: &ModulePair, sides: [&SideInfo; 2]) -> Result<String, Problem> {
    let names = [&sides[0].module(&module.names[0])?.name, &sides[1].module(&module.names[1])?.name];
    let direction = module.direction.as_ref().map_or_else(|| "off".to_owned(), word);
    let mut text = format!("module {names:?} {direction}\n");
    let labels = |rules: &[super::module::MatchText]| rules.iter().map(|rule| rule.label.clone()).collect::<Vec<_>>();
    let mut match_rules = module.match_rules.as_deref().map(labels);
    if module.fields == FieldSet::Default {
        let plugins = [sides[0].plugin.as_str(), sides[1].plugin.as_str()];
        if let Some(preset) = preset::find(plugins, names.map(String::as_str), module.spot) {
            match_rules = match_rules.or_else(|| preset.match_rules.as_deref().map(labels));
            preset.rows.iter().for_each(|row| canonical_row(&mut text, row));
        }
        let mut skipped: Vec<&str> = module.skip.iter().map(|field| field.value.as_str()).collect();
        skipped.sort_unstable();
        let _ = writeln!(text, "skip {skipped:?}");
    }
    module.rows.iter().for_each(|row| canonical_row(&mut text, row));
    let _ = writeln!(text, "match {match_rules:?}");
    for (side, filter) in ["left", "right"].into_iter().zip(&module.filters) {
        if let Some(filter) = filter {
            let _ = writeln!(text, "filter {side} {:?}", filter.text);
        }
    }
    if let Some(records_from_ms) = module.records_from_ms {
        let _ = writeln!(text, "records-from {records_from_ms:?}");
    }
    if let Some(deletes) = &module.deletes {
        let _ = writeln!(text, "deletes {}", word(&deletes.value));
    }
    if let Some(leaves) = &module.when_it_leaves {
        let _ = writeln!(text, "when-it-leaves {}", word(&leaves.value));
    }
    if let Some(mark) = &module.mark {
        let _ = writeln!(text, "mark {:?}", canonical_mark(mark));
    }
    Ok(text)
}

fn canonical_mark(mark: &MarkText) -> ([Option<&str>; 2], &Value) {
    let names = mark.fields.each_ref().map(|field| field.as_ref().map(|field| field.value.as_str()));
    (names, &mark.value)
}

/// A text that is equal for equal ways of carrying.
pub(super) fn canonical_carrying(carrying: &Carrying) -> String {
    match carrying {
        Carrying::Unstated => "unstated".to_owned(),
        Carrying::AsIs => "as-is".to_owned(),
        Carrying::Table(values) => format!("table {values:?}"),
        Carrying::Function(function) => format!("{} {}", function.name, function.settings),
    }
}

fn canonical_row(text: &mut String, row: &Row) {
    let fields = row.fields.each_ref().map(|side| side.iter().map(|field| field.value.as_str()).collect::<Vec<_>>());
    let carry = row.carry.each_ref().map(canonical_carrying);
    let direction = row.direction.as_ref().map(|direction| word(&direction.value));
    let winner = row.winner.as_ref().map(|winner| match winner.value {
        Winner::Side(side) => side.as_str().to_owned(),
        rule => word(&rule),
    });
    let _ = writeln!(text, "row {fields:?} {carry:?} {direction:?} {winner:?} {}", word(&row.sameness));
    if let Some(constant) = &row.constant {
        let _ = writeln!(text, "constant {:?}", constant.value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::fixture::{SALES, left, right};

    fn hash_of(text: &str) -> String {
        let document = Document::parse(text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
        settings_hash(&document, [&left(), &right()]).expect("known modules")
    }

    #[test]
    fn fnv1a_is_the_published_one() {
        assert_eq!(fnv1a(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn approval_covers_what_is_written_to_the_crms() {
        let approved = hash_of(SALES);
        let check = |from: &str, to: &str, stands: bool| {
            let changed = SALES.replacen(from, to, 1);
            assert_ne!(changed, SALES, "{from}");
            assert_eq!(hash_of(&changed) == approved, stands, "{from} → {to}");
        };
        check("every        = \"5 minutes\"", "every = \"1 hour\"", true);
        check("name         = \"sales\"", "name = \"customers\"", true);
        check("# a comment", "# another comment", true);
        check("values = { Gold = \"A\", Silver = \"B\" }", "values = { Silver = \"B\", Gold = \"A\" }", true);
        check("east   = \"Contacts\"\nwest   = \"Contacts\"", "west = \"Contacts\"\neast = \"contacts\"", true);
        check("values = { Gold = \"A\", Silver = \"B\" }", "values = { Gold = \"A\", Silver = \"C\" }", false);
        check("winner       = \"east\"", "winner = \"west\"", false);
        check("first_sync   = \"fill-empty\"", "first_sync = \"ask\"", false);
        check("deletes      = \"report\"", "deletes = \"recycle\"", false);
        check("match  = [\"email + last name\"", "deletes = \"recycle\"\nmatch = [\"email + last name\"", false);
        check("skip   = [\"Fax\"]", "skip = [\"Fax\"]\nwhen_it_leaves = \"stop-updating\"", false);
        check("deletes      = \"report\"", "mark = { east = \"Fax\", value = \"Gone\" }", false);
        check("automations  = \"off\"", "automations = \"on\"", false);
        check("safety_stop  = { records = 50", "safety_stop = { records = 51", false);
        check("match  = [\"email + last name\"", "match  = [\"email\"", false);
        check("skip   = [\"Fax\"]", "skip   = []", false);
        check("direction = \"to-west\"", "direction = \"off\"", false);
        check("fallback = { east = \"office@", "fallback = { east = \"sales@", false);
    }

    #[test]
    fn approval_falls_with_an_unknown_module() {
        let document = Document::parse(&SALES.replacen("\"Leads\"", "\"Leeds\"", 1)).expect("valid TOML");
        let problems = settings_hash(&document, [&left(), &right()]).expect_err("an unknown module");
        assert_eq!(problems[0].message, "there is no module of `east` called `Leeds`");
    }
}
