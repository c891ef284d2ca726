//! Who and where we are, modules, fields, users, counts.

use std::collections::BTreeSet;

use crmsync_plugin::egress::Answer;
use crmsync_plugin::facts::Facts;
use crmsync_plugin::rows::{self, Row};
use crmsync_plugin::{Cell, CheckReport, Choice, Fault, FieldInfo, Kind, ModuleInfo, User, warning};
use serde::Deserialize;

use crate::convert::Shape;
use crate::meaning;
use crate::schema::{Schema, is_key_field, is_unique};
use crate::wire::{self, Layout, ListInfo, PAGE_RECORDS_MAX, PickListValue};

/// The modules that can be synced, in the order in which references need them.
const MODULES: [&str; 3] = ["Accounts", "Contacts", "Leads"];
/// After so many milliseconds Zoho can no longer commit a write that it did not answer, unless the connection says otherwise.
const QUIESCE_MS: u64 = 300_000;
/// Zoho's code for a scope that the login does not have.
const SCOPE_MISMATCH: &str = "OAUTH_SCOPE_MISMATCH";
/// Searching and counting take this scope besides the one for the records.
const SEARCH_SCOPE: &str = "ZohoSearch.securesearch.READ";
/// Most pages of users that are read.
const USER_PAGES_MAX: usize = 50;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Org {
    id: String,
    company_name: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    time_zone: Option<String>,
    iso_code: Option<String>,
    license_details: License,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct License {
    paid_type: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CurrentUser {
    id: String,
    full_name: Option<String>,
    email: Option<String>,
    time_zone: Option<String>,
    profile: Named,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
}

/// Tells who and where we are, and which scopes are missing, with four requests. Counting takes two scopes, so the records are asked for
/// only where it is refused, in the place of the settings: those are looked at when the others are granted.
pub(crate) fn check() -> Result<CheckReport, Fault> {
    let mut missing = Vec::new();
    let mut permitted = |request, scope: &str| -> Result<Option<Answer>, Fault> {
        match wire::read(request) {
            Ok(answer) => Ok(Some(answer)),
            Err(Fault::Other((code, message))) if code == SCOPE_MISMATCH => {
                missing.push(format!("{scope} ({message})"));
                Ok(None)
            }
            Err(Fault::Other((code, message))) if is_refusal(&code) => {
                missing.push(format!("{code}: {message} ({scope})"));
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    };
    let org_answer = permitted(wire::get("org"), "ZohoCRM.org.READ")?;
    let user_answer = permitted(wire::get("users").query("type", "CurrentUser"), "ZohoCRM.users.READ")?;
    match wire::read(wire::get("Contacts/actions/count")) {
        Err(Fault::Other((code, message))) if is_refusal(&code) => {
            let records = wire::get("Contacts").query("fields", "id").query("per_page", "1");
            // A user who may not count, but read, misses nothing that is needed.
            if permitted(records, "ZohoCRM.modules.ALL")?.is_some() && code == SCOPE_MISMATCH {
                missing.push(format!("{SEARCH_SCOPE} ({message})"));
            }
        }
        Err(fault) => return Err(fault),
        Ok(_) => drop(permitted(wire::get("settings/modules"), "ZohoCRM.settings.modules.READ")?),
    }
    let org: Org = first(org_answer.as_ref(), "/org/0")?;
    let user: CurrentUser = first(user_answer.as_ref(), "/users/0")?;
    let clock_ms = [org_answer, user_answer].iter().flatten().find_map(wire::server_clock_ms);
    Ok(CheckReport {
        org_id: org.id,
        org_name: org.company_name,
        org_kind: match org.kind.as_deref() {
            Some("production") => "production",
            Some("sandbox" | "developer") => "sandbox",
            _ => "unknown",
        }
        .to_owned(),
        user_name: user.full_name.or(user.email).unwrap_or_default(),
        visible_scope: if user.profile.name == "Administrator" { "all" } else { "unknown" }.to_owned(),
        time_zone: user.time_zone.or(org.time_zone).unwrap_or_else(|| "UTC".to_owned()),
        currency: org.iso_code.unwrap_or_default(),
        edition: org.license_details.paid_type.unwrap_or_default(),
        version: "8".to_owned(),
        server_clock_ms: clock_ms,
        missing,
        extra: vec![("profile".to_owned(), user.profile.name)],
        user_id: user.id,
    })
}

/// The modules that can be synced for this login.
pub(crate) fn modules() -> Result<Vec<ModuleInfo>, Fault> {
    let answer = wire::read(wire::get("settings/modules"))?;
    let columns = [
        ("api_name", Kind::Text),
        ("plural_label", Kind::Text),
        ("api_supported", Kind::Boolean),
        ("viewable", Kind::Boolean),
        ("creatable", Kind::Boolean),
        ("editable", Kind::Boolean),
        ("deletable", Kind::Boolean),
    ];
    let (listed, _) = answer.records("/modules", columns.map(|(name, kind)| rows::column(name, kind)).to_vec())?;
    let quiesce_ms = Facts::of_call().setting("quiesce_ms").and_then(|text| text.parse().ok()).unwrap_or(QUIESCE_MS);
    let mut modules = Vec::new();
    for name in MODULES {
        let usable =
            |row: &Row<'_>| row.text(0) == name && (2..4).all(|column| row.cell(column) != Cell::Boolean(false));
        let Some(row) = listed.iter().find(usable) else { continue };
        let key_field = Schema::recent(name)?.key_field;
        let refused = ["creatable", "editable", "deletable"]
            .into_iter()
            .zip(4..)
            .filter(|(_, column)| row.cell(*column) == Cell::Boolean(false))
            .map(|(right, _)| (right.to_owned(), "false".to_owned()));
        // `DELETE` moves records to the recycle bin; what empties it is no part of this API.
        let deletes = (row.cell(6) != Cell::Boolean(false)).then(|| ("deletes".to_owned(), "recycle".to_owned()));
        modules.push(ModuleInfo {
            name: name.to_owned(),
            label: row.text(1).to_owned(),
            create_class: if key_field.is_some() { "A" } else { "B" }.to_owned(),
            key_field: key_field.unwrap_or_default(),
            update_guard: "conditional".to_owned(),
            removals: "feed".to_owned(),
            quiesce_ms,
            push_rows: wire::WRITE_ROWS_MAX as u32,
            fetch_rows: wire::LIST_IDS_MAX as u32,
            extra: refused.chain(deletes).collect(),
        });
    }
    Ok(modules)
}

/// The fields of a module that can be synced. What must be filled in is what Zoho or any layout of the module says so of.
pub(crate) fn describe(module: &str) -> Result<Vec<FieldInfo>, Fault> {
    let answer = Schema::ask(module)?;
    let schema = Schema::of_answer(module, &answer)?;
    let columns = FIELD_COLUMNS.map(|(name, kind)| rows::column(name, kind)).to_vec();
    let (fields, _) = answer.records("/fields", columns)?;
    let required = required_by_layouts(module, schema)?;
    fields.iter().filter_map(|row| field_info(module, row, &required).transpose()).collect()
}

/// What is read of each field, in the order of the constants below.
const FIELD_COLUMNS: [(&str, Kind); 14] = [
    ("api_name", Kind::Text),
    ("field_label", Kind::Text),
    ("data_type", Kind::Text),
    ("system_mandatory", Kind::Boolean),
    ("read_only", Kind::Boolean),
    ("field_read_only", Kind::Boolean),
    ("/operation_type/api_create", Kind::Boolean),
    ("/operation_type/api_update", Kind::Boolean),
    ("unique", Kind::Raw),
    ("length", Kind::Integer),
    ("pick_list_values", Kind::Rows),
    ("/lookup/module/api_name", Kind::Text),
    ("/formula/return_type", Kind::Text),
    ("custom_field", Kind::Boolean),
];

fn field_info(module: &str, row: Row<'_>, required: &BTreeSet<String>) -> Result<Option<FieldInfo>, Fault> {
    let yes = |column: usize| row.cell(column) == Cell::Boolean(true);
    let no = |column: usize| row.cell(column) == Cell::Boolean(false);
    let (name, data_type) = (row.text(0), row.text(2));
    let Some(shape) = Shape::of(data_type, row.text(11), row.text(12)) else { return Ok(None) };
    let is_unique = is_unique(row.cell(8));
    let mut extra = Vec::new();
    if yes(13) {
        extra.push(("custom".to_owned(), "true".to_owned()));
    }
    if is_key_field(name, data_type, is_unique) {
        extra.push(("key-field".to_owned(), "true".to_owned()));
    }
    Ok(Some(FieldInfo {
        name: name.to_owned(),
        label: row.text(1).to_owned(),
        kind: shape.kind().code(),
        native: data_type.to_owned(),
        mandatory: yes(3) || required.contains(name),
        read_only: yes(4)
            || yes(5)
            || (no(6) && no(7))
            || matches!(data_type, "formula" | "autonumber" | "rollup_summary"),
        unique: is_unique,
        length: match row.cell(9) {
            Cell::Integer(length) if shape.kind() == Kind::Text => {
                u32::try_from(length).ok().filter(|length| *length > 0)
            }
            _ => None,
        },
        choices: choices(row.text(10))?,
        targets: match shape {
            Shape::Reference(target) => vec![target],
            _ => Vec::new(),
        },
        meaning: meaning::of(module, name).to_owned(),
        extra,
    }))
}

/// The values that people can choose; without the screen's word for nothing, and without those taken out of use.
fn choices(json: &str) -> Result<Vec<Choice>, Fault> {
    if json.is_empty() {
        return Ok(Vec::new());
    }
    let values: Vec<PickListValue> = serde_json::from_str(json).map_err(|error| {
        Fault::other("unexpected-answer", format!("cannot read the values of a pick list: {error}"))
    })?;
    let used = values
        .into_iter()
        .filter(|value| value.actual_value != "-None-" && value.state.as_deref().is_none_or(|state| state != "unused"));
    Ok(used.map(|value| Choice { value: value.actual_value, label: value.display_value }).collect())
}

/// API names of the fields that some layout of the module requires: as they were within the day, or from Zoho.
fn required_by_layouts(module: &str, schema: Schema) -> Result<BTreeSet<String>, Fault> {
    if let Some(known) = schema.known_required() {
        return Ok(known.clone());
    }
    let answer = match wire::read(wire::get("settings/layouts").query("module", module)) {
        Ok(answer) => answer,
        Err(Fault::Other((code, _))) => {
            warning!(
                "cannot read the layouts of `{module}` ({code}): fields that only a layout requires are not known"
            );
            return Ok(BTreeSet::new());
        }
        Err(fault) => return Err(fault),
    };
    let layouts: Vec<Layout> = wire::value(&answer, "/layouts")?.unwrap_or_default();
    let fields = layouts.into_iter().flat_map(|layout| layout.sections).flat_map(|section| section.fields);
    let required: BTreeSet<String> = fields.filter(|field| field.required).map(|field| field.api_name).collect();
    schema.keep_required(module, required.clone());
    Ok(required)
}

/// All users, the inactive ones too.
pub(crate) fn users() -> Result<Vec<User>, Fault> {
    let mut users = Vec::new();
    for page in 1..=USER_PAGES_MAX {
        let request = wire::get("users").query("type", "AllUsers").query("page", page.to_string());
        let answer = wire::read(request.query("per_page", PAGE_RECORDS_MAX.to_string()))?;
        let columns = ["id", "full_name", "email", "status"].map(|name| rows::column(name, Kind::Text)).to_vec();
        let (listed, _) = answer.records("/users", columns)?;
        users.extend(listed.iter().map(|row| User {
            id: row.text(0).to_owned(),
            name: row.text(1).to_owned(),
            email: row.text(2).to_owned(),
            active: row.text(3) == "active",
            kind: "user".to_owned(),
        }));
        if !wire::value::<ListInfo>(&answer, "/info")?.unwrap_or_default().more_records {
            return Ok(users);
        }
    }
    Err(Fault::Unsupported(format!("more than {} users", USER_PAGES_MAX * PAGE_RECORDS_MAX)))
}

/// How many records the login can see; none if it may not ask, which takes a permission of its own.
pub(crate) fn count(module: &str) -> Result<Option<u64>, Fault> {
    wire::check_module(module)?;
    match wire::read(wire::get(&format!("{module}/actions/count"))) {
        Ok(answer) => wire::value(&answer, "/count"),
        Err(Fault::Other((code, _))) if is_refusal(&code) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Whether a code says that the login lacks a scope, or the user a permission.
fn is_refusal(code: &str) -> bool {
    matches!(code, SCOPE_MISMATCH | "NO_PERMISSION")
}

fn first<T: Default + for<'de> Deserialize<'de>>(answer: Option<&Answer>, pointer: &str) -> Result<T, Fault> {
    answer.map_or(Ok(None), |answer| wire::value(answer, pointer)).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::choices;

    #[test]
    fn only_what_can_be_chosen_is_offered() {
        let json = r#"[{"actual_value":"-None-","display_value":"-None-"},
            {"actual_value":"web","display_value":"Web Site","type":"used"},
            {"actual_value":"fax","display_value":"Fax","type":"unused"}]"#;
        let offered = choices(json).expect("values of a pick list");
        assert_eq!(offered.len(), 1);
        assert_eq!((offered[0].value.as_str(), offered[0].label.as_str()), ("web", "Web Site"));
        assert!(choices("").expect("none").is_empty());
    }
}
