//! Presets: the usual rows and match rules for two plugins' modules. They are data, bundled from `plugins/presets/presets.toml`; the
//! rows are written as in a flow file, with the plugins' ids where a flow has its connections' names.

use std::sync::LazyLock;

use super::document::read_toml;
use super::module::{self, MatchText, ModulePair};
use super::problem::{Placed, Problem, Spot};
use super::reader::Reader;
use super::row::{Carrying, Row};

const BUNDLED: &str = include_str!("../../../plugins/presets/presets.toml");

static PRESETS: LazyLock<Vec<Bundled>> =
    LazyLock::new(|| read(BUNDLED).unwrap_or_else(|problems| panic!("the bundled presets are wrong: {problems:#?}")));

/// All presets of two plugins.
struct Bundled {
    plugins: [String; 2],
    modules: Vec<ModulePair>,
}

/// What a module begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preset {
    /// Match rules, strongest first.
    pub match_rules: Option<Vec<MatchText>>,
    /// Rows.
    pub rows: Vec<Row>,
}

/// The preset for two modules (API names) of two plugins (ids), left first, as if it were written at this place of the flow file.
pub fn find(plugins: [&str; 2], modules: [&str; 2], spot: Spot) -> Option<Preset> {
    of_plugins(plugins).find_map(|(preset, is_flipped)| {
        let [left, right] = names(preset, is_flipped);
        if [left, right] != modules {
            return None;
        }
        let rows = preset.rows.iter().map(|row| {
            let row = row.clone();
            placed_at(if is_flipped { row.flipped() } else { row }, spot)
        });
        let match_rules = preset
            .match_rules
            .as_ref()
            .map(|rules| rules.iter().map(|rule| MatchText { spot, ..rule.clone() }).collect());
        Some(Preset { match_rules, rows: rows.collect() })
    })
}

/// The modules (API names) that have a preset for two plugins, left first: what a new flow offers.
pub fn modules(plugins: [&str; 2]) -> Vec<[String; 2]> {
    of_plugins(plugins).map(|(preset, is_flipped)| names(preset, is_flipped).map(str::to_owned)).collect()
}

fn names(preset: &ModulePair, is_flipped: bool) -> [&str; 2] {
    let [left, right] = preset.names.each_ref().map(|name| name.value.as_str());
    if is_flipped { [right, left] } else { [left, right] }
}

/// Presets of two plugins, and whether they are written the other way round.
fn of_plugins(plugins: [&str; 2]) -> impl Iterator<Item = (&'static ModulePair, bool)> {
    let [left, right] = plugins.map(str::to_owned);
    PRESETS
        .iter()
        .filter_map(move |bundled| {
            let is_flipped = bundled.plugins[0] != left;
            let wanted = if is_flipped { [&right, &left] } else { [&left, &right] };
            (bundled.plugins.each_ref() == wanted).then_some((bundled, is_flipped))
        })
        .flat_map(|(bundled, is_flipped)| bundled.modules.iter().map(move |preset| (preset, is_flipped)))
}

/// A preset's rows have no place in the person's file but that of the module that asked for them.
fn placed_at(mut row: Row, spot: Spot) -> Row {
    row.spot = spot;
    row.fields.iter_mut().flatten().for_each(|field| field.spot = spot);
    if let Some(direction) = &mut row.direction {
        direction.spot = spot;
    }
    for carrying in &mut row.carry {
        if let Carrying::Function(function) = carrying {
            function.spot = spot;
        }
    }
    row
}

fn read(text: &str) -> Result<Vec<Bundled>, Vec<Problem>> {
    let mut reader = Reader::new(text);
    let root = read_toml(text, &mut reader)?;
    reader.known_keys(&root, &["preset"]);
    let mut bundled = Vec::new();
    for table in reader.tables(&root, "preset") {
        reader.known_keys(table.value, &["between", "module"]);
        let plugins = reader.texts(table.value, "between").unwrap_or_default();
        let Ok([Placed { value: left, .. }, Placed { value: right, .. }]) = <[Placed<String>; 2]>::try_from(plugins)
        else {
            reader.note(Problem::new(table.spot, "`between` must name two plugins"));
            continue;
        };
        let modules = reader.tables(table.value, "module");
        let modules =
            modules.iter().filter_map(|module| module::read(&mut reader, module.value, module.spot, [&left, &right]));
        let modules = modules.collect();
        bundled.push(Bundled { plugins: [left, right], modules });
    }
    let problems = reader.into_problems();
    if problems.is_empty() { Ok(bundled) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_found_from_both_sides() {
        let spot = Spot { line: 7, column: 1 };
        for bundled in PRESETS.iter() {
            let [a, b] = bundled.plugins.each_ref().map(String::as_str);
            assert_eq!(modules([a, b]).len(), bundled.modules.len());
            for [left, right] in modules([a, b]) {
                let forth = find([a, b], [&left, &right], spot).expect("a preset");
                let back = find([b, a], [&right, &left], spot).expect("the same preset");
                let flipped: Vec<Row> = back.rows.into_iter().map(Row::flipped).collect();
                assert_eq!(flipped, forth.rows, "{left} and {right}");
                assert!(forth.rows.iter().flat_map(|row| row.fields.iter().flatten()).all(|field| field.spot == spot));
            }
        }
        assert_eq!(find(["nobody", "knows"], ["Contacts", "Contacts"], spot), None);
        assert!(modules(["nobody", "knows"]).is_empty());
    }

    #[test]
    fn no_field_stands_in_two_rows() {
        for preset in PRESETS.iter().flat_map(|bundled| &bundled.modules) {
            for side in 0..2 {
                let mut names: Vec<&str> =
                    preset.rows.iter().flat_map(|row| &row.fields[side]).map(|field| field.value.as_str()).collect();
                let count = names.len();
                names.sort_unstable();
                names.dedup();
                assert_eq!(names.len(), count, "{}", preset.names[side].value);
            }
        }
    }
}
