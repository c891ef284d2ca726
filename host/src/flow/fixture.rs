//! Two CRMs and a flow for this room's tests. The lists of fields are data: they hold what the bundled presets name.

use super::describe::{Choice, FieldInfo, FunctionInfo, Inversion, ModuleInfo, SideInfo};

/// The flow of the tests, between `east` (left) and `west` (right).
pub(super) const SALES: &str = include_str!("fixture/sales.toml");

/// The side `east`. Its contacts have a field for our keys.
pub(super) fn left() -> SideInfo {
    side("east", include_str!("fixture/left.txt"))
}

/// The side `west`.
pub(super) fn right() -> SideInfo {
    side("west", include_str!("fixture/right.txt"))
}

/// The functions of the standard transforms, and one of a plugin of the tenant's.
pub(super) fn functions() -> Vec<FunctionInfo> {
    let info = |plugin: &str, name: &str, inputs, outputs, inversion, inverse: &str| FunctionInfo {
        plugin: plugin.to_owned(),
        name: name.to_owned(),
        inputs,
        outputs,
        inversion,
        inverse: inverse.to_owned(),
    };
    let stable = |name: &str| info("transforms", name, (1, 1), (1, 1), Inversion::Stable, name);
    vec![
        stable("trim"),
        stable("person-name"),
        stable("phone-digits"),
        stable("email-lower"),
        info("transforms", "table", (1, 1), (1, 1), Inversion::Exact, "table-back"),
        info("transforms", "table-back", (1, 1), (1, 1), Inversion::Exact, "table"),
        info("transforms", "join", (1, 16), (1, 1), Inversion::No, ""),
        info("transforms", "split", (1, 1), (1, 16), Inversion::Exact, "join"),
        info("transforms", "constant", (0, 1), (1, 1), Inversion::No, ""),
        info("acme", "trim", (1, 1), (1, 1), Inversion::No, ""),
    ]
}

fn side(connection: &str, text: &str) -> SideInfo {
    let mut side = SideInfo { connection: connection.to_owned(), ..SideInfo::default() };
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let Some(plugin) = line.strip_prefix("plugin ") {
            side.plugin = plugin.to_owned();
        } else if let Some(name) = cells[0].strip_prefix("module ") {
            side.modules.push(ModuleInfo {
                name: name.to_owned(),
                label: cells[1].to_owned(),
                key_field: String::new(),
                recycles: true,
                deletes_for_good: false,
            });
            side.fields.insert(name.to_owned(), Vec::new());
        } else {
            let module = side.modules.last_mut().expect("a module before its fields");
            let field = field(&cells);
            if field.name == "Sync_Key" {
                module.key_field = field.name.clone();
            }
            side.fields.entry(module.name.clone()).or_default().push(field);
        }
    }
    side
}

fn field(cells: &[&str]) -> FieldInfo {
    let [name, label, kind, flags, meaning, list] = *cells else { panic!("six cells, not {cells:?}") };
    let kind = match kind {
        "text" => 2,
        "integer" => 3,
        "decimal" => 4,
        "boolean" => 5,
        "date" => 6,
        "instant" => 9,
        "reference" => 10,
        other => panic!("no kind `{other}`"),
    };
    let list: Vec<String> =
        list.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect();
    let (targets, choices) = if kind == 10 { (list, vec![]) } else { (vec![], list) };
    let has = |flag: &str| flags.split(' ').any(|word| word == flag);
    FieldInfo {
        name: name.to_owned(),
        label: label.to_owned(),
        kind,
        native: String::new(),
        mandatory: has("mandatory"),
        read_only: has("read-only"),
        unique: has("unique"),
        length: flags.split(' ').find_map(|word| word.strip_prefix("length=")?.parse().ok()),
        choices: choices.into_iter().map(|value| Choice { label: value.clone(), value }).collect(),
        targets,
        meaning: meaning.to_owned(),
    }
}
